//! The engine with real guests (see `tests/guests`).

mod cluster;
mod command;
mod files;
mod http;
mod inspect;
mod interfaces;
mod limits;
mod sockets;
mod support;
