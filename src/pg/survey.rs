//! Asks surveys: all of them in one round trip, each failing alone.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, join_all};
use tokio_postgres::Statement;

use super::{Session, decode, fault};
use crate::fault::Fault;
use crate::metric::{self, Rows, Survey, SurveyId};

/// A whole sample takes no longer; a connection that does is given up.
const DEADLINE: Duration = Duration::from_secs(5);

/// One answer to each survey that was asked.
pub type Answers = Vec<(SurveyId, Result<Rows, Fault>)>;

/// The surveys that a session has prepared. Statements live as long as their session.
#[derive(Debug, Default)]
pub struct Prepared(BTreeMap<SurveyId, Statement>);

/// Asks the surveys, and answers each in the order asked. An `Err` means that the session is of no further use.
pub fn sample<'a>(
    session: &'a Session,
    prepared: &'a mut Prepared,
    asked: &'a [SurveyId],
) -> BoxFuture<'a, Result<Answers, Fault>> {
    // Boxed by name: the compiler cannot prove the borrowed session Send through `async fn`.
    let asking = ask(session, prepared, asked);
    async move {
        let answered = tokio::time::timeout(DEADLINE, asking).await;
        answered.unwrap_or_else(|_elapsed| Err(Fault::TimedOut { what: session.what.to_string(), after: DEADLINE }))
    }
    .boxed()
}

async fn ask(session: &Session, prepared: &mut Prepared, asked: &[SurveyId]) -> Result<Answers, Fault> {
    let mut refused = prepare(session, prepared, asked).await;
    // The client pipelines: all queries are on their way before the first answer is awaited.
    let mut asking: Vec<BoxFuture<'_, (SurveyId, Result<Rows, Fault>)>> = Vec::with_capacity(asked.len());
    for id in asked {
        asking.push(one(session, *id, prepared.0.get(id), refused.remove(id)).boxed());
    }
    let answers = join_all(asking).await;
    if session.client.is_closed() {
        let why = answers.iter().find_map(|(_, answer)| answer.as_ref().err().filter(|fault| ends(fault)));
        return Err(why.cloned().unwrap_or_else(|| Fault::Unreachable {
            what: session.what.to_string(),
            why: "the connection was closed".into(),
        }));
    }
    Ok(answers)
}

/// The answer to one survey, or why there is none.
async fn one(
    session: &Session,
    id: SurveyId,
    statement: Option<&Statement>,
    refused: Option<Fault>,
) -> (SurveyId, Result<Rows, Fault>) {
    let survey = metric::survey(id);
    let Some(statement) = statement else {
        let why = || Fault::Unsupported { what: survey.name().into(), why: "it was not prepared".into() };
        return (id, Err(refused.unwrap_or_else(why)));
    };
    let answer = match session.client.query(statement, &[]).await {
        Ok(rows) => decode::rows(id, &rows).map_err(|error| Fault::Malformed {
            what: format!("{} of {}", survey.name(), session.what),
            place: "its answer".into(),
            why: error.to_string(),
        }),
        Err(error) => Err(failed(session, survey, &error)),
    };
    (id, answer)
}

fn ends(fault: &Fault) -> bool {
    matches!(fault, Fault::Unreachable { .. })
}

/// Prepares what is not yet prepared; returns what could not be.
async fn prepare(session: &Session, prepared: &mut Prepared, asked: &[SurveyId]) -> BTreeMap<SurveyId, Fault> {
    let mut missing: Vec<BoxFuture<'_, (SurveyId, Result<Statement, Fault>)>> = Vec::new();
    for id in asked.iter().filter(|id| !prepared.0.contains_key(id)) {
        missing.push(prepare_one(session, *id).boxed());
    }
    let mut refused = BTreeMap::new();
    for (id, statement) in join_all(missing).await {
        match statement {
            Ok(statement) => drop(prepared.0.insert(id, statement)),
            Err(fault) => drop(refused.insert(id, fault)),
        }
    }
    refused
}

async fn prepare_one(session: &Session, id: SurveyId) -> (SurveyId, Result<Statement, Fault>) {
    let survey = metric::survey(id);
    let Some(sql) = survey.sql_for(session.major) else {
        let why = format!("Postgres {} has no SQL for it", session.version);
        return (id, Err(Fault::Unsupported { what: format!("{} of {}", survey.name(), session.what), why }));
    };
    let statement = session.client.prepare(sql).await;
    (id, statement.map_err(|error| failed(session, survey, &error)))
}

fn failed(session: &Session, survey: &Survey, error: &tokio_postgres::Error) -> Fault {
    fault::of_asking(&session.what, survey, session.major, session.manners.statement_timeout, error)
}
