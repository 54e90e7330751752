//! The image `wharf.local/coredns`: the process' resolver, served on a Pod's address.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wharf_dns::{Dns, Observer, RecordType, ResponseCode, Served};
use wharf_node::{NativeContainer, NativeImage, NativeWork};

/// Its name.
pub(crate) const IMAGE: &str = "wharf.local/coredns";

const DNS: u16 = 53;
const METRICS: u16 = 9153;
/// For so long a container that is told to stop goes on answering, so that everybody learns that it is going.
const LAME: Duration = Duration::from_secs(2);
/// For so long it answers what was sent before it was taken out of the table.
const LAST: Duration = Duration::from_millis(50);

/// Cluster DNS as an image.
pub(crate) struct CoreDns {
    dns: Arc<Dns>,
}

impl CoreDns {
    /// Containers of it answer from this resolver.
    pub(crate) fn new(dns: Arc<Dns>) -> CoreDns {
        CoreDns { dns }
    }
}

impl NativeImage for CoreDns {
    fn name(&self) -> &str {
        IMAGE
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn start(&self, container: NativeContainer) -> BoxFuture<'static, Result<NativeWork, String>> {
        Box::pin(start(self.dns.clone(), container))
    }
}

async fn start(dns: Arc<Dns>, container: NativeContainer) -> Result<NativeWork, String> {
    let failed = |port: u16| move |error: std::io::Error| format!("listen on port {port}: {error}");
    let udp = container.bind_udp(DNS).map_err(failed(DNS))?;
    let tcp = container.listen(DNS).map_err(failed(DNS))?;
    let metrics = container.listen(METRICS).map_err(failed(METRICS))?;
    // It answers before it counts as ready.
    dns.synced().await;
    container.say(&format!(".:{DNS}"));
    container.say(&format!("Wharf-DNS-{}", env!("CARGO_PKG_VERSION")));
    container.say(&format!("{}/{}, {}", std::env::consts::OS, std::env::consts::ARCH, scope(&dns.domain(), dns.upstream())));

    let (container, counters) = (Arc::new(container), Arc::new(Counters::default()));
    let observer: Observer = {
        let (container, counters) = (container.clone(), counters.clone());
        Arc::new(move |served| {
            counters.count(served);
            if let Some(line) = error_line(served) {
                container.say(&line);
            }
        })
    };
    Ok(Box::pin(async move {
        let (stop, end) = (container.stopping(), CancellationToken::new());
        let texts = Router::new().route("/metrics", get(move || std::future::ready(counters.text())));
        let mut metrics = std::pin::pin!(std::future::IntoFuture::into_future(axum::serve(metrics, texts)));
        let mut server = std::pin::pin!(dns.serve(udp, tcp, observer, end.clone()));
        let lame = async {
            stop.cancelled().await;
            if container.node_stops() {
                return;
            }
            container.say(&format!("[INFO] SIGTERM: answering for {} more seconds, then ending", LAME.as_secs()));
            tokio::time::sleep(LAME).await;
            container.close();
            tokio::time::sleep(LAST).await;
        };
        let ended = tokio::select! {
            ended = &mut server => Some(ended.map_err(|error| error.to_string()).and(Err("the DNS server ended".to_owned()))),
            ended = &mut metrics => Some(ended.map_err(|error| format!("metrics: {error}"))),
            () = lame => None,
        };
        if let Some(ended) = ended {
            return ended;
        }
        end.cancel();
        server.await.map_err(|error| error.to_string())
    }))
}

/// What it answers, in words.
fn scope(domain: &str, upstream: &[SocketAddr]) -> String {
    if upstream.is_empty() {
        return format!("{domain}; no resolver for other names");
    }
    let servers: Vec<String> = upstream.iter().map(ToString::to_string).collect();
    format!("{domain}; other names from {}", servers.join(" "))
}

/// What went wrong with a question.
fn error_line(served: &Served<'_>) -> Option<String> {
    let (error, (name, kind)) = (served.error?, served.question?);
    Some(format!("[ERROR] {name} {kind}: {error}"))
}

/// How often what was asked and answered.
#[derive(Default)]
struct Counters {
    all: Mutex<(BTreeMap<Key, u64>, BTreeMap<Key, u64>)>,
}

