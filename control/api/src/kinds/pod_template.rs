//! `v1` PodTemplate: a Pod to be made from.

use crate::field::{Errors, Path};
use crate::k8s_openapi::api::core::v1::PodTemplate;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::columns::{containers_and_images, name, name_cell, text};
use crate::kinds::names;
use crate::kinds::{pod, workload};
use crate::table::Columns;

/// PodTemplate of `v1`.
pub struct PodTemplates;

impl Kind for PodTemplates {
    type Object = PodTemplate;

    const NAMES: Names = names("podtemplate", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.template != old.template
    }

    fn default(template: &mut PodTemplate) {
        pod::default_template(template.template.get_or_insert_default());
    }

    fn validate(template: &PodTemplate) -> Errors {
        template.template.iter().flat_map(|t| pod::validate_template(t, &Path::new("template"))).collect()
    }

    fn columns() -> Columns<PodTemplate> {
        Columns {
            columns: vec![
                name(),
                text("Containers", "Names of each container in the template."),
                text("Images", "Images referenced by each container in the template."),
                text("Pod Labels", "The labels for the pod template."),
            ],
            row: |template, _now| {
                let [containers, images] = containers_and_images(template.template.as_ref());
                let labels = workload::printed_labels(template.template.as_ref().and_then(workload::labels));
                vec![name_cell(&template.metadata), containers, images, labels]
            },
        }
    }
}
