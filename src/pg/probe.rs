//! One exact question over a connection of its own.

use super::Reached;
use super::connect::{self, SAMPLES};
use super::fault;
use super::survey::{self, Prepared};
use crate::fault::Fault;
use crate::id::Text;
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

/// The system identifier, which `initdb` made: the same on every member of a cluster, and on no other.
pub async fn identity(reached: Reached) -> Result<Answer, Fault> {
    let what = reached.what.clone();
    let session = connect::open(reached, SAMPLES).await?;
    let asked = session.client.query_one("select system_identifier::text from pg_control_system()", &[]);
    let row = tokio::time::timeout(SAMPLES.statement_timeout, asked).await;
    let row = row.map_err(|_elapsed| Fault::TimedOut { what: what.to_string(), after: SAMPLES.statement_timeout })?;
    let row = row.map_err(|error| fault::of_identity(&what, &error))?;
    Ok(Answer::Identity(row.try_get::<_, String>(0).ok().map(Text::from)))
}
