//! `wharf deploy`: a component becomes a URL.
//!
//! What is made is a Deployment, a Service and an Ingress of the function's name, and a ConfigMap and a Secret where there is
//! configuration. The Deployment owns the others: whoever deletes it, with `wharf undeploy` or with kubectl, has the garbage collector
//! remove all of them and nothing else; and it is the one object that is there from the first moment to the last.

mod answer;
pub(crate) mod build;
mod names;
pub(crate) mod objects;
mod rollout;
mod settings;
pub(crate) mod source;
mod steps;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client::Cluster;
use crate::say::Progress;
use objects::Function;
use source::Source;

pub(crate) use steps::{INGRESS_ADDRESS, undeploy};

/// What `wharf deploy` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf deploy hello.wasm                                    http://hello.localhost:8080/
  wharf deploy hello.wasm --host api.example.com --env LEVEL=debug
  wharf deploy hello.wasm --config settings.env --secret TOKEN=…
  wharf deploy .                                             builds the Cargo project or wharf.toml of this folder

A second deploy replaces the first without a dropped request. `wharf undeploy NAME` removes what was made.")]
pub(crate) struct Arguments {
    /// A component that serves HTTP, or the folder of a Cargo project or of a wharf.toml.
    #[arg(value_name = "FILE|DIR")]
    source: PathBuf,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

/// What may be said of a function beside what it is.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Settings {
    /// The function's name [default: the package's or the file's].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The host of its URL [default: NAME.localhost; in another namespace than default NAME.NAMESPACE.localhost].
    #[arg(long)]
    host: Option<String>,
    /// A variable of its environment. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Configuration: a file of lines KEY=VALUE, or a flat YAML, JSON or TOML. It becomes a ConfigMap, which the function reads as
    /// variables, through wasi:config or below /etc/config.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A secret; the function reads it as a variable or through wasi:config. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    secret: Vec<String>,
    /// How long the function may take to answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Deploys, and prints the URL.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    crate::process::block_on(async {
        let progress = Progress::new();
        let source = Source::find(&arguments.source)?;
        if let Some(deployed) = deploy(&source, &arguments.settings, &arguments.cluster, None, &progress).await? {
            progress.line("");
            progress.line(&format!("  {}", progress.strong(&deployed.url)));
        }
        Ok(())
    })
}

/// What was deployed.
pub(crate) struct Deployed {
    pub(crate) url: String,
    pub(crate) function: Function,
}

/// Builds, pushes, applies, waits. `None`: what was built is what was deployed `last`.
pub(crate) async fn deploy(source: &Source, settings: &Settings, cluster: &Cluster, last: Option<&Function>, progress: &Progress) -> Result<Option<Deployed>> {
    let project = source.project()?;
    let name = names::choose(settings.name.as_deref().or(project.name.as_deref()), &source.default_name()?)?;
    let connection = cluster.connect().await?;
    names::check_label("namespace", &connection.namespace)?;
    let host = match settings.host.as_ref().or(project.host.as_ref()) {
        Some(host) => names::check_host(host)?,
        None => names::default_host(&name, &connection.namespace),
    };
    let mut env = project.env.clone();
    env.extend(settings::pairs("--env", &settings.env)?);
    let config = settings.config.as_deref().map(settings::read).transpose()?.unwrap_or_default();
    let secret = settings::pairs("--secret", &settings.secret)?;

    let steps = steps::Steps::new(&connection, &name, progress);
    // What cannot come to be is said before anything is built.
    let before = steps.look(&host).await?;
    let component = tokio::task::block_in_place(|| source.component(&project))?;
    let (artifact, words) = component_of(&component)?;
    progress.step(&format!("component  {} ({words})", component.display()));
    let (name, namespace, digest) = (name.clone(), connection.namespace.clone(), artifact.manifest_digest.clone());
    let function = Function { name, namespace, host, env, config, secret, digest };
    if last == Some(&function) {
        progress.step("unchanged");
        return Ok(None);
    }
    let url = steps.deploy(&function, &artifact, before, Duration::from_secs(settings.timeout)).await?;
    Ok(Some(Deployed { url, function }))
}

/// Reads and checks a component; what it is in words.
fn component_of(file: &std::path::Path) -> Result<(wharf_image::Artifact, String)> {
    let (artifact, inspection) = wharf_image::pack_file(file).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let missing = wharf_image::Offers::new(wharf_engine::offers()).missing(inspection.imports.iter().map(String::as_str));
    let serves = inspection.exports.iter().find_map(|export| {
        let (interface, version) = export.split_once('@')?;
        (interface == "wasi:http/incoming-handler" || interface == "wasi:http/handler")
            .then(|| format!("wasi:http {}", version.split('#').next().unwrap_or(version)))
    });
    let Some(serves) = serves else {
        let exports =
            if inspection.exports.is_empty() { "nothing".to_owned() } else { inspection.exports.iter().take(8).cloned().collect::<Vec<_>>().join(", ") };
        let what = if inspection.component { format!("it exports {exports}") } else { "it is a core module, not a component".to_owned() };
        bail!("{} does not serve HTTP: {what}; a function exports wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3", file.display());
    };
    if inspection.component && !missing.is_empty() {
        bail!("{} cannot run here: {}", file.display(), missing.join("; "));
    }
    Ok((artifact, format!("{serves}, {}", size(std::fs::metadata(file).with_context(|| format!("read {}", file.display()))?.len()))))
}

fn size(bytes: u64) -> String {
    if bytes < 10 << 20 { format!("{} KiB", bytes.div_ceil(1 << 10)) } else { format!("{} MiB", bytes.div_ceil(1 << 20)) }
}
