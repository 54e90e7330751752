//! Serving: an instance per request out of the pool (or a few, reused), in the task of whoever asks.

use super::body::{Collected, Live, collect_ready};
use super::hooks::{from_wasi, into_wasi};
use super::{Control, HandlerError, HttpContainer, HttpHandler, HttpStats};
use crate::container::{ContainerSpec, HttpOptions, StartError};
use crate::engine::Program;
use crate::inspect::{Entry, Flavor};
use crate::limits::{Batch, Guest, Lost, Meter};
use crate::state::State;
use crate::template::{Template, words};
use crate::{Body, BoxFuture};
use futures::channel::oneshot;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::handler::{Prepared, Proxy, ProxyPre};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode as CodeP2, Scheme};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode as CodeP3;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

/// How long an instance that may be reused waits for its next request.
const KEEP_IDLE: Duration = Duration::from_secs(10);

pub(crate) fn start(program: &Program, spec: ContainerSpec) -> Result<HttpContainer, StartError> {
    let entry = spec.entry;
    let pre = &program.inner.pre;
    let there = match entry {
        Entry::HttpP2 => pre.http_p2.is_some(),
        Entry::HttpP3 => pre.http_p3.is_some(),
        _ => false,
    };
    if !there {
        return Err(StartError::NoEntry(entry.name()));
    }
    let options = spec.http.clone();
    let (template, _) = Template::new(program, spec);
    let server = Arc::new(Server {
        template,
        entry,
        options,
        closed: false.into(),
        requests: 0.into(),
        in_work: 0.into(),
        none_left: Notify::new(),
        killed: CancellationToken::new(),
        stats: watch::Sender::default(),
        waiting: Mutex::default(),
        swept: Mutex::default(),
    });
    Ok(HttpContainer { handler: Arc::new(Handler(server.clone())), control: server })
}

pub(super) struct Server {
    template: Template,
    entry: Entry,
    options: HttpOptions,
    closed: AtomicBool,
    requests: AtomicU64,
    in_work: AtomicUsize,
    none_left: Notify,
    killed: CancellationToken,
    stats: watch::Sender<HttpStats>,
    /// Instances between two requests, the last used last.
    waiting: Mutex<Vec<Waiting>>,
    /// Somebody looks after them.
    swept: Mutex<bool>,
}

struct Waiting {
    instance: Instance,
    since: Instant,
}

struct Instance {
    store: Store<State>,
    proxy: Proxy,
    /// Requests served.
    served: u32,
}

struct Handler(Arc<Server>);

impl HttpHandler for Handler {
    fn call(&self, request: Request<Body>, peer: SocketAddr) -> BoxFuture<'_, Result<Response<Body>, HandlerError>> {
        Box::pin(self.0.clone().handle(request, peer))
    }
}

impl Control for Server {
    fn stats(&self) -> watch::Receiver<HttpStats> {
        self.stats.subscribe()
    }
    fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
    fn in_work(&self) -> usize {
        self.in_work.load(Relaxed)
    }
    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.waiting.lock().clear();
    }
    fn kill(&self) {
        self.killed.cancel();
    }
    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let left = self.none_left.notified();
                if self.in_work() == 0 {
                    return;
                }
                left.await;
            }
        })
    }
}

/// One request in work.
pub(super) struct Ticket(Arc<Server>);

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.in_work.fetch_sub(1, Relaxed) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

/// The guest's part of a request that has no result but the response it sends.
pub(super) struct Work {
    guest: Option<Guest<()>>,
    ticket: Ticket,
}

impl Work {
    /// Lets the guest go on. `Ready`: it is done.
    pub(super) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(guest) = &mut self.guest else { return Poll::Ready(()) };
        match guest.poll(cx, self.ticket.0.batch()) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Lost(why))) => self.ticket.0.record(&HandlerError::Trap(why)),
        }
        self.guest = None;
        Poll::Ready(())
    }

    /// Lets the guest do what it can without waiting.
    fn poll_once(&mut self) -> Poll<()> {
        self.poll(&mut std::task::Context::from_waker(futures::task::noop_waker_ref()))
    }

    /// The response is through (or nobody wants it): lets the guest finish in its own time, within bounds.
    pub(super) fn finish(mut self) {
        if self.poll_once().is_ready() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (killed, time) = (self.ticket.0.killed.clone(), self.ticket.0.options.timeout);
        runtime.spawn(async move {
            tokio::select! {
                () = std::future::poll_fn(|cx| self.poll(cx)) => {}
                () = killed.cancelled() => {}
                () = tokio::time::sleep(time) => {}
            }
        });
    }

    pub(super) fn killed(&self) -> &CancellationToken {
        &self.ticket.0.killed
    }
}

