//! What the world says instead of an answer.

use std::time::Duration;

use serde::Serialize;

/// A refusal, failure or silence of the outside world, typed by what the caller can do about it.
///
/// Every variant names the thing (`what`); its message says what happened, and [`Fault::remedy`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// Nothing answers at the address, or the connection broke.
    #[error("{what} cannot be reached: {why}")]
    Unreachable { what: String, why: String },
    /// The right is missing; `needs` is the right or GRANT that would bring it.
    #[error("{what} is forbidden: needs {needs}")]
    Forbidden { what: String, needs: String },
    /// The thing changed between looking and acting (HTTP 409).
    #[error("{what} changed meanwhile: {why}")]
    Conflict { what: String, why: String },
    /// It did not answer in time.
    #[error("{what} did not answer within {} ms", .after.as_millis())]
    TimedOut { what: String, after: Duration },
    /// It answered, and said no.
    #[error("{what} was refused: {why}")]
    Refused { what: String, why: String },
    /// The credential is no longer accepted (HTTP 401, wrong password).
    #[error("login to {what} expired or was refused: {why}")]
    AuthExpired { what: String, why: String },
    /// It does not exist, or not any more.
    #[error("{what} is gone")]
    Gone { what: String },
    /// Its version or settings do not offer this.
    #[error("{what} is not supported here: {why}")]
    Unsupported { what: String, why: String },
    /// It cannot be read; `place` is the path or line in it.
    #[error("{what} cannot be read at {place}: {why}")]
    Malformed { what: String, place: String, why: String },
    /// It asks us to come back later (HTTP 429).
    #[error("{what} asks to slow down for {} s", .retry_after.as_secs())]
    Throttled { what: String, retry_after: Duration },
    /// We took the question back.
    #[error("cancelled")]
    Cancelled,
}

impl Fault {
    /// One word for tables and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Unreachable { .. } => "unreachable",
            Fault::Forbidden { .. } => "forbidden",
            Fault::Conflict { .. } => "conflict",
            Fault::TimedOut { .. } => "timed out",
            Fault::Refused { .. } => "refused",
            Fault::AuthExpired { .. } => "AUTH EXPIRED",
            Fault::Gone { .. } => "gone",
            Fault::Unsupported { .. } => "unsupported",
            Fault::Malformed { .. } => "malformed",
            Fault::Throttled { .. } => "throttled",
            Fault::Cancelled => "cancelled",
        }
    }

    /// What the reader can do about it, as an imperative without a full stop.
    pub fn remedy(&self) -> String {
        match self {
            Fault::Unreachable { .. } => "check the address, the network and that the server runs".into(),
            Fault::Forbidden { .. } => "ask whoever grants rights there for it".into(),
            Fault::Conflict { .. } => "look again and repeat".into(),
            Fault::TimedOut { .. } => "check whether the server is overloaded or hangs; pgdeck keeps trying".into(),
            Fault::Refused { .. } => "see the reason above".into(),
            Fault::AuthExpired { .. } => {
                "log in again (your kubeconfig's login command, or the password), pgdeck picks it up".into()
            }
            Fault::Gone { .. } => "check the name".into(),
            Fault::Unsupported { .. } => "see README for the versions and settings that offer it".into(),
            Fault::Malformed { place, .. } => format!("correct {place}"),
            Fault::Throttled { .. } => "nothing: pgdeck waits as asked".into(),
            Fault::Cancelled => "repeat it if it was not meant".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_thing_and_the_time() {
        let fault = Fault::TimedOut { what: "orders-2".into(), after: Duration::from_millis(1500) };
        assert_eq!(fault.to_string(), "orders-2 did not answer within 1500 ms");
        assert!(fault.remedy().contains("overloaded"));
    }
}
