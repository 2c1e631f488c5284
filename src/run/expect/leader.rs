//! A new leader: that it leads, who follows it, and whether logical consumers have found it.

use super::streams::{self, Silence, Standby, Word};
use super::{Judged, Kept};
use crate::id::{InstanceId, Text};
use crate::metric::slots::Slot;
use crate::metric::{Rows, SurveyId};
use crate::run::Looked;
use crate::work::patroni::{PatroniView, Peer};
use crate::work::probe::{Answer, Probe};

/// What is asked: its Patroni, itself, and where slots are looked for, the others.
pub(super) fn probes(instance: &InstanceId, followers: &[Text], with_slots: bool) -> Vec<Probe> {
    let slots: &[SurveyId] = if with_slots { &[SurveyId::Slots] } else { &[] };
    let own = streams::probe(instance, &[&[SurveyId::Vitals], slots].concat());
    let others = followers.iter().filter(|member| with_slots && **member != instance.member);
    let others = others.map(|member| Probe::Sample {
        instance: InstanceId { cluster: instance.cluster.clone(), member: member.clone() },
        surveys: slots.to_vec(),
    });
    [Probe::Patroni(instance.clone()), own].into_iter().chain(others).collect()
}

/// That member leads, on a timeline after the one before, by Patroni's word and its own, and the others stream from it, by its
/// own word; what it cannot be asked is Patroni's word. `asked`: its sample.
pub(super) fn leads(
    view: &PatroniView,
    expected: &str,
    before: Option<u32>,
    followers: &[Text],
    asked: Option<&Looked>,
) -> Judged {
    let Some(leader) = view.leader() else { return Judged::NotYet("no member leads".into()) };
    let timeline = leader.timeline.map_or("an unknown timeline".into(), |timeline| format!("timeline {timeline}"));
    let what = if leader.standby_leader { "the standby cluster " } else { "" };
    let said = format!("{} leads {what}on {timeline}", leader.name);
    let is_old = before.is_some() && leader.timeline <= before && !leader.standby_leader;
    if *leader.name != *expected || is_old {
        return Judged::NotYet(format!("{said} by Patroni's word"));
    }
    let (said, is_own) = match own_word(leader, asked) {
        Ok(()) => (said, true),
        Err(Told::Otherwise(what)) => return Judged::NotYet(format!("{said} by Patroni's word, and {what}")),
        Err(Told::Nothing(Silence::Hidden(why))) => (format!("{said} by Patroni's word alone ({why})"), true),
        Err(Told::Nothing(Silence::NoAnswer(why))) => (format!("{said} by Patroni's word alone ({why})"), false),
    };
    let others = followers.iter().filter(|name| **name != leader.name);
    let standbys: Vec<Standby<'_>> = others.map(|name| Standby::listed(name, view, leader)).collect();
    let streaming = match standbys.len() {
        0 => Judged::Proved("no standby ran that should follow".into()),
        _ => streams::from(&leader.name, &standbys, asked),
    };
    match streaming.after(&said) {
        // It may answer in a moment.
        Judged::Proved(said) if !is_own => Judged::Nearly(said),
        judged => judged,
    }
}

/// Whether these stream from a primary that was sampled; its Patroni was asked after it.
pub(super) fn streamed_from(said: &str, primary: &str, followers: &[Text], looked: &[Looked]) -> Judged {
    let view = match looked.get(1) {
        Some((_, Ok(Answer::Patroni(view)))) => Ok(view),
        Some((_, Err(fault))) => Err(fault.to_string()),
        Some(_) | None => Err("it was not asked".into()),
    };
    let standby = |name| match (&view, view.as_ref().ok().and_then(|view| view.leader())) {
        (Ok(view), Some(leader)) => Standby::listed(name, view, leader),
        (Ok(_), None) => Standby { name, word: Word::Otherwise("has no leader".into()) },
        (Err(why), _) => Standby { name, word: Word::Otherwise(format!("is not known ({why})")) },
    };
    let standbys: Vec<Standby<'_>> = followers.iter().map(|name| standby(name)).collect();
    streams::from(primary, &standbys, looked.first()).after(said)
}

/// What a leader says of itself, if not that it leads.
enum Told {
    Otherwise(String),
    Nothing(Silence),
}

/// Whether it calls itself a primary, on the timeline that Patroni names; in a standby cluster a standby.
fn own_word(leader: &Peer, asked: Option<&Looked>) -> Result<(), Told> {
    match streams::rows(asked, SurveyId::Vitals).map_err(Told::Nothing)? {
        Rows::Vitals(vitals) if vitals.in_recovery != leader.standby_leader => {
            let itself = if vitals.in_recovery { "standby" } else { "primary" };
            Err(Told::Otherwise(format!("calls itself a {itself}")))
        }
        Rows::Vitals(vitals) => match (vitals.timeline, leader.timeline) {
            (Some(own), Some(told)) if own != told => {
                Err(Told::Otherwise(format!("writes on timeline {own} by its own")))
            }
            _ => Ok(()),
        },
        _ => Err(Told::Nothing(Silence::NoAnswer("something else was answered".into()))),
    }
}

