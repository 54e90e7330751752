//! Images that are code of this process: what a cluster needs besides its workloads (cluster DNS), run in a Pod's place, with the Pod's
//! address, log, status and end, and without a guest.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use wharf_image::Reference;
use wharf_net::{ClusterNet, Guard, ListenerKind, Proto, Scope};

use crate::logs::{Log, Stream};
use crate::network::candidates;

/// Where such images may run. Whoever may write Pods there administers the cluster anyway.
pub const NAMESPACE: &str = "kube-system";

/// What a started container does: ends when its token says so, or with words that tell what went wrong.
pub type NativeWork = BoxFuture<'static, Result<(), String>>;

/// An image of this process.
pub trait NativeImage: Send + Sync + 'static {
    /// Its repository with the registry, such as `wharf.local/coredns`. Every tag names it.
    fn name(&self) -> &str;

    /// The version that really runs, for `imageID`.
    fn version(&self) -> &str;

    /// Starts a container: returns once it listens; the work then goes on until [`NativeContainer::stopping`].
    fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>>;
}

/// What a container of a native image is given.
pub struct NativeContainer {
    ip: Ipv4Addr,
    service_account: Option<PathBuf>,
    net: Arc<ClusterNet>,
    log: Arc<Log>,
    owner: String,
    stop: CancellationToken,
    node_stops: Arc<AtomicBool>,
    guards: Mutex<Vec<Guard>>,
}

impl NativeContainer {
    /// The Pod's address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The file with the Pod's ServiceAccount token, which is renewed there; `None` where the Pod has none.
    pub fn token_file(&self) -> Option<PathBuf> {
        self.service_account.as_ref().map(|folder| folder.join("token"))
    }

    /// Cancelled when the container is to end; it is killed when the Pod's grace period is over.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Whether it is to end because the whole node does: nobody is left who would have to learn of it.
    pub fn node_stops(&self) -> bool {
        self.node_stops.load(Ordering::Relaxed)
    }

    /// Writes a line to the container's standard output.
    pub fn say(&self, line: &str) {
        self.log.write(Stream::Stdout, format!("{line}\n").as_bytes());
    }

