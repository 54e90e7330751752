use crate::cluster::{Cluster, Pod};
use crate::support::*;
use std::sync::Arc;
use wharf_engine::*;

/// Which guest: its file and entry.
type Which = (&'static str, Entry);
const P2: Which = ("probe", Entry::CliP2);
const P3: Which = ("probe-p3", Entry::CliP3);

fn run((guest, entry): Which, pod: &Arc<Pod>, args: &[&str]) -> (Command, Arc<Log>) {
    let mut s = setup(entry, &[&["probe"], args].concat());
    s.spec.network = pod.clone();
    (start(&program(guest), s.spec), s.log)
}

/// A server that listens.
async fn serving(which: Which, pod: &Arc<Pod>, address: &str, name: &str) -> (Command, Arc<Log>) {
    let (c, log) = run(which, pod, &["serve", address, name]);
    log.wait_for("listening").await;
    (c, log)
}

async fn dialed(which: Which, pod: &Arc<Pod>, to: &[&str]) -> Vec<String> {
    let (c, log) = run(which, pod, &[&["dial"], to].concat());
    assert_eq!(c.wait().await.code, 0, "{}", log.text());
    let lines: Vec<String> = log.text().lines().map(String::from).collect();
    lines.into_iter().map(|l| l.split_once(" -> ").unwrap().1.to_string()).collect()
}

async fn two_pods(which: Which, net: u8, refused: &str) {
    let cluster = Arc::new(Cluster::default());
    let (ip_a, ip_b) = (format!("10.244.{net}.5"), format!("10.244.{net}.6"));
    let (a, b) = (cluster.pod(&ip_a), cluster.pod(&ip_b));
    let at = |ip: &str, port: u16| format!("{ip}:{port}");
    // The host listens on all its addresses where no Pod does, and where one wants to.
    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let host_port = host.local_addr().unwrap().port();
    let mut running = Vec::new();
    for (pod, address, name) in [(&a, "0.0.0.0:8080", "A-any"), (&a, "127.0.0.1:9090", "A-own"), (&b, "0.0.0.0:8080", "B-any"), (&b, "127.0.0.1:9090", "B-own")]
    {
        running.push(serving(which, pod, address, name).await);
    }
    assert_eq!(running[0].1.text(), "listening 0.0.0.0:8080\n");
    assert_eq!(
        dialed(which, &a, &[&at(&ip_b, 8080), "127.0.0.1:8080", "127.0.0.1:9090"]).await,
        [
            format!("B-any local={ip_b}:8080 peer={ip_a} remote={ip_b}:8080"),
            "A-any local=127.0.0.1:8080 peer=127.0.0.1 remote=127.0.0.1:8080".into(),
            "A-own local=127.0.0.1:9090 peer=127.0.0.1 remote=127.0.0.1:9090".into(),
        ]
    );
    assert_eq!(dialed(which, &b, &["127.0.0.1:9090"]).await, ["B-own local=127.0.0.1:9090 peer=127.0.0.1 remote=127.0.0.1:9090"]);
    // Another Pod's localhost, the kernel's names of Pods (they are localhost's), and what only the host has: never B, never the host.
    let nobody = [at(&ip_b, 9090), format!("127.245.{net}.6:9090"), format!("127.244.{net}.6:8080"), at(&ip_b, host_port), at("127.0.0.1", host_port)];
    let said = dialed(which, &a, &nobody.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(said[0], refused);
    assert!(said.iter().all(|s| s == refused || s.starts_with("A-")), "{said:?}");
    assert_eq!(said[3..], [refused, refused]);
    // A port that the host holds is the Pod's all the same.
    running.push(serving(which, &b, &at("0.0.0.0", host_port), "B-host").await);
    assert_eq!(dialed(which, &a, &[&at(&ip_b, host_port)]).await, [format!("B-host local={ip_b}:{host_port} peer={ip_a} remote={ip_b}:{host_port}")]);
    // A Service, by address and by name: balanced, and seen as itself.
    cluster.services.lock().unwrap().insert("10.96.0.20:80".parse().unwrap(), vec![at(&ip_a, 8080).parse().unwrap(), at(&ip_b, 8080).parse().unwrap()]);
    let mut said = dialed(which, &a, &["10.96.0.20:80", "web:80", "nosuch:80"]).await;
    assert_eq!(said.pop().unwrap(), "no such name");
    said.sort();
    assert_eq!(
        said,
        [format!("A-any local={ip_a}:8080 peer={ip_a} remote=10.96.0.20:80"), format!("B-any local={ip_b}:8080 peer={ip_a} remote=10.96.0.20:80")]
    );
    // A port taken in the Pod, and an address that is not the Pod's.
    for address in ["0.0.0.0:8080".to_string(), at(&ip_a, 8080)] {
        let (c, log) = run(which, &b, &["serve", &address, "x"]);
        c.wait().await;
        assert!(log.text().contains("bind"), "{address}: {}", log.text());
    }
    // An end gives the port back.
    let (c, _) = running.remove(2);
    c.kill();
    c.wait().await;
    assert_eq!(dialed(which, &a, &[&at(&ip_b, 8080)]).await, [refused]);
    running.push(serving(which, &b, "0.0.0.0:8080", "B-again").await);
    assert!(dialed(which, &a, &[&at(&ip_b, 8080)]).await[0].starts_with("B-again"));
    // A listener that must not hear a peer does not.
    *cluster.shunned.lock().unwrap() = Some(ip_a.parse().unwrap());
    let said = dialed(which, &a, &[&at(&ip_b, 8080)]).await;
    assert!(!said[0].contains("B-again"), "{said:?}");
}

#[tokio::test]
async fn two_pods_on_the_same_ports() {
    two_pods(P2, 71, "ConnectionRefused").await;
}

#[tokio::test]
async fn two_pods_on_the_same_ports_in_wasi_0_3() {
    two_pods(P3, 72, "ErrorCode::ConnectionRefused").await;
}

#[tokio::test]
async fn ipv6_sockets_are_translated() {
    let cluster = Arc::new(Cluster::default());
    let a = cluster.pod("10.244.73.5");
    let _server = serving(P2, &a, "[::]:8080", "A6").await;
    let said = dialed(P2, &a, &["[::1]:8080", "127.0.0.1:8080", "[::ffff:10.244.73.5]:8080", "[2001:db8::1]:80"]).await;
    assert_eq!(said[0], "A6 local=[::1]:8080 peer=::1 remote=[::1]:8080");
    assert_eq!(said[1], "A6 local=[::1]:8080 peer=::1 remote=127.0.0.1:8080");
    assert!(said[2].starts_with("A6"), "{said:?}");
    assert_eq!(said[3], "HostUnreachable");
}

#[tokio::test]
async fn datagrams_between_pods() {
    let cluster = Arc::new(Cluster::default());
    let (a, b) = (cluster.pod("10.244.74.5"), cluster.pod("10.244.74.6"));
    let (_server, log) = run(P2, &b, &["udp-serve", "0.0.0.0:5353"]);
    log.wait_for("bound 0.0.0.0:5353").await;
    cluster.services.lock().unwrap().insert("10.96.0.30:53".parse().unwrap(), vec!["10.244.74.6:5353".parse().unwrap()]);
    for how in ["connected", "free"] {
        for to in ["10.244.74.6:5353", "10.96.0.30:53"] {
            let (c, log) = run(P2, &a, &["udp-ask", how, to]);
            c.wait().await;
            assert_eq!(log.text(), format!("hi from 10.244.74.5 by {to}\n"), "{how}");
        }
        let (c, log) = run(P2, &a, &["udp-ask", how, "10.244.74.6:5354"]);
        c.wait().await;
        assert!(log.text().ends_with(": ConnectionRefused\n"), "{how}: {}", log.text());
    }
}
