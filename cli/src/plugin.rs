//! `wharf plugin`: chores of those who write plugins.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wharf_plugin_host::{Grants, Settings, World, harness};

/// What `wharf plugin` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, clap::Subcommand)]
enum Chore {
    /// Run a plugin on a request in a file, and print what it answers as JSON.
    Test(Test),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf plugin test policy.wasm --world admission --request review.json
  wharf plugin test api-key.wasm --world ingress --request request.json --config keys='alice secret' --grant logging

For the world admission, the request is an AdmissionReview (admission.k8s.io/v1) or its request alone, in JSON or YAML; for the world
ingress, an object of method, authority, path, headers and the backend's response ({status, headers}); what is left out has defaults.")]
struct Test {
    /// The component.
    file: PathBuf,
    /// Its world: admission or ingress.
    #[arg(long)]
    world: World,
    /// The file with the request; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// A value of its configuration. Repeatable.
    #[arg(long, value_name = "NAME=VALUE")]
    config: Vec<String>,
    /// What it may do: logging, environment, or http=HOST. Repeatable.
    #[arg(long, value_name = "GRANT")]
    grant: Vec<String>,
}

/// Does the chore.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Chore::Test(test) = &arguments.chore;
    let wasm = std::fs::read(&test.file).with_context(|| format!("read {}", test.file.display()))?;
    let request = request(&test.request)?;
    let settings = settings(test)?;
    if settings.grants.logging {
        // What the plugin says goes to standard error.
        crate::process::log(1, None);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let answer = runtime.block_on(harness::run(&wasm, settings, &request)).with_context(|| format!("test {}", test.file.display()))?;
    crate::say::Progress::new().line(&serde_json::to_string_pretty(&answer)?);
    Ok(())
}

fn request(file: &std::path::Path) -> Result<Value> {
    let text = if file.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.with_context(|| format!("read {}", file.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is neither JSON nor YAML", file.display()))
}

fn settings(test: &Test) -> Result<Settings> {
    let name = test.file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut settings = Settings::new(name, test.world);
    for pair in &test.config {
        let Some((name, value)) = pair.split_once('=') else { bail!("--config {pair:?}: expected NAME=VALUE") };
        settings.config.push((name.to_owned(), value.to_owned()));
    }
    let mut grants = Grants::default();
    for grant in &test.grant {
        match grant.split_once('=') {
            None if grant == "logging" => grants.logging = true,
            None if grant == "environment" => grants.environment = true,
            Some(("http", host)) => grants.http.push(host.to_owned()),
            _ => bail!("--grant {grant:?}: expected logging, environment or http=HOST"),
        }
    }
    settings.grants = grants;
    Ok(settings)
}
