//! The registry as its clients see it: requests in, answers out, as the distribution specification has them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use wharf_registry::{Access, Action, Decision, Options, Registry};

/// `Authorization: USER`; `admin` may do everything, `reader` may pull what begins with `public/`.
struct Users;

impl Access for Users {
    fn decide(&self, request: &Parts, wanted: Option<(Action, &str)>) -> Decision {
        let user = request.headers.get("authorization").and_then(|user| user.to_str().ok()).unwrap_or_default();
        match (user, wanted) {
            ("admin", _) | ("reader", None) => Decision::Allowed,
            ("reader", Some((Action::Pull, repository))) if repository.starts_with("public/") => Decision::Allowed,
            ("reader", Some((action, repository))) => Decision::Denied(format!("reader: no {action:?} of {repository}")),
            _ => Decision::Unauthenticated,
        }
    }
}

struct World {
    registry: Registry,
    folder: tempfile::TempDir,
    options: Options,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&self.body)))
    }

    /// `404 BLOB_UNKNOWN`, or the status alone.
    fn short(&self) -> String {
        let code = serde_json::from_slice::<Value>(&self.body).ok().and_then(|body| body["errors"][0]["code"].as_str().map(str::to_owned));
        format!("{} {}", self.status.as_u16(), code.unwrap_or_default()).trim().to_owned()
    }
}

impl World {
    fn new() -> World {
        World::with(Options::default())
    }

    fn with(options: Options) -> World {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path(), options.clone(), Arc::new(Users), None).unwrap();
        World { registry, folder, options }
    }

    /// The same folder in another process.
    fn restart(self) -> World {
        let World { registry, folder, options } = self;
        drop(registry);
        let registry = Registry::open(folder.path(), options.clone(), Arc::new(Users), None).unwrap();
        World { registry, folder, options }
    }

    async fn send(&self, user: &str, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("authorization", user);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = self.registry.call(request.body(body.into()).unwrap()).await.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send("admin", method, path, &[], body).await
    }

    async fn begin(&self, name: &str) -> String {
        let begun = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), Body::empty()).await;
        assert_eq!(begun.short(), "202");
        assert!(begun.header("location").ends_with(begun.header("docker-upload-uuid")));
        begun.header("location").to_owned()
    }

    async fn blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let pushed = self.ask("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), bytes.to_vec()).await;
        assert_eq!(pushed.short(), "201");
        digest
    }

    async fn manifest(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media = manifest["mediaType"].as_str().unwrap_or(OCI).to_owned();
        self.send("admin", "PUT", &format!("/v2/{name}/manifests/{reference}"), &[("content-type", &media)], manifest.to_string()).await
    }

    /// A manifest with one blob, and its digest.
    async fn image(&self, name: &str, tag: &str, content: &str) -> String {
        let blob = self.blob(name, content.as_bytes()).await;
        let pushed = self.manifest(name, tag, &image(&blob, content.len())).await;
        assert_eq!(pushed.short(), "201");
        pushed.header("docker-content-digest").to_owned()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("blobs/sha256")).unwrap().count()
    }
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn image(blob: &str, size: usize) -> Value {
    let descriptor = json!({"mediaType": "application/wasm", "digest": blob, "size": size});
    json!({"schemaVersion": 2, "mediaType": OCI, "config": descriptor, "layers": [descriptor]})
}

