//! The Ingress and the Service proxy over real sockets.

mod bed;
mod controller;
mod failures;
mod fake_api;
mod forwarding;
mod http2;
mod local;
mod nginx;
mod plugins;
mod service_proxy;
mod tls;
