//! Where a standard library for WebAssembly comes from: rustup's target, else Debian's prebuilt packages.
//!
//! Debian sid carries the standard library for `wasm32-wasip1` and `wasm32-wasip2`. It goes with sid's own compiler, which
//! is unpacked (not installed) into a cache folder together with the libraries that it needs, and run by their loader. It
//! links with the `wasm-component-ld` and `rust-lld` that every toolchain of rustup carries. No root is needed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

pub(crate) struct Toolchain {
    /// The compiler to use, when it is not cargo's own.
    rustc: Option<PathBuf>,
    /// Folders with linkers.
    path: Vec<PathBuf>,
}

impl Toolchain {
    /// The toolchain for a target.
    pub(crate) fn find(target: &str) -> Result<Toolchain> {
        let folder = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
        if folder.is_ok_and(|folder| has_std(Path::new(&folder))) {
            return Ok(Toolchain { rustc: None, path: Vec::new() });
        }
        debian(target).with_context(|| format!("there is no standard library for {target}: run `rustup target add {target}`; Debian's, the other way, failed"))
    }

    /// `cargo`, set up to compile with it.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Settings of the build that runs us are not those of a guest.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
            command.env_remove(name);
        }
        if let Some(rustc) = &self.rustc {
            let mut path: Vec<PathBuf> = self.path.clone();
            path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
            command.env("RUSTC", rustc).env("PATH", std::env::join_paths(path).unwrap_or_else(|_| OsString::from("/usr/bin:/bin")));
        }
        command
    }

    /// For the record.
    pub(crate) fn describe(&self, target: &str) -> Result<String> {
        let rustc = self.rustc.clone().unwrap_or_else(|| "rustc".into());
        let origin = if self.rustc.is_some() { "Debian" } else { "rustup" };
        Ok(format!("{}, {target}, {origin}", output(Command::new(rustc).arg("-V"))?))
    }
}

fn has_std(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).any(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
}

fn debian(target: &str) -> Result<Toolchain> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("wharf-guests");
    let root = cache.join("sid");
    let wrapper = cache.join("rustc");
    if !wrapper.exists() {
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root)?;
        Apt::new(&cache)?.unpack(&root)?;
        ensure!(has_std(&root.join("usr/lib/rustlib").join(target).join("lib")), "its packages have no standard library for {target}");
        write_wrapper(&wrapper, &root)?;
    }
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let verbose = output(Command::new("rustc").arg("-vV"))?;
    let host = verbose.lines().find_map(|l| l.strip_prefix("host: ")).context("rustc does not name its host")?.to_string();
    let tools = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin");
    Ok(Toolchain { rustc: Some(wrapper), path: vec![tools.clone(), tools.join("gcc-ld")] })
}

/// Runs the unpacked compiler by its own loader, with its own libraries.
fn write_wrapper(wrapper: &Path, root: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let loader = libraries.join("ld-linux-x86-64.so.2");
    ensure!(loader.exists(), "{} is missing (only x86-64 is known to work)", loader.display());
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--sysroot*) own=;; *) own=\"--sysroot {root}/usr\";; esac\nexec {loader} --library-path {libraries} {root}/usr/bin/rustc $own \"$@\"\n",
        root = root.display(),
        loader = loader.display(),
        libraries = libraries.display(),
    );
    let partial = wrapper.with_extension("partial");
    fs::write(&partial, text)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    Ok(fs::rename(partial, wrapper)?)
}

/// apt with a state of its own: the machine's stays as it is.
struct Apt {
    options: Vec<String>,
    folder: PathBuf,
}

impl Apt {
    fn new(cache: &Path) -> Result<Apt> {
        let folder = cache.join("apt");
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let sources = folder.join("sources.list");
        let suite = std::env::var("DEB_SUITE").unwrap_or_else(|_| "sid".into());
        fs::write(&sources, format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {suite} main\n", mirror()))?;
        let set = |name: &str, value: &str| ["-o".to_string(), format!("{name}={value}")];
        let show = |path: &Path| path.display().to_string();
        let options = [
            set("Dir::Etc::sourcelist", &show(&sources)),
            set("Dir::Etc::sourceparts", "/dev/null"),
            set("Dir::State::lists", &show(&folder.join("lists"))),
            set("Dir::State::status", "/dev/null"),
            set("Dir::Cache", &show(&folder.join("cache"))),
            set("APT::Sandbox::User", "root"),
            set("Acquire::Languages", "none"),
        ];
        let apt = Apt { options: options.concat(), folder };
        eprintln!("fetching Debian's compiler and standard library for WebAssembly (once, about 200 MB)");
        apt.run("apt-get", &["-qq", "update"])?;
        Ok(apt)
    }

    fn unpack(&self, root: &Path) -> Result<()> {
        let first = |package: &str, prefix: &str| -> Result<String> {
            let all = self.depends(package)?;
            all.into_iter().find(|p| p.starts_with(prefix)).with_context(|| format!("{package} needs no {prefix}*"))
        };
        let std = first("libstd-rust-dev", "libstd-rust-1")?;
        let llvm = first(&std, "libllvm")?;
        let named = ["rustc", "libstd-rust-dev", "libstd-rust-dev-wasm32", "libc6", "libgcc-s1", "libstdc++6", "libtinfo6", "libbsd0", "libmd0", "liblzma5"];
        let mut packages: Vec<String> = named.map(String::from).to_vec();
        packages.extend(self.depends(&llvm)?);
        packages.extend([std, llvm]);
        packages.sort();
        packages.dedup();
        let debs = self.folder.join("debs");
        let mut download = Command::new("apt-get");
        download.arg("-qq").args(&self.options).arg("download").args(&packages).current_dir(&debs);
        ensure!(download.status().context("start apt-get")?.success(), "apt-get download failed");
        for deb in fs::read_dir(&debs)? {
            let deb = deb?.path();
            ensure!(Command::new("dpkg").arg("-x").arg(&deb).arg(root).status().context("start dpkg")?.success(), "{} cannot be unpacked", deb.display());
        }
        Ok(fs::remove_dir_all(&debs)?)
    }

    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let no = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(|what| format!("--no-{what}"));
        let text = output(Command::new("apt-cache").args(&self.options).arg("depends").args(no).arg(package))?;
        Ok(text.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).filter(|p| !p.starts_with('<')).map(String::from).collect())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let status = Command::new(program).args(&self.options).args(arguments).status().with_context(|| format!("start {program}"))?;
        if status.success() { Ok(()) } else { bail!("{program} {} failed", arguments.join(" ")) }
    }
}

/// The mirror that this machine uses already, else Debian's own.
fn mirror() -> String {
    let mut texts = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    texts.extend(parts.filter_map(|part| fs::read_to_string(part.path()).ok()));
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with('#'));
    let urls = lines.flat_map(str::split_whitespace).filter(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"));
    urls.map(|url| url.trim_end_matches('/').to_string()).next().unwrap_or_else(|| "http://deb.debian.org/debian".into())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_string())
}
