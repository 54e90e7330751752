//! Exec, attach and port-forward through the real API server and the real kubelet API to streams of no Pod; each test runs both
//! in process and over mTLS.

mod fake;
mod kubectl;
mod port_forward;
mod websocket;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use wharf_net::{Mode, PodNet};
use wharf_server::pki::{Issued, Pki};
use wharf_server::{ApiServer, Identity, NodeDialer};
use wharf_store::RedbStore;

use super::dialer::{Kubelets, OverTls};
use fake::Fake;

/// No wait of these tests is meant to take so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the API server reaches the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    InProcess,
    Tls,
}

/// An API server with a node `n`, and on it a Pod `p` with the containers `main` and `other`. The user jane may get what is of Pods and nodes.
struct World {
    api: SocketAddr,
    pki: Pki,
    fake: Fake,
    _stop: DropGuard,
    dir: tempfile::TempDir,
}

/// Runs a test against both worlds.
async fn both_ways(test: impl AsyncFn(&World)) {
    let run = async |way| {
        let world = World::new(way).await;
        tokio::time::timeout(PATIENCE, test(&world)).await.unwrap_or_else(|_| panic!("{way:?}: not done in time"));
    };
    tokio::join!(run(Way::InProcess), run(Way::Tls));
}

impl World {
    async fn new(way: Way) -> World {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let pki = Pki::open(&dir.path().join("pki"), &["127.0.0.1".into()]).unwrap();
        let store = Arc::new(RedbStore::open(&dir.path().join("store.redb"), wharf_store::Options::default()).unwrap());
        let fake = Fake::default();
        let router = wharf_node::kubelet::streaming::router(Arc::new(fake.clone()));
        let node_ip = Ipv4Addr::new(10, 88, 0, 1);
        let net = PodNet::new(Mode::Loopback { unprivileged_from: 0 });
        let kubelet = TcpListener::bind((net.kernel_ip(node_ip), 0)).await.unwrap();
        let kubelet_port = kubelet.local_addr().unwrap().port();
        let dialer: Arc<dyn NodeDialer> = match way {
            Way::InProcess => {
                let kubelets = Kubelets::default();
                kubelets.add("n", router);
                Arc::new(kubelets)
            }
            Way::Tls => {
                let issued = pki.serving("system:node:n", &["system:nodes"], &[node_ip.to_string()]).unwrap();
                let tls = wharf_node::KubeletTls::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes(), pki.ca_certificate().as_bytes()).unwrap();
                tokio::spawn(wharf_node::serve_kubelet(kubelet, tls, router, stop.clone()));
                let identity = pki.client("kube-apiserver-kubelet-client", &[]).unwrap();
                Arc::new(OverTls::new(pki.client_tls(Some(&identity)).unwrap(), net))
            }
        };
        let server = ApiServer::new(wharf_server::Config::new(store, pki.clone(), dialer, "10.88.0.1:6443".parse().unwrap())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap();
        tokio::spawn({
            let (server, stop) = (server.clone(), stop.clone());
            async move { server.serve(listener, stop).await }
        });
        let admin = server.client(Identity::admin());
        create::<Node>(Api::all(admin.clone()), json!({"metadata": {"name": "n"}})).await;
        let status = json!({"metadata": {"name": "n"}, "status": {
            "addresses": [{"type": "InternalIP", "address": node_ip.to_string()}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
        }});
        let nodes: Api<Node> = Api::all(admin.clone());
        nodes.patch_status("n", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        create::<ServiceAccount>(Api::namespaced(admin.clone(), "default"), json!({"metadata": {"name": "default"}})).await;
        let containers = json!([{"name": "main", "image": "x"}, {"name": "other", "image": "x"}]);
        for (name, node) in [("p", Some("n")), ("unbound", None)] {
            let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": containers}});
            create::<Pod>(Api::namespaced(admin.clone(), "default"), pod).await;
        }
        let reader = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods/exec", "pods/portforward", "nodes/proxy"], "verbs": ["get"]}]});
        create::<ClusterRole>(Api::all(admin.clone()), reader).await;
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"});
        let jane = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]);
        let binding = json!({"metadata": {"name": "jane"}, "roleRef": role, "subjects": jane});
        create::<ClusterRoleBinding>(Api::all(admin.clone()), binding).await;
        let running = json!({"status": {"phase": "Running"}});
        let pods: Api<Pod> = Api::namespaced(admin, "default");
        pods.patch_status("p", &PatchParams::default(), &Patch::Merge(running)).await.unwrap();
        World { api, pki, fake, _stop: stop.drop_guard(), dir }
    }

    /// A connection to the API server as a user who may do all.
    async fn dial(&self) -> TlsStream<TcpStream> {
        self.dial_as(self.pki.admin()).await
    }

    async fn dial_as(&self, user: &Issued) -> TlsStream<TcpStream> {
        let tls = tokio_rustls::TlsConnector::from(Arc::new(self.pki.client_tls(Some(user)).unwrap()));
        let tcp = TcpStream::connect(self.api).await.unwrap();
        tls.connect(IpAddr::from(Ipv4Addr::LOCALHOST).into(), tcp).await.unwrap()
    }

    /// Waits until as many processes and connections are there.
    async fn running(&self, wanted: usize) {
        while self.fake.running.load(Ordering::SeqCst) != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn create<K>(api: Api<K>, object: serde_json::Value)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}
