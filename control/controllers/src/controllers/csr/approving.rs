//! Approving: who may create the subresource `nodeclient` may have a node's client certificate, a node that may create `selfnodeclient` its own
//! again: the API server is asked, and who may is a matter of bindings. A node may have a serving certificate for the addresses that its Node
//! object has, which upstream leaves to whoever runs the cluster.

use std::sync::Arc;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
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
        let approved = |message: &str| Body::of(&with_condition(&request, "Approved", "AutoApproved", message.to_owned(), turn.now));
        match recognized(&request, node) {
            Recognized::Nothing => Vec::new(),
            Recognized::Served => {
                let object = approved("Auto approving kubelet serving certificate for the addresses of its Node.");
                vec![Action::Update { object, subresource: Some("approval") }]
            }
            Recognized::Client(kinds) => {
                let choices = kinds.iter().map(|(subresource, message)| (review(&request, subresource), approved(message))).collect();
                vec![Action::UpdateReviewed { choices, subresource: "approval" }]
            }
        }
    }
}

/// A kind of request: what its requester must be allowed to create, and what the approval says.
type Kind = (&'static str, &'static str);

const SELF_NODE_CLIENT: Kind = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
const NODE_CLIENT: Kind = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");

/// What a request is.
enum Recognized {
    Nothing,
    /// A client certificate, of these kinds.
    Client(&'static [Kind]),
    /// A serving certificate of a node for its own addresses.
    Served,
}

fn recognized(request: &CertificateSigningRequest, node: impl Fn(&str) -> Option<Arc<Node>>) -> Recognized {
    let Some(asked) = Asked::of(request) else { return Recognized::Nothing };
    let itself = request.spec.username.as_deref() == Some(&asked.common_name);
    match request.spec.signer_name.as_str() {
        KUBELET_CLIENT if !asked.kubelet_client(usages(request)) => Recognized::Nothing,
        KUBELET_CLIENT if itself => Recognized::Client(&[SELF_NODE_CLIENT, NODE_CLIENT]),
        KUBELET_CLIENT => Recognized::Client(&[NODE_CLIENT]),
        KUBELET_SERVING if itself && request.spec.groups.iter().flatten().any(|g| g == NODES) && asked.kubelet_serving(usages(request)) => {
            let Some(node) = asked.node().and_then(node) else { return Recognized::Nothing };
            let known = node.status.as_ref().and_then(|s| s.addresses.as_deref()).unwrap_or_default();
            let has = |name: &String| known.iter().any(|a| a.address == *name);
            if asked.dns_names.iter().chain(&asked.addresses).all(has) { Recognized::Served } else { Recognized::Nothing }
        }
        _ => Recognized::Nothing,
    }
}

/// Whether the requester may create this subresource of requests.
fn review(request: &CertificateSigningRequest, subresource: &str) -> SubjectAccessReviewSpec {
    let spec = &request.spec;
    SubjectAccessReviewSpec {
        user: spec.username.clone(),
        uid: spec.uid.clone(),
        groups: spec.groups.clone(),
        extra: spec.extra.clone(),
        resource_attributes: Some(ResourceAttributes {
            group: Some("certificates.k8s.io".to_owned()),
            resource: Some("certificatesigningrequests".to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some("create".to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}
