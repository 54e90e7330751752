//! Probes: asking a container how it is ([`check`]), and what its answers mean (pure, [`ProbeState`]).

mod check;
mod grpc;
mod state;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

pub use check::{Answer, Exec, Target};
pub use state::ProbeState;

/// Which probe of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeKind {
    /// Failing for too long restarts the container.
    Liveness,
    /// Failing takes the Pod out of its Services.
    Readiness,
    /// Until it succeeds, the others wait; failing for too long restarts the container.
    Startup,
}

impl ProbeKind {
    /// As in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Startup => "Startup",
        }
    }

    /// The container's probe of this kind.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
            ProbeKind::Startup => container.startup_probe.as_ref(),
        }
    }
}

/// What a probe has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The answer of this time.
    pub answer: Answer,
    /// What the answers together mean, where that was decided: success or failure.
    pub decided: Option<bool>,
}

/// Probes until dropped; each answer that matters goes to `report`. A liveness or startup probe that gave up goes silent.
pub async fn run(probe: Probe, kind: ProbeKind, target: Arc<Target>, container: Container, report: impl Fn(Report) + Send) {
    let seconds = |n: Option<i32>, default: u64| Duration::from_secs(n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default));
    let period = seconds(probe.period_seconds, 10);
    let limit = seconds(probe.timeout_seconds, 1);
    let mut state = ProbeState::new(&probe, kind);
    if let Some(delay) = probe.initial_delay_seconds.and_then(|n| u64::try_from(n).ok()) {
        tokio::time::sleep(Duration::from_secs(delay)).await;
    }
    loop {
        let began = tokio::time::Instant::now();
        let answer = target.ask(&probe, &container, limit).await;
        let decided = state.observe(&answer);
        if answer != Answer::Success || decided.is_some() {
            report(Report { answer, decided });
        }
        match (kind, decided) {
            (ProbeKind::Startup, Some(_)) | (ProbeKind::Liveness, Some(false)) => return,
            _ => tokio::time::sleep_until(began + period).await,
        }
    }
}
