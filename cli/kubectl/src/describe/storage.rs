//! Volumes, claims and storage classes.

use serde_json::Value;

use super::{Page, list_of, or, pairs, text, time};
use crate::print::{age, go};

fn modes(modes: &Value) -> String {
    let has = |mode: &str| list_of(modes).iter().any(|m| m == mode);
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")]
        .iter()
        .filter(|(mode, _)| has(mode))
        .map(|(_, short)| *short)
        .collect::<Vec<_>>()
        .join(",")
}

impl Page {
    fn phase(&mut self, object: &Value) {
        let deletion = &object["metadata"]["deletionTimestamp"];
        let status =
            if deletion.is_string() { format!("Terminating (lasts {})", age::since(&text(deletion), self.now)) } else { text(&object["status"]["phase"]) };
        self.field(0, "Status", status);
    }

    pub(super) fn claim(&mut self, object: &Value, pods: &[Value]) -> bool {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        self.names(object);
        self.field(0, "StorageClass", text(&spec["storageClassName"]));
        self.phase(object);
        self.field(0, "Volume", text(&spec["volumeName"]));
        self.metadata(object);
        self.field(0, "Finalizers", go(&Value::Array(list_of(&metadata["finalizers"]).to_vec())));
        let bound = !text(&spec["volumeName"]).is_empty();
        self.field(0, "Capacity", if bound { or(&status["capacity"]["storage"], "0") } else { String::new() });
        self.field(0, "Access Modes", if bound { modes(&status["accessModes"]) } else { String::new() });
        if spec["volumeMode"].is_string() {
            self.field(0, "VolumeMode", text(&spec["volumeMode"]));
        }
        if spec["dataSource"].is_object() {
            self.line(0, "DataSource:");
            for (title, field) in [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")] {
                if !spec["dataSource"][field].is_null() {
                    self.field(1, title, text(&spec["dataSource"][field]));
                }
            }
        }
        let mut names: Vec<String> = pods
            .iter()
            .filter(|pod| list_of(&pod["spec"]["volumes"]).iter().any(|v| v["persistentVolumeClaim"]["claimName"] == metadata["name"]))
            .map(|pod| text(&pod["metadata"]["name"]))
            .collect();
        names.sort();
        self.text("Used By:\t");
        self.list("", &names);
        if !list_of(&status["conditions"]).is_empty() {
            self.line(0, "Conditions:");
            self.line(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
            self.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
            for c in list_of(&status["conditions"]) {
                let line = format!(
                    "{} \t{} \t{} \t{} \t{} \t{}",
                    text(&c["type"]),
                    text(&c["status"]),
                    time(&c["lastProbeTime"]),
                    time(&c["lastTransitionTime"]),
                    text(&c["reason"]),
                    text(&c["message"])
                );
                self.line(1, &line);
            }
        }
        true
    }

    pub(super) fn volume(&mut self, object: &Value) -> bool {
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        self.field(0, "Name", text(&metadata["name"]));
        self.metadata(object);
        self.field(0, "Finalizers", go(&Value::Array(list_of(&metadata["finalizers"]).to_vec())));
        self.field(0, "StorageClass", text(&spec["storageClassName"]));
        self.phase(object);
        let claim = &spec["claimRef"];
        self.field(0, "Claim", if claim.is_object() { format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])) } else { String::new() });
        self.field(0, "Reclaim Policy", text(&spec["persistentVolumeReclaimPolicy"]));
        self.field(0, "Access Modes", modes(&spec["accessModes"]));
        if spec["volumeMode"].is_string() {
            self.field(0, "VolumeMode", text(&spec["volumeMode"]));
        }
        self.field(0, "Capacity", text(&spec["capacity"]["storage"]));
        self.affinity(&spec["nodeAffinity"]["required"]);
        self.field(0, "Message", text(&object["status"]["message"]));
        self.line(0, "Source:");
        self.source(spec);
        true
    }

    fn affinity(&mut self, required: &Value) {
        if !required.is_object() {
            self.field(0, "Node Affinity", "<none>");
            return;
        }
        self.field(0, "Node Affinity", "");
        let terms = list_of(&required["nodeSelectorTerms"]);
        self.field(1, "Required Terms", if terms.is_empty() { "<none>" } else { "" });
        for (at, term) in terms.iter().enumerate() {
            let lines: Vec<String> = list_of(&term["matchExpressions"])
                .iter()
                .map(|expression| {
                    let values = list_of(&expression["values"]).iter().map(text).collect::<Vec<_>>().join(", ");
                    let head = format!("{} {}", text(&expression["key"]), text(&expression["operator"]).to_lowercase());
                    if values.is_empty() { head } else { format!("{head} [{values}]") }
                })
                .collect();
            self.text(&format!("    Term {at}:\t"));
            self.list("    ", &lines);
        }
    }

    pub(super) fn storage_class(&mut self, object: &Value) -> bool {
        let annotations = &object["metadata"]["annotations"];
        let default =
            ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"].iter().any(|key| annotations[*key] == "true");
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.field(0, "IsDefaultClass", if default { "Yes" } else { "No" });
        self.field(0, "Annotations", pairs(annotations));
        self.field(0, "Provisioner", text(&object["provisioner"]));
        self.field(0, "Parameters", pairs(&object["parameters"]));
        self.field(
            0,
            "AllowVolumeExpansion",
            match object["allowVolumeExpansion"].as_bool() {
                Some(true) => "True",
                Some(false) => "False",
                None => "<unset>",
            },
        );
        let options = list_of(&object["mountOptions"]);
        self.line(0, if options.is_empty() { "MountOptions:\t<none>" } else { "MountOptions:" });
        options.iter().for_each(|option| self.line(1, &text(option)));
        for (title, field) in [("ReclaimPolicy", "reclaimPolicy"), ("VolumeBindingMode", "volumeBindingMode")] {
            if object[field].is_string() {
                self.field(0, title, text(&object[field]));
            }
        }
        true
    }
}
