//! WAL archiving: what is configured, what it did last, whether it fails: `pg_stat_archiver` and settings.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::lsn::{Bytes, Lsn};
use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::Text;

/// The archiver of one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Archiver {
    /// `archive_mode`: `off`, `on`, `always`.
    pub mode: Text,
    /// `archive_command` as in force, with what may be a secret hidden; may hold outside text.
    pub command: Text,
    /// `archive_library` (15+).
    pub library: Option<Text>,
    pub archived: i64,
    pub last_archived_wal: Option<Text>,
    pub last_archived: Option<Timestamp>,
    pub failed: i64,
    pub last_failed_wal: Option<Text>,
    pub last_failed: Option<Timestamp>,
    /// `wal_segment_size`, in bytes.
    pub segment_size: u64,
}

/// What archiving really does. `archive_mode=on` proves nothing: Spilo always sets it, with `/bin/true` when off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Archiving {
    Off,
    On,
    Failing,
}

impl Archiver {
    /// Off if the mode or a command that does nothing says so; failing if the last attempt failed.
    pub fn archiving(&self) -> Archiving {
        let idle = matches!(self.command.trim(), "" | "/bin/true" | "true" | ":" | "(disabled)");
        let has_library = self.library.as_deref().is_some_and(|library| !library.is_empty());
        if &*self.mode == "off" || (idle && !has_library) {
            Archiving::Off
        } else if self.last_failed.is_some() && self.last_failed > self.last_archived {
            Archiving::Failing
        } else {
            Archiving::On
        }
    }

    /// WAL that was written until `written` and is not archived yet: what lies behind the end of the segment that was archived
    /// last, the one being written included. None where no segment was archived since the counters were reset.
    pub fn behind(&self, written: Lsn) -> Option<Bytes> {
        let archived = end(self.last_archived_wal.as_deref()?, self.segment_size)?;
        Some(archived.behind(written))
    }
}

/// Where a segment ends, by its name: timeline, and position in two parts, eight hexadecimal digits each
/// (<https://www.postgresql.org/docs/current/wal-internals.html>). None for histories of timelines; a backup's label counts as
/// the segment it began in.
fn end(name: &str, size: u64) -> Option<Lsn> {
    let part = |at: usize| u64::from_str_radix(name.get(at..at + 8)?, 16).ok();
    let (_, high, low) = (part(0)?, part(8)?, part(16)?);
    let per_high = (1_u64 << 32).checked_div(size)?;
    Some(Lsn((high * per_high + low + 1) * size))
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Archiver,
    doc: "WAL archiving: settings in force, last success and failure",
    every: Duration::from_secs(2),
    asked: Asked::OnPrimary,
    needs: "pg_monitor",
    sql: &[(12, SQL)],
};

const SQL: &str = "select current_setting('archive_mode') as mode,
    current_setting('archive_command') as command,
    current_setting('archive_library', true) as library,
    a.archived_count as archived,
    a.last_archived_wal,
    a.last_archived_time as last_archived,
    a.failed_count as failed,
    a.last_failed_wal,
    a.last_failed_time as last_failed,
    pg_size_bytes(current_setting('wal_segment_size')) as segment_size
from pg_stat_archiver a";

pub(super) const METRICS: &[Metric] = &[Metric {
    id: "archive_failures",
    unit: Unit::Count,
    survey: SurveyId::Archiver,
    doc: "failed attempts to archive a WAL segment since the counters were reset (pg_stat_archiver.failed_count)",
}];

pub(super) fn read(archiver: &Archiver) -> Vec<Reading> {
    vec![Reading { metric: "archive_failures", label: Text::from(""), value: archiver.failed as f64 }]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One that archives, and has archived that segment last; or fails since.
    pub(crate) fn archiver(failed: bool, last: &str) -> Archiver {
        let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
        Archiver {
            mode: "on".into(),
            command: "cp %p /archive/%f".into(),
            library: None,
            archived: 1,
            last_archived_wal: Some(last.into()),
            last_archived: at(1),
            failed: i64::from(failed),
            last_failed_wal: None,
            last_failed: if failed { at(2) } else { None },
            segment_size: 16 << 20,
        }
    }

    fn check(mode: &str, command: &str, failed: Option<i64>, archived: Option<i64>, expected: Archiving) {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let archiver = Archiver {
            mode: mode.into(),
            command: command.into(),
            last_archived: archived.map(at),
            last_failed: failed.map(at),
            ..archiver(false, "")
        };
        assert_eq!(archiver.archiving(), expected, "{mode} {command}");
    }

    #[test]
    fn a_segment_ends_where_its_name_says() {
        let at = |name: &str| end(name, 16 << 20).map(|end| end.to_string());
        assert_eq!(at("000000020000000000000003").as_deref(), Some("0/4000000"));
        assert_eq!(at("0000000200000001000000FF").as_deref(), Some("2/0"));
        assert_eq!(at("000000020000000000000003.00000028.backup").as_deref(), Some("0/4000000"));
        assert_eq!(at("00000002.history"), None);
        assert_eq!(end("000000010000000000000001", 64 << 20), Some(Lsn(128 << 20)));
        assert_eq!(end("000000010000000000000001", 0), None);
    }

    #[test]
    fn archiving_is_what_the_command_does_not_what_the_mode_says() {
        let walg = r#"envdir "/run/etc/wal-e.d/env" wal-g wal-push "%p""#;
        check("on", "/bin/true", None, Some(1), Archiving::Off);
        check("off", "(disabled)", None, None, Archiving::Off);
        check("on", walg, None, None, Archiving::On);
        check("on", walg, Some(1), Some(2), Archiving::On);
        check("on", walg, Some(3), Some(2), Archiving::Failing);
        check("on", walg, Some(3), None, Archiving::Failing);
    }
}
