//! JavaScript: `componentize-js`, from npm.

use super::{Template, WIT};

pub(super) const TEMPLATE: Template = Template {
    placeholder: "hello-js",
    files: &[
        ("app.js", include_str!("../../../examples/functions/js/app.js")),
        ("build.mjs", include_str!("../../../examples/functions/js/build.mjs")),
        ("package.json", include_str!("../../../examples/functions/js/package.json")),
        ("wharf.toml", include_str!("../../../examples/functions/js/wharf.toml")),
        (".gitignore", "*.wasm\nnode_modules/\n"),
        WIT[0],
        WIT[1],
        WIT[2],
        WIT[3],
        WIT[4],
        WIT[5],
        WIT[6],
    ],
    replace: &[],
    needs: "Node.js 20 or newer, with npm",
};
