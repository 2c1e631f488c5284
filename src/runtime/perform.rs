//! Carries out what must happen exactly once: each question with a deadline of its own.

use std::time::Duration;

use futures::StreamExt;

use crate::fault::Fault;
use crate::work::probe::{Answer, Probe};

use super::Planes;

/// No answer takes longer; planes have shorter deadlines of their own.
const DEADLINE: Duration = Duration::from_secs(20);

/// So many questions are asked at the same time.
const AT_ONCE: usize = 16;

/// Asks questions and waits for all answers, in the order of the questions.
pub async fn ask_all(planes: &Planes, probes: Vec<Probe>) -> Vec<(Probe, Result<Answer, Fault>)> {
    let asked = probes.into_iter().map(|probe| async { (probe.clone(), ask(planes, probe).await) });
    futures::stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// Asks one question.
async fn ask(planes: &Planes, probe: Probe) -> Result<Answer, Fault> {
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
