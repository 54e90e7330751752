//! Images and guests that are broken or hostile: each gets its clear error in the right place, and the neighbours go on.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::cluster::{Cluster, Shared, eventually};
use crate::deploy::{answers, probe, web};
use crate::registry::digest;
use crate::{guests, http};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("bad_images::each_is_told_in_words", each_is_told_in_words),
        shared.test("bad_images::a_spinning_guest_can_be_deleted", a_spinning_guest_can_be_deleted),
        Trial::test("bad_images::a_module_that_compiles_for_ever_is_refused", a_module_that_compiles_for_ever_is_refused),
        Trial::test("bad_images::the_neighbour_of_a_spinning_guest_goes_first", the_neighbour_of_a_spinning_guest_goes_first),
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

/// A component that is small and valid, and takes minutes to compile: a thousand values that live through ten thousand loops.
fn endless() -> Vec<u8> {
    const VALUES: usize = 1000;
    const LOOPS: usize = 10_000;
    let get = |n: usize| [&[0x20][..], &leb(n)].concat();
    let mut code = Vec::new();
    for n in 0..VALUES {
        // i32.load of a place of its own, local.set
        code.extend([&[0x41, 0, 0x28, 2][..], &leb(n * 4), &[0x21], &leb(n)].concat());
    }
    for n in 0..LOOPS {
        let (one, other) = (n % VALUES, (n * 7 + 1) % VALUES);
        // loop; the sum of two, which one of them becomes; br_if; end
        code.extend([&[0x03, 0x40][..], &get(one), &get(other), &[0x6a, 0x22], &leb(one), &[0x0d, 0, 0x0b]].concat());
    }
    code.extend(get(0));
    for n in 1..VALUES {
        code.extend([get(n), vec![0x6a]].concat());
    }
    let body = [&[1][..], &leb(VALUES), &[0x7f], &code, &[0x0b]].concat();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 0, 1, 0x7f])); // (func (result i32))
    module.extend(section(3, &[1, 0]));
    module.extend(section(5, &[1, 0, 1])); // (memory 1)
    module.extend(section(7, b"\x01\x03run\0\0")); // (export "run" (func 0))
    module.extend(section(10, &[&[1][..], &leb(body.len()), &body].concat()));
    let name = b"wasi:cli/run@0.2.0";
    let mut component = EMPTY.to_vec();
    component.extend(section(1, &module));
    component.extend(section(2, &[1, 0, 0, 0])); // (core instance (instantiate 0))
    component.extend(section(6, b"\x01\0\0\x01\0\x03run")); // (alias core export 0 "run" (core func))
    component.extend(section(7, &[2, 0x6a, 0, 0, 0x40, 0, 0, 0])); // (type (result)) (type (func (result 0)))
    component.extend(section(8, &[1, 0, 0, 0, 0, 1])); // (func (canon lift (core func 0)))
    component.extend(section(5, b"\x01\x01\x01\0\x03run\x01\0")); // (instance (export "run" (func 0)))
    component.extend(section(11, &[&[1, 0, name.len() as u8][..], name, &[5, 0, 0]].concat()));
    component
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

