//! What configures: ConfigMaps, Secrets, namespaces, service accounts, quotas.

use base64::Engine;
use serde_json::Value;

use super::{Page, list_of, text, time};

impl Page {
    pub(super) fn config_map(&mut self, object: &Value) -> bool {
        self.names(object);
        self.metadata(object);
        self.text("\nData\n====\n");
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            self.text(&format!("{key}:\n----\n{}\n\n", text(value)));
        }
        self.text("\nBinaryData\n====\n");
        for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
            self.text(&format!("{key}: {} bytes\n", length(value)));
        }
        self.text("\n");
        true
    }

    pub(super) fn secret(&mut self, object: &Value) -> bool {
        self.names(object);
        self.metadata(object);
        self.text(&format!("\nType:\t{}\n\nData\n====\n", text(&object["type"])));
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            if key == "token" && object["type"] == "kubernetes.io/service-account-token" {
                self.field(0, key, String::from_utf8_lossy(&decode(value)));
            } else {
                self.field(0, key, format!("{} bytes", length(value)));
            }
        }
        false
    }

    pub(super) fn namespace(&mut self, object: &Value, quotas: &[Value], limit_ranges: &[Value]) -> bool {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.metadata(object);
        self.field(0, "Status", text(&object["status"]["phase"]));
        if !list_of(&object["status"]["conditions"]).is_empty() {
            self.line(0, "Conditions:");
            self.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
            self.line(1, "----\t------\t------------------\t------\t-------");
            for c in list_of(&object["status"]["conditions"]) {
                self.line(
                    1,
                    &format!(
                        "{}\t{}\t{}\t{}\t{}",
                        text(&c["type"]),
                        text(&c["status"]),
                        time(&c["lastTransitionTime"]),
                        text(&c["reason"]),
                        text(&c["message"])
                    ),
                );
            }
        }
        self.text("\n");
        if quotas.is_empty() {
            self.line(0, "No resource quota.");
        } else {
            self.line(0, "Resource Quotas");
        }
        for quota in quotas {
            self.field(1, "Name", text(&quota["metadata"]["name"]));
            self.scopes(quota, 1, "* ");
            self.line(1, "Resource\tUsed\tHard");
            self.line(1, "--------\t---\t---");
            self.used(quota, 1);
        }
        self.text("\n");
        self.limits(limit_ranges);
        false
    }

    fn limits(&mut self, limit_ranges: &[Value]) {
        if limit_ranges.is_empty() {
            self.line(0, "No LimitRange resource.");
            return;
        }
        self.text("Resource Limits\n Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio\n");
        self.text(" ----\t--------\t---\t---\t---------------\t-------------\t-----------------------\n");
        for range in limit_ranges {
            for limit in list_of(&range["spec"]["limits"]) {
                const FIELDS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
                let mut names: Vec<&String> = FIELDS.iter().flat_map(|field| limit[*field].as_object().into_iter().flatten().map(|(name, _)| name)).collect();
                names.sort();
                names.dedup();
                for name in names {
                    let cells: Vec<String> = FIELDS.iter().map(|field| super::or(&limit[*field][name], "-")).collect();
                    self.text(&format!(" {}\t{name}\t{}\n", text(&limit["type"]), cells.join("\t")));
                }
            }
        }
    }

    fn scopes(&mut self, quota: &Value, level: usize, bullet: &str) {
        let mut scopes: Vec<String> = list_of(&quota["spec"]["scopes"]).iter().map(text).collect();
        scopes.sort();
        if scopes.is_empty() {
            return;
        }
        self.field(level, "Scopes", scopes.join(", "));
        for scope in &scopes {
            let help = match scope.as_str() {
                "Terminating" => {
                    "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system."
                }
                "NotTerminating" => {
                    "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate."
                }
                "BestEffort" => "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
                "NotBestEffort" => {
                    "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service."
                }
                _ => continue,
            };
            self.line(level, &format!("{bullet}{help}"));
        }
    }

    fn used(&mut self, quota: &Value, level: usize) {
        for (name, hard) in quota["status"]["hard"].as_object().into_iter().flatten() {
            self.line(level, &format!("{name}\t{}\t{}", super::or(&quota["status"]["used"][name], "0"), text(hard)));
        }
    }

    pub(super) fn quota(&mut self, object: &Value) -> bool {
        self.names(object);
        self.scopes(object, 0, " * ");
        self.line(0, "Resource\tUsed\tHard");
        self.line(0, "--------\t----\t----");
        self.used(object, 0);
        false
    }

    pub(super) fn priority_class(&mut self, object: &Value) -> bool {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.field(0, "Value", text(&object["value"]));
        self.field(0, "GlobalDefault", object["globalDefault"] == true);
        self.field(0, "PreemptionPolicy", text(&object["preemptionPolicy"]));
        self.field(0, "Description", text(&object["description"]));
        self.field(0, "Annotations", super::pairs(&object["metadata"]["annotations"]));
        true
    }

    pub(super) fn service_account(&mut self, object: &Value) -> bool {
        self.names(object);
        self.metadata(object);
        let names: Vec<String> = list_of(&object["imagePullSecrets"]).iter().map(|secret| text(&secret["name"])).collect();
        if names.is_empty() {
            self.field(0, "Image pull secrets", "<none>");
        }
        for (at, name) in names.iter().enumerate() {
            self.line(0, &format!("{}\t{name}", if at == 0 { "Image pull secrets:" } else { "                   " }));
        }
        true
    }
}

fn decode(value: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

fn length(value: &Value) -> usize {
    decode(value).len()
}
