//! The server's and the Ingress' questions, put to the host of plugins.

use futures::future::BoxFuture;
use wharf_plugin_host::PluginHost;
use wharf_plugin_host::admission::{GroupVersionKind, GroupVersionResource, Operation, Phase, Request, UserInfo};
use wharf_server::{PluginError, PluginPhase, PluginReview, PluginRunner, PluginVerdict};

/// Answers the API server.
pub(crate) struct Runner(pub(crate) PluginHost);

impl PluginRunner for Runner {
    fn review<'a>(&'a self, plugin: &'a str, phase: PluginPhase, review: PluginReview) -> BoxFuture<'a, Result<PluginVerdict, PluginError>> {
        let phase = match phase {
            PluginPhase::Mutate => Phase::Mutate,
            PluginPhase::Validate => Phase::Validate,
        };
        Box::pin(async move {
            let response = self.0.review(plugin, phase, request(review)).await.map_err(|e| PluginError(e.to_string()))?;
            let status = response.status.map(|s| (s.code, s.reason, s.message)).unwrap_or_default();
            let (code, reason, message) = status;
            Ok(PluginVerdict { allowed: response.allowed, code, reason, message, patch: response.patch, warnings: response.warnings })
        })
    }

    fn metrics(&self) -> String {
        self.0.metrics().text()
    }
}

fn request(review: PluginReview) -> Request {
    let ([group, version, kind], [rgroup, rversion, resource]) = (review.kind, review.resource);
    Request {
        uid: review.uid,
        kind: GroupVersionKind { group, version, kind },
        resource: GroupVersionResource { group: rgroup, version: rversion, resource },
        subresource: review.subresource,
        name: review.name,
        namespace: review.namespace,
        operation: match review.operation {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            _ => Operation::Connect,
        },
        user: UserInfo { username: review.user.user, uid: review.user.uid, groups: review.user.groups, extra: review.user.extra.into_iter().collect() },
        object: review.object,
        old_object: review.old_object,
        options: Some(review.options),
        dry_run: review.dry_run,
    }
}
