//! Which program a command in a container is: a module of its image, a tool of the built-in busybox, or a script that busybox's shell runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::OnceCell;
use wharf_engine::{Command, Container, Entry, Program};
use wharf_image::{Image, Keyring, Prepared, PullPolicy};

use crate::images::engine_entry;
use crate::output::Collected;
use crate::pod::context::Shared;
use crate::pod::door::{Streams, World};
use crate::streams::StreamError;

/// The built-in image whose tools every container has.
const BUSYBOX: &str = "wharf.local/builtin/busybox:latest";
/// Folders in which all of busybox's tools seem to be.
const FOLDERS: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];
/// PATH where the environment has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of a list of tools.
const MAX_LIST: usize = 64 << 10;

/// The built-in busybox, once it was asked for.
#[derive(Default)]
pub(crate) struct Tools(OnceCell<Toolbox>);

struct Toolbox {
    /// Held, so that it stays.
    _image: Arc<Image>,
    prepared: Prepared,
    names: BTreeSet<String>,
}

/// What runs.
pub(super) struct Chosen {
    pub(super) program: Program,
    pub(super) entry: Entry,
    pub(super) args: Vec<String>,
}

impl Chosen {
    /// Starts it.
    pub(super) fn start(self, world: &World, streams: Streams) -> Result<Command, String> {
        match self.program.start(world.process(self.entry, self.args, streams)).map_err(|e| e.to_string())? {
            Container::Command(command) => Ok(command),
            Container::Http(_) => Err("it is not a command".to_owned()),
        }
    }
}

/// Finds the program of a command.
pub(super) async fn choose(node: &Shared, world: &World, command: Vec<String>) -> Result<Chosen, StreamError> {
    let Some(first) = command.first() else { return Err(StreamError::Failed("you must specify at least one command for the container".to_owned())) };
    let failed = |e: &dyn std::fmt::Display| refused(&format!("exec: {first:?}: {e}"));
    if let Some(prepared) = node.config.images.prepare_further(&world.image, &command).await.map_err(|e| failed(&e))? {
        return chosen(node, &prepared, command.clone()).await.map_err(|e| failed(&e));
    }
    let tools = node.tools.0.get_or_try_init(|| toolbox(node, world)).await.map_err(|e| failed(&e))?;
    let path = world.env.iter().find(|(name, _)| name == "PATH").map_or(PATH, |(_, path)| path);
    let candidates = script_paths(first, world.working_dir.as_deref().unwrap_or("/"), path);
    if is_tool(first, &tools.names) || candidates.iter().any(|path| world.mounts.is_file(path)) {
        return chosen(node, &tools.prepared, command.clone()).await.map_err(|e| failed(&e));
    }
    Err(if first.contains('/') { failed(&format!("stat {first}: no such file or directory")) } else { failed(&"executable file not found in $PATH") })
}

/// Not started, in the words of those who start containers elsewhere.
pub(super) fn refused(why: &str) -> StreamError {
    StreamError::Failed(format!("OCI runtime exec failed: exec failed: unable to start container process: {why}: unknown"))
}

async fn chosen(node: &Shared, prepared: &Prepared, args: Vec<String>) -> Result<Chosen, String> {
    let program = node.programs.load(&node.config.engine, prepared).await?;
    Ok(Chosen { program, entry: engine_entry(prepared.entry), args })
}

fn is_tool(command: &str, names: &BTreeSet<String>) -> bool {
    match command.rsplit_once('/') {
        Some((folder, name)) => FOLDERS.contains(&folder) && names.contains(name),
        None => command == "busybox" || names.contains(command),
    }
}

/// Where the file of a command may be.
fn script_paths(command: &str, working_dir: &str, path: &str) -> Vec<String> {
    let under = |folder: &str| format!("{}/{command}", folder.trim_end_matches('/'));
    match command {
        "" => vec![],
        absolute if absolute.starts_with('/') => vec![absolute.to_owned()],
        relative if relative.contains('/') => vec![under(working_dir)],
        _ => path.split(':').filter(|folder| folder.starts_with('/')).take(64).map(under).collect(),
    }
}

/// Brings busybox here, and asks it what it can do: in the world of the container that wants it first.
async fn toolbox(node: &Shared, world: &World) -> Result<Toolbox, String> {
    let image = node.config.images.ensure(BUSYBOX, &Keyring::new(), PullPolicy::Never).await.map_err(|e| e.to_string())?;
    let prepared = node.config.images.prepare(&image, &["busybox".to_owned()], &["--list".to_owned()]).await.map_err(|e| e.to_string())?;
    let list = chosen(node, &prepared, prepared.argv.clone()).await?;
    let written = Collected::new(MAX_LIST);
    let exit = list.start(world, Streams::into(&written))?.wait().await;
    if exit.code != 0 {
        return Err(format!("busybox --list: {exit}"));
    }
    let names = written.text().lines().map(str::to_owned).collect();
    Ok(Toolbox { _image: image, prepared, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_in_the_usual_folders() {
        let names = ["ls", "sh"].map(str::to_owned).into();
        for (command, want) in [("ls", true), ("/bin/sh", true), ("/usr/bin/ls", true), ("/opt/ls", false), ("bash", false), ("./sh", false), ("busybox", true)]
        {
            assert_eq!(is_tool(command, &names), want, "{command}");
        }
    }

    #[test]
    fn where_scripts_are_looked_for() {
        for (command, want) in
            [("run.sh", "/a/run.sh /b/run.sh"), ("./run.sh", "/srv/./run.sh"), ("x/run.sh", "/srv/x/run.sh"), ("/run.sh", "/run.sh"), ("", "")]
        {
            assert_eq!(script_paths(command, "/srv", "/a:/b/:.").join(" "), want, "{command}");
        }
    }
}
