//! Cleaning: requests that were decided on go after an hour, those that nobody decided on after a day.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::jiff::Timestamp;

use super::condition;
use crate::action::Action;
use crate::controllers::Controller;
use crate::queue::Queue;
use crate::world::{Turn, World};

const DECIDED: i64 = 3600;
const UNDECIDED: i64 = 24 * 3600;

/// The controller `certificatesigningrequest-cleaner-controller`.
pub struct Cleaner;

impl Controller for Cleaner {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-cleaner-controller"
    }

    fn account(&self) -> &'static str {
        "certificate-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        world.certificate_signing_requests.own_key(queue);
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(request) = turn.world.certificate_signing_requests.get("", &turn.key.name) else { return Vec::new() };
        let Some(end) = end(&request) else { return Vec::new() };
        match u64::try_from(end.as_second() - turn.now.as_second()) {
            Ok(left) if left > 0 => vec![Action::RequeueAfter(Duration::from_secs(left))],
            _ => vec![Action::delete(&*request)],
        }
    }
}

/// When the request has served its time.
fn end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let decided = ["Approved", "Denied", "Failed"].into_iter().find_map(|kind| condition(request, kind)?.last_update_time.as_ref());
    let (since, time) = match decided {
        Some(since) => (since.0, DECIDED),
        None => (request.metadata.creation_timestamp.as_ref()?.0, UNDECIDED),
    };
    Timestamp::from_second(since.as_second() + time).ok()
}
