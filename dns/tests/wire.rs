//! The server over real sockets: UDP, TCP, sizes, forwarding, and look-ups in process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};
use wharf_dns::{Dns, LookupError, Observer, Options, Records};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn service(yaml: &str) -> k8s_openapi::api::core::v1::Service {
    serde_yaml::from_str(yaml).unwrap()
}

/// kube-dns, `web`, an alias inside and one outside, and `many`: headless with 40 endpoints.
fn fill(records: &mut Records) {
    records.apply_namespace("default");
    records.apply_service(&service("{metadata: {namespace: kube-system, name: kube-dns}, spec: {clusterIP: 10.96.0.10}}"));
    records.apply_service(&service("{metadata: {namespace: default, name: web}, spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}}"));
    records.apply_service(&service("{metadata: {namespace: default, name: alias}, spec: {type: ExternalName, externalName: web.default.svc.cluster.local}}"));
    records.apply_service(&service("{metadata: {namespace: default, name: outside}, spec: {type: ExternalName, externalName: www.example.com}}"));
    records.apply_service(&service("{metadata: {namespace: default, name: loop}, spec: {type: ExternalName, externalName: loop.default.svc.cluster.local}}"));
    records.apply_service(&service("{metadata: {namespace: default, name: many}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}"));
    let endpoints: Vec<String> = (1..=40).map(|i| format!("{{addresses: [10.244.0.{i}]}}")).collect();
    let slice = format!(
        "{{addressType: IPv4, metadata: {{namespace: default, name: many-1, labels: {{kubernetes.io/service-name: many}}}}, ports: [{{name: http, port: 80}}], endpoints: [{}]}}",
        endpoints.join(", ")
    );
    records.apply_slice(&serde_yaml::from_str(&slice).unwrap());
}

struct Running {
    dns: Arc<Dns>,
    at: SocketAddr,
    /// What the observer was told.
    seen: Arc<Mutex<Vec<String>>>,
    _end: DropGuard,
}

async fn start(upstream: Vec<SocketAddr>) -> Running {
    let dns = Dns::new(Options { upstream: Some(upstream), ..Options::default() });
    dns.update(fill);
    dns.set_synced();
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let (at, token) = (udp.local_addr().unwrap(), CancellationToken::new());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    let observer: Observer = Arc::new(move |served| {
        let question = served.question.map_or_else(String::new, |(name, kind)| format!("{name} {kind}"));
        into.lock().push(format!("{} {question} {:?} {}", served.protocol, served.code, served.error.unwrap_or("-")));
    });
    tokio::spawn(dns.clone().serve(udp, tcp, observer, token.clone()));
    Running { dns, at, seen, _end: token.drop_guard() }
}

/// A resolver outside that knows `www.example.com`, says NXDOMAIN to others but `broken.test`, and counts the questions.
async fn outside() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (at, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            let query = question.queries[0].clone();
            match query.name.to_lowercase().to_ascii().as_str() {
                "www.example.com." if query.query_type == RecordType::A => {
                    answer.add_answer(Record::from_rdata(query.name.clone(), 300, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
                }
                "www.example.com." => {}
                "broken.test." => answer.metadata.response_code = ResponseCode::ServFail,
                _ => {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    let soa = SOA::new(name("ns.test."), name("root.test."), 1, 2, 3, 4, 60);
                    answer.add_authority(Record::from_rdata(name("test."), 60, RData::SOA(soa)));
                }
            }
            answer.add_query(query);
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    (at, asked)
}

fn question(asked: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name(asked), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload).set_version(0);
        question.set_edns(edns);
    }
    question
}

async fn udp(at: SocketAddr, question: &Message) -> (Message, usize) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(at).await.unwrap();
    socket.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 65_535];
    let length = tokio::time::timeout(Duration::from_secs(12), socket.recv(&mut buffer)).await.expect("an answer").unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    (answer, length)
}

async fn tcp(at: SocketAddr, question: &Message) -> Message {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let bytes = question.to_vec().unwrap();
    stream.write_all(&[&(bytes.len() as u16).to_be_bytes(), &bytes[..]].concat()).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await.unwrap();
    Message::from_vec(&buffer).unwrap()
}

