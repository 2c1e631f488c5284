//! Who streams from this server and how far they are: `pg_stat_replication`.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::lsn::{Bytes, Lsn};
use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::Text;

/// One row of `pg_stat_replication`: a physical standby or a logical consumer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WalSender {
    pub pid: i32,
    pub user: Option<Text>,
    /// A physical standby's member name under Patroni; outside text.
    pub application_name: Text,
    pub client: Option<Text>,
    /// `streaming`, `catchup`, `startup`, `backup`, `stopping`; none where the right to see it lacks.
    pub state: Option<Text>,
    pub sent: Option<Lsn>,
    pub written: Option<Lsn>,
    pub flushed: Option<Lsn>,
    pub replayed: Option<Lsn>,
    /// `async`, `potential`, `sync`, `quorum`.
    pub sync_state: Option<Text>,
    /// The sender's own measure of replay delay, seconds; null when idle.
    pub replay_lag: Option<f64>,
    /// When the consumer last reported.
    pub reply: Option<Timestamp>,
    /// The slot it uses, and whether that is a logical one.
    pub slot: Option<Text>,
    pub logical: bool,
    /// The server's write position in the same answer (received position on a standby), to measure lag against.
    pub reference: Option<Lsn>,
}

impl WalSender {
    /// How far the consumer's replay trails the server's own position.
    pub fn lag(&self) -> Option<Bytes> {
        Some(self.replayed?.behind(self.reference?))
    }
}

pub(super) const SURVEY: Survey = Survey {
    id: SurveyId::Replication,
    doc: "who streams from this server and how far they have sent, written, flushed and replayed",
    every: Duration::from_secs(2),
    asked: Asked::Everywhere,
    needs: "pg_monitor",
    sql: &[(12, SQL)],
};

const SQL: &str = "select r.pid,
    r.usename as user,
    coalesce(r.application_name, '') as application_name,
    coalesce(host(r.client_addr), r.client_hostname) as client,
    r.state,
    r.sent_lsn as sent,
    r.write_lsn as written,
    r.flush_lsn as flushed,
    r.replay_lsn as replayed,
    r.sync_state,
    extract(epoch from r.replay_lag)::float8 as replay_lag,
    r.reply_time as reply,
    s.slot_name as slot,
    coalesce(s.slot_type = 'logical', false) as logical,
    case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
        else pg_current_wal_lsn() end as reference
from pg_stat_replication r left join pg_replication_slots s on s.active_pid = r.pid
order by r.application_name, r.pid";

pub(super) const METRICS: &[Metric] = &[Metric {
    id: "replay_lag",
    unit: Unit::Bytes,
    survey: SurveyId::Replication,
    doc: "WAL that a consumer has not yet replayed: the server's position minus pg_stat_replication.replay_lsn",
}];

pub(super) fn read(senders: &[WalSender]) -> Vec<Reading> {
    senders
        .iter()
        .filter_map(|sender| {
            let label = sender.application_name.clone();
            Some(Reading { metric: "replay_lag", label, value: sender.lag()?.0 as f64 })
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A physical standby's row, as a primary shows it.
    pub fn sender(name: &str, state: Option<&str>) -> WalSender {
        WalSender {
            pid: 7,
            user: None,
            application_name: name.into(),
            client: None,
            state: state.map(Text::from),
            sent: None,
            written: None,
            flushed: None,
            replayed: None,
            sync_state: None,
            replay_lag: None,
            reply: None,
            slot: None,
            logical: false,
            reference: None,
        }
    }
}
