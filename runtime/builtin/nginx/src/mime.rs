//! Content types by file name.

const TYPES: &[(&str, &str)] = &[
    ("html htm shtml", "text/html"),
    ("css", "text/css"),
    ("xml", "text/xml"),
    ("js mjs", "application/javascript"),
    ("json map", "application/json"),
    ("txt conf log md", "text/plain"),
    ("csv", "text/csv"),
    ("yaml yml", "application/yaml"),
    ("gif", "image/gif"),
    ("jpeg jpg", "image/jpeg"),
    ("png", "image/png"),
    ("svg svgz", "image/svg+xml"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("bmp", "image/x-ms-bmp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("pdf", "application/pdf"),
    ("wasm", "application/wasm"),
    ("zip", "application/zip"),
    ("gz tgz", "application/gzip"),
    ("tar", "application/x-tar"),
    ("atom", "application/atom+xml"),
    ("rss", "application/rss+xml"),
];

/// The type of a file, by its extension.
pub fn of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next()?;
    let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
    TYPES.iter().find(|(extensions, _)| extensions.split(' ').any(|e| e == extension)).map(|(_, kind)| *kind)
}
