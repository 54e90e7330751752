//! A policy: an image must be named by its digest, or it may be another one tomorrow.
//!
//! It looks at Pods, and at what makes Pods: a Deployment with a bad template is refused at once, and not its Pods one by one.
//! `spec.config` may name prefixes that are trusted without (`allow`, separated by commas, such as `registry.example.com/team/`).

use serde_json::Value;
use wharf_plugin::admission::{Policy, Request, Response};
use wharf_plugin::{admission, config};

struct RequireDigest;

impl Policy for RequireDigest {
    fn validate(request: &Request) -> Response {
        let allow = config::get("allow").unwrap_or_default();
        let allowed: Vec<&str> = allow.split(',').map(str::trim).filter(|prefix| !prefix.is_empty()).collect();
        let object = request.object_json();
        let bad: Vec<&str> = images(pod_spec(&object)).filter(|image| !named_by_digest(image) && !allowed.iter().any(|prefix| image.starts_with(prefix))).collect();
        match bad.as_slice() {
            [] => Response::allow(),
            [image] => Response::deny(format!("the image {image} is not named by its digest (…@sha256:…)")),
            images => Response::deny(format!("the images {} are not named by their digests (…@sha256:…)", images.join(", "))),
        }
    }
}

admission!(RequireDigest);

/// A Pod's `spec`, wherever the kind has it.
fn pod_spec(object: &Value) -> &Value {
    let places = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/template/spec", "/spec"];
    places.iter().find_map(|place| object.pointer(place)).unwrap_or(&Value::Null)
}

fn images(spec: &Value) -> impl Iterator<Item = &str> {
    let lists = ["initContainers", "containers", "ephemeralContainers"].into_iter().filter_map(|list| spec[list].as_array());
    lists.flatten().filter_map(|container| container["image"].as_str())
}

fn named_by_digest(image: &str) -> bool {
    let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
    digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
