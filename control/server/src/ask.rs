//! A request on a resource, with all that the verbs need of it.

use std::sync::Arc;

use http::request::Parts;
use wharf_api::decode::FieldValidation;
use wharf_api::field::{Error, Errors, Path};
use wharf_api::meta::validate_field_manager;
use wharf_api::status::ApiError;

use crate::Identity;
use crate::catalog::Served;
use crate::http::negotiate::Accepted;
use crate::http::path::ResourcePath;
use crate::http::query::Query;
use crate::server::Shared;

/// A request on a resource.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) identity: &'a Arc<Identity>,
    pub(crate) served: &'a Arc<Served>,
    pub(crate) path: &'a ResourcePath<'a>,
    pub(crate) query: &'a Query<'a>,
    pub(crate) parts: &'a Parts,
    pub(crate) accepted: Accepted,
    /// What the client is told beside the answer, whatever that is.
    pub(crate) warnings: &'a Warnings,
}

/// Lines for `Warning` headers.
pub(crate) type Warnings = parking_lot::Mutex<Vec<String>>;

/// The options of a write, from the query (and for deletes from the body).
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    /// Everything but the write itself.
    pub(crate) dry_run: bool,
    /// Who manages the fields; empty for a default by user agent.
    pub(crate) manager: String,
    /// What becomes of unknown fields.
    pub(crate) validation: FieldValidation,
    /// Apply takes over fields of others.
    pub(crate) force: bool,
    /// An apply, which has settled who manages what.
    pub(crate) applied: bool,
}

impl<'a> Ask<'a> {
    /// The namespace of objects; empty for kinds outside of namespaces.
    pub(crate) fn namespace(&self) -> &'a str {
        if self.served.info().namespaced() { &self.path.namespace } else { "" }
    }

    /// The key of the object that the path names.
    pub(crate) fn key(&self) -> Arc<str> {
        self.served.key(self.namespace(), &self.path.name)
    }

    /// 404 of the object that the path names.
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.served.info().group, &self.served.info().plural, &self.path.name)
    }

    /// A header's text, empty where there is none.
    pub(crate) fn header(&self, name: http::HeaderName) -> &'a str {
        self.parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The media type of the body.
    pub(crate) fn content_type(&self) -> &'a str {
        self.header(http::header::CONTENT_TYPE)
    }

    /// The options of a create, update or patch; `kind` is what they are called in errors (`CreateOptions`).
    pub(crate) fn write_options(&self, kind: &str) -> Result<WriteOptions, ApiError> {
        let mut errors = Errors::new();
        let dry_run = dry_run(&self.query.all("dryRun"), &mut errors);
        let validation = self.query.get("fieldValidation");
        let parsed = FieldValidation::parse(validation).unwrap_or_else(|| {
            errors.push(Error::not_supported(&Path::new("fieldValidation"), validation, &["", "Ignore", "Strict", "Warn"]));
            FieldValidation::Warn
        });
        let manager = self.query.get("fieldManager");
        errors.extend(validate_field_manager(manager, &Path::new("fieldManager")));
        if !errors.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", kind, "", errors));
        }
        Ok(WriteOptions { dry_run, manager: manager.to_owned(), validation: parsed, force: self.query.flag("force"), applied: false })
    }

    /// The field manager of a write: as asked for, else the first word of the user agent.
    pub(crate) fn manager(&self, options: &WriteOptions) -> String {
        if !options.manager.is_empty() {
            return options.manager.clone();
        }
        let agent = self.header(http::header::USER_AGENT);
        let name: String = agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(128).collect();
        if name.is_empty() { "unknown".to_owned() } else { name }
    }
}

/// Reads `dryRun`: absent, or `All`.
pub(crate) fn dry_run(values: &[&str], errors: &mut Errors) -> bool {
    for value in values.iter().filter(|v| **v != "All" && !v.is_empty()) {
        errors.push(Error::not_supported(&Path::new("dryRun"), *value, &["All"]));
    }
    values.iter().any(|v| !v.is_empty())
}
