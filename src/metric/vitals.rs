//! The server itself: role, timeline, WAL positions, replay, connections, age of transactions.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::lsn::{Bytes, Lsn};
use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::Text;

/// One server at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vitals {
    /// `server_version_num`, such as 150018.
    pub version: u32,
    /// From `pg_control_system()`: the same for every member of a cluster.
    pub system: Option<u64>,
    pub in_recovery: bool,
    /// The timeline being written (primary) or replayed (standby).
    pub timeline: Option<u32>,
    pub started: Timestamp,
    /// When the configuration was read last.
    pub loaded: Timestamp,
    /// Commits wait until standbys have replayed them, by the usual setting or one of a role or database.
    pub remote_apply: bool,
    /// The server's own clock when it answered.
    pub clock: Timestamp,
    /// Primary: the current write position.
    pub written: Option<Lsn>,
    /// Standby: received and flushed by the WAL receiver.
    pub received: Option<Lsn>,
    /// Standby: replayed.
    pub replayed: Option<Lsn>,
    /// Standby: commit time of the last replayed transaction, by the primary's clock.
    pub replayed_commit: Option<Timestamp>,
    /// Standby: whether replay is paused.
    pub replay: Replay,
    /// Standby: the WAL receiver, if one runs.
    pub receiver: Option<Receiver>,
    /// Client backends connected now.
    pub connections: u32,
    pub max_connections: u32,
    /// Seconds since the oldest open transaction began.
    pub oldest_transaction: Option<f64>,
    /// The greatest age of a database's `datfrozenxid`, in transactions.
    pub xid_age: u64,
    /// Names of settings that wait for a restart.
    pub pending_restart: Vec<Text>,
    pub synchronous_standby_names: Text,
    /// `pg_is_in_recovery()` false and `transaction_read_only` off: it takes writes.
    pub writable: bool,
}

impl Vitals {
    /// The major version, such as 15.
    pub fn major(&self) -> u16 {
        u16::try_from(self.version / 10_000).unwrap_or(u16::MAX)
    }

    /// The version as people write it: `15.18`.
    pub fn version_text(&self) -> String {
        format!("{}.{}", self.version / 10_000, self.version % 10_000)
    }

    /// The newest position this server has: written on a primary, else received or replayed, whichever is further.
    pub fn position(&self) -> Option<Lsn> {
        self.written.or(self.received.max(self.replayed))
    }

    /// Received but not yet replayed.
    pub fn replay_backlog(&self) -> Option<Bytes> {
        Some(self.replayed?.behind(self.received?))
    }
}

/// Whether a standby replays, from `pg_get_wal_replay_pause_state()` (14+) or `pg_is_wal_replay_paused()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// A primary does not replay.
    NotApplicable,
    Running,
    PauseRequested,
    Paused,
}

/// A standby's WAL receiver, from `pg_stat_wal_receiver`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receiver {
    pub status: Text,
    pub sender_host: Option<Text>,
    pub sender_port: Option<i32>,
    pub slot: Option<Text>,
    pub latest_end: Option<Lsn>,
    pub last_message: Option<Timestamp>,
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Vitals,
    doc: "role, timeline, WAL positions, replay, connections and transaction ages of one server",
    every: Duration::from_secs(2),
    asked: Asked::Everywhere,
    needs: "pg_monitor",
    sql: &[(12, SQL_12), (14, SQL_14)],
};

