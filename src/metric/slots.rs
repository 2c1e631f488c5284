//! Replication slots: what they retain and whether they still hold: `pg_replication_slots`.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::lsn::{Bytes, Lsn};
use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::{DbName, Text};

/// One row of `pg_replication_slots`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slot {
    pub name: Text,
    pub logical: bool,
    pub plugin: Option<Text>,
    pub database: Option<DbName>,
    pub active: bool,
    pub temporary: bool,
    pub restart: Option<Lsn>,
    pub confirmed_flush: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost` (13+).
    pub wal_status: Option<Text>,
    /// Bytes that may still be written before the slot is in danger (13+, null when unlimited).
    pub safe_wal: Option<i64>,
    /// Bytes of WAL kept for it: the server's position minus `restart_lsn`.
    pub retained: Option<Bytes>,
    /// Since when it is not in use (17+).
    pub inactive_since: Option<Timestamp>,
    /// Why it was invalidated (17+; 16: `conflicting` reads as `conflict`).
    pub invalidation: Option<Text>,
    /// It follows a failover (17+).
    pub failover: Option<bool>,
    /// It is a synchronised copy on a standby (17+).
    pub synced: Option<bool>,
}

impl Slot {
    /// Its WAL is gone, or the server has invalidated it: a consumer cannot go on.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost") || self.invalidation.is_some()
    }
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Slots,
    doc: "replication slots: in use or not, what they retain, whether their WAL still exists",
    every: Duration::from_secs(2),
    asked: Asked::Everywhere,
    needs: "pg_monitor",
    sql: &[(12, SQL_12), (13, SQL_13), (16, SQL_16), (17, SQL_17)],
};

/// `$wal` and `$invalidation` are the columns that came with 13 and with 16 and 17, or nulls in their place.
macro_rules! slots {
    ($wal:literal, $invalidation:literal) => {
        concat!(
            "select s.slot_name as name,
    s.slot_type = 'logical' as logical,
    s.plugin,
    s.database,
    s.active,
    s.temporary,
    s.restart_lsn as restart,
    s.confirmed_flush_lsn as confirmed_flush,
    greatest(pg_wal_lsn_diff(case when pg_is_in_recovery()
            then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            else pg_current_wal_lsn() end, s.restart_lsn), 0)::int8 as retained,
    ",
            $wal,
            ",
    ",
            $invalidation,
            "
from pg_replication_slots s
order by s.slot_name"
        )
    };
}

const SQL_12: &str = slots!(
    "null::text as wal_status, null::int8 as safe_wal",
    "null::timestamptz as inactive_since, null::text as invalidation, null::bool as failover, null::bool as synced"
);
const SQL_13: &str = slots!(
    "s.wal_status, s.safe_wal_size as safe_wal",
    "null::timestamptz as inactive_since, null::text as invalidation, null::bool as failover, null::bool as synced"
);
const SQL_16: &str = slots!(
    "s.wal_status, s.safe_wal_size as safe_wal",
    "null::timestamptz as inactive_since, case when s.conflicting then 'conflict' end as invalidation,
    null::bool as failover, null::bool as synced"
);
const SQL_17: &str = slots!(
    "s.wal_status, s.safe_wal_size as safe_wal",
    "s.inactive_since, s.invalidation_reason as invalidation, s.failover, s.synced"
);

pub(super) const METRICS: &[Metric] = &[Metric {
    id: "slot_retained",
    unit: Unit::Bytes,
    survey: SurveyId::Slots,
    doc: "WAL kept on disk for a slot: the server's position minus pg_replication_slots.restart_lsn",
}];

pub(super) fn read(slots: &[Slot]) -> Vec<Reading> {
    slots
        .iter()
        .filter_map(|slot| {
            Some(Reading { metric: "slot_retained", label: slot.name.clone(), value: slot.retained?.0 as f64 })
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One that is whole, and read by nobody.
    pub fn logical(name: &str) -> Slot {
        Slot {
            name: name.into(),
            logical: true,
            plugin: None,
            database: None,
            active: false,
            temporary: false,
            restart: None,
            confirmed_flush: None,
            wal_status: Some("reserved".into()),
            safe_wal: None,
            retained: None,
            inactive_since: None,
            invalidation: None,
            failover: None,
            synced: None,
        }
    }
}
