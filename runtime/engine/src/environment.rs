//! `wasi:cli/environment`: what is the same for all instances is kept once, and copied only for a guest that asks.

use std::sync::Arc;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::cli::environment as p2;
use wasmtime_wasi::p3::bindings::cli::environment as p3;

/// A container's arguments and environment.
pub(crate) struct Environment {
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Arc<[(String, String)]>,
    pub(crate) working_dir: Option<String>,
}

/// What the generated traits are implemented on.
pub(crate) struct View<'a>(pub(crate) &'a Environment);

struct HasEnvironment;

impl HasData for HasEnvironment {
    type Data<'a> = View<'a>;
}

/// What a store's data must offer.
pub(crate) trait EnvironmentView: 'static {
    fn environment(&mut self) -> &Arc<Environment>;
}

impl p2::Host for View<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.0.variables.to_vec())
    }
    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.0.arguments.clone())
    }
    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.0.working_dir.clone())
    }
}

impl p3::Host for View<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.0.variables.to_vec())
    }
    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.0.arguments.clone())
    }
    fn get_initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.0.working_dir.clone())
    }
}

/// Replaces wasmtime-wasi's. To be called after its own functions were added.
pub(crate) fn add_p2_to_linker<T: EnvironmentView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    p2::add_to_linker::<T, HasEnvironment>(l, |t| View(t.environment()))?;
    l.allow_shadowing(false);
    Ok(())
}

/// Replaces wasmtime-wasi's. To be called after its own functions were added.
pub(crate) fn add_p3_to_linker<T: EnvironmentView>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    p3::add_to_linker::<T, HasEnvironment>(l, |t| View(t.environment()))?;
    l.allow_shadowing(false);
    Ok(())
}
