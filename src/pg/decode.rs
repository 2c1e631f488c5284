//! From rows of Postgres to the rows of a survey.
//!
//! Text is read leniently: `pg_stat_activity` shows queries in the encoding of their own database, which need not be ours.

use std::error::Error;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, PgLsn, Type};

use crate::id::Text;
use crate::metric::activity::{Backend, Progress};
use crate::metric::archiver::Archiver;
use crate::metric::lsn::{Bytes, Lsn};
use crate::metric::replication::WalSender;
use crate::metric::slots::Slot;
use crate::metric::storage::Storage;
use crate::metric::subscription::{Origin, Subscription};
use crate::metric::vitals::{Receiver, Replay, Vitals};
use crate::metric::{Rows, SurveyId};
use crate::work::secrets;

/// The answer has not the form that the survey expects.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{0}")]
    Column(#[from] tokio_postgres::Error),
    #[error("no row where one must be")]
    NoRow,
    #[error("{column} is {value}, which cannot be")]
    Value { column: &'static str, value: String },
}

/// Reads the answer of a survey.
pub fn rows(survey: SurveyId, rows: &[Row]) -> Result<Rows, Unreadable> {
    let first = || rows.first().ok_or(Unreadable::NoRow);
    Ok(match survey {
        SurveyId::Vitals => Rows::Vitals(Box::new(vitals(first()?)?)),
        SurveyId::Replication => Rows::Replication(each(rows, wal_sender)?),
        SurveyId::Slots => Rows::Slots(each(rows, slot)?),
        SurveyId::Origins => Rows::Origins(each(rows, origin)?),
        SurveyId::Subscriptions => Rows::Subscriptions(each(rows, subscription)?),
        SurveyId::Archiver => Rows::Archiver(archiver(first()?)?),
        SurveyId::Activity => Rows::Activity(each(rows, backend)?),
        SurveyId::Progress => Rows::Progress(each(rows, progress)?),
        SurveyId::Storage => Rows::Storage(storage(rows)?),
    })
}

fn each<T>(rows: &[Row], read: fn(&Row) -> Result<T, Unreadable>) -> Result<Vec<T>, Unreadable> {
    rows.iter().map(read).collect()
}

fn vitals(row: &Row) -> Result<Vitals, Unreadable> {
    Ok(Vitals {
        version: count(row, "version")?,
        system: row.try_get::<_, Option<i64>>("system")?.map(i64::cast_unsigned),
        in_recovery: row.try_get("in_recovery")?,
        timeline: row.try_get::<_, Option<i32>>("timeline")?.map(i32::cast_unsigned),
        started: row.try_get("started")?,
        clock: row.try_get("clock")?,
        written: lsn(row, "written")?,
        received: lsn(row, "received")?,
        replayed: lsn(row, "replayed")?,
        replayed_commit: row.try_get::<_, Option<Timestamp>>("replayed_commit")?,
        replay: replay(row)?,
        receiver: receiver(row)?,
        connections: count(row, "connections")?,
        max_connections: count(row, "max_connections")?,
        loaded: row.try_get("loaded")?,
        remote_apply: row.try_get("remote_apply")?,
        oldest_transaction: row.try_get("oldest_transaction")?,
        xid_age: u64::try_from(row.try_get::<_, i64>("xid_age")?).unwrap_or(0),
        pending_restart: row.try_get::<_, Vec<Lenient>>("pending_restart")?.into_iter().map(|name| name.0).collect(),
        synchronous_standby_names: text(row, "synchronous_standby_names")?,
        writable: row.try_get("writable")?,
    })
}

fn replay(row: &Row) -> Result<Replay, Unreadable> {
    match maybe_text(row, "replay")?.as_deref() {
        None => Ok(Replay::NotApplicable),
        Some("not paused") => Ok(Replay::Running),
        Some("pause requested") => Ok(Replay::PauseRequested),
        Some("paused") => Ok(Replay::Paused),
        Some(other) => Err(Unreadable::Value { column: "replay", value: other.into() }),
    }
}

fn receiver(row: &Row) -> Result<Option<Receiver>, Unreadable> {
    let Some(status) = maybe_text(row, "receiver_status")? else { return Ok(None) };
    Ok(Some(Receiver {
        status,
        sender_host: maybe_text(row, "receiver_host")?,
        sender_port: row.try_get("receiver_port")?,
        slot: maybe_text(row, "receiver_slot")?,
        latest_end: lsn(row, "receiver_end")?,
        last_message: row.try_get("receiver_message")?,
    }))
}

fn wal_sender(row: &Row) -> Result<WalSender, Unreadable> {
    Ok(WalSender {
        pid: row.try_get("pid")?,
        user: maybe_text(row, "user")?,
        application_name: text(row, "application_name")?,
        client: maybe_text(row, "client")?,
        state: maybe_text(row, "state")?,
        sent: lsn(row, "sent")?,
        written: lsn(row, "written")?,
        flushed: lsn(row, "flushed")?,
        replayed: lsn(row, "replayed")?,
        sync_state: maybe_text(row, "sync_state")?,
        replay_lag: row.try_get("replay_lag")?,
        reply: row.try_get("reply")?,
        slot: maybe_text(row, "slot")?,
        logical: row.try_get("logical")?,
        reference: lsn(row, "reference")?,
    })
}

fn slot(row: &Row) -> Result<Slot, Unreadable> {
    Ok(Slot {
        name: text(row, "name")?,
        logical: row.try_get("logical")?,
        plugin: maybe_text(row, "plugin")?,
        database: maybe_text(row, "database")?,
        active: row.try_get("active")?,
        temporary: row.try_get("temporary")?,
        restart: lsn(row, "restart")?,
        confirmed_flush: lsn(row, "confirmed_flush")?,
        wal_status: maybe_text(row, "wal_status")?,
        safe_wal: row.try_get("safe_wal")?,
        retained: bytes(row, "retained")?,
        inactive_since: row.try_get("inactive_since")?,
        invalidation: maybe_text(row, "invalidation")?,
        failover: row.try_get("failover")?,
        synced: row.try_get("synced")?,
    })
}

fn origin(row: &Row) -> Result<Origin, Unreadable> {
    let position = |column| Ok::<_, Unreadable>(Lsn(u64::from(row.try_get::<_, PgLsn>(column)?)));
    Ok(Origin { name: maybe_text(row, "name")?, remote: position("remote")?, local: position("local")? })
}

fn subscription(row: &Row) -> Result<Subscription, Unreadable> {
    Ok(Subscription {
        name: text(row, "name")?,
        database: maybe_text(row, "database")?,
        enabled: row.try_get("enabled")?,
        pid: row.try_get("pid")?,
        received: lsn(row, "received")?,
        latest_end: lsn(row, "latest_end")?,
        last_message: row.try_get("last_message")?,
        n_syncing: count(row, "n_syncing")?,
        apply_errors: row.try_get("apply_errors")?,
        sync_errors: row.try_get("sync_errors")?,
    })
}

fn archiver(row: &Row) -> Result<Archiver, Unreadable> {
    Ok(Archiver {
        mode: text(row, "mode")?,
        command: secrets::setting("archive_command", &text(row, "command")?).into(),
        library: maybe_text(row, "library")?,
        archived: row.try_get("archived")?,
        last_archived_wal: maybe_text(row, "last_archived_wal")?,
        last_archived: row.try_get("last_archived")?,
        failed: row.try_get("failed")?,
        last_failed_wal: maybe_text(row, "last_failed_wal")?,
        last_failed: row.try_get("last_failed")?,
        segment_size: u64::try_from(row.try_get::<_, i64>("segment_size")?).unwrap_or(0),
    })
}

fn backend(row: &Row) -> Result<Backend, Unreadable> {
    Ok(Backend {
        pid: row.try_get("pid")?,
        kind: text(row, "kind")?,
        database: maybe_text(row, "database")?,
        user: maybe_text(row, "user")?,
        application_name: text(row, "application_name")?,
        client: maybe_text(row, "client")?,
        state: maybe_text(row, "state")?,
        wait: maybe_text(row, "wait")?,
        state_age: row.try_get("state_age")?,
        transaction_age: row.try_get("transaction_age")?,
        query_age: row.try_get("query_age")?,
        blocked_by: row.try_get("blocked_by")?,
        query: text(row, "query")?,
        started: row.try_get("started")?,
        query_started: row.try_get("query_started")?,
    })
}

fn progress(row: &Row) -> Result<Progress, Unreadable> {
    Ok(Progress {
        pid: row.try_get("pid")?,
        command: text(row, "command")?,
        database: maybe_text(row, "database")?,
        target: maybe_text(row, "target")?,
        phase: text(row, "phase")?,
        done: row.try_get("done")?,
        total: row.try_get("total")?,
        counted: text(row, "counted")?,
    })
}

/// One row a database, and one with the WAL's size in place of a name.
fn storage(rows: &[Row]) -> Result<Storage, Unreadable> {
    let mut storage = Storage { databases: Vec::new(), n_hidden: 0, wal: None };
    for row in rows {
        match (maybe_text(row, "database")?, bytes(row, "size")?) {
            (Some(name), Some(size)) => storage.databases.push((name, size)),
            (Some(_), None) => storage.n_hidden += 1,
            (None, _) => storage.wal = bytes(row, "wal")?,
        }
    }
    Ok(storage)
}

fn text(row: &Row, column: &str) -> Result<Text, Unreadable> {
    Ok(row.try_get::<_, Lenient>(column)?.0)
}

fn maybe_text(row: &Row, column: &str) -> Result<Option<Text>, Unreadable> {
    Ok(row.try_get::<_, Option<Lenient>>(column)?.map(|text| text.0))
}

fn lsn(row: &Row, column: &str) -> Result<Option<Lsn>, Unreadable> {
    Ok(row.try_get::<_, Option<PgLsn>>(column)?.map(|position| Lsn(position.into())))
}

fn bytes(row: &Row, column: &str) -> Result<Option<Bytes>, Unreadable> {
    Ok(row.try_get::<_, Option<i64>>(column)?.and_then(|bytes| u64::try_from(bytes).ok()).map(Bytes))
}

fn count(row: &Row, column: &'static str) -> Result<u32, Unreadable> {
    let value: i32 = row.try_get(column)?;
    u32::try_from(value).map_err(|_negative| Unreadable::Value { column, value: value.to_string() })
}

/// Text in any encoding: what is not UTF-8 reads as U+FFFD.
struct Lenient(Text);

impl FromSql<'_> for Lenient {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Lenient(String::from_utf8_lossy(raw).into()))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::NAME | Type::VARCHAR | Type::BPCHAR | Type::UNKNOWN)
    }
}
