//! How much the cluster stores: databases and the WAL directory, every five minutes on the primary.

use std::time::Duration;

use serde::Serialize;

use super::lsn::Bytes;
use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::{DbName, Text};

/// What one server stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Storage {
    /// Size of each database; databases that the role may not look into are absent and counted in `n_hidden`.
    pub databases: Vec<(DbName, Bytes)>,
    pub n_hidden: u32,
    /// Size of the WAL directory (`pg_ls_waldir`).
    pub wal: Option<Bytes>,
}

impl Storage {
    /// Databases and WAL together.
    pub fn total(&self) -> Bytes {
        Bytes(self.databases.iter().map(|(_, size)| size.0).sum::<u64>() + self.wal.map_or(0, |wal| wal.0))
    }
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Storage,
    doc: "sizes of the databases and of the WAL directory",
    every: Duration::from_secs(300),
    asked: Asked::OnPrimary,
    needs: "pg_monitor",
    sql: &[(12, SQL)],
};

const SQL: &str = "select datname as database,
    case when has_database_privilege(oid, 'connect') or pg_has_role('pg_read_all_stats', 'usage')
        then pg_database_size(oid) end as size,
    null::int8 as wal
from pg_database
union all
select null, null, sum(size)::int8 from pg_ls_waldir()
order by 1";

pub(super) const METRICS: &[Metric] = &[
    Metric {
        id: "database_size",
        unit: Unit::Bytes,
        survey: SurveyId::Storage,
        doc: "size of one database on disk (pg_database_size)",
    },
    Metric {
        id: "wal_size",
        unit: Unit::Bytes,
        survey: SurveyId::Storage,
        doc: "size of all files in the WAL directory (pg_ls_waldir)",
    },
];

pub(super) fn read(storage: &Storage) -> Vec<Reading> {
    let databases = storage.databases.iter().map(|(name, size)| Reading {
        metric: "database_size",
        label: name.clone(),
        value: size.0 as f64,
    });
    let wal = storage.wal.map(|wal| Reading { metric: "wal_size", label: Text::from(""), value: wal.0 as f64 });
    databases.chain(wal).collect()
}
