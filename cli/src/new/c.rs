//! C: Zig's compiler, from PyPI.

use super::Template;

pub(super) const TEMPLATE: Template = Template {
    placeholder: "hello-c",
    files: &[
        ("main.c", include_str!("../../../examples/functions/c/main.c")),
        ("wharf.h", include_str!("../../../examples/functions/c/wharf.h")),
        ("wharf.toml", include_str!("../../../examples/functions/c/wharf.toml")),
        (".gitignore", "*.wasm\n"),
    ],
    replace: &[],
    needs: "Zig's C compiler, once: pip install ziglang",
};
