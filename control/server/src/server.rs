//! The API server as a value: made once, cloned freely, asked through a service, a client or a listener.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use ::http::header::{HeaderValue, USER_AGENT};
use ::http::request::Parts;
use ::http::{Method, Request, Response};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;
use wharf_api::Subresource;
use wharf_api::status::ApiError;
use wharf_store::WatchCache;

use crate::admission::plugins::Plugins;
use crate::ask::{Ask, Warnings};
use crate::authn::tokens::Tokens;
use crate::authz::node::NodeAuthorizer;
use crate::authz::{Attributes, Authorizer, RbacCache};
use crate::catalog::Catalog;
use crate::http::negotiate::{self, Accepted, Endpoint, negotiate};
use crate::http::path::{self, RequestInfo, ResourcePath};
use crate::http::query::Query;
use crate::http::{body, protobuf, respond};
use crate::metrics::Metrics;
use crate::mount::{self, Mount};
use crate::services::Allocator;
use crate::usage::Usage;
use crate::verbs::snapshots::Snapshots;
use crate::verbs::update::Part;
use crate::verbs::{create, delete, get, list, patch, update, watch};
use crate::{Body, Config, Identity, authn, authz, bootstrap, discovery, expiry, subresources};

/// The API server. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A bootstrap object could not be written.
    #[error("bootstrap {object}: {message}")]
    Bootstrap {
        /// Kind and name.
        object: String,
        /// What the store or the API said.
        message: String,
    },
    /// The signing key of ServiceAccount tokens is unusable.
    #[error("service account key: {0}")]
    ServiceAccountKey(String),
}

/// As many as kube-apiserver's two limits together.
const MAX_IN_FLIGHT: usize = 600;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) catalog: Catalog,
    pub(crate) authorizer: Authorizer,
    pub(crate) plugins: Plugins,
    pub(crate) tokens: Tokens,
    pub(crate) snapshots: Snapshots,
    pub(crate) allocator: Allocator,
    pub(crate) metrics: Metrics,
    /// What nodes and Pods use.
    pub(crate) usage: Usage,
    /// Ends watches and background tasks.
    pub(crate) stopping: CancellationToken,
    /// Requests of the network that may be worked on at the same time, long-running ones aside.
    pub(crate) in_flight: Semaphore,
    /// Paths that somebody else answers.
    pub(crate) mount: OnceLock<Mount>,
    /// Held while a quota is written, so that creates that run together do not undo each other's entries again and again.
    pub(crate) quotas: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn cache(&self) -> &WatchCache {
        self.config.store.cache()
    }
}

impl ApiServer {
    /// Makes a server on a store, and what every cluster has in it: namespaces, RBAC, the `kubernetes` and `kube-dns` Services.
    ///
    /// # Errors
    /// When the store refuses those objects.
    pub async fn new(config: Config) -> Result<ApiServer, StartError> {
        let cache = config.store.cache().clone();
        let catalog = Catalog::new(&config.version);
        let shared = Shared {
            plugins: Plugins::new(cache.clone()),
            authorizer: Authorizer { rbac: RbacCache::new(cache.clone()), node: NodeAuthorizer::new(cache, bootstrap::node_rules()) },
            tokens: Tokens::new(config.pki.service_account_key())?,
            snapshots: Snapshots::default(),
            allocator: Allocator::new(config.service_cidr, config.node_ports),
            metrics: Metrics::default(),
            usage: Usage::default(),
            stopping: CancellationToken::new(),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            mount: OnceLock::new(),
            quotas: tokio::sync::Mutex::default(),
            catalog,
            config,
        };
        let server = ApiServer { shared: Arc::new(shared) };
        bootstrap::run(&server.shared).await?;
        crate::custom::begin(&server.shared);
        server.spawn(|shared| async move { shared.authorizer.rbac.follow().await });
        server.spawn(crate::custom::keep);
        server.spawn(|shared| async move { shared.plugins.follow().await });
        server.spawn(|shared| async move { authz::aggregate::keep(&shared).await });
        server.spawn(|shared| async move { expiry::keep(&shared).await });
        server.spawn(|shared| async move { bootstrap::keep(&shared).await });
        Ok(server)
    }

    /// A client of this server without a socket. `identity` takes the place of authentication only: authorization and admission
    /// run as for anyone. Must be called inside a Tokio runtime.
    pub fn client(&self, identity: Identity) -> kube::Client {
        kube::Client::new(InProcess { service: self.service(), agent: HeaderValue::from_static(component(&identity)), identity: Arc::new(identity) }, "default")
    }

    /// The server as a `tower` service. A request without an `Arc<Identity>` among its extensions is authenticated by its
    /// bearer token, or is anonymous.
    pub fn service(&self) -> ApiService {
        ApiService { server: self.clone() }
    }

