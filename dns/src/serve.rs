//! DNS over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_server::Server;
use hickory_server::net::NetError;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::Dns;
use crate::reply::Reply;

/// A TCP connection without questions is closed after this time.
const IDLE: Duration = Duration::from_secs(10);
/// Answers waiting for one TCP connection.
const WAITING: usize = 32;
/// What may safely go into one datagram, however much a client says it takes.
const LARGEST: u16 = 1232;
const SMALLEST: u16 = 512;

/// A question that was answered: for logs and counters.
#[derive(Debug)]
pub struct Served<'a> {
    /// Who asked, as the kernel says.
    pub client: SocketAddr,
    /// Over `udp` or `tcp`.
    pub protocol: &'static str,
    /// Name and type, where the question could be read.
    pub question: Option<(&'a Name, RecordType)>,
    /// The answer's code.
    pub code: ResponseCode,
    /// Why there is no answer, where the code is SERVFAIL.
    pub error: Option<&'a str>,
    /// How long it took.
    pub took: Duration,
}

/// Is told of every question.
pub type Observer = Arc<dyn Fn(&Served<'_>) + Send + Sync>;

impl Dns {
    /// Serves both sockets (of one address) until the token is cancelled; `observer` is told of every question.
    pub async fn serve(self: Arc<Self>, udp: UdpSocket, tcp: TcpListener, observer: Observer, token: CancellationToken) -> Result<(), NetError> {
        let mut server = Server::new(Handler { dns: self, observer });
        server.register_socket(udp);
        server.register_listener(tcp, IDLE, WAITING);
        tokio::select! {
            ended = server.block_until_done() => return ended,
            () = token.cancelled() => {}
        }
        server.shutdown_gracefully().await
    }
}

struct Handler {
    dns: Arc<Dns>,
    observer: Observer,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response_handle: R) -> ResponseInfo {
        let began = Instant::now();
        let reply = self.answer(request).await;
        let info = request.request_info().ok();
        let question = info.as_ref().map(|info| info.query.original()).map(|query| (query.name(), query.query_type()));
        let protocol = if request.protocol() == Protocol::Udp { "udp" } else { "tcp" };
        let error = reply.error.as_deref();
        (self.observer)(&Served { client: request.src(), protocol, question, code: reply.code, error, took: began.elapsed() });
        let mut metadata = Metadata::response_from_request(&request.metadata);
        (metadata.response_code, metadata.authoritative, metadata.recursion_available) = (reply.code, reply.authoritative, true);
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(SMALLEST, LARGEST)).set_version(0);
            edns.set_rcode_high(reply.code.high());
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let response = builder.build(metadata, &reply.answers, &reply.authorities, [], &reply.additionals);
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(client = %request.src(), %error, "sending an answer");
                Header { metadata, counts: HeaderCounts::default() }.into()
            }
        }
    }
}

impl Handler {
    async fn answer(&self, request: &Request) -> Reply {
        let refusal = |code| Reply { code, ..Reply::default() };
        if request.metadata.op_code != OpCode::Query {
            return refusal(ResponseCode::NotImp);
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return refusal(ResponseCode::BADVERS);
        }
        let Ok(info) = request.request_info() else { return refusal(ResponseCode::FormErr) };
        let query = info.query.original();
        match (query.query_class(), query.query_type()) {
            (DNSClass::IN, RecordType::ANY | RecordType::AXFR | RecordType::IXFR) => refusal(ResponseCode::NotImp),
            (DNSClass::IN, kind) => self.dns.reply(query.name(), kind).await,
            _ => refusal(ResponseCode::Refused),
        }
    }
}