    /// Listens on a TCP port of the Pod, so that guests and Services find it.
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        let bind = |at: SocketAddr| {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(at)?;
            socket.listen(1024)
        };
        self.bind(Proto::Tcp, port, bind, TcpListener::local_addr)
    }

    /// Binds a UDP port of the Pod, so that guests and Services find it.
    pub fn bind_udp(&self, port: u16) -> io::Result<UdpSocket> {
        let bind = |at: SocketAddr| {
            let socket = std::net::UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        self.bind(Proto::Udp, port, bind, UdpSocket::local_addr)
    }

    /// Takes its ports out of the table: nobody new comes, who is served stays so.
    pub fn close(&self) {
        self.guards.lock().iter().for_each(Guard::closing);
    }

    fn bind<S>(&self, proto: Proto, port: u16, bind: impl Fn(SocketAddr) -> io::Result<S>, local: impl Fn(&S) -> io::Result<SocketAddr>) -> io::Result<S> {
        let claimed = self.net.listeners.claim(proto, self.ip, Scope::Wildcard, port, ListenerKind::Process, &self.owner);
        let guard = claimed.map_err(|taken| io::Error::new(io::ErrorKind::AddrInUse, taken))?;
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for at in candidates(&self.net, self.net.pod_net.kernel_ip(self.ip), port) {
            match bind(at) {
                Ok(socket) => {
                    guard.bound(local(&socket)?);
                    guard.listening();
                    self.guards.lock().push(guard);
                    return Ok(socket);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// The native image that a reference names; a digest names bytes, and there are none.
pub(crate) fn find<'i>(images: &'i [Arc<dyn NativeImage>], reference: &str) -> Option<&'i Arc<dyn NativeImage>> {
    if images.is_empty() {
        return None;
    }
    let reference = Reference::parse(reference).ok().filter(|r| r.digest().is_none())?;
    let name = format!("{}/{}", reference.registry(), reference.repository());
    images.iter().find(|image| image.name() == name)
}

/// `native://coredns@0.1.0`
pub(crate) fn image_id(image: &dyn NativeImage) -> String {
    let name = image.name();
    format!("native://{}@{}", name.rsplit('/').next().unwrap_or(name), image.version())
}

/// A container that runs; it ends with the last clone.
#[derive(Clone)]
pub(crate) struct NativeRun {
    stop: CancellationToken,
    kill: CancellationToken,
    node_stops: Arc<AtomicBool>,
    ended: watch::Receiver<Option<(i32, Option<String>)>>,
    _owned: Arc<DropGuard>,
}

impl NativeRun {
    /// Starts, and waits until it listens.
    ///
    /// `service_account`: the folder of the volume with the ServiceAccount's token.
    pub(crate) async fn start(
        image: &dyn NativeImage,
        (ip, service_account): (Ipv4Addr, Option<PathBuf>),
        net: Arc<ClusterNet>,
        log: Arc<Log>,
        owner: String,
    ) -> Result<Self, String> {
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let node_stops = Arc::new(AtomicBool::new(false));
        let container = NativeContainer { ip, service_account, net, log, owner, stop: stop.clone(), node_stops: node_stops.clone(), guards: Mutex::default() };
        let work = image.start(container).await?;
        let (sender, ended) = watch::channel(None);
        let killed = kill.clone();
        tokio::spawn(async move {
            let end = tokio::select! {
                biased;
                () = killed.cancelled() => (137, None),
                result = work => match result {
                    Ok(()) => (0, None),
                    Err(words) => (1, Some(words)),
                },
            };
            sender.send_replace(Some(end));
        });
        let _owned = Arc::new(kill.clone().drop_guard());
        Ok(Self { stop, kill, node_stops, ended, _owned })
    }

    /// Exit code and last words, once it has ended.
    pub(crate) async fn wait(&self) -> (i32, Option<String>) {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            // Its task is gone without a word: it panicked.
            Err(_) => (134, Some("the container's code panicked".to_owned())),
        }
    }

    /// Asks it to end, and ends it after the grace period.
    pub(crate) async fn stop(self, grace: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(grace, self.wait()).await.is_err() {
            self.kill();
        }
    }

    /// Ends it with the node.
    pub(crate) async fn shutdown(self, grace: Duration) {
        self.node_stops.store(true, Ordering::Relaxed);
        self.stop(grace).await;
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::logs::{Logs, run_path};
    use crate::network::tests::cluster;

    /// Greets on TCP port 7 until it is told to stop; with `stubborn` it then stays.
    struct Greeter {
        stubborn: bool,
    }

    impl NativeImage for Greeter {
        fn name(&self) -> &str {
            "wharf.local/greeter"
        }
        fn version(&self) -> &str {
            "1.2"
        }
        fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>> {
            let stubborn = self.stubborn;
            Box::pin(async move {
                let listener = container.listen(7).map_err(|e| e.to_string())?;
                let _udp = container.bind_udp(7).map_err(|e| e.to_string())?;
                container.say("listening");
                let work: NativeWork = Box::pin(async move {
                    let stop = container.stopping();
                    while let Some(Ok((mut stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                        let _ = stream.write_all(b"hello").await;
                    }
                    container.say("bye");
                    if stubborn { std::future::pending().await } else { Ok(()) }
                });
                Ok(work)
            })
        }
    }

    #[test]
    fn every_tag_names_it_and_no_digest() {
        let images: Vec<Arc<dyn NativeImage>> = vec![Arc::new(Greeter { stubborn: false })];
        for (reference, found) in [
            ("wharf.local/greeter", true),
            ("wharf.local/greeter:9", true),
            ("greeter", false),
            ("example.com/greeter:1", false),
            ("wharf.local/greeter@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false),
            ("not a reference", false),
        ] {
            assert_eq!(find(&images, reference).is_some(), found, "{reference}");
        }
        assert_eq!(image_id(images[0].as_ref()), "native://greeter@1.2");
    }

    #[tokio::test]
    async fn listens_speaks_and_ends() {
        let (net, dir) = (cluster(), tempfile::tempdir().unwrap());
        let logs = Logs::new(dir.path().into());
        let (pod, ip) = (logs.pod_dir("kube-system", "p", "u"), Ipv4Addr::new(10, 244, 201, 5));
        let start = |stubborn, run| {
            let (net, log) = (net.clone(), logs.begin(&pod, "c", run));
            async move { NativeRun::start(&Greeter { stubborn }, (ip, None), net, log, "container \"c\"".into()).await }
        };
        let run = start(false, 0).await.unwrap();
        let at = std::net::SocketAddrV4::new(ip, 7);
        let kernel = net.listeners.get(Proto::Tcp, at).unwrap().kernel;
        assert!(net.listeners.get(Proto::Udp, at).is_some());
        let mut text = String::new();
        tokio::net::TcpStream::connect(kernel).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        assert_eq!(start(false, 1).await.err().as_deref(), Some("port 7/TCP of 10.244.201.5 is already in use by container \"c\""));

        run.clone().stop(Duration::from_secs(5)).await;
        assert_eq!(run.wait().await, (0, None));
        assert!(net.listeners.is_empty());
        let log = std::fs::read_to_string(run_path(&pod, "c", 0)).unwrap();
        assert!(log.contains("F listening\n") && log.contains("F bye\n"), "{log}");

        let run = start(true, 1).await.unwrap();
        run.clone().stop(Duration::from_millis(50)).await;
        assert_eq!(run.wait().await, (137, None));

        let dropped = start(false, 1).await.unwrap();
        let ended = dropped.ended.clone();
        drop(dropped);
        let mut ended = ended;
        assert_eq!(ended.wait_for(Option::is_some).await.unwrap().clone(), Some((137, None)), "it ends with its owner");
    }
}
