//! Reading a log: the query of `/containerLogs`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::line::Line;
use super::{Log, files};

/// What of a log is wanted.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Go on until the container ends.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only lines of this time or later.
    pub since: Option<Timestamp>,
    /// Each line with its time in front.
    pub timestamps: bool,
    /// Not more bytes than this.
    pub limit: Option<u64>,
    /// `stdout` or `stderr` alone.
    pub stream: Option<String>,
}

const CHUNK: usize = 64 << 10;

/// Streams the log at `path`; `live` is its writer while the container runs.
pub fn read(path: PathBuf, live: Option<Arc<Log>>, options: LogOptions) -> ReceiverStream<io::Result<Bytes>> {
    let (tx, rx) = mpsc::channel(4);
    tokio::spawn(async move {
        if let Err(error) = run(&path, live, options, &tx).await {
            let _ = tx.send(Err(error)).await;
        }
    });
    ReceiverStream::new(rx)
}

async fn run(path: &Path, live: Option<Arc<Log>>, options: LogOptions, tx: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut files = files(path);
    let mut filter = Filter { left: options.limit.unwrap_or(u64::MAX), rest: vec![], begins: true, options: &options };
    let mut rotations = live.as_ref().map_or(0, |log| log.progress().1);
    let mut at = 0;
    if let Some(lines) = options.tail {
        let (index, offset) = tail(&files, lines)?;
        files.drain(..index);
        at = offset;
    }
    let mut files = files.into_iter().peekable();
    let mut file = open(files.next().as_deref(), at)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        // Told before reading, so that what is written meanwhile is not missed.
        let mut grown = live.as_ref().filter(|_| options.follow).map(|log| Box::pin(log.grown.notified()));
        if let Some(grown) = &mut grown {
            grown.as_mut().enable();
        }
        let progress = live.as_ref().map(|log| log.progress());
        loop {
            let n = file.as_mut().map_or(Ok(0), |f| f.read(&mut chunk))?;
            if n == 0 {
                if files.peek().is_none() {
                    break;
                }
                file = open(files.next().as_deref(), 0)?;
                continue;
            }
            let (out, more) = filter.take(&chunk[..n]);
            if !out.is_empty() && tx.send(Ok(out)).await.is_err() || !more {
                return Ok(());
            }
        }
        match progress {
            Some((false, now)) if options.follow => {
                if file.is_none() || now != rotations {
                    // The file that we read is an old one now (and read to its end): go on with the new one.
                    rotations = now;
                    file = open(Some(path), 0)?;
                    if file.is_some() {
                        continue;
                    }
                }
                tokio::select! {
                    _ = futures::future::OptionFuture::from(grown) => {}
                    () = tx.closed() => return Ok(()),
                }
            }
            _ => return Ok(()),
        }
    }
}

/// A file at an offset; `None` while it is not there.
fn open(path: Option<&Path>, at: u64) -> io::Result<Option<File>> {
    let Some(path) = path else { return Ok(None) };
    match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(at))?;
            Ok(Some(file))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Where the last `lines` lines begin: index of the file, and offset in it.
fn tail(files: &[PathBuf], lines: u64) -> io::Result<(usize, u64)> {
    let mut left = lines;
    for (index, path) in files.iter().enumerate().rev() {
        let Some(mut file) = open(Some(path), 0)? else { continue };
        let size = file.metadata()?.len();
        if left == 0 {
            return Ok((index, size));
        }
        let mut end = size;
        let mut chunk = vec![0; CHUNK];
        while end > 0 {
            let begin = end.saturating_sub(CHUNK as u64);
            let part = &mut chunk[..usize::try_from(end - begin).unwrap_or(CHUNK)];
            file.seek(SeekFrom::Start(begin))?;
            file.read_exact(part)?;
            for (i, _) in part.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
                let after = begin + i as u64 + 1;
                if after == size {
                    continue;
                }
                left -= 1;
                if left == 0 {
                    return Ok((index, after));
                }
            }
            end = begin;
        }
        // The file's first line has no newline before it.
        if size > 0 {
            left -= 1;
            if left == 0 {
                return Ok((index, 0));
            }
        }
    }
    Ok((0, 0))
}

/// Turns file lines into what was asked for.
struct Filter<'o> {
    options: &'o LogOptions,
    left: u64,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    /// The next piece begins a line of the guest.
    begins: bool,
}