/// Whether the new leader, which is asked first, has the logical slots that it should have, and whether they are read again
/// where they were before; which other members have them is told. `led`: what is seen of the leader itself.
pub(super) fn has_slots(led: Judged, slots: &[Kept], asked: &[Looked]) -> Judged {
    let (said, is_proved) = match led {
        Judged::Proved(said) => (said, true),
        Judged::Nearly(said) => (said, false),
        Judged::NotYet(_) | Judged::Failed(_) => return led,
    };
    let judged = |is_well: bool, said: String| {
        if is_well && is_proved { Judged::Proved(said) } else { Judged::Nearly(said) }
    };
    if slots.is_empty() {
        return judged(true, said);
    }
    let found = match slots_of(asked.first()) {
        Ok(found) => found,
        Err(why) => return judged(false, format!("{said}; its logical slots are not known: {why}")),
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
    judged(is_well, told.join("; "))
}

fn slots_of(asked: Option<&Looked>) -> Result<&[Slot], String> {
    match streams::rows(asked, SurveyId::Slots) {
        Ok(Rows::Slots(found)) => Ok(found),
        Ok(_) => Err("something else was answered".into()),
        Err(Silence::Hidden(why) | Silence::NoAnswer(why)) => Err(why),
    }
}

/// Which other members have that slot, and which lack it.
fn elsewhere(asked: &[Looked], name: &str) -> String {
    let (mut on, mut missing, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for looked in asked {
        let Probe::Sample { instance, .. } = &looked.0 else { continue };
        let place = match slots_of(Some(looked)) {
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
    use serde_json::json;

    use super::*;
    use crate::fault::Fault;
    use crate::id::{ClusterId, PlaneId};
    use crate::metric::replication::tests::sender;
    use crate::metric::slots::tests::logical;
    use crate::metric::vitals::Vitals;

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
        assert_eq!(has_slots(Judged::Proved("it leads".into()), &before, &[slots_on("shop-1", found)]), *expected);
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
        assert_eq!(has_slots(Judged::Proved("it leads".into()), &before, &others), proved(told));
        let unknown = format!("it leads; its logical slots are not known: {}", Fault::Cancelled);
        check(&[("cdc", true)], Err(Fault::Cancelled), &nearly(&unknown));
    }

    /// Three members, shop-1 leads on timeline 2.
    fn view(others: &[&str]) -> PatroniView {
        let member = |name: &str, role: &str| json!({"name": name, "role": role, "state": "streaming", "timeline": 2});
        let mut members = vec![member("shop-1", "leader")];
        members.extend(others.iter().map(|name| member(name, "replica")));
        PatroniView::read(&json!({"members": members}), json!({}))
    }

    /// What the new leader says: of itself, and who streams from it.
    fn sampled(in_recovery: bool, timeline: u32, streaming: &[&str]) -> Looked {
        let vitals = Vitals { timeline: Some(timeline), ..crate::fleet::health::tests::vitals(in_recovery) };
        let senders = streaming.iter().map(|name| sender(name, Some("streaming"))).collect();
        let rows = vec![
            (SurveyId::Vitals, Ok(Rows::Vitals(Box::new(vitals)))),
            (SurveyId::Replication, Ok(Rows::Replication(senders))),
        ];
        let (probe, _) = slots_on("shop-1", Ok(&[]));
        (probe, Ok(Answer::Sample(rows)))
    }

    fn judged(others: &[&str], asked: &Looked) -> Judged {
        let followers = ["shop-0".into(), "shop-1".into(), "shop-2".into()];
        leads(&view(others), "shop-1", Some(1), &followers, Some(asked))
    }

    #[test]
    fn a_new_leader_leads_and_is_streamed_from_by_its_own_word() {
        let both = ["shop-0", "shop-2"];
        let told = "shop-1 leads on timeline 2; 2 of 2 standbys stream from shop-1 (pg_stat_replication)";
        assert_eq!(judged(&both, &sampled(false, 2, &both)), Judged::Proved(told.into()));
        // Whoever is not listed any more has not come back.
        let told = "shop-1 leads on timeline 2; 1 of 2 standbys stream from shop-1 (pg_stat_replication); shop-0 is not there \
                    by Patroni's word";
        assert_eq!(judged(&["shop-2"], &sampled(false, 2, &["shop-2"])), Judged::NotYet(told.into()));
        // Patroni is ahead of the server itself.
        let told = "shop-1 leads on timeline 2 by Patroni's word, and calls itself a standby";
        assert_eq!(judged(&both, &sampled(true, 1, &[])), Judged::NotYet(told.into()));
        let told = "shop-1 leads on timeline 2 by Patroni's word, and writes on timeline 1 by its own";
        assert_eq!(judged(&both, &sampled(false, 1, &both)), Judged::NotYet(told.into()));
        assert_eq!(
            leads(&view(&[]), "shop-1", Some(2), &[], Some(&sampled(false, 2, &[]))),
            Judged::NotYet("shop-1 leads on timeline 2 by Patroni's word".into())
        );
    }

    #[test]
    fn a_leader_that_cannot_be_asked_leads_by_patronis_word_and_that_is_said() {
        let silent = |fault: Fault| (slots_on("shop-1", Ok(&[])).0, Err(fault));
        let forbidden = Fault::Forbidden { what: "it".into(), needs: "create pods/portforward".into() };
        let Judged::Proved(said) = judged(&["shop-0", "shop-2"], &silent(forbidden)) else { panic!("not proved") };
        assert!(said.starts_with("shop-1 leads on timeline 2 by Patroni's word alone ("), "{said}");
        assert!(said.contains("2 of 2 standbys follow by Patroni's word alone ("), "{said}");
        // One that does not answer yet is asked again for a while.
        let lost = Fault::Unreachable { what: "it".into(), why: "refused".into() };
        assert!(
            matches!(judged(&["shop-0", "shop-2"], &silent(lost)), Judged::Nearly(said) if said.contains("refused"))
        );
        assert!(matches!(judged(&["shop-2"], &silent(Fault::Cancelled)), Judged::NotYet(_)));
    }
}