/// `$pause` reads the state of replay as `pg_get_wal_replay_pause_state()` words it.
macro_rules! vitals {
    ($pause:literal) => {
        concat!(
            "select current_setting('server_version_num')::int4 as version,
    (select system_identifier from pg_control_system()) as system,
    r.in_recovery,
    case when r.in_recovery
        then greatest(
            (select received_tli from pg_stat_wal_receiver),
            (select nullif(min_recovery_end_timeline, 0) from pg_control_recovery()),
            (select timeline_id from pg_control_checkpoint()))
        else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int4
        end as timeline,
    pg_postmaster_start_time() as started,
    pg_conf_load_time() as loaded,
    current_setting('synchronous_commit') = 'remote_apply' or exists (
        select from pg_db_role_setting where 'synchronous_commit=remote_apply' = any (setconfig)) as remote_apply,
    clock_timestamp() as clock,
    case when not r.in_recovery then pg_current_wal_lsn() end as written,
    case when r.in_recovery then pg_last_wal_receive_lsn() end as received,
    case when r.in_recovery then pg_last_wal_replay_lsn() end as replayed,
    case when r.in_recovery then pg_last_xact_replay_timestamp() end as replayed_commit,
    case when r.in_recovery then ",
            $pause,
            " end as replay,
    w.status as receiver_status,
    w.sender_host as receiver_host,
    w.sender_port as receiver_port,
    w.slot_name as receiver_slot,
    w.latest_end_lsn as receiver_end,
    w.last_msg_receipt_time as receiver_message,
    a.connections,
    current_setting('max_connections')::int4 as max_connections,
    extract(epoch from clock_timestamp() - least(a.oldest, (select min(prepared) from pg_prepared_xacts)))::float8
        as oldest_transaction,
    (select max(age(datfrozenxid))::int8 from pg_database) as xid_age,
    s.pending_restart,
    current_setting('synchronous_standby_names') as synchronous_standby_names,
    not r.in_recovery and s.writable as writable
from (select pg_is_in_recovery() as in_recovery) r
left join pg_stat_wal_receiver w on true
cross join (
    select count(*) filter (where backend_type = 'client backend' or backend_type is null and datid is not null)::int4
            as connections,
        min(xact_start) filter (where pid <> pg_backend_pid()) as oldest
    from pg_stat_activity) a
cross join (
    select coalesce(array_agg(name) filter (where pending_restart), '{}') as pending_restart,
        bool_and(reset_val = 'off') filter (where name = 'default_transaction_read_only') as writable
    from pg_settings
    where pending_restart or name = 'default_transaction_read_only') s"
        )
    };
}

const SQL_12: &str = vitals!(
    "(select case when not pg_is_wal_replay_paused() then 'not paused'
            when exists (select from pg_stat_activity
                where backend_type = 'startup' and wait_event in ('RecoveryPause', 'RecoveryWalStream', 'RecoveryWalAll'))
            then 'paused' else 'pause requested' end)"
);
const SQL_14: &str = vitals!("pg_get_wal_replay_pause_state()");

pub(super) const METRICS: &[Metric] = &[
    Metric {
        id: "connections",
        unit: Unit::Count,
        survey: SurveyId::Vitals,
        doc: "client backends connected now (pg_stat_activity, backend_type = 'client backend')",
    },
    Metric {
        id: "oldest_transaction",
        unit: Unit::Seconds,
        survey: SurveyId::Vitals,
        doc: "time since the oldest open transaction began (pg_stat_activity.xact_start)",
    },
    Metric {
        id: "xid_age",
        unit: Unit::Transactions,
        survey: SurveyId::Vitals,
        doc: "the greatest age(datfrozenxid) of a database; Postgres stops writes near 2 billion",
    },
    Metric {
        id: "wal_position",
        unit: Unit::Bytes,
        survey: SurveyId::Vitals,
        doc: "WAL written (primary) or received (standby) since the beginning; its rate is the WAL generation rate",
    },
    Metric {
        id: "replay_backlog",
        unit: Unit::Bytes,
        survey: SurveyId::Vitals,
        doc: "WAL a standby has received and not yet replayed (pg_last_wal_receive_lsn - pg_last_wal_replay_lsn)",
    },
];

pub(super) fn read(vitals: &Vitals) -> Vec<Reading> {
    let reading = |metric, value| Reading { metric, label: Text::from(""), value };
    let mut readings =
        vec![reading("connections", f64::from(vitals.connections)), reading("xid_age", vitals.xid_age as f64)];
    readings.extend(vitals.oldest_transaction.map(|seconds| reading("oldest_transaction", seconds)));
    readings.extend(vitals.position().map(|lsn| reading("wal_position", lsn.0 as f64)));
    readings.extend(vitals.replay_backlog().map(|bytes| reading("replay_backlog", bytes.0 as f64)));
    readings
}
