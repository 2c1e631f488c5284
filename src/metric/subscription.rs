//! The receiving side of logical replication: subscriptions, their workers, and replication origins.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::lsn::Lsn;
use super::{Asked, Metric, Reading, Survey, SurveyId, Unit};
use crate::id::{DbName, Text};

/// One row of `pg_replication_origin_status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    pub name: Option<Text>,
    /// Replayed up to there, by the publisher's count.
    pub remote: Lsn,
    pub local: Lsn,
}

/// One subscription with its apply worker, from `pg_stat_subscription`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subscription {
    pub name: Text,
    pub database: Option<DbName>,
    pub enabled: Option<bool>,
    /// The apply worker's pid; none when it does not run.
    pub pid: Option<i32>,
    pub received: Option<Lsn>,
    pub latest_end: Option<Lsn>,
    pub last_message: Option<Timestamp>,
    /// Table synchronisation workers running beside the apply worker.
    pub n_syncing: u32,
    /// Errors while applying, since the counters were reset (15+).
    pub apply_errors: Option<i64>,
    pub sync_errors: Option<i64>,
}

pub(super) const ORIGINS: Survey = Survey {
    id: SurveyId::Origins,
    doc: "replication origins: how far each remote stream has been applied",
    every: Duration::from_secs(2),
    asked: Asked::OnPrimary,
    needs: "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_replication_origin_status() TO the monitoring role",
    sql: &[(12, ORIGINS_SQL)],
};

// The function, not the view on it: that way one GRANT is enough.
const ORIGINS_SQL: &str = "select external_id as name, remote_lsn as remote, local_lsn as local
from pg_show_replication_origin_status() order by external_id";

pub(super) const SUBSCRIPTIONS: Survey = Survey {
    id: SurveyId::Subscriptions,
    doc: "subscriptions and their workers: received position, last message, errors",
    every: Duration::from_secs(2),
    asked: Asked::OnPrimary,
    needs: "pg_monitor",
    sql: &[(12, SUBSCRIPTIONS_12), (14, SUBSCRIPTIONS_14), (15, SUBSCRIPTIONS_15), (16, SUBSCRIPTIONS_16)],
};

/// `$apply` picks the apply worker among a subscription's workers, `$errors` counts errors.
macro_rules! subscriptions {
    ($apply:literal, $errors:literal) => {
        concat!(
            "select s.subname as name,
    d.datname as database,
    s.subenabled as enabled,
    a.pid,
    a.received_lsn as received,
    a.latest_end_lsn as latest_end,
    a.last_msg_receipt_time as last_message,
    (select count(*) from pg_stat_subscription w where w.subid = s.oid and w.relid is not null)::int4 as n_syncing,
    ",
            $errors,
            "
from pg_subscription s
left join pg_database d on d.oid = s.subdbid
left join pg_stat_subscription a on a.subid = s.oid and a.pid is not null and ",
            $apply,
            "
order by d.datname, s.subname"
        )
    };
}

// Before 14 only a superuser may read pg_subscription.oid: the view gives names and workers, and the catalog the rest where
// the name is the only one of its kind.
const SUBSCRIPTIONS_12: &str = "select v.subname as name,
    d.datname as database,
    s.subenabled as enabled,
    v.pid,
    v.received_lsn as received,
    v.latest_end_lsn as latest_end,
    v.last_msg_receipt_time as last_message,
    (select count(*) from pg_stat_subscription w where w.subid = v.subid and w.relid is not null)::int4 as n_syncing,
    null::int8 as apply_errors,
    null::int8 as sync_errors
from pg_stat_subscription v
left join pg_subscription s on s.subname = v.subname
    and (select count(*) from pg_subscription o where o.subname = v.subname) = 1
left join pg_database d on d.oid = s.subdbid
where v.relid is null
order by d.datname, v.subname";
const SUBSCRIPTIONS_14: &str =
    subscriptions!("a.relid is null", "null::int8 as apply_errors, null::int8 as sync_errors");
const SUBSCRIPTIONS_15: &str = subscriptions!(
    "a.relid is null",
    "(select e.apply_error_count from pg_stat_subscription_stats e where e.subid = s.oid) as apply_errors,
    (select e.sync_error_count from pg_stat_subscription_stats e where e.subid = s.oid) as sync_errors"
);
const SUBSCRIPTIONS_16: &str = subscriptions!(
    "a.relid is null and a.leader_pid is null",
    "(select e.apply_error_count from pg_stat_subscription_stats e where e.subid = s.oid) as apply_errors,
    (select e.sync_error_count from pg_stat_subscription_stats e where e.subid = s.oid) as sync_errors"
);

pub(super) const METRICS: &[Metric] = &[Metric {
    id: "subscription_errors",
    unit: Unit::Count,
    survey: SurveyId::Subscriptions,
    doc: "apply and table synchronisation errors of a subscription since its counters were reset (15+)",
}];

pub(super) fn read(subscriptions: &[Subscription]) -> Vec<Reading> {
    subscriptions
        .iter()
        .filter_map(|subscription| {
            let errors = subscription.apply_errors? + subscription.sync_errors.unwrap_or(0);
            Some(Reading { metric: "subscription_errors", label: subscription.name.clone(), value: errors as f64 })
        })
        .collect()
}
