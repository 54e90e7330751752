//! `cp`: files and folders into and out of a container, as an archive that `tar` there unpacks or packs.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::pods;
use crate::session::Session;
use crate::streams;

pub(super) const EXAMPLES: &str = "Examples:
  wharf cp page.html web:/usr/share/nginx/html/
  wharf cp shop/web:/etc/nginx conf
  wharf cp --no-preserve assets web:/tmp/assets -c nginx
The container needs a tar of its own.";

/// How many bytes are on their way at once.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 16;

/// What `cp` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// From and to: a local path, or [[NAMESPACE/]POD:]PATH
    words: Vec<String>,
    /// The container.
    #[arg(long, short = 'c', default_value = "", hide_default_value = true)]
    container: String,
    /// Do not keep owners and permissions in the container.
    #[arg(long)]
    no_preserve: bool,
}

/// One end.
#[derive(Debug, Clone, PartialEq)]
struct Spec {
    namespace: String,
    pod: String,
    file: String,
}

impl Spec {
    /// Reads `[[namespace/]pod:]path`.
    fn parse(word: &str) -> Result<Spec> {
        let malformed = || Error::message("filespec must match the canonical format: [[namespace/]pod:]file/path");
        let Some((place, file)) = word.split_once(':') else {
            return Ok(Spec { namespace: String::new(), pod: String::new(), file: word.to_owned() });
        };
        let (namespace, pod) = place.split_once('/').unwrap_or(("", place));
        if pod.is_empty() || pod.contains('/') {
            return Err(malformed());
        }
        let file = if file.len() > 1 { file.trim_end_matches('/') } else { file };
        Ok(Spec { namespace: namespace.to_owned(), pod: pod.to_owned(), file: file.to_owned() })
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let [from, to] = arguments.words.as_slice() else { return Err(Error::message("source and destination are required")) };
    let (from, to) = (Spec::parse(from)?, Spec::parse(to)?);
    if !from.pod.is_empty() && !to.pod.is_empty() {
        return Err(Error::message("one of src or dest must be a local file specification"));
    }
    if from.file.is_empty() || to.file.is_empty() {
        return Err(Error::message("filepath can not be empty"));
    }
    if !to.pod.is_empty() {
        return into(session, &arguments, &from, &to).await;
    }
    if !from.pod.is_empty() {
        return out_of(session, &arguments, &from, &to).await;
    }
    Err(Error::message("one of src or dest must be a remote file specification"))
}

/// A container to run commands in.
struct Place<'a> {
    session: &'a Session,
    namespace: String,
    pod: String,
    container: String,
}

impl Place<'_> {
    async fn of<'a>(session: &'a Session, spec: &Spec, container: &str) -> Result<Place<'a>> {
        let namespace = if spec.namespace.is_empty() { session.namespace.clone() } else { spec.namespace.clone() };
        let path = format!("/api/v1/namespaces/{}/pods/{}", crate::session::encode(&namespace), crate::session::encode(&spec.pod));
        let pod: Value = session.get(&path).await?;
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed") {
            return Err(Error::message(format!("cannot exec into a container in a completed pod; current phase is {phase}")));
        }
        let container = if container.is_empty() { pods::container(&pod, None, false)? } else { container.to_owned() };
        Ok(Place { session, namespace, pod: spec.pod.clone(), container })
    }

    async fn start(&self, command: &[String], stdin: bool) -> Result<AttachedProcess> {
        let api: Api<Pod> = Api::namespaced(self.session.client.clone(), &self.namespace);
        let parameters = AttachParams::default().stdin(stdin).stdout(true).stderr(true).container(&self.container);
        let parameters = parameters.max_stdout_buf_size(CHUNK);
        let parameters = if stdin { parameters.max_stdin_buf_size(CHUNK) } else { parameters };
        Ok(api.exec(&self.pod, command, &parameters).await?)
    }

    /// Whether a folder is there.
    async fn has_folder(&self, path: &str) -> Result<bool> {
        let mut process = self.start(&["test", "-d", path].map(str::to_owned), false).await?;
        let status = process.take_status();
        let (mut out, mut err) = (tokio::io::sink(), tokio::io::sink());
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let drained = async {
            if let Some(mut stdout) = stdout {
                let _ = tokio::io::copy(&mut stdout, &mut out).await;
            }
        };
        let quiet = async {
            if let Some(mut stderr) = stderr {
                let _ = tokio::io::copy(&mut stderr, &mut err).await;
            }
        };
        tokio::join!(drained, quiet);
        Ok(match status {
            Some(status) => streams::ended(status.await).is_ok(),
            None => false,
        })
    }
}

