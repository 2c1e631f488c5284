//! Standbys that stream from a plain host but are not in the hosts file: found, so that they can be offered.

use super::{Kind, Lag, Node, is_of, split, streams_from, vitals};
use crate::fleet::Entry;
use crate::fleet::cluster::{Member, Origin};
use crate::metric::replication::WalSender;

/// What copies WAL without being a server.
const COPIERS: [&str; 2] = ["pg_basebackup", "pg_receivewal"];

/// Whether a sender serves that member.
type Same<'a> = dyn Fn(&WalSender, &Member) -> bool + 'a;

/// The senders of `upstream` that serve no listed host. None while one of them might be a listed host under another address:
/// an offer to list a host twice is worse than none.
pub(super) fn standbys(entry: &Entry, upstream: &Member, senders: &[WalSender], depth: usize) -> Vec<Node> {
    if entry.cluster.origin != Origin::Hosts {
        return Vec::new();
    }
    let mut listed: Vec<_> = entry.cluster.members.iter().filter(|it| may_follow(entry, it, upstream)).collect();
    let mut left: Vec<_> = senders.iter().filter(|sender| is_standby(sender)).collect();
    let is_named = |sender: &WalSender, member: &Member| *sender.application_name == *member.name;
    let has_slot = |sender: &WalSender, member: &Member| {
        let receiver = vitals(entry, &member.name).and_then(|vitals| vitals.receiver.as_ref());
        sender.slot.is_some() && receiver.is_some_and(|receiver| receiver.slot == sender.slot)
    };
    // A server has one WAL receiver, so each listed host explains one sender; what tells most goes first.
    let matches: [&Same<'_>; 3] = [&is_named, &has_slot, &is_of];
    for is_same in matches {
        left.retain(|sender| {
            let found = listed.iter().position(|member| is_same(sender, member));
            found.map(|idx| listed.remove(idx)).is_none()
        });
    }
    if listed.iter().any(|member| may_connect_from_anywhere(entry, member)) {
        return Vec::new();
    }
    let at = entry.instances.get(&upstream.name).and_then(|instance| instance.replication.last()).map(|(_, at)| at);
    let node = |sender: &WalSender| Node {
        depth,
        name: sender.application_name.clone(),
        kind: Kind::Unlisted,
        state: sender.state.clone().unwrap_or_else(|| "unknown".into()),
        timeline: None,
        lag: sender.lag().map(|bytes| Lag { bytes, exact: true }),
        position: sender.replayed,
        sampled: at,
        client: sender.client.clone(),
    };
    left.into_iter().map(node).collect()
}

/// Whether it serves a server, as far as it tells. Without `pg_monitor` it tells nothing.
fn is_standby(sender: &WalSender) -> bool {
    let state = sender.state.as_deref();
    !sender.logical && state.is_some_and(|state| state != "backup") && !COPIERS.contains(&&*sender.application_name)
}

/// Whether a listed host could be what streams from `upstream`. Not where its own samples say that it takes writes, streams
/// from nobody, or streams from another listed host.
fn may_follow(entry: &Entry, member: &Member, upstream: &Member) -> bool {
    if member.name == upstream.name {
        return false;
    }
    let Some(vitals) = vitals(entry, &member.name) else { return true };
    let follows_another = || {
        !streams_from(entry, member, upstream)
            && entry.cluster.members.iter().any(|other| streams_from(entry, member, other))
    };
    vitals.in_recovery && vitals.receiver.is_some() && !follows_another()
}

/// Whether a host that explains no sender may be behind one all the same: it is listed by a name, or streams from somewhere.
fn may_connect_from_anywhere(entry: &Entry, member: &Member) -> bool {
    let host = member.address.as_deref().map(|address| split(address).0);
    let is_numeric =
        host.is_some_and(|host| host.contains(':') || host.chars().all(|c| c.is_ascii_digit() || c == '.'));
    !is_numeric || vitals(entry, &member.name).is_some()
}
