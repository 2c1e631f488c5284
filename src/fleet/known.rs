//! A value together with how we know it: seen when, lost why, or never asked for.

use jiff::{SignedDuration, Timestamp};

use crate::fault::Fault;

/// Why there is no value at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing asked for it: no visible row or open view wants it.
    NotSampled,
    /// It was asked for, and nothing has answered yet.
    Waiting,
    /// It does not exist in this kind of thing (a standby has no slots' WAL position, a host no CR).
    NotApplicable,
}

impl Why {
    /// How the reason reads in a cell.
    pub fn word(self) -> &'static str {
        match self {
            Why::NotSampled => "not sampled",
            Why::Waiting => "waiting",
            Why::NotApplicable => "n/a",
        }
    }
}

/// What is known of a value. Unknown is never zero, and stale is never fresh.
#[derive(Debug, Clone, PartialEq)]
pub enum Known<T> {
    /// Seen at that time.
    Seen { value: T, at: Timestamp },
    /// Seen at that time, and nobody has asked since: too old to be believed, still worth showing with its age.
    Past { value: T, at: Timestamp },
    /// Its source answers with a fault; the last value, if any, keeps its own time.
    Lost { last: Option<(T, Timestamp)>, why: Fault, at: Timestamp },
    /// Never seen.
    Never(Why),
}

impl<T> Known<T> {
    /// The newest value, fresh or not, with the time it was seen.
    pub fn last(&self) -> Option<(&T, Timestamp)> {
        match self {
            Known::Seen { value, at } | Known::Past { value, at } | Known::Lost { last: Some((value, at)), .. } => {
                Some((value, *at))
            }
            Known::Lost { last: None, .. } | Known::Never(_) => None,
        }
    }

    /// The value, only if its source still answers.
    pub fn fresh(&self) -> Option<&T> {
        match self {
            Known::Seen { value, .. } => Some(value),
            Known::Past { .. } | Known::Lost { .. } | Known::Never(_) => None,
        }
    }

    /// Whether nothing ever answered, not even by a fault.
    pub fn is_never(&self) -> bool {
        matches!(self, Known::Never(_))
    }

    /// The age of the newest value.
    pub fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        self.last().map(|(_, at)| now.duration_since(at))
    }

    /// The fault that the source answers with now.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Known::Lost { why, .. } => Some(why),
            Known::Seen { .. } | Known::Past { .. } | Known::Never(_) => None,
        }
    }

    /// When it will be past, if nothing answers until then.
    pub fn passes(&self, lasts: SignedDuration) -> Option<Timestamp> {
        match self {
            Known::Seen { at, .. } => Some(*at + lasts),
            Known::Past { .. } | Known::Lost { .. } | Known::Never(_) => None,
        }
    }

    /// Makes it past if it is as old as it may be. True if that changed it.
    pub fn age_out(&mut self, lasts: SignedDuration, now: Timestamp) -> bool {
        if self.passes(lasts).is_none_or(|due| due > now) {
            return false;
        }
        if let Known::Seen { value, at } = std::mem::replace(self, Known::Never(Why::Waiting)) {
            *self = Known::Past { value, at };
        }
        true
    }

    /// Takes in a new answer, keeping the last good value through faults.
    pub fn take(&mut self, answer: Result<T, Fault>, at: Timestamp) {
        let before = std::mem::replace(self, Known::Never(Why::Waiting));
        *self = match (answer, before) {
            (Ok(value), _) => Known::Seen { value, at },
            (Err(why), Known::Seen { value, at: seen } | Known::Past { value, at: seen }) => {
                Known::Lost { last: Some((value, seen)), why, at }
            }
            (Err(why), Known::Lost { last, .. }) => Known::Lost { last, why, at },
            (Err(why), Known::Never(_)) => Known::Lost { last: None, why, at },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_the_last_value_and_its_time() {
        let mut known = Known::Never(Why::Waiting);
        known.take(Ok(7), Timestamp::UNIX_EPOCH);
        known.take(Err(Fault::Cancelled), Timestamp::from_second(5).unwrap());

        assert_eq!(known.last(), Some((&7, Timestamp::UNIX_EPOCH)));
        assert_eq!(known.fresh(), None);
        assert_eq!(known.age(Timestamp::from_second(9).unwrap()), Some(SignedDuration::from_secs(9)));
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_past_and_keeps_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let lasts = SignedDuration::from_secs(6);
        let mut known = Known::Seen { value: 7, at: at(0) };
        assert!(!known.age_out(lasts, at(5)));
        assert!(known.age_out(lasts, at(6)) && !known.age_out(lasts, at(7)));
        assert_eq!((known.fresh(), known.last(), known.passes(lasts)), (None, Some((&7, at(0))), None));

        known.take(Ok(8), at(8));
        assert_eq!(known.fresh(), Some(&8));
    }
}
