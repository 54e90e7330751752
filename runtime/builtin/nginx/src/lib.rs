//! A static web server as a `wasi:http` 0.2 component: what Wharf runs for the image `nginx`.
//!
//! It serves `/usr/share/nginx/html` and understands the part of nginx's configuration that tutorials use
//! (`/etc/nginx/conf.d/*.conf`: see [`config`]). An instance lives for one request, or for several; nothing is kept
//! between them but what is on disk.

#![cfg_attr(not(target_os = "wasi"), allow(dead_code, reason = "outside of a component only the tests use it"))]

mod answer;
mod clock;
mod config;
mod log;
mod mime;
mod path;
#[cfg(target_os = "wasi")]
mod wasi;
