//! The verbs alone: a client that is built in seconds, for development and for machines without a cluster.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

/// Kubernetes' verbs.
#[derive(Parser)]
#[command(name = "wharf", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: wharf_kubectl::Verb,
}

fn main() -> ExitCode {
    let given = wharf_kubectl::command::arrange(std::env::args_os().collect());
    let command = wharf_kubectl::command::adapt(Arguments::command());
    let parsed = command.try_get_matches_from(&given).and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(arguments) => arguments.verb.run(&given),
        Err(error) => wharf_kubectl::Verb::refuse(&error, &given),
    }
}
