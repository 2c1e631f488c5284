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
    sql: &[],
};

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
