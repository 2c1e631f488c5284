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
    /// When its query began: it tells one query from the next.
    pub query_started: Option<Timestamp>,
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
    /// What is counted: `blocks`, `bytes`, `tuples`, `indexes`.
    pub counted: Text,
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Activity,
    doc: "what each backend does, for how long, and which pids block it",
    every: Duration::from_secs(2),
    asked: Asked::OnDemand,
    needs: "pg_monitor",
    sql: &[(12, SQL)],
};

// Only waiting backends are asked for their blockers: that takes locks inside the server.
const SQL: &str = "select pid,
    coalesce(backend_type, '') as kind,
    datname as database,
    usename as user,
    coalesce(application_name, '') as application_name,
    coalesce(host(client_addr) || ':' || client_port, client_hostname) as client,
    state,
    wait_event_type || ':' || wait_event as wait,
    extract(epoch from clock_timestamp() - state_change)::float8 as state_age,
    extract(epoch from clock_timestamp() - xact_start)::float8 as transaction_age,
    extract(epoch from clock_timestamp() - query_start)::float8 as query_age,
    case when wait_event_type = 'Lock' then pg_blocking_pids(pid) else '{}' end as blocked_by,
    coalesce(left(query, 1000), '') as query,
    backend_start as started,
    query_start as query_started
from pg_stat_activity
where pid <> pg_backend_pid()
order by backend_start, pid";

pub(super) const PROGRESS: Survey = Survey {
    id: SurveyId::Progress,
    doc: "progress of vacuum, base backup, copy and index builds",
    every: Duration::from_secs(2),
    asked: Asked::OnDemand,
    needs: "pg_monitor",
    sql: &[(12, PROGRESS_12), (13, PROGRESS_13), (14, PROGRESS_14), (17, PROGRESS_17)],
};

/// What one progress view tells of a relation, in the columns of [`Progress`]. A relation of another database has no name
/// here.
macro_rules! on_relation {
    ($view:literal, $command:literal, $relation:literal, $phase:literal, $done:literal, $total:literal, $counted:literal) => {
        concat!(
            "select p.pid, ",
            $command,
            " as command, p.datname::text as database,
    case when ",
            $relation,
            " = 0 then null
        when p.datname = current_database() then ",
            $relation,
            "::regclass::text
        else 'relation ' || ",
            $relation,
            " end as target,
    coalesce(",
            $phase,
            ", '') as phase, (",
            $done,
            ")::int8 as done, (",
            $total,
            ")::int8 as total, ",
            $counted,
            " as counted
from ",
            $view,
            " p"
        )
    };
}

macro_rules! since_12 {
    () => {
        concat!(
            on_relation!(
                "pg_stat_progress_create_index",
                "lower(p.command)",
                "p.relid",
                "p.phase",
                "case when p.blocks_total > 0 then p.blocks_done else p.tuples_done end",
                "case when p.blocks_total > 0 then p.blocks_total else nullif(p.tuples_total, 0) end",
                "case when p.blocks_total > 0 then 'blocks' else 'tuples' end"
            ),
            "\nunion all\n",
            on_relation!(
                "pg_stat_progress_cluster",
                "lower(p.command)",
                "p.relid",
                "p.phase",
                "p.heap_blks_scanned",
                "nullif(p.heap_blks_total, 0)",
                "'blocks'"
            )
        )
    };
}

macro_rules! since_13 {
    () => {
        concat!(
            since_12!(),
            "\nunion all\n",
            on_relation!(
                "pg_stat_progress_analyze",
                "'analyze'",
                "p.relid",
                "p.phase",
                "p.sample_blks_scanned",
                "nullif(p.sample_blks_total, 0)",
                "'blocks'"
            ),
            "
union all
select p.pid, 'basebackup', null, null, coalesce(p.phase, ''), p.backup_streamed, p.backup_total, 'bytes'
from pg_stat_progress_basebackup p"
        )
    };
}

macro_rules! since_14 {
    () => {
        concat!(
            since_13!(),
            "\nunion all\n",
            on_relation!(
                "pg_stat_progress_copy",
                "lower(p.command)",
                "p.relid",
                "lower(p.type)",
                "p.bytes_processed",
                "nullif(p.bytes_total, 0)",
                "'bytes'"
            )
        )
    };
}

macro_rules! vacuum_12 {
    () => {
        on_relation!(
            "pg_stat_progress_vacuum",
            "'vacuum'",
            "p.relid",
            "p.phase",
            "case when p.phase = 'vacuuming heap' then p.heap_blks_vacuumed else p.heap_blks_scanned end",
            "p.heap_blks_total",
            "'blocks'"
        )
    };
}

macro_rules! vacuum_17 {
    () => {
        on_relation!(
            "pg_stat_progress_vacuum",
            "'vacuum'",
            "p.relid",
            "p.phase",
            "case when p.phase in ('vacuuming indexes', 'cleaning up indexes') then p.indexes_processed
        when p.phase = 'vacuuming heap' then p.heap_blks_vacuumed else p.heap_blks_scanned end",
            "case when p.phase in ('vacuuming indexes', 'cleaning up indexes') then p.indexes_total else p.heap_blks_total end",
            "case when p.phase in ('vacuuming indexes', 'cleaning up indexes') then 'indexes' else 'blocks' end"
        )
    };
}

const PROGRESS_12: &str = concat!(vacuum_12!(), "\nunion all\n", since_12!());
const PROGRESS_13: &str = concat!(vacuum_12!(), "\nunion all\n", since_13!());
const PROGRESS_14: &str = concat!(vacuum_12!(), "\nunion all\n", since_14!());
const PROGRESS_17: &str = concat!(vacuum_17!(), "\nunion all\n", since_14!());