fn text(message: &Message) -> String {
    let mut records: Vec<String> =
        message.answers.iter().map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)).collect();
    records.sort();
    format!("{:?} {}", message.metadata.response_code, records.join("; "))
}

#[tokio::test]
async fn names_of_the_cluster_over_udp_and_tcp() {
    let running = start(vec![]).await;
    let cases = [
        ("web.default.svc.cluster.local.", RecordType::A, "NoError web.default.svc.cluster.local. 30 A 10.96.0.20"),
        ("WEB.default.SVC.cluster.local.", RecordType::A, "NoError WEB.default.SVC.cluster.local. 30 A 10.96.0.20"),
        ("web.default.svc.cluster.local.", RecordType::AAAA, "NoError "),
        ("nope.default.svc.cluster.local.", RecordType::A, "NXDomain "),
        (
            "_http._tcp.web.default.svc.cluster.local.",
            RecordType::SRV,
            "NoError _http._tcp.web.default.svc.cluster.local. 30 SRV 0 100 80 web.default.svc.cluster.local.",
        ),
        ("20.0.96.10.in-addr.arpa.", RecordType::PTR, "NoError 20.0.96.10.in-addr.arpa. 30 PTR web.default.svc.cluster.local."),
        ("dns-version.cluster.local.", RecordType::TXT, "NoError dns-version.cluster.local. 30 TXT 1.1.0"),
        ("10-244-0-5.default.pod.cluster.local.", RecordType::A, "NoError 10-244-0-5.default.pod.cluster.local. 30 A 10.244.0.5"),
        (
            "alias.default.svc.cluster.local.",
            RecordType::A,
            "NoError alias.default.svc.cluster.local. 30 CNAME web.default.svc.cluster.local.; web.default.svc.cluster.local. 30 A 10.96.0.20",
        ),
        ("loop.default.svc.cluster.local.", RecordType::A, "ServFail "),
        ("www.example.com.", RecordType::A, "ServFail "),
    ];
    for (asked, kind, expected) in cases {
        let question = question(asked, kind, Some(1232));
        let (answer, _) = udp(running.at, &question).await;
        assert_eq!(text(&answer), expected, "{asked} {kind}");
        assert_eq!(text(&tcp(running.at, &question).await), expected, "{asked} {kind} over TCP");
        let negative = answer.answers.is_empty() && answer.metadata.response_code != ResponseCode::ServFail;
        assert_eq!(answer.authorities.iter().any(|record| record.record_type() == RecordType::SOA), negative, "{asked} {kind}");
        assert!(answer.metadata.recursion_available && answer.edns.is_some());
        assert_eq!(answer.metadata.authoritative, answer.metadata.response_code != ResponseCode::ServFail, "{asked}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_truncated() {
    let running = start(vec![]).await;
    let many = "many.default.svc.cluster.local.";
    let (answer, length) = udp(running.at, &question(many, RecordType::A, None)).await;
    assert!(answer.metadata.truncation && length <= 512, "{length}");
    let (answer, length) = udp(running.at, &question(many, RecordType::A, Some(1232))).await;
    assert!(!answer.metadata.truncation && answer.answers.len() == 40 && length > 512);
    // SRV with additional addresses: too much for a datagram, however large the client says it may be.
    let (answer, length) = udp(running.at, &question("_http._tcp.many.default.svc.cluster.local.", RecordType::SRV, Some(65_000))).await;
    assert!(answer.metadata.truncation && length <= 1232, "{length}");
    let answer = tcp(running.at, &question("_http._tcp.many.default.svc.cluster.local.", RecordType::SRV, None)).await;
    assert!(!answer.metadata.truncation && answer.answers.len() == 40 && answer.additionals.len() == 40);
}

#[tokio::test]
async fn headless_answers_take_turns() {
    let running = start(vec![]).await;
    let mut first = std::collections::HashSet::new();
    for _ in 0..10 {
        let (answer, _) = udp(running.at, &question("many.default.svc.cluster.local.", RecordType::A, Some(1232))).await;
        first.insert(answer.answers[0].data.to_string());
    }
    assert!(first.len() > 5, "{first:?}");
}

#[tokio::test]
async fn odd_questions_are_refused() {
    let running = start(vec![]).await;
    let mut update = question("web.default.svc.cluster.local.", RecordType::A, None);
    update.metadata.op_code = OpCode::Status;
    assert_eq!(udp(running.at, &update).await.0.metadata.response_code, ResponseCode::NotImp);
    let any = question("web.default.svc.cluster.local.", RecordType::ANY, None);
    assert_eq!(udp(running.at, &any).await.0.metadata.response_code, ResponseCode::NotImp);
    let mut chaos = question("version.bind.", RecordType::TXT, None);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(udp(running.at, &chaos).await.0.metadata.response_code, ResponseCode::Refused);
    // And after nonsense it still answers.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for nonsense in [&b""[..], b"x", &[0xff; 12], &[0; 600]] {
        socket.send_to(nonsense, running.at).await.unwrap();
    }
    assert_eq!(udp(running.at, &question("web.default.svc.cluster.local.", RecordType::A, None)).await.0.answers.len(), 1);
}

#[tokio::test]
async fn other_names_are_asked_outside_and_remembered() {
    let (upstream, asked) = outside().await;
    let running = start(vec![upstream]).await;
    for _ in 0..3 {
        let (answer, _) = udp(running.at, &question("www.example.com.", RecordType::A, None)).await;
        assert!(text(&answer).starts_with("NoError www.example.com. ") && !answer.metadata.authoritative);
        let (answer, _) = udp(running.at, &question("nope.example.com.", RecordType::A, None)).await;
        assert_eq!(text(&answer), "NXDomain ");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let (answer, _) = udp(running.at, &question("broken.test.", RecordType::A, None)).await;
    assert_eq!(text(&answer), "ServFail ");
    let seen = running.seen.lock().last().cloned().unwrap();
    assert!(seen.starts_with("udp broken.test. A ServFail asking 127.0.0.1:"), "{seen}");
    let (answer, _) = udp(running.at, &question("outside.default.svc.cluster.local.", RecordType::A, None)).await;
    assert!(text(&answer).contains("CNAME www.example.com.; www.example.com. ") && text(&answer).ends_with("A 192.0.2.1"), "{}", text(&answer));
}

#[tokio::test]
async fn a_dead_resolver_does_not_stop_the_next() {
    let dead = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (upstream, _) = outside().await;
    let running = start(vec![dead.local_addr().unwrap(), upstream]).await;
    assert_eq!(running.dns.resolve("www.example.com").await, Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]));
}

