//! The verbs alone: a client that is built in seconds, for development and for machines without a cluster.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use wharf_kubectl::completion;

/// Kubernetes' verbs.
#[derive(Parser)]
#[command(name = "wharf", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Kubectl(Box<wharf_kubectl::Verb>),
    /// Print the script with which a shell completes commands
    #[command(after_help = completion::EXAMPLES)]
    Completion(Box<completion::Arguments>),
}

fn main() -> ExitCode {
    let given = wharf_kubectl::command::arrange(std::env::args_os().collect());
    let command = wharf_kubectl::command::adapt(Arguments::command());
    let parsed = command.try_get_matches_from(&given).and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(Arguments { command: Command::Kubectl(verb) }) => verb.run(&given),
        Ok(Arguments { command: Command::Completion(arguments) }) => completion::run(&arguments, Arguments::command(), given.first()),
        Err(error) => wharf_kubectl::Verb::refuse(&error, &given),
    }
}
