//! The whole system over its public API: a real `wharf up`, real sockets, stock clients where they are installed.
//!
//! Most tests share one cluster and work in a namespace of their own; those that stop, kill or configure one
//! start their own. Everything is stopped and removed at the end. `cargo test -p wharf-tests --test system network`
//! runs those whose name has `network` in it.

mod addons;
mod agents;
mod api;
mod bad_images;
mod client;
mod cluster;
mod control_plane;
mod custom;
mod deploy;
mod exec;
mod functions;
mod guests;
mod http;
mod kill;
mod kubectl;
mod network;
mod own_registry;
mod plugins;
mod program;
mod refusals;
mod registry;
mod serverless;
mod streams;
mod tutorial;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use cluster::Shared;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = Arc::new(Shared::default());
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(program::trials());
    trials.extend(kill::trials());
    trials.extend(agents::trials());
    trials.extend(api::trials(&shared));
    trials.extend(addons::trials(&shared));
    trials.extend(control_plane::trials(&shared));
    trials.extend(custom::trials(&shared));
    trials.extend(deploy::trials(&shared));
    trials.extend(exec::trials(&shared));
    trials.extend(functions::trials(&shared));
    trials.extend(kubectl::trials(&shared));
    trials.extend(network::trials(&shared));
    trials.extend(own_registry::trials(&shared));
    trials.extend(serverless::trials(&shared));
    trials.extend(plugins::trials(&shared));
    trials.extend(streams::trials(&shared));
    trials.extend(bad_images::trials(&shared));
    trials.extend(refusals::trials(&shared));
    trials.extend(tutorial::trials(&shared));
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared.stop();
    conclusion.exit_code()
}