impl Filter<'_> {
    /// What to send on, and whether more is wanted.
    fn take(&mut self, bytes: &[u8]) -> (Bytes, bool) {
        let mut out = Vec::with_capacity(bytes.len());
        let mut begin = 0;
        while let Some(at) = bytes[begin..].iter().position(|b| *b == b'\n') {
            let line = &bytes[begin..begin + at];
            begin += at + 1;
            if self.rest.is_empty() {
                self.line(line, &mut out);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole, &mut out);
            }
        }
        self.rest.extend_from_slice(&bytes[begin..]);
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        out.truncate(most);
        self.left -= out.len() as u64;
        (out.into(), self.left > 0)
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(line) else { return };
        if self.options.stream.as_deref().is_some_and(|s| s != line.stream) {
            return;
        }
        if let Some(since) = self.options.since
            && line.time.parse::<Timestamp>().is_ok_and(|t| t < since)
        {
            return;
        }
        if self.options.timestamps && self.begins {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if line.full {
            out.push(b'\n');
        }
        self.begins = line.full;
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::super::{Logs, Stream, run_path};
    use super::*;

    async fn text(stream: ReceiverStream<io::Result<Bytes>>) -> String {
        let parts: Vec<Bytes> = stream.map(|r| r.unwrap()).collect().await;
        String::from_utf8(parts.concat()).unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::new(dir.path().into());
        let pod = logs.pod_dir("ns", "p", "u");
        let log = logs.begin(&pod, "c", 0);
        let path = run_path(&pod, "c", 0);
        assert_eq!(text(read(path.clone(), None, LogOptions::default())).await, "", "no file yet");
        log.write(Stream::Stdout, b"one\ntw");
        log.write(Stream::Stderr, b"err\n");
        log.write(Stream::Stdout, b"o\n\nlast");
        let options = |f: &dyn Fn(&mut LogOptions)| {
            let mut o = LogOptions::default();
            f(&mut o);
            o
        };
        let get = |f: &dyn Fn(&mut LogOptions)| text(read(path.clone(), Some(log.clone()), options(f)));
        assert_eq!(get(&|_| {}).await, "one\nerr\ntwo\n\n");
        assert_eq!(get(&|o| o.tail = Some(2)).await, "two\n\n");
        assert_eq!(get(&|o| o.tail = Some(0)).await, "");
        assert_eq!(get(&|o| o.tail = Some(99)).await, "one\nerr\ntwo\n\n");
        assert_eq!(get(&|o| o.limit = Some(5)).await, "one\ne");
        assert_eq!(get(&|o| o.stream = Some("stderr".into())).await, "err\n");
        assert_eq!(get(&|o| o.since = Some(Timestamp::now() + std::time::Duration::from_secs(60))).await, "");
        let timed = get(&|o| o.timestamps = true).await;
        let (time, rest) = timed.lines().next().unwrap().split_once(' ').unwrap();
        assert_eq!((time.len(), rest), ("2026-11-24T16:20:01.123456789Z".len(), "one"));
        logs.end(&log);
        assert_eq!(get(&|_| {}).await, "one\nerr\ntwo\n\nlast", "an unfinished line is kept as it is");
    }

    #[tokio::test]
    async fn follows_to_the_end_and_over_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::new(dir.path().into());
        let pod = logs.pod_dir("ns", "p", "u");
        let log = logs.begin(&pod, "c", 0);
        let follow = tokio::spawn(text(read(run_path(&pod, "c", 0), Some(log.clone()), LogOptions { follow: true, ..Default::default() })));
        let line = vec![b'x'; 1023];
        let lines = 2 * super::super::MAX_FILE / 1024;
        for i in 0..lines {
            log.write(Stream::Stdout, &line);
            log.write(Stream::Stdout, b"\n");
            if i % 512 == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        logs.end(&log);
        let text = follow.await.unwrap();
        assert_eq!(text.lines().count() as u64, lines);
        assert!(text.lines().all(|l| l.len() == 1023));
        assert!(std::fs::metadata(run_path(&pod, "c", 0)).unwrap().len() <= super::super::MAX_FILE);
    }

    #[test]
    fn old_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::new(dir.path().into());
        let pod = logs.pod_dir("ns", "p", "u");
        let log = logs.begin(&pod, "c", 0);
        let mut block = vec![b'y'; 8 << 10];
        block.push(b'\n');
        for _ in 0..(8 * super::super::MAX_FILE / block.len() as u64) {
            log.write(Stream::Stdout, &block);
        }
        let sizes: Vec<u64> = std::fs::read_dir(pod.join("c")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), super::super::MAX_FILES);
        assert!(sizes.iter().all(|s| *s <= super::super::MAX_FILE));
        logs.end(&log);
        logs.begin(&pod, "c", 1);
        logs.begin(&pod, "c", 2);
        assert_eq!(std::fs::read_dir(pod.join("c")).unwrap().count(), 0, "the run before the last is forgotten");
    }
}
