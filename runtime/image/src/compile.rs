//! Compilation in a bounded child process of our own executable, because a compilation cannot be cancelled in process.
//!
//! The parent side is crate-internal: it starts [`CompileCommand`] with `IN OUT FLAVOR CPU_SECONDS ADDRESS_SPACE_BYTES`,
//! enforces the wall limit and the number of children at a time, and takes OUT when the child says that it is complete.
//! The child side is [`child_main`], which a hidden subcommand calls.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::error::ImageError;
use crate::image::Flavor;

/// How the compiler child is started: our own executable and the arguments that lead to [`child_main`].
#[derive(Clone, Debug)]
pub struct CompileCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its first arguments; those of the job follow.
    pub args: Vec<OsString>,
}

impl CompileCommand {
    /// `<this executable> __compile`.
    pub fn current_exe() -> std::io::Result<CompileCommand> {
        Ok(CompileCommand { program: std::env::current_exe()?, args: vec!["__compile".into()] })
    }
}

/// Runs in the child: reads IN, compiles with `compile` under limits on processor time and address space, writes OUT.
///
/// `args` are what follows the hidden subcommand: `IN OUT FLAVOR CPU_SECONDS ADDRESS_SPACE_BYTES`. `compile` gets the
/// flavor and the component's bytes and returns the compiled ones, or its refusal. The exit code is for `main` to return.
pub fn child_main<F>(args: &[OsString], compile: F) -> ExitCode
where
    F: FnOnce(Flavor, &[u8]) -> Result<Vec<u8>, String>,
{
    match child(args, compile) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn child<F>(args: &[OsString], compile: F) -> Result<(), String>
where
    F: FnOnce(Flavor, &[u8]) -> Result<Vec<u8>, String>,
{
    let [input, output, flavor, cpu, space] = args else {
        return Err("usage: IN OUT FLAVOR CPU_SECONDS ADDRESS_SPACE_BYTES".into());
    };
    let text = |arg: &OsString| arg.to_str().map(str::to_owned).ok_or_else(|| "an argument is not text".to_string());
    let number = |arg: &OsString| text(arg)?.parse::<u64>().map_err(|e| format!("{arg:?}: {e}"));
    let flavor: Flavor = text(flavor)?.parse()?;
    bound(number(cpu)?, number(space)?).map_err(|e| format!("set limits: {e}"))?;
    let wasm = std::fs::read(input).map_err(|e| format!("read {}: {e}", input.display()))?;
    let compiled = compile(flavor, &wasm)?;
    std::fs::write(output, compiled).map_err(|e| format!("write {}: {e}", output.display()))
}

/// Limits of this process: they can only be lowered, so a lower limit that is already there stays.
fn bound(cpu_seconds: u64, address_space: u64) -> rustix::io::Result<()> {
    let lower = |resource, wanted: u64| {
        let now = rustix::process::getrlimit(resource);
        let wanted = now.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        rustix::process::setrlimit(resource, Rlimit { current: Some(wanted), maximum: Some(wanted) })
    };
    lower(Resource::Core, 0)?;
    lower(Resource::Cpu, cpu_seconds)?;
    lower(Resource::As, address_space)?;
    // The compiler yields to the guests that are running. Not being allowed to is no reason to fail.
    let _ = rustix::process::nice(10);
    // The parent kills its children when it ends in order; this is for when it is killed itself.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    Ok(())
}

/// The parent's side.
#[derive(Debug)]
pub(crate) struct Compiler {
    command: CompileCommand,
    slots: Semaphore,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) address_space: u64,
}

impl Compiler {
    pub(crate) fn new(command: CompileCommand, children: usize, wall: Duration, cpu: Duration, address_space: u64) -> Compiler {
        Compiler { command, slots: Semaphore::new(children.max(1)), wall, cpu, address_space }
    }

    /// Compiles `wasm` into `to`. Dropping the future kills the child; nothing is left behind but complete files.
    pub(crate) async fn run(&self, module: &str, wasm: &Path, to: &Path, flavor: Flavor) -> Result<(), ImageError> {
        let _slot = self.slots.acquire().await.map_err(|e| ImageError::store("compile", e))?;
        let directory = to.parent().unwrap_or(Path::new("."));
        let partial = tempfile_in(directory)?;
        let mut child = Command::new(&self.command.program)
            .args(&self.command.args)
            .arg(wasm)
            .arg(&partial.0)
            .arg(flavor.as_str())
            .arg(self.cpu.as_secs().max(1).to_string())
            .arg(self.address_space.to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| ImageError::store(format!("start {}", self.command.program.display()), e))?;
        let stderr = child.stderr.take();
        let work = async {
            // What the child says is bounded; it is read to its end so that the child cannot block on it.
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                let mut head = stderr.take(16 * 1024);
                let _ = head.read_to_end(&mut said).await;
                let _ = tokio::io::copy(&mut head.into_inner(), &mut tokio::io::sink()).await;
            }
            (child.wait().await, said)
        };
        let (status, said) = tokio::time::timeout(self.wall, work).await.map_err(|_| ImageError::CompileTime { module: module.into(), after: self.wall })?;
        let status = status.map_err(|e| ImageError::store("wait for the compiler", e))?;
        if status.success() {
            // It will be run as native code: after a power cut it is there wholly, or not at all.
            let synced = std::fs::File::open(&partial.0).and_then(|file| file.sync_data());
            synced.map_err(|e| ImageError::store(format!("sync {}", partial.0.display()), e))?;
            std::fs::rename(&partial.0, to).map_err(|e| ImageError::store(format!("rename to {}", to.display()), e))?;
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said).trim().to_string();
        use std::os::unix::process::ExitStatusExt;
        match status.signal() {
            Some(signal) if signal == Signal::XCPU.as_raw() || (signal == Signal::KILL.as_raw() && said.is_empty()) => {
                Err(ImageError::CompileTime { module: module.into(), after: self.cpu })
            }
            Some(_) if said.contains("memory allocation") || said.contains("out of memory") => Err(ImageError::Compile {
                module: module.into(),
                message: format!("the compiler ran out of the {} MiB that this node allows it", self.address_space >> 20),
            }),
            Some(signal) => Err(ImageError::Compile { module: module.into(), message: format!("the compiler ended by signal {signal}: {said}") }),
            None => Err(ImageError::Compile { module: module.into(), message: if said.is_empty() { status.to_string() } else { said } }),
        }
    }
}

/// A name for a file to come, removed on drop unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tempfile_in(directory: &Path) -> Result<Partial, ImageError> {
    Ok(Partial(crate::store::temporary_name(directory)))
}