async fn into(session: &Session, arguments: &Arguments, from: &Spec, to: &Spec) -> Result<()> {
    let local = cleaned(Path::new(&from.file));
    if local.symlink_metadata().is_err() {
        return Err(Error::message(format!("{} doesn't exist in local filesystem", from.file)));
    }
    let place = Place::of(session, to, &arguments.container).await?;
    let mut remote = cleaned(Path::new(&to.file));
    // Into a folder that is there the source goes under its own name.
    if place.has_folder(&remote.to_string_lossy()).await? {
        let whole = std::path::absolute(&local).unwrap_or_else(|_| local.clone());
        remote = remote.join(cleaned(&whole).file_name().unwrap_or_default());
    }
    let mut command: Vec<String> = vec!["tar".into()];
    if arguments.no_preserve {
        command.extend(["--no-same-permissions".into(), "--no-same-owner".into()]);
    }
    command.extend(["-xmf".into(), "-".into()]);
    let folder = remote.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    command.extend(["-C".into(), if folder.is_empty() { ".".into() } else { folder }]);
    let name = PathBuf::from(remote.file_name().unwrap_or(OsStr::new(".")));

    let mut process = place.start(&command, true).await?;
    let status = process.take_status();
    let (send, mut receive) = mpsc::channel::<Vec<u8>>(CHUNKS);
    let packing = tokio::task::spawn_blocking(move || pack(&local, &name, Sender { send, buffer: Vec::new() }));
    let stdin = process.stdin();
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let input = async {
        let Some(mut stdin) = stdin else { return };
        while let Some(bytes) = receive.recv().await {
            if stdin.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // Nobody takes more: the packing ends too.
        receive.close();
        let _ = stdin.shutdown().await;
    };
    let outputs = async {
        if let Some(stdout) = stdout {
            streams::pass_on(stdout, tokio::io::stdout()).await;
        }
    };
    let errors = async {
        if let Some(stderr) = stderr {
            streams::pass_on(stderr, tokio::io::stderr()).await;
        }
    };
    tokio::join!(input, outputs, errors);
    // What is wrong there explains why nothing more could be sent.
    if let Some(status) = status {
        streams::ended(status.await)?;
    }
    packing.await.map_err(|error| Error::message(format!("pack {}: {error}", from.file)))?
}

async fn out_of(session: &Session, arguments: &Arguments, from: &Spec, to: &Spec) -> Result<()> {
    let place = Place::of(session, from, &arguments.container).await?;
    let mut process = place.start(&["tar", "cf", "-", &from.file].map(str::to_owned), false).await?;
    let status = process.take_status();
    let (send, receive) = mpsc::channel::<Vec<u8>>(CHUNKS);
    let unpack = Unpack { prefix: prefix(&from.file), to: PathBuf::from(&to.file), from: from.clone(), told: false };
    let unpacking = tokio::task::spawn_blocking(move || unpack.run(Receiver { receive, chunk: Vec::new(), at: 0 }));
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let output = async {
        let Some(mut stdout) = stdout else { return };
        let mut buffer = vec![0; CHUNK];
        while let Ok(n) = stdout.read(&mut buffer).await {
            if n == 0 || send.send(buffer[..n].to_vec()).await.is_err() {
                break;
            }
        }
        drop(send);
    };
    // What is said must be taken at the same time, or the archive waits for it.
    let errors = tokio::spawn(async move {
        if let Some(stderr) = stderr {
            streams::pass_on(stderr, tokio::io::stderr()).await;
        }
    });
    // An archive that is refused ends it, whatever more would come.
    let unpacked = async { unpacking.await.map_err(|error| Error::message(format!("unpack {}: {error}", from.file)))? };
    let ((), outcome) = tokio::join!(output, unpacked);
    outcome?;
    let _ = errors.await;
    // kubectl says nothing of a file that is not there, when the archive ends before the news of it comes.
    match status {
        Some(status) => streams::ended(status.await),
        None => Ok(()),
    }
}

/// Writes an archive: a file, a link or a folder, under a name.
fn pack(local: &Path, name: &Path, to: Sender) -> Result<()> {
    let mut archive = tar::Builder::new(to);
    let failed = |error: std::io::Error| Error::message(error.to_string());
    add(&mut archive, local, name)?;
    archive.into_inner().and_then(|mut to| to.flush()).map_err(failed)
}

fn add(archive: &mut tar::Builder<Sender>, local: &Path, name: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::message(format!("{}: {error}", local.display()));
    let metadata = local.symlink_metadata().map_err(failed)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    if metadata.is_dir() {
        let mut entries = std::fs::read_dir(local).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>()).map_err(failed)?;
        if entries.is_empty() {
            return archive.append_data(&mut header, name, std::io::empty()).map_err(failed);
        }
        // A folder with something in it is made for that: one that is there stays as it is.
        entries.sort_by_key(std::fs::DirEntry::file_name);
        return entries.iter().try_for_each(|entry| add(archive, &entry.path(), &name.join(entry.file_name())));
    }
    if metadata.is_symlink() {
        let target = std::fs::read_link(local).map_err(failed)?;
        header.set_size(0);
        return archive.append_link(&mut header, name, target).map_err(failed);
    }
    if !metadata.is_file() {
        return Err(Error::message(format!("{}: only files, folders and links can be copied", local.display())));
    }
    let file = std::fs::File::open(local).map_err(failed)?;
    // What grows meanwhile is cut off where it ended before.
    archive.append_data(&mut header, name, file.take(metadata.len())).map_err(failed)
}