/// Where a guest that ends without a response leaves the reason.
type Failure = Arc<Mutex<Option<HandlerError>>>;
type Head = oneshot::Receiver<wasmtime::Result<Response<WasiBody>>>;

impl Server {
    fn batch(&self) -> &Batch {
        &self.template.program.inner.engine.inner.batch
    }

    fn admit(self: Arc<Self>) -> Result<Ticket, HandlerError> {
        let before = self.in_work.fetch_add(1, Relaxed);
        let ticket = Ticket(self);
        let me = &ticket.0;
        if me.closed.load(Relaxed) {
            return Err(HandlerError::Draining);
        }
        if before >= me.options.max_concurrent as usize {
            return Err(HandlerError::Overloaded(me.options.max_concurrent));
        }
        me.requests.fetch_add(1, Relaxed);
        Ok(ticket)
    }

    async fn handle(self: Arc<Self>, mut request: Request<Body>, peer: SocketAddr) -> Result<Response<Body>, HandlerError> {
        let ticket = self.clone().admit()?;
        self.name_authority(&mut request);
        let reused = if self.options.requests_per_instance > 1 { self.waiting.lock().pop().map(|w| w.instance) } else { None };
        let meter = reused.as_ref().map_or_else(|| self.template.meter(), |i| i.store.data().meter.clone());
        let (tx, rx) = oneshot::channel();
        let failure = Failure::default();
        let guest = Guest::new(meter.clone(), {
            let (me, failure) = (self.clone(), failure.clone());
            let meter = meter.clone();
            async move {
                if let Err(e) = me.run(reused, meter, request.map(into_wasi), peer, tx).await {
                    me.record(&e);
                    *failure.lock() = Some(e);
                }
            }
        });
        let mut work = Work { guest: Some(guest), ticket };
        let response = self.head(&mut work, rx, &failure, &meter).await?;
        let (parts, mut body) = response.into_parts();
        let body = match collect_ready(&mut work, &mut body).await {
            Collected::Whole(bytes) => {
                work.finish();
                http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
            }
            Collected::Begun(bytes, next) => Live::new(work, bytes, next, from_wasi(body)).boxed_unsync(),
            Collected::Broken => {
                let _ = work.poll_once();
                return Err(failure.lock().take().unwrap_or_else(|| HandlerError::Guest("it broke its response off".into())));
            }
        };
        Ok(Response::from_parts(parts, body))
    }

