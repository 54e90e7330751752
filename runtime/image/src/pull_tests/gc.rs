//! Collecting what was pulled.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::registry::Registry;
use super::{OCI_CONFIG, module, node, options, tar};
use crate::PullPolicy;
use crate::gc::{Collected, Disk, GcPolicy};

#[tokio::test(flavor = "multi_thread")]
async fn images_that_nobody_uses_make_room() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    let image = |tag: &str, common: &[u8]| {
        let own = tar(&[("app.wasm", &module()), (tag, tag.as_bytes())]);
        let layers = [("application/vnd.oci.image.layer.v1.tar", common), ("application/vnd.oci.image.layer.v1.tar", &own)];
        registry.image(tag, (OCI_CONFIG, json!({"os": "wasi", "architecture": "wasm", "config": {"Entrypoint": ["/app.wasm"], "Env": [tag]}})), &layers)
    };
    let common = tar(&[("etc/common", b"x")]);
    let digests = ["a", "b", "c"].map(|tag| image(tag, &common));
    let pull = async |tag: &str| node.pull(&format!("{address}/app:{tag}")).await.unwrap();
    let (full, roomy) = (Disk { capacity: 1000, available: 0 }, Disk { capacity: 1000, available: 900 });
    let policy = GcPolicy { min_age: Duration::ZERO, ..GcPolicy::default() };
    let collect = |policy: &GcPolicy, disk| node.images.inner.collect(policy, disk);
    node.images.import(&node.file(&module()), "wharf.local/imported").await.unwrap();

    let held = pull("a").await;
    drop(pull("b").await);
    let also_held = pull("c").await;
    assert_eq!(collect(&policy, roomy), Collected::default());
    assert_eq!(collect(&GcPolicy::default(), full).removed, Vec::<String>::new(), "they were used a moment ago");
    let newer = pull("c").await;
    drop(also_held);
    // One is enough, and the one that was used least recently is it.
    let first = collect(&policy, full);
    assert_eq!((&first.removed[..], first.wanted), (&digests[1..2], 200));
    assert!(!node.images.is_present(&format!("{address}/app:b"), PullPolicy::Never));
    assert_eq!((node.files("rootfs"), node.files("tmp")), (2, 0));
    drop(newer);
    assert!(pull("b").await.rootfs.as_ref().unwrap().join("etc/common").exists(), "what it shares with others is still there; the rest comes again");
    let all = collect(&GcPolicy { max_age: Some(Duration::ZERO), ..policy.clone() }, roomy);
    assert_eq!(all.removed.len(), 2, "by age alone, and not the one that is held: {all:?}");
    assert!(held.rootfs.as_ref().unwrap().join("a").exists());
    drop(held);
    assert_eq!(collect(&policy, full).removed, digests[..1]);
    assert_eq!((node.files("rootfs"), node.files("blobs"), node.files("images"), node.files("refs")), (0, 3, 1, 1), "only the imported one is left");

    // The same in a new process; and collecting while it is pulled breaks no pull.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                collect(&GcPolicy { max_age: Some(Duration::ZERO), ..policy.clone() }, full);
            }
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for _ in 0..30 {
                    for tag in ["a", "b", "c"] {
                        let image = pull(tag).await;
                        assert!(image.rootfs.as_ref().unwrap().join(tag).exists());
                        node.images.prepare(&image, &[], &[]).await.unwrap();
                    }
                }
            });
        });
        stop.store(true, Ordering::SeqCst);
    });
}
