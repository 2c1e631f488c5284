//! Keeps one instance sampled over one connection: surveys on their periods, never two samples at once, backing off from a
//! server that is slow, and coming back to one that was gone.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Reached;
use super::connect::{self, SAMPLES, Session};
use super::survey::{self, Prepared};
use crate::fault::Fault;
use crate::fleet::seen::Seen;
use crate::id::InstanceId;
use crate::metric::{self, Asked, Rows, SurveyId};
use crate::plane::{Clock, Sink, backoff};

/// What is asked, and how often.
pub type Surveys = BTreeMap<SurveyId, Duration>;

/// A server that does not answer is asked again after at most this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// No earlier again where a right is missing.
const REFUSED: Duration = Duration::from_secs(10);

/// One instance's sampler.
#[expect(missing_debug_implementations, reason = "it holds a clock and a way to connect, and lives in one task")]
pub struct Sampler<R> {
    pub instance: InstanceId,
    /// Says anew, for each connection, how the server is reached.
    pub reach: R,
    pub surveys: watch::Receiver<Surveys>,
    pub sink: Sink,
    pub clock: Clock,
}

/// What is known between samples.
struct Rhythm {
    due: BTreeMap<SurveyId, Instant>,
    /// The server's own word; unknown before the first answer.
    in_recovery: Option<bool>,
    /// At least so long between samples: a slow server is asked less often.
    pace: Duration,
    failures: u32,
}

impl<R: Fn() -> BoxFuture<'static, Result<Reached, Fault>>> Sampler<R> {
    /// Samples until nobody says any more what to ask, or it is dropped.
    pub async fn run(mut self) {
        let mut rhythm = Rhythm { due: BTreeMap::new(), in_recovery: None, pace: Duration::ZERO, failures: 0 };
        loop {
            if self.surveys.has_changed().is_err() {
                return;
            }
            let failed = match self.connect().await {
                Ok(session) => self.keep_asking(session, &mut rhythm).await,
                Err(fault) => Some(fault),
            };
            let Some(fault) = failed else { return };
            self.tell_all(&fault);
            let spread = backoff::spread(&self.instance.member, (self.clock)().as_nanosecond());
            let pause = pause(&fault, rhythm.failures, spread);
            rhythm.failures += 1;
            rhythm.due.clear();
            tokio::time::sleep(pause).await;
        }
    }

    async fn connect(&self) -> Result<Session, Fault> {
        connect::open((self.reach)().await?, SAMPLES).await
    }

    /// Asks until the session is of no further use (why), or nobody wants to know any more (none).
    async fn keep_asking(&mut self, mut session: Session, rhythm: &mut Rhythm) -> Option<Fault> {
        let mut prepared = Prepared::default();
        loop {
            let surveys = self.surveys.borrow_and_update().clone();
            let asked = rhythm.take_due(&surveys, Instant::now());
            if !asked.is_empty() {
                let begun = Instant::now();
                match survey::sample(&session, &mut prepared, &asked).await {
                    Ok(answers) => {
                        let took = begun.elapsed();
                        rhythm.learn(&answers, took);
                        self.tell(answers, took);
                    }
                    Err(fault) => return Some(session.ended().unwrap_or(fault)),
                }
            }
            let next = rhythm.next(&surveys, Instant::now());
            tokio::select! {
                // Both are cancel-safe: a timer and a watch.
                () = tokio::time::sleep_until(next) => {}
                changed = self.surveys.changed() => if changed.is_err() { return None },
            }
            if let Some(fault) = session.ended() {
                return Some(fault);
            }
        }
    }

    fn tell(&self, answers: survey::Answers, took: Duration) {
        let at = (self.clock)();
        let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        for (survey, rows) in answers {
            self.sink.send(Seen::Rows { instance: self.instance.clone(), database: None, survey, at, took_ms, rows });
        }
    }

    /// The same fault for everything that is asked.
    fn tell_all(&self, fault: &Fault) {
        let surveys: Vec<SurveyId> = self.surveys.borrow().keys().copied().collect();
        self.tell(surveys.into_iter().map(|survey| (survey, Err(fault.clone()))).collect(), Duration::ZERO);
    }
}

