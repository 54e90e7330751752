//! Where bytes are: `blobs/ALGORITHM/HEX`, whole and never changed, and `uploads/ID`, which grow.

use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256, Sha512};

use crate::names::{Algorithm, Digest};

/// The folders of a registry.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn open(root: &Path) -> std::io::Result<Files> {
        let files = Files { root: root.to_owned() };
        for folder in [files.blobs(Algorithm::Sha256), files.blobs(Algorithm::Sha512), files.uploads()] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(files)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.redb")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.name())
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    /// Every blob's file.
    pub(crate) fn all_blobs(&self) -> std::io::Result<Vec<(Digest, PathBuf)>> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for entry in std::fs::read_dir(self.blobs(algorithm))? {
                let entry = entry?;
                if let Some(digest) = entry.file_name().to_str().and_then(|hex| Digest::parse(&format!("{}:{hex}", algorithm.name()))) {
                    found.push((digest, entry.path()));
                }
            }
        }
        Ok(found)
    }

    /// Puts a whole file, which is on disk already, under its digest's name.
    pub(crate) fn place(&self, from: &Path, digest: &Digest) -> std::io::Result<()> {
        let to = self.blob(digest);
        std::fs::rename(from, &to)?;
        std::fs::File::open(self.blobs(digest.algorithm()))?.sync_all()
    }

    /// Writes bytes to a temporary file, on disk when this returns.
    pub(crate) fn write(&self, bytes: &[u8]) -> std::io::Result<PathBuf> {
        use std::io::Write;
        let path = self.uploads().join(format!("{}.new", uuid::Uuid::new_v4()));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(path)
    }
}

/// A hash that goes on.
#[derive(Clone, Debug)]
pub(crate) enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hash {
    pub(crate) fn new(algorithm: Algorithm) -> Hash {
        match algorithm {
            Algorithm::Sha256 => Hash::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hash::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Hash::Sha256(_) => Algorithm::Sha256,
            Hash::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn digest(self) -> Digest {
        match self {
            Hash::Sha256(hash) => Digest::new(Algorithm::Sha256, &hash.finalize()),
            Hash::Sha512(hash) => Digest::new(Algorithm::Sha512, &hash.finalize()),
        }
    }

    /// Of so many bytes at the begin of a file.
    pub(crate) fn of_file(path: &Path, algorithm: Algorithm, length: u64) -> std::io::Result<Hash> {
        let mut hash = Hash::new(algorithm);
        let mut file = std::fs::File::open(path)?.take(length);
        let mut chunk = vec![0; 128 << 10];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(hash),
                read => hash.update(&chunk[..read]),
            }
        }
    }
}

/// The digest of bytes.
pub(crate) fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hash = Hash::new(algorithm);
    hash.update(bytes);
    hash.digest()
}
