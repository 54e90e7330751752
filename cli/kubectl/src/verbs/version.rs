//! `version`: of this client, and of the server.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::out;
use crate::print::{json as go_json, yaml};
use crate::session::Session;

/// What `version` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only the client's.
    #[arg(long)]
    client: bool,
    /// json or yaml.
    #[arg(long, short = 'o', default_value = "", hide_default_value = true)]
    output: String,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let client = format!("v{}", env!("CARGO_PKG_VERSION"));
    let server = if arguments.client { None } else { Some(session.get("/version").await) };
    let (server, error) = match server {
        Some(Ok(server)) => (Some(server), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    match arguments.output.as_str() {
        "" => {
            out(&format!("Client Version: {client}\n"));
            if let Some(server) = &server {
                out(&format!("Server Version: {}\n", server["gitVersion"].as_str().unwrap_or_default()));
            }
        }
        form @ ("json" | "yaml") => {
            let mut all = json!({"clientVersion": {"gitVersion": client}});
            if let Some(server) = &server {
                all["serverVersion"] = server.clone();
            }
            out(&if form == "json" { indented(&all) } else { yaml::to_string(&all) });
        }
        _ => return Err(Error::message("--output must be 'yaml' or 'json'")),
    }
    error.map_or(Ok(()), Err)
}

fn indented(value: &Value) -> String {
    // kubectl's version alone is indented by two.
    go_json::pretty(value).lines().map(|line| format!("{}{}\n", " ".repeat((line.len() - line.trim_start().len()) / 2), line.trim_start())).collect()
}
