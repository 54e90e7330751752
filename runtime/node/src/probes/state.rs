//! What a probe's answers together mean: so many in a row decide. Pure.

use k8s_openapi::api::core::v1::Probe;

use super::{Answer, ProbeKind};

/// The answers so far.
#[derive(Debug)]
pub struct ProbeState {
    success_threshold: i32,
    failure_threshold: i32,
    /// The last answer, and how many times in a row.
    last: Option<(bool, i32)>,
    result: Option<bool>,
}

impl ProbeState {
    /// Before the first answer: not ready, but alive.
    pub fn new(probe: &Probe, kind: ProbeKind) -> Self {
        let threshold = |n: Option<i32>, default| n.filter(|n| *n > 0).unwrap_or(default);
        let initial = match kind {
            ProbeKind::Liveness => Some(true),
            ProbeKind::Readiness => Some(false),
            ProbeKind::Startup => None,
        };
        Self { success_threshold: threshold(probe.success_threshold, 1), failure_threshold: threshold(probe.failure_threshold, 3), last: None, result: initial }
    }

    /// Takes an answer; tells when what they mean has changed. An answer that could not be had changes nothing.
    pub fn observe(&mut self, answer: &Answer) -> Option<bool> {
        let ok = match answer {
            Answer::Success => true,
            Answer::Failure(_) => false,
            Answer::Unknown(_) => return None,
        };
        let run = match self.last {
            Some((before, run)) if before == ok => run.saturating_add(1),
            _ => 1,
        };
        self.last = Some((ok, run));
        let enough = if ok { self.success_threshold } else { self.failure_threshold };
        if run < enough || self.result == Some(ok) {
            return None;
        }
        self.result = Some(ok);
        Some(ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (kind, success, failure, answers, want) in [
            (ProbeKind::Readiness, 1, 3, "++---+", "+   -+"),
            (ProbeKind::Readiness, 2, 2, "+-++--+-", "   + -"),
            (ProbeKind::Liveness, 1, 3, "--+---", "     -"),
            (ProbeKind::Liveness, 1, 1, "-", "-"),
            (ProbeKind::Startup, 1, 2, "-?+", "  +"),
            (ProbeKind::Startup, 1, 2, "--", " -"),
        ] {
            let probe = Probe { success_threshold: Some(success), failure_threshold: Some(failure), ..Default::default() };
            let mut state = ProbeState::new(&probe, kind);
            let got: String = answers
                .chars()
                .map(|c| match c {
                    '+' => Answer::Success,
                    '-' => Answer::Failure(String::new()),
                    _ => Answer::Unknown(String::new()),
                })
                .map(|a| match state.observe(&a) {
                    Some(true) => '+',
                    Some(false) => '-',
                    None => ' ',
                })
                .collect();
            assert_eq!(got.trim_end(), want, "{kind:?} {answers}");
        }
    }
}
