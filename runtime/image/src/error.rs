//! What can go wrong between an image's name and its running code, in words for Events and container states.

use std::time::Duration;

/// An image could not be brought here, understood, or made runnable.
///
/// [`ImageError::reason`] is the container's waiting reason; the text is its message.
/// The error is cheap to clone: every caller that waited for the same pull gets it.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages print")]
pub enum ImageError {
    /// The reference does not parse.
    #[error("Failed to apply default image tag \"{reference}\": couldn't parse image name \"{reference}\": {message}")]
    InvalidName { reference: String, message: String },
    /// Policy `Never`, and the image is not here.
    #[error("Container image \"{reference}\" is not present with pull policy of Never")]
    NeverPull { reference: String },
    /// The registry does not have it, or says so.
    #[error("Failed to pull image \"{reference}\": {reference}: not found")]
    NotFound { reference: String },
    /// The registry wants (other) credentials.
    #[error("Failed to pull image \"{reference}\": pull access denied, repository does not exist or may require authorization: {message}")]
    Denied { reference: String, message: String },
    /// The registry could not be reached, or answered nonsense.
    #[error("Failed to pull image \"{reference}\": {message}")]
    Registry { reference: String, message: String },
    /// An artifact could not be pushed.
    #[error("failed to push {reference}: {message}")]
    Push { reference: String, message: String },
    /// What arrived is not what its digest promises.
    #[error("Failed to pull image \"{reference}\": failed to verify digest: expected {expected}, got {actual}")]
    Digest { reference: String, expected: String, actual: String },
    /// Something is larger than [`crate::Limits`] allow.
    #[error("Failed to pull image \"{reference}\": {what} is {size} bytes, the limit is {limit}")]
    TooLarge { reference: String, what: String, size: u64, limit: u64 },
    /// An image of native code.
    #[error(
        "Failed to pull image \"{reference}\": it is built for {platforms}; this node runs WebAssembly images only (platform wasip2/wasm, wasip1/wasm or wasi/wasm, or a Wasm OCI artifact)"
    )]
    Platform { reference: String, platforms: String },
    /// Neither of the two forms of a Wasm image.
    #[error("Failed to pull image \"{reference}\": not a WebAssembly image: {message}")]
    Form { reference: String, message: String },
    /// A layer that cannot be unpacked safely.
    #[error("Failed to pull image \"{reference}\": failed to extract layer {digest}: {message}")]
    Layer { reference: String, digest: String, message: String },
    /// Malformed, truncated, or beyond a limit.
    #[error("invalid WebAssembly in \"{module}\": {message}")]
    Module { module: String, message: String },
    /// Imports something that this host does not offer.
    #[error("\"{module}\" cannot run here: {message}")]
    Imports { module: String, message: String },
    /// Exports nothing that runs.
    #[error(
        "\"{module}\" exports nothing that can be run (wanted one of wasi:http/incoming-handler@0.2, wasi:http/handler@0.3, wasi:cli/run@0.2, wasi:cli/run@0.3); it exports {exports}"
    )]
    NothingRunnable { module: String, exports: String },
    /// `command` was given and names nothing that could run, because the image has no module of its own.
    #[error("exec: \"{command}\": executable file not found in image \"{reference}\"")]
    NoSuchCommand { reference: String, command: String },
    /// The compiler refused it.
    #[error("failed to compile \"{module}\": {message}")]
    Compile { module: String, message: String },
    /// The compiler was stopped at its limits.
    #[error("failed to compile \"{module}\": stopped after {after:?}: the module takes longer to compile than this node allows")]
    CompileTime { module: String, after: Duration },
    /// The disk, or a child process.
    #[error("image store: {operation}: {message}")]
    Store { operation: String, message: String },
}

impl ImageError {
    /// The waiting reason of a container, in Kubernetes' words.
    pub fn reason(&self) -> &'static str {
        match self {
            ImageError::InvalidName { .. } => "InvalidImageName",
            ImageError::NeverPull { .. } => "ErrImageNeverPull",
            ImageError::NoSuchCommand { .. } => "CreateContainerError",
            _ => "ErrImagePull",
        }
    }

    /// Whether trying again may help: the registry or the network, not the image itself. (Kubernetes retries both.)
    pub fn is_transient(&self) -> bool {
        matches!(self, ImageError::Registry { .. } | ImageError::Denied { .. } | ImageError::NotFound { .. } | ImageError::Store { .. })
    }

    pub(crate) fn store(operation: impl Into<String>, error: impl std::fmt::Display) -> ImageError {
        ImageError::Store { operation: operation.into(), message: error.to_string() }
    }
}
