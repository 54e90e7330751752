//! Python: `componentize-py`, from PyPI.

use super::{Template, WIT};

pub(super) const TEMPLATE: Template = Template {
    placeholder: "hello-python",
    files: &[
        ("app.py", include_str!("../../../examples/functions/python/app.py")),
        ("wharf.toml", include_str!("../../../examples/functions/python/wharf.toml")),
        (".gitignore", "*.wasm\n"),
        WIT[0],
        WIT[1],
        WIT[2],
        WIT[3],
        WIT[4],
        WIT[5],
        WIT[6],
    ],
    replace: &[],
    needs: "Python 3.10 or newer, and once: pip install componentize-py",
};
