//! What a new primary may lack, and what breaks off on the old one: looked at in SQL on every member before the part is handed
//! over.

use super::answers::{Sampled, sampled};
use super::{Aim, Entry, Looked, candidates, instance, slots, view};
use crate::id::Text;
use crate::metric::SurveyId;
use crate::metric::activity::Backend;
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

/// What is asked of a member that stops, or may lead.
pub(super) const SURVEYS: [SurveyId; 5] =
    [SurveyId::Vitals, SurveyId::Slots, SurveyId::Replication, SurveyId::Archiver, SurveyId::Activity];

/// A sample of every member.
pub(super) fn probes(entry: &Entry, aim: &Aim) -> Vec<Probe> {
    let sample = |name: &Text| Probe::Sample { instance: instance(aim, name), surveys: SURVEYS.to_vec() };
    entry.cluster.members.iter().map(|member| sample(&member.name)).collect()
}

/// What stands for and against handing over from one to the other, and what breaks off by it; how the logical slots should be
/// on the other then.
pub(super) fn lights(looked: &[Looked], view: &PatroniView, from: &str, to: &str) -> (Vec<Light>, Vec<Kept>) {
    let all = sampled(looked);
    let of = |member: &str| all.iter().find(|sampled| **sampled.member == *member);
    let mut lights = vec![leads(of(from), view, from), candidates::synchronous(view)];
    lights.extend(candidates::lights(looked, view, to));
    let paused = |vitals: &Replay| matches!(vitals, Replay::Paused | Replay::PauseRequested);
    if of(to).and_then(|of| of.vitals.as_ref().ok()).is_some_and(|vitals| paused(&vitals.replay)) {
        lights.push(Light::red(format!("replay is paused on {to}: it cannot catch up; resume it first")));
    }
    match of(from) {
        Some(of) => lights.extend(stops(of)),
        None => {
            lights.push(Light::amber(format!("slots, transactions and backups of {from} are not known: nobody asked")));
        }
    }
    let (of_slots, kept) = slots::handed_over(&all, view, from, to);
    lights.extend(of_slots);
    lights.extend(slots::unknown(&all, view, "the old primary starts anew").into_iter().map(Light::amber));
    (lights, kept)
}

/// What stands for and against the operator's rolling update: every pod is made anew, the primary's after a switchover.
pub(super) fn rolls(looked: &[Looked]) -> Vec<Light> {
    let view = match view(looked) {
        Ok(view) => view,
        Err(why) => return vec![Light::amber(format!("whether a member could take over is not known: {why}"))],
    };
    let all = sampled(looked);
    let mut lights = vec![candidates::synchronous(view)];
    lights.push(match candidates::best(view, view.members.iter()) {
        Some(best) => Light::green(format!("{} could take over from the primary", best.name)),
        // Seen with 2.0.1: standbys made anew, the old primary left, SyncFailed.
        None => Light::amber(
            "no member could take over: the rolling update would stop half-way, or cut the only member off",
        ),
    });
    lights.extend(slots::unknown(&all, view, "a pod is made anew").into_iter().map(Light::amber));
    lights.extend(slots::untold(&all));
    lights
}

/// Who leads, by Patroni's word and its own.
pub(super) fn leads(of: Option<&Sampled<'_>>, view: &PatroniView, from: &str) -> Light {
    let timeline = view.leader().and_then(|leader| leader.timeline);
    let shown = timeline.map_or_else(|| "an unknown timeline".into(), |timeline| format!("timeline {timeline}"));
    let follows = view.is_standby_cluster();
    let what = if follows { "the standby cluster " } else { "" };
    let said = format!("{from} leads {what}on {shown} by Patroni's word");
    match of.map(|of| of.vitals.as_ref()) {
        None => Light::amber(format!("{said}; its own was not asked for")),
        Some(Err(why)) => Light::amber(format!("{said}; its own is not known: {why}")),
        Some(Ok(vitals)) if vitals.in_recovery != follows => {
            let itself = if follows { "primary" } else { "standby" };
            Light::red(format!("{said}, and calls itself a {itself}: look again"))
        }
        Some(Ok(vitals)) if timeline.is_some() && vitals.timeline.is_some() && vitals.timeline != timeline => {
            let own = vitals.timeline.unwrap_or_default();
            Light::amber(format!("{said}, and by its own on timeline {own}"))
        }
        Some(Ok(_)) => Light::green(format!("{said} and its own")),
    }
}

