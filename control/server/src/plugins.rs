//! Admission plugins as the server sees them: whoever runs their components answers these calls.

use futures::future::BoxFuture;

use crate::Identity;

/// Runs the components of `plugins.wharf.dev` Plugins of the world `admission`.
pub trait PluginRunner: Send + Sync {
    /// Asks the plugin of that name. It bounds the time by itself.
    fn review<'a>(&'a self, plugin: &'a str, phase: PluginPhase, review: PluginReview) -> BoxFuture<'a, Result<PluginVerdict, PluginError>>;

    /// What there is to say of all plugins at `/metrics`, in Prometheus' text format.
    fn metrics(&self) -> String;
}

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginPhase {
    /// What to change.
    Mutate,
    /// Whether it may be so.
    Validate,
}

/// A request, as `admission.k8s.io/v1 AdmissionRequest` has it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub struct PluginReview {
    pub uid: String,
    /// Group, version and kind.
    pub kind: [String; 3],
    /// Group, version and plural.
    pub resource: [String; 3],
    /// Empty for the object itself.
    pub subresource: String,
    pub name: String,
    pub namespace: String,
    /// `CREATE`, `UPDATE`, `DELETE`.
    pub operation: &'static str,
    pub user: Identity,
    /// JSON.
    pub object: Option<String>,
    /// JSON.
    pub old_object: Option<String>,
    /// JSON.
    pub options: String,
    pub dry_run: bool,
}

/// What a plugin says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginVerdict {
    /// The request may go on.
    pub allowed: bool,
    /// Of a refusal.
    pub code: Option<u16>,
    /// Of a refusal.
    pub reason: Option<String>,
    /// Of a refusal.
    pub message: Option<String>,
    /// A JSON patch; only of [`PluginPhase::Mutate`].
    pub patch: Option<String>,
    /// What the client is told.
    pub warnings: Vec<String>,
}

/// A plugin has no answer; in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PluginError(pub String);

/// For servers that run no plugins.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlugins;

impl PluginRunner for NoPlugins {
    fn review<'a>(&'a self, _: &'a str, _: PluginPhase, _: PluginReview) -> BoxFuture<'a, Result<PluginVerdict, PluginError>> {
        Box::pin(async { Err(PluginError("this server runs no plugins".to_owned())) })
    }

    fn metrics(&self) -> String {
        String::new()
    }
}
