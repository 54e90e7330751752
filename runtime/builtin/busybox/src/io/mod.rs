//! Descriptors: what a process reads from and writes to.

mod output;
mod pipe;

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use wasip2::cli::{stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

pub use output::Output;
pub use pipe::pipe;

use crate::rt;

/// The most one read returns.
const CHUNK: usize = 64 << 10;
/// The longest line that is read as one.
const LINE: usize = 64 << 20;

/// An open file, pipe or terminal. Clones are one and the same: they share the position, and the last one closes it.
#[derive(Clone)]
pub struct Descriptor(Rc<Open>);

struct Open {
    kind: Kind,
    /// What was read from `kind` and not taken yet.
    ahead: RefCell<VecDeque<u8>>,
}

enum Kind {
    Stdin,
    Stdout,
    Stderr,
    Null,
    Zero,
    Random,
    Closed,
    File(RefCell<File>),
    Reader(pipe::Reader),
    Writer(pipe::Writer),
}

thread_local! {
    // Streams of the component: one of each, for as long as it runs.
    static STDIN: OnceCell<Rc<InputStream>> = const { OnceCell::new() };
    static STDOUT: OnceCell<Rc<OutputStream>> = const { OnceCell::new() };
    static STDERR: OnceCell<Rc<OutputStream>> = const { OnceCell::new() };
}

impl Descriptor {
    fn new(kind: Kind) -> Descriptor {
        Descriptor(Rc::new(Open { kind, ahead: RefCell::default() }))
    }

    /// The component's standard input.
    pub fn stdin() -> Descriptor {
        Descriptor::new(Kind::Stdin)
    }

    /// The component's standard output.
    pub fn stdout() -> Descriptor {
        Descriptor::new(Kind::Stdout)
    }

    /// The component's standard error.
    pub fn stderr() -> Descriptor {
        Descriptor::new(Kind::Stderr)
    }

    /// `/dev/null`.
    pub fn null() -> Descriptor {
        Descriptor::new(Kind::Null)
    }

    /// `/dev/zero`.
    pub fn zero() -> Descriptor {
        Descriptor::new(Kind::Zero)
    }

    /// `/dev/urandom`.
    pub fn random() -> Descriptor {
        Descriptor::new(Kind::Random)
    }

    /// A descriptor that is not open: EBADF on each use.
    pub fn closed() -> Descriptor {
        Descriptor::new(Kind::Closed)
    }

    /// A file.
    pub fn file(file: File) -> Descriptor {
        Descriptor::new(Kind::File(RefCell::new(file)))
    }

    /// Reads these bytes, then ends.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Descriptor {
        Descriptor(Rc::new(Open { kind: Kind::Null, ahead: RefCell::new(VecDeque::from(bytes.into())) }))
    }

    /// Whether it was closed (`<&-`) before the process began.
    pub fn is_closed(&self) -> bool {
        matches!(self.0.kind, Kind::Closed)
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        match self.0.kind {
            Kind::Stdin => terminal_stdin::get_terminal_stdin().is_some(),
            Kind::Stdout => terminal_stdout::get_terminal_stdout().is_some(),
            Kind::Stderr => terminal_stderr::get_terminal_stderr().is_some(),
            _ => false,
        }
    }

    /// What there is, at least one byte and at most `max`; empty at the end.
    pub async fn read(&self, max: usize) -> io::Result<Vec<u8>> {
        {
            let mut ahead = self.0.ahead.borrow_mut();
            if !ahead.is_empty() {
                let count = max.min(ahead.len());
                return Ok(ahead.drain(..count).collect());
            }
        }
        self.receive(max.min(CHUNK)).await
    }

    /// All up to the end.
    pub async fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let mut some = self.read(CHUNK).await?;
            if some.is_empty() {
                return Ok(all);
            }
            all.append(&mut some);
        }
    }

    /// A line, with its newline if it has one; `None` at the end. Nothing behind the line is taken: the next reader of
    /// this descriptor finds it, whoever that is.
    pub async fn read_line(&self) -> io::Result<Option<Vec<u8>>> {
        self.read_until(b'\n').await
    }

    /// As [`Descriptor::read_line`], for lines that end with another byte.
    pub async fn read_until(&self, end: u8) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            {
                let mut ahead = self.0.ahead.borrow_mut();
                let (first, second) = ahead.as_slices();
                let found = match memchr::memchr(end, first.get(searched..).unwrap_or_default()) {
                    Some(at) => Some(searched + at),
                    None => {
                        memchr::memchr(end, second.get(searched.saturating_sub(first.len())..).unwrap_or_default()).map(|at| searched.max(first.len()) + at)
                    }
                };
                if let Some(at) = found {
                    return Ok(Some(ahead.drain(..=at).collect()));
                }
                searched = ahead.len();
                if searched > LINE {
                    return Err(ErrorKind::OutOfMemory.into());
                }
            }
            let some = self.receive(CHUNK).await?;
            let mut ahead = self.0.ahead.borrow_mut();
            if some.is_empty() {
                return Ok(if ahead.is_empty() { None } else { Some(ahead.drain(..).collect()) });
            }
            ahead.extend(some);
        }
    }

    /// Writes all of it, waiting where the other end is slow. `BrokenPipe` when nobody will read it.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.0.kind {
            Kind::Null | Kind::Zero | Kind::Random => Ok(()),
            Kind::Stdout => send(&STDOUT.with(stdout), bytes).await,
            Kind::Stderr => send(&STDERR.with(stderr), bytes).await,
            Kind::Writer(writer) => writer.write_all(bytes).await,
            Kind::File(file) => {
                self.rewind(&mut file.borrow_mut())?;
                file.borrow_mut().write_all(bytes)
            }
            Kind::Stdin | Kind::Closed | Kind::Reader(_) => Err(bad_descriptor()),
        }
    }

    /// Moves in a file; `ErrorKind::NotSeekable` elsewhere.
    pub fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        match &self.0.kind {
            Kind::File(file) => {
                self.rewind(&mut file.borrow_mut())?;
                file.borrow_mut().seek(to)
            }
            _ => Err(ErrorKind::NotSeekable.into()),
        }
    }

    /// The file behind it, if it is one. Its position may be ahead of what was read: [`Descriptor::seek`] first.
    pub fn with_file<T>(&self, use_it: impl FnOnce(&mut File) -> T) -> Option<T> {
        match &self.0.kind {
            Kind::File(file) => Some(use_it(&mut file.borrow_mut())),
            _ => None,
        }
    }

    /// The file's position is where the readers are.
    fn rewind(&self, file: &mut File) -> io::Result<()> {
        let mut ahead = self.0.ahead.borrow_mut();
        if !ahead.is_empty() {
            file.seek(SeekFrom::Current(-(ahead.len() as i64)))?;
            ahead.clear();
        }
        Ok(())
    }

    async fn receive(&self, max: usize) -> io::Result<Vec<u8>> {
        match &self.0.kind {
            Kind::Null => Ok(Vec::new()),
            Kind::Zero => Ok(vec![0; max]),
            Kind::Random => Ok(wasip2::random::random::get_random_bytes(max as u64)),
            Kind::Stdin => receive(&STDIN.with(stdin), max).await,
            Kind::Reader(reader) => Ok(reader.read(max).await),
            Kind::File(file) => {
                let mut bytes = vec![0; max];
                let count = file.borrow_mut().read(&mut bytes)?;
                bytes.truncate(count);
                // A file never makes its reader wait; the others get their turn.
                rt::pause().await;
                Ok(bytes)
            }
            Kind::Stdout | Kind::Stderr | Kind::Closed | Kind::Writer(_) => Err(bad_descriptor()),
        }
    }
}

