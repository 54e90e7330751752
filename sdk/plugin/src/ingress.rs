//! The world `ingress`: stands between clients and the backends of Ingresses.
//!
//! In a library with `crate-type = ["cdylib"]`:
//!
//! ```
//! use wharf_plugin::ingress::{Answer, Changes, Decision, Middleware, Request};
//!
//! struct Greeter;
//!
//! impl Middleware for Greeter {
//!     fn on_request(request: &Request) -> Decision {
//!         match request.header("x-name") {
//!             Some(name) => Decision::from(Changes::new().set("x-greeting", format!("hello, {name}"))),
//!             None => Decision::from(Answer::new(400).text("who are you?\n")),
//!         }
//!     }
//! }
//!
//! wharf_plugin::ingress!(Greeter);
//! # fn main() {}
//! ```

#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit/plugin",
        world: "ingress",
        pub_export_macro: true,
        export_macro_name: "export_ingress",
        default_bindings_module: "wharf_plugin::ingress::bindings",
    });
}

pub use bindings::exports::wharf::plugin::middleware::{Answer, Changes, Decision, Proceed, Request, Response};

/// A middleware: decides about requests, and about the heads of responses that it asked to see.
pub trait Middleware {
    /// A request goes on, changed or not, or is answered.
    fn on_request(request: &Request) -> Decision;

    /// The response to a request that went on with a context ([`Decision::and_then`]).
    fn on_response(context: Vec<u8>, response: &Response) -> Changes {
        let _ = (context, response);
        Changes::new()
    }
}

fn find<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, value)| std::str::from_utf8(value).ok())
}

impl Request {
    /// The first header of that name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl Response {
    /// The first header of that name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl Changes {
    /// None.
    pub fn new() -> Changes {
        Changes { remove: Vec::new(), set: Vec::new() }
    }

    /// Sets a header, in place of any of its name that was there.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Changes {
        self.set.push((name.into(), value.into()));
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn remove(mut self, name: impl Into<String>) -> Changes {
        self.remove.push(name.into());
        self
    }
}

impl Default for Changes {
    fn default() -> Changes {
        Changes::new()
    }
}

impl Answer {
    /// A response without a body.
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Gives it a body of plain text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Answer {
        self.body = text.into().into_bytes();
        self.header("content-type", "text/plain; charset=utf-8")
    }
}

impl Decision {
    /// The request goes on as it is.
    pub fn proceed() -> Decision {
        Changes::new().into()
    }

    /// Of a request that goes on: its response is shown to [`Middleware::on_response`], with this.
    #[must_use]
    pub fn and_then(mut self, context: impl Into<Vec<u8>>) -> Decision {
        if let Decision::Proceed(proceed) = &mut self {
            proceed.context = Some(context.into());
        }
        self
    }
}

impl From<Changes> for Decision {
    fn from(changes: Changes) -> Decision {
        Decision::Proceed(Proceed { changes, context: None })
    }
}

impl From<Answer> for Decision {
    fn from(answer: Answer) -> Decision {
        Decision::Answer(answer)
    }
}

/// Makes a [`Middleware`](crate::ingress::Middleware) the plugin of this library.
#[macro_export]
macro_rules! ingress {
    ($middleware:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::ingress::bindings::exports::wharf::plugin::middleware::Guest for Exported {
                fn on_request(request: $crate::ingress::Request) -> $crate::ingress::Decision {
                    <$middleware as $crate::ingress::Middleware>::on_request(&request)
                }
                fn on_response(context: Vec<u8>, response: $crate::ingress::Response) -> $crate::ingress::Changes {
                    <$middleware as $crate::ingress::Middleware>::on_response(context, &response)
                }
            }
    $crate::ingress::bindings::export_ingress!(Exported with_types_in $crate::ingress::bindings);
        };
    };
}
