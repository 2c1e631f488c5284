//! How a run ended, and what stood in its way.

use crate::fault::Fault;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The effect was seen.
    Proved,
    /// Nothing was sent.
    Refused,
    /// It was sent, and did not do what it should.
    Failed,
    /// It was sent; its effect was not seen in time.
    Unproven,
}

impl Outcome {
    /// As tables and the journal name it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Proved => "PROVED",
            Outcome::Refused => "REFUSED",
            Outcome::Failed => "FAILED",
            Outcome::Unproven => "UNPROVEN",
        }
    }
}

/// What stood in the way of an order that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What was looked at speaks against it, or nobody confirmed it.
    Judged,
    Forbidden,
    /// Whoever was asked did not answer in time.
    TimedOut,
    /// The thing is not there any more.
    Gone,
}

impl Cause {
    pub(super) fn of(fault: &Fault) -> Cause {
        match fault {
            Fault::Forbidden { .. } | Fault::AuthExpired { .. } => Cause::Forbidden,
            Fault::TimedOut { .. } => Cause::TimedOut,
            Fault::Gone { .. } => Cause::Gone,
            _ => Cause::Judged,
        }
    }
}
