//! Refusals of security contexts.

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext};
use crate::kinds::checks::{descending_path, in_range};
use crate::kinds::normal::text;

const MAX_ID: i64 = i32::MAX as i64;

/// The security context of a Pod.
pub(super) fn pod(context: &PodSecurityContext, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (id, field) in [(context.fs_group, "fsGroup"), (context.run_as_user, "runAsUser"), (context.run_as_group, "runAsGroup")] {
        errors.extend(id.and_then(|id| in_range(id, 0, MAX_ID, &at.child(field))));
    }
    for (i, id) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.extend(in_range(*id, 0, MAX_ID, &at.child("supplementalGroups").index(i)));
    }
    if let Some(policy) = &context.fs_group_change_policy
        && !matches!(policy.as_str(), "Always" | "OnRootMismatch")
    {
        errors.push(Error::not_supported(&at.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]));
    }
    if let Some(policy) = &context.supplemental_groups_policy
        && !matches!(policy.as_str(), "Merge" | "Strict")
    {
        errors.push(Error::not_supported(&at.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]));
    }
    let mut names = std::collections::BTreeSet::new();
    for (i, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let at = at.child("sysctls").index(i).child("name");
        if sysctl.name.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if !names.insert(&sysctl.name) {
            errors.push(Error::duplicate(&at, &sysctl.name));
        }
    }
    errors.extend(context.seccomp_profile.iter().flat_map(|p| seccomp(p, &at.child("seccompProfile"))));
    errors.extend(context.app_armor_profile.iter().flat_map(|p| app_armor(p, &at.child("appArmorProfile"))));
    errors
}

/// The security context of a container.
pub(super) fn container(context: &SecurityContext, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (id, field) in [(context.run_as_user, "runAsUser"), (context.run_as_group, "runAsGroup")] {
        errors.extend(id.and_then(|id| in_range(id, 0, MAX_ID, &at.child(field))));
    }
    if let Some(mount) = &context.proc_mount
        && !matches!(mount.as_str(), "Default" | "Unmasked")
    {
        errors.push(Error::not_supported(&at.child("procMount"), mount, &["Default", "Unmasked"]));
    }
    errors.extend(context.seccomp_profile.iter().flat_map(|p| seccomp(p, &at.child("seccompProfile"))));
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            let words = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(at, printed_json(context), words));
        }
        if context.capabilities.iter().flat_map(|c| c.add.iter().flatten()).any(|c| c == "CAP_SYS_ADMIN") {
            let words = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(at, printed_json(context), words));
        }
    }
    errors.extend(context.app_armor_profile.iter().flat_map(|p| app_armor(p, &at.child("appArmorProfile"))));
    errors
}

fn seccomp(profile: &SeccompProfile, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let local = text(&profile.localhost_profile);
    match profile.type_.as_str() {
        "Localhost" if local.is_empty() => {
            errors.push(Error::required(&at.child("localhostProfile"), "must be set when seccomp type is Localhost"));
        }
        "Localhost" => errors.extend(descending_path(local, &at.child("localhostProfile"))),
        "" => errors.push(Error::required(&at.child("type"), "type is required when seccompProfile is set")),
        "RuntimeDefault" | "Unconfined" => {
            if profile.localhost_profile.is_some() {
                errors.push(Error::invalid(&at.child("localhostProfile"), local, "can only be set when seccomp type is Localhost"));
            }
        }
        other => errors.push(Error::not_supported(&at.child("type"), other, &["Localhost", "RuntimeDefault", "Unconfined"])),
    }
    errors
}

fn app_armor(profile: &AppArmorProfile, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let local = text(&profile.localhost_profile);
    match profile.type_.as_str() {
        "Localhost" if local.is_empty() => {
            errors.push(Error::required(&at.child("localhostProfile"), "must be set when AppArmor type is Localhost"));
        }
        "Localhost" => {}
        "" => errors.push(Error::required(&at.child("type"), "type is required when appArmorProfile is set")),
        "RuntimeDefault" | "Unconfined" => {
            if profile.localhost_profile.is_some() {
                errors.push(Error::invalid(&at.child("localhostProfile"), local, "can only be set when AppArmor type is Localhost"));
            }
        }
        other => errors.push(Error::not_supported(&at.child("type"), other, &["Localhost", "RuntimeDefault", "Unconfined"])),
    }
    errors
}
