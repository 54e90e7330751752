//! gRPC probes: one call of `grpc.health.v1.Health/Check`, written and read by hand, being two fields.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Answer;

/// The longest answer.
const MAX_ANSWER: usize = 64 << 10;
/// gRPC's code for a method that is not there.
const UNIMPLEMENTED: &str = "12";
/// `ServingStatus` of the protocol, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Asks a service (empty: the server as a whole) how it is.
pub(super) async fn check(stream: TcpStream, at: SocketAddr, service: &str) -> Answer {
    let failed = |words: &dyn std::fmt::Display| Answer::Failure(format!("error: health rpc probe failed: {words}"));
    let request = Request::post(format!("http://{at}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "kube-probe/1.37")
        .body(Full::new(message(service)));
    let request = match request {
        Ok(request) => request,
        Err(e) => return Answer::Unknown(e.to_string()),
    };
    let (mut sender, connection) = match http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await {
        Ok(connected) => connected,
        Err(e) => return failed(&e),
    };
    let answered = async {
        let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| failed(&e))?;
        // An error may come without a body: then it stands in the head.
        let trailers = body.trailers().unwrap_or(&head.headers).clone();
        Ok(verdict(&trailers, &body.to_bytes()))
    };
    let mut answered = std::pin::pin!(answered);
    let answer: Result<Answer, Answer> = tokio::select! {
        biased;
        answer = answered.as_mut() => answer,
        // The answer may have come with the end.
        _ = connection => answered.await,
    };
    answer.unwrap_or_else(|answer| answer)
}

/// `HealthCheckRequest` as a message of gRPC: not compressed, its length, and field 1.
fn message(service: &str) -> Bytes {
    let mut fields = vec![];
    if !service.is_empty() {
        fields.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            fields.push(length as u8 | 0x80);
            length >>= 7;
        }
        fields.push(length as u8);
        fields.extend_from_slice(service.as_bytes());
    }
    let mut out = vec![0];
    out.extend_from_slice(&(fields.len() as u32).to_be_bytes());
    out.extend(fields);
    out.into()
}

/// What the answer means.
fn verdict(trailers: &HeaderMap, body: &[u8]) -> Answer {
    let text = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => {}
        UNIMPLEMENTED => {
            let words = text("grpc-message");
            return Answer::Failure(format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {words}"));
        }
        code => return Answer::Failure(format!("error: health rpc probe failed: rpc error: code = {code} desc = {}", text("grpc-message"))),
    }
    // Field 1, a number; left out when it is 0.
    let status = match body.get(5..) {
        Some([0x08, status, ..]) => usize::from(*status),
        Some([]) => 0,
        _ => return Answer::Failure("error: health rpc probe failed: the answer is no HealthCheckResponse".to_owned()),
    };
    match STATUSES.get(status) {
        Some(&"SERVING") => Answer::Success,
        Some(status) => Answer::Failure(format!("service unhealthy (responded with {status:?})")),
        None => Answer::Failure(format!("service unhealthy (responded with \"{status}\")")),
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::{Frame, Incoming};
    use hyper::service::service_fn;

    use super::*;

    /// A server that answers by the service's name: `good`, `bad`, everything else it does not know.
    async fn serve(listener: tokio::net::TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = async |request: Request<Incoming>| {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                let asked = request.into_body().collect().await?.to_bytes();
                let (code, body): (&str, &[u8]) = match asked.get(7..) {
                    Some(b"good") => ("0", &[0, 0, 0, 0, 2, 8, 1]),
                    Some(b"bad") => ("0", &[0, 0, 0, 0, 2, 8, 2]),
                    None => ("12", &[]),
                    _ => ("5", &[]),
                };
                let trailers =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap()), ("grpc-message".parse().unwrap(), "so".parse().unwrap())]);
                let frames = [Ok::<_, hyper::Error>(Frame::data(Bytes::copy_from_slice(body))), Ok(Frame::trailers(trailers))];
                Ok::<_, hyper::Error>(Response::new(StreamBody::new(futures::stream::iter(frames))))
            };
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service_fn(answer)).await });
        }
    }

    #[tokio::test]
    async fn services_say_how_they_are() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        for (service, want) in [
            ("good", Answer::Success),
            ("bad", Answer::Failure("service unhealthy (responded with \"NOT_SERVING\")".into())),
            ("other", Answer::Failure("error: health rpc probe failed: rpc error: code = 5 desc = so".into())),
            ("", Answer::Failure("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): so".into())),
        ] {
            let stream = TcpStream::connect(at).await.unwrap();
            assert_eq!(check(stream, at, service).await, want, "{service}");
        }
    }

    #[test]
    fn a_long_name_has_a_long_length() {
        let message = message(&"x".repeat(300));
        assert_eq!((&message[..8], message.len()), (&[0, 0, 0, 1, 47, 0x0a, 0xac, 0x02][..], 308));
    }
}
