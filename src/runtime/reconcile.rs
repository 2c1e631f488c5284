//! From the streams that run to the streams that are wanted. Pure: state and time in, changes out.
//!
//! Samples open only when they have been wanted for a moment, so that scrolling opens nothing, and close late, so that
//! coming back finds them running. Not more than a number of instances are sampled at once; when more are wanted, they
//! take turns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::id::InstanceId;
use crate::metric::SurveyId;
use crate::work::want::Want;

/// A sample is wanted this long before its connection opens.
const OPENS_AFTER: Duration = Duration::from_millis(300);
/// A stream runs on this long after nobody wants it.
const CLOSES_AFTER: Duration = Duration::from_secs(30);
/// Where instances take turns, each stays at least this long.
const TURN: Duration = Duration::from_secs(10);

/// What to ask of one instance, and how often.
pub type Surveys = BTreeMap<SurveyId, Duration>;

/// One thing that runs or waits to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// A plane's own stream; never [`Want::Survey`].
    Plane(Want),
    /// All surveys of one instance, over one connection.
    Samples(InstanceId),
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Wanted since then; nothing runs yet.
    Waiting { since: Timestamp },
    /// Runs since then; `idle` since nobody wants it.
    Running { since: Timestamp, idle: Option<Timestamp> },
}

/// All streams, and what each sampled instance is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    standing: BTreeMap<Stream, Standing>,
    surveys: BTreeMap<InstanceId, Surveys>,
}

/// Wants as streams: the surveys of one instance are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    streams: BTreeSet<Stream>,
    surveys: BTreeMap<InstanceId, Surveys>,
}

/// A step towards what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is wanted from now on; it opens when it has been for long enough and there is room.
    Await(Stream),
    /// Nobody wants it any more, and it never ran.
    Forget(Stream),
    Open(Stream),
    /// It runs, and nobody wants it from now on.
    Idle(Stream),
    /// It runs, and is wanted again.
    Resume(Stream),
    Close(Stream),
    /// It runs, but others wait: it waits from now on.
    Yield(InstanceId),
    /// The surveys of an instance changed.
    Ask(InstanceId, Surveys),
}

/// Returns the changes that are due now. `at_once` is how many instances are sampled at the same time at most.
pub fn reconcile(streams: &Streams, wanted: &Wanted, at_once: usize, now: Timestamp) -> Vec<Change> {
    let mut steps = Vec::new();
    for stream in wanted.streams.iter().filter(|stream| !streams.standing.contains_key(stream)) {
        steps.push(Change::Await(stream.clone()));
    }
    for (stream, standing) in &streams.standing {
        let change = match (standing, wanted.streams.contains(stream)) {
            (Standing::Waiting { .. }, false) => Change::Forget(stream.clone()),
            (Standing::Running { idle: None, .. }, false) if stream.lingers().is_zero() => {
                Change::Close(stream.clone())
            }
            (Standing::Running { idle: None, .. }, false) => Change::Idle(stream.clone()),
            (Standing::Running { idle: Some(since), .. }, false) if *since + stream.lingers() <= now => {
                Change::Close(stream.clone())
            }
            (Standing::Running { idle: Some(_), .. }, true) => Change::Resume(stream.clone()),
            (Standing::Waiting { .. } | Standing::Running { idle: None, .. }, true)
            | (Standing::Running { idle: Some(_), .. }, false) => continue,
        };
        steps.push(change);
    }
    // At rest nothing is wanted differently, and nothing is copied.
    let opened = if steps.is_empty() {
        opened(streams, at_once, now)
    } else {
        let mut next = streams.clone();
        for change in &steps {
            next.apply(change, now);
        }
        opened(&next, at_once, now)
    };
    let mut changes = asked(streams, &wanted.surveys);
    changes.extend(steps);
    changes.extend(opened);
    changes
}

/// When [`reconcile`] may have more to do though nothing is wanted differently.
pub fn due(streams: &Streams, at_once: usize) -> Option<Timestamp> {
    let full = streams.n_sampled() >= at_once;
    let by_itself = |(stream, standing): (&Stream, &Standing)| match (stream, standing) {
        (Stream::Samples(_), Standing::Waiting { .. }) if full => None,
        (stream, Standing::Waiting { since }) => Some(*since + stream.patience()),
        (stream, Standing::Running { idle: Some(since), .. }) => Some(*since + stream.lingers()),
        (_, Standing::Running { idle: None, .. }) => None,
    };
    let turn = || {
        let ripe = streams.waiting().map(|(_, since)| since + OPENS_AFTER).min()?;
        let leaves = streams.sampled().map(|(_, since, idle)| idle.map_or_else(|| together(since + TURN), Some));
        Some(ripe.max(leaves.flatten().min()?))
    };
    let turn = if full { turn() } else { None };
    streams.standing.iter().filter_map(by_itself).chain(turn).min()
}

/// The end of a turn to the next full second, so that those who leave in the same one leave together: one look, not many.
fn together(at: Timestamp) -> Option<Timestamp> {
    at.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil)).ok()
}

