//! Pods, their containers, and templates of Pods.

use serde_json::Value;

use super::{Page, controller, list_of, number, or, text, time};
use crate::labels::format_selector;
use crate::print::age;

/// The text of a Pod template alone; as kubectl prints it in histories, its columns are not aligned.
pub fn template(template: &Value, now: jiff::Timestamp) -> String {
    let mut page = Page::new(now);
    page.pod_template(template);
    page.raw()
}

impl Page {
    pub(super) fn pod(&mut self, pod: &Value) -> bool {
        let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
        self.names(pod);
        for (key, field) in [
            ("Priority", "priority"),
            ("Priority Class Name", "priorityClassName"),
            ("Runtime Class Name", "runtimeClassName"),
            ("Service Account", "serviceAccountName"),
        ] {
            if !text(&spec[field]).is_empty() {
                self.field(0, key, text(&spec[field]));
            }
        }
        match spec["nodeName"].as_str().filter(|node| !node.is_empty()) {
            Some(node) => self.field(0, "Node", format!("{node}/{}", text(&status["hostIP"]))),
            None => self.field(0, "Node", "<none>"),
        }
        if status["startTime"].is_string() {
            self.field(0, "Start Time", time(&status["startTime"]));
        }
        self.metadata(pod);
        let phase = text(&status["phase"]);
        if metadata["deletionTimestamp"].is_string() && phase != "Failed" && phase != "Succeeded" {
            self.field(0, "Status", format!("Terminating (lasts {})", age::since(&text(&metadata["deletionTimestamp"]), self.now)));
            self.field(0, "Termination Grace Period", format!("{}s", number(&metadata["deletionGracePeriodSeconds"])));
        } else {
            self.field(0, "Status", phase);
        }
        for (key, field) in [("Reason", "reason"), ("Message", "message")] {
            if !text(&status[field]).is_empty() {
                self.field(0, key, text(&status[field]));
            }
        }
        let seccomp = &spec["securityContext"]["seccompProfile"];
        if seccomp.is_object() {
            self.field(0, "SeccompProfile", text(&seccomp["type"]));
            if seccomp["type"] == "Localhost" {
                self.field(0, "LocalhostProfile", text(&seccomp["localhostProfile"]));
            }
        }
        self.field(0, "IP", text(&status["podIP"]));
        match list_of(&status["podIPs"]) {
            [] => self.field(0, "IPs", "<none>"),
            ips => {
                self.line(0, "IPs:");
                ips.iter().for_each(|ip| self.field(1, "IP", text(&ip["ip"])));
            }
        }
        if let Some(owner) = controller(pod) {
            self.field(0, "Controlled By", owner);
        }
        if !text(&status["nominatedNodeName"]).is_empty() {
            self.field(0, "NominatedNodeName", text(&status["nominatedNodeName"]));
        }
        if spec["resources"].is_object() {
            self.line(0, "Resources:");
            self.resources(&spec["resources"], 1);
        }
        if !list_of(&spec["initContainers"]).is_empty() {
            self.containers("Init Containers", &spec["initContainers"], &status["initContainerStatuses"], Some(pod), "");
        }
        self.containers("Containers", &spec["containers"], &status["containerStatuses"], Some(pod), "");
        if !list_of(&spec["ephemeralContainers"]).is_empty() {
            self.containers("Ephemeral Containers", &spec["ephemeralContainers"], &status["ephemeralContainerStatuses"], Some(pod), "");
        }
        let conditions = list_of(&status["conditions"]);
        if !list_of(&spec["readinessGates"]).is_empty() {
            self.text("Readiness Gates:\n  Type\tStatus\n");
            for gate in list_of(&spec["readinessGates"]) {
                let condition = conditions.iter().find(|c| c["type"] == gate["conditionType"]);
                self.line(1, &format!("{} \t{} ", text(&gate["conditionType"]), condition.map_or("<none>".into(), |c| text(&c["status"]))));
            }
        }
        if !conditions.is_empty() {
            self.text("Conditions:\n  Type\tStatus\n");
            for condition in conditions {
                self.line(1, &format!("{} \t{} ", text(&condition["type"]), text(&condition["status"])));
            }
        }
        self.volumes(&spec["volumes"], "");
        self.field(0, "QoS Class", text(&status["qosClass"]));
        self.labels("Node-Selectors", &spec["nodeSelector"]);
        self.tolerations("", "Tolerations", &spec["tolerations"]);
        self.spread(&spec["topologySpreadConstraints"], "");
        true
    }

