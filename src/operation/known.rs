//! What is known of a cluster before anybody is asked: orders that would change nothing are greyed by it. What is not known greys
//! nothing.

use crate::fleet::cluster::{Dcs, DcsConfig, Origin};
use crate::fleet::{Entry, topology};
use crate::id::Text;
use crate::metric::vitals::{Replay, Vitals};

/// Patroni's objects, once all are listed.
fn dcs(entry: &Entry) -> Option<&Dcs> {
    entry.cluster.dcs.as_ref().filter(|_| !entry.cluster.coming)
}

fn config(entry: &Entry) -> Option<&DcsConfig> {
    dcs(entry)?.config.as_deref()
}

fn vitals<'a>(entry: &'a Entry, member: Option<&Text>) -> Option<&'a Vitals> {
    entry.instances.get(member?)?.vitals.fresh().map(|vitals| &**vitals)
}

pub(super) fn paused(entry: &Entry, _: Option<&Text>) -> Option<String> {
    config(entry)?.pause.then(|| "Patroni is paused already".into())
}

pub(super) fn not_paused(entry: &Entry, _: Option<&Text>) -> Option<String> {
    (!config(entry)?.pause).then(|| "Patroni is not paused".into())
}

pub(super) fn nothing_waits(entry: &Entry, _: Option<&Text>) -> Option<String> {
    // Whoever may read the configuration may read this too: they are objects of one kind.
    config(entry)?;
    dcs(entry)?.switchover.is_none().then(|| "no switchover waits".into())
}

/// Whether the CR was read at all.
fn is_read(entry: &Entry) -> bool {
    entry.cluster.origin == Origin::Resource && entry.cluster.uid.is_some()
}

pub(super) fn attached(entry: &Entry, _: Option<&Text>) -> Option<String> {
    (is_read(entry) && entry.cluster.controller.is_none()).then(|| "it is not detached".into())
}

pub(super) fn detached(entry: &Entry, _: Option<&Text>) -> Option<String> {
    entry.cluster.controller.as_ref().map(|id| format!("it is detached already (its controller is {id})"))
}

/// Nobody is there who could take over.
pub(super) fn alone(entry: &Entry, _: Option<&Text>) -> Option<String> {
    let cluster = &entry.cluster;
    let is_alone = cluster.origin == Origin::Resource && !cluster.coming && cluster.members.len() < 2;
    is_alone.then(|| "there is no second member".into())
}

pub(super) fn leads(entry: &Entry, member: Option<&Text>) -> Option<String> {
    let member = member?;
    (topology::primary(entry) == Some(member)).then(|| format!("{member} leads"))
}

pub(super) fn replay_paused(entry: &Entry, member: Option<&Text>) -> Option<String> {
    leads(entry, member).or_else(|| {
        let replay = vitals(entry, member)?.replay;
        matches!(replay, Replay::Paused | Replay::PauseRequested).then(|| "its replay is paused already".into())
    })
}

pub(super) fn replays(entry: &Entry, member: Option<&Text>) -> Option<String> {
    let replay = vitals(entry, member)?.replay;
    let is_held = || {
        let held = config(entry).and_then(|config| config.held.as_ref());
        held.is_some_and(|held| Some(&held.member) == member)
    };
    let is_known = entry.cluster.origin == Origin::Hosts || config(entry).is_some();
    let is_over = !matches!(replay, Replay::Paused | Replay::PauseRequested);
    (is_known && is_over && !is_held()).then(|| "its replay is not paused".into())
}
