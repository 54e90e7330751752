//! `apps/v1` ControllerRevision: a past state that a controller keeps, to go back to.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::apps::v1::ControllerRevision;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::{IMMUTABLE, not_negative};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::names;
use crate::table::{Column, Columns};

/// ControllerRevision of `apps/v1`.
pub struct ControllerRevisions;

impl Kind for ControllerRevisions {
    type Object = ControllerRevision;

    const NAMES: Names = names("controllerrevision", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;

    fn default(revision: &mut ControllerRevision) {
        revision.revision.get_or_insert_default();
    }

    fn validate(revision: &ControllerRevision) -> Errors {
        let mut errors = Errors::new();
        if revision.data.0.is_null() {
            errors.push(Error::required(&Path::new("data"), "data is mandatory"));
        }
        errors.extend(not_negative(revision.revision, &Path::new("revision")));
        errors
    }

    fn validate_update(new: &ControllerRevision, old: &ControllerRevision) -> Errors {
        let mut errors = Self::validate(new);
        if new.data != old.data {
            errors.push(Error::invalid(&Path::new("data"), printed_json(&new.data), IMMUTABLE));
        }
        errors
    }

    fn columns() -> Columns<ControllerRevision> {
        Columns {
            columns: vec![
                name(),
                text("Controller", "Controller of the object"),
                Column::new("Revision", "string", "Revision indicates the revision of the state represented by Data."),
                age(),
            ],
            row: |revision, now| {
                let owner = revision.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true));
                let owner = owner.map_or_else(
                    || "<none>".to_owned(),
                    |o| match o.api_version.split_once('/') {
                        Some((group, _)) => format!("{}.{group}/{}", o.kind.to_lowercase(), o.name),
                        None => format!("{}/{}", o.kind.to_lowercase(), o.name),
                    },
                );
                let number = revision.revision.unwrap_or(0);
                vec![name_cell(&revision.metadata), Value::from(owner), Value::from(number), age_cell(&revision.metadata, now)]
            },
        }
    }
}
