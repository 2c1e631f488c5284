//! What SQL says of one instance: the latest rows of each survey, each with its own age, and short histories of figures.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::known::{Known, Why};
use super::series::Series;
use crate::fault::Fault;
use crate::id::Text;
use crate::metric::activity::{Backend, Progress};
use crate::metric::archiver::Archiver;
use crate::metric::replication::WalSender;
use crate::metric::slots::Slot;
use crate::metric::storage::Storage;
use crate::metric::subscription::{Origin, Subscription};
use crate::metric::vitals::Vitals;
use crate::metric::{self, Rows, SurveyId};

/// Everything sampled from one instance.
#[derive(Debug, Clone)]
pub struct Instance {
    pub vitals: Known<Box<Vitals>>,
    pub replication: Known<Vec<WalSender>>,
    pub slots: Known<Vec<Slot>>,
    pub origins: Known<Vec<Origin>>,
    pub subscriptions: Known<Vec<Subscription>>,
    pub archiver: Known<Archiver>,
    pub activity: Known<Vec<Backend>>,
    pub progress: Known<Vec<Progress>>,
    pub storage: Known<Storage>,
    /// By metric and label; figures of the last minutes, gaps included.
    pub series: BTreeMap<(&'static str, Text), Series>,
    /// Since when every sample of it says that it takes writes.
    pub leading: Option<Timestamp>,
    /// Since when every sample of it says that it follows and nobody streams to it.
    pub unfed: Option<Timestamp>,
    /// How long the last sample took, in milliseconds.
    pub took_ms: Option<u32>,
}

/// A sample older than three of its intervals is not believed any more.
fn lasts(survey: SurveyId) -> SignedDuration {
    SignedDuration::try_from(metric::survey(survey).every * 3).unwrap_or(SignedDuration::MAX)
}

impl Default for Instance {
    fn default() -> Self {
        let never = Why::NotSampled;
        Instance {
            vitals: Known::Never(never),
            replication: Known::Never(never),
            slots: Known::Never(never),
            origins: Known::Never(never),
            subscriptions: Known::Never(never),
            archiver: Known::Never(never),
            activity: Known::Never(never),
            progress: Known::Never(never),
            storage: Known::Never(never),
            series: BTreeMap::new(),
            leading: None,
            unfed: None,
            took_ms: None,
        }
    }
}

impl Instance {
    /// Takes in one answer; a fault leaves a gap in the histories of its survey. False if it is the fault that stands already,
    /// and no history has its gap: only its time is another one then.
    pub fn take(&mut self, survey: SurveyId, at: Timestamp, answer: Result<Rows, Fault>) -> bool {
        let is_news = match &answer {
            Ok(rows) => {
                self.record(rows, at);
                true
            }
            Err(why) => self.mark_gap(survey, at) || self.fault(survey) != Some(why),
        };
        if let Ok(Rows::Vitals(vitals)) = &answer {
            self.leading = (!vitals.in_recovery).then(|| self.leading.unwrap_or(at));
            let unfed = vitals.in_recovery && vitals.receiver.is_none();
            self.unfed = unfed.then(|| self.unfed.unwrap_or(at));
        }
        match answer {
            Ok(Rows::Vitals(rows)) => self.vitals.take(Ok(rows), at),
            Ok(Rows::Replication(rows)) => self.replication.take(Ok(rows), at),
            Ok(Rows::Slots(rows)) => self.slots.take(Ok(rows), at),
            Ok(Rows::Origins(rows)) => self.origins.take(Ok(rows), at),
            Ok(Rows::Subscriptions(rows)) => self.subscriptions.take(Ok(rows), at),
            Ok(Rows::Archiver(rows)) => self.archiver.take(Ok(rows), at),
            Ok(Rows::Activity(rows)) => self.activity.take(Ok(rows), at),
            Ok(Rows::Progress(rows)) => self.progress.take(Ok(rows), at),
            Ok(Rows::Storage(rows)) => self.storage.take(Ok(rows), at),
            Err(why) => self.lose(survey, at, why),
        }
        is_news
    }

