//! What `sdk/wit/plugin` says, as Rust.

#![allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]

pub(crate) mod admission {
    wasmtime::component::bindgen!({ path: "../wit/plugin", world: "admission", exports: { default: async } });
}

pub(crate) mod ingress {
    wasmtime::component::bindgen!({
        path: "../wit/plugin",
        world: "ingress",
        exports: { default: async },
        with: { "wharf:plugin/config": super::admission::wharf::plugin::config, "wharf:plugin/log": super::admission::wharf::plugin::log },
    });
}
