//! A registry of this test run: serves components it was given, as the distribution spec says, in plain HTTP on loopback.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};

type Contents = Arc<Mutex<HashMap<String, (String, Vec<u8>)>>>;

/// Serves until the test process ends.
pub struct Registry {
    host: String,
    contents: Contents,
}

impl Registry {
    /// On a free port.
    pub fn start() -> std::io::Result<Registry> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let host = format!("127.0.0.1:{}", listener.local_addr()?.port());
        let contents = Contents::default();
        let shared = contents.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let contents = shared.clone();
                std::thread::spawn(move || serve(stream, &contents));
            }
        });
        Ok(Registry { host, contents })
    }

    /// Adds a component as the CNCF Wasm OCI artifact; its reference.
    pub fn add(&self, name: &str, wasm: &[u8]) -> String {
        self.add_as(name, wasm, &digest(wasm))
    }

    /// The reference under which a component was added.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}:v1", self.host)
    }

    /// The same, claiming a digest for the layer that may be wrong.
    pub fn add_as(&self, name: &str, wasm: &[u8], claimed: &str) -> String {
        let config = json!({"created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2", "layerDigests": [claimed]}).to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(&config), "size": config.len()},
            "layers": [{"mediaType": "application/wasm", "digest": claimed, "size": wasm.len()}],
        })
        .to_string()
        .into_bytes();
        if let Ok(mut contents) = self.contents.lock() {
            contents.insert(format!("/v2/{name}/blobs/{}", digest(&config)), ("application/octet-stream".into(), config));
            contents.insert(format!("/v2/{name}/blobs/{claimed}"), ("application/wasm".into(), wasm.to_vec()));
            for reference in ["v1".to_owned(), digest(&manifest)] {
                contents.insert(format!("/v2/{name}/manifests/{reference}"), ("application/vnd.oci.image.manifest.v1+json".into(), manifest.clone()));
            }
        }
        self.reference(name)
    }
}

/// `sha256:…`
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn serve(mut stream: TcpStream, contents: &Contents) {
    let Ok(clone) = stream.try_clone() else { return };
    let mut reader = BufReader::new(clone);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap_or(0) > 2 {
            header.clear();
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let found = contents.lock().ok().and_then(|contents| contents.get(&path).cloned());
        let (status, kind, body) = match found {
            Some((kind, body)) => ("200 OK", kind, body),
            None if path == "/v2/" => ("200 OK", "application/json".to_owned(), b"{}".to_vec()),
            None => ("404 Not Found", "application/json".to_owned(), br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\r\n", body.len(), digest(&body));
        if stream.write_all(head.as_bytes()).is_err() || (method != "HEAD" && stream.write_all(&body).is_err()) {
            return;
        }
    }
}