    /// Ends every watch and the server's own background work, so that connections can drain. Requests are still answered.
    pub fn stop(&self) {
        self.shared.stopping.cancel();
    }

    /// A request that came over the network: takes its turn, so that no crowd of clients can take all the memory.
    pub(crate) async fn handle_remote(&self, request: Request<Body>) -> Response<Body> {
        if long_running(&request) || mount::find(&self.shared.mount, request.uri().path()).is_some() {
            return self.handle(request).await;
        }
        let turn = tokio::time::timeout(TURN, self.shared.in_flight.acquire()).await;
        let Ok(_permit) = turn else {
            return respond::error(&ApiError::too_many_requests("too many requests, please try again later", 1), negotiate::Format::Json);
        };
        self.handle(request).await
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(Arc<Shared>) -> F) {
        let stopping = self.shared.stopping.clone();
        let task = task(self.shared.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = task => {}
            }
        });
    }

    pub(crate) async fn handle(&self, request: Request<Body>) -> Response<Body> {
        if let Some(answer) = mount::find(&self.shared.mount, request.uri().path()) {
            return answer(request).await;
        }
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let protobuf = content_type(&parts).starts_with(protobuf::MEDIA_TYPE);
        if protobuf {
            // It is turned into JSON as soon as it is clear that the user may send it.
            parts.headers.insert(::http::header::CONTENT_TYPE, ::http::HeaderValue::from_static("application/json"));
        }
        let query = Query::parse(parts.uri.query());
        let info = path::parse(&parts.method, parts.uri.path(), query.flag("watch"));
        let warnings = Warnings::default();
        let answered = Box::pin(answer(&self.shared, &parts, &query, &info, body, protobuf, &warnings)).await;
        let mut response = answered.unwrap_or_else(|error| {
            if error.code() >= 500 {
                tracing::warn!(%error, verb = info.verb, path = info.path, "request failed");
            }
            let accept = parts.headers.get(::http::header::ACCEPT).and_then(|v| v.to_str().ok());
            respond::error(&error, negotiate(accept, Endpoint::Plain).unwrap_or_default().format)
        });
        respond::warn(&mut response, &warnings.into_inner());
        self.shared.metrics.count(&info, response.status(), started.elapsed());
        response
    }
}

/// How long a request waits for its turn.
const TURN: std::time::Duration = std::time::Duration::from_secs(10);

/// Watches, logs that are followed, and connections that are passed through.
fn long_running(request: &Request<Body>) -> bool {
    let watch = Query::parse(request.uri().query()).flag("watch");
    let info = path::parse(request.method(), request.uri().path(), watch);
    // What the path only looks like (a create with `?watch=1`) has to wait for its turn like any other.
    info.verb == "watch" || info.resource.is_some_and(|r| matches!(r.subresource, "proxy" | "log" | "exec" | "attach" | "portforward"))
}