/// Protocol, and type or code.
type Key = (&'static str, &'static str);

impl Counters {
    fn count(&self, served: &Served<'_>) {
        let (requests, responses) = &mut *self.all.lock();
        *requests.entry((served.protocol, type_label(served.question.map(|(_, kind)| kind)))).or_default() += 1;
        *responses.entry((served.protocol, code_label(served.code))).or_default() += 1;
    }

    /// In Prometheus' text format.
    fn text(&self) -> String {
        let (requests, responses) = &*self.all.lock();
        let mut text = "# HELP coredns_build_info A metric with a constant '1' value labeled by version.\n# TYPE coredns_build_info gauge\n".to_owned();
        let _ = writeln!(text, "coredns_build_info{{version=\"wharf-{}\"}} 1", env!("CARGO_PKG_VERSION"));
        text += "# HELP coredns_dns_requests_total Counter of DNS requests made per protocol and type.\n# TYPE coredns_dns_requests_total counter\n";
        for ((protocol, kind), count) in requests {
            let _ = writeln!(text, "coredns_dns_requests_total{{family=\"1\",proto=\"{protocol}\",server=\"dns://:53\",type=\"{kind}\",zone=\".\"}} {count}");
        }
        text += "# HELP coredns_dns_responses_total Counter of response status codes.\n# TYPE coredns_dns_responses_total counter\n";
        for ((protocol, code), count) in responses {
            let _ = writeln!(text, "coredns_dns_responses_total{{proto=\"{protocol}\",rcode=\"{code}\",server=\"dns://:53\",zone=\".\"}} {count}");
        }
        text
    }
}

/// A bounded set, whatever is asked.
fn type_label(kind: Option<RecordType>) -> &'static str {
    match kind {
        Some(RecordType::A) => "A",
        Some(RecordType::AAAA) => "AAAA",
        Some(RecordType::CNAME) => "CNAME",
        Some(RecordType::MX) => "MX",
        Some(RecordType::NS) => "NS",
        Some(RecordType::PTR) => "PTR",
        Some(RecordType::SOA) => "SOA",
        Some(RecordType::SRV) => "SRV",
        Some(RecordType::TXT) => "TXT",
        _ => "other",
    }
}

fn code_label(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use wharf_dns::Name;

    use super::*;

    #[test]
    fn counts_and_tells_of_errors() {
        let name = Name::from_ascii("broken.test.").unwrap();
        let client = "127.0.0.1:1".parse().unwrap();
        let served = |protocol, kind, code, error| Served { client, protocol, question: Some((&name, kind)), code, error, took: Duration::ZERO };
        let counters = Counters::default();
        let failed = served("udp", RecordType::A, ResponseCode::ServFail, Some("asking 192.0.2.1:53: no answer"));
        assert_eq!(error_line(&failed).as_deref(), Some("[ERROR] broken.test. A: asking 192.0.2.1:53: no answer"));
        for one in [failed, served("udp", RecordType::A, ResponseCode::NoError, None), served("tcp", RecordType::NULL, ResponseCode::NoError, None)] {
            counters.count(&one);
        }
        let text = counters.text().replace(env!("CARGO_PKG_VERSION"), "VERSION");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        expect_test::expect![[r#"
            coredns_build_info{version="wharf-VERSION"} 1
            coredns_dns_requests_total{family="1",proto="tcp",server="dns://:53",type="other",zone="."} 1
            coredns_dns_requests_total{family="1",proto="udp",server="dns://:53",type="A",zone="."} 2
            coredns_dns_responses_total{proto="tcp",rcode="NOERROR",server="dns://:53",zone="."} 1
            coredns_dns_responses_total{proto="udp",rcode="NOERROR",server="dns://:53",zone="."} 1
            coredns_dns_responses_total{proto="udp",rcode="SERVFAIL",server="dns://:53",zone="."} 1
        "#]]
        .assert_eq(&(lines.join("\n") + "\n"));
    }

    #[test]
    fn says_whom_it_asks() {
        assert_eq!(scope("cluster.local", &[]), "cluster.local; no resolver for other names");
        assert_eq!(scope("cluster.local", &["192.0.2.1:53".parse().unwrap()]), "cluster.local; other names from 192.0.2.1:53");
    }
}
