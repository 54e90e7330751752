//! What must stay true of the repository itself: which crate may see which, that everything is
//! registered, and that no file grows past reading. It states what is *absent*.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which crates of the workspace a crate may depend on. An edge that is not here is not allowed.
const EDGES: &[(&str, &[&str])] = &[
    // Pure: no I/O, no async, nobody else's types.
    ("wharf-api", &[]),
    ("wharf-net", &[]),
    ("wharf-rest", &[]),
    ("wharf-store", &["wharf-rest"]),
    // Knows no Kubernetes type.
    ("wharf-engine", &[]),
    ("wharf-image", &[]),
    // Only the server sees the store; the rest are clients of the API.
    ("wharf-server", &["wharf-api", "wharf-rest", "wharf-store"]),
    ("wharf-controllers", &["wharf-api", "wharf-rest"]),
    ("wharf-scheduler", &["wharf-api", "wharf-rest"]),
    // Knows no Kubernetes: who may do what, others answer.
    ("wharf-registry", &[]),
    ("wharf-node", &["wharf-api", "wharf-engine", "wharf-image", "wharf-net", "wharf-rest"]),
    ("wharf-dns", &["wharf-net"]),
    ("wharf-ingress", &["wharf-net", "wharf-rest"]),
    // A client of any cluster: it sees nothing of ours.
    ("wharf-kubectl", &[]),
    // Knows no Kubernetes type either.
    ("wharf-plugin-host", &["wharf-engine"]),
    // For guests: small.
    ("wharf-plugin", &[]),
    // Wires them all.
    (
        "wharf",
        &[
            "wharf-api",
            "wharf-controllers",
            "wharf-dns",
            "wharf-engine",
            "wharf-image",
            "wharf-ingress",
            "wharf-kubectl",
            "wharf-net",
            "wharf-node",
            "wharf-registry",
            "wharf-plugin-host",
            "wharf-scheduler",
            "wharf-server",
            "wharf-store",
        ],
    ),
    // What guests are made of, which know nothing of us.
    ("wharf-sdk", &["wharf-sdk-macros"]),
    ("wharf-sdk-macros", &[]),
    ("wharf-tests", &["wharf"]),
    ("xtask", &[]),
    ("wharf-bench", &[]),
];

/// Crates that a pure crate must never see.
const IMPURE: &[&str] = &["tokio", "hyper", "axum", "kube", "wasmtime", "rustls", "redb", "reqwest", "tower"];
const PURE: &[&str] = &["wharf-api", "wharf-net", "wharf-rest"];

/// Lines a source file may have. Files of tables, whose length is their content, are named here.
const MAX_LINES: usize = 900;
const LONG: &[&str] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// Package name → names of its normal dependencies, of every member of the workspace.
fn manifests() -> BTreeMap<String, BTreeSet<String>> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let normal = dependencies.filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect();
            (text(&package["name"]), normal)
        })
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn crates_see_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let manifests = manifests();
    let members: BTreeSet<&String> = manifests.keys().collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in &manifests {
        let Some(may) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name} is not in EDGES"));
            continue;
        };
        for dependency in dependencies.iter().filter(|d| members.contains(d)) {
            if !may.contains(&dependency.as_str()) {
                wrong.push(format!("{name} must not depend on {dependency}"));
            }
        }
        if PURE.contains(&name.as_str()) {
            wrong.extend(IMPURE.iter().filter(|i| dependencies.contains(**i)).map(|i| format!("{name} is pure and must not see {i}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The modules that `mod.rs` (or `lib.rs`) declares, and the files that stand beside it.
fn declared_and_present(folder: &Path, register: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = std::fs::read_to_string(register).expect("the register is readable");
    let declared = text
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("pub mod ").or_else(|| line.trim().strip_prefix("mod ")).or_else(|| line.trim().strip_prefix("pub(crate) mod "))
        })
        .filter_map(|rest| rest.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let present = std::fs::read_dir(folder)
        .expect("the folder is readable")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
        .filter(|name| !["mod", "lib", "README.md"].contains(&name.as_str()))
        .collect();
    (declared, present)
}

#[test]
fn every_kind_is_registered() {
    let folder = root().join("control/api/src/kinds");
    let (declared, present) = declared_and_present(&folder, &folder.join("mod.rs"));
    assert_eq!(present.difference(&declared).collect::<Vec<_>>(), Vec::<&String>::new(), "files of control/api/src/kinds that mod.rs does not declare");
    let register = std::fs::read_to_string(folder.join("mod.rs")).expect("readable");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let mut found = 0;
    let mut missing = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        for line in text.lines() {
            let Some(kind) = line.strip_prefix("impl Kind for ").and_then(|rest| rest.strip_suffix(" {")) else { continue };
            found += 1;
            if !register.contains(&format!("::{kind}>")) {
                missing.push(format!("{kind} of {}", file.display()));
            }
        }
    }
    assert!(found >= 19, "only {found} kinds found: the check has lost what it checks");
    assert!(missing.is_empty(), "kinds that are not in kinds::all(): {missing:?}");
}

#[test]
fn every_controller_and_scheduler_plugin_is_registered() {
    for (folder, implements) in [("control/controllers/src/controllers", "impl Controller for "), ("control/scheduler/src/plugins", "impl Plugin for ")] {
        let folder = root().join(folder);
        let register = std::fs::read_to_string(folder.join("mod.rs")).expect("readable");
        let (declared, present) = declared_and_present(&folder, &folder.join("mod.rs"));
        assert_eq!(present.difference(&declared).collect::<Vec<_>>(), Vec::<&String>::new(), "files that mod.rs does not declare");
        let mut files = Vec::new();
        rust_files(&folder, &mut files);
        let (mut found, mut missing) = (0, Vec::new());
        for file in files {
            let text = std::fs::read_to_string(&file).expect("readable");
            for name in text.lines().filter_map(|line| line.strip_prefix(implements)?.strip_suffix(" {")) {
                found += 1;
                if !register.contains(&format!("::{name}")) {
                    missing.push(format!("{name} of {}", file.display()));
                }
            }
        }
        assert!(found >= 9, "only {found} times {implements:?} below {}: the check has lost what it checks", folder.display());
        assert!(missing.is_empty(), "not in all(): {missing:?}");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    let mut long = Vec::new();
    for file in files {
        let relative = file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        let lines = std::fs::read_to_string(&file).map(|text| text.lines().count()).unwrap_or(0);
        if lines > MAX_LINES && !LONG.contains(&relative.as_str()) {
            long.push(format!("{relative}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "over {MAX_LINES} lines, look for the seam:\n{}", long.join("\n"));
}

#[test]
fn only_the_server_and_the_binary_see_the_store() {
    let seers: Vec<String> = manifests().into_iter().filter(|(_, d)| d.contains("wharf-store")).map(|(name, _)| name).collect();
    assert_eq!(seers, ["wharf", "wharf-server"]);
}
