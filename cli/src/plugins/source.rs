//! The components of plugins are images as any other.

use std::sync::Arc;

use wharf_engine::BoxFuture;
use wharf_image::{Flavor, Images, Keyring};
use wharf_plugin_host::host::{FetchError, Fetched, ImageRequest, Source};

/// Images of this process.
pub(crate) struct FromImages(pub(crate) Images);

impl Source for FromImages {
    fn fetch(&self, wanted: &ImageRequest) -> BoxFuture<'static, Result<Fetched, FetchError>> {
        let (images, wanted) = (self.0.clone(), wanted.clone());
        Box::pin(async move {
            let mut keyring = Keyring::new();
            for credentials in &wanted.credentials {
                keyring.add_docker_config_json(credentials).map_err(|e| FetchError { reason: "InvalidImagePullSecret".into(), message: e })?;
            }
            let policy = wanted.pull_policy.parse().map_err(|message| FetchError { reason: "InvalidImagePullPolicy".into(), message })?;
            let failed = |e: wharf_image::ImageError| FetchError { reason: e.reason().to_owned(), message: e.to_string() };
            let (image, prepared) = images.component(&wanted.image, &keyring, policy).await.map_err(failed)?;
            if prepared.flavor != Flavor::P2 {
                let message = format!("{} is built for WASI 0.3; the worlds of wharf:plugin@0.1.0 are of WASI 0.2", image.id);
                return Err(FetchError { reason: "UnsupportedImports".into(), message });
            }
            Ok(Fetched { compiled: prepared.compiled, image_id: image.id.clone(), digest: prepared.module.digest, hold: Arc::new(image) })
        })
    }
}
