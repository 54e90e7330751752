//! Refusals of volumes.

use std::collections::BTreeSet;

use super::env::{VOLUME_FIELDS, field_ref, resource_field_ref};
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume};
use crate::kinds::checks::{each, file_path, no_backsteps, one_of};
use crate::kinds::normal::text;
use crate::kinds::pod::volume_sources;
use crate::meta::dns1123_label;

/// The volumes of a Pod.
pub(super) fn all(volumes: &[Volume], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut names = BTreeSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let at = at.index(i);
        errors.extend(source(volume, &at));
        let name = &volume.name;
        let complaints = dns1123_label(name);
        if name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        } else if !complaints.is_empty() {
            errors.extend(each(&at.child("name"), name, complaints));
        } else if !names.insert(name) {
            errors.push(Error::duplicate(&at.child("name"), name));
        }
    }
    errors
}

fn source(v: &Volume, at: &Path) -> Errors {
    let sources = volume_sources(v);
    let Some((first, others)) = sources.split_first() else { return vec![Error::required(at, "must specify a volume type")] };
    let mut errors: Errors = one_source(v, first, &at.child(first));
    errors.extend(others.iter().map(|field| Error::forbidden(&at.child(field), "may not specify more than 1 volume type")));
    errors
}

fn one_source(v: &Volume, field: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut require = |value: &str, field: &str| {
        if value.is_empty() {
            errors.push(Error::required(&at.child(field), ""));
        }
    };
    match field {
        "emptyDir" => {
            let negative = v.empty_dir.as_ref().and_then(|e| e.size_limit.as_ref()).is_some_and(crate::kinds::amount::is_negative);
            errors.extend(negative.then(|| Error::forbidden(&at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")));
        }
        "hostPath" => {
            if let Some(host_path) = &v.host_path {
                errors.extend(host_path_source(&host_path.path, host_path.type_.as_deref(), at));
            }
        }
        "gitRepo" => {
            if let Some(git) = &v.git_repo {
                require(&git.repository, "repository");
                errors.extend(crate::kinds::checks::descending_path(text(&git.directory), &at.child("directory")));
            }
        }
        "secret" => {
            if let Some(secret) = &v.secret {
                require(text(&secret.secret_name), "secretName");
                errors.extend(mode(secret.default_mode, &at.child("defaultMode")));
                errors.extend(items(secret.items.as_deref(), &at.child("items")));
            }
        }
        "configMap" => {
            if let Some(config_map) = &v.config_map {
                require(&config_map.name, "name");
                errors.extend(mode(config_map.default_mode, &at.child("defaultMode")));
                errors.extend(items(config_map.items.as_deref(), &at.child("items")));
            }
        }
        "nfs" => {
            if let Some(nfs) = &v.nfs {
                require(&nfs.server, "server");
                require(&nfs.path, "path");
                if !nfs.path.is_empty() && !nfs.path.starts_with('/') {
                    errors.push(Error::invalid(&at.child("path"), &nfs.path, "must be an absolute path"));
                }
            }
        }
        "persistentVolumeClaim" => require(v.persistent_volume_claim.as_ref().map_or("", |c| &c.claim_name), "claimName"),
        "downwardAPI" => {
            if let Some(downward) = &v.downward_api {
                errors.extend(mode(downward.default_mode, &at.child("defaultMode")));
                errors.extend(downward_files(downward.items.as_deref().unwrap_or_default(), at));
            }
        }
        "projected" => errors.extend(v.projected.iter().flat_map(|p| projected(p, at))),
        "csi" => require(v.csi.as_ref().map_or("", |c| &c.driver), "driver"),
        "ephemeral" => {
            let template = v.ephemeral.as_ref().and_then(|e| e.volume_claim_template.as_ref());
            match template {
                None => errors.push(Error::required(&at.child("volumeClaimTemplate"), "")),
                Some(t) => errors.extend(crate::kinds::persistent_volume_claim::validate_spec(&t.spec, &at.child("volumeClaimTemplate.spec"))),
            }
        }
        "image" => {
            if let Some(image) = &v.image {
                require(text(&image.reference), "reference");
                errors.extend(one_of(image.pull_policy.as_deref(), &["Always", "IfNotPresent", "Never"], &at.child("pullPolicy")));
            }
        }
        "iscsi" => {
            if let Some(iscsi) = &v.iscsi {
                require(&iscsi.target_portal, "targetPortal");
                require(&iscsi.iqn, "iqn");
            }
        }
        "glusterfs" => {
            if let Some(gluster) = &v.glusterfs {
                require(&gluster.endpoints, "endpoints");
                require(&gluster.path, "path");
            }
        }
        "rbd" => {
            if let Some(rbd) = &v.rbd {
                require(if rbd.monitors.is_empty() { "" } else { "some" }, "monitors");
                require(&rbd.image, "image");
            }
        }
        "cephfs" => require(if v.cephfs.as_ref().is_none_or(|c| c.monitors.is_empty()) { "" } else { "some" }, "monitors"),
        "cinder" => require(v.cinder.as_ref().map_or("", |c| &c.volume_id), "volumeID"),
        "flexVolume" => require(v.flex_volume.as_ref().map_or("", |c| &c.driver), "driver"),
        "azureFile" => {
            if let Some(azure) = &v.azure_file {
                require(&azure.secret_name, "secretName");
                require(&azure.share_name, "shareName");
            }
        }
        "awsElasticBlockStore" => require(v.aws_elastic_block_store.as_ref().map_or("", |c| &c.volume_id), "volumeID"),
        "gcePersistentDisk" => require(v.gce_persistent_disk.as_ref().map_or("", |c| &c.pd_name), "pdName"),
        _ => {}
    }
    errors
}

/// A folder or file of the node.
pub(crate) fn host_path_source(path: &str, kind: Option<&str>, at: &Path) -> Errors {
    const TYPES: &[&str] = &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if path.is_empty() {
        return vec![Error::required(&at.child("path"), "")];
    }
    let mut errors: Errors = no_backsteps(path, &at.child("path")).into_iter().collect();
    if let Some(kind) = kind.filter(|k| !TYPES.contains(k)) {
        errors.push(Error::not_supported(&at.child("type"), kind, TYPES));
    }
    errors
}

fn mode(mode: Option<i32>, at: &Path) -> Option<Error> {
    let mode = mode.filter(|m| !(0..=0o777).contains(m))?;
    Some(Error::invalid(at, mode, "must be a number between 0 and 0777 (octal), both inclusive"))
}

fn items(items: Option<&[KeyToPath]>, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, item) in items.into_iter().flatten().enumerate() {
        let at = at.index(i);
        if item.key.is_empty() {
            errors.push(Error::required(&at.child("key"), ""));
        }
        if item.path.is_empty() {
            errors.push(Error::required(&at.child("path"), ""));
        } else {
            errors.extend(file_path(&item.path, &at.child("path")));
        }
        errors.extend(mode(item.mode, &at.child("mode")));
    }
    errors
}

fn downward_files(files: &[DownwardAPIVolumeFile], at: &Path) -> Errors {
    let mut errors = Errors::new();
    for file in files {
        if file.path.is_empty() {
            errors.push(Error::required(&at.child("path"), ""));
        } else {
            errors.extend(file_path(&file.path, &at.child("path")));
        }
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), resource) => {
                errors.extend(field_ref(field, VOLUME_FIELDS, &at.child("fieldRef")));
                if resource.is_some() {
                    errors.push(Error::invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
                }
            }
            (None, Some(resource)) => errors.extend(resource_field_ref(resource, true, &at.child("resourceFieldRef"))),
            (None, None) => errors.push(Error::required(at, "one of fieldRef and resourceFieldRef is required")),
        }
        errors.extend(mode(file.mode, &at.child("mode")));
    }
    errors
}

