//! Replication slots, before something is done to the servers that have them: who has them, who knows of them, what is lost.

use std::collections::BTreeMap;

use super::answers::Sampled;
use crate::metric::slots::Slot;
use crate::run::expect::Kept;
use crate::work::entry::{Colour, Light};
use crate::work::patroni::PatroniView;

/// A member's own slot is named after it, with what a slot's name cannot hold replaced.
fn is_of_member(view: &PatroniView, name: &str) -> bool {
    let plain = |name: &str| name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    view.members.iter().any(|peer| plain(&peer.name) == name)
}

/// Whether Patroni keeps the slot: it is declared as permanent.
fn is_permanent(view: &PatroniView, name: &str) -> bool {
    view.config["slots"].get(name).is_some()
}

/// Whether a rule of `ignore_slots` makes Patroni leave the slot alone.
fn is_ignored(view: &PatroniView, slot: &Slot) -> bool {
    let rules = view.config["ignore_slots"].as_array().into_iter().flatten();
    rules.into_iter().any(|rule| {
        let holds = |key: &str, value: Option<&str>| rule[key].is_null() || rule[key].as_str() == value;
        holds("name", Some(&slot.name))
            && holds("type", Some(if slot.logical { "logical" } else { "physical" }))
            && holds("database", slot.database.as_deref())
            && holds("plugin", slot.plugin.as_deref())
    })
}