    /// A guest is told whom the client asked: from the request line, else from `Host`. WASI 0.3 takes it from the URI
    /// alone, 0.2 from either; a request without (HTTP/1.0), or with nonsense, is one to `localhost`.
    fn name_authority(&self, request: &mut Request<Body>) {
        if request.uri().authority().is_some() {
            return;
        }
        let host = request.headers().get(header::HOST).and_then(|h| Authority::try_from(h.as_bytes()).ok());
        if host.is_none() {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        }
        if self.entry == Entry::HttpP3 {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = Some(host.unwrap_or_else(|| Authority::from_static("localhost")));
            parts.path_and_query.get_or_insert_with(|| http::uri::PathAndQuery::from_static("/"));
            if let Ok(uri) = http::Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }

    /// Runs the guest until the response's head is there.
    async fn head(&self, work: &mut Work, mut head: Head, failure: &Failure, meter: &Meter) -> Result<Response<WasiBody>, HandlerError> {
        let mut step = |cx: &mut std::task::Context<'_>| {
            let _ = work.poll(cx);
            Pin::new(&mut head).poll(cx)
        };
        // Most guests answer at once: only those that do not need a timer.
        let first = std::future::poll_fn(|cx| Poll::Ready(step(cx))).await;
        let answer = match first {
            Poll::Ready(r) => r,
            Poll::Pending => tokio::select! {
                r = std::future::poll_fn(step) => r,
                () = self.killed.cancelled() => return Err(HandlerError::Draining),
                () = tokio::time::sleep(self.options.timeout) => {
                    let e = HandlerError::Timeout(self.options.timeout);
                    self.record(&e);
                    return Err(e);
                }
            },
        };
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(e)) => Err(self.classify(e, meter)),
            Err(oneshot::Canceled) => {
                // The sender goes before the reason is noted only while the guest still runs.
                std::future::poll_fn(|cx| work.poll(cx)).await;
                Err(failure.lock().take().unwrap_or_else(|| HandlerError::Guest("it returned without setting a response".into())))
            }
        }
    }

    /// One request on one instance, from its making to its end.
    async fn run(
        self: &Arc<Self>,
        reused: Option<Instance>,
        meter: Arc<Meter>,
        request: Request<WasiBody>,
        peer: SocketAddr,
        tx: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    ) -> Result<(), HandlerError> {
        let mut instance = match reused {
            Some(i) => i,
            None => self.instantiate(meter.clone()).await?,
        };
        instance.store.data_mut().peer = Some(peer);
        let done = match self.template.program.inner.flavor {
            Flavor::P2 => call_p2(&mut instance, request, tx).await,
            Flavor::P3 => call_concurrent(&mut instance, request, tx).await,
        };
        if let Err(e) = done {
            return Err(if meter.memory_refused() { HandlerError::OutOfMemory } else { HandlerError::Trap(words(&e)) });
        }
        instance.served += 1;
        if instance.served < self.options.requests_per_instance && !self.closed.load(Relaxed) {
            self.keep(instance);
        }
        Ok(())
    }

    async fn instantiate(&self, meter: Arc<Meter>) -> Result<Instance, HandlerError> {
        let pre = &self.template.program.inner.pre;
        let pre: Option<&ProxyPre<State>> = if self.entry == Entry::HttpP3 { pre.http_p3.as_ref() } else { pre.http_p2.as_ref() };
        let Some(pre) = pre else { return Err(HandlerError::Instantiate("no such entry".into())) };
        let mut store = self.template.store(meter.clone(), None);
        match pre.instantiate_async(&mut store).await {
            Ok(proxy) => Ok(Instance { store, proxy, served: 0 }),
            Err(_) if meter.memory_refused() => Err(HandlerError::OutOfMemory),
            Err(e) => Err(HandlerError::Instantiate(words(&e))),
        }
    }

    fn keep(self: &Arc<Self>, instance: Instance) {
        let mut waiting = self.waiting.lock();
        waiting.push(Waiting { instance, since: Instant::now() });
        if !std::mem::replace(&mut *self.swept.lock(), true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// An error that the guest's call gave: its own answer, or a trap.
    fn classify(&self, e: wasmtime::Error, meter: &Meter) -> HandlerError {
        let code = e.downcast_ref::<CodeP2>().map(|c| format!("{c:?}")).or_else(|| e.downcast_ref::<CodeP3>().map(|c| format!("{c:?}")));
        let e = match code {
            Some(code) => return HandlerError::Guest(code),
            None if meter.memory_refused() => HandlerError::OutOfMemory,
            None if e.downcast_ref::<wasmtime::Trap>().is_none() => HandlerError::Guest(words(&e)),
            None => HandlerError::Trap(words(&e)),
        };
        self.record(&e);
        e
    }

    fn record(&self, e: &HandlerError) {
        self.stats.send_modify(|s| {
            match e {
                HandlerError::OutOfMemory => s.out_of_memory += 1,
                HandlerError::Timeout(_) => s.timeouts += 1,
                HandlerError::Trap(_) => s.traps += 1,
                _ => {}
            }
            s.last_failure = Some(e.to_string());
        });
    }
}

/// Ends the instances that wait for too long, until none waits.
async fn sweep(server: Weak<Server>) {
    loop {
        tokio::time::sleep(KEEP_IDLE).await;
        let Some(server) = server.upgrade() else { return };
        let mut waiting = server.waiting.lock();
        waiting.retain(|w| w.since.elapsed() < KEEP_IDLE);
        if waiting.is_empty() {
            *server.swept.lock() = false;
            return;
        }
    }
}

/// Without concurrency support: the guest has the store to itself.
async fn call_p2(i: &mut Instance, request: Request<WasiBody>, tx: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>) -> wasmtime::Result<()> {
    let Proxy::P2(proxy) = &i.proxy else { return Err(wasmtime::format_err!("a WASI 0.3 handler on the engine for WASI 0.2")) };
    let mut view = i.store.data_mut().http();
    let request = view.new_incoming_request(Scheme::Http, request)?;
    // The callback has to be `Sync`, which a sender alone is not.
    let tx = Mutex::new(Some(tx));
    let out = view.new_response_outparam_from_callback(move |answer| {
        if let Some(tx) = tx.lock().take() {
            let _ = tx.send(answer.map_err(Into::into));
        }
    })?;
    proxy.wasi_http_incoming_handler().call_handle(&mut i.store, request, out).await
}

/// With concurrency support: both versions, until nothing that matters is left to do.
async fn call_concurrent(i: &mut Instance, request: Request<WasiBody>, tx: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>) -> wasmtime::Result<()> {
    let Instance { store, proxy, .. } = i;
    let prepared = Prepared::new(store.as_context_mut(), proxy, request, |s: &mut State| s.http(), tx)?;
    store
        .run_concurrent(async |accessor| -> wasmtime::Result<()> {
            prepared.run(accessor, std::future::pending()).await?;
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}
