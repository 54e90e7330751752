//! The guest `sdk` for WASI 0.3: the text is the same.

include!("../../sdk/src/lib.rs");
