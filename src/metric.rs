//! What we ask Postgres and what the answers mean: surveys, their rows, and the figures read from them.
//!
//! A survey is one question sampled on a period. Each has its SQL (by server version), its variant of [`Rows`], and the
//! metrics derived from the rows. Adding a figure is one SQL column, one field, one row in [`METRICS`].

pub mod lsn;

pub mod activity;
pub mod archiver;
pub mod replication;
pub mod slots;
pub mod storage;
pub mod subscription;
pub mod vitals;

use std::time::Duration;

use serde::Serialize;

use crate::id::Text;
use activity::{Backend, Progress};
use archiver::Archiver;
use replication::WalSender;
use slots::Slot;
use storage::Storage;
use subscription::{Origin, Subscription};
use vitals::Vitals;

/// The surveys, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SurveyId {
    Vitals,
    Replication,
    Slots,
    Origins,
    Subscriptions,
    Archiver,
    Activity,
    Progress,
    Storage,
}

impl SurveyId {
    /// As in messages, tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            SurveyId::Vitals => "vitals",
            SurveyId::Replication => "replication",
            SurveyId::Slots => "slots",
            SurveyId::Origins => "origins",
            SurveyId::Subscriptions => "subscriptions",
            SurveyId::Archiver => "archiver",
            SurveyId::Activity => "activity",
            SurveyId::Progress => "progress",
            SurveyId::Storage => "storage",
        }
    }
}

/// What a survey is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Every instance that a visible row wants.
    Everywhere,
    /// The primary alone.
    OnPrimary,
    /// An instance whose activity is on screen.
    OnDemand,
}

/// One question to a server, asked on a period.
#[derive(Debug)]
pub struct Survey {
    pub id: SurveyId,
    /// What it is for, for the README and the doctor.
    pub doc: &'static str,
    pub every: Duration,
    pub asked: Asked,
    /// The right that lets a monitoring role ask it, as a GRANT or role name.
    pub needs: &'static str,
    /// The SQL by the major version it holds from, ascending; the last one not above the server's version is asked.
    pub sql: &'static [(u16, &'static str)],
}

impl Survey {
    /// Its name in messages, tables and JSON.
    pub fn name(&self) -> &'static str {
        self.id.word()
    }

    /// The right that lets a monitoring role ask it of a server of that major version.
    pub fn needs_on(&self, major: u16) -> &'static str {
        match self.id {
            // Before 14 the functions check for a superuser themselves.
            SurveyId::Origins if major < 14 => "a superuser: before Postgres 14 no GRANT opens replication origins",
            SurveyId::Vitals
            | SurveyId::Replication
            | SurveyId::Slots
            | SurveyId::Origins
            | SurveyId::Subscriptions
            | SurveyId::Archiver
            | SurveyId::Activity
            | SurveyId::Progress
            | SurveyId::Storage => self.needs,
        }
    }

    /// The SQL for a server of that major version; none if the server is too old.
    pub fn sql_for(&self, major: u16) -> Option<&'static str> {
        self.sql.iter().rev().find(|(since, _)| *since <= major).map(|(_, sql)| *sql)
    }
}

/// All surveys, in the order they are pipelined.
pub static SURVEYS: &[Survey] = &[
    vitals::SURVEY,
    replication::SURVEY,
    slots::SURVEY,
    subscription::ORIGINS,
    subscription::SUBSCRIPTIONS,
    archiver::SURVEY,
    activity::SURVEY,
    activity::PROGRESS,
    storage::SURVEY,
];

/// The survey of that name.
pub fn survey(id: SurveyId) -> &'static Survey {
    match id {
        SurveyId::Vitals => &vitals::SURVEY,
        SurveyId::Replication => &replication::SURVEY,
        SurveyId::Slots => &slots::SURVEY,
        SurveyId::Origins => &subscription::ORIGINS,
        SurveyId::Subscriptions => &subscription::SUBSCRIPTIONS,
        SurveyId::Archiver => &archiver::SURVEY,
        SurveyId::Activity => &activity::SURVEY,
        SurveyId::Progress => &activity::PROGRESS,
        SurveyId::Storage => &storage::SURVEY,
    }
}

