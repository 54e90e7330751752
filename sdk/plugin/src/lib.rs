//! For authors of Wharf plugins: a plugin is a component of one of the worlds of the WIT package `wharf:plugin`, built for `wasm32-wasip2`.
//!
//! Choose one of the features `admission` (module `admission`) and `ingress` (module `ingress`): a component is of one world.
//! [`config`] reads what the plugin's object says, [`log`] writes lines to the log where it grants that.
//!
//! Each call runs on a fresh instance: what is kept in a static is gone with the next one.

#[cfg(feature = "admission")]
pub mod admission;
#[cfg(feature = "ingress")]
pub mod ingress;

/// The values of the plugin's object (`spec.config`).
pub mod config {
    #[cfg(feature = "admission")]
    use crate::admission::bindings::wharf::plugin::config as wit;
    #[cfg(all(feature = "ingress", not(feature = "admission")))]
    use crate::ingress::bindings::wharf::plugin::config as wit;

    /// The value of that name.
    #[cfg(any(feature = "admission", feature = "ingress"))]
    pub fn get(name: &str) -> Option<String> {
        wit::get(name)
    }

    /// All of them, in the order of the object.
    #[cfg(any(feature = "admission", feature = "ingress"))]
    pub fn all() -> Vec<(String, String)> {
        wit::all()
    }
}

/// Lines for the log, where the object grants `logging`.
pub mod log {
    #[cfg(feature = "admission")]
    use crate::admission::bindings::wharf::plugin::log as wit;
    #[cfg(all(feature = "ingress", not(feature = "admission")))]
    use crate::ingress::bindings::wharf::plugin::log as wit;

    #[cfg(any(feature = "admission", feature = "ingress"))]
    macro_rules! levels {
        ($($name:ident $level:ident $words:literal;)*) => {$(
            #[doc = $words]
            pub fn $name(message: impl AsRef<str>) {
                wit::write(wit::Level::$level, message.as_ref());
            }
        )*};
    }
    #[cfg(any(feature = "admission", feature = "ingress"))]
    levels! {
        debug Debug "For who looks for a fault.";
        info Info "What happened.";
        warn Warn "What should not have.";
        error Error "What went wrong.";
    }
}