/// What breaks off on a server that shall stop, and what it does before: base backups, transactions, archiving.
pub(super) fn stops(of: &Sampled<'_>) -> Vec<Light> {
    let member = of.member;
    if let Some(why) = of.silence() {
        let text = format!("base backups, transactions and archiving of {member} are not known: {why}");
        return vec![Light::amber(text)];
    }
    let mut lights = vec![base_backups(of), transactions(of)];
    // A standby archives nothing, unless it is told to (archive_mode = always).
    if of.vitals.as_ref().is_ok_and(|vitals| !vitals.in_recovery) {
        lights.push(archive(of));
    }
    lights
}

/// Whether a base backup runs from there: a streamed one has a WAL sender, the image's own tool a session that began one.
fn base_backups(of: &Sampled<'_>) -> Light {
    let member = of.member;
    match n_base_backups(of) {
        Err(why) => Light::amber(format!("whether a base backup runs from {member} is {why}")),
        Ok(0) => Light::green(format!("no base backup runs from {member}")),
        Ok(n) => Light::amber(format!("{n} base backup(s) run from {member}: they break off")),
    }
}

/// How many base backups run from there; else why nobody knows.
pub(super) fn n_base_backups(of: &Sampled<'_>) -> Result<usize, String> {
    let (senders, backends) = match (&of.senders, &of.activity) {
        (Ok(senders), Ok(backends)) => (*senders, *backends),
        (Err(why), _) | (_, Err(why)) => return Err(format!("not known: {why}")),
    };
    if senders.iter().any(|sender| sender.state.is_none()) || backends.iter().any(is_hidden) {
        return Err("hidden: needs pg_monitor".into());
    }
    let is_streamed = |sender: &&WalSender| sender.state.as_deref() == Some("backup");
    let is_begun = |backend: &&Backend| {
        // Before 15, and since.
        (backend.query.contains("pg_start_backup(") || backend.query.contains("pg_backup_start("))
            && &*backend.kind == "client backend"
    };
    Ok(senders.iter().filter(is_streamed).count() + backends.iter().filter(is_begun).count())
}

/// Whether what a session does is hidden from who may not see it.
fn is_hidden(backend: &Backend) -> bool {
    &*backend.query == "<insufficient privilege>"
}

fn transactions(of: &Sampled<'_>) -> Light {
    let member = of.member;
    let (vitals, backends) = match (&of.vitals, &of.activity) {
        (Ok(vitals), Ok(backends)) => (vitals, *backends),
        (Err(why), _) | (_, Err(why)) => {
            return Light::amber(format!("how long transactions on {member} are open is not known: {why}"));
        }
    };
    if backends.iter().any(is_hidden) {
        return Light::amber(format!("how long transactions on {member} are open is hidden: needs pg_monitor"));
    }
    let ages = || backends.iter().filter_map(|backend| backend.transaction_age);
    let oldest = ages().fold(0.0, f64::max);
    let (long, open) = (ages().filter(|age| *age > LONG).count(), ages().count());
    // Prepared transactions have no session, and outlive this one.
    let prepared = vitals.oldest_transaction.filter(|age| *age > LONG && long == 0);
    match (long, prepared) {
        (0, Some(age)) => Light::amber(format!("a prepared transaction on {member} is open for {age:.0} s: it stays")),
        (0, None) if open == 0 => Light::green(format!("no transaction is open on {member}")),
        (0, None) => Light::green(format!(
            "no transaction on {member} is open for more than {LONG:.0} s ({open} open, the oldest for {oldest:.0} s)"
        )),
        (n, _) => Light::amber(format!(
            "{n} transaction(s) on {member} are open for more than {LONG:.0} s, the oldest for {oldest:.0} s: rolled back"
        )),
    }
}

/// How far archiving is behind on a server that shall stop.
pub(super) fn archive(of: &Sampled<'_>) -> Light {
    let member = of.member;
    let archiver = match &of.archiver {
        Ok(archiver) => archiver,
        Err(why) => return Light::amber(format!("whether {member} has WAL to archive is not known: {why}")),
    };
    let behind = of.vitals.as_ref().ok().and_then(|vitals| vitals.written).and_then(|at| archiver.behind(at));
    let much = behind.map_or("an unknown amount of WAL".into(), |behind| format!("{behind} of WAL"));
    match archiver.archiving() {
        Archiving::Off => Light::green(format!("{member} archives no WAL: there is none to wait for")),
        Archiving::Failing => Light::amber(format!(
            "archiving fails on {member}, and {much} wait for it: it stops without having archived them"
        )),
        Archiving::On if behind.is_some_and(|behind| behind > BACKLOG) => Light::amber(format!(
            "{much} of {member} are not archived yet: it archives them before it stops, and writes wait so long"
        )),
        Archiving::On => Light::green(format!("{member} archives, and {much} are not archived yet")),
    }
}