    pub(super) fn pod_template(&mut self, template: &Value) {
        let spec = &template["spec"];
        self.line(0, "Pod Template:");
        self.labels("  Labels", &template["metadata"]["labels"]);
        if template["metadata"]["annotations"].as_object().is_some_and(|map| !map.is_empty()) {
            self.annotations("  Annotations", &template["metadata"]["annotations"]);
        }
        if !text(&spec["serviceAccountName"]).is_empty() {
            self.field(1, "Service Account", text(&spec["serviceAccountName"]));
        }
        if !list_of(&spec["initContainers"]).is_empty() {
            self.containers("Init Containers", &spec["initContainers"], &Value::Null, None, "  ");
        }
        self.containers("Containers", &spec["containers"], &Value::Null, None, "  ");
        self.volumes(&spec["volumes"], "  ");
        self.spread(&spec["topologySpreadConstraints"], "  ");
        if !text(&spec["priorityClassName"]).is_empty() {
            self.field(1, "Priority Class Name", text(&spec["priorityClassName"]));
        }
        self.labels("  Node-Selectors", &spec["nodeSelector"]);
        self.tolerations("", "  Tolerations", &spec["tolerations"]);
    }

    fn spread(&mut self, constraints: &Value, space: &str) {
        let mut constraints: Vec<&Value> = list_of(constraints).iter().collect();
        constraints.sort_by_key(|c| text(&c["topologyKey"]));
        for (at, constraint) in constraints.into_iter().enumerate() {
            let head = if at == 0 { format!("{space}Topology Spread Constraints:") } else { space.to_owned() };
            let selector = if constraint["labelSelector"].is_object() {
                format!(" for selector {}", format_selector(&constraint["labelSelector"]))
            } else {
                String::new()
            };
            self.text(&format!(
                "{head}\t{}:{} when max skew {} is exceeded{selector}\n",
                text(&constraint["topologyKey"]),
                text(&constraint["whenUnsatisfiable"]),
                number(&constraint["maxSkew"])
            ));
        }
    }

