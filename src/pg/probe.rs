//! One exact question over a connection of its own.

use super::Reached;
use super::connect::{self, SAMPLES};
use super::survey::{self, Prepared};
use crate::fault::Fault;
use crate::metric::{Rows, SurveyId};
use crate::work::probe::Answer;

/// One sample.
pub async fn sample(reached: Reached, surveys: &[SurveyId]) -> Result<Answer, Fault> {
    let session = connect::open(reached, SAMPLES).await?;
    survey::sample(&session, &mut Prepared::default(), surveys).await.map(Answer::Sample)
}

/// Whether the server can be logged into and asked; its version and role.
pub async fn reach(reached: Reached) -> Result<Answer, Fault> {
    let what = reached.what.clone();
    let session = connect::open(reached, SAMPLES).await?;
    let answers = survey::sample(&session, &mut Prepared::default(), &[SurveyId::Vitals]).await?;
    match answers.into_iter().next() {
        Some((_, Ok(Rows::Vitals(vitals)))) => {
            Ok(Answer::Reached { version: vitals.version, primary: !vitals.in_recovery, tls: session.encrypted })
        }
        Some((_, Err(fault))) => Err(fault),
        Some((_, Ok(_))) | None => Err(Fault::Refused { what: what.to_string(), why: "it did not answer".into() }),
    }
}