/// How long to wait after that fault. A right does not come back by asking for it again and again.
fn pause(fault: &Fault, failures: u32, spread: f64) -> Duration {
    let doubled = backoff::wait(failures, spread) * if failures > 6 { 2 } else { 1 };
    let least = if matches!(fault, Fault::Forbidden { .. }) { REFUSED } else { Duration::ZERO };
    doubled.max(least).min(LONGEST_PAUSE)
}

impl Rhythm {
    /// The surveys whose time has come; their next time is set.
    fn take_due(&mut self, surveys: &Surveys, now: Instant) -> Vec<SurveyId> {
        let applies =
            |survey: SurveyId| metric::survey(survey).asked != Asked::OnPrimary || self.in_recovery == Some(false);
        let is_due = |survey: &SurveyId| applies(*survey) && self.due.get(survey).is_none_or(|due| *due <= now);
        let asked: Vec<SurveyId> = surveys.keys().copied().filter(is_due).collect();
        for survey in &asked {
            self.due.insert(*survey, now + surveys[survey].max(self.pace));
        }
        asked
    }

    fn next(&self, surveys: &Surveys, now: Instant) -> Instant {
        let waits = surveys
            .keys()
            .filter(|survey| metric::survey(**survey).asked != Asked::OnPrimary || self.in_recovery == Some(false));
        let soonest = waits.map(|survey| self.due.get(survey).copied().unwrap_or(now)).min();
        soonest.unwrap_or(now + Duration::from_secs(3600))
    }

    fn learn(&mut self, answers: &survey::Answers, took: Duration) {
        self.failures = 0;
        self.pace = pace(took);
        for (_, answer) in answers {
            if let Ok(Rows::Vitals(vitals)) = answer {
                self.in_recovery = Some(vitals.in_recovery);
            }
        }
    }
}

/// The least time between samples of a server that took so long: it spends at most a fifth of its time on us, and even a
/// hopeless one is asked every half minute.
fn pace(took: Duration) -> Duration {
    (took * 5).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surveys() -> Surveys {
        Surveys::from([
            (SurveyId::Vitals, Duration::from_secs(2)),
            (SurveyId::Archiver, Duration::from_secs(2)),
            (SurveyId::Storage, Duration::from_secs(300)),
        ])
    }

    fn rhythm(in_recovery: Option<bool>) -> Rhythm {
        Rhythm { due: BTreeMap::new(), in_recovery, pace: Duration::ZERO, failures: 0 }
    }

    #[test]
    fn what_belongs_to_a_primary_is_asked_once_it_is_known_to_be_one() {
        let now = Instant::now();
        assert_eq!(rhythm(None).take_due(&surveys(), now), [SurveyId::Vitals]);
        assert_eq!(rhythm(Some(true)).take_due(&surveys(), now), [SurveyId::Vitals]);
        let mut primary = rhythm(Some(false));
        assert_eq!(primary.take_due(&surveys(), now).len(), 3);
        assert_eq!(primary.take_due(&surveys(), now + Duration::from_secs(2)), [SurveyId::Vitals, SurveyId::Archiver]);
    }

    #[test]
    fn a_slow_server_is_asked_less_often() {
        assert_eq!(pace(Duration::from_millis(10)), Duration::from_millis(50));
        assert_eq!(pace(Duration::from_secs(20)), Duration::from_secs(30));
        let now = Instant::now();
        let mut slow = rhythm(None);
        slow.pace = pace(Duration::from_secs(2));
        slow.take_due(&surveys(), now);
        assert_eq!(slow.next(&surveys(), now), now + Duration::from_secs(10));
    }
}