/// Slots that Patroni does not know, by member: a change of its configuration, the end of its pause, or a restart makes it drop
/// them. `when`: which of these it is.
pub(super) fn unknown(all: &[Sampled<'_>], view: &PatroniView, when: &str) -> Vec<String> {
    let is_unknown = |slot: &&Slot| {
        !slot.temporary
            && !is_permanent(view, &slot.name)
            && !is_of_member(view, &slot.name)
            && !is_ignored(view, slot)
            && slot.failover != Some(true)
    };
    let mut texts = Vec::new();
    for sampled in all {
        let slots = sampled.slots.as_deref().unwrap_or_default();
        let names: Vec<&str> = slots.iter().filter(is_unknown).map(|slot| &*slot.name).collect();
        if !names.is_empty() {
            texts.push(format!(
                "Patroni does not know the slots {} of {}, and may drop them when {when}: declare them \
                 (spec.patroni.slots) first",
                names.join(", "),
                sampled.member
            ));
        }
    }
    texts
}

/// Members whose slots nobody knows.
pub(super) fn untold(all: &[Sampled<'_>]) -> Vec<Light> {
    let why = |sampled: &Sampled<'_>| sampled.slots.as_ref().err().map(|why| (sampled.member.clone(), why.clone()));
    let untold = all.iter().filter_map(why);
    untold.map(|(member, why)| Light::amber(format!("slots of {member} are not known: {why}"))).collect()
}

/// Slots that go with a member's data; those of other members are made anew.
pub(super) fn gone_with(of: &Sampled<'_>, view: &PatroniView) -> Light {
    let member = of.member;
    let slots = match &of.slots {
        Ok(slots) => slots,
        Err(why) => return Light::amber(format!("which slots go with the data of {member} is not known: {why}")),
    };
    let lost = slots.iter().filter(|slot| !slot.temporary && !is_of_member(view, &slot.name));
    let names: Vec<String> = lost
        .map(|slot| {
            if is_permanent(view, &slot.name) {
                format!("{} (Patroni makes it anew)", slot.name)
            } else {
                slot.name.to_string()
            }
        })
        .collect();
    match names[..] {
        [] => Light::green(format!("no slot goes with the data of {member}")),
        _ => Light::amber(format!("slots that go with the data of {member}: {}", names.join(", "))),
    }
}

/// Slots that logical consumers need: they do not come along by themselves.
fn logical<'a>(sampled: &'a Sampled<'_>) -> impl Iterator<Item = &'a Slot> {
    let slots = sampled.slots.as_deref().unwrap_or_default();
    slots.iter().filter(|slot| slot.logical && !slot.temporary)
}

/// Whether a member has that slot, whole; none if nobody knows.
fn has(sampled: &Sampled<'_>, name: &str) -> Option<bool> {
    let slots = sampled.slots.as_deref().ok()?;
    Some(slots.iter().any(|slot| *slot.name == *name && !slot.is_lost()))
}

/// Which members have that slot, which lack it, and of which nobody knows.
fn whereabouts(all: &[Sampled<'_>], name: &str) -> String {
    let of = |wanted: Option<bool>| {
        let members = all.iter().filter(|sampled| has(sampled, name) == wanted);
        members.map(|sampled| &**sampled.member).collect::<Vec<_>>().join(", ")
    };
    let parts = [("on", of(Some(true))), ("missing on", of(Some(false))), ("not known on", of(None))];
    let told = parts.iter().filter(|(_, members)| !members.is_empty());
    told.map(|(word, members)| format!("{word} {members}")).collect::<Vec<_>>().join("; ")
}

/// What a member lacks of the logical slots that the leader has.
pub(super) fn lacked(all: &[Sampled<'_>], view: &PatroniView, member: &str) -> (Colour, String) {
    let of = |name: &str| all.iter().find(|sampled| **sampled.member == *name);
    let leader = view.leader().and_then(|leader| of(&leader.name));
    let (Some(leader), Some(own)) = (leader.filter(|leader| leader.slots.is_ok()), of(member)) else {
        return (Colour::Amber, "which logical slots it lacks is not known".into());
    };
    if let Err(why) = &own.slots {
        return (Colour::Amber, format!("its slots are not known: {why}"));
    }
    let lacked = logical(leader).filter(|slot| has(own, &slot.name) == Some(false));
    let names: Vec<&str> = lacked.map(|slot| &*slot.name).collect();
    match names[..] {
        [] => (Colour::Green, "lacks no logical slot".into()),
        _ => (Colour::Amber, format!("lacks the logical slot(s) {}", names.join(", "))),
    }
}

/// What becomes of each logical slot that any member has, and how each should be afterwards.
pub(super) fn handed_over(all: &[Sampled<'_>], view: &PatroniView, from: &str, to: &str) -> (Vec<Light>, Vec<Kept>) {
    let mut lights = Vec::new();
    let leader = all.iter().find(|sampled| **sampled.member == *from);
    if let Some(why) = leader.and_then(|leader| leader.slots.as_ref().err()) {
        lights.push(Light::amber(format!("which logical slots {from} has is not known: {why}")));
    }
    // What the leader says of a slot goes before what a copy says of itself.
    let mut found: BTreeMap<&str, &Slot> = BTreeMap::new();
    for slot in leader.into_iter().chain(all).flat_map(logical) {
        found.entry(&*slot.name).or_insert(slot);
    }
    if found.is_empty() && lights.is_empty() {
        lights.push(Light::green("there are no logical slots to lose"));
    }
    let candidate = all.iter().find(|sampled| **sampled.member == *to);
    let mut kept = Vec::new();
    for (name, slot) in found {
        let read = if slot.active { "read now" } else { "which nobody reads now" };
        let place = whereabouts(all, name);
        let there = candidate.and_then(|candidate| has(candidate, name));
        let stays = there == Some(true) || is_permanent(view, name);
        lights.push(match there {
            Some(true) => Light::green(format!("{to} has the logical slot {name}, {read} ({place})")),
            None => Light::amber(format!("whether {to} has the logical slot {name}, {read}, is not known ({place})")),
            // Seen with 3.0.2: 12 s without writes, where the copy and the switchover met.
            Some(false) if stays => Light::amber(format!(
                "{to} does not have the logical slot {name} yet, {read}: Patroni restarts its Postgres to copy it, and writes \
                 stop for longer if that comes now ({place})"
            )),
            Some(false) => Light::amber(format!(
                "{to} lacks the logical slot {name}, {read}: its consumer loses its place ({place})"
            )),
        });
        kept.push(Kept { name: name.into(), read: slot.active, lost: !stays });
    }
    (lights, kept)
}
