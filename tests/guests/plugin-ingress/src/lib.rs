//! A middleware that does what the request's header `x-do` says.

use wharf_plugin::ingress::{Answer, Changes, Decision, Middleware, Request, Response};
use wharf_plugin::{config, ingress};

struct Obedient;

impl Middleware for Obedient {
    fn on_request(request: &Request) -> Decision {
        match request.header("x-do").unwrap_or_default() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "trap" => panic!("as told"),
            "answer" => Answer::new(418).header("x-own", "1").text(format!("{} {}{}\n", request.method, request.authority, request.path_with_query)).into(),
            "nonsense" => Changes::new().set("content-length", "7").into(),
            "see" => Decision::from(Changes::new().set("x-seen", request.client.as_str())).and_then(request.ingress.as_str()),
            "see-trap" => Decision::proceed().and_then("trap"),
            _ => Changes::new().remove("x-secret").set("x-told", config::get("told").unwrap_or_default()).into(),
        }
    }

    fn on_response(context: Vec<u8>, response: &Response) -> Changes {
        assert_ne!(context, b"trap", "as told");
        Changes::new().remove("x-public").set("x-context", context).set("x-status", response.status.to_string())
    }
}

ingress!(Obedient);
