//! Which of a CronJob's times is due, reckoned as Kubernetes does: of those that were missed only the latest counts, and
//! how many there were is an estimate, since listing them could take for ever.

use std::time::Duration;

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::jiff::tz::TimeZone;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use wharf_api::cron::Schedule;

/// More missed times than this are warned of.
const MANY: i64 = 100;

/// A CronJob's schedule and the time.
pub(super) struct Clock<'a> {
    pub(super) cron: &'a CronJob,
    /// The last time for which a Job was made.
    pub(super) last: Option<Timestamp>,
    pub(super) schedule: &'a Schedule,
    pub(super) zone: &'a TimeZone,
    pub(super) now: Timestamp,
}

/// A time for which a Job is to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    /// Whether very many before it were missed.
    pub(super) too_many: bool,
}

/// The latest time that has come, if any has, and how many there were.
struct Latest {
    since: Timestamp,
    at: Option<Timestamp>,
    missed: i64,
}

impl Clock<'_> {
    /// What is due now; an error if the schedule makes no sense.
    pub(super) fn due(&self) -> Result<Option<Due>, &'static str> {
        let latest = self.latest(true)?;
        Ok(latest.at.map(|at| Due { at, too_many: latest.missed > MANY }))
    }

    /// How long it is until the next time.
    pub(super) fn next(&self) -> Option<Duration> {
        let from = match self.latest(false) {
            Ok(Latest { at: Some(at), .. }) => at,
            Ok(Latest { since, missed: 0, .. }) => since,
            _ => self.now,
        };
        let next = self.schedule.next(from, self.zone)?;
        Some(Duration::try_from(next.duration_since(self.now)).unwrap_or_default())
    }

    fn latest(&self, within_deadline: bool) -> Result<Latest, &'static str> {
        let created = self.cron.metadata.creation_timestamp.as_ref().map_or(self.now, |t| t.0);
        let mut since = self.last.unwrap_or(created);
        if let Some(seconds) = self.cron.spec.starting_deadline_seconds.filter(|_| within_deadline) {
            since = since.max(self.now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN));
        }
        let no_sense = "time difference between two schedules is less than 1 second";
        let first = self.after(since).ok_or(no_sense)?;
        if self.now < first {
            return Ok(Latest { since, at: None, missed: 0 });
        }
        let second = self.after(first).ok_or(no_sense)?;
        if self.now < second {
            return Ok(Latest { since, at: Some(first), missed: 0 });
        }
        let interval = second.as_second() - first.as_second();
        if interval < 1 {
            return Err(no_sense);
        }
        let missed = (self.now.as_second() - first.as_second()) / interval + 1;
        // Begun one interval early, since the times of a schedule need not be equally far apart.
        let mut at = first.checked_add(SignedDuration::from_secs((missed - 2).saturating_mul(interval))).unwrap_or(self.now);
        let mut latest = None;
        while let Some(next) = self.after(at).filter(|next| *next <= self.now) {
            (at, latest) = (next, Some(next));
        }
        Ok(Latest { since, at: latest, missed })
    }

    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        self.schedule.next(time, self.zone)
    }
}
