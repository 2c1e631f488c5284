//! Replication slots, before something is done to the servers that have them: who has them, who knows of them, what is lost.

use super::answers::Sampled;
use crate::metric::slots::Slot;
use crate::run::expect::Kept;
use crate::work::entry::Light;
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

/// What becomes of each logical slot of the old primary, and those that the new one should have afterwards.
pub(super) fn handed_over(all: &[Sampled<'_>], view: &PatroniView, from: &str, to: &str) -> (Vec<Light>, Vec<Kept>) {
    let of = |member: &str| all.iter().find(|sampled| **sampled.member == *member);
    let slots = |member: &str| of(member).and_then(|sampled| sampled.slots.as_deref().ok());
    let (Some(here), Some(there)) = (slots(from), slots(to)) else { return (Vec::new(), Vec::new()) };
    let logical: Vec<&Slot> = here.iter().filter(|slot| slot.logical && !slot.temporary).collect();
    let mut lights = Vec::new();
    let mut kept = Vec::new();
    if logical.is_empty() {
        lights.push(Light::green("there are no logical slots to lose"));
    }
    for slot in logical {
        let has = |slots: &[Slot]| slots.iter().any(|other| other.name == slot.name && !other.is_lost());
        let others = all.iter().filter(|sampled| **sampled.member != *from && **sampled.member != *to);
        let too: Vec<&str> =
            others.filter(|sampled| sampled.slots.as_deref().is_ok_and(has)).map(|sampled| &**sampled.member).collect();
        let too = if too.is_empty() { String::new() } else { format!("; it is on {} too", too.join(", ")) };
        let name = &slot.name;
        let read = if slot.active { "read now" } else { "which nobody reads now" };
        let stays = has(there) || is_permanent(view, name);
        lights.push(if has(there) {
            Light::green(format!("{to} has the logical slot {name}, {read}{too}"))
        } else if stays {
            // Seen with 3.0.2: 12 s without writes, where the copy and the switchover met.
            Light::amber(format!(
                "{to} does not have the logical slot {name} yet, {read}: Patroni restarts its Postgres to copy it, and writes \
                 stop for longer if that comes now"
            ))
        } else {
            Light::amber(format!("{to} lacks the logical slot {name}, {read}: its consumer loses its place{too}"))
        });
        if stays {
            kept.push(Kept { name: name.clone(), read: slot.active });
        }
    }
    (lights, kept)
}