fn a_module_that_compiles_for_ever_is_refused() -> Result<(), Failed> {
    let cluster = Cluster::start(&["--compile-seconds", "2"])?;
    let namespace = cluster.namespace("endless")?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let image = guests::registry()?.add("bad/endless", &endless());
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "endless"}, "spec": {"containers": [{"name": "c", "image": image}]}});
    cluster.api.create(&path, &pod)?;
    let words = "failed to compile";
    let pod = cluster.pod_until(&namespace, "endless", "waiting with the reason", |pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        matches!(waiting["reason"].as_str(), Some("ErrImagePull" | "ImagePullBackOff")) && waiting["message"].as_str().is_some_and(|m| m.contains(words))
    })?;
    let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].to_string();
    // By its processor's time or, where there is none to be had, by the clock.
    let told = ["2s", "20s"].iter().any(|after| message.contains(&format!("stopped after {after}: the module takes longer to compile than this node allows")));
    if !told || pod["status"]["phase"] != "Pending" {
        return Err(pod["status"].to_string().into());
    }
    eventually("an Event that says why", || {
        let events = cluster.events(&namespace, "endless")?;
        let told = events.iter().any(|e| e.starts_with("Failed: ") && e.contains(words) && e.contains("takes longer to compile"));
        if told { Ok(()) } else { Err(events.join("\n").into()) }
    })?;
    // The node goes on: another image is pulled and compiled.
    cluster.api.create(&path, &probe("well", &["hello"], json!({}))?)?;
    cluster.pod_until(&namespace, "well", "ended", |pod| pod["status"]["phase"] == "Succeeded")?;
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

/// How fast the neighbour stays is measured by `wharf-bench neighbour`. What makes it so is shown here: who spins gives way.
fn the_neighbour_of_a_spinning_guest_goes_first() -> Result<(), Failed> {
    let cluster = Cluster::start(&[])?;
    let namespace = cluster.namespace("neighbour")?;
    cluster.create(&namespace, &web("web", &guests::image("http-p2")?, "web.example", 1))?;
    answers(&cluster, "web.example", "/", "Hello, WASI!")?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    cluster.api.create(&path, &probe("spinner", &["spin"], json!({}))?)?;
    cluster.pod_ready(&namespace, "spinner")?;
    // Every request is answered, for as long as it takes the spinner to use a second of a processor on threads that give way.
    let begin = processor(&cluster)?;
    eventually("the spinner to use a second of a processor on threads that give way", || {
        for _ in 0..100 {
            let answer = http::get(cluster.http, "web.example", "/")?;
            if answer.status != 200 {
                return Err(format!("{} {}", answer.status, answer.text()).into());
            }
        }
        let used = processor(&cluster)?.since(begin);
        if used.giving_way >= 100 { Ok(()) } else { Err(format!("{used:?}").into()) }
    })?;
    // Where nobody asks for anything, what is used is the spinner's: nothing of it is taken at the priority of the others.
    let begin = processor(&cluster)?;
    eventually("the spinner alone to use half a second", || {
        let used = processor(&cluster)?.since(begin);
        if used.giving_way >= 50 { Ok(()) } else { Err(format!("{used:?}").into()) }
    })?;
    let used = processor(&cluster)?.since(begin);
    if used.others * 4 > used.giving_way {
        return Err(format!("the spinner takes its time from the others: {used:?}").into());
    }
    let spinner = cluster.api.get(&format!("{path}/spinner"))?;
    if spinner["status"]["phase"] != "Running" {
        return Err(format!("it did not spin all the time: {}", spinner["status"]).into());
    }
    Ok(())
}

/// Processor time of a cluster's threads, in hundredths of a second.
#[derive(Clone, Copy, Debug, Default)]
struct Processor {
    /// Of those that let everyone else go first.
    giving_way: u64,
    others: u64,
}

impl Processor {
    fn since(self, begin: Processor) -> Processor {
        Processor { giving_way: self.giving_way.saturating_sub(begin.giving_way), others: self.others.saturating_sub(begin.others) }
    }
}

fn processor(cluster: &Cluster) -> Result<Processor, Failed> {
    let mut sum = Processor::default();
    for task in std::fs::read_dir(format!("/proc/{}/task", cluster.pid()))? {
        // One that has ended in the meantime is gone.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        // Behind the name, which may hold anything: utime, stime and nice are the 14th, 15th and 19th of all.
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field).and_then(|f| f.parse::<i64>().ok()).ok_or("no number");
        let ticks = u64::try_from(number(11)? + number(12)?)?;
        *(if number(16)? > 0 { &mut sum.giving_way } else { &mut sum.others }) += ticks;
    }
    Ok(sum)
}