    pub(super) fn tolerations(&mut self, indent: &str, title: &str, tolerations: &Value) {
        let mut tolerations: Vec<&Value> = list_of(tolerations).iter().collect();
        tolerations.sort_by_key(|t| text(&t["key"]));
        let lines: Vec<String> = tolerations
            .into_iter()
            .map(|toleration| {
                let mut line = text(&toleration["key"]);
                if !text(&toleration["value"]).is_empty() {
                    line.push_str(&format!("={}", text(&toleration["value"])));
                }
                if !text(&toleration["effect"]).is_empty() {
                    line.push_str(&format!(":{}", text(&toleration["effect"])));
                }
                if toleration["operator"] == "Exists" && text(&toleration["value"]).is_empty() {
                    line.push_str(if line.is_empty() { "op=Exists" } else { " op=Exists" });
                }
                if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
                    line.push_str(&format!(" for {seconds}s"));
                }
                line
            })
            .collect();
        self.text(&format!("{indent}{title}:\t"));
        self.list(indent, &lines);
    }

    fn containers(&mut self, label: &str, containers: &Value, statuses: &Value, pod: Option<&Value>, space: &str) {
        let none = if list_of(containers).is_empty() { " <none>" } else { "" };
        self.line(0, &format!("{space}{label}:{none}"));
        for container in list_of(containers) {
            let status = list_of(statuses).iter().find(|status| status["name"] == container["name"]);
            self.container_basics(container, status, space);
            for (title, field) in [("Command:", "command"), ("Args:", "args")] {
                if !list_of(&container[field]).is_empty() {
                    self.line(2, title);
                    list_of(&container[field]).iter().for_each(|word| text(word).split('\n').for_each(|line| self.line(3, line)));
                }
            }
            if let Some(status) = status {
                self.state("State", &status["state"]);
                if status["lastState"]["terminated"].is_object() {
                    self.state("Last State", &status["lastState"]);
                }
                self.field(2, "Ready", if status["ready"] == true { "True" } else { "False" });
                self.field(2, "Restart Count", number(&status["restartCount"]));
            }
            self.resources(&container["resources"], 2);
            for (title, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
                if container[field].is_object() {
                    self.field(2, title, probe(&container[field]));
                }
            }
            self.environment(container, pod);
            self.mounts(container);
        }
    }

    fn container_basics(&mut self, container: &Value, status: Option<&Value>, space: &str) {
        let indent = if space.is_empty() { "" } else { " " };
        self.line(1, &format!("{indent}{}:", text(&container["name"])));
        if let Some(status) = status {
            self.field(2, "Container ID", text(&status["containerID"]));
        }
        self.field(2, "Image", text(&container["image"]));
        if let Some(status) = status {
            self.field(2, "Image ID", text(&status["imageID"]));
        }
        let ports = |field: &str, named: bool| {
            let ports = list_of(&container["ports"]).iter().map(|port| match port["name"].as_str().filter(|name| named && !name.is_empty()) {
                Some(name) => format!("{}/{} ({name})", number(&port[field]), text(&port["protocol"])),
                None => format!("{}/{}", number(&port[field]), text(&port["protocol"])),
            });
            ports.collect::<Vec<_>>().join(", ")
        };
        for (title, ports) in [("Port", ports("containerPort", true)), ("Host Port", ports("hostPort", true))] {
            let plural = if ports.contains(',') { "s" } else { "" };
            self.field(2, &format!("{title}{plural}"), if ports.is_empty() { "<none>".into() } else { ports });
        }
        let seccomp = &container["securityContext"]["seccompProfile"];
        if seccomp.is_object() {
            self.field(2, "SeccompProfile", text(&seccomp["type"]));
            if seccomp["type"] == "Localhost" {
                self.field(3, "LocalhostProfile", text(&seccomp["localhostProfile"]));
            }
        }
    }

    fn state(&mut self, title: &str, state: &Value) {
        if state["running"].is_object() {
            self.field(2, title, "Running");
            self.field(3, "Started", time(&state["running"]["startedAt"]));
        } else if state["terminated"].is_object() {
            let ended = &state["terminated"];
            self.field(2, title, "Terminated");
            for (key, field) in [("Reason", "reason"), ("Message", "message")] {
                if !text(&ended[field]).is_empty() {
                    self.field(3, key, text(&ended[field]));
                }
            }
            self.field(3, "Exit Code", number(&ended["exitCode"]));
            if number(&ended["signal"]) > 0 {
                self.field(3, "Signal", number(&ended["signal"]));
            }
            self.field(3, "Started", time(&ended["startedAt"]));
            self.field(3, "Finished", time(&ended["finishedAt"]));
        } else {
            self.field(2, title, "Waiting");
            if !text(&state["waiting"]["reason"]).is_empty() {
                self.field(3, "Reason", text(&state["waiting"]["reason"]));
            }
        }
    }

    pub(super) fn resources(&mut self, resources: &Value, level: usize) {
        for (title, field) in [("Limits:", "limits"), ("Requests:", "requests")] {
            let Some(map) = resources[field].as_object().filter(|map| !map.is_empty()) else { continue };
            self.line(level, title);
            map.iter().for_each(|(name, quantity)| self.field(level + 1, name, text(quantity)));
        }
    }

    fn environment(&mut self, container: &Value, pod: Option<&Value>) {
        let sources = list_of(&container["envFrom"]);
        if !sources.is_empty() {
            self.line(2, "Environment Variables from:");
            for source in sources {
                let (kind, from) = if source["configMapRef"].is_object() { ("ConfigMap", &source["configMapRef"]) } else { ("Secret", &source["secretRef"]) };
                let prefix = source["prefix"].as_str().filter(|p| !p.is_empty()).map_or(String::new(), |prefix| format!(" with prefix '{prefix}'"));
                self.line(3, &format!("{}\t{kind}{prefix}\tOptional: {}", text(&from["name"]), from["optional"] == true));
            }
        }
        let variables = list_of(&container["env"]);
        self.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
        for variable in variables {
            let (name, from) = (text(&variable["name"]), &variable["valueFrom"]);
            let optional = |reference: &Value| reference["optional"] == true;
            if from["fieldRef"].is_object() {
                let path = text(&from["fieldRef"]["fieldPath"]);
                let value = pod.map_or_else(String::new, |pod| downward(pod, &path));
                self.field(3, &name, format!("{value} ({}:{path})", text(&from["fieldRef"]["apiVersion"])));
            } else if from["resourceFieldRef"].is_object() {
                let resource = text(&from["resourceFieldRef"]["resource"]);
                let value = resource.split_once('.').map_or_else(String::new, |(kind, name)| or(&container["resources"][kind][name], "0"));
                let value = if value == "0" && resource.starts_with("limits.") { "node allocatable".to_owned() } else { value };
                self.field(3, &name, format!("{value} ({resource})"));
            } else if from["secretKeyRef"].is_object() {
                let key = &from["secretKeyRef"];
                self.field(3, &name, format!("<set to the key '{}' in secret '{}'>\tOptional: {}", text(&key["key"]), text(&key["name"]), optional(key)));
            } else if from["configMapKeyRef"].is_object() {
                let key = &from["configMapKeyRef"];
                self.field(3, &name, format!("<set to the key '{}' of config map '{}'>\tOptional: {}", text(&key["key"]), text(&key["name"]), optional(key)));
            } else if from.is_null() {
                for (at, line) in text(&variable["value"]).split('\n').enumerate() {
                    if at == 0 { self.field(3, &name, line) } else { self.line(3, &format!("\t{line}")) }
                }
            }
        }
    }

    fn mounts(&mut self, container: &Value) {
        let mut mounts: Vec<&Value> = list_of(&container["volumeMounts"]).iter().collect();
        mounts.sort_by_key(|mount| text(&mount["mountPath"]));
        self.line(2, if mounts.is_empty() { "Mounts:\t<none>" } else { "Mounts:" });
        for mount in mounts {
            let mut flags = if mount["readOnly"] == true { "ro".to_owned() } else { "rw".to_owned() };
            if !text(&mount["subPath"]).is_empty() {
                flags.push_str(&format!(",path={:?}", text(&mount["subPath"])));
            }
            self.line(3, &format!("{} from {} ({flags})", text(&mount["mountPath"]), text(&mount["name"])));
        }
        let devices = list_of(&container["volumeDevices"]);
        if !devices.is_empty() {
            self.line(2, "Devices:");
            devices.iter().for_each(|device| self.line(3, &format!("{} from {}", text(&device["devicePath"]), text(&device["name"]))));
        }
    }
}

