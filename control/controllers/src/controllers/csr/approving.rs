//! Approving: a machine that shows a bootstrap token may become a node, a node may renew its client certificate, and have a serving
//! certificate for the addresses that its Node object has.
//!
//! Upstream asks the authorizer for the first two (`nodeclient`, `selfnodeclient`), which its usual bindings give to just these users,
//! and leaves the third to whoever runs the cluster.

use std::sync::Arc;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;

use super::{Asked, KUBELET_CLIENT, KUBELET_SERVING, NODES, condition, usages, with_condition};
use crate::action::{Action, Body};
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::world::{Turn, World};

/// The controller `certificatesigningrequest-approving-controller`.
pub struct Approving;

impl Controller for Approving {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving-controller"
    }

    fn account(&self) -> &'static str {
        "certificate-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.certificate_signing_requests.own_key(queue);
        // A serving certificate may have been asked for before the Node had its addresses.
        world.nodes.on_change(queue, |world, _, add| {
            for request in world.certificate_signing_requests.all() {
                if request.spec.signer_name == KUBELET_SERVING && condition(&request, "Approved").is_none() {
                    add(crate::resource::Key::new("", request.metadata.name.clone().unwrap_or_default()));
                }
            }
        });
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(request) = turn.world.certificate_signing_requests.get("", &turn.key.name) else { return Vec::new() };
        if condition(&request, "Approved").is_some() || condition(&request, "Denied").is_some() || request.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let node = |name: &str| turn.world.nodes.get("", name);
        let Some(message) = decide(&request, node) else { return Vec::new() };
        let new = with_condition(&request, "Approved", "AutoApproved", message.to_owned(), turn.now);
        vec![Action::Update { object: Body::of(&new), subresource: Some("approval") }]
    }
}

/// Why the request is approved, if it is.
fn decide(request: &CertificateSigningRequest, node: impl Fn(&str) -> Option<Arc<Node>>) -> Option<&'static str> {
    let asked = Asked::of(request)?;
    let user = request.spec.username.as_deref().unwrap_or_default();
    let among = |group: &str| request.spec.groups.iter().flatten().any(|g| g == group);
    let itself = user == asked.common_name && among(NODES);
    match request.spec.signer_name.as_str() {
        KUBELET_CLIENT if !asked.kubelet_client(usages(request)) => None,
        KUBELET_CLIENT if itself => Some("Auto approving the kubelet client certificate of the node itself."),
        KUBELET_CLIENT if among("system:bootstrappers") => Some("Auto approving the kubelet client certificate of who shows a bootstrap token."),
        KUBELET_SERVING if itself && asked.kubelet_serving(usages(request)) => {
            let node = node(asked.node()?)?;
            let known = node.status.as_ref().and_then(|s| s.addresses.as_deref()).unwrap_or_default();
            let has = |name: &String| known.iter().any(|a| a.address == *name);
            let all = asked.dns_names.iter().chain(&asked.addresses).all(has);
            all.then_some("Auto approving kubelet serving certificate for the addresses of its Node.")
        }
        _ => None,
    }
}