fn projected(projected: &ProjectedVolumeSource, at: &Path) -> Errors {
    let mut errors: Errors = mode(projected.default_mode, &at.child("defaultMode")).into_iter().collect();
    let mut paths = BTreeSet::new();
    for (i, source) in projected.sources.iter().flatten().enumerate() {
        let at = at.child("sources").index(i);
        let mut count = 0;
        let mut only = |errors: &mut Errors, field: &str| {
            count += 1;
            if count > 1 {
                errors.push(Error::forbidden(&at.child(field), "may not specify more than 1 volume type"));
            }
            count == 1
        };
        let mut files: Vec<&str> = Vec::new();
        for (given, field) in [
            (source.secret.as_ref().map(|s| (&s.name, s.items.as_deref())), "secret"),
            (source.config_map.as_ref().map(|c| (&c.name, c.items.as_deref())), "configMap"),
        ] {
            let Some((name, list)) = given else { continue };
            if !only(&mut errors, field) {
                continue;
            }
            let at = at.child(field);
            if name.is_empty() {
                errors.push(Error::required(&at.child("name"), ""));
            }
            errors.extend(items(list, &at.child("items")));
            files.extend(list.into_iter().flatten().map(|i| i.path.as_str()));
        }
        if let Some(downward) = &source.downward_api
            && only(&mut errors, "downwardAPI")
        {
            let list = downward.items.as_deref().unwrap_or_default();
            errors.extend(downward_files(list, &at.child("downwardAPI")));
            files.extend(list.iter().map(|i| i.path.as_str()));
        }
        if let Some(token) = &source.service_account_token
            && only(&mut errors, "serviceAccountToken")
        {
            let at = at.child("serviceAccountToken");
            match token.expiration_seconds {
                Some(seconds) if seconds < 600 => {
                    errors.push(Error::invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes"));
                }
                Some(seconds) if seconds > 1 << 32 => {
                    errors.push(Error::invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds"));
                }
                _ => {}
            }
            if token.path.is_empty() {
                errors.push(Error::required(&at.child("path"), ""));
            } else {
                errors.extend(file_path(&token.path, &at.child("path")));
                files.push(&token.path);
            }
        }
        if let Some(bundle) = &source.cluster_trust_bundle
            && only(&mut errors, "clusterTrustBundle")
        {
            let at = at.child("clusterTrustBundle");
            match (bundle.name.is_some(), bundle.signer_name.is_some()) {
                (true, true) => errors.push(Error::invalid(&at, "", "only one of name and signerName may be used")),
                (false, false) => errors.push(Error::required(&at, "either name or signerName must be specified")),
                _ => {}
            }
            if bundle.path.is_empty() {
                errors.push(Error::required(&at.child("path"), ""));
            } else {
                errors.extend(file_path(&bundle.path, &at.child("path")));
                files.push(&bundle.path);
            }
        }
        if source.pod_certificate.is_some() {
            only(&mut errors, "podCertificate");
        }
        if count == 0 {
            errors.push(Error::required(&at, "must specify a volume type"));
        }
        for file in files.into_iter().filter(|f| !f.is_empty()) {
            if !paths.insert(file) {
                errors.push(Error::invalid(&at, file, "conflicting duplicate paths"));
            }
        }
    }
    errors
}
