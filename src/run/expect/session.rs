//! A session: that its query is over, or that it is gone.

use jiff::Timestamp;

use super::{Judged, Sample, when};
use crate::metric::Rows;
use crate::metric::activity::Backend;

/// Whether the backend runs that query no more.
pub(super) fn cancelled(sample: &Sample, pid: i32, started: Timestamp, query_started: Timestamp) -> Judged {
    of_backend(sample, pid, started, |backend| {
        let still = backend.state.as_deref() == Some("active") && backend.query_started == Some(query_started);
        let state = backend.state.as_deref().unwrap_or("in an unknown state");
        when(!still, format!("backend {pid} is {state}"))
    })
}

/// Whether the backend is gone.
pub(super) fn ended(sample: &Sample, pid: i32, started: Timestamp) -> Judged {
    of_backend(sample, pid, started, |_| Judged::NotYet(format!("backend {pid} is still there")))
}

fn of_backend(sample: &Sample, pid: i32, started: Timestamp, judge: impl Fn(&Backend) -> Judged) -> Judged {
    match sample.first() {
        Some((_, Ok(Rows::Activity(backends)))) => {
            let found = backends.iter().find(|backend| backend.pid == pid && backend.started == Some(started));
            found.map_or_else(|| Judged::Proved(format!("backend {pid} is gone")), judge)
        }
        Some((_, Err(fault))) => Judged::NotYet(fault.to_string()),
        _ => Judged::NotYet("nothing was answered".into()),
    }
}
