//! The verbs, one file each.

mod annotate;
mod api_resources;
mod api_versions;
mod apply;
mod attach;
mod auth;
mod cluster_info;
mod config;
mod cordon;
mod cp;
mod create;
mod delete;
mod describe;
mod diff;
mod drain;
mod edit;
mod events;
mod exec;
mod explain;
mod expose;
mod get;
mod get_watch;
mod label;
mod logs;
mod patch;
mod port_forward;
mod replace;
mod rollout;
mod run;
mod scale;
mod set;
mod taint;
mod top;
mod uncordon;
mod version;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::client::Connection;
use crate::error::Result;

/// A verb's own flags, and those of the connection.
#[derive(Debug, clap::Args)]
pub struct With<A: clap::Args> {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    arguments: A,
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident => $module:ident,)* ; alone: $($(#[$doc_alone:meta])* $name_alone:ident => $module_alone:ident,)*) => {
        /// What kubectl can do, by the name of it.
        #[derive(Debug, clap::Subcommand)]
        #[allow(clippy::large_enum_variant, reason = "one is made in a program's life")]
        pub enum Verb {
            $($(#[$doc])* $name(With<$module::Arguments>),)*
            $($(#[$doc_alone])* $name_alone(With<$module_alone::Arguments>),)*
        }

        impl Verb {
            fn connection(&self) -> &Connection {
                match self {
                    $(Verb::$name(with) => &with.connection,)*
                    $(Verb::$name_alone(with) => &with.connection,)*
                }
            }

            /// Does it; verbs that stand alone need no server.
            async fn with(self, connection: &Connection) -> Result<()> {
                match self {
                    $(Verb::$name(with) => $module::run(&connection.session().await?, with.arguments).await,)*
                    $(Verb::$name_alone(with) => $module_alone::run(connection, with.arguments),)*
                }
            }
        }
    };
}

verbs! {
    /// Display one or many resources
    #[command(after_help = get::EXAMPLES)]
    Get => get,
    /// Make objects what their manifests say
    #[command(after_help = apply::EXAMPLES)]
    Apply => apply,
    /// Show what apply would change
    #[command(after_help = diff::EXAMPLES)]
    Diff => diff,
    /// Create objects from manifests, or from flags
    #[command(after_help = create::EXAMPLES)]
    Create => create,
    /// Describe objects and what belongs to them
    #[command(after_help = describe::EXAMPLES)]
    Describe => describe,
    /// List what happened
    #[command(after_help = events::EXAMPLES)]
    Events => events,
    /// Set and remove labels
    #[command(after_help = label::EXAMPLES)]
    Label => label,
    /// Set and remove annotations
    #[command(after_help = annotate::EXAMPLES)]
    Annotate => annotate,
    /// Set and remove taints of nodes
    #[command(after_help = taint::EXAMPLES)]
    Taint => taint,
    /// Say how many there are to be
    #[command(after_help = scale::EXAMPLES)]
    Scale => scale,
    /// Change fields of objects
    #[command(after_help = patch::EXAMPLES)]
    Patch => patch,
    /// Let no more Pods onto a node
    #[command(after_help = cordon::EXAMPLES)]
    Cordon => cordon,
    /// Let Pods onto a node again
    #[command(after_help = uncordon::EXAMPLES)]
    Uncordon => uncordon,
    /// Empty a node for maintenance
    #[command(after_help = drain::EXAMPLES)]
    Drain => drain,
    /// Show, wait for and undo changes of workloads
    #[command(after_help = rollout::EXAMPLES)]
    Rollout => rollout,
    /// Set the image, environment or resources of containers
    #[command(after_help = set::EXAMPLES)]
    Set => set,
    /// Make a Service for what is there
    #[command(after_help = expose::EXAMPLES)]
    Expose => expose,
    /// Wait until objects are as they should be
    #[command(after_help = wait::EXAMPLES)]
    Wait => wait,
    /// Print what containers write
    #[command(after_help = logs::EXAMPLES, visible_alias = "log")]
    Logs => logs,
    /// Run a command in a container
    #[command(after_help = exec::EXAMPLES)]
    Exec => exec,
    /// Take part in the process of a container
    #[command(after_help = attach::EXAMPLES)]
    Attach => attach,
    /// Copy files into and out of a container
    #[command(after_help = cp::EXAMPLES)]
    Cp => cp,
    /// Bring ports of a Pod to this machine
    #[command(after_help = port_forward::EXAMPLES)]
    PortForward => port_forward,
    /// Run a Pod of an image
    #[command(after_help = run::EXAMPLES)]
    Run => run,
    /// Replace objects by what their manifests say
    #[command(after_help = replace::EXAMPLES)]
    Replace => replace,
    /// Change objects in an editor
    #[command(after_help = edit::EXAMPLES)]
    Edit => edit,
    /// Show what nodes and Pods use
    #[command(after_help = top::EXAMPLES)]
    Top => top,
    /// Tell what kinds and fields are for
    #[command(after_help = explain::EXAMPLES)]
    Explain => explain,
    /// List the kinds that the server serves
    #[command(after_help = api_resources::EXAMPLES)]
    ApiResources => api_resources,
    /// List the groups and versions that the server serves
    ApiVersions => api_versions,
    /// Tell who this is and what they may do
    #[command(after_help = auth::EXAMPLES)]
    Auth => auth,
    /// Tell where the cluster's services are
    ClusterInfo => cluster_info,
    /// Print the versions of client and server
    Version => version,
    /// Delete objects by manifests, names or selectors
    #[command(after_help = delete::EXAMPLES)]
    Delete => delete,
    ; alone:
    /// Show and change kubeconfig files
    #[command(after_help = config::EXAMPLES)]
    Config => config,
}

impl Verb {
    /// Does it; what goes wrong is told on stderr.
    pub fn run(self, arguments: &[OsString]) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: start the runtime: {error}");
                return ExitCode::FAILURE;
            }
        };
        let outcome = runtime.block_on(async {
            let mut connection = self.connection().clone();
            if matches!(&self, Verb::Create(with) if with.arguments.user_is_a_subject()) {
                connection.user = None;
            }
            self.with(&connection).await
        });
        // A read of standard input that still waits must not hold the end up.
        runtime.shutdown_background();
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let (text, code) = error.told(&called(arguments));
                eprint!("{text}");
                ExitCode::from(code)
            }
        }
    }

    /// Tells what is wrong with a command line that is not to be understood.
    pub fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
        match crate::command::wrong(error, arguments, &called(arguments)) {
            Some(text) => {
                eprint!("{text}");
                ExitCode::FAILURE
            }
            None => {
                let _ = error.print();
                if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                    return ExitCode::FAILURE;
                }
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
            }
        }
    }
}

/// How the verb was called: `wharf get`, `wharf rollout status`.
fn called(arguments: &[OsString]) -> String {
    let mut words = vec!["wharf".to_owned()];
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if argument.starts_with('-') || !argument.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            break;
        }
        words.push(argument.to_owned());
        if !crate::command::NESTED.contains(&argument) || argument == "apply" || argument == "top" && words.len() > 2 {
            break;
        }
    }
    words.join(" ")
}
