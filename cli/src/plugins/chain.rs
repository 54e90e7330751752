//! The plugins of Ingresses: which of them an Ingress has, and the calls of them.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use parking_lot::RwLock;
use tokio::sync::watch;
use wharf_api::kinds::plugin::{INGRESS, Plugin};
use wharf_api::selector::LabelSelector;
use wharf_ingress::{IngressPlugins, Pairs, PluginChanges, PluginDecision, PluginFailure, PluginRequest};
use wharf_plugin_host::ingress::{Changes, Decision, RequestHead};
use wharf_plugin_host::{CallError, PluginHost};

/// Answers the Ingress.
pub(crate) struct Chain {
    host: PluginHost,
    table: RwLock<Arc<Vec<Link>>>,
    known: watch::Sender<bool>,
}

/// A plugin of the world `ingress`.
#[derive(Clone)]
struct Link {
    name: Arc<str>,
    order: i32,
    ignores_failures: bool,
    /// `None`: only Ingresses that name it have it.
    ingresses: Option<LabelSelector>,
}

impl Chain {
    /// Nothing is known of plugins yet.
    pub(crate) fn new(host: PluginHost) -> Arc<Chain> {
        Arc::new(Chain { host, table: RwLock::default(), known: watch::Sender::new(false) })
    }

    /// Says which plugins there are.
    pub(crate) fn set<'a>(&self, plugins: impl Iterator<Item = &'a Plugin>) {
        *self.table.write() = Arc::new(table(plugins));
        self.known.send_replace(true);
    }

    fn failure(&self, plugin: &str, error: &CallError) -> PluginFailure {
        let ignored = self.table.read().iter().any(|link| *link.name == *plugin && link.ignores_failures);
        let status = match error {
            CallError::NotReady(_) | CallError::Instantiate(_) => StatusCode::SERVICE_UNAVAILABLE,
            CallError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        PluginFailure { ignored, status, message: error.to_string() }
    }
}

fn table<'a>(plugins: impl Iterator<Item = &'a Plugin>) -> Vec<Link> {
    let mut all: Vec<Link> = plugins
        .filter(|plugin| plugin.spec.world == INGRESS)
        .map(|plugin| Link {
            name: plugin.metadata.name.as_deref().unwrap_or_default().into(),
            order: plugin.spec.order.unwrap_or_default(),
            ignores_failures: plugin.spec.failure_policy.as_deref() == Some("Ignore"),
            ingresses: plugin.spec.r#match.as_ref().and_then(|m| m.object_selector.as_ref()).and_then(|s| LabelSelector::from_object(Some(s)).ok()),
        })
        .collect();
    all.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    all
}

/// Those that an Ingress has. One that it names and that is not there is asked, too: that fails, and the request with it.
fn chosen(table: &[Link], named: &[String], labels: &Pairs) -> Vec<Arc<str>> {
    let is_named = |link: &Link| named.iter().any(|name| *name == *link.name);
    let there = table.iter().filter(|link| is_named(link) || link.ingresses.as_ref().is_some_and(|s| s.matches_with(|key| labels.get(key))));
    let missing = named.iter().filter(|name| !table.iter().any(|link| *link.name == ***name));
    missing.map(|name| name.as_str().into()).chain(there.map(|link| link.name.clone())).collect()
}

impl IngressPlugins for Chain {
    fn known(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The sender lives as long as `self`.
            let _ = self.known.subscribe().wait_for(|known| *known).await;
        })
    }

    fn of(&self, named: &[String], labels: &Pairs) -> Vec<Arc<str>> {
        let table = self.table.read().clone();
        if table.is_empty() && named.is_empty() { Vec::new() } else { chosen(&table, named, labels) }
    }

    fn on_request<'a>(&'a self, plugin: &'a str, head: PluginRequest<'a>) -> BoxFuture<'a, Result<PluginDecision, PluginFailure>> {
        Box::pin(async move {
            let client = head.client.to_string();
            let PluginRequest { method, scheme, authority, path_with_query, headers, ingress, .. } = head;
            let head = RequestHead { method, scheme, authority, path_with_query, headers, client: &client, ingress };
            match self.host.on_request(plugin, head).await.map_err(|error| self.failure(plugin, &error))? {
                Decision::Proceed { changes, context } => Ok(PluginDecision::Proceed { changes: theirs(changes), context }),
                Decision::Answer { status, headers, body } => Ok(PluginDecision::Answer { status, headers, body }),
            }
        })
    }

    fn on_response<'a>(
        &'a self,
        plugin: &'a str,
        context: Vec<u8>,
        status: StatusCode,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<PluginChanges, PluginFailure>> {
        Box::pin(async move {
            let changes = self.host.on_response(plugin, context, status, headers).await;
            changes.map(theirs).map_err(|error| self.failure(plugin, &error))
        })
    }
}

fn theirs(changes: Changes) -> PluginChanges {
    PluginChanges { remove: changes.remove, set: changes.set }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_ingress_has_what_it_names_and_what_selects_it() {
        let plugin = |name: &str, order: i32, selector: serde_json::Value| -> Plugin {
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"world": "ingress", "order": order, "match": {"objectSelector": selector}}}))
                .unwrap()
        };
        let labelled = json!({"matchLabels": {"tier": "public"}});
        let all = [
            plugin("late", 9, labelled.clone()),
            plugin("b", 0, json!(null)),
            plugin("a", 0, json!({})),
            plugin("other", 0, json!({"matchLabels": {"x": "y"}})),
        ];
        let table = table(all.iter());
        let labels: Pairs = [("tier", "public")].into_iter().collect();
        let of = |named: &[&str], labels| {
            let named: Vec<String> = named.iter().map(|n| (*n).to_owned()).collect();
            chosen(&table, &named, labels).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&[], &labels), "a late");
        assert_eq!(of(&["late", "b", "gone"], &Pairs::default()), "gone a b late");
    }
}