/// Takes an archive apart; nothing of it is written outside of the destination.
struct Unpack {
    prefix: String,
    to: PathBuf,
    from: Spec,
    told: bool,
}

impl Unpack {
    fn run(mut self, from: impl Read) -> Result<()> {
        let corrupted = |error: std::io::Error| Error::message(error.to_string());
        let mut archive = tar::Archive::new(from);
        for entry in archive.entries().map_err(corrupted)? {
            self.one(entry.map_err(corrupted)?)?;
        }
        Ok(())
    }

    fn one(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<()> {
        let name = entry.path_bytes().into_owned();
        let Some(rest) = name.strip_prefix(self.prefix.as_bytes()) else { return Err(Error::message("tar contents corrupted")) };
        let Some(path) = below(&self.to, Path::new(OsStr::from_bytes(rest))) else {
            eprintln!(
                "warning: file {:?} is outside target destination, skipping",
                self.to.join(String::from_utf8_lossy(rest).trim_start_matches('/')).display().to_string()
            );
            return Ok(());
        };
        let failed = |error: std::io::Error| {
            let why = match error.kind() {
                std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
                std::io::ErrorKind::NotADirectory => "not a directory".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            Error::message(format!("open {}: {why}", path.display()))
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return std::fs::create_dir_all(&path).map_err(failed);
        }
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned()).unwrap_or_default();
            let Spec { namespace, pod, file } = &self.from;
            let more = if std::mem::replace(&mut self.told, true) {
                String::new()
            } else {
                format!(" (consider using \"wharf exec -n {namespace:?} {pod:?} -- tar cf - {file:?} | tar xf -\")")
            };
            eprintln!("warning: skipping symlink: {:?} -> {target:?}{more}", path.display().to_string());
            return Ok(());
        }
        if !kind.is_file() && !kind.is_contiguous() && !kind.is_gnu_sparse() {
            return Ok(());
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        std::io::copy(&mut entry, &mut file).map_err(failed)?;
        Ok(())
    }
}

/// A path of an archive below a folder; None for one that leads out of it.
fn below(to: &Path, rest: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in rest.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir if inside.pop() => {}
            Component::ParentDir => return None,
            _ => {}
        }
    }
    Some(if inside.as_os_str().is_empty() { cleaned(to) } else { cleaned(to).join(inside) })
}

