//! Who leads, who follows, who consumes, how far behind: derived from SQL where sampled, else from Patroni's positions.

mod unlisted;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Entry;
use super::cluster::{Member, Origin, Role};
use super::instance::Instance;
use crate::fault::Fault;
use crate::id::Text;
use crate::metric::lsn::{Bytes, Lsn};
use crate::metric::replication::WalSender;
use crate::metric::vitals::{Replay, Vitals};

/// One line of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Steps below the root.
    pub depth: usize,
    pub name: Text,
    pub kind: Kind,
    /// `running`, `streaming`, `PAUSED`, …: the worst thing known.
    pub state: Text,
    pub timeline: Option<u32>,
    pub lag: Option<Lag>,
    pub position: Option<Lsn>,
    /// When SQL last told of it.
    pub sampled: Option<Timestamp>,
    /// Where an unlisted standby connects from: its host, as the port it listens on is not told.
    pub client: Option<Text>,
}

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Primary,
    /// Leads a standby cluster.
    StandbyLeader,
    Synchronous,
    Asynchronous,
    /// A member whose place is not known.
    Unknown,
    /// A logical consumer, connected or only as a slot.
    Consumer,
    /// Streams from a plain host, but no line of the hosts file names it.
    Unlisted,
}

impl Kind {
    /// As it stands on screen.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Primary => "primary",
            Kind::StandbyLeader => "standby leader",
            Kind::Synchronous => "sync standby",
            Kind::Asynchronous => "async standby",
            Kind::Unknown => "unknown",
            Kind::Consumer => "logical consumer",
            Kind::Unlisted => "unlisted standby",
        }
    }
}

/// How far a member trails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub bytes: Bytes,
    /// From SQL; else from Patroni's own positions, as old as its loop (`~` on screen).
    pub exact: bool,
}

/// The member that takes writes: by SQL, else by Patroni's leader object, else by label.
pub fn primary(entry: &Entry) -> Option<&Text> {
    let by_sql = || {
        let mut writable = entry
            .instances
            .iter()
            .filter(|(_, instance)| instance.vitals.fresh().is_some_and(|vitals| !vitals.in_recovery));
        writable.next().map(|(name, _)| name).filter(|_| writable.next().is_none())
    };
    let by_leader = || entry.cluster.dcs.as_ref().and_then(|dcs| dcs.leader.as_ref());
    let by_label =
        || entry.cluster.members.iter().find(|member| member.role() == Role::Primary).map(|member| &member.name);
    by_sql().or_else(by_leader).or_else(by_label)
}

/// The standby that trails most, members only.
pub fn worst_lag(entry: &Entry) -> Option<(&Text, Lag)> {
    let lags = entry.cluster.members.iter().filter_map(|member| Some((&member.name, lag(entry, member)?)));
    lags.max_by_key(|(_, lag)| lag.bytes)
}

/// How many members are ready: on Kubernetes by the pods, once all are listed; on plain hosts by who answers, if anybody
/// was asked.
pub fn n_ready(entry: &Entry) -> Option<usize> {
    match entry.cluster.origin {
        Origin::Resource | Origin::Orphan => (!entry.cluster.coming).then(|| entry.cluster.n_ready()),
        Origin::Hosts => {
            let told = |instance: &Instance| instance.vitals.fresh().is_some() || instance.vitals.fault().is_some();
            let asked = entry.instances.values().any(told);
            let answer = || entry.instances.values().filter(|instance| instance.vitals.fresh().is_some()).count();
            asked.then(answer)
        }
    }
}

/// How far a member trails the primary; none for the primary itself and where nothing tells.
pub fn lag(entry: &Entry, member: &Member) -> Option<Lag> {
    if primary(entry) == Some(&member.name) {
        return None;
    }
    exact_lag(entry, member).or_else(|| {
        let ahead = entry.cluster.dcs.as_ref()?.optime?;
        let patroni = member.patroni.as_ref()?;
        let position = patroni.replayed.or(patroni.position)?;
        Some(Lag { bytes: position.behind(ahead), exact: false })
    })
}

