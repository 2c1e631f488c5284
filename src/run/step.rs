//! One step of a run: aimed, recorded, sent, proved.

use jiff::{SignedDuration, Timestamp};

use super::expect::{Expect, Judged};
use super::{Cause, Looked, Out, Outcome, Pass, Phase, Run, Step, identity, wanted};
use crate::fault::Fault;
use crate::work::entry::{Unkept, What};
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe};

/// Whether an effect has been seen is asked again this often, in milliseconds.
pub(super) const EVERY_MS: u32 = 1_000;

/// An object is read again for so long before the next step is given up.
const REFRESHED: SignedDuration = SignedDuration::from_secs(60);

/// How the line begins that says why a patch is aimed anew,
const AIMED_ANEW: &str = "aimed anew: ";

/// and how often that may happen in one run.
const AT_MOST: usize = 5;

/// What follows from a proved effect is looked for so long.
const LONGER: SignedDuration = SignedDuration::from_secs(30);

impl Run {
    pub(super) fn record(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        let Some(next) = self.deal.as_ref().and_then(|deal| deal.steps.get(step)) else {
            return self.done(now);
        };
        let order = next.order.clone();
        let of = self.deal.as_ref().map_or(1, |deal| deal.steps.len());
        // It has nothing that JSON cannot hold.
        let expect = serde_json::to_value(&next.expect).unwrap_or_default();
        self.phase = Phase::Recording { step };
        vec![Out::Record(self.entry(now, What::Sending { step, of, order, expect }))]
    }

    /// Goes on to the next step, if that is still for the same cluster. A patch was aimed at the object as it was before the step
    /// before: it is aimed anew.
    pub(super) fn go_on(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        match self.step(step).map(|next| &next.order) {
            Some(Order::Patch { cluster, .. }) => {
                let probes = vec![Probe::Objects(cluster.clone())];
                self.phase = Phase::Refreshing { step, since: now };
                vec![Out::Look { probes, after_ms: 0 }]
            }
            // What is taken back is made certain by its own steps.
            Some(_) if self.back.is_none() && self.takes_back.is_none() => {
                let probes = vec![identity::probe(&self.aim)];
                self.phase = Phase::Refreshing { step, since: now };
                vec![Out::Look { probes, after_ms: 0 }]
            }
            _ => self.record(now, step),
        }
    }

    pub(super) fn refreshed(&mut self, now: Timestamp, step: usize, since: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let now_version = match (self.same_cluster(looked), looked.first()) {
            (Err(why), _) => return self.end(now, Outcome::Failed, &why),
            (Ok(()), Some((_, Ok(Answer::Objects(objects))))) => {
                if self.wanted.as_ref().is_some_and(|before| *before != wanted(objects)) {
                    let why = "the CR was changed by somebody else meanwhile: what comes next was not sent";
                    return self.end(now, Outcome::Failed, why);
                }
                objects.version.clone()
            }
            // Where the right to ask is missing, that was said before it was confirmed.
            (Ok(()), Some((Probe::Identity(_), Ok(_) | Err(Fault::Forbidden { .. })))) => {
                return self.record(now, step);
            }
            // What answers nobody now may answer in a moment: half-way is the worst place to give up.
            (
                Ok(()),
                Some((probe, Err(Fault::Unreachable { .. } | Fault::TimedOut { .. } | Fault::Throttled { .. }))),
            ) if now < since + REFRESHED => {
                return vec![Out::Look { probes: vec![probe.clone()], after_ms: EVERY_MS }];
            }
            (Ok(()), Some((_, Err(fault)))) => {
                let why = format!("what comes next cannot be aimed: {fault}");
                return self.end(now, Outcome::Failed, &why);
            }
            (Ok(()), _) => return self.end(now, Outcome::Failed, "what comes next cannot be aimed"),
        };
        if let Some(Step { order: Order::Patch { version, .. }, .. }) =
            self.deal.as_mut().and_then(|deal| deal.steps.get_mut(step))
        {
            *version = now_version;
        }
        self.record(now, step)
    }

    pub(super) fn recorded(&mut self, now: Timestamp, step: usize, recorded: Result<(), Unkept>) -> Vec<Out> {
        let kept = match recorded {
            Ok(()) => Ok(()),
            Err(Unkept::Taken(open)) => Err(open.why()),
            Err(Unkept::Broken(why)) => self
                .goes_on_without(now, why)
                .map_err(|why| format!("nothing is sent that the journal cannot keep: {why}")),
        };
        if let Err(why) = kept {
            let outcome = if self.sent_any { Outcome::Failed } else { Outcome::Refused };
            return self.end(now, outcome, &why);
        }
        let Some(next) = self.step(step) else { return Vec::new() };
        let order = next.order.clone();
        self.phase = Phase::Sending { step };
        vec![Out::Send(order, self.pass())]
    }

    fn pass(&self) -> Pass {
        let holds = self.deal.as_ref().is_some_and(|deal| deal.hold.is_some());
        match &self.takes_back {
            Some(run) => Pass::TakesBack(run.clone()),
            None if self.back.is_some() => Pass::TakesBack(self.id.clone()),
            None if self.leaves || holds => Pass::Leaves(self.id.clone()),
            None => Pass::Armed,
        }
    }

