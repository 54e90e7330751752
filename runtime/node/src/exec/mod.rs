//! `exec`, `attach` and `port-forward` on the node's Pods: [`Streams`], implemented.

mod attach;
mod choose;
mod connect;
mod process;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use wharf_engine::Exit;

pub(crate) use choose::Tools;

use crate::pod::context::{PodContext, Shared};
use crate::pod::door::Door;
use crate::pods::Pods;
use crate::probes::Exec;
use crate::streams::{Connection, Stdio, StreamError, Streams, Target};

/// The Pods of a node.
pub(crate) struct PodStreams {
    pub(crate) node: Arc<Shared>,
    pub(crate) pods: Arc<Pods>,
}

impl Streams for PodStreams {
    fn find(&self, namespace: &str, pod: &str, container: Option<&str>) -> Result<(), StreamError> {
        let pod = self.pod(namespace, pod)?;
        container.map_or(Ok(()), |container| door(&pod, container).map(drop))
    }

    fn exec(&self, target: Target, command: Vec<String>, stdio: Stdio) -> BoxFuture<'static, Result<Exit, StreamError>> {
        let (node, door) = (self.node.clone(), self.door(&target));
        async move { process::run(&node, &*door?, command, stdio).await }.boxed()
    }

    fn attach(&self, target: Target, stdio: Stdio) -> BoxFuture<'static, Result<(), StreamError>> {
        let door = self.door(&target);
        async move { attach::attach(&*door?, stdio).await }.boxed()
    }

    fn connect(&self, namespace: &str, pod: &str, port: u16) -> BoxFuture<'static, Result<Connection, StreamError>> {
        let pod = self.pod(namespace, pod);
        async move {
            let wired = pod?.wired.load_full().ok_or_else(|| StreamError::Failed("the Pod has no network yet".to_owned()))?;
            connect::localhost(&wired.network, port).await
        }
        .boxed()
    }
}

impl PodStreams {
    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<PodContext>, StreamError> {
        self.pods.find(namespace, name).ok_or_else(|| StreamError::NotFound("pod does not exist".to_owned()))
    }

    fn door(&self, target: &Target) -> Result<Arc<Door>, StreamError> {
        let pod = self.pod(&target.namespace, &target.pod)?;
        door(&pod, &target.container)
    }
}

/// Commands that the node runs in a container for itself: probes and hooks.
pub(crate) struct Inside {
    pub(crate) node: Arc<Shared>,
    pub(crate) door: Arc<Door>,
}

impl Exec for Inside {
    fn exec(&self, command: Vec<String>) -> BoxFuture<'static, Result<(i32, String), String>> {
        let (node, door) = (self.node.clone(), self.door.clone());
        async move { process::capture(&node, &door, command).await.map_err(|e| e.to_string()) }.boxed()
    }
}

/// The way into a container of a Pod, while it runs.
fn door(pod: &PodContext, container: &str) -> Result<Arc<Door>, StreamError> {
    let found = pod.view.load().doors.get(container).filter(|door| !door.ended.is_cancelled()).cloned();
    found.ok_or_else(|| StreamError::Failed(format!("container not found (\"{container}\")")))
}