fn exact_lag(entry: &Entry, member: &Member) -> Option<Lag> {
    let own = entry.instances.get(&member.name).and_then(|instance| instance.vitals.fresh());
    let reported = entry
        .instances
        .values()
        .filter_map(|instance| instance.replication.fresh())
        .flatten()
        .find(|sender| !sender.logical && is_of(sender, member))
        .and_then(WalSender::lag);
    let measured = || {
        let ahead = vitals(entry, primary(entry)?)?.position()?;
        Some(own?.replayed?.behind(ahead))
    };
    reported.or_else(measured).map(|bytes| Lag { bytes, exact: true })
}

fn vitals<'a>(entry: &'a Entry, member: &Text) -> Option<&'a Vitals> {
    entry.instances.get(member)?.vitals.fresh().map(|vitals| &**vitals)
}

/// Whether a WAL sender serves that member: by application name, else by address.
fn is_of(sender: &WalSender, member: &Member) -> bool {
    let host = member.address.as_deref().map(|address| split(address).0);
    *sender.application_name == *member.name || (sender.client.is_some() && sender.client.as_deref() == host)
}

/// Whether a member's WAL receiver streams from that one: by the address it says it is connected to.
fn streams_from(entry: &Entry, member: &Member, upstream: &Member) -> bool {
    let receiver = vitals(entry, &member.name).and_then(|vitals| vitals.receiver.as_ref());
    let (Some(receiver), Some(address)) = (receiver, &upstream.address) else { return false };
    let (host, port) = split(address);
    receiver.sender_host.as_deref() == Some(host) && receiver.sender_port.is_none_or(|sent| sent.to_string() == port)
}

/// Host and port of a member's address, as Postgres writes them: without brackets.
fn split(address: &str) -> (&str, &str) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// What a member does, in the worst word that is known.
pub fn state(entry: &Entry, member: &Member) -> Text {
    let sampled = entry.instances.get(&member.name);
    if let Some(vitals) = sampled.and_then(|instance| instance.vitals.fresh()) {
        return match (vitals.in_recovery, vitals.replay, &vitals.receiver) {
            (true, Replay::Paused, _) => "replay PAUSED".into(),
            (true, Replay::PauseRequested, _) => "replay pause requested".into(),
            (true, _, Some(receiver)) => receiver.status.clone(),
            (true, _, None) => "not streaming".into(),
            (false, ..) => "running".into(),
        };
    }
    // A right that is missing says nothing about the server: Patroni's word stands.
    let fault = sampled.and_then(|instance| instance.vitals.fault());
    if let Some(fault) = fault.filter(|fault| !matches!(fault, Fault::Forbidden { .. } | Fault::Gone { .. })) {
        return fault.word().into();
    }
    let patroni = member.patroni.as_ref().map(|patroni| {
        patroni
            .replication_state
            .clone()
            .filter(|_| &*patroni.state == "running")
            .unwrap_or_else(|| patroni.state.clone())
    });
    let waiting = || member.pod.as_ref()?.waiting.as_ref().map(|waiting| waiting.reason.clone());
    let phase = || member.pod.as_ref().map(|pod| pod.phase.clone());
    waiting().or(patroni).or_else(phase).unwrap_or_else(|| "unknown".into())
}

/// What a member is to its cluster.
pub fn kind(entry: &Entry, member: &Member) -> Kind {
    let dcs = entry.cluster.dcs.as_ref();
    if primary(entry) == Some(&member.name) {
        let standby = dcs.and_then(|dcs| dcs.config.as_ref()).is_some_and(|config| config.standby_cluster);
        return if standby { Kind::StandbyLeader } else { Kind::Primary };
    }
    let by_sql = entry
        .instances
        .values()
        .filter_map(|instance| instance.replication.fresh())
        .flatten()
        .find(|sender| !sender.logical && is_of(sender, member))
        .and_then(|sender| sender.sync_state.as_deref());
    let by_patroni = dcs.is_some_and(|dcs| dcs.sync_standbys.contains(&member.name));
    match (by_sql, by_patroni, member.role()) {
        (Some("sync" | "quorum"), ..) | (None, true, _) => Kind::Synchronous,
        (Some(_), ..) | (None, false, Role::Standby) => Kind::Asynchronous,
        (None, false, Role::Primary | Role::Unknown) => {
            let standby = vitals(entry, &member.name).is_some_and(|vitals| vitals.in_recovery);
            if standby { Kind::Asynchronous } else { Kind::Unknown }
        }
    }
}

