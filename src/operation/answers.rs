//! What was answered, out of all that was asked; else why not, with what helps.

use super::{Answer, Looked, Objects, PatroniView, Probe};
use crate::fault::Fault;
use crate::id::Text;
use crate::metric::activity::Backend;
use crate::metric::archiver::Archiver;
use crate::metric::replication::WalSender;
use crate::metric::slots::Slot;
use crate::metric::vitals::Vitals;
use crate::metric::{Rows, SurveyId};
use crate::work::probe::{Backups, BaseBackups};

fn told(fault: &Fault) -> String {
    format!("{fault}; {}", fault.remedy())
}

fn otherwise(what: &str) -> String {
    format!("{what} was not asked, or answered something else")
}

/// The answer to the first question that is so.
fn answer<'a>(looked: &'a [Looked], what: &str, is: impl Fn(&Probe) -> bool) -> Result<&'a Answer, String> {
    match looked.iter().find(|(probe, _)| is(probe)) {
        Some((_, Ok(answer))) => Ok(answer),
        Some((_, Err(fault))) => Err(told(fault)),
        None => Err(otherwise(what)),
    }
}

/// The rows of a survey in a sample.
fn rows<'a>(sample: &'a Answer, what: &str, survey: SurveyId) -> Result<&'a Rows, String> {
    let Answer::Sample(sample) = sample else { return Err(otherwise(what)) };
    match sample.iter().find(|(asked, _)| *asked == survey) {
        Some((_, Ok(rows))) => Ok(rows),
        Some((_, Err(fault))) => Err(told(fault)),
        None => Err(otherwise(what)),
    }
}

pub(super) fn objects(looked: &[Looked]) -> Result<&Objects, String> {
    let what = "the API server";
    match answer(looked, what, |probe| matches!(probe, Probe::Objects(_)))? {
        Answer::Objects(objects) => Ok(objects),
        _ => Err(otherwise(what)),
    }
}

pub(super) fn view(looked: &[Looked]) -> Result<&PatroniView, String> {
    let what = "Patroni";
    let found = answer(looked, what, |probe| matches!(probe, Probe::Patroni(_)));
    match found.map_err(|why| format!("Patroni does not answer: {why}"))? {
        Answer::Patroni(view) => Ok(view),
        _ => Err(otherwise(what)),
    }
}

pub(super) fn backups(looked: &[Looked]) -> Result<&Backups, String> {
    let what = "the API server";
    match answer(looked, what, |probe| matches!(probe, Probe::Backups(_)))? {
        Answer::Backups(backups) => Ok(backups),
        _ => Err(otherwise(what)),
    }
}

pub(super) fn base_backups(looked: &[Looked]) -> Result<&BaseBackups, String> {
    let what = "the primary's own tool";
    match answer(looked, what, |probe| matches!(probe, Probe::BaseBackups(_)))? {
        Answer::BaseBackups(backups) => Ok(backups),
        _ => Err(otherwise(what)),
    }
}

/// What one member answered, survey by survey.
pub(super) struct Sampled<'a> {
    pub member: &'a Text,
    pub vitals: Result<&'a Vitals, String>,
    pub slots: Result<&'a [Slot], String>,
    pub senders: Result<&'a [WalSender], String>,
    pub archiver: Result<&'a Archiver, String>,
}

/// Every member that was sampled, in that order.
pub(super) fn sampled(looked: &[Looked]) -> Vec<Sampled<'_>> {
    let each = looked.iter().filter_map(|(probe, answer)| match probe {
        Probe::Sample { instance, .. } => Some(of_member(&instance.member, answer)),
        _ => None,
    });
    each.collect()
}

fn of_member<'a>(member: &'a Text, answer: &'a Result<Answer, Fault>) -> Sampled<'a> {
    let rows = |survey| answer.as_ref().map_err(told).and_then(|sample| rows(sample, member, survey));
    let other = || otherwise(member);
    Sampled {
        member,
        vitals: match rows(SurveyId::Vitals) {
            Ok(Rows::Vitals(vitals)) => Ok(vitals),
            rows => Err(rows.err().unwrap_or_else(other)),
        },
        slots: match rows(SurveyId::Slots) {
            Ok(Rows::Slots(slots)) => Ok(slots),
            rows => Err(rows.err().unwrap_or_else(other)),
        },
        senders: match rows(SurveyId::Replication) {
            Ok(Rows::Replication(senders)) => Ok(senders),
            rows => Err(rows.err().unwrap_or_else(other)),
        },
        archiver: match rows(SurveyId::Archiver) {
            Ok(Rows::Archiver(archiver)) => Ok(archiver),
            rows => Err(rows.err().unwrap_or_else(other)),
        },
    }
}

/// The archiver of whoever was sampled.
pub(super) fn archiver(looked: &[Looked]) -> Result<&Archiver, String> {
    let what = "the primary";
    let sample = answer(looked, what, |probe| matches!(probe, Probe::Sample { .. }))?;
    match rows(sample, what, SurveyId::Archiver)? {
        Rows::Archiver(archiver) => Ok(archiver),
        _ => Err(otherwise(what)),
    }
}

/// The vitals of a member.
pub(super) fn vitals<'a>(looked: &'a [Looked], member: &Text) -> Result<&'a Vitals, String> {
    let of = |probe: &Probe| matches!(probe, Probe::Sample { instance, .. } if instance.member == *member);
    let found = answer(looked, member, of).and_then(|sample| rows(sample, member, SurveyId::Vitals));
    match found.map_err(|why| format!("{member} cannot be asked: {why}"))? {
        Rows::Vitals(vitals) => Ok(vitals),
        _ => Err(otherwise(member)),
    }
}

/// The sessions of whoever was sampled.
pub(super) fn activity(looked: &[Looked]) -> Result<&[Backend], String> {
    let what = "the server";
    let sample = answer(looked, what, |probe| matches!(probe, Probe::Sample { .. }))?;
    match rows(sample, what, SurveyId::Activity)? {
        Rows::Activity(backends) => Ok(backends),
        _ => Err(otherwise(what)),
    }
}

/// That an instance was reached: its version, whether it leads, whether by TLS.
pub(super) fn reached(looked: &[Looked]) -> Result<(u32, bool, bool), String> {
    let what = "the server";
    match answer(looked, what, |probe| matches!(probe, Probe::Reach(_)))? {
        Answer::Reached { version, primary, tls } => Ok((*version, *primary, *tls)),
        _ => Err(otherwise(what)),
    }
}
