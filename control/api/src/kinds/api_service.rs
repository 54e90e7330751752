//! `apiregistration.k8s.io/v1` APIService: where the answers of one group and version come from.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::normal::{fill, text};
use crate::kinds::{merge, names};
use crate::table::Columns;

/// APIService of `apiregistration.k8s.io/v1`.
pub struct APIServices;

impl Kind for APIServices {
    type Object = APIService;

    const NAMES: Names = names("apiservice", &[], &["api-extensions"]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(service: &mut APIService) {
        if let Some(backend) = service.spec.get_or_insert_default().service.as_mut() {
            fill(&mut backend.port, 443);
        }
        service.status.get_or_insert_default();
    }

    fn prepare_create(service: &mut APIService) {
        service.status.get_or_insert_default();
    }

    fn validate(service: &APIService) -> Errors {
        let Some(spec) = &service.spec else { return Errors::new() };
        let name = text(&service.metadata.name);
        let wanted = format!("{}.{}", text(&spec.version), text(&spec.group));
        let mut errors = Errors::new();
        if name != wanted {
            errors.push(Error::invalid(&Path::new("metadata.name"), name, format!("must be `spec.version+\".\"+spec.group`: {wanted:?}")));
        }
        if text(&spec.version).is_empty() {
            errors.push(Error::required(&Path::new("spec.version"), ""));
        }
        for (priority, most, field) in [(spec.group_priority_minimum, 20000, "groupPriorityMinimum"), (spec.version_priority, 1000, "versionPriority")] {
            if priority <= 0 || priority > most {
                errors.push(Error::invalid(&Path::new("spec").child(field), priority, format!("must be positive and less than {most}")));
            }
        }
        errors
    }

    fn columns() -> Columns<APIService> {
        Columns {
            columns: vec![
                name(),
                text_column("Service", "The reference to the service that hosts this API endpoint."),
                text_column("Available", "Whether this service is available."),
                age(),
            ],
            row: |service, now| {
                let backend = service.spec.as_ref().and_then(|s| s.service.as_ref());
                let backend = backend.map_or_else(|| "Local".to_owned(), |s| format!("{}/{}", text(&s.namespace), text(&s.name)));
                let condition = service.status.iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "Available");
                let available = match condition {
                    None => "Unknown".to_owned(),
                    Some(c) if c.status == "True" => "True".to_owned(),
                    Some(c) => format!("{} ({})", c.status, text(&c.reason)),
                };
                vec![name_cell(&service.metadata), Value::from(backend), Value::from(available), age_cell(&service.metadata, now)]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec", "caBundle", "", "", "atomic", &[]),
    merge("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus", "conditions", "merge", "type", "map", &["type"]),
];
