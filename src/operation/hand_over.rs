//! What a new primary may lack: looked at in SQL on every member before the part is handed over.

use super::{Aim, Entry, Looked, instance};
use crate::id::Text;
use crate::metric::replication::WalSender;
use crate::metric::slots::Slot;
use crate::metric::vitals::{Replay, Vitals};
use crate::metric::{Rows, SurveyId};
use crate::work::entry::Light;
use crate::work::probe::{Answer, Probe};

/// A transaction that is open for longer is worth a line, in seconds.
const LONG: f64 = 300.0;

/// A sample of every member.
pub(super) fn probes(entry: &Entry, aim: &Aim) -> Vec<Probe> {
    let surveys = vec![SurveyId::Vitals, SurveyId::Slots, SurveyId::Replication];
    let sample = |name: &Text| Probe::Sample { instance: instance(aim, name), surveys: surveys.clone() };
    entry.cluster.members.iter().map(|member| sample(&member.name)).collect()
}

/// What one member answered, as far as it did.
#[derive(Default)]
struct Sample<'a> {
    vitals: Option<&'a Vitals>,
    slots: Option<&'a [Slot]>,
    senders: Option<&'a [WalSender]>,
    missing: Option<String>,
}

fn sample<'a>(looked: &'a [Looked], member: &str) -> Sample<'a> {
    let of = |probe: &Probe| matches!(probe, Probe::Sample { instance, .. } if *instance.member == *member);
    let mut sample = Sample::default();
    let rows = match looked.iter().find(|(probe, _)| of(probe)) {
        Some((_, Ok(Answer::Sample(rows)))) => rows,
        Some((_, Err(fault))) => return Sample { missing: Some(fault.to_string()), ..sample },
        _ => return Sample { missing: Some("it was not asked".into()), ..sample },
    };
    for (_, rows) in rows {
        match rows {
            Ok(Rows::Vitals(vitals)) => sample.vitals = Some(vitals),
            Ok(Rows::Slots(slots)) => sample.slots = Some(slots),
            Ok(Rows::Replication(senders)) => sample.senders = Some(senders),
            Ok(_) => {}
            Err(fault) => sample.missing = Some(fault.to_string()),
        }
    }
    sample
}

/// What stands against handing over from one to the other, and what breaks off by it.
pub(super) fn lights(looked: &[Looked], from: &str, to: &str) -> Vec<Light> {
    let (old, new) = (sample(looked, from), sample(looked, to));
    let mut lights = Vec::new();
    for (member, sample) in [(from, &old), (to, &new)] {
        if let Some(why) = &sample.missing {
            lights.push(Light::amber(format!("slots, replay and backups of {member} are not known: {why}")));
        }
    }
    if new.vitals.is_some_and(|vitals| matches!(vitals.replay, Replay::Paused | Replay::PauseRequested)) {
        lights.push(Light::red(format!("replay is paused on {to}: it cannot catch up; resume it first")));
    }
    if let Some(age) = old.vitals.and_then(|vitals| vitals.oldest_transaction).filter(|age| *age > LONG) {
        lights.push(Light::amber(format!("a transaction on {from} is open for {age:.0} s: it is rolled back")));
    }
    let is_backup = |sender: &&WalSender| sender.state.as_deref() == Some("backup");
    let backups = old.senders.unwrap_or_default().iter().filter(is_backup).count();
    if backups > 0 {
        lights.push(Light::amber(format!("{backups} base backup(s) run from {from}: they break off")));
    }
    if let (Some(here), Some(there)) = (old.slots, new.slots) {
        lights.push(slots(here, there, to));
    }
    lights
}

/// Logical slots live on one server alone, unless somebody copies them.
fn slots(here: &[Slot], there: &[Slot], to: &str) -> Light {
    let logical: Vec<&Slot> = here.iter().filter(|slot| slot.logical && !slot.temporary).collect();
    let lacks = |slot: &&&Slot| !there.iter().any(|other| other.name == slot.name && !other.is_lost());
    let lost: Vec<&str> = logical.iter().filter(lacks).map(|slot| &*slot.name).collect();
    if logical.is_empty() {
        return Light::green("there are no logical slots to lose");
    }
    if lost.is_empty() {
        let n = logical.len();
        return Light::green(format!("{to} has all of the {n} logical slots"));
    }
    Light::amber(format!("{to} lacks the logical slots {}: their consumers lose their place", lost.join(", ")))
}
