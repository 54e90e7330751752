//! `wasi:sockets/ip-name-lookup` 0.2: wasmtime-wasi's stream of addresses cannot be made from outside, so this is ours.

use super::pod::SocketsView;
use crate::network::ResolveError;
use futures::FutureExt as _;
use std::net::IpAddr;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, subscribe};

/// Names longer than that are not asked for.
const MAX_NAME: usize = 1024;

/// A look-up that runs or ran.
struct NameStream(Answer);

enum Answer {
    Pending(tokio::task::JoinHandle<Result<Vec<IpAddr>, ResolveError>>),
    Done(Result<std::vec::IntoIter<IpAddr>, ErrorCode>),
}

impl NameStream {
    async fn finish(&mut self) {
        if let Answer::Pending(task) = &mut self.0 {
            let answer = task.await.unwrap_or(Err(ResolveError::Failed));
            self.0 = Answer::Done(answer.map(Vec::into_iter).map_err(code));
        }
    }
}

impl Drop for NameStream {
    fn drop(&mut self) {
        if let Answer::Pending(task) = &self.0 {
            task.abort();
        }
    }
}

#[async_trait::async_trait]
impl Pollable for NameStream {
    async fn ready(&mut self) {
        self.finish().await;
    }
}

fn code(e: ResolveError) -> ErrorCode {
    match e {
        ResolveError::NotFound => ErrorCode::NameUnresolvable,
        ResolveError::Temporary => ErrorCode::TemporaryResolverFailure,
        ResolveError::Failed => ErrorCode::PermanentResolverFailure,
    }
}

type Store<'a, T> = StoreContextMut<'a, T>;

pub(super) fn add_to_linker<T: SocketsView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut i = l.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    i.resource("resolve-address-stream", ResourceType::host::<NameStream>(), |mut s: Store<'_, T>, rep| {
        s.data_mut().ctx().table.delete(Resource::<NameStream>::new_own(rep))?;
        Ok(())
    })?;
    i.func_wrap("resolve-addresses", |mut s: Store<'_, T>, (network, name): (Resource<Network>, String)| {
        let view = s.data_mut().pod_sockets();
        view.wasi.table.get(&network)?;
        let answer = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => Answer::Done(Ok(vec![ip].into_iter())),
            Err(_) if name.is_empty() || name.len() > MAX_NAME => Answer::Done(Err(ErrorCode::InvalidArgument)),
            Err(_) => Answer::Pending(tokio::spawn(view.pod.network.resolve(name))),
        };
        let stream = view.wasi.table.push(NameStream(answer))?;
        Ok((Ok::<_, ErrorCode>(stream),))
    })?;
    i.func_wrap("[method]resolve-address-stream.resolve-next-address", |mut s: Store<'_, T>, (this,): (Resource<NameStream>,)| {
        let stream = s.data_mut().ctx().table.get_mut(&this)?;
        stream.finish().now_or_never();
        Ok((match &mut stream.0 {
            Answer::Pending(_) => Err(ErrorCode::WouldBlock),
            Answer::Done(Ok(left)) => Ok(left.next().map(IpAddress::from)),
            Answer::Done(Err(e)) => Err(*e),
        },))
    })?;
    i.func_wrap("[method]resolve-address-stream.subscribe", |mut s: Store<'_, T>, (this,): (Resource<NameStream>,)| {
        let pollable: Resource<DynPollable> = subscribe(s.data_mut().ctx().table, this)?;
        Ok((pollable,))
    })
}