/// The answer to one survey, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    Vitals(Box<Vitals>),
    Replication(Vec<WalSender>),
    Slots(Vec<Slot>),
    Origins(Vec<Origin>),
    Subscriptions(Vec<Subscription>),
    Archiver(Archiver),
    Activity(Vec<Backend>),
    Progress(Vec<Progress>),
    Storage(Storage),
}

impl Rows {
    /// The survey that these rows answer.
    pub fn survey(&self) -> SurveyId {
        match self {
            Rows::Vitals(_) => SurveyId::Vitals,
            Rows::Replication(_) => SurveyId::Replication,
            Rows::Slots(_) => SurveyId::Slots,
            Rows::Origins(_) => SurveyId::Origins,
            Rows::Subscriptions(_) => SurveyId::Subscriptions,
            Rows::Archiver(_) => SurveyId::Archiver,
            Rows::Activity(_) => SurveyId::Activity,
            Rows::Progress(_) => SurveyId::Progress,
            Rows::Storage(_) => SurveyId::Storage,
        }
    }
}

/// How a figure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Bytes,
    BytesPerSecond,
    Seconds,
    Count,
    Transactions,
}

impl Unit {
    /// As in tables.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::BytesPerSecond => "bytes a second",
            Unit::Seconds => "seconds",
            Unit::Count => "count",
            Unit::Transactions => "transactions",
        }
    }
}

/// A figure derived from rows: what it is, its unit, and where it comes from.
#[derive(Debug)]
pub struct Metric {
    pub id: &'static str,
    pub unit: Unit,
    pub survey: SurveyId,
    /// Its meaning and the source of its formula, for the README.
    pub doc: &'static str,
}

/// One value of one metric; `label` tells apart several of one instance (a standby's name, a slot).
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub metric: &'static str,
    pub label: Text,
    pub value: f64,
}

/// All metrics, grouped by survey.
pub static METRICS: &[&[Metric]] = &[
    vitals::METRICS,
    replication::METRICS,
    slots::METRICS,
    subscription::METRICS,
    archiver::METRICS,
    storage::METRICS,
];

/// Derives the figures from rows; pure. Activity and progress have none: they are lists.
pub fn read(rows: &Rows) -> Vec<Reading> {
    match rows {
        Rows::Vitals(vitals) => vitals::read(vitals),
        Rows::Replication(senders) => replication::read(senders),
        Rows::Slots(slots) => slots::read(slots),
        Rows::Origins(_) | Rows::Activity(_) | Rows::Progress(_) => Vec::new(),
        Rows::Subscriptions(subscriptions) => subscription::read(subscriptions),
        Rows::Archiver(archiver) => archiver::read(archiver),
        Rows::Storage(storage) => storage::read(storage),
    }
}

/// The metrics as a table for the README.
pub fn table() -> String {
    let rows = METRICS.iter().copied().flatten().map(|metric| {
        let (unit, doc) = (metric.unit.word(), metric.doc.replace('|', "\\|"));
        format!("| `{}` | {unit} | {doc} |\n", metric.id)
    });
    std::iter::once("| figure | unit | what it means |\n|---|---|---|\n".to_owned()).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_survey_stands_once_and_is_documented() {
        let ids: BTreeSet<_> = SURVEYS.iter().map(|survey| survey.id).collect();
        assert_eq!(ids.len(), SURVEYS.len());
        for row in SURVEYS {
            assert_eq!(survey(row.id).id, row.id);
            assert!(row.doc.len() > 10 && !row.needs.is_empty(), "{:?}", row.id);
            assert!(row.sql.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}: versions ascend", row.id);
        }
    }

    #[test]
    fn every_metric_has_one_name_and_a_meaning() {
        let metrics: Vec<_> = METRICS.iter().copied().flatten().collect();
        let ids: BTreeSet<_> = metrics.iter().map(|metric| metric.id).collect();
        assert_eq!(ids.len(), metrics.len());
        assert!(metrics.iter().all(|metric| metric.doc.len() > 20));
    }
}
