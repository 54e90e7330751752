//! A Pod as it is kept: typed while something goes on with it, as JSON, which takes a tenth of the memory, while it rests.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

/// A Pod that may be at rest.
pub(crate) struct Kept(Mutex<Form>);

enum Form {
    Awake(Arc<Pod>),
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
            Form::AtRest(json) => Arc::new(parse(json)),
        }
    }

    /// Lets it rest.
    pub(crate) fn rest(&self) {
        let mut form = self.0.lock();
        if let Form::Awake(pod) = &*form
            && let Ok(json) = serde_json::to_vec(&**pod)
        {
            *form = Form::AtRest(json.into());
        }
    }

    /// The Pod, which is typed from now on.
    pub(crate) fn wake(&self) -> Arc<Pod> {
        let mut form = self.0.lock();
        let pod = match &*form {
            Form::Awake(pod) => pod.clone(),
            Form::AtRest(json) => Arc::new(parse(json)),
        };
        *form = Form::Awake(pod.clone());
        pod
    }
}

fn parse(json: &[u8]) -> Pod {
    serde_json::from_slice(json).unwrap_or_else(|error| {
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
