//! The cluster's own image registry, as a client: reached like the API, with the same credentials.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use wharf_image::Artifact;

/// The registry of one cluster.
pub(crate) struct Registry<'a> {
    client: &'a Client,
    /// For errors: `https://127.0.0.1:6443/`.
    server: &'a str,
}

/// The most that is read of an answer.
const MAX_ANSWER: usize = 4 << 20;

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Vec<String>,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(client: &'a Client, server: &'a str) -> Registry<'a> {
        Registry { client, server }
    }

    /// `registry.wharf.local/default/hello`
    pub(crate) fn name(repository: &str) -> String {
        format!("{}/{repository}", wharf_registry::HOST)
    }

    /// Pushes an artifact under a tag. Blobs that are there already are left.
    pub(crate) async fn push(&self, repository: &str, tag: &str, artifact: &Artifact) -> Result<()> {
        for (digest, bytes) in [(&artifact.layer_digest, &artifact.layer), (&artifact.config_digest, &artifact.config)] {
            let there = self.ask(Method::HEAD, &format!("/v2/{repository}/blobs/{digest}"), "", Bytes::new()).await?;
            if there.status == StatusCode::OK {
                continue;
            }
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let pushed = self.ask(Method::POST, &path, "application/octet-stream", Bytes::copy_from_slice(bytes)).await?;
            self.expect(&pushed, StatusCode::CREATED)?;
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let pushed = self.ask(Method::PUT, &path, wharf_image::MANIFEST_TYPE, Bytes::copy_from_slice(&artifact.manifest)).await?;
        self.expect(&pushed, StatusCode::CREATED)
    }

    /// The tags of a repository with the digests that they lead to; none where there is no such repository.
    pub(crate) async fn tags(&self, repository: &str) -> Result<Vec<(String, String)>> {
        let (mut found, mut path) = (Vec::new(), format!("/v2/{repository}/tags/list"));
        loop {
            let answer = self.ask(Method::GET, &path, "", Bytes::new()).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(found);
            }
            self.expect(&answer, StatusCode::OK)?;
            let page: Tags = serde_json::from_slice(&answer.body).context("read the list of tags")?;
            for tag in page.tags {
                let head = self.ask(Method::HEAD, &format!("/v2/{repository}/manifests/{tag}"), "", Bytes::new()).await?;
                let digest = head.headers.get("docker-content-digest").and_then(|digest| digest.to_str().ok());
                found.extend(digest.map(|digest| (tag, digest.to_owned())));
            }
            let next = answer.headers.get(http::header::LINK).and_then(|link| link.to_str().ok());
            match next.and_then(|link| link.strip_prefix('<')?.split_once('>')) {
                Some((next, _)) => path = next.to_owned(),
                None => return Ok(found),
            }
        }
    }

    /// Deletes a manifest, with its tags. One that is not there is deleted.
    pub(crate) async fn delete(&self, repository: &str, digest: &str) -> Result<()> {
        let deleted = self.ask(Method::DELETE, &format!("/v2/{repository}/manifests/{digest}"), "", Bytes::new()).await?;
        if deleted.status == StatusCode::NOT_FOUND { Ok(()) } else { self.expect(&deleted, StatusCode::ACCEPTED) }
    }

    async fn ask(&self, method: Method, path: &str, content_type: &str, body: Bytes) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body)).context("ask the registry")?;
        let response = self.client.send(request).await.map_err(|error| anyhow::anyhow!("{}: {}", self.server, crate::say::chain(&error)))?;
        let (parts, body) = response.into_parts();
        let body = http_body_util::Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!("read the registry's answer: {error}"))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    fn expect(&self, answer: &Answer, wanted: StatusCode) -> Result<()> {
        if answer.status == wanted {
            return Ok(());
        }
        let errors = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
        let words = errors.as_ref().and_then(|errors| errors["errors"][0]["message"].as_str());
        match (words, answer.status) {
            (Some(words), _) => bail!("the registry refuses: {words}"),
            (None, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) if !answer.headers.contains_key("docker-distribution-api-version") => {
                bail!("the cluster at {} has no image registry of its own: is it Wharf? Otherwise push to a registry by its name", self.server)
            }
            (None, status) => bail!("the registry answers {status}"),
        }
    }
}
