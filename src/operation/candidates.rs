//! Who could take the primary's part: each other member with what speaks for it and against it.

use super::answers::{Sampled, sampled};
use super::{Looked, slots};
use crate::fleet::cluster::Role;
use crate::metric::lsn::Bytes;
use crate::metric::replication::WalSender;
use crate::metric::vitals::Replay;
use crate::work::entry::{Colour, Light};
use crate::work::patroni::{PatroniView, Peer};

/// Further behind than this, and a switchover takes its time.
const FAR: Bytes = Bytes(16 << 20);

/// Why a member cannot take over; none if it can.
pub(super) fn unfit(view: &PatroniView, peer: &Peer) -> Option<String> {
    let ahead = view.leader().and_then(|leader| leader.timeline);
    if peer.role == Role::Primary {
        Some("it leads already".into())
    } else if !peer.is_running() {
        Some(format!("it is {}", peer.state))
    } else if peer.nofailover {
        Some("it is tagged nofailover".into())
    } else if let (Some(ahead), Some(own)) =
        (ahead, peer.timeline.filter(|own| ahead.is_some_and(|ahead| ahead != *own)))
    {
        Some(format!("it is on timeline {own}, the leader on {ahead}"))
    } else if view.is_synchronous() && !peer.synchronous {
        Some("it is not synchronous, and synchronous mode allows only those".into())
    } else {
        None
    }
}

/// Patroni lets nobody lead who is further behind than it was told to allow.
pub(super) fn too_far(view: &PatroniView, peer: &Peer) -> Option<String> {
    let most = Bytes(view.config["maximum_lag_on_failover"].as_u64()?);
    let lag = peer.lag.filter(|lag| *lag > most)?;
    Some(format!("it is {lag} behind, and Patroni allows {most} (maximum_lag_on_failover)"))
}

/// The best of those that can take over, the one that is least behind.
pub(super) fn best<'a>(view: &PatroniView, among: impl Iterator<Item = &'a Peer>) -> Option<&'a Peer> {
    let fit = among.filter(|peer| unfit(view, peer).is_none() && too_far(view, peer).is_none());
    fit.min_by_key(|peer| peer.lag.unwrap_or(Bytes(u64::MAX)))
}

/// Whether commits wait for a standby, and for which.
pub(super) fn synchronous(view: &PatroniView) -> Light {
    if !view.is_synchronous() {
        return Light::green("synchronous mode is off: commits wait for no standby");
    }
    let word = if view.is_strict() { "strict" } else { "on" };
    let names: Vec<&str> = view.members.iter().filter(|peer| peer.synchronous).map(|peer| &*peer.name).collect();
    match (names.is_empty(), view.is_strict()) {
        (false, _) => Light::green(format!("synchronous mode is {word}: {} is synchronous", names.join(", "))),
        (true, false) => Light::amber("synchronous mode is on, and no standby is synchronous: commits wait for none"),
        (true, true) => Light::amber("synchronous mode is strict, and no standby is synchronous: commits wait for one"),
    }
}

/// Others that have received more than the one that is chosen, by their own words: less would be lost with them.
pub(super) fn ahead(looked: &[Looked], view: &PatroniView, to: &str) -> Vec<Light> {
    let all = sampled(looked);
    let position = |member: &str| {
        let of = all.iter().find(|sampled| **sampled.member == *member)?;
        of.vitals.as_ref().ok().filter(|vitals| vitals.in_recovery)?.position()
    };
    let Some(own) = position(to) else {
        return vec![Light::amber(format!("what {to} has received is not known by its own word"))];
    };
    let others = view.members.iter().filter(|peer| *peer.name != *to && peer.role != Role::Primary);
    let more = others.filter_map(|peer| Some((peer, position(&peer.name).filter(|other| *other > own)?)));
    let mut lights: Vec<Light> = more
        .map(|(peer, other)| {
            let more = own.behind(other);
            Light::amber(format!("{} has received {more} more than {to}: less is lost with it", peer.name))
        })
        .collect();
    if lights.is_empty() {
        lights.push(Light::green(format!("{to} has received up to {own}, and no standby that answers has more")));
    }
    lights
}

