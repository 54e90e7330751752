//! Answers every request with a greeting from its environment, the Pod that it runs in, and the path asked for.
//!
//! It is an ordinary `wasi:http` 0.2 component: nothing in it knows of Wharf or Kubernetes.

use std::io::Write;

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".into());
        let pod = std::fs::read_to_string("/etc/hostname").or_else(|_| std::env::var("HOSTNAME").map_err(std::io::Error::other));
        let pod = pod.as_deref().map_or("an unnamed place", str::trim);
        let path = request.path_with_query().unwrap_or_else(|| "/".into());
        println!("asked for {path}");
        answer(out, &format!("{greeting} from {pod}!\nYou asked for {path}\n"));
    }
}

fn answer(out: ResponseOutparam, text: &str) {
    let headers = Fields::new();
    let _ = headers.append("content-type", b"text/plain; charset=utf-8");
    let response = OutgoingResponse::new(headers);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    let Ok(mut stream) = body.write() else { return };
    // Whoever asked may have gone.
    let _ = stream.write_all(text.as_bytes());
    let _ = Write::flush(&mut stream);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
