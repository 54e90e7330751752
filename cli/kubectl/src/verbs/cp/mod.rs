//! `cp`: files and folders into and out of a container, as an archive that `tar` there unpacks or packs.

mod archive;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use archive::{Receiver, Sender, Unpack, pack, prefix};

use crate::error::{Error, Result};
use crate::paths::cleaned;
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
    let packing = tokio::task::spawn_blocking(move || pack(&local, &name, Sender::new(send)));
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
    let unpack = Unpack::new(prefix(&from.file), PathBuf::from(&to.file), from.clone());
    let unpacking = tokio::task::spawn_blocking(move || unpack.run(Receiver::new(receive)));
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
}
