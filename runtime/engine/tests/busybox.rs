//! The built-in image `busybox`: scripts of `tests/busybox` and what they print, run by our component, and by a real
//! busybox where one is installed, so that what is expected is what busybox does.
//!
//! `NAME.sh` is run as `sh case.sh` in an empty folder; `NAME.out` is what it prints on both streams, and `[exit N]` in a last
//! line where the exit code is not 0. A script whose first line is `# component only` says something about us alone.
//! With `UPDATE_EXPECT=1` the outputs are written anew: from the real one, where it takes part.

#[allow(dead_code, reason = "shared with the tests of `all`")]
#[path = "all/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with the tests of `all`")]
#[path = "all/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use std::{fs, io};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use wharf_engine::{Entry, MountTable, Program};

/// A script that is not done by then hangs.
const LIMIT: Duration = Duration::from_secs(120);
const REAL: &str = "/usr/bin/busybox";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime starts"));
static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    let wasm = repository("runtime/builtin/busybox/busybox.wasm");
    support::ENGINE.load_source(&fs::read(wasm).expect("the component is readable")).expect("the component compiles")
});
static CLUSTER: LazyLock<Arc<cluster::Cluster>> = LazyLock::new(Arc::default);

fn main() -> ExitCode {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let real = Path::new(REAL).exists();
    let mut trials = Vec::new();
    for script in scripts() {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&script).expect("a script is readable");
        let ours_only = text.starts_with("# component only");
        if real && !ours_only {
            let script = script.clone();
            trials.push(Trial::test(format!("busybox/{name}"), move || check(&script, update, run_real)));
        }
        let update = update && ours_only;
        trials.push(Trial::test(format!("component/{name}"), move || check(&script, update, run_component)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn scripts() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("tests/busybox")).expect("tests/busybox is there").flatten();
    let mut scripts: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "sh")).collect();
    scripts.sort();
    scripts
}

fn check(script: &Path, update: bool, run: impl Fn(&Path) -> io::Result<(String, i32)>) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("work"))?;
    fs::copy(script, folder.path().join("work/case.sh"))?;
    let (mut printed, code) = run(folder.path())?;
    if code != 0 {
        printed += &format!("[exit {code}]\n");
    }
    let file = script.with_extension("out");
    if update {
        fs::write(&file, &printed)?;
        return Ok(());
    }
    let expected = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    if printed == expected { Ok(()) } else { Err(format!("expected:\n{expected}\nprinted:\n{printed}").into()) }
}

fn run_component(folder: &Path) -> io::Result<(String, i32)> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    for name in ["bin", "tmp", "root"] {
        fs::create_dir(folder.join(name))?;
    }
    let root = tempfile::tempdir()?;
    let mounts = MountTable::new(folder, false)?;
    let mut setup = support::setup_in(Entry::CliP2, &["sh", "case.sh"], root, mounts);
    setup.spec.env = environment("/bin").into();
    setup.spec.working_dir = Some("/work".into());
    setup.spec.network = CLUSTER.pod(&format!("10.244.201.{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let _entered = RUNTIME.enter();
    let command = support::start(&PROGRAM, setup.spec);
    let exit = RUNTIME.block_on(async { tokio::time::timeout(LIMIT, command.wait()).await }).map_err(|_| timed_out(&setup.log.text()))?;
    Ok((setup.log.text(), exit.code))
}

fn run_real(folder: &Path) -> io::Result<(String, i32)> {
    let bin = folder.join("bin");
    fs::create_dir(&bin)?;
    let list = std::process::Command::new(REAL).arg("--list").output()?;
    for applet in String::from_utf8_lossy(&list.stdout).lines() {
        std::os::unix::fs::symlink(REAL, bin.join(applet))?;
    }
    let printed = folder.join("printed");
    let output = fs::File::create(&printed)?;
    let mut command = std::process::Command::new(bin.join("sh"));
    command.arg("case.sh").current_dir(folder.join("work")).env_clear().envs(environment(&bin.to_string_lossy()));
    let mut child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if waited > LIMIT {
            child.kill()?;
            child.wait()?;
            return Err(timed_out(&fs::read_to_string(&printed)?));
        }
        std::thread::sleep(Duration::from_millis(2));
        waited += Duration::from_millis(2);
    };
    let code = std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code().unwrap_or(-1), |signal| 128 + signal);
    Ok((String::from_utf8_lossy(&fs::read(&printed)?).into_owned(), code))
}

fn environment(path: &str) -> Vec<(String, String)> {
    [("PATH", path), ("HOME", "/root"), ("TZ", "UTC")].map(|(name, value)| (name.to_string(), value.to_string())).to_vec()
}

fn timed_out(printed: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it hangs after printing:\n{printed}"))
}
