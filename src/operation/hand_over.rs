//! What a new primary may lack: looked at in SQL on every member before the part is handed over.

use super::answers::{Sampled, sampled};
use super::{Aim, Entry, Looked, instance, slots};
use crate::id::Text;
use crate::metric::SurveyId;
use crate::metric::archiver::Archiving;
use crate::metric::lsn::Bytes;
use crate::metric::replication::WalSender;
use crate::metric::vitals::Replay;
use crate::run::expect::Kept;
use crate::work::entry::Light;
use crate::work::patroni::PatroniView;
use crate::work::probe::Probe;

/// A transaction that is open for longer is worth a line, in seconds.
const LONG: f64 = 300.0;

/// So much WAL that is not archived yet holds up the end of the old primary: Postgres archives it before it stops.
const BACKLOG: Bytes = Bytes(1 << 30);

/// A sample of every member.
pub(super) fn probes(entry: &Entry, aim: &Aim) -> Vec<Probe> {
    let surveys = vec![SurveyId::Vitals, SurveyId::Slots, SurveyId::Replication, SurveyId::Archiver];
    let sample = |name: &Text| Probe::Sample { instance: instance(aim, name), surveys: surveys.clone() };
    entry.cluster.members.iter().map(|member| sample(&member.name)).collect()
}

/// What stands against handing over from one to the other, and what breaks off by it; the logical slots that the other should
/// have then.
pub(super) fn lights(looked: &[Looked], view: &PatroniView, from: &str, to: &str) -> (Vec<Light>, Vec<Kept>) {
    let all = sampled(looked);
    let of = |member: &str| all.iter().find(|sampled| **sampled.member == *member);
    let mut lights = Vec::new();
    for (member, sampled) in [(from, of(from)), (to, of(to))] {
        let why = sampled.map_or_else(|| Some("it was not asked".to_owned()), unanswered);
        lights
            .extend(why.map(|why| Light::amber(format!("slots, replay and backups of {member} are not known: {why}"))));
    }
    let vitals = |member| of(member).and_then(|sampled| sampled.vitals.as_ref().ok());
    if vitals(to).is_some_and(|vitals| matches!(vitals.replay, Replay::Paused | Replay::PauseRequested)) {
        lights.push(Light::red(format!("replay is paused on {to}: it cannot catch up; resume it first")));
    }
    if let Some(age) = vitals(from).and_then(|vitals| vitals.oldest_transaction).filter(|age| *age > LONG) {
        lights.push(Light::amber(format!("a transaction on {from} is open for {age:.0} s: it is rolled back")));
    }
    let senders = of(from).and_then(|sampled| sampled.senders.as_deref().ok()).unwrap_or_default();
    let is_backup = |sender: &&WalSender| sender.state.as_deref() == Some("backup");
    let backups = senders.iter().filter(is_backup).count();
    if backups > 0 {
        lights.push(Light::amber(format!("{backups} base backup(s) run from {from}: they break off")));
    }
    lights.extend(of(from).and_then(archive));
    let (of_slots, kept) = slots::handed_over(&all, view, from, to);
    lights.extend(of_slots);
    lights.extend(slots::unknown(&all, view, "the old primary starts anew").into_iter().map(Light::amber));
    (lights, kept)
}

fn unanswered(sampled: &Sampled<'_>) -> Option<String> {
    sampled.vitals.as_ref().err().or(sampled.slots.as_ref().err()).cloned()
}

/// How far archiving is behind on a server that shall stop.
pub(super) fn archive(of: &Sampled<'_>) -> Option<Light> {
    let member = of.member;
    let archiver = match &of.archiver {
        Ok(archiver) => archiver,
        Err(why) => return Some(Light::amber(format!("whether {member} has WAL to archive is not known: {why}"))),
    };
    let behind = of.vitals.as_ref().ok().and_then(|vitals| vitals.written).and_then(|at| archiver.behind(at));
    let much = behind.map_or("an unknown amount of WAL".into(), |behind| format!("{} MiB of WAL", behind.0 >> 20));
    match archiver.archiving() {
        Archiving::Off => None,
        Archiving::Failing => Some(Light::amber(format!(
            "archiving fails on {member}, and {much} wait for it: it stops without having archived them"
        ))),
        Archiving::On if behind.is_some_and(|behind| behind > BACKLOG) => Some(Light::amber(format!(
            "{much} of {member} are not archived yet: it archives them before it stops, and writes wait so long"
        ))),
        Archiving::On => Some(Light::green(format!("{member} archives, and {much} are not archived yet"))),
    }
}
