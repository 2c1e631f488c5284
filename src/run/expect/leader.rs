//! A new leader: that it leads, who follows it, and whether logical consumers have found it.

use super::{Judged, Kept, when};
use crate::fleet::cluster::Role;
use crate::id::Text;
use crate::metric::Rows;
use crate::run::Looked;
use crate::work::patroni::PatroniView;
use crate::work::probe::Answer;

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
    let behind: Vec<String> = view
        .members
        .iter()
        .filter(|peer| followers.contains(&peer.name) && peer.role != Role::Primary)
        .filter(|peer| !peer.is_running() || peer.timeline != leader.timeline)
        .map(|peer| format!("{} is {}", peer.name, peer.state))
        .collect();
    when(behind.is_empty(), if behind.is_empty() { said } else { format!("{said}; {}", behind.join(", ")) })
}

/// Whether it has the logical slots that it should have, and whether they are read again where they were before.
pub(super) fn has_slots(said: String, slots: &[Kept], asked: Option<&Looked>) -> Judged {
    if slots.is_empty() {
        return Judged::Proved(said);
    }
    let rows = match asked {
        Some((_, Ok(Answer::Sample(sample)))) => sample.first().map(|(_, rows)| rows.as_ref()),
        Some((_, Err(fault))) => return Judged::Nearly(format!("{said}; its logical slots are not known: {fault}")),
        _ => None,
    };
    let found = match rows {
        Some(Ok(Rows::Slots(found))) => found,
        Some(Err(fault)) => return Judged::Nearly(format!("{said}; its logical slots are not known: {fault}")),
        _ => return Judged::Nearly(format!("{said}; its logical slots are not known")),
    };
    let mut is_well = true;
    let mut told = vec![said];
    for Kept { name, read } in slots {
        let word = match found.iter().find(|slot| slot.name == *name) {
            None => "is not there",
            Some(slot) if slot.is_lost() => "is lost",
            Some(slot) if slot.active => "is read",
            Some(_) if *read => "is there, and nobody reads it yet",
            Some(_) => "is there, read by nobody, as before",
        };
        is_well &= matches!(word, "is read" | "is there, read by nobody, as before");
        told.push(format!("slot {name} {word}"));
    }
    let told = told.join("; ");
    if is_well { Judged::Proved(told) } else { Judged::Nearly(told) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::id::{ClusterId, InstanceId, PlaneId};
    use crate::metric::SurveyId;
    use crate::metric::slots::tests::logical;
    use crate::work::probe::Probe;

    fn check(kept: &[(&str, bool)], found: Result<&[(&str, bool)], Fault>, expected: &Judged) {
        let cluster = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "shop".into() };
        let instance = InstanceId { cluster, member: "shop-1".into() };
        let rows = found.map(|found| {
            let slots =
                found.iter().map(|(name, active)| crate::metric::slots::Slot { active: *active, ..logical(name) });
            Rows::Slots(slots.collect())
        });
        let probe = Probe::Sample { instance, surveys: vec![SurveyId::Slots] };
        let looked = (probe, Ok(Answer::Sample(vec![(SurveyId::Slots, rows)])));
        let kept: Vec<Kept> = kept.iter().map(|(name, read)| Kept { name: (*name).into(), read: *read }).collect();
        assert_eq!(has_slots("it leads".into(), &kept, Some(&looked)), *expected);
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
        let unknown = format!("it leads; its logical slots are not known: {}", Fault::Cancelled);
        check(&[("cdc", true)], Err(Fault::Cancelled), &nearly(&unknown));
    }
}
