//! The registry as a value: opened once, cloned freely, asked through [`Registry::call`].

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use tokio::sync::Semaphore;

use crate::access::{Access, Action, Decision, InUse};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::index::{Index, IndexError};
use crate::names::is_repository;
use crate::route::{Query, Route, decode};
use crate::serve;
use crate::uploads::Uploads;

/// What may be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of one blob.
    pub max_blob: u64,
    /// Bytes of one manifest.
    pub max_manifest: u64,
    /// Uploads that may be under way.
    pub max_uploads: usize,
    /// Requests that may send bytes at a time; others wait.
    pub max_senders: usize,
    /// Silence of a client that sends.
    pub idle: Duration,
    /// How long a blob stays that no manifest needs, counted from when a pusher was last told that it is there.
    pub grace: Duration,
    /// How long a manifest stays that no tag leads to.
    pub untagged: Duration,
    /// How long an upload stays that nobody goes on with.
    pub stale: Duration,
    /// How often all that is looked for.
    pub every: Duration,
}

impl Default for Options {
    fn default() -> Options {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Options {
            max_blob: 8 << 30,
            max_manifest: 4 << 20,
            max_uploads: 1000,
            max_senders: 64,
            idle: Duration::from_secs(60),
            grace: hours(1),
            untagged: hours(7 * 24),
            stale: hours(24),
            every: hours(1),
        }
    }
}

/// Why a registry did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder could not be made or read.
    #[error("open the registry in {path}: {error}")]
    Folder {
        /// Which folder.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The index is unusable.
    #[error("open the registry's index {path}: {error}")]
    Index {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: String,
    },
}

/// A registry. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) files: Files,
    pub(crate) index: Index,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) in_use: Option<Arc<dyn InUse>>,
    senders: Semaphore,
}

impl Registry {
    /// Opens (and makes, mode 0700) the registry of a folder, which must be this process' alone.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path, options: Options, access: Arc<dyn Access>, in_use: Option<Arc<dyn InUse>>) -> Result<Registry, OpenError> {
        let failed = |error| OpenError::Folder { path: folder.display().to_string(), error };
        let files = Files::open(folder).map_err(failed)?;
        let index = Index::open(&files.index()).map_err(|error| OpenError::Index { path: files.index().display().to_string(), error: error.to_string() })?;
        let uploads = Uploads::open(&files, options.max_uploads, options.max_blob, options.idle).map_err(failed)?;
        let senders = Semaphore::new(options.max_senders);
        Ok(Registry { inner: Arc::new(Inner { files, index, uploads: Arc::new(uploads), access, in_use, senders, options }) })
    }

    /// Whether a path is the registry's to answer.
    pub fn owns(path: &str) -> bool {
        path == "/v2" || path.starts_with("/v2/")
    }

    /// Answers a request.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut response = answer(&self.inner, &parts, body).await.unwrap_or_else(Error::response);
        let version = (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
        response.headers_mut().insert(version.0, version.1);
        response
    }
}

async fn answer(inner: &Arc<Inner>, parts: &Parts, body: Body) -> Result<Response<Body>> {
    let path = decode(parts.uri.path());
    let route = Route::parse(&path).ok_or_else(Error::not_found)?;
    let query = Query::parse(parts.uri.query());
    let ask = Ask { inner, parts, query: &query };
    let method = &parts.method;
    let read = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Base => {
            ask.known()?;
            if read { Ok(serve::base()) } else { Err(wrong_method(method)) }
        }
        Route::Catalog => {
            ask.known()?;
            if read { serve::lists::catalog(&ask) } else { Err(wrong_method(method)) }
        }
        Route::Tags { name } => {
            ask.may(Action::Pull, name)?;
            if read { serve::lists::tags(&ask, name) } else { Err(wrong_method(method)) }
        }
        Route::Referrers { name, digest } => {
            ask.may(Action::Pull, name)?;
            if read { serve::lists::referrers(&ask, name, digest) } else { Err(wrong_method(method)) }
        }
        Route::Manifest { name, reference } => match *method {
            Method::GET | Method::HEAD => {
                ask.may(Action::Pull, name)?;
                serve::manifests::get(&ask, name, reference).await
            }
            Method::PUT => {
                ask.may(Action::Push, name)?;
                serve::manifests::put(&ask, name, reference, body).await
            }
            Method::DELETE => {
                ask.may(Action::Delete, name)?;
                serve::manifests::delete(&ask, name, reference).await
            }
            _ => Err(wrong_method(method)),
        },
        Route::Blob { name, digest } => match *method {
            Method::GET | Method::HEAD => {
                ask.may(Action::Pull, name)?;
                serve::blobs::get(&ask, name, digest).await
            }
            Method::DELETE => {
                ask.may(Action::Delete, name)?;
                serve::blobs::delete(&ask, name, digest).await
            }
            _ => Err(wrong_method(method)),
        },
        Route::Uploads { name } => {
            ask.may(Action::Push, name)?;
            if *method == Method::POST { serve::uploads::begin(&ask, name, body).await } else { Err(wrong_method(method)) }
        }
        Route::Upload { name, id } => {
            ask.may(Action::Push, name)?;
            match *method {
                Method::GET | Method::HEAD => serve::uploads::status(&ask, name, id).await,
                Method::PATCH => serve::uploads::append(&ask, name, id, body).await,
                Method::PUT => serve::uploads::finish(&ask, name, id, body).await,
                Method::DELETE => serve::uploads::cancel(&ask, name, id).await,
                _ => Err(wrong_method(method)),
            }
        }
    }
}

fn wrong_method(method: &Method) -> Error {
    Error::unsupported(format!("{method} is not done here"))
}

/// A request, with what is needed to answer it.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) inner: &'a Arc<Inner>,
    pub(crate) parts: &'a Parts,
    pub(crate) query: &'a Query,
}

impl Ask<'_> {
    /// Whether the sender is known.
    fn known(&self) -> Result<()> {
        self.decide(None)
    }

    /// Whether the sender may do this with a repository, whose name is one.
    pub(crate) fn may(&self, action: Action, repository: &str) -> Result<()> {
        if !is_repository(repository) {
            // Nobody learns anything from it, but those who may ask at all.
            self.known()?;
            return Err(Error::name_invalid(repository));
        }
        self.decide(Some((action, repository)))
    }

    fn decide(&self, wanted: Option<(Action, &str)>) -> Result<()> {
        match self.inner.access.decide(self.parts, wanted) {
            Decision::Allowed => Ok(()),
            Decision::Unauthenticated => Err(Error::unauthorized()),
            Decision::Denied(why) => Err(Error::denied(why)),
        }
    }

    /// A header's text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Inner {
    /// A turn to send bytes.
    pub(crate) async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let turn = tokio::time::timeout(self.options.idle, self.senders.acquire()).await;
        turn.ok().and_then(std::result::Result::ok).ok_or_else(|| Error::too_many("too many pushes at the same time"))
    }

    /// Work on the index or the disk, off the runtime's threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this)).await.map_err(|error| Error::internal(operation, error))?;
        done.map_err(|error| failed(operation, &error))
    }
}

/// What the index could not do.
pub(crate) fn failed(operation: &str, error: &IndexError) -> Error {
    match error {
        IndexError::Io(error) => Error::io(operation, error),
        IndexError::Database(database) => match &**database {
            redb::Error::Io(error) => Error::io(operation, error),
            other => Error::internal(operation, other),
        },
        IndexError::Damaged(_) => Error::internal(operation, error),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
