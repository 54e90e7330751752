//! CustomResourceDefinitions with stock kubectl and helm: defined, used at once, explained, scaled, and gone with its objects.

use std::process::{Command, Stdio};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use crate::cluster::{Cluster, Shared, eventually};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("custom::kubectl_defines_uses_and_removes_a_kind", kubectl_defines_uses_and_removes_a_kind),
        shared.test("custom::helm_installs_a_chart_with_definitions", helm_installs_a_chart_with_definitions),
    ]
}

fn definition(group: &str) -> String {
    format!(
        r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: crontabs.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct-{}], categories: [schedules]}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {{}}
      scale: {{specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {{name: Spec, type: string, jsonPath: .spec.cronSpec, description: When it runs}}
    - {{name: Replicas, type: integer, jsonPath: .spec.replicas}}
    - {{name: Age, type: date, jsonPath: .metadata.creationTimestamp}}
    schema:
      openAPIV3Schema:
        type: object
        description: CronTab runs something now and then.
        properties:
          spec:
            type: object
            required: [cronSpec]
            x-kubernetes-validations: [{{rule: self.replicas <= 10 || self.large, message: more than ten are large}}]
            properties:
              cronSpec: {{type: string, pattern: '^(\S+ ){{4}}\S+$', description: When it runs.}}
              replicas: {{type: integer, minimum: 1, default: 1}}
              large: {{type: boolean, default: false}}
          status: {{type: object, properties: {{replicas: {{type: integer}}}}}}
"#,
        group.split('.').next().unwrap_or_default()
    )
}

fn object(group: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: {group}/v1\nkind: CronTab\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn kubectl_defines_uses_and_removes_a_kind(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("crontabs")?;
    let group = "stable.example.com";
    let run = |arguments: &[&str], input: &str| cluster.kubectl(&[&["-n", namespace.as_str()], arguments].concat(), input);
    let Some((text, _)) = run(&["apply", "-f", "-"], &definition(group)) else {
        eprintln!("kubectl is not installed: passed over");
        return Ok(());
    };
    check("define", text.contains("crontabs.stable.example.com created"), &text)?;
    let crd = "crd/crontabs.stable.example.com";
    let mine = object(group, "mine", "{cronSpec: '* * * * */5'}");
    let steps: [(&[&str], &str, &str, i32); 14] = [
        (&["wait", "--for", "condition=established", "--timeout=20s", crd], "", "condition met", 0),
        (&["apply", "-f", "-"], &mine, "crontab.stable.example.com/mine created", 0),
        (&["apply", "-f", "-"], &mine, "crontab.stable.example.com/mine unchanged", 0),
        (&["apply", "--server-side", "--force-conflicts", "-f", "-"], &mine, "serverside-applied", 0),
        (&["apply", "-f", "-"], &object(group, "bad", "{cronSpec: daily}"), "spec.cronSpec in body should match", 1),
        (&["apply", "-f", "-"], &object(group, "odd", "{cronSpec: '* * * * *', colour: red}"), "unknown field \"spec.colour\"", 1),
        (&["apply", "-f", "-"], &object(group, "many", "{cronSpec: '* * * * *', replicas: 11}"), "more than ten are large", 1),
        (&["explain", "crontabs.spec.cronSpec"], "", "When it runs.", 0),
        (&["get", "ct-stable"], "", "* * * * */5   1", 0),
        (&["get", "schedules"], "", "mine", 0),
        (&["scale", "--replicas=5", "crontab/mine"], "", "crontab.stable.example.com/mine scaled", 0),
        (&["patch", "crontab", "mine", "--type=merge", "-p", r#"{"spec":{"large":true}}"#], "", "patched", 0),
        (&["get", "crontab", "mine", "-o", "jsonpath={.spec.replicas} {.spec.large} {.metadata.generation}"], "", "5 true 3", 0),
        (&["delete", crd], "", "deleted", 0),
    ];
    for (arguments, input, wanted, code) in steps {
        let (text, ended) = run(arguments, input).ok_or("kubectl is gone")?;
        check(&format!("{arguments:?} ended with {ended}"), text.contains(wanted) && ended == code, &text)?;
    }
    let (text, code) = run(&["get", "crontabs"], "").ok_or("kubectl is gone")?;
    // In kubectl's own words, or in the server's where kubectl remembers the kind.
    let gone = text.contains("doesn't have a resource type") || text.contains("could not find the requested resource");
    check("get of what is gone", code == 1 && gone, &text)
}

fn helm_installs_a_chart_with_definitions(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("charts")?;
    let group = "charts.example.com";
    let folder = TempDir::new()?;
    for below in ["crds", "templates"] {
        std::fs::create_dir_all(folder.path().join(below))?;
    }
    std::fs::write(folder.path().join("Chart.yaml"), "apiVersion: v2\nname: rotas\nversion: 0.1.0\n")?;
    // Under other names, since kubectl takes the first kind of a name.
    let renamed = |text: String| text.replace("crontab", "rota").replace("CronTab", "Rota").replace("schedules", "turns");
    std::fs::write(folder.path().join("crds/rotas.yaml"), renamed(definition(group)))?;
    std::fs::write(folder.path().join("templates/one.yaml"), renamed(object(group, "{{ .Release.Name }}-one", "{cronSpec: '* * * * *', replicas: 2}")))?;
    let chart = folder.path().to_string_lossy().into_owned();
    let Some(said) = helm(cluster, folder.path(), &["install", "nightly", &chart, "-n", &namespace, "--wait", "--timeout", "60s"])? else {
        eprintln!("helm is not installed: passed over");
        return Ok(());
    };
    check("install", said.contains("STATUS: deployed"), &said)?;
    let path = format!("/apis/{group}/v1/namespaces/{namespace}/rotas/nightly-one");
    let made = cluster.api.get(&path)?;
    check("the chart's object", made["spec"]["replicas"] == 2, &made.to_string())?;
    helm(cluster, folder.path(), &["uninstall", "nightly", "-n", &namespace])?;
    eventually("the object to go", || if cluster.api.get(&path).is_err() { Ok(()) } else { Err("it is there".into()) })
}

/// What helm says; `None` if it is not installed.
fn helm(cluster: &Cluster, home: &std::path::Path, arguments: &[&str]) -> Result<Option<String>, Failed> {
    let mut command = Command::new("helm");
    command.args(arguments).env("KUBECONFIG", &cluster.kubeconfig).stdin(Stdio::null());
    for (name, below) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        command.env(name, home.join(".helm").join(below));
    }
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        Ok(output) if output.status.success() => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Ok(output) => Err(format!("helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn check(step: &str, holds: bool, text: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{step}: {text}").into()) }
}
