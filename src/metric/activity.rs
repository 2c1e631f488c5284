//! What runs on a server now: backends, who blocks whom, and progress of long commands.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{Asked, Survey, SurveyId};
use crate::id::{DbName, Text};

/// One row of `pg_stat_activity`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backend {
    pub pid: i32,
    pub kind: Text,
    pub database: Option<DbName>,
    pub user: Option<Text>,
    /// Outside text.
    pub application_name: Text,
    pub client: Option<Text>,
    /// `active`, `idle`, `idle in transaction`, …
    pub state: Option<Text>,
    pub wait: Option<Text>,
    /// Seconds since the state began, the transaction began, the query began.
    pub state_age: Option<f64>,
    pub transaction_age: Option<f64>,
    pub query_age: Option<f64>,
    /// The pids that block it, from `pg_blocking_pids`.
    pub blocked_by: Vec<i32>,
    /// The beginning of its query; outside text.
    pub query: Text,
    pub started: Option<Timestamp>,
}

/// One long command under way, from the `pg_stat_progress_*` views.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    pub pid: i32,
    /// `vacuum`, `basebackup`, `copy`, `create index`, `analyze`, `cluster`.
    pub command: Text,
    pub database: Option<DbName>,
    pub target: Option<Text>,
    pub phase: Text,
    pub done: Option<i64>,
    pub total: Option<i64>,
    /// What is counted: `blocks`, `bytes`, `tuples`.
    pub counted: Text,
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Activity,
    doc: "what each backend does, for how long, and which pids block it",
    every: Duration::from_secs(2),
    asked: Asked::OnDemand,
    needs: "pg_monitor",
    sql: &[],
};

pub(super) const PROGRESS: Survey = Survey {
    id: SurveyId::Progress,
    doc: "progress of vacuum, base backup, copy and index builds",
    every: Duration::from_secs(2),
    asked: Asked::OnDemand,
    needs: "pg_monitor",
    sql: &[],
};
