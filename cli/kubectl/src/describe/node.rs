//! Nodes.

use serde_json::Value;

use super::quantity::{Quantity, of_pod};
use super::{Page, Related, list_of, or, text, time};
use crate::print::age;

impl Page {
    pub(super) fn node(&mut self, node: &Value, related: &Related) -> bool {
        let (metadata, spec, status) = (&node["metadata"], &node["spec"], &node["status"]);
        self.field(0, "Name", text(&metadata["name"]));
        let mut roles: Vec<String> = metadata["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) if !role.is_empty() => Some(role.to_owned()),
                _ => value.as_str().filter(|role| key == "kubernetes.io/role" && !role.is_empty()).map(str::to_owned),
            })
            .collect();
        roles.sort();
        self.field(0, "Roles", if roles.is_empty() { "<none>".into() } else { roles.join(",") });
        self.metadata(node);
        self.field(0, "CreationTimestamp", time(&metadata["creationTimestamp"]));
        self.taints(&spec["taints"]);
        self.field(0, "Unschedulable", spec["unschedulable"] == true);
        match &related.lease {
            Some(Ok(lease)) => {
                let lease = &lease["spec"];
                let at = |field: &str| if lease[field].is_string() { time(&lease[field]) } else { "<unset>".into() };
                self.line(0, "Lease:");
                self.field(1, "HolderIdentity", or(&lease["holderIdentity"], "<unset>"));
                self.field(1, "AcquireTime", at("acquireTime"));
                self.field(1, "RenewTime", at("renewTime"));
            }
            Some(Err(why)) => self.field(0, "Lease", format!("Failed to get lease: {why}")),
            None => {}
        }
        if !list_of(&status["conditions"]).is_empty() {
            self.text("Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n");
            self.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
            for c in list_of(&status["conditions"]) {
                let line = format!(
                    "{} \t{} \t{} \t{} \t{} \t{}",
                    text(&c["type"]),
                    text(&c["status"]),
                    time(&c["lastHeartbeatTime"]),
                    time(&c["lastTransitionTime"]),
                    text(&c["reason"]),
                    text(&c["message"])
                );
                self.line(1, &line);
            }
        }
        self.line(0, "Addresses:");
        list_of(&status["addresses"]).iter().for_each(|address| self.field(1, &text(&address["type"]), text(&address["address"])));
        for (title, field) in [("Capacity:", "capacity"), ("Allocatable:", "allocatable")] {
            if let Some(map) = status[field].as_object().filter(|map| !map.is_empty()) {
                self.line(0, title);
                map.iter().for_each(|(name, quantity)| self.field(1, name, text(quantity)));
            }
        }
        self.system(&status["nodeInfo"]);
        if !text(&spec["podCIDR"]).is_empty() {
            self.field(0, "PodCIDR", text(&spec["podCIDR"]));
        }
        if !list_of(&spec["podCIDRs"]).is_empty() {
            self.field(0, "PodCIDRs", list_of(&spec["podCIDRs"]).iter().map(text).collect::<Vec<_>>().join(","));
        }
        if !text(&spec["providerID"]).is_empty() {
            self.field(0, "ProviderID", text(&spec["providerID"]));
        }
        self.node_pods(node, &related.pods);
        true
    }

    fn taints(&mut self, taints: &Value) {
        let mut taints: Vec<&Value> = list_of(taints).iter().collect();
        taints.sort_by_key(|taint| format!("{},{}", text(&taint["effect"]), text(&taint["key"])));
        let lines: Vec<String> = taints
            .into_iter()
            .map(|taint| {
                let (value, effect) = (text(&taint["value"]), text(&taint["effect"]));
                let value = if value.is_empty() { String::new() } else { format!("={value}") };
                format!("{}{value}{}", text(&taint["key"]), if effect.is_empty() { String::new() } else { format!(":{effect}") })
            })
            .collect();
        self.text("Taints:\t");
        self.list("", &lines);
    }

    fn system(&mut self, info: &Value) {
        self.line(0, "System Info:");
        for (title, field) in [
            ("Machine ID", "machineID"),
            ("System UUID", "systemUUID"),
            ("Boot ID", "bootID"),
            ("Kernel Version", "kernelVersion"),
            ("OS Image", "osImage"),
            ("Operating System", "operatingSystem"),
            ("Architecture", "architecture"),
            ("Container Runtime Version", "containerRuntimeVersion"),
            ("Kubelet Version", "kubeletVersion"),
            ("Kube-Proxy Version", "kubeProxyVersion"),
        ] {
            self.field(1, title, text(&info[field]));
        }
    }

    fn node_pods(&mut self, node: &Value, pods: &[Value]) {
        let allocatable = if node["status"]["allocatable"].is_object() { &node["status"]["allocatable"] } else { &node["status"]["capacity"] };
        self.field(0, "Non-terminated Pods", format!("({} in total)", pods.len()));
        self.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
        self.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
        let share = |quantity: Quantity, resource: &str| format!("{quantity} ({}%)", quantity.percent_of(Quantity::of(&allocatable[resource])));
        for pod in pods {
            let cell = |kind: &str, resource: &str| share(of_pod(pod, kind, resource), resource);
            let line = format!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{}",
                text(&pod["metadata"]["namespace"]),
                text(&pod["metadata"]["name"]),
                cell("requests", "cpu"),
                cell("limits", "cpu"),
                cell("requests", "memory"),
                cell("limits", "memory"),
                age::since(&text(&pod["metadata"]["creationTimestamp"]), self.now)
            );
            self.line(1, &line);
        }
        self.text("Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)\n");
        self.line(1, "Resource\tRequests\tLimits");
        self.line(1, "--------\t--------\t------");
        let total = |kind: &str, resource: &str| {
            let mut sum = Quantity::default();
            pods.iter().for_each(|pod| sum.add(of_pod(pod, kind, resource)));
            sum
        };
        let mut names: Vec<&str> = vec!["cpu", "memory", "ephemeral-storage"];
        let others = || allocatable.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        names.extend(others().filter(|name| name.starts_with("hugepages-")));
        for name in names {
            self.line(1, &format!("{name}\t{}\t{}", share(total("requests", name), name), share(total("limits", name), name)));
        }
        for name in others().filter(|name| name.contains('/')) {
            self.line(1, &format!("{name}\t{}\t{}", total("requests", name), total("limits", name)));
        }
    }
}
