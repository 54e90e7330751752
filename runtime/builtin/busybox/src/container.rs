//! `wharf:container`: what a container has and WASI leaves out.

wit_bindgen::generate!({
    path: "../../../sdk/wit/container",
    world: "container",
    with: {
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
    },
});

pub use wharf::container::{lifecycle, tls};