/// What the names in an archive of a path begin with: tar leaves out the slash at the beginning.
fn prefix(path: &str) -> String {
    let whole = cleaned(Path::new(path)).display().to_string();
    let mut rest = whole.trim_start_matches('/');
    while let Some(shorter) = rest.strip_prefix("../") {
        rest = shorter;
    }
    if matches!(rest, "." | "..") { String::new() } else { rest.to_owned() }
}

/// Without what says nothing: `a/./b/../c` is `a/c`.
fn cleaned(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match (part, plain.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(plain.pop()),
            (part, _) => plain.push(part),
        }
    }
    if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain }
}

/// Passes bytes from a thread on.
struct Sender {
    send: mpsc::Sender<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        if bytes.is_empty() {
            return Ok(());
        }
        self.send.blocking_send(bytes).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

/// Takes bytes into a thread.
struct Receiver {
    receive: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.receive.blocking_recv() {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.chunk.len() - self.at);
        buffer[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(word: &str) -> Spec {
        Spec::parse(word).unwrap()
    }

    #[test]
    fn ends_are_read() {
        assert_eq!(spec("a/b"), Spec { namespace: String::new(), pod: String::new(), file: "a/b".into() });
        assert_eq!(spec("p:/x"), Spec { namespace: String::new(), pod: "p".into(), file: "/x".into() });
        assert_eq!(spec("n/p:x/"), Spec { namespace: "n".into(), pod: "p".into(), file: "x".into() });
        for wrong in [":/x", "a/b/c:/x", "a/:x"] {
            assert!(Spec::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_are_cleaned_and_do_not_lead_out() {
        for (path, plain) in [("a/./b/../c", "a/c"), ("/../x/", "/x"), ("../x", "../x"), ("./", "."), ("a/..", ".")] {
            assert_eq!(cleaned(Path::new(path)), Path::new(plain), "{path}");
        }
        for (path, begins) in [("/tmp/d/.", "tmp/d"), ("../../x", "x"), ("/", ""), ("./a", "a"), (".", "")] {
            assert_eq!(prefix(path), begins, "{path}");
        }
        for (rest, path) in [("", Some("to")), ("/a/b", Some("to/a/b")), ("/a/../b", Some("to/b")), ("/../b", None), ("/a/../../b", None)] {
            assert_eq!(below(Path::new("to/"), Path::new(rest)).as_deref(), path.map(Path::new), "{rest}");
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_and_nothing_more() {
        let folder = tempfile::TempDir::new().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir_all(from.join("empty")).unwrap();
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::write(from.join("sub/big"), vec![7; 3 * CHUNK + 1]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        let (send, receive) = mpsc::channel(CHUNKS);
        let packing = std::thread::spawn(move || pack(&from, Path::new("tmp/d"), Sender { send, buffer: Vec::new() }));
        let unpack = |prefix: &str| Unpack { prefix: prefix.into(), to: to.clone(), from: spec("p:/tmp/d"), told: false };
        unpack("tmp/d").run(Receiver { receive, chunk: Vec::new(), at: 0 }).unwrap();
        packing.join().unwrap().unwrap();
        assert_eq!(std::fs::read(to.join("sub/big")).unwrap(), vec![7; 3 * CHUNK + 1]);
        assert!(to.join("empty").is_dir());
        assert!(to.join("link").symlink_metadata().is_err());

        // An archive from a container may say anything.
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        let name = b"tmp/d/../../out";
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_size(1);
        header.set_cksum();
        archive.append(&header, &b"x"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        unpack("tmp/d").run(&bytes[..]).unwrap();
        assert!(!folder.path().join("out").exists());
        assert_eq!(unpack("other").run(&bytes[..]).unwrap_err().text(), "tar contents corrupted");
    }
}
