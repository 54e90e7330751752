//! A module of an image: inspected, wrapped if need be, and remembered by its digest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::image::{Entry, Flavor};
use crate::images::{Inner, blocking};
use crate::inspect::inspect;
use crate::push::digest;
use crate::wrap::wrap;

/// What inspection found. Whether it may run is decided each time: what the host offers changes with its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Examined {
    /// `sha256:…` of the component that runs; its bytes are in the store.
    pub(crate) component: String,
    pub(crate) flavor: Flavor,
    pub(crate) entries: Vec<Entry>,
    pub(crate) imports: Vec<String>,
    exports: Vec<String>,
    /// It came as a core module.
    wrapped: bool,
}

impl Examined {
    /// It exports a world of `wharf:plugin`.
    pub(crate) fn extends_the_host(&self) -> bool {
        self.exports.iter().any(|export| export.starts_with("wharf:plugin/"))
    }

    pub(crate) fn exports_in_words(&self) -> String {
        let kind = if self.wrapped { " (a core module)" } else { "" };
        match self.exports.len() {
            0 => format!("nothing{kind}"),
            n if n > 20 => format!("{}, and {} more{kind}", self.exports[..20].join(", "), n - 20),
            _ => format!("{}{kind}", self.exports.join(", ")),
        }
    }
}

impl Inner {
    /// Examines a file, or remembers what was found the last time.
    pub(crate) async fn examine(self: Arc<Self>, name: String, file: PathBuf) -> Result<Examined, ImageError> {
        blocking("examine", move || self.examine_file(&name, &file)).await?
    }

    pub(crate) fn examine_file(&self, name: &str, file: &Path) -> Result<Examined, ImageError> {
        let invalid = |message: String| ImageError::Module { module: name.into(), message };
        let read = |e: std::io::Error| ImageError::store(format!("read {}", file.display()), e);
        let (size, limits) = (std::fs::metadata(file).map_err(read)?.len(), &self.options.limits);
        if size > limits.module {
            return Err(invalid(format!("{size} bytes, the limit is {}", limits.module)));
        }
        let wasm = std::fs::read(file).map_err(read)?;
        let original = digest(&wasm);
        let remembered = self.store.record("modules", &original);
        if let Some(examined) = self.store.read_json::<Examined>(&remembered).inspect(|examined| self.uses.note(&examined.component))
            && self.store.component(&examined.component).exists()
        {
            return Ok(examined);
        }
        let outside = inspect(&wasm, limits).map_err(invalid)?;
        let examined = if outside.component {
            self.uses.note(&original);
            self.store.link(file, &self.store.component(&original))?;
            Examined {
                component: original,
                flavor: outside.flavor,
                entries: outside.entries,
                imports: outside.imports,
                exports: outside.exports,
                wrapped: false,
            }
        } else {
            let component = wrap(&wasm, &outside.exports).map_err(invalid)?;
            let inside = inspect(&component, limits).map_err(invalid)?;
            let wrapped = digest(&component);
            self.uses.note(&wrapped);
            self.store.write(&self.store.component(&wrapped), &component)?;
            // What the user knows is the module that they built: its exports are named, not the wrapper's.
            let exports = if inside.entries.is_empty() { outside.exports } else { inside.exports };
            Examined { component: wrapped, flavor: inside.flavor, entries: inside.entries, imports: inside.imports, exports, wrapped: true }
        };
        self.store.write_json(&remembered, &examined)?;
        Ok(examined)
    }
}
