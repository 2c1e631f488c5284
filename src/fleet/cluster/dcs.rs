//! What Patroni keeps in its store about a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::id::Text;
use crate::metric::lsn::{Bytes, Lsn};

/// Patroni's own state, from its Kubernetes objects (or its REST interface).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Dcs {
    pub leader: Option<Text>,
    pub lease: Option<Lease>,
    /// The leader's WAL position when it last renewed its lease.
    pub optime: Option<Lsn>,
    /// Slot positions that Patroni keeps, in bytes.
    pub slots: BTreeMap<Text, Lsn>,
    /// Failsafe mode keeps the leader while the store cannot be reached.
    pub failsafe_active: bool,
    pub config: Option<Arc<DcsConfig>>,
    pub system: Option<Text>,
    /// Oldest first.
    pub history: Arc<[HistoryEntry]>,
    /// Members that Patroni counts as synchronous.
    pub sync_standbys: Vec<Text>,
    pub sync_leader: Option<Text>,
    pub switchover: Option<Switchover>,
}

impl Dcs {
    /// Whether nothing but the lease and the positions differs.
    pub(super) fn is_same_but_for_time(&self, before: &Dcs) -> bool {
        self.config == before.config
            && self.system == before.system
            && self.history == before.history
            && self.sync_standbys == before.sync_standbys
            && self.sync_leader == before.sync_leader
            && self.switchover == before.switchover
            && self.failsafe_active == before.failsafe_active
    }
}

/// The leader's lease. Whether it is overdue is judged by when `renewed` was *seen to change*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    pub renewed: Option<Timestamp>,
    pub acquired: Option<Timestamp>,
    /// Seconds.
    pub ttl: u32,
    pub transitions: Option<u32>,
    /// When this pgdeck saw `renewed` change, by its own clock.
    pub seen: Timestamp,
    /// At first sight: how old `renewed` was by the API server's clock, in seconds.
    pub age_at_first_sight: Option<i64>,
}

/// Patroni's dynamic configuration, the part that rows and verdicts read.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DcsConfig {
    pub pause: bool,
    pub synchronous: bool,
    pub synchronous_strict: bool,
    pub ttl: Option<u32>,
    pub loop_wait: Option<u32>,
    pub maximum_lag_on_failover: Option<Bytes>,
    pub failsafe: Option<bool>,
    pub standby_cluster: bool,
    pub slots: Vec<Text>,
    /// `postgresql.parameters`.
    pub parameters: BTreeMap<Text, Text>,
    /// What a pgdeck says that it holds, under the key `pgdeck`.
    pub held: Option<Held>,
    /// Of the object that it stands in: another one with every change, whoever made it.
    pub version: Option<Text>,
}

/// A replay that a pgdeck has paused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    pub member: Text,
    pub who: Text,
    pub since: Option<Timestamp>,
    /// Its budget, in seconds.
    pub for_s: u32,
}

impl Held {
    /// From the aiming to the pause, and from its end to its being taken back, in seconds.
    const GRACE_S: i64 = 120;

    /// Whether its time is over, so that whoever held it must have ended before it could.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let budget = SignedDuration::from_secs(i64::from(self.for_s) + Self::GRACE_S);
        self.since.is_none_or(|since| now.duration_since(since) > budget)
    }
}

/// One change of timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEntry {
    pub timeline: u32,
    pub lsn: Lsn,
    pub reason: Text,
    pub at: Option<Timestamp>,
    pub new_leader: Option<Text>,
}

/// A switchover that was scheduled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Switchover {
    pub from: Option<Text>,
    pub to: Option<Text>,
    pub at: Option<Text>,
}