    pub(super) fn sent(&mut self, now: Timestamp, step: usize, sent: Result<String, Fault>) -> Vec<Out> {
        let (answer, fault) = match &sent {
            Ok(said) => (Some(said.clone()), None),
            Err(fault) => (None, Some(fault.to_string())),
        };
        let note = Out::Note(self.entry(now, What::Answered { step, answer, fault }));
        if let Some(title) = self.step(step).map(|sent| sent.order.title()) {
            self.say(now, format!("sent: {title}"));
        }
        let sent_before = std::mem::replace(&mut self.sent_any, true);
        let mut out = match sent {
            Ok(said) => {
                if let Some(step) = self.deal.as_mut().and_then(|deal| deal.steps.get_mut(step)) {
                    step.expect.told(&said);
                }
                self.say(now, if said.is_empty() { "answered".into() } else { format!("answered: {said}") });
                self.prove(now, step)
            }
            // It may have arrived all the same: only its effect tells.
            Err(fault @ (Fault::TimedOut { .. } | Fault::Unreachable { .. } | Fault::Cancelled)) => {
                self.say(now, format!("the answer was lost: {fault}"));
                if self.has_more_to_take_back(step) {
                    self.end(now, Outcome::Failed, "it is not waited for: the rest is taken back first")
                } else {
                    self.prove(now, step)
                }
            }
            // The operator has written to it since it was aimed, half-way: whether somebody else did too is looked at.
            Err(fault @ Fault::Conflict { .. }) if sent_before && self.may_aim_anew(step) => {
                self.say(now, format!("{AIMED_ANEW}{fault}"));
                self.go_on(now, step)
            }
            // One of several sessions has ended by itself meanwhile: that is what was wanted.
            Err(fault @ Fault::Gone { .. }) if sent_before && self.is_about_a_session(step) => {
                self.say(now, format!("{fault}: nothing was left to do"));
                self.prove(now, step)
            }
            Err(fault) => {
                let why = format!("{fault}; {}", fault.remedy());
                // The thing itself said that it changed nothing.
                let untouched = matches!(
                    fault,
                    Fault::Conflict { .. }
                        | Fault::Gone { .. }
                        | Fault::Forbidden { .. }
                        | Fault::AuthExpired { .. }
                        | Fault::Throttled { .. }
                );
                if untouched && !sent_before {
                    self.sent_any = false;
                    self.cause = Cause::of(&fault);
                    self.end(now, Outcome::Refused, &why)
                } else {
                    self.end(now, Outcome::Failed, &why)
                }
            }
        };
        out.insert(0, note);
        out
    }

    pub(super) fn tried(&mut self, now: Timestamp, order: &Order, said: Result<String, Fault>) -> Vec<Out> {
        let text = match said {
            Ok(said) => format!("tried on the server: {}: taken ({said}), nothing was changed", order.title()),
            Err(fault) => format!("tried on the server: {}: {fault}; {}", order.title(), fault.remedy()),
        };
        self.say(now, text);
        Vec::new()
    }

    fn is_about_a_session(&self, step: usize) -> bool {
        let expect = self.step(step).map(|step| &step.expect);
        matches!(expect, Some(Expect::Cancelled { .. } | Expect::Terminated { .. }))
    }

    /// A patch after another order, not refused too often yet.
    fn may_aim_anew(&self, step: usize) -> bool {
        let refused = self.lines.iter().filter(|line| line.text.starts_with(AIMED_ANEW)).count();
        refused < AT_MOST && self.step(step).is_some_and(|step| matches!(step.order, Order::Patch { .. }))
    }

    pub(super) fn prove(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        if let Some(outs) = self.asked_to_end(now) {
            return outs;
        }
        let Some(next) = self.step(step) else { return Vec::new() };
        let probes = next.expect.probes();
        self.phase = Phase::Proving { step, since: now };
        vec![Out::Look { probes, after_ms: 0 }]
    }

    pub(super) fn looked(&mut self, now: Timestamp, step: usize, since: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let Some(next) = self.step(step) else { return Vec::new() };
        let within_s = self.patience_s.unwrap_or(next.within_s);
        let deadline = since + SignedDuration::from_secs(within_s.into());
        let probes = next.expect.probes();
        // What was asked for another step is late.
        if !probes.iter().eq(looked.iter().map(|(probe, _)| probe)) {
            return Vec::new();
        }
        let is_enough = now >= deadline.min(since + LONGER);
        match next.expect.judge(&next.order, looked) {
            Judged::Proved(evidence) => self.proved(now, step, evidence),
            Judged::Nearly(evidence) if is_enough => self.proved(now, step, evidence),
            Judged::Failed(why) => self.end(now, Outcome::Failed, &why),
            Judged::NotYet(seen) if now >= deadline => {
                let after = deadline.duration_since(since).as_secs();
                self.end(now, Outcome::Unproven, &format!("not seen within {after} s; last seen: {seen}"))
            }
            Judged::NotYet(seen) | Judged::Nearly(seen) => {
                let seen = format!("waiting: {seen}");
                if self.lines.last().is_none_or(|line| line.text != seen) {
                    self.say(now, seen);
                }
                vec![Out::Look { probes, after_ms: EVERY_MS }]
            }
        }
    }

    fn proved(&mut self, now: Timestamp, step: usize, evidence: String) -> Vec<Out> {
        if !evidence.is_empty() {
            self.say(now, evidence);
        }
        self.go_on(now, step + 1)
    }
}