/// The value of a field of the Pod that a variable names.
fn downward(pod: &Value, path: &str) -> String {
    let (field, key) = match path.split_once("['") {
        Some((field, key)) => (field, Some(key.trim_end_matches("']"))),
        None => (path, None),
    };
    let value = field.split('.').fold(pod, |value, name| &value[name]);
    let value = match path {
        "status.podIPs" => return list_of(&pod["status"]["podIPs"]).iter().map(|ip| text(&ip["ip"])).collect::<Vec<_>>().join(","),
        _ => key.map_or(value, |key| &value[key]),
    };
    text(value)
}

fn probe(probe: &Value) -> String {
    let n = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let attributes = format!(
        "delay={}s timeout={}s period={}s successThreshold={} failureThreshold={}",
        n("initialDelaySeconds", 0),
        n("timeoutSeconds", 0),
        n("periodSeconds", 0),
        n("successThreshold", 0),
        n("failureThreshold", 0)
    );
    let what = if probe["exec"].is_object() {
        format!("exec {}", crate::print::go(&probe["exec"]["command"]))
    } else if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        format!("http-get {}://{}:{}{}", text(&get["scheme"]).to_lowercase(), text(&get["host"]), text(&get["port"]), text(&get["path"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp-socket {}:{}", text(&probe["tcpSocket"]["host"]), text(&probe["tcpSocket"]["port"]))
    } else if probe["grpc"].is_object() {
        format!("grpc <pod>:{} {}", text(&probe["grpc"]["port"]), text(&probe["grpc"]["service"]))
    } else {
        "unknown".into()
    };
    format!("{what} {attributes}")
}
