//! Manifests: what `-f` names, be it a file, a folder, a URL or standard input, as objects.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::session::{Session, request};

/// The largest manifest that is read.
const LARGEST: u64 = 64 << 20;

/// The flags that name manifests.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FileFlags {
    /// File, folder or URL with manifests; - is standard input. May be repeated.
    #[arg(long = "filename", short = 'f', value_delimiter = ',', value_name = "FILE")]
    pub files: Vec<String>,
    /// Process the folder of -f recursively.
    #[arg(long, short = 'R')]
    pub recursive: bool,
    /// A folder with a kustomization file.
    #[arg(long = "kustomize", short = 'k', value_name = "FOLDER")]
    pub kustomize: Option<String>,
}

impl FileFlags {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.kustomize.is_none()
    }
}

/// An object and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The object.
    pub object: Value,
    /// The file, the URL, or `STDIN`.
    pub source: String,
}

/// Everything that the flags name, in order. What could not be read comes after what could.
pub async fn read(flags: &FileFlags) -> Result<(Vec<Manifest>, Vec<Error>)> {
    if flags.kustomize.is_some() {
        return Err(Error::message("kustomizations are not built here; pipe what `kustomize build` prints to -f -"));
    }
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let mut stdin_read = false;
    for file in &flags.files {
        match file.as_str() {
            "-" if std::mem::replace(&mut stdin_read, true) => return Err(Error::message("standard input cannot be used for multiple arguments")),
            "-" => {
                let mut text = Vec::new();
                std::io::stdin().lock().take(LARGEST).read_to_end(&mut text).map_err(|error| Error::message(format!("read standard input: {error}")))?;
                collect(&text, "STDIN", &mut found, &mut errors);
            }
            url if url.starts_with("http://") || url.starts_with("https://") => {
                let text = download(url).await?;
                collect(&text, url, &mut found, &mut errors);
            }
            path => {
                for file in files(Path::new(path), flags.recursive)? {
                    let source = file.display().to_string();
                    match std::fs::read(&file) {
                        Ok(text) => collect(&text, &source, &mut found, &mut errors),
                        Err(error) => errors.push(Error::message(format!("open {source}: {error}"))),
                    }
                }
            }
        }
    }
    Ok((found, errors))
}

/// The files of a path: itself, or those of a folder by their names.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::message(format!("the path {:?} does not exist", path.display().to_string())),
        _ => Error::message(format!("the path {:?} cannot be accessed: {error}", path.display().to_string())),
    })?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, recursive, &mut found)?;
    if found.is_empty() {
        return Err(Error::message(format!("error reading [{}]: recognized file extensions are [.json .yaml .yml]", path.display())));
    }
    Ok(found)
}

fn walk(folder: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::message(format!("open {}: {error}", folder.display())))?;
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if recursive {
                walk(&path, recursive, found)?;
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "json" | "yaml" | "yml")) {
            found.push(path);
        }
    }
    Ok(())
}

async fn download(url: &str) -> Result<Vec<u8>> {
    let wrong = |why: String| Error::message(format!("unable to read URL {url:?}, {why}"));
    let uri: http::Uri = url.parse().map_err(|error| Error::message(format!("the URL passed to filename {url:?} is not valid: {error}")))?;
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let base = http::Uri::builder()
        .scheme(uri.scheme_str().unwrap_or("https"))
        .authority(uri.authority().map_or("", http::uri::Authority::as_str))
        .path_and_query("/")
        .build();
    let base = base.map_err(|error| wrong(error.to_string()))?;
    let session = Session::new(kube::Config::new(base), "default".into(), false, Some(std::time::Duration::from_secs(30)))?;
    session.bytes(request("GET", &path, "*/*", None)?).await.map_err(|error| match error {
        Error::Status(status) => wrong(format!("server reported {}, status code={}", status.reason, status.code)),
        other => wrong(other.text()),
    })
}

/// The documents of a text. A List stays one; the rest of a text that cannot be parsed is an error.
fn collect(text: &[u8], source: &str, found: &mut Vec<Manifest>, errors: &mut Vec<Error>) {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(_) => return errors.push(Error::message(format!("error parsing {source}: error converting YAML to JSON: yaml: invalid leading UTF-8 octet"))),
    };
    let before = found.len() + errors.len();
    for document in documents(text) {
        let value = match parse(&document) {
            Ok(Value::Null) => continue,
            Ok(value) => value,
            Err(error) => {
                errors.push(Error::message(format!("error parsing {source}: error converting YAML to JSON: yaml: {error}")));
                continue;
            }
        };
        match check(&value) {
            Ok(()) => found.push(Manifest { object: value, source: source.to_owned() }),
            Err(why) => errors.push(Error::message(format!("unable to decode {source:?}: {why}"))),
        }
    }
    if found.len() + errors.len() == before && source == "STDIN" {
        errors.push(Error::message("no objects passed to apply"));
    }
}

/// The texts between lines of `---`.
fn documents(text: &str) -> Vec<String> {
    if text.trim_start().starts_with('{') {
        return json_documents(text);
    }
    let mut all = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") && bare[4..].trim_start().starts_with('#') {
            all.push(String::new());
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
        }
    }
    all
}

