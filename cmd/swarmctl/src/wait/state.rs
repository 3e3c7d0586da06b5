//! When a service counts as converged. Pure: the caller says how much time has passed.

use std::time::Duration;

use wire::swarm::v1::ServiceProgress;
use wire::swarm::v1::service_progress::Phase;

use super::Target;

/// How waiting for a service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as asked and has been stable.
    Converged,
    /// It will not get there, with the reason.
    Failed(String),
}

/// A service that is waited for. Moments are lengths of time since the wait began.
pub struct Watched {
    /// Which.
    pub target: Target,
    /// Newest news.
    pub progress: ServiceProgress,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// Since when everything runs as asked.
    stable_since: Option<Duration>,
    /// An update was seen, which watches its tasks itself.
    update_seen: bool,
}

impl Watched {
    /// Nothing is known yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            progress: ServiceProgress::default(),
            verdict: None,
            stable_since: None,
            update_seen: false,
        }
    }

    /// Takes news into account.
    pub fn take(&mut self, progress: ServiceProgress, now: Duration) {
        let version = progress.version.map_or(0, |v| v.index);
        if version < self.target.version || self.verdict.is_some() {
            return;
        }
        let failed_meanwhile = progress.tasks_failed > self.progress.tasks_failed;
        self.progress = progress;
        match self.progress.phase() {
            Phase::Converged if !self.progress.failure.is_empty() => self.fail(),
            Phase::Converged => {
                if failed_meanwhile {
                    self.stable_since = None;
                }
                self.stable_since.get_or_insert(now);
            }
            Phase::Failed | Phase::Paused | Phase::Removed => self.fail(),
            Phase::Updating | Phase::RollingBack => {
                self.update_seen = true;
                self.stable_since = None;
            }
            Phase::Converging | Phase::Unspecified => self.stable_since = None,
        }
        self.tick(now);
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration) {
        if self.verdict.is_none() && self.stable_at().is_some_and(|at| at <= now) {
            self.verdict = Some(Verdict::Converged);
        }
    }

    /// When the service will have been stable for long enough, if nothing happens until then.
    pub fn stable_at(&self) -> Option<Duration> {
        let monitor = match u64::try_from(self.progress.monitor_ns) {
            Ok(nanos) if !self.update_seen => Duration::from_nanos(nanos),
            _ => Duration::ZERO,
        };
        Some(self.stable_since? + monitor)
    }

    fn fail(&mut self) {
        let (phase, failure) = (self.progress.phase(), self.progress.failure.as_str());
        let why = match (phase, failure) {
            (Phase::Paused, "") => "the update is paused".to_owned(),
            (Phase::Paused, why) => format!("the update is paused: {why}"),
            (Phase::Removed, _) => "the service was removed".to_owned(),
            (_, "") => "its tasks failed".to_owned(),
            (_, why) => why.to_owned(),
        };
        self.verdict = Some(Verdict::Failed(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watched() -> Watched {
        Watched::new(Target {
            id: "s".into(),
            name: "web".into(),
            version: 5,
            job: false,
        })
    }

    fn news(phase: Phase, version: u64) -> ServiceProgress {
        ServiceProgress {
            phase: phase.into(),
            version: Some(wire::api::Version { index: version }),
            monitor_ns: 5_000_000_000,
            ..ServiceProgress::default()
        }
    }

    #[test]
    fn a_service_converges_after_it_was_stable_for_the_monitor_period() {
        let mut web = watched();
        web.take(news(Phase::Converging, 6), SECOND);
        assert_eq!(web.stable_at(), None);
        web.take(news(Phase::Converged, 7), SECOND * 2);
        web.tick(SECOND * 6);
        assert_eq!(web.verdict, None);
        web.tick(SECOND * 7);
        assert_eq!(web.verdict, Some(Verdict::Converged));
    }

    #[test]
    fn a_failure_during_the_monitor_period_starts_it_again() {
        let mut web = watched();
        web.take(news(Phase::Converged, 7), SECOND);
        web.take(news(Phase::Converging, 8), SECOND * 3);
        web.take(news(Phase::Converged, 9), SECOND * 4);
        assert_eq!(web.stable_at(), Some(SECOND * 9));
        let failed = ServiceProgress {
            tasks_failed: 1,
            ..news(Phase::Converged, 10)
        };
        web.take(failed, SECOND * 5);
        assert_eq!(web.stable_at(), Some(SECOND * 10));
    }

    #[test]
    fn an_update_that_was_seen_to_finish_needs_no_second_watch() {
        let mut web = watched();
        web.take(news(Phase::Updating, 6), SECOND);
        web.take(news(Phase::Converged, 7), SECOND * 2);
        assert_eq!(web.verdict, Some(Verdict::Converged));
    }

    #[test]
    fn news_from_before_the_change_do_not_count() {
        let mut web = watched();
        web.take(news(Phase::Converged, 4), SECOND);
        web.tick(SECOND * 100);
        assert_eq!(web.verdict, None);
    }

    #[test]
    fn what_cannot_converge_ends_the_wait_with_its_reason() {
        let mut web = watched();
        let paused = ServiceProgress {
            failure: "task x failed".into(),
            ..news(Phase::Paused, 6)
        };
        web.take(paused, SECOND);
        let why = "the update is paused: task x failed".to_owned();
        assert_eq!(web.verdict, Some(Verdict::Failed(why)));
    }
}
