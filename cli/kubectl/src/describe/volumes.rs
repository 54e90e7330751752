//! Volumes of Pods, by what they are made of.

use serde_json::Value;

use super::{Page, list_of, or, text};

impl Page {
    pub(super) fn volumes(&mut self, volumes: &Value, space: &str) {
        if list_of(volumes).is_empty() {
            self.line(0, &format!("{space}Volumes:\t<none>"));
            return;
        }
        self.line(0, &format!("{space}Volumes:"));
        let indent = if space.is_empty() { "" } else { " " };
        for volume in list_of(volumes) {
            self.line(1, &format!("{indent}{}:", text(&volume["name"])));
            self.source(volume);
        }
    }

    /// What a volume is made of, each field on a line.
    pub(super) fn source(&mut self, volume: &Value) {
        let yes = |value: &Value| (value == true).to_string();
        let fields: Vec<(&str, String)> = if let Some(path) = volume.get("hostPath") {
            vec![("Type", "HostPath (bare host directory volume)".into()), ("Path", text(&path["path"])), ("HostPathType", or(&path["type"], "<none>"))]
        } else if let Some(empty) = volume.get("emptyDir") {
            vec![
                ("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)".into()),
                ("Medium", text(&empty["medium"])),
                ("SizeLimit", or(&empty["sizeLimit"], "<unset>")),
            ]
        } else if let Some(secret) = volume.get("secret") {
            vec![
                ("Type", "Secret (a volume populated by a Secret)".into()),
                ("SecretName", text(&secret["secretName"])),
                ("Optional", yes(&secret["optional"])),
            ]
        } else if let Some(map) = volume.get("configMap") {
            vec![("Type", "ConfigMap (a volume populated by a ConfigMap)".into()), ("Name", text(&map["name"])), ("Optional", yes(&map["optional"]))]
        } else if let Some(claim) = volume.get("persistentVolumeClaim") {
            vec![
                ("Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)".into()),
                ("ClaimName", text(&claim["claimName"])),
                ("ReadOnly", yes(&claim["readOnly"])),
            ]
        } else if let Some(nfs) = volume.get("nfs") {
            vec![
                ("Type", "NFS (an NFS mount that lasts the lifetime of a pod)".into()),
                ("Server", text(&nfs["server"])),
                ("Path", text(&nfs["path"])),
                ("ReadOnly", yes(&nfs["readOnly"])),
            ]
        } else if let Some(local) = volume.get("local") {
            vec![("Type", "LocalVolume (a persistent volume backed by local storage on a node)".into()), ("Path", text(&local["path"]))]
        } else if let Some(csi) = volume.get("csi") {
            vec![
                ("Type", "CSI (a Container Storage Interface (CSI) volume source)".into()),
                ("Driver", text(&csi["driver"])),
                ("FSType", text(&csi["fsType"])),
                ("ReadOnly", yes(&csi["readOnly"])),
            ]
        } else if let Some(image) = volume.get("image") {
            vec![
                ("Type", "Image (a container image or OCI artifact)".into()),
                ("Reference", text(&image["reference"])),
                ("PullPolicy", text(&image["pullPolicy"])),
            ]
        } else if let Some(projected) = volume.get("projected") {
            projected_fields(projected)
        } else if let Some(downward) = volume.get("downwardAPI") {
            self.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
            self.line(2, "Items:");
            for item in list_of(&downward["items"]) {
                let what = if item["fieldRef"].is_object() { &item["fieldRef"]["fieldPath"] } else { &item["resourceFieldRef"]["resource"] };
                self.line(3, &format!("{} -> {}", text(what), text(&item["path"])));
            }
            return;
        } else {
            self.line(1, "<unknown>");
            return;
        };
        for (key, value) in fields {
            self.field(2, key, value);
        }
    }
}

fn projected_fields(projected: &Value) -> Vec<(&'static str, String)> {
    let yes = |value: &Value| (value == true).to_string();
    let mut fields = vec![("Type", "Projected (a volume that contains injected data from multiple sources)".to_owned())];
    for source in list_of(&projected["sources"]) {
        if let Some(secret) = source.get("secret") {
            fields.extend([("SecretName", text(&secret["name"])), ("Optional", yes(&secret["optional"]))]);
        } else if source.get("downwardAPI").is_some() {
            fields.push(("DownwardAPI", "true".into()));
        } else if let Some(map) = source.get("configMap") {
            fields.extend([("ConfigMapName", text(&map["name"])), ("Optional", yes(&map["optional"]))]);
        } else if let Some(token) = source.get("serviceAccountToken") {
            fields.push(("TokenExpirationSeconds", text(&token["expirationSeconds"])));
        }
    }
    fields
}
