//! The only clock: wall time for what is seen, monotonic time for pacing.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::plane::Clock;

/// Now, by the wall clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, by a clock that never goes backwards; for pacing frames and waits.
pub fn instant() -> Instant {
    Instant::now()
}

/// The clock that planes stamp what they see with.
pub fn clock() -> Clock {
    Arc::new(now)
}
