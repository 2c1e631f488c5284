//! How a plane is heard: since when without a gap, when last, and whether it has been silent for too long.

use jiff::{SignedDuration, Timestamp};

use super::seen::SourceState;

/// A watched plane tells a sign of life every ten seconds at least; three without one are silence.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);
/// A polled plane is listed every thirty seconds.
const POLLED_SILENCE: SignedDuration = SignedDuration::from_secs(90);

/// What was heard of one plane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hearing {
    /// The stretch in which it was heard without a gap: its first and its latest sign of life.
    stretch: Option<Stretch>,
    /// It does not answer now, but has not been silent for too long yet.
    lost: bool,
    polled: bool,
    /// When it is called silent unless it answers before.
    due: Option<Timestamp>,
    /// Why its clusters are unknown now.
    silent: Option<String>,
}

/// A time in which a plane was heard without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Hearing {
    /// It answered. True if it was silent until now.
    pub fn hear(&mut self, at: Timestamp) -> bool {
        let going_on = self.stretch.filter(|stretch| !self.lost && at.duration_since(stretch.until) <= self.patience());
        let since = going_on.map_or(at, |stretch| stretch.since);
        self.stretch = Some(Stretch { since, until: at });
        self.lost = false;
        self.due = None;
        self.silent.take().is_some()
    }

    /// Takes in whether it is watched or polled.
    pub fn note_manner(&mut self, state: &SourceState) {
        if let SourceState::Live { polled } = state {
            self.polled = *polled;
        }
    }

    /// It does not answer.
    pub fn lose(&mut self, at: Timestamp) {
        self.lost = true;
        if self.silent.is_none() {
            self.due = Some(self.stretch.map_or(at, |stretch| stretch.until) + self.patience());
        }
    }

    /// It has not answered for too long; `why` is its last fault.
    pub fn fall_silent(&mut self, why: &str) {
        self.due = None;
        self.silent = Some(match self.stretch {
            Some(stretch) => {
                format!("nothing was heard since {}: {why}", stretch.until.strftime("%Y-%m-%d %H:%M:%S UTC"))
            }
            None => format!("nothing was heard yet: {why}"),
        });
    }

    /// When it is called silent unless it answers before.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Why nothing of it can be believed now; none while it is heard.
    pub fn silent(&self) -> Option<&str> {
        self.silent.as_deref()
    }

    /// Whether its latest answer was a fault.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The stretch in which it was heard without a gap.
    pub fn stretch(&self) -> Option<Stretch> {
        self.stretch
    }

    fn patience(&self) -> SignedDuration {
        if self.polled { POLLED_SILENCE } else { SILENCE }
    }
}
