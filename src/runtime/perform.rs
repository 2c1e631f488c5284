//! Carries out what must happen exactly once: each question on a task of its own, with a deadline.

use std::time::Duration;

use crate::fault::Fault;
use crate::work::probe::{Answer, Probe};

use super::Planes;

/// No answer takes longer; planes have shorter deadlines of their own.
const DEADLINE: Duration = Duration::from_secs(20);

/// Asks one question.
pub async fn ask(planes: &Planes, probe: Probe) -> Result<Answer, Fault> {
    let what = || match &probe {
        Probe::Versions(plane) | Probe::Rights { plane, .. } => plane.to_string(),
        Probe::Reach(instance) => instance.to_string(),
    };
    let what = what();
    let plane = match &probe {
        Probe::Versions(plane) | Probe::Rights { plane, .. } => plane,
        Probe::Reach(instance) => &instance.cluster.plane,
    };
    let Some(plane) = planes.get(plane) else { return Err(Fault::Gone { what }) };
    let answered = tokio::time::timeout(DEADLINE, plane.probe(probe)).await;
    answered.unwrap_or(Err(Fault::TimedOut { what, after: DEADLINE }))
}
