//! A new leader: that it leads, who follows it, and whether logical consumers have found it.

use super::{Judged, Kept, when};
use crate::fault::Fault;
use crate::fleet::cluster::Role;
use crate::id::Text;
use crate::metric::Rows;
use crate::metric::slots::Slot;
use crate::run::Looked;
use crate::work::patroni::PatroniView;
use crate::work::probe::{Answer, Probe};

/// That member leads, on a timeline after the one before, and the others follow, by Patroni's word.
pub(super) fn leads(view: &PatroniView, expected: &str, before: Option<u32>, followers: &[Text]) -> Judged {
    let Some(leader) = view.leader() else { return Judged::NotYet("no member leads".into()) };
    let timeline = leader.timeline.map_or("an unknown timeline".into(), |timeline| format!("timeline {timeline}"));
    let said = format!("{} leads on {timeline}", leader.name);
    if *leader.name != *expected {
        return Judged::NotYet(said);
    }
    if before.is_some() && leader.timeline <= before {
        return Judged::NotYet(said);
    }
    // Whoever is not listed any more has not come back.
    let behind = |name: &&Text| match view.members.iter().find(|peer| peer.name == **name) {
        None => Some(format!("{name} is not there")),
        Some(peer) if peer.role == Role::Primary => None,
        Some(peer) if peer.is_running() && peer.timeline == leader.timeline => None,
        Some(peer) => Some(format!("{} is {}", peer.name, peer.state)),
    };
    let others = followers.iter().filter(|name| **name != leader.name);
    let behind: Vec<String> = others.filter_map(|name| behind(&name)).collect();
    when(behind.is_empty(), if behind.is_empty() { said } else { format!("{said}; {}", behind.join(", ")) })
}

/// Whether the new leader, which is asked first, has the logical slots that it should have, and whether they are read again
/// where they were before; which other members have them is told.
pub(super) fn has_slots(said: String, slots: &[Kept], asked: &[Looked]) -> Judged {
    if slots.is_empty() {
        return Judged::Proved(said);
    }
    let found = match asked.first().map_or_else(|| Err("nobody asked".to_owned()), |(_, answer)| slots_of(answer)) {
        Ok(found) => found,
        Err(why) => return Judged::Nearly(format!("{said}; its logical slots are not known: {why}")),
    };
    let mut is_well = true;
    let mut told = vec![said];
    for Kept { name, read, lost } in slots {
        let word = match found.iter().find(|slot| slot.name == *name) {
            None if *lost => "is not there, as was said before",
            None => "is not there",
            Some(slot) if slot.is_lost() => "is lost",
            Some(slot) if slot.active => "is read",
            Some(_) if *read => "is there, and nobody reads it yet",
            Some(_) => "is there, read by nobody, as before",
        };
        is_well &=
            matches!(word, "is read" | "is there, read by nobody, as before" | "is not there, as was said before");
        told.push(format!("slot {name} {word}{}", elsewhere(&asked[1..], name)));
    }
    let told = told.join("; ");
    if is_well { Judged::Proved(told) } else { Judged::Nearly(told) }
}

