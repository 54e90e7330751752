//! Images and guests that are broken or hostile: each gets its clear error in the right place, and the neighbours go on.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::cluster::{Cluster, Shared, eventually};
use crate::deploy::probe;
use crate::guests;
use crate::registry::digest;

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("bad_images::each_is_told_in_words", each_is_told_in_words),
        shared.test("bad_images::a_spinning_guest_can_be_deleted", a_spinning_guest_can_be_deleted),
    ]
}

/// A component with nothing in it but what is given, in binary: `(component …)`.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// `(component (import "nobody:here/thing@1.2.3" (instance)))`
fn unknown_import() -> Vec<u8> {
    let mut bytes = EMPTY.to_vec();
    // Type section: one instance type without declarations.
    bytes.extend([7, 3, 1, 0x42, 0]);
    let name = b"nobody:here/thing@1.2.3";
    // Import section: one import, plain name, of an instance of type 0.
    let mut section = vec![1, 0, name.len() as u8];
    section.extend(name);
    section.extend([5, 0]);
    bytes.extend([10, section.len() as u8]);
    bytes.extend(section);
    bytes
}

fn each_is_told_in_words(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("images")?;
    let registry = guests::registry()?;
    let good = guests::wasm("probe")?;
    let cases = [
        ("truncated", registry.add("bad/truncated", &good[..good.len() / 2]), ""),
        ("text", registry.add("bad/text", b"#!/bin/sh\necho hi\n"), ""),
        ("digest", registry.add_as("bad/digest", &good, &digest(b"something else")), "digest"),
        ("nothing", registry.add("bad/nothing", EMPTY), "export"),
        ("unknown", registry.add("bad/unknown", &unknown_import()), "nobody:here/thing"),
        ("absent", format!("{}-absent", guests::image("probe")?), "not found"),
        ("no-registry", "localhost:1/no/such:image".to_owned(), "refused"),
        ("name", "Not A Name".to_owned(), ""),
    ];
    for (name, image, _) in &cases {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": image}]}});
        cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
    }
    for (name, image, words) in &cases {
        let reason = if *name == "name" {
            &["InvalidImageName", "InspectFailed"][..]
        } else {
            &["ErrImagePull", "ImagePullBackOff", "CreateContainerError", "RunContainerError", "ErrImageInvalid"]
        };
        let pod = cluster.pod_until(&namespace, name, "waiting with a reason", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().is_some_and(|r| reason.contains(&r))
        })?;
        if pod["status"]["phase"] != "Pending" {
            return Err(format!("{name}: {}", pod["status"]).into());
        }
        eventually(&format!("an Event about {name}"), || {
            let events = cluster.events(&namespace, name)?;
            let told = events
                .iter()
                .any(|e| (e.starts_with("Failed: ") || e.starts_with("InspectFailed: ")) && e.to_lowercase().contains(words) && e.contains(image.as_str()));
            if told { Ok(()) } else { Err(events.join("\n").into()) }
        })?;
    }
    Ok(())
}

fn a_spinning_guest_can_be_deleted(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("spin")?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    cluster.api.create(&path, &probe("spinner", &["spin"], json!({}))?)?;
    cluster.pod_ready(&namespace, "spinner")?;
    // The node goes on while it spins.
    cluster.api.create(&path, &probe("neighbour", &["hello"], json!({}))?)?;
    cluster.pod_until(&namespace, "neighbour", "ended", |pod| pod["status"]["phase"] == "Succeeded")?;
    cluster.api.delete(&format!("{path}/spinner?gracePeriodSeconds=1"))?;
    eventually("the spinner to be gone", || match cluster.api.request("GET", &format!("{path}/spinner"), "", None)?.status {
        404 => Ok(()),
        code => Err(code.to_string().into()),
    })
}