#[tokio::test]
async fn who_may_do_what() {
    let world = World::new();
    let digest = world.image("public/a", "v1", "x").await;
    world.image("private/a", "v1", "x").await;
    let base = world.send("", "GET", "/v2/", &[], Body::empty()).await;
    assert_eq!(base.short(), "401 UNAUTHORIZED");
    assert!(base.header("www-authenticate").starts_with("Basic realm="));
    assert_eq!(base.header("docker-distribution-api-version"), "registry/2.0");
    for (user, method, path, want) in [
        ("admin", "GET", "/v2/", "200"),
        ("reader", "GET", "/v2/", "200"),
        ("reader", "GET", "/v2/public/a/manifests/v1", "200"),
        ("reader", "GET", "/v2/private/a/manifests/v1", "403 DENIED"),
        ("reader", "GET", "/v2/NO/manifests/v1", "400 NAME_INVALID"),
        ("", "GET", "/v2/NO/manifests/v1", "401 UNAUTHORIZED"),
        ("", "GET", "/v2/public/a/manifests/v1", "401 UNAUTHORIZED"),
        ("reader", "POST", "/v2/public/a/blobs/uploads/", "403 DENIED"),
        ("reader", "DELETE", "/v2/public/a/manifests/v1", "403 DENIED"),
        ("reader", "PUT", "/v2/public/a/manifests/v2", "403 DENIED"),
        ("admin", "POST", "/v2/", "405 UNSUPPORTED"),
        ("admin", "PATCH", "/v2/public/a/manifests/v1", "405 UNSUPPORTED"),
        ("admin", "GET", "/v2/nothing", "404 UNSUPPORTED"),
    ] {
        assert_eq!(world.send(user, method, path, &[], Body::empty()).await.short(), want, "{user} {method} {path}");
    }
    let seen = |answer: &Answer| answer.json()["repositories"].clone();
    assert_eq!(seen(&world.send("reader", "GET", "/v2/_catalog", &[], Body::empty()).await), json!(["public/a"]));
    assert_eq!(seen(&world.ask("GET", "/v2/_catalog", Body::empty()).await), json!(["private/a", "public/a"]));
    // A blob is reached through a repository that has it, and only so.
    let blob = sha256(b"x");
    assert_eq!(world.ask("GET", &format!("/v2/other/blobs/{blob}"), Body::empty()).await.short(), "404 BLOB_UNKNOWN");
    assert_eq!(world.ask("GET", &format!("/v2/other/manifests/{digest}"), Body::empty()).await.short(), "404 MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn blobs_are_pushed_in_every_way() {
    let world = World::new();
    let (bytes, digest) = (b"0123456789".as_slice(), sha256(b"0123456789"));
    // POST, then PUT.
    let at = world.begin("a/b").await;
    let put = world.ask("PUT", &format!("{at}?digest={digest}"), bytes.to_vec()).await;
    assert_eq!((put.short().as_str(), put.header("location")), ("201", &*format!("/v2/a/b/blobs/{digest}")));
    assert_eq!(put.header("docker-content-digest"), digest);
    assert_eq!(world.ask("GET", &at, Body::empty()).await.short(), "404 BLOB_UPLOAD_UNKNOWN");
    // Chunks, one of them out of order, the rest with PUT.
    let at = world.begin("chunked").await;
    let chunk = async |range: &str, bytes: &'static [u8]| world.send("admin", "PATCH", &at, &[("content-range", range)], bytes).await;
    let first = chunk("0-3", b"0123").await;
    assert_eq!((first.short().as_str(), first.header("range"), first.header("location")), ("202", "0-3", at.as_str()));
    let wrong = chunk("6-7", b"67").await;
    assert_eq!((wrong.short().as_str(), wrong.header("range"), wrong.header("location")), ("416 BLOB_UPLOAD_INVALID", "0-3", at.as_str()));
    assert_eq!(chunk("0-3", b"0123").await.short(), "416 BLOB_UPLOAD_INVALID");
    assert_eq!(chunk("4-9", b"45").await.short(), "400 SIZE_INVALID");
    assert_eq!(chunk("four", b"45").await.short(), "400 BLOB_UPLOAD_INVALID");
    let status = world.ask("GET", &at, Body::empty()).await;
    assert_eq!((status.short().as_str(), status.header("range")), ("204", "0-3"));
    assert_eq!(chunk("4-5", b"45").await.header("range"), "0-5");
    let put = world.send("admin", "PUT", &format!("{at}?digest={digest}"), &[("content-range", "6-9")], b"6789".as_slice()).await;
    assert_eq!(put.short(), "201");
    // A stream of no announced length, closed with nothing more, under the other algorithm.
    let long = format!("sha512:{}", hex::encode(Sha512::digest(bytes)));
    let at = world.begin("streamed").await;
    let stream = futures::stream::iter(bytes.chunks(3).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())));
    assert_eq!(world.ask("PATCH", &at, Body::from_stream(stream)).await.header("range"), "0-9");
    assert_eq!(world.ask("PUT", &format!("{at}?digest={long}"), Body::empty()).await.short(), "201");
    assert_eq!(world.ask("GET", &format!("/v2/streamed/blobs/{long}"), Body::empty()).await.body, bytes);
    // An empty one.
    world.blob("empty", b"").await;
    assert_eq!(world.ask("GET", &format!("/v2/empty/blobs/{}", sha256(b"")), Body::empty()).await.body, b"");
    // What is not what it says leaves nothing.
    let at = world.begin("wrong").await;
    assert_eq!(world.ask("PUT", &format!("{at}?digest={}", sha256(b"other")), bytes.to_vec()).await.short(), "400 DIGEST_INVALID");
    assert_eq!(world.ask("PUT", &format!("{at}?digest={digest}"), bytes.to_vec()).await.short(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(world.ask("POST", &format!("/v2/wrong/blobs/uploads/?digest={}", sha256(b"other")), bytes.to_vec()).await.short(), "400 DIGEST_INVALID");
    for (path, want) in [("?digest=md5:00", "400 DIGEST_INVALID"), ("", "400 DIGEST_INVALID")] {
        let at = world.begin("wrong").await;
        assert_eq!(world.ask("PUT", &format!("{at}{path}"), bytes.to_vec()).await.short(), want);
        assert_eq!(world.ask("DELETE", &at, Body::empty()).await.short(), "204");
        assert_eq!(world.ask("DELETE", &at, Body::empty()).await.short(), "404 BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(std::fs::read_dir(world.folder.path().join("uploads")).unwrap().count(), 0);
    // An upload is one repository's.
    let at = world.begin("mine").await;
    assert_eq!(world.ask("GET", &at.replace("mine", "yours"), Body::empty()).await.short(), "404 BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn blobs_are_read_whole_and_in_part() {
    let world = World::new();
    let digest = world.blob("a", b"0123456789").await;
    let path = format!("/v2/a/blobs/{digest}");
    #[rustfmt::skip]
    let table = [
        ("GET", "", "200", "0123456789", "10", ""),
        ("HEAD", "", "200", "", "10", ""),
        ("GET", "bytes=2-4", "206", "234", "3", "bytes 2-4/10"),
        ("GET", "bytes=7-", "206", "789", "3", "bytes 7-9/10"),
        ("GET", "bytes=-2", "206", "89", "2", "bytes 8-9/10"),
        ("GET", "bytes=10-", "416 SIZE_INVALID", "", "", "bytes */10"),
        ("GET", "bytes=x", "200", "0123456789", "10", ""),
    ];
    for (method, range, status, body, length, content_range) in table {
        let headers: &[(&str, &str)] = if range.is_empty() { &[] } else { &[("range", range)] };
        let answer = world.send("admin", method, &path, headers, Body::empty()).await;
        assert_eq!((answer.short().as_str(), answer.header("content-length"), answer.header("content-range")), (status, length, content_range), "{range}");
        if answer.status.is_success() {
            assert_eq!((answer.body.as_slice(), answer.header("docker-content-digest")), (body.as_bytes(), digest.as_str()), "{range}");
        }
    }
    let tag = format!("\"{digest}\"");
    assert_eq!(world.send("admin", "GET", &path, &[("if-none-match", &tag)], Body::empty()).await.short(), "304");
    assert_eq!(world.ask("GET", &format!("/v2/a/blobs/{}", digest.replace(':', "%3A")), Body::empty()).await.short(), "200");
    assert_eq!(world.ask("HEAD", "/v2/a/blobs/sha256:0", Body::empty()).await.status, 400);
    assert_eq!(world.ask("HEAD", &format!("/v2/a/blobs/{}", sha256(b"none")), Body::empty()).await.status, 404);
}

#[tokio::test]
async fn an_upload_goes_on_after_an_interruption_and_after_a_restart() {
    let world = World::with(Options { idle: Duration::from_millis(200), ..Options::default() });
    let digest = sha256(b"0123456789");
    let at = world.begin("a").await;
    let broken = futures::stream::iter([Ok(b"0123".to_vec()), Err(std::io::Error::other("gone"))]);
    assert_eq!(world.ask("PATCH", &at, Body::from_stream(broken)).await.short(), "408 BLOB_UPLOAD_INVALID");
    assert_eq!(world.ask("GET", &at, Body::empty()).await.header("range"), "0-3");
    // A client that says nothing more.
    let silent = futures::StreamExt::chain(futures::stream::iter([Ok::<_, std::io::Error>(b"45".to_vec())]), futures::stream::pending());
    assert_eq!(world.ask("PATCH", &at, Body::from_stream(silent)).await.short(), "408 BLOB_UPLOAD_INVALID");
    let world = world.restart();
    assert_eq!(world.ask("GET", &at, Body::empty()).await.header("range"), "0-5");
    let rest = world.send("admin", "PUT", &format!("{at}?digest={digest}"), &[("content-range", "6-9")], b"6789".as_slice()).await;
    assert_eq!(rest.short(), "201");
    let world = world.restart();
    assert_eq!(world.ask("GET", &format!("/v2/a/blobs/{digest}"), Body::empty()).await.body, b"0123456789");
}

#[tokio::test]
async fn manifests_and_tags() {
    let world = World::new();
    let digest = world.image("a", "v1", "x").await;
    let got = world.ask("GET", "/v2/a/manifests/v1", Body::empty()).await;
    assert_eq!((got.short().as_str(), got.header("content-type"), got.header("docker-content-digest")), ("200", OCI, digest.as_str()));
    assert_eq!(sha256(&got.body), digest);
    let head = world.ask("HEAD", &format!("/v2/a/manifests/{digest}"), Body::empty()).await;
    assert_eq!((head.short().as_str(), head.body.len(), head.header("content-length")), ("200", 0, &*got.body.len().to_string()));
    let body = String::from_utf8(got.body).unwrap();
    let valid = image(&sha256(b"x"), 1);
    let missing = image(&sha256(b"none"), 4);
    #[rustfmt::skip]
    let table = [
        // reference, content type, body → answer
        ("v2".to_owned(), OCI, body.clone(), "201"),
        (digest.clone(), OCI, body.clone(), "201"),
        (sha256(b"other"), OCI, body.clone(), "400 DIGEST_INVALID"),
        ("sha256:0".to_owned(), OCI, body.clone(), "400 DIGEST_INVALID"),
        (".bad".to_owned(), OCI, body.clone(), "400 TAG_INVALID"),
        ("v3".to_owned(), INDEX, body.clone(), "400 MANIFEST_INVALID"),
        ("v3".to_owned(), OCI, "{".to_owned(), "400 MANIFEST_INVALID"),
        ("v3".to_owned(), OCI, missing.to_string(), "404 MANIFEST_BLOB_UNKNOWN"),
        ("v3".to_owned(), OCI, " ".repeat((4 << 20) + 1), "413 SIZE_INVALID"),
        ("v4".to_owned(), OCI, format!("{}{}", " ".repeat((4 << 20) - valid.to_string().len()), valid), "201"),
    ];
    for (reference, content_type, body, want) in table {
        let put = world.send("admin", "PUT", &format!("/v2/a/manifests/{reference}"), &[("content-type", content_type)], body).await;
        assert_eq!(put.short(), want, "{reference} {content_type}");
    }
    let tags = world.send("admin", "PUT", &format!("/v2/a/manifests/{digest}?tag=x&tag=y"), &[("content-type", OCI)], body).await;
    assert_eq!((tags.short().as_str(), tags.header("oci-tag")), ("201", "x, y"));
    // An index needs its manifests.
    let index = |digest: &str| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": OCI, "digest": digest, "size": 1}]});
    assert_eq!(world.manifest("a", "many", &index(&sha256(b"none"))).await.short(), "404 MANIFEST_BLOB_UNKNOWN");
    assert_eq!(world.manifest("a", "many", &index(&digest)).await.short(), "201");
    // Deleting a tag leaves the manifest; deleting the manifest takes all its tags.
    assert_eq!(world.ask("DELETE", "/v2/a/manifests/v1", Body::empty()).await.short(), "202");
    assert_eq!(world.ask("GET", "/v2/a/manifests/v1", Body::empty()).await.short(), "404 MANIFEST_UNKNOWN");
    assert_eq!(world.ask("GET", "/v2/a/manifests/v2", Body::empty()).await.short(), "200");
    assert_eq!(world.ask("DELETE", &format!("/v2/a/blobs/{}", sha256(b"x")), Body::empty()).await.short(), "405 UNSUPPORTED");
    assert_eq!(world.ask("DELETE", &format!("/v2/a/manifests/{digest}"), Body::empty()).await.short(), "202");
    assert_eq!(world.ask("DELETE", &format!("/v2/a/manifests/{digest}"), Body::empty()).await.short(), "404 MANIFEST_UNKNOWN");
    assert_eq!(world.ask("GET", "/v2/a/tags/list", Body::empty()).await.json()["tags"], json!(["many", "v4"]));
}

#[tokio::test]
async fn lists_have_pages() {
    let world = World::new();
    for name in ["a", "b/c", "d"] {
        for tag in ["1", "2", "B", "a", "c"] {
            world.image(name, tag, "x").await;
        }
    }
    let next = |answer: &Answer| answer.header("link").split(['<', '>']).nth(1).map(str::to_owned);
    let mut path = Some("/v2/a/tags/list?n=2".to_owned());
    let mut pages = Vec::new();
    while let Some(at) = path {
        let page = world.ask("GET", &at, Body::empty()).await;
        pages.push(page.json()["tags"].to_string());
        path = next(&page);
    }
    assert_eq!(pages, [r#"["1","2"]"#, r#"["B","a"]"#, r#"["c"]"#]);
    for (path, want) in [
        ("/v2/a/tags/list?last=a", r#"{"name":"a","tags":["c"]}"#),
        ("/v2/a/tags/list?n=0", r#"{"name":"a","tags":[]}"#),
        ("/v2/_catalog?n=1&last=a", r#"{"repositories":["b/c"]}"#),
        ("/v2/_catalog", r#"{"repositories":["a","b/c","d"]}"#),
    ] {
        assert_eq!(world.ask("GET", path, Body::empty()).await.json().to_string(), want, "{path}");
    }
    assert_eq!(world.ask("GET", "/v2/a/tags/list?n=x", Body::empty()).await.short(), "400 PAGINATION_NUMBER_INVALID");
    assert_eq!(world.ask("GET", "/v2/none/tags/list", Body::empty()).await.short(), "404 NAME_UNKNOWN");
}

#[tokio::test]
async fn blobs_are_mounted() {
    let world = World::new();
    let digest = world.blob("public/a", b"shared").await;
    let mount = async |user: &str, from: &str| world.send(user, "POST", &format!("/v2/b/blobs/uploads/?mount={digest}{from}"), &[], Body::empty()).await;
    assert_eq!(mount("admin", "&from=none").await.short(), "202");
    assert_eq!(mount("admin", "&from=..").await.short(), "202");
    let mounted = mount("admin", "&from=public/a").await;
    assert_eq!((mounted.short().as_str(), mounted.header("location")), ("201", &*format!("/v2/b/blobs/{digest}")));
    assert_eq!(world.ask("DELETE", &format!("/v2/public/a/blobs/{digest}"), Body::empty()).await.short(), "202");
    assert_eq!(world.ask("GET", &format!("/v2/b/blobs/{digest}"), Body::empty()).await.body, b"shared");
    // Without `from`, whoever has it.
    let found = world.ask("POST", &format!("/v2/c/blobs/uploads/?mount={digest}"), Body::empty()).await;
    assert_eq!(found.short(), "201");
}

#[tokio::test]
async fn referrers_are_found_and_filtered() {
    let world = World::new();
    let subject = world.image("a", "v1", "x").await;
    let blob = sha256(b"x");
    let sign = |artifact: &str, note: &str| {
        let mut manifest = image(&blob, 1);
        manifest["subject"] = json!({"mediaType": OCI, "digest": subject, "size": 1});
        manifest["annotations"] = json!({"note": note});
        if !artifact.is_empty() {
            manifest["artifactType"] = artifact.into();
        }
        manifest
    };
    for (artifact, note) in [("sbom", "1"), ("sbom", "2"), ("", "3")] {
        let manifest = sign(artifact, note);
        let pushed = world.manifest("a", &sha256(manifest.to_string().as_bytes()), &manifest).await;
        assert_eq!((pushed.short().as_str(), pushed.header("oci-subject")), ("201", subject.as_str()));
    }
    let list = async |query: &str| world.ask("GET", &format!("/v2/a/referrers/{subject}{query}"), Body::empty()).await;
    let all = list("").await;
    assert_eq!((all.header("content-type"), all.header("oci-filters-applied")), (INDEX, ""));
    let mut types: Vec<String> =
        all.json()["manifests"].as_array().unwrap().iter().map(|m| format!("{} {}", m["artifactType"], m["annotations"]["note"])).collect();
    types.sort();
    assert_eq!(types, [r#""application/wasm" "3""#, r#""sbom" "1""#, r#""sbom" "2""#]);
    let some = list("?artifactType=sbom").await;
    assert_eq!((some.json()["manifests"].as_array().unwrap().len(), some.header("oci-filters-applied")), (2, "artifactType"));
    assert_eq!(list("?artifactType=none").await.json()["manifests"], json!([]));
    assert_eq!(world.ask("GET", "/v2/a/referrers/sha256:0", Body::empty()).await.short(), "400 DIGEST_INVALID");
    assert_eq!(world.ask("GET", &format!("/v2/none/referrers/{}", sha256(b"none")), Body::empty()).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn what_nobody_needs_is_collected() {
    let old = Options { grace: Duration::ZERO, untagged: Duration::ZERO, stale: Duration::ZERO, ..Options::default() };
    let world = World::with(old);
    world.image("a", "v1", "first").await;
    world.image("a", "v1", "second").await;
    world.image("a", "v2", "third").await;
    world.blob("b", b"alone").await;
    world.begin("b").await;
    assert_eq!(world.files(), 7);
    // Times are in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let collected = world.registry.collect().await.unwrap();
    assert_eq!((collected.manifests, collected.blobs, collected.files, collected.uploads), (1, 2, 3, 1));
    assert_eq!(world.files(), 4);
    for tag in ["v1", "v2"] {
        assert_eq!(world.ask("GET", &format!("/v2/a/manifests/{tag}"), Body::empty()).await.short(), "200");
    }
    assert_eq!(world.ask("GET", "/v2/_catalog", Body::empty()).await.json()["repositories"], json!(["a"]));
    assert_eq!(std::fs::read_dir(world.folder.path().join("uploads")).unwrap().count(), 0);
    // What a crash left: a file that no repository has.
    std::fs::write(world.folder.path().join("blobs/sha256").join("0".repeat(64)), "half").unwrap();
    assert_eq!(world.registry.collect().await.unwrap().files, 1);
}

#[tokio::test]
async fn pushes_and_collections_do_not_disturb_each_other() {
    let world = World::with(Options { untagged: Duration::ZERO, ..Options::default() });
    let collecting = async {
        for _ in 0..20 {
            world.registry.collect().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let pushing = futures::future::join_all((0..20).map(|n| {
        let world = &world;
        async move {
            // Everybody pushes the same blob, and it is deleted again and again.
            let digest = world.image(&format!("r{}", n % 4), &format!("t{n}"), "the same for all").await;
            assert_eq!(world.ask("GET", &format!("/v2/r{}/manifests/{digest}", n % 4), Body::empty()).await.status, 200);
            world.ask("DELETE", &format!("/v2/r{}/manifests/t{n}", n % 4), Body::empty()).await;
        }
    }));
    tokio::join!(collecting, pushing);
    let blob = sha256(b"the same for all");
    for repository in 0..4 {
        assert_eq!(world.ask("GET", &format!("/v2/r{repository}/blobs/{blob}"), Body::empty()).await.body, b"the same for all");
    }
}

#[tokio::test]
async fn bounds_are_kept() {
    let world = World::with(Options { max_blob: 10, max_uploads: 2, ..Options::default() });
    let at = world.begin("a").await;
    let large = futures::stream::iter((0..4).map(|_| Ok::<_, std::io::Error>(vec![0; 3])));
    assert_eq!(world.ask("PATCH", &at, Body::from_stream(large)).await.short(), "413 SIZE_INVALID");
    assert_eq!(world.send("admin", "PATCH", &at, &[("content-length", "11")], Body::empty()).await.short(), "413 SIZE_INVALID");
    world.begin("a").await;
    let one_more = world.ask("POST", "/v2/a/blobs/uploads/", Body::empty()).await;
    assert_eq!((one_more.short().as_str(), one_more.header("retry-after")), ("429 TOOMANYREQUESTS", "5"));
    assert_eq!(world.ask("DELETE", &at, Body::empty()).await.short(), "204");
    world.begin("a").await;
}