fn slots_of(answer: &Result<Answer, Fault>) -> Result<&[Slot], String> {
    match answer {
        Ok(Answer::Sample(sample)) => match sample.first() {
            Some((_, Ok(Rows::Slots(found)))) => Ok(found),
            Some((_, Err(fault))) => Err(fault.to_string()),
            _ => Err("something else was answered".into()),
        },
        Ok(_) => Err("something else was answered".into()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Which other members have that slot, and which lack it.
fn elsewhere(asked: &[Looked], name: &str) -> String {
    let (mut on, mut missing, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (probe, answer) in asked {
        let Probe::Sample { instance, .. } = probe else { continue };
        let place = match slots_of(answer) {
            Ok(found) if found.iter().any(|slot| *slot.name == *name && !slot.is_lost()) => &mut on,
            Ok(_) => &mut missing,
            Err(_) => &mut unknown,
        };
        place.push(&*instance.member);
    }
    let parts = [("on", on), ("missing on", missing), ("not known on", unknown)];
    let told = parts.iter().filter(|(_, members)| !members.is_empty());
    let told: Vec<String> = told.map(|(word, members)| format!("{word} {}", members.join(", "))).collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fault::Fault;
    use crate::id::{ClusterId, InstanceId, PlaneId};
    use crate::metric::SurveyId;
    use crate::metric::slots::tests::logical;
    use crate::work::probe::Probe;

    fn slots_on(member: &str, found: Result<&[(&str, bool)], Fault>) -> Looked {
        let cluster = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "shop".into() };
        let instance = InstanceId { cluster, member: member.into() };
        let rows = found.map(|found| {
            let slots =
                found.iter().map(|(name, active)| crate::metric::slots::Slot { active: *active, ..logical(name) });
            Rows::Slots(slots.collect())
        });
        let probe = Probe::Sample { instance, surveys: vec![SurveyId::Slots] };
        (probe, Ok(Answer::Sample(vec![(SurveyId::Slots, rows)])))
    }

    fn kept(name: &str, read: bool, lost: bool) -> Kept {
        Kept { name: name.into(), read, lost }
    }

    fn check(before: &[(&str, bool)], found: Result<&[(&str, bool)], Fault>, expected: &Judged) {
        let before: Vec<Kept> = before.iter().map(|(name, read)| kept(name, *read, false)).collect();
        assert_eq!(has_slots("it leads".into(), &before, &[slots_on("shop-1", found)]), *expected);
    }

    #[test]
    fn logical_consumers_are_looked_for_where_there_were_some() {
        let proved = |text: &str| Judged::Proved(text.into());
        let nearly = |text: &str| Judged::Nearly(text.into());
        check(&[("cdc", true)], Ok(&[("cdc", true)]), &proved("it leads; slot cdc is read"));
        check(
            &[("cdc", false)],
            Ok(&[("cdc", false)]),
            &proved("it leads; slot cdc is there, read by nobody, as before"),
        );
        check(&[("cdc", true)], Ok(&[("cdc", false)]), &nearly("it leads; slot cdc is there, and nobody reads it yet"));
        check(&[("cdc", true)], Ok(&[]), &nearly("it leads; slot cdc is not there"));
        check(&[], Err(Fault::Cancelled), &proved("it leads"));
        let others = [
            slots_on("shop-1", Ok(&[("cdc", true)])),
            slots_on("shop-0", Ok(&[("cdc", false)])),
            slots_on("shop-2", Ok(&[])),
            slots_on("shop-3", Err(Fault::Cancelled)),
        ];
        let before = [kept("cdc", true, false), kept("gone", true, true)];
        let told = "it leads; slot cdc is read (on shop-0; missing on shop-2; not known on shop-3); slot gone is not there, as \
                    was said before (missing on shop-0, shop-2; not known on shop-3)";
        assert_eq!(has_slots("it leads".into(), &before, &others), proved(told));
        let unknown = format!("it leads; its logical slots are not known: {}", Fault::Cancelled);
        check(&[("cdc", true)], Err(Fault::Cancelled), &nearly(&unknown));
    }

    #[test]
    fn who_is_not_listed_any_more_does_not_follow() {
        let member = |name: &str, role: &str| json!({"name": name, "role": role, "state": "streaming", "timeline": 2});
        let view = |members: &[Value]| PatroniView::read(&json!({"members": members}), json!({}));
        let followers = ["shop-0".into(), "shop-1".into(), "shop-2".into()];
        let judged = |members: &[Value]| leads(&view(members), "shop-1", Some(1), &followers);
        let (leader, standby) = (member("shop-1", "leader"), member("shop-2", "replica"));
        assert_eq!(
            judged(&[leader.clone(), standby.clone()]),
            Judged::NotYet("shop-1 leads on timeline 2; shop-0 is not there".into())
        );
        let all = [leader, standby, member("shop-0", "replica")];
        assert_eq!(judged(&all), Judged::Proved("shop-1 leads on timeline 2".into()));
    }
}
