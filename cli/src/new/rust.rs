//! Rust: a crate for `wasm32-wasip2`, with the SDK beside it.

use super::Template;

macro_rules! sdk {
    ($($path:literal),*) => {
        &[
            ("src/lib.rs", include_str!("../../../examples/functions/rust/src/lib.rs")),
            ("Cargo.toml", include_str!("../../../examples/functions/rust/Cargo.toml")),
            (".gitignore", "target/\n"),
            $((concat!("wharf-sdk/", $path), include_str!(concat!("../../../sdk/guest/", $path))),)*
        ]
    };
}

pub(super) const TEMPLATE: Template = Template {
    placeholder: "hello-rust",
    files: sdk!(
        "Cargo.toml",
        "macros/Cargo.toml",
        "macros/src/lib.rs",
        "src/config.rs",
        "src/keyvalue.rs",
        "src/lib.rs",
        "src/logging.rs",
        "src/native.rs",
        "src/web/body.rs",
        "src/web/mod.rs",
        "src/web/p2.rs",
        "src/web/p3.rs",
        "src/web/response.rs",
        "wit/world.wit",
        "wit/deps/config/config.wit",
        "wit/deps/keyvalue/keyvalue.wit",
        "wit/deps/logging/logging.wit"
    ),
    replace: &[("../../../sdk/guest", "wharf-sdk")],
    needs: "Rust (https://rustup.rs), and once: rustup target add wasm32-wasip2",
};
