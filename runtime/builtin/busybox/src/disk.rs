//! What `std::fs` does not tell on WASI: kinds, links, times, and how to make symbolic links.

use std::io;
use std::path::Path;

use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, DescriptorStat, DescriptorType, ErrorCode, NewTimestamp, PathFlags};

/// What a file is.
#[derive(Clone, Debug)]
pub struct Stat {
    pub kind: Kind,
    pub links: u64,
    pub size: u64,
    /// Seconds and nanoseconds since 1970.
    pub accessed: (i64, u32),
    pub modified: (i64, u32),
    pub changed: (i64, u32),
    /// Stands for the file's number.
    pub inode: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Link,
    Device,
    Block,
    Pipe,
    Socket,
}

impl Kind {
    /// As `ls -l` begins its lines.
    pub fn letter(self) -> char {
        match self {
            Kind::File => '-',
            Kind::Folder => 'd',
            Kind::Link => 'l',
            Kind::Device => 'c',
            Kind::Block => 'b',
            Kind::Pipe => 'p',
            Kind::Socket => 's',
        }
    }

    /// WASI knows no permissions: these are what they would be.
    pub fn mode(self) -> u32 {
        match self {
            Kind::Folder => 0o40755,
            Kind::Link => 0o120777,
            Kind::Device => 0o20666,
            Kind::Block => 0o60660,
            Kind::Pipe => 0o10644,
            Kind::Socket => 0o140755,
            Kind::File => 0o100644,
        }
    }

    /// `drwxr-xr-x`
    pub fn permissions(self) -> String {
        let mode = self.mode();
        let mut text = String::from(self.letter());
        for shift in [6, 3, 0] {
            for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
                text.push(if mode >> shift & bit != 0 { letter } else { '-' });
            }
        }
        text
    }
}

thread_local! {
    static ROOT: Option<Descriptor> = preopens::get_directories().into_iter().find(|(_, path)| path == "/").map(|(descriptor, _)| descriptor);
}

fn with_root<T>(use_it: impl FnOnce(&Descriptor) -> Result<T, ErrorCode>) -> io::Result<T> {
    ROOT.with(|root| match root {
        Some(root) => use_it(root).map_err(error),
        None => Err(io::ErrorKind::NotFound.into()),
    })
}

/// A path as it is seen from `/`.
fn relative(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut rest = text.trim_start_matches('/');
    while let Some(behind) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("./")) {
        rest = behind.trim_start_matches('/');
    }
    if rest.is_empty() || rest == ".." { ".".into() } else { rest.into() }
}

/// What stands at a path; with `follow`, what a link there leads to.
pub fn stat(path: &Path, follow: bool) -> io::Result<Stat> {
    let flags = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
    let path = relative(path);
    let stat = with_root(|root| root.stat_at(flags, &path))?;
    let inode = with_root(|root| root.metadata_hash_at(flags, &path)).map_or(0, |hash| hash.lower & 0xffff_ffff);
    Ok(Stat::new(&stat, inode))
}

impl Stat {
    fn new(stat: &DescriptorStat, inode: u64) -> Stat {
        let time = |time: Option<Datetime>| time.map_or((0, 0), |time| (time.seconds as i64, time.nanoseconds));
        Stat {
            kind: match stat.type_ {
                DescriptorType::Directory => Kind::Folder,
                DescriptorType::SymbolicLink => Kind::Link,
                DescriptorType::CharacterDevice => Kind::Device,
                DescriptorType::BlockDevice => Kind::Block,
                DescriptorType::Fifo => Kind::Pipe,
                DescriptorType::Socket => Kind::Socket,
                _ => Kind::File,
            },
            links: stat.link_count.max(1),
            size: stat.size,
            accessed: time(stat.data_access_timestamp),
            modified: time(stat.data_modification_timestamp),
            changed: time(stat.status_change_timestamp),
            inode,
        }
    }
}

/// Makes a symbolic link.
pub fn symlink(target: &str, path: &Path) -> io::Result<()> {
    let path = relative(path);
    with_root(|root| root.symlink_at(target, &path))
}

/// Sets times of access and modification; None leaves one as it is.
pub fn set_times(path: &Path, follow: bool, accessed: Option<(i64, u32)>, modified: Option<(i64, u32)>) -> io::Result<()> {
    let flags = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
    let time = |time: Option<(i64, u32)>| match time {
        Some((seconds, nanoseconds)) => NewTimestamp::Timestamp(Datetime { seconds: seconds.max(0) as u64, nanoseconds }),
        None => NewTimestamp::NoChange,
    };
    let path = relative(path);
    with_root(|root| root.set_times_at(flags, &path, time(accessed), time(modified)))
}

fn error(code: ErrorCode) -> io::Error {
    use io::ErrorKind;
    let (kind, words) = match code {
        ErrorCode::NoEntry => (ErrorKind::NotFound, "No such file or directory"),
        ErrorCode::Exist => (ErrorKind::AlreadyExists, "File exists"),
        ErrorCode::Access => (ErrorKind::PermissionDenied, "Permission denied"),
        ErrorCode::NotPermitted => (ErrorKind::PermissionDenied, "Operation not permitted"),
        ErrorCode::ReadOnly => (ErrorKind::ReadOnlyFilesystem, "Read-only file system"),
        ErrorCode::NotDirectory => (ErrorKind::NotADirectory, "Not a directory"),
        ErrorCode::IsDirectory => (ErrorKind::IsADirectory, "Is a directory"),
        ErrorCode::Loop => (ErrorKind::Other, "Too many levels of symbolic links"),
        ErrorCode::NameTooLong => (ErrorKind::InvalidFilename, "File name too long"),
        ErrorCode::Invalid => (ErrorKind::InvalidInput, "Invalid argument"),
        ErrorCode::Unsupported => (ErrorKind::Unsupported, "Operation not supported"),
        ErrorCode::InsufficientSpace => (ErrorKind::StorageFull, "No space left on device"),
        other => return io::Error::other(other.message().to_string()),
    };
    io::Error::new(kind, words)
}
