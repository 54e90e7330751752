//! Which replicas serve, and who of them speaks for all.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// The addresses of the nodes of all ready replicas; `None` where another is to say so.
pub(super) fn published<'p>(replicas: impl Iterator<Item = &'p Pod>, own: IpAddr) -> Option<Vec<IpAddr>> {
    let mut ready: Vec<&Pod> = replicas.filter(|pod| is_ready(pod)).collect();
    ready.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone()));
    if address(ready.first()?, |status| status.pod_ip.as_deref()) != Some(own) {
        return None;
    }
    let mut addresses: Vec<IpAddr> = ready.iter().filter_map(|pod| address(pod, |status| status.host_ip.as_deref())).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Some(addresses)
}

fn address(pod: &Pod, of: impl Fn(&k8s_openapi::api::core::v1::PodStatus) -> Option<&str>) -> Option<IpAddr> {
    of(pod.status.as_ref()?)?.parse().ok()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none() && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_speaks_for_all() {
        let pod = |name: &str, second: u32, ip: &str, ready: &str| -> Pod {
            let pod = json!({
                "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
                "status": {"podIP": ip, "hostIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
            });
            serde_json::from_value(pod).unwrap()
        };
        let pods = [pod("x", 9, "10.0.0.1", "True"), pod("y", 5, "10.0.0.3", "True"), pod("z", 5, "10.0.0.2", "True"), pod("a", 1, "10.0.0.4", "False")];
        let at = |last: u8| -> IpAddr { [10, 0, 0, last].into() };
        assert_eq!(published(pods.iter(), at(3)), Some(vec![at(1), at(2), at(3)]));
        for other in [1, 2, 4] {
            assert_eq!(published(pods.iter(), at(other)), None);
        }
        assert_eq!(published([].iter(), at(1)), None);
    }
}