impl Wanted {
    /// All that is wanted.
    pub fn of(wants: &BTreeSet<Want>) -> Self {
        let mut wanted = Wanted::default();
        for want in wants {
            match want {
                Want::Survey { instance, survey, every } => {
                    let surveys = wanted.surveys.entry(instance.clone()).or_default();
                    let asked = surveys.entry(*survey).or_insert(*every);
                    *asked = (*asked).min(*every);
                }
                want => {
                    wanted.streams.insert(Stream::Plane(want.clone()));
                }
            }
        }
        wanted.streams.extend(wanted.surveys.keys().cloned().map(Stream::Samples));
        wanted
    }
}

impl Streams {
    /// Takes in a change that was carried out.
    pub fn apply(&mut self, change: &Change, now: Timestamp) {
        match change {
            Change::Await(stream) => self.stand(stream, Standing::Waiting { since: now }),
            Change::Yield(instance) => {
                self.stand(&Stream::Samples(instance.clone()), Standing::Waiting { since: now });
            }
            Change::Open(stream) => self.stand(stream, Standing::Running { since: now, idle: None }),
            Change::Idle(stream) => self.set_idle(stream, Some(now)),
            Change::Resume(stream) => self.set_idle(stream, None),
            Change::Forget(stream) | Change::Close(stream) => {
                self.standing.remove(stream);
                if let Stream::Samples(instance) = stream {
                    self.surveys.remove(instance);
                }
            }
            Change::Ask(instance, surveys) => {
                self.surveys.insert(instance.clone(), surveys.clone());
            }
        }
    }

    /// What an instance is to be asked.
    pub fn surveys(&self, instance: &InstanceId) -> Surveys {
        self.surveys.get(instance).cloned().unwrap_or_default()
    }

    fn stand(&mut self, stream: &Stream, standing: Standing) {
        self.standing.insert(stream.clone(), standing);
    }

    fn set_idle(&mut self, stream: &Stream, since_when: Option<Timestamp>) {
        if let Some(Standing::Running { idle, .. }) = self.standing.get_mut(stream) {
            *idle = since_when;
        }
    }

    fn n_sampled(&self) -> usize {
        self.sampled().count()
    }

    /// Instances that are being sampled, with since when and whether nobody wants them.
    fn sampled(&self) -> impl Iterator<Item = (&InstanceId, Timestamp, Option<Timestamp>)> {
        self.standing.iter().filter_map(|(stream, standing)| match (stream, standing) {
            (Stream::Samples(instance), Standing::Running { since, idle }) => Some((instance, *since, *idle)),
            _ => None,
        })
    }

    /// Instances that wait to be sampled.
    fn waiting(&self) -> impl Iterator<Item = (&InstanceId, Timestamp)> {
        self.standing.iter().filter_map(|(stream, standing)| match (stream, standing) {
            (Stream::Samples(instance), Standing::Waiting { since }) => Some((instance, *since)),
            _ => None,
        })
    }
}

impl Stream {
    /// How long it must have been wanted before it opens.
    fn patience(&self) -> Duration {
        match self {
            Stream::Samples(_) => OPENS_AFTER,
            Stream::Plane(_) => Duration::ZERO,
        }
    }

    /// How long it runs on unwanted. A log or a manifest is told from its beginning to whoever opens its view, so that its
    /// stream ends with the view.
    fn lingers(&self) -> Duration {
        match self {
            Stream::Plane(Want::Logs { .. } | Want::Manifest { .. }) => Duration::ZERO,
            Stream::Plane(Want::Fleet | Want::Surroundings(_) | Want::Survey { .. }) | Stream::Samples(_) => {
                CLOSES_AFTER
            }
        }
    }
}

fn asked(streams: &Streams, surveys: &BTreeMap<InstanceId, Surveys>) -> Vec<Change> {
    let news = surveys.iter().filter(|(instance, asked)| streams.surveys.get(instance) != Some(asked));
    news.map(|(instance, asked)| Change::Ask(instance.clone(), asked.clone())).collect()
}

/// Opens what has waited long enough; where there is no room, what nobody wants goes first, then whose turn is over.
fn opened(streams: &Streams, at_once: usize, now: Timestamp) -> Vec<Change> {
    let mut changes = Vec::new();
    for (stream, standing) in &streams.standing {
        if let (Stream::Plane(_), Standing::Waiting { since }) = (stream, standing)
            && *since + stream.patience() <= now
        {
            changes.push(Change::Open(stream.clone()));
        }
    }
    let mut room = at_once.saturating_sub(streams.n_sampled());
    let ripe = streams.waiting().filter(|(_, since)| *since + OPENS_AFTER <= now);
    let mut waiting: Vec<_> = ripe.map(|(instance, since)| (since, instance)).collect();
    waiting.sort();
    let mut leaving: Vec<_> = streams
        .sampled()
        .filter(|(_, since, idle)| idle.is_some() || *since + TURN <= now)
        .map(|(instance, since, idle)| (idle.is_none(), since, instance))
        .collect();
    leaving.sort();
    let mut leaving = leaving.into_iter();
    for (_, instance) in waiting {
        if room > 0 {
            room -= 1;
        } else if let Some((wanted, _, leaves)) = leaving.next() {
            let leaves = leaves.clone();
            changes.push(if wanted { Change::Yield(leaves) } else { Change::Close(Stream::Samples(leaves)) });
        } else {
            break;
        }
        changes.push(Change::Open(Stream::Samples(instance.clone())));
    }
    changes
}

#[cfg(test)]
mod tests;
