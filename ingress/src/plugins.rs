//! Plugins in front of backends: asked about the head of a request, and about the head of its response where they want to be.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use wharf_rest::Pairs;

use crate::forward::Connection;
use crate::{Body, Ingress, Location, pages};

/// The annotation by which an Ingress names plugins: names, separated by commas.
pub const ANNOTATION: &str = "plugins.wharf.dev/ingress";

/// The plugins that Ingresses can have; implemented by the binary over the host of plugins.
pub trait IngressPlugins: Send + Sync + 'static {
    /// Waits until it is known which plugins there are: an Ingress serves no sooner, or a request could pass one by.
    fn known(&self) -> BoxFuture<'_, ()>;

    /// The plugins of an Ingress, in their order: those that it names, and those that its labels match. Asked on every request: no lock that
    /// is held for long.
    fn of(&self, named: &[String], labels: &Pairs) -> Vec<Arc<str>>;

    /// Asks a plugin about a request. It bounds the time by itself.
    fn on_request<'a>(&'a self, plugin: &'a str, head: PluginRequest<'a>) -> BoxFuture<'a, Result<PluginDecision, PluginFailure>>;

    /// Asks a plugin about a response, with what it gave along with the request.
    fn on_response<'a>(
        &'a self,
        plugin: &'a str,
        context: Vec<u8>,
        status: StatusCode,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<PluginChanges, PluginFailure>>;
}

/// A request as a plugin sees it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PluginRequest<'a> {
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    pub authority: &'a str,
    pub path_with_query: &'a str,
    pub headers: &'a HeaderMap,
    pub client: IpAddr,
    /// `namespace/name` of the Ingress.
    pub ingress: &'a str,
}

/// What a plugin decides.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PluginDecision {
    /// The request goes on; with a context, the plugin wants to see its response.
    Proceed { changes: PluginChanges, context: Option<Vec<u8>> },
    /// The plugin answers itself.
    Answer { status: StatusCode, headers: HeaderMap, body: Vec<u8> },
}

/// Changes of headers.
#[derive(Debug, Default)]
pub struct PluginChanges {
    /// These go first.
    pub remove: Vec<HeaderName>,
    /// These take the place of those of their names.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// A plugin has no answer.
#[derive(Debug)]
pub struct PluginFailure {
    /// Its failure policy is to ignore that.
    pub ignored: bool,
    /// Else the client gets this.
    pub status: StatusCode,
    /// For the log.
    pub message: String,
}

/// No plugins.
pub struct NoIngressPlugins;

impl IngressPlugins for NoIngressPlugins {
    fn known(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn of(&self, named: &[String], _: &Pairs) -> Vec<Arc<str>> {
        named.iter().map(|name| name.as_str().into()).collect()
    }

    fn on_request<'a>(&'a self, _: &'a str, _: PluginRequest<'a>) -> BoxFuture<'a, Result<PluginDecision, PluginFailure>> {
        Box::pin(async { Err(no_plugins()) })
    }

    fn on_response<'a>(&'a self, _: &'a str, _: Vec<u8>, _: StatusCode, _: &'a HeaderMap) -> BoxFuture<'a, Result<PluginChanges, PluginFailure>> {
        Box::pin(async { Err(no_plugins()) })
    }
}

fn no_plugins() -> PluginFailure {
    PluginFailure { ignored: false, status: StatusCode::SERVICE_UNAVAILABLE, message: "this Ingress runs no plugins".to_owned() }
}

/// The plugins that an Ingress names.
pub(crate) fn named(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let names = annotations.get(ANNOTATION).map_or("", String::as_str).split(',');
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

impl PluginChanges {
    fn apply(self, headers: &mut HeaderMap) {
        for name in self.remove.iter().chain(self.set.iter().map(|(name, _)| name)) {
            headers.remove(name);
        }
        for (name, value) in self.set {
            headers.append(name, value);
        }
    }
}

impl Ingress {
    /// Sends a request to its backend past the plugins of its Ingress. Bodies pass by untouched.
    pub(crate) async fn past_plugins(
        &self,
        connection: &Arc<Connection>,
        mut request: Request<Incoming>,
        host: HeaderValue,
        location: &Location,
    ) -> Response<Body> {
        let plugins = self.plugins.of(&location.main.plugins, &location.main.labels);
        if plugins.is_empty() {
            return self.forward(connection, request, host, location).await;
        }
        let mut waiting: Vec<(Arc<str>, Vec<u8>)> = Vec::new();
        let mut answer = None;
        for plugin in plugins {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let head = PluginRequest {
                method: request.method().as_str(),
                scheme: if connection.secure { "https" } else { "http" },
                authority: host.to_str().unwrap_or_default(),
                path_with_query: path,
                headers: request.headers(),
                client: connection.peer.ip(),
                ingress: &location.ingress,
            };
            match self.plugins.on_request(&plugin, head).await {
                Ok(PluginDecision::Proceed { changes, context }) => {
                    changes.apply(request.headers_mut());
                    waiting.extend(context.map(|context| (plugin, context)));
                }
                Ok(PluginDecision::Answer { status, headers, body }) => {
                    let mut response = Response::new(pages::full(body));
                    (*response.status_mut(), *response.headers_mut()) = (status, headers);
                    answer = Some(response);
                    break;
                }
                Err(failure) if failure.ignored => tracing::warn!(ingress = %location.ingress, %plugin, "failing open: {}", failure.message),
                Err(failure) => {
                    tracing::warn!(ingress = %location.ingress, %plugin, "{}", failure.message);
                    return pages::page(failure.status);
                }
            }
        }
        let mut response = match answer {
            Some(response) => response,
            None => self.forward(connection, request, host, location).await,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response;
        }
        for (plugin, context) in waiting.into_iter().rev() {
            match self.plugins.on_response(&plugin, context, response.status(), response.headers()).await {
                Ok(changes) => changes.apply(response.headers_mut()),
                Err(failure) if failure.ignored => tracing::warn!(ingress = %location.ingress, %plugin, "failing open: {}", failure.message),
                Err(failure) => {
                    tracing::warn!(ingress = %location.ingress, %plugin, "{}", failure.message);
                    return pages::page(failure.status);
                }
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_separated_by_commas() {
        let annotations = |value: &str| BTreeMap::from([(ANNOTATION.to_owned(), value.to_owned())]);
        assert_eq!(named(&annotations("a, b,,c ")), ["a", "b", "c"]);
        assert_eq!(named(&annotations("")), Vec::<String>::new());
        assert_eq!(named(&BTreeMap::new()), Vec::<String>::new());
    }
}
