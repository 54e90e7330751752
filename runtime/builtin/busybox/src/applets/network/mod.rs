//! Commands over the Pod's network.

pub mod curl;
mod dns;
mod http;
pub mod httpd;
pub mod nc;
pub mod nslookup;
mod url;
pub mod wget;