/// What the component's streams were given leaves before the component ends.
pub fn flush() {
    for stream in [STDOUT.with(stdout), STDERR.with(stderr)] {
        let _ = stream.blocking_flush();
    }
}

/// The system's words for an error: `No such file or directory`.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::BrokenPipe => "Broken pipe".into(),
        ErrorKind::NotSeekable => "Illegal seek".into(),
        _ => {
            let text = error.to_string();
            text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_string()
        }
    }
}

fn stdin(cell: &OnceCell<Rc<InputStream>>) -> Rc<InputStream> {
    cell.get_or_init(|| Rc::new(stdin::get_stdin())).clone()
}

fn stdout(cell: &OnceCell<Rc<OutputStream>>) -> Rc<OutputStream> {
    cell.get_or_init(|| Rc::new(stdout::get_stdout())).clone()
}

fn stderr(cell: &OnceCell<Rc<OutputStream>>) -> Rc<OutputStream> {
    cell.get_or_init(|| Rc::new(stderr::get_stderr())).clone()
}

fn bad_descriptor() -> io::Error {
    const EBADF: i32 = 8;
    io::Error::from_raw_os_error(EBADF)
}

/// Reads from a stream of the host's, waiting without holding up others.
pub async fn receive(stream: &InputStream, max: usize) -> io::Result<Vec<u8>> {
    loop {
        match stream.read(max as u64) {
            Ok(bytes) if bytes.is_empty() => rt::ready(stream.subscribe()).await,
            Ok(bytes) => return Ok(bytes),
            Err(StreamError::Closed) => return Ok(Vec::new()),
            Err(StreamError::LastOperationFailed(error)) => return Err(io::Error::other(error.to_debug_string())),
        }
    }
}

/// Writes to a stream of the host's, waiting without holding up others.
pub async fn send(stream: &OutputStream, mut bytes: &[u8]) -> io::Result<()> {
    let broken = |error| match error {
        StreamError::Closed => io::Error::from(ErrorKind::BrokenPipe),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    };
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write().map_err(broken)?).unwrap_or(usize::MAX);
        if room == 0 {
            rt::ready(stream.subscribe()).await;
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now).map_err(broken)?;
        bytes = later;
    }
    Ok(())
}
