//! `cargo xtask`: developers' chores.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developers' chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Rebuilds the guests whose sources have changed: built-in images, examples, test guests.
    Guests {
        /// Builds nothing: fails if a committed .wasm is not that of its sources.
        #[arg(long)]
        check: bool,
        /// Rebuilds all of them.
        #[arg(long, conflicts_with = "check")]
        force: bool,
        /// Only guests whose folder's name is this (repeatable).
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    let Chore::Guests { check, force, names } = Arguments::parse().chore;
    let root = root();
    let done = if check { xtask::guests::check(&root) } else { xtask::guests::build(&root, force, &names) };
    match done {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace, which this package is a folder of.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}