fn json_documents(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for next in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match next {
            Ok(value) => all.push(value.to_string()),
            Err(_) => {
                // YAML's flow style looks like JSON; its parser tells what is wrong.
                return vec![text.to_owned()];
            }
        }
    }
    all
}

/// One document of YAML or JSON.
pub fn parse(text: &str) -> Result<Value, String> {
    let value = serde_yaml::Value::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| match error.location() {
        Some(location) => format!("line {}: {}", location.line(), error.to_string().split(" at line ").next().unwrap_or_default()),
        None => error.to_string(),
    })?;
    to_json(value)
}

fn to_json(value: serde_yaml::Value) -> Result<Value, String> {
    use serde_yaml::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(b),
        Yaml::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => n.into(),
            (_, Some(n), _) => n.into(),
            (_, _, Some(n)) => serde_json::Number::from_f64(n).map_or(Value::Null, Value::Number),
            _ => Value::Null,
        },
        Yaml::String(s) => Value::String(s),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?),
        Yaml::Mapping(mut mapping) => {
            mapping.apply_merge_ok();
            let mut map = serde_json::Map::new();
            for (key, value) in mapping {
                let key = match key {
                    Yaml::String(key) => key,
                    Yaml::Number(n) => n.to_string(),
                    Yaml::Bool(b) => b.to_string(),
                    _ => return Err("a key that is no text".into()),
                };
                map.insert(key, to_json(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tagged) => to_json(tagged.value)?,
    })
}

/// `<<: *anchor`, where it is well formed.
trait Merge {
    fn apply_merge_ok(&mut self);
}

impl Merge for serde_yaml::Mapping {
    fn apply_merge_ok(&mut self) {
        let mut value = serde_yaml::Value::Mapping(std::mem::take(self));
        let _ = value.apply_merge();
        if let serde_yaml::Value::Mapping(mapping) = value {
            *self = mapping;
        }
    }
}

/// Whether it says what it is.
fn check(object: &Value) -> Result<(), String> {
    let text = crate::print::json::compact(object);
    if !object.is_object() {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            go_kind(object)
        ));
    }
    for (field, shown) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if object[field].as_str().is_none_or(str::is_empty) {
            return Err(format!("Object '{shown}' is missing in '{text}'"));
        }
    }
    Ok(())
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    }
}

/// A List becomes its items; everything else stays.
pub fn flatten(manifests: Vec<Manifest>) -> Vec<Manifest> {
    let mut flat = Vec::new();
    for mut manifest in manifests {
        let list = manifest.object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match manifest.object.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if list => {
                flat.extend(flatten(items.into_iter().map(|object| Manifest { object, source: manifest.source.clone() }).collect()));
            }
            Some(other) => {
                manifest.object["items"] = other;
                flat.push(manifest);
            }
            None => flat.push(manifest),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        collect(text.as_bytes(), "f.yaml", &mut found, &mut errors);
        let found = flatten(found);
        (found.iter().map(|m| m.object["kind"].as_str().unwrap().to_owned()).collect(), errors.iter().map(Error::text).collect())
    }

    #[test]
    fn documents_and_lists_are_read_in_order() {
        let text = "# a comment\n---\napiVersion: v1\nkind: A\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: B}\n- {apiVersion: v1, kind: C}\n";
        assert_eq!(kinds(text).0, ["A", "B", "C"]);
        assert_eq!(kinds("{\"apiVersion\":\"v1\",\"kind\":\"A\"}\n{\"apiVersion\":\"v1\",\"kind\":\"B\"}").0, ["A", "B"]);
    }

    #[test]
    fn what_is_no_object_is_told() {
        assert_eq!(kinds("apiVersion: v1\n").1, ["unable to decode \"f.yaml\": Object 'Kind' is missing in '{\"apiVersion\":\"v1\"}'"]);
        assert_eq!(kinds("kind: A\n").1, ["unable to decode \"f.yaml\": Object 'apiVersion' is missing in '{\"kind\":\"A\"}'"]);
        assert!(kinds("a: [1\nb: 2").1[0].starts_with("error parsing f.yaml: error converting YAML to JSON: yaml: line "));
    }

    #[test]
    fn folders_are_read_by_name() {
        let place = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
        assert!(files(place.path(), false).unwrap_err().text().contains("recognized file extensions are"));
        write("b.yaml", "");
        write("a.json", "");
        write("x.txt", "");
        std::fs::create_dir(place.path().join("c")).unwrap();
        write("c/d.yml", "");
        let names =
            |recursive| files(place.path(), recursive).unwrap().iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>();
        assert_eq!(names(false), ["a.json", "b.yaml"]);
        assert_eq!(names(true), ["a.json", "b.yaml", "d.yml"]);
        assert_eq!(files(Path::new("/none.yaml"), false).unwrap_err().text(), "the path \"/none.yaml\" does not exist");
    }

    #[tokio::test]
    async fn urls_are_read() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a/b.yaml?c=d", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let n = stream.read(&mut head).await.unwrap();
            let body = "apiVersion: v1\nkind: A\n";
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..n]).lines().next().unwrap().to_owned()
        };
        let flags = FileFlags { files: vec![url], ..FileFlags::default() };
        let (line, read) = tokio::join!(server, read(&flags));
        assert_eq!(line, "GET /a/b.yaml?c=d HTTP/1.1");
        assert_eq!(read.unwrap().0[0].object["kind"], "A");
    }
}
