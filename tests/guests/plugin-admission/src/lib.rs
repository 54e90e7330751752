//! A policy that does what the object's annotation `test/do` (or the value `do` of its configuration) says.

use serde_json::json;
use wharf_plugin::admission::{Policy, Request, Response};
use wharf_plugin::{admission, config, log};

struct Obedient;

impl Policy for Obedient {
    fn mutate(request: &Request) -> Response {
        obey(request, true)
    }
    fn validate(request: &Request) -> Response {
        obey(request, false)
    }
}

admission!(Obedient);

fn obey(request: &Request, mutate: bool) -> Response {
    let object = if request.object.is_some() { request.object_json() } else { request.old_object_json() };
    let wanted = object.pointer("/metadata/annotations/test~1do").and_then(|v| v.as_str()).map(str::to_owned);
    let wanted = wanted.or_else(|| config::get("do")).unwrap_or_default();
    let (word, rest) = wanted.split_once(' ').unwrap_or((&wanted, ""));
    match word {
        "loop" => loop {
            std::hint::black_box(());
        },
        "trap" => panic!("as told"),
        "allocate" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "deny" if !mutate => Response::deny(rest),
        "deny-silently" if !mutate => Response { allowed: false, ..Response::allow() },
        "deny-as-200" => Response::deny_as(200, "", rest),
        "warn" => Response::allow().warn(format!("{} {rest}", if mutate { "mutate" } else { "validate" })),
        "label" if mutate => Response::patch(json!([{"op": "add", "path": "/metadata/labels", "value": {"told": config::get("label").unwrap_or_default()}}])),
        "rename" if mutate => Response::patch(json!([{"op": "replace", "path": "/metadata/name", "value": "another"}])),
        "not-a-patch" if mutate => Response { patch: Some("{".into()), ..Response::allow() },
        "wrong-patch" if mutate => Response::patch(json!([{"op": "remove", "path": "/nowhere"}])),
        "wrong-type" if mutate => Response::patch(json!([{"op": "add", "path": "/data", "value": 7}])),
        "patch-anyway" if !mutate => Response::patch(json!([])),
        "look-around" => {
            let seen = [
                ("files", std::fs::read_dir("/").is_ok() || std::fs::write("/x", "x").is_ok()),
                ("sockets", std::net::TcpStream::connect("127.0.0.1:80").map_or_else(|e| e.kind() == std::io::ErrorKind::ConnectionRefused, |_| true)),
                ("environment", std::env::vars().next().is_some() || std::env::args().next().is_some()),
                ("clock", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).is_ok_and(|t| t.as_secs() > 1_700_000_000)),
            ];
            log::info("it looks around");
            println!("on stdout");
            Response::allow().warn(seen.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect::<Vec<_>>().join(","))
        }
        "tell" if !mutate => Response::allow().warn(
            json!({
                "operation": format!("{:?}", request.operation), "resource": request.resource.resource, "subresource": request.subresource,
                "namespace": request.namespace, "name": request.name, "user": request.user.username, "groups": request.user.groups,
                "object": request.object.is_some(), "old": request.old_object.is_some(), "dry-run": request.dry_run,
            })
            .to_string(),
        ),
        _ => Response::allow(),
    }
}