/// One line for each member but the leader. `to`: the one that is chosen.
pub(super) fn lights(looked: &[Looked], view: &PatroniView, to: &str) -> Vec<Light> {
    let all = sampled(looked);
    let others = view.members.iter().filter(|peer| peer.role != Role::Primary);
    others.map(|peer| line(&all, view, peer, *peer.name == *to)).collect()
}

fn line(all: &[Sampled<'_>], view: &PatroniView, peer: &Peer, is_chosen: bool) -> Light {
    let name = &peer.name;
    let why = unfit(view, peer).or_else(|| too_far(view, peer));
    let verdict = match (&why, is_chosen) {
        (Some(why), _) => format!("{name} cannot take over: {why}"),
        (None, true) => format!("{name} takes over"),
        (None, false) => format!("{name} could take over"),
    };
    // What somebody wants so is no trouble.
    let is_meant = peer.is_running() && (peer.nofailover || (view.is_synchronous() && !peer.synchronous));
    let mut worst = if why.is_some() && !is_meant { Colour::Amber } else { Colour::Green };
    let mut facts = Vec::new();
    if peer.is_running() {
        let timeline = peer.timeline.map_or("an unknown timeline".into(), |timeline| format!("timeline {timeline}"));
        facts.push(format!("{} on {timeline}", peer.state));
        facts.push(if peer.synchronous { "synchronous".into() } else { "asynchronous".into() });
        let parts = [behind(all, view, peer), replay(all, name), slots::lacked(all, view, name)];
        for (colour, fact) in parts {
            facts.push(fact);
            // What one lacks that does not take over is lost to nobody.
            worst = worst.max(if is_chosen { colour } else { Colour::Green });
        }
    }
    let facts = if facts.is_empty() { String::new() } else { format!("; {}", facts.join(", ")) };
    Light { colour: worst, text: format!("{verdict}{facts}") }
}

/// How far behind: by the leader's own word, which has an age, else by Patroni's, as old as its last round at most.
fn behind(all: &[Sampled<'_>], view: &PatroniView, peer: &Peer) -> (Colour, String) {
    let leader = view.leader().and_then(|leader| all.iter().find(|sampled| *sampled.member == leader.name));
    let senders = leader.and_then(|leader| leader.senders.as_deref().ok()).unwrap_or_default();
    let clock = leader.and_then(|leader| leader.vitals.as_ref().ok()).map(|vitals| vitals.clock);
    let is_its = |sender: &&WalSender| !sender.logical && *sender.application_name == *peer.name;
    let exact = senders.iter().find(is_its).and_then(|sender| Some((sender.lag()?, sender.reply)));
    if let Some((lag, reply)) = exact {
        let age = reply.zip(clock).map(|(reply, clock)| clock.duration_since(reply).as_secs().max(0));
        let age = age.map_or("some time ago".into(), |age| format!("{age} s ago"));
        return (weigh(lag), format!("{lag} behind by the primary's word ({age})"));
    }
    let rounds = view.config["loop_wait"].as_u64().unwrap_or(10);
    match peer.lag {
        Some(lag) => (weigh(lag), format!("{lag} behind by Patroni's word (at most {rounds} s ago)")),
        None => (Colour::Amber, "how far behind is not known".into()),
    }
}

fn weigh(lag: Bytes) -> Colour {
    if lag > FAR { Colour::Amber } else { Colour::Green }
}

fn replay(all: &[Sampled<'_>], name: &str) -> (Colour, String) {
    let vitals = all.iter().find(|sampled| **sampled.member == *name).map(|sampled| sampled.vitals.as_ref());
    match vitals {
        None => (Colour::Amber, "whether it replays is not known: it was not asked".into()),
        Some(Err(why)) => (Colour::Amber, format!("whether it replays is not known: {why}")),
        Some(Ok(vitals)) => match vitals.replay {
            Replay::Running => (Colour::Green, "replays".into()),
            Replay::Paused | Replay::PauseRequested => (Colour::Red, "its replay is paused: resume it first".into()),
            Replay::NotApplicable => (Colour::Amber, "it says that it is no standby".into()),
        },
    }
}