fn content_type(parts: &Parts) -> &str {
    parts.headers.get(::http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

async fn answer(
    shared: &Arc<Shared>,
    parts: &Parts,
    query: &Query<'_>,
    info: &RequestInfo<'_>,
    body: Body,
    protobuf: bool,
    warnings: &Warnings,
) -> Result<Response<Body>, ApiError> {
    let identity = authn::authenticate(parts, &shared.tokens, shared.cache())?;
    if identity.user == crate::ANONYMOUS && !authn::open_to_all(info.path) {
        return Err(ApiError::unauthorized());
    }
    let identity = authn::impersonation::impersonate(&parts.headers, identity, &shared.authorizer)?;
    let field_selector = query.get("fieldSelector");
    shared.authorizer.authorize(&identity, &Attributes::of(info, field_selector))?;
    let body = if protobuf && info.resource.is_some() {
        match body::read(body).await? {
            empty if empty.is_empty() => Body::empty(),
            bytes => Body::from(protobuf::to_json(&bytes)?),
        }
    } else {
        body
    };
    let accept = parts.headers.get(::http::header::ACCEPT).and_then(|v| v.to_str().ok());
    let Some(path) = &info.resource else {
        if info.path.starts_with("/openapi/v") && parts.method == Method::GET {
            return discovery::openapi::answer(shared, parts, info.path.trim_end_matches('/'), accept).await;
        }
        return discovery::answer(shared, parts, info, accept);
    };
    let Some(served) = shared.catalog.get(path.group, path.version, path.plural) else {
        return subresources::unstored(shared, &identity, parts, query, path, accept, body).await;
    };
    let passes_through = matches!(path.subresource, "log" | "exec" | "attach" | "portforward" | "proxy");
    let accepted = match negotiate(accept, Endpoint::Resource) {
        Some(accepted) => accepted,
        None if passes_through => Accepted::default(),
        None => {
            let list = negotiate::available(path.name.is_empty() && parts.method == Method::GET);
            let words = format!("406: Not Acceptable\n\nAvailable representations: {list}");
            return Err(ApiError::new(406, "NotAcceptable", words, Some(wharf_api::status::Details::default())));
        }
    };
    let served = &served;
    let ask = Ask { shared, identity: &identity, served, path, query, parts, accepted, warnings };
    // A scope that the kind does not have is a path that does not exist. A Namespace is in none but, as authorization sees it, itself:
    // in another it would be reached with the rights of that other.
    let own = if served.is("", "namespaces") { &*path.name } else { "" };
    if (served.info().namespaced() && path.namespace.is_empty() && !path.name.is_empty()) || (!served.info().namespaced() && path.namespace != own) {
        return Err(ApiError::no_such_resource());
    }
    let mut response = dispatch(&ask, info.verb, body).await?;
    if let Some(warning) = &served.deprecated {
        respond::warn(&mut response, std::slice::from_ref(warning));
    }
    Ok(response)
}

async fn dispatch(ask: &Ask<'_>, verb: &'static str, body: Body) -> Result<Response<Body>, ApiError> {
    let info = ask.served.info();
    let (named, method) = (!ask.path.name.is_empty(), &ask.parts.method);
    if !ask.path.subresource.is_empty() {
        return match ask.served.subresource(ask.path.subresource) {
            None if info.custom => Err(ask.not_found()),
            None => Err(ApiError::no_such_resource()),
            Some(Subresource::Status) => match verb {
                "get" => get::get(ask).await,
                "update" => update::update(ask, body::read(body).await?, Part::Status).await,
                "patch" => patch::patch(ask, body::read(body).await?, Part::Status).await,
                _ => Err(ApiError::method_not_allowed()),
            },
            Some(Subresource::Scale { spec_replicas, status_replicas, selector }) => {
                let paths = subresources::scale::Paths { spec_replicas, status_replicas, selector };
                subresources::scale::scale(ask, verb, paths, body).await
            }
            Some(Subresource::Other { .. }) => subresources::other(ask, verb, body).await,
        };
    }
    if !info.verbs.contains(&verb) {
        return Err(ApiError::method_not_allowed());
    }
    match verb {
        "get" => get::get(ask).await,
        "list" => list::list(ask).await,
        "watch" => watch::watch(ask).await,
        "create" if !named && info.namespaced() != ask.namespace().is_empty() => create::create(ask, body::read(body).await?).await,
        "update" if named => update::update(ask, body::read(body).await?, Part::Main).await,
        "patch" if named => patch::patch(ask, body::read(body).await?, Part::Main).await,
        "delete" if named => delete::delete(ask, &body::read(body).await?).await,
        "deletecollection" if info.namespaced() != ask.namespace().is_empty() => delete::delete_collection(ask, &body::read(body).await?).await,
        _ => {
            tracing::debug!(%method, path = %ask.parts.uri.path(), "no such method");
            Err(ApiError::method_not_allowed())
        }
    }
}

/// Whether the user may create the object that an update or apply would make.
pub(crate) fn authorize_create(ask: &Ask<'_>) -> Result<(), ApiError> {
    let ResourcePath { group, plural, namespace, name, .. } = ask.path;
    let attributes = Attributes { verb: "create", group, plural, namespace, name, ..Attributes::default() };
    ask.shared.authorizer.authorize(ask.identity, &attributes)
}

/// The server as a `tower` service.
#[derive(Clone)]
pub struct ApiService {
    server: ApiServer,
}

impl Service<Request<Body>> for ApiService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.server.clone();
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}

/// Puts an identity on every request of an in-process client.
struct InProcess {
    service: ApiService,
    identity: Arc<Identity>,
    /// Becomes the manager of the fields that the component writes.
    agent: HeaderValue,
}

/// The component that an identity stands for, as upstream's component names itself.
fn component(identity: &Identity) -> &'static str {
    if identity.node_name().is_some() {
        return "kubelet";
    }
    match identity.user.as_str() {
        "system:kube-scheduler" => "kube-scheduler",
        "system:kube-proxy" => "kube-proxy",
        "system:kube-controller-manager" => "kube-controller-manager",
        "system:serviceaccount:kube-system:ingress-nginx" => "nginx-ingress-controller",
        user if user.starts_with("system:serviceaccount:kube-system:") => "kube-controller-manager",
        _ => "wharf",
    }
}

impl Service<Request<kube::client::Body>> for InProcess {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.identity.clone());
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.agent.clone());
        self.service.call(request)
    }
}