/// The whole tree: the primary, what streams from it, what streams from those, then members whose place is not known.
pub fn tree(entry: &Entry) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut placed = BTreeSet::new();
    if let Some(member) = primary(entry).and_then(|name| entry.cluster.member(name)) {
        place(entry, member, 0, &mut placed, &mut nodes);
    }
    for member in &entry.cluster.members {
        let depth = usize::from(!nodes.is_empty() && kind(entry, member) != Kind::Unknown);
        place(entry, member, depth, &mut placed, &mut nodes);
    }
    nodes
}

fn place(entry: &Entry, member: &Member, depth: usize, placed: &mut BTreeSet<Text>, nodes: &mut Vec<Node>) {
    if !placed.insert(member.name.clone()) {
        return;
    }
    nodes.push(node(entry, member, depth));
    let Some(instance) = entry.instances.get(&member.name) else { return };
    let senders = instance.replication.fresh().map(Vec::as_slice).unwrap_or_default();
    for sender in senders.iter().filter(|sender| !sender.logical) {
        if let Some(below) = entry.cluster.members.iter().find(|member| is_of(sender, member)) {
            place(entry, below, depth + 1, placed, nodes);
        }
    }
    for below in entry.cluster.members.iter().filter(|below| streams_from(entry, below, member)) {
        place(entry, below, depth + 1, placed, nodes);
    }
    nodes.extend(unlisted::standbys(entry, member, senders, depth + 1));
    nodes.extend(consumers(instance, senders, depth + 1));
}

fn node(entry: &Entry, member: &Member, depth: usize) -> Node {
    let sampled = entry.instances.get(&member.name).and_then(|instance| instance.vitals.last());
    let patroni = member.patroni.as_ref();
    Node {
        depth,
        name: member.name.clone(),
        kind: kind(entry, member),
        state: state(entry, member),
        timeline: sampled.and_then(|(vitals, _)| vitals.timeline).or_else(|| patroni?.timeline),
        lag: lag(entry, member),
        position: sampled.and_then(|(vitals, _)| vitals.position()).or_else(|| patroni?.position),
        sampled: sampled.map(|(_, at)| at),
        client: None,
    }
}

/// Logical consumers: connected ones, then logical slots that nobody uses.
fn consumers(instance: &Instance, senders: &[WalSender], depth: usize) -> Vec<Node> {
    let at = instance.replication.last().map(|(_, at)| at);
    let connected = senders.iter().filter(|sender| sender.logical).map(|sender| Node {
        depth,
        name: sender.application_name.clone(),
        kind: Kind::Consumer,
        state: sender.state.clone().unwrap_or_else(|| "unknown".into()),
        timeline: None,
        lag: sender.lag().map(|bytes| Lag { bytes, exact: true }),
        position: sender.replayed,
        sampled: at,
        client: None,
    });
    let slots = instance.slots.last().map(|(slots, _)| slots.as_slice()).unwrap_or_default();
    let idle = slots.iter().filter(|slot| slot.logical && !slot.active && slot.synced != Some(true)).map(|slot| Node {
        depth,
        name: format!("slot {}", slot.name).into(),
        kind: Kind::Consumer,
        state: if slot.is_lost() { "LOST".into() } else { "nobody connected".into() },
        timeline: None,
        lag: slot.retained.map(|bytes| Lag { bytes, exact: true }),
        position: slot.confirmed_flush,
        sampled: instance.slots.last().map(|(_, at)| at),
        client: None,
    });
    connected.chain(idle).collect()
}

#[cfg(test)]
mod tests;