#[tokio::test]
async fn look_ups_follow_the_search_list() {
    let (upstream, asked) = outside().await;
    let running = start(vec![upstream]).await;
    let search = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"].map(str::to_owned);
    let web = Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 20))]);
    let look = async |name: &str, ndots| running.dns.lookup(name, &search, ndots).await;
    for found in ["web", "WEB", "web.default", "web.default.svc", "web.default.svc.cluster.local", "web.default.svc.cluster.local."] {
        assert_eq!(look(found, 5).await, web, "{found}");
    }
    assert_eq!(look("alias", 5).await, web);
    assert_eq!(look("web.", 5).await, Err(LookupError::NotFound), "as it is");
    assert_eq!(look("loop", 5).await, Err(LookupError::Failed));
    assert_eq!(look("nope", 5).await, Err(LookupError::NotFound));
    assert_eq!(look("", 5).await, Err(LookupError::NotFound));
    assert_eq!(look("10.244.0.9", 5).await, Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9))]));
    assert_eq!(look("localhost", 5).await, Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    assert_eq!(look("many", 5).await.unwrap().len(), 40);
    // The cluster's own names never leave the process.
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(look("www.example.com", 5).await, Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]));
    assert_eq!(asked.load(Ordering::SeqCst) - before, 1, "only the name itself is asked outside");
    assert_eq!(look("outside", 5).await, Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]));
    assert_eq!(look("broken.test", 1).await, Err(LookupError::Failed));
}

#[tokio::test]
async fn nothing_is_denied_before_all_is_known() {
    let dns = Dns::new(Options { upstream: Some(vec![]), ..Options::default() });
    let asking = tokio::spawn({
        let dns = dns.clone();
        async move { dns.resolve("web.default.svc.cluster.local").await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!asking.is_finished());
    dns.update(fill);
    dns.set_synced();
    assert_eq!(asking.await.unwrap(), Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 20))]));
    assert_eq!(dns.resolve("nope.default.svc.cluster.local").await, Err(LookupError::NotFound));
}
