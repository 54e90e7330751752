//! The `wharf` program: its commands, and the wiring of the crates that do the work. Errors end here,
//! as one clear line that says what failed and what to do next.

mod agent;
mod allocator;
mod apply;
mod client;
mod data;
mod deploy;
mod dev;
mod idle;
mod kubeconfig;
mod new;
mod plugin;
mod plugins;
mod process;
mod push;
mod registry;
mod say;
mod server;
mod undeploy;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use wharf_kubectl::{Verb, completion};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// Kubernetes for WebAssembly in one binary.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on this machine: control plane, nodes, DNS and Ingress in one process.
    Up(Box<up::Arguments>),
    /// Start a control plane alone; nodes join it with `wharf agent`.
    Server(server::Arguments),
    /// Start a node that joins the control plane of `wharf server`.
    Agent(agent::Arguments),
    /// Make the beginnings of a function in Rust, JavaScript, Python, Go or C.
    New(new::Arguments),
    /// Deploy a component, or the project of a folder, and print its URL.
    Deploy(Box<deploy::Arguments>),
    /// Deploy the project of a folder, again at every change, and show what it logs.
    Dev(Box<dev::Arguments>),
    /// Remove what `wharf deploy` made for a function.
    Undeploy(undeploy::Arguments),
    /// Pack a component or module as an OCI artifact and push it to a registry.
    Push(push::Arguments),
    /// Develop plugins: run one on a request in a file, without a cluster.
    Plugin(plugin::Arguments),
    #[command(flatten)]
    Kubectl(Box<Verb>),
    /// Print the script with which a shell completes commands.
    #[command(after_help = completion::EXAMPLES)]
    Completion(Box<completion::Arguments>),
    /// Compiles one image in a process of its own, within limits. Not for people.
    #[command(name = "__compile", hide = true)]
    Compile {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    let given = wharf_kubectl::command::arrange(std::env::args_os().collect());
    let parsed = wharf_kubectl::command::adapt(Arguments::command()).try_get_matches_from(&given);
    let arguments = match parsed.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches)) {
        Ok(arguments) => arguments,
        Err(error) if wharf_kubectl::command::is_ours(&Arguments::command(), given.get(1)) => return Verb::refuse(&error, &given),
        Err(error) => error.exit(),
    };
    let result = match arguments.command {
        Command::Compile { arguments } => return wharf_image::compile::child_main(&arguments, up::compile),
        Command::Kubectl(verb) => return verb.run(&given),
        Command::Completion(arguments) => return completion::run(&arguments, Arguments::command(), given.first()),
        Command::Up(arguments) => up::run(*arguments),
        Command::Server(arguments) => server::run(&arguments),
        Command::Agent(arguments) => agent::run(&arguments),
        Command::New(arguments) => new::run(&arguments),
        Command::Deploy(arguments) => deploy::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Undeploy(arguments) => undeploy::run(&arguments),
        Command::Push(arguments) => push::run(&arguments),
        Command::Plugin(arguments) => plugin::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
