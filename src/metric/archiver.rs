//! WAL archiving: what is configured, what it did last, whether it fails: `pg_stat_archiver` and settings.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::Text;

/// The archiver of one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Archiver {
    /// `archive_mode`: `off`, `on`, `always`.
    pub mode: Text,
    /// `archive_command` as in force; may hold outside text.
    pub command: Text,
    /// `archive_library` (15+).
    pub library: Option<Text>,
    pub archived: i64,
    pub last_archived_wal: Option<Text>,
    pub last_archived: Option<Timestamp>,
    pub failed: i64,
    pub last_failed_wal: Option<Text>,
    pub last_failed: Option<Timestamp>,
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
    a.last_failed_time as last_failed
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
mod tests {
    use super::*;

    fn check(mode: &str, command: &str, failed: Option<i64>, archived: Option<i64>, expected: Archiving) {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let archiver = Archiver {
            mode: mode.into(),
            command: command.into(),
            library: None,
            archived: 1,
            last_archived_wal: None,
            last_archived: archived.map(at),
            failed: 0,
            last_failed_wal: None,
            last_failed: failed.map(at),
        };
        assert_eq!(archiver.archiving(), expected, "{mode} {command}");
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