    /// The fault that a survey was answered with last.
    fn fault(&self, survey: SurveyId) -> Option<&Fault> {
        match survey {
            SurveyId::Vitals => self.vitals.fault(),
            SurveyId::Replication => self.replication.fault(),
            SurveyId::Slots => self.slots.fault(),
            SurveyId::Origins => self.origins.fault(),
            SurveyId::Subscriptions => self.subscriptions.fault(),
            SurveyId::Archiver => self.archiver.fault(),
            SurveyId::Activity => self.activity.fault(),
            SurveyId::Progress => self.progress.fault(),
            SurveyId::Storage => self.storage.fault(),
        }
    }

    /// Whether that survey was answered, be it by a fault.
    pub fn has_answered(&self, survey: SurveyId) -> bool {
        match survey {
            SurveyId::Vitals => !self.vitals.is_never(),
            SurveyId::Replication => !self.replication.is_never(),
            SurveyId::Slots => !self.slots.is_never(),
            SurveyId::Origins => !self.origins.is_never(),
            SurveyId::Subscriptions => !self.subscriptions.is_never(),
            SurveyId::Archiver => !self.archiver.is_never(),
            SurveyId::Activity => !self.activity.is_never(),
            SurveyId::Progress => !self.progress.is_never(),
            SurveyId::Storage => !self.storage.is_never(),
        }
    }

    /// Makes past what is three of its own intervals old. True if anything is from now on.
    pub fn age_out(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        any |= self.vitals.age_out(lasts(SurveyId::Vitals), now);
        any |= self.replication.age_out(lasts(SurveyId::Replication), now);
        any |= self.slots.age_out(lasts(SurveyId::Slots), now);
        any |= self.origins.age_out(lasts(SurveyId::Origins), now);
        any |= self.subscriptions.age_out(lasts(SurveyId::Subscriptions), now);
        any |= self.archiver.age_out(lasts(SurveyId::Archiver), now);
        any |= self.activity.age_out(lasts(SurveyId::Activity), now);
        any |= self.progress.age_out(lasts(SurveyId::Progress), now);
        any |= self.storage.age_out(lasts(SurveyId::Storage), now);
        any
    }

    /// When the next of its answers will be past.
    pub fn next_past(&self) -> Option<Timestamp> {
        let passes = [
            self.vitals.passes(lasts(SurveyId::Vitals)),
            self.replication.passes(lasts(SurveyId::Replication)),
            self.slots.passes(lasts(SurveyId::Slots)),
            self.origins.passes(lasts(SurveyId::Origins)),
            self.subscriptions.passes(lasts(SurveyId::Subscriptions)),
            self.archiver.passes(lasts(SurveyId::Archiver)),
            self.activity.passes(lasts(SurveyId::Activity)),
            self.progress.passes(lasts(SurveyId::Progress)),
            self.storage.passes(lasts(SurveyId::Storage)),
        ];
        passes.into_iter().flatten().min()
    }

    fn lose(&mut self, survey: SurveyId, at: Timestamp, why: Fault) {
        match survey {
            SurveyId::Vitals => self.vitals.take(Err(why), at),
            SurveyId::Replication => self.replication.take(Err(why), at),
            SurveyId::Slots => self.slots.take(Err(why), at),
            SurveyId::Origins => self.origins.take(Err(why), at),
            SurveyId::Subscriptions => self.subscriptions.take(Err(why), at),
            SurveyId::Archiver => self.archiver.take(Err(why), at),
            SurveyId::Activity => self.activity.take(Err(why), at),
            SurveyId::Progress => self.progress.take(Err(why), at),
            SurveyId::Storage => self.storage.take(Err(why), at),
        }
    }

    fn record(&mut self, rows: &Rows, at: Timestamp) {
        for reading in metric::read(rows) {
            self.series.entry((reading.metric, reading.label)).or_default().push(at, reading.value);
        }
    }

    /// True if any history has it.
    fn mark_gap(&mut self, survey: SurveyId, at: Timestamp) -> bool {
        let of_survey = |name: &str| {
            metric::METRICS.iter().copied().flatten().any(|metric| metric.survey == survey && metric.id == name)
        };
        let mut any = false;
        for ((name, _), series) in &mut self.series {
            if of_survey(name) {
                series.mark_gap(at);
                any = true;
            }
        }
        any
    }

    /// The history of one figure.
    pub fn series(&self, metric: &'static str, label: &str) -> Option<&Series> {
        self.series.get(&(metric, Text::from(label)))
    }
}
