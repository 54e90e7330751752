//! A `wasi:http` 0.3 handler for the engine's tests: the path says what it does.

use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Guest);

struct Guest;

impl wasip3::exports::http::handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/" => Ok(reply(200, "Hello, WASI!".into())),
            "/authority" => Ok(reply(200, request.get_authority().unwrap_or_default())),
            "/env" => Ok(reply(200, std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect())),
            "/file" => Ok(match std::fs::read_to_string(query) {
                Ok(text) => reply(200, text),
                Err(e) => reply(404, e.to_string()),
            }),
            "/echo" => {
                let (_, done) = wit_future::new(|| Ok(()));
                let (body, trailers) = Request::consume_body(request, done);
                let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
                Ok(response)
            }
            "/spin" => loop {
                std::hint::black_box(0);
            },
            "/eat" => {
                let mut held = Vec::new();
                loop {
                    held.push(vec![1u8; 1 << 20]);
                }
            }
            "/trap" => panic!("asked to"),
            "/error" => Err(ErrorCode::InternalError(Some("asked to".into()))),
            "/fetch" => fetch(query).await,
            _ => Ok(reply(404, "no such path".into())),
        }
    }
}

fn reply(status: u16, text: String) -> Response {
    let (mut to, body) = wit_stream::new();
    let (trailers_tx, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
    response.set_status_code(status).unwrap();
    drop(trailers_tx);
    wit_bindgen::spawn_local(async move {
        to.write_all(text.into_bytes()).await;
    });
    response
}

async fn fetch(url: &str) -> Result<Response, ErrorCode> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(if scheme == "https" { &Scheme::Https } else { &Scheme::Http })).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    let answer = match client::send(request).await {
        Ok(r) => r,
        Err(e) => return Ok(reply(502, format!("{e:?}"))),
    };
    let status = answer.get_status_code();
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, _) = Response::consume_body(answer, done);
    let all = body.collect().await;
    Ok(reply(status, format!("fetched: {}", String::from_utf8_lossy(&all))))
}
