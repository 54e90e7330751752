//! The world `admission`: changes and refuses what is written to the API.
//!
//! In a library with `crate-type = ["cdylib"]`:
//!
//! ```
//! use wharf_plugin::admission::{Policy, Request, Response};
//!
//! struct NoLatest;
//!
//! impl Policy for NoLatest {
//!     fn validate(request: &Request) -> Response {
//!         let pod = request.object_json();
//!         let images = pod.pointer("/spec/containers").and_then(|c| c.as_array()).into_iter().flatten();
//!         match images.filter_map(|c| c["image"].as_str()).find(|image| image.ends_with(":latest")) {
//!             Some(image) => Response::deny(format!("{image} may be another image tomorrow")),
//!             None => Response::allow(),
//!         }
//!     }
//! }
//!
//! wharf_plugin::admission!(NoLatest);
//! # fn main() {}
//! ```

use serde_json::Value;

#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit/plugin",
        world: "admission",
        pub_export_macro: true,
        export_macro_name: "export_admission",
        default_bindings_module: "wharf_plugin::admission::bindings",
    });
}

pub use bindings::exports::wharf::plugin::admission_review::{GroupVersionKind, GroupVersionResource, Operation, Request, Response, Status, UserInfo};

/// A policy: implement what it decides; the other question is answered with yes.
pub trait Policy {
    /// Asked first, about creates and updates: what to change.
    fn mutate(request: &Request) -> Response {
        let _ = request;
        Response::allow()
    }

    /// Asked about what will be stored (for deletes: about what is).
    fn validate(request: &Request) -> Response {
        let _ = request;
        Response::allow()
    }
}

impl Request {
    /// The object; `null` for a delete.
    pub fn object_json(&self) -> Value {
        self.object.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The object as it is stored; `null` for a create.
    pub fn old_object_json(&self) -> Value {
        self.old_object.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

impl Response {
    /// It may go on.
    pub fn allow() -> Response {
        Response { allowed: true, status: None, patch: None, warnings: Vec::new() }
    }

    /// It may go on, changed: operations of RFC 6902, such as
    /// `json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}])`.
    pub fn patch(operations: Value) -> Response {
        Response { patch: Some(operations.to_string()), ..Response::allow() }
    }

    /// It may not: 403 Forbidden, with this message.
    pub fn deny(message: impl Into<String>) -> Response {
        Response::deny_as(403, "Forbidden", message)
    }

    /// It may not, with a code and a reason of one's own.
    pub fn deny_as(code: u16, reason: impl Into<String>, message: impl Into<String>) -> Response {
        let status = Status { code: Some(code), reason: Some(reason.into()), message: Some(message.into()) };
        Response { allowed: false, status: Some(status), patch: None, warnings: Vec::new() }
    }

    /// Tells the client something beside.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Response {
        self.warnings.push(warning.into());
        self
    }
}

/// Makes a [`Policy`](crate::admission::Policy) the plugin of this library.
#[macro_export]
macro_rules! admission {
    ($policy:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::admission::bindings::exports::wharf::plugin::admission_review::Guest for Exported {
                fn mutate(request: $crate::admission::Request) -> $crate::admission::Response {
                    <$policy as $crate::admission::Policy>::mutate(&request)
                }
                fn validate(request: $crate::admission::Request) -> $crate::admission::Response {
                    <$policy as $crate::admission::Policy>::validate(&request)
                }
            }
    $crate::admission::bindings::export_admission!(Exported with_types_in $crate::admission::bindings);
        };
    };
}
