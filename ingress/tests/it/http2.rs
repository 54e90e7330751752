//! HTTP/2 in the clear: from clients that begin with it, to endpoints that speak gRPC.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use wharf_ingress::Body;

use crate::bed::{Bed, body, rule};

async fn client(to: SocketAddr) -> SendRequest<Body> {
    let stream = TcpStream::connect(to).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_client_may_begin_with_it() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let mut client = client(bed.http).await;
    let requests = (0..8).map(|_| client.send_request(Request::get("http://a.test/").body(body("")).unwrap())).collect::<Vec<_>>();
    for response in futures::future::join_all(requests).await {
        let response = response.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "pod2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_it() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let url = format!("http://{}/", bed.http);
    let told = tokio::task::spawn_blocking(move || {
        Command::new("curl").args(["-sS", "--http2-prior-knowledge", "-w", " %{http_version}", "-H", "Host: a.test", &url]).output()
    });
    let Ok(output) = told.await.unwrap() else {
        eprintln!("skipped: there is no curl");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(2) || String::from_utf8_lossy(&output.stderr).contains("does not support") {
        eprintln!("skipped: this curl has no HTTP/2");
        return;
    }
    assert_eq!(told, "pod2 2");
}

/// An endpoint that speaks nothing but HTTP/2, and ends with trailers.
async fn grpc(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| async move {
            let head = format!("{} {} te={:?}", request.uri(), request.method(), request.headers().get("te"));
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from(head))), Ok(Frame::data(sent)), Ok(Frame::trailers(trailers))];
            let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            Ok::<_, Infallible>(response)
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let bed = Bed::new().await;
    let pod = bed.pod_of(2, grpc).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("grpc.test", "web", &[("backend-protocol", "GRPC")]));
    let mut client = client(bed.http).await;
    for _ in 0..3 {
        let request = Request::post("http://grpc.test/pkg.Service/Call").header("te", "trailers").header("content-type", "application/grpc");
        let response = client.send_request(request.body(body("hello")).unwrap()).await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &"application/grpc".parse().unwrap()));
        let whole = response.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
        let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
        assert_eq!(text, r#"http://grpc.test/pkg.Service/Call POST te=Some("trailers")hello"#);
    }
}
