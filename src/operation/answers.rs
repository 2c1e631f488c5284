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
use crate::work::probe::{Backups, BaseBackups, Left};

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

/// What is left of a cluster without a CR.
pub(super) fn remains(looked: &[Looked]) -> Result<&[Left], String> {
    let what = "the API server";
    match answer(looked, what, |probe| matches!(probe, Probe::Remains(_)))? {
        Answer::Remains(left) => Ok(left),
        _ => Err(otherwise(what)),
    }
}

/// What Patroni says.
pub(super) fn view(looked: &[Looked]) -> Result<&PatroniView, String> {
    spoke(looked).map(|(_, view)| view)
}

/// The member whose Patroni was asked first of those that answered, and what it said.
pub(super) fn spoke(looked: &[Looked]) -> Result<(&Text, &PatroniView), String> {
    let spoke = looked.iter().find_map(|(probe, answer)| match (probe, answer) {
        (Probe::Patroni(asked), Ok(Answer::Patroni(view))) => Some((&asked.member, &**view)),
        _ => None,
    });
    spoke.ok_or_else(|| {
        let faults = looked.iter().filter(|(probe, _)| matches!(probe, Probe::Patroni(_)));
        let faults: Vec<String> = faults.filter_map(|(_, answer)| answer.as_ref().err().map(told)).collect();
        let why = if faults.is_empty() { otherwise("Patroni") } else { faults.join("; ") };
        format!("Patroni does not answer: {why}")
    })
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
    pub activity: Result<&'a [Backend], String>,
}

impl Sampled<'_> {
    /// Why nothing at all was answered; none if anything was.
    pub fn silence(&self) -> Option<&str> {
        let asked = [
            self.vitals.as_ref().err(),
            self.slots.as_ref().err(),
            self.senders.as_ref().err(),
            self.archiver.as_ref().err(),
        ];
        asked.into_iter().collect::<Option<Vec<_>>>()?.first().map(|why| why.as_str())
    }
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
    let sample = || answer.as_ref().map_err(told);
    Sampled {
        member,
        vitals: sample().and_then(|sample| vitals_of(sample, member)),
        slots: sample().and_then(|sample| {
            pick(
                sample,
                member,
                SurveyId::Slots,
                |rows| if let Rows::Slots(slots) = rows { Some(&slots[..]) } else { None },
            )
        }),
        senders: sample().and_then(|sample| {
            pick(sample, member, SurveyId::Replication, |rows| {
                if let Rows::Replication(senders) = rows { Some(&senders[..]) } else { None }
            })
        }),
        archiver: sample().and_then(|sample| archiver_of(sample, member)),
        activity: sample().and_then(|sample| activity_of(sample, member)),
    }
}

/// The rows of one kind in a sample, or what is in the way.
fn pick<'a, T: ?Sized>(
    sample: &'a Answer,
    what: &str,
    survey: SurveyId,
    of: impl Fn(&'a Rows) -> Option<&'a T>,
) -> Result<&'a T, String> {
    of(rows(sample, what, survey)?).ok_or_else(|| otherwise(what))
}

fn vitals_of<'a>(sample: &'a Answer, what: &str) -> Result<&'a Vitals, String> {
    pick(sample, what, SurveyId::Vitals, |rows| if let Rows::Vitals(vitals) = rows { Some(&**vitals) } else { None })
}

fn archiver_of<'a>(sample: &'a Answer, what: &str) -> Result<&'a Archiver, String> {
    pick(
        sample,
        what,
        SurveyId::Archiver,
        |rows| if let Rows::Archiver(archiver) = rows { Some(archiver) } else { None },
    )
}

/// The archiver of whoever was sampled.
pub(super) fn archiver(looked: &[Looked]) -> Result<&Archiver, String> {
    let what = "the primary";
    archiver_of(answer(looked, what, |probe| matches!(probe, Probe::Sample { .. }))?, what)
}

/// The vitals of a member.
pub(super) fn vitals<'a>(looked: &'a [Looked], member: &Text) -> Result<&'a Vitals, String> {
    let of = |probe: &Probe| matches!(probe, Probe::Sample { instance, .. } if instance.member == *member);
    let found = answer(looked, member, of).and_then(|sample| vitals_of(sample, member));
    found.map_err(|why| format!("{member} cannot be asked: {why}"))
}

/// The sessions of whoever was sampled.
pub(super) fn activity(looked: &[Looked]) -> Result<&[Backend], String> {
    let what = "the server";
    activity_of(answer(looked, what, |probe| matches!(probe, Probe::Sample { .. }))?, what)
}

fn activity_of<'a>(sample: &'a Answer, what: &str) -> Result<&'a [Backend], String> {
    pick(
        sample,
        what,
        SurveyId::Activity,
        |rows| if let Rows::Activity(backends) = rows { Some(&backends[..]) } else { None },
    )
}

/// That an instance was reached: its version, whether it leads, whether by TLS.
pub(super) fn reached(looked: &[Looked]) -> Result<(u32, bool, bool), String> {
    let what = "the server";
    match answer(looked, what, |probe| matches!(probe, Probe::Reach(_)))? {
        Answer::Reached { version, primary, tls } => Ok((*version, *primary, *tls)),
        _ => Err(otherwise(what)),
    }
}
