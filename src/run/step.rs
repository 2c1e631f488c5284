//! One step of a run: aimed, recorded, sent, proved.

use jiff::{SignedDuration, Timestamp};

use super::expect::{Expect, Judged};
use super::offer::wanted;
use super::{Cause, Deal, Looked, Out, Outcome, Pass, Phase, Run, Step, identity};
use crate::fault::Fault;
use crate::id::{InstanceId, Text};
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

/// What stands in the way of a step.
enum Hindrance {
    /// It may be over in a moment.
    Passing(String),
    Lasting(String),
}

impl Hindrance {
    fn of(fault: &Fault, what: &str) -> Hindrance {
        let why = format!("{what}: {fault}");
        match fault {
            Fault::Unreachable { .. } | Fault::TimedOut { .. } | Fault::Throttled { .. } => Hindrance::Passing(why),
            _ => Hindrance::Lasting(why),
        }
    }
}

impl Run {
    pub(super) fn record(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        let Some(next) = self.deal.as_ref().and_then(|deal| deal.steps.get(step)) else {
            return self.done(now);
        };
        if self.sends_no_more() {
            return self.end_early(now, step);
        }
        let order = next.order.clone();
        let of = self.deal.as_ref().map_or(1, |deal| deal.steps.len());
        // It has nothing that JSON cannot hold.
        let expect = serde_json::to_value(&next.expect).unwrap_or_default();
        self.phase = Phase::Recording { step };
        vec![Out::Record(self.entry(now, What::Sending { step, of, order, expect }))]
    }

    /// Goes on to the next step, if that is still for the same cluster, and the same member leads it where that matters. A patch
    /// was aimed at the object as it was before the step before: it is aimed anew.
    pub(super) fn go_on(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        if self.sends_no_more() && self.step(step).is_some() {
            return self.end_early(now, step);
        }
        let about = match self.step(step).map(|next| &next.order) {
            Some(Order::Patch { cluster, .. }) => Probe::Objects(cluster.clone()),
            // What is taken back is made certain by its own steps.
            Some(_) if self.back.is_none() && self.takes_back.is_none() => identity::probe(&self.aim),
            _ => return self.record(now, step),
        };
        self.phase = Phase::Refreshing { step, since: now };
        let probes = std::iter::once(about).chain(self.who_leads()).collect();
        vec![Out::Look { probes, after_ms: 0 }]
    }

    pub(super) fn refreshed(&mut self, now: Timestamp, step: usize, since: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let found = self.same_cluster(looked).map_err(Hindrance::Lasting).and_then(|()| self.aimed_anew(looked));
        let found = found.and_then(|version| self.same_leader(step, looked).map(|()| version));
        let version = match found {
            Ok(version) => version,
            // What answers nobody now may answer in a moment: half-way is the worst place to give up.
            Err(Hindrance::Passing(_)) if now < since + REFRESHED => {
                let probes = looked.iter().map(|(probe, _)| probe.clone()).collect();
                return vec![Out::Look { probes, after_ms: EVERY_MS }];
            }
            Err(Hindrance::Passing(why) | Hindrance::Lasting(why)) => return self.end(now, Outcome::Failed, &why),
        };
        if let Some(version_now) = version
            && let Some(Step { order: Order::Patch { version, .. }, .. }) =
                self.deal.as_mut().and_then(|deal| deal.steps.get_mut(step))
        {
            *version = version_now;
        }
        self.record(now, step)
    }

    /// The version that a patch is for by now; none for what is no patch.
    fn aimed_anew(&self, looked: &[Looked]) -> Result<Option<Text>, Hindrance> {
        match looked.first() {
            Some((_, Ok(Answer::Objects(objects)))) => {
                if self.wanted.as_ref().is_some_and(|before| *before != wanted(objects)) {
                    let why = "the CR was changed by somebody else meanwhile: what comes next was not sent";
                    return Err(Hindrance::Lasting(why.into()));
                }
                Ok(Some(objects.version.clone()))
            }
            // Where the right to ask is missing, that was said before it was confirmed.
            Some((Probe::Identity(_), Ok(_) | Err(Fault::Forbidden { .. }))) => Ok(None),
            Some((_, Err(fault))) => Err(Hindrance::of(fault, "what comes next cannot be aimed")),
            _ => Err(Hindrance::Lasting("what comes next cannot be aimed".into())),
        }
    }

    /// Asks who leads, as before the offer; nobody, where that does not matter.
    fn who_leads(&self) -> Vec<Probe> {
        let matters = self.deal.as_ref().is_some_and(|deal| deal.led_by.is_some());
        let asked = self.preflight.iter().filter(|probe| matters && matches!(probe, Probe::Patroni(_)));
        asked.cloned().collect()
    }

    /// A step that was aimed at who leads, or does not, is no longer what was confirmed once another one leads.
    fn same_leader(&self, step: usize, looked: &[Looked]) -> Result<(), Hindrance> {
        let Some(Deal { led_by: Some(before), steps, .. }) = &self.deal else { return Ok(()) };
        let views = looked.iter().filter(|(probe, _)| matches!(probe, Probe::Patroni(_)));
        let mut hindrance = Hindrance::Lasting("who leads now was not asked".into());
        for (_, answer) in views {
            hindrance = match answer {
                Ok(Answer::Patroni(view)) => match view.leader() {
                    Some(leader) if leader.name == *before => return Ok(()),
                    Some(leader) => {
                        let rest: Vec<String> = steps.iter().skip(step).map(|step| step.order.title()).collect();
                        return Err(Hindrance::Lasting(format!(
                            "the leader changed: {} leads now, not {before}; {step} of {} steps are done, not sent: {}; look \
                             again",
                            leader.name,
                            steps.len(),
                            rest.join(", ")
                        )));
                    }
                    None => return Err(Hindrance::Passing("no member leads now: what comes next was not sent".into())),
                },
                Ok(_) => Hindrance::Lasting("something else was answered".into()),
                Err(fault) => {
                    Hindrance::of(fault, "who leads now cannot be found out, and what comes next was not sent")
                }
            };
        }
        Err(hindrance)
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
        if self.sends_no_more() {
            return self.end_early(now, step);
        }
        let Some(next) = self.step(step) else { return Vec::new() };
        let order = next.order.clone();
        self.phase = Phase::Sending { step };
        vec![Out::Send(order, self.pass(step))]
    }

    /// What takes back goes on whatever ends.
    fn sends_no_more(&self) -> bool {
        self.cut_short && self.back.is_none()
    }

    /// pgdeck ends: this step, and what would come after it, is not sent.
    pub(super) fn end_early(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        if let Some(outs) = self.asked_to_end(now) {
            return outs;
        }
        let asked = (!self.is_asked).then(|| Out::Note(self.asked(now, false)));
        let rest = self.deal.iter().flat_map(|deal| deal.steps.iter().skip(step)).map(|step| step.order.title());
        let why = format!("pgdeck was asked to end; not sent: {}", rest.collect::<Vec<_>>().join(", "));
        let outcome = if self.sent_any { Outcome::Failed } else { Outcome::Refused };
        asked.into_iter().chain(self.end(now, outcome, &why)).collect()
    }

    fn pass(&self, step: usize) -> Pass {
        let holds = self.deal.as_ref().is_some_and(|deal| deal.hold.is_some());
        match &self.takes_back {
            Some(run) => Pass::TakesBack { run: run.clone(), more_follows: false },
            None if self.back.is_some() => {
                Pass::TakesBack { run: self.id.clone(), more_follows: self.has_more_to_take_back(step) }
            }
            None if self.leaves || holds => Pass::Leaves(self.id.clone()),
            None => Pass::Armed,
        }
    }

    pub(super) fn sent(&mut self, now: Timestamp, step: usize, sent: Result<String, Fault>) -> Vec<Out> {
        let (answer, fault) = match &sent {
            Ok(said) => (Some(said.clone()), None),
            Err(fault) => (None, Some(fault.to_string())),
        };
        let untouched = matches!(sent, Err(Fault::Conflict { .. }));
        let note = Out::Note(self.entry(now, What::Answered { step, answer, fault, untouched }));
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
                    self.go_around(step);
                    self.end(now, Outcome::Failed, "it is not waited for: the rest is taken back first")
                } else {
                    self.prove(now, step)
                }
            }
            // The operator has written to it since it was aimed: whether somebody else did too is looked at. Before anything
            // was changed it is looked at as a whole, as before the first try.
            Err(fault @ Fault::Conflict { .. }) if self.may_aim_anew(step) => {
                self.say(now, format!("{AIMED_ANEW}{fault}"));
                self.sent_any = sent_before;
                if sent_before || self.sends_no_more() {
                    self.go_on(now, step)
                } else {
                    self.phase = Phase::Again;
                    self.look()
                }
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

    /// The member of that step does not answer: what else Patroni is told to take back, whoever leads is told.
    fn go_around(&mut self, step: usize) {
        let Some(steps) = self.deal.as_mut().map(|deal| &mut deal.steps) else { return };
        let Some(Order::Sql { instance: silent, .. } | Order::Patroni { instance: silent, .. }) =
            steps.get(step).map(|lost| lost.order.clone())
        else {
            return;
        };
        for later in steps.iter_mut().skip(step + 1) {
            if let Order::Patroni { instance, .. } = &mut later.order
                && *instance == silent
            {
                *instance = InstanceId::whoever_leads(&silent.cluster);
            }
        }
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
        let probes = self.proof(next);
        self.phase = Phase::Proving { step, since: now };
        if probes.is_empty() {
            return self.looked(now, step, now, &[]);
        }
        vec![Out::Look { probes, after_ms: 0 }]
    }

    pub(super) fn looked(&mut self, now: Timestamp, step: usize, since: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let Some(next) = self.step(step) else { return Vec::new() };
        let within_s = self.patience_s.unwrap_or(next.within_s);
        let deadline = since + SignedDuration::from_secs(within_s.into());
        let probes = self.proof(next);
        // What was asked for another step is late.
        if !probes.iter().eq(looked.iter().map(|(probe, _)| probe)) {
            return Vec::new();
        }
        if let Some(why) = self.taken_up.as_ref().and_then(|_| self.why_it_shows_nothing(looked)) {
            return self.end(now, Outcome::Unproven, &why);
        }
        let is_enough = now >= deadline.min(since + LONGER);
        let looked = &looked[..next.expect.probes().len()];
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

    /// What is asked to see the effect of a step; of one that was sent a while ago also whether it is for what is there now.
    fn proof(&self, step: &Step) -> Vec<Probe> {
        let probes = step.expect.probes();
        if self.taken_up.is_some() { identity::with_it(probes, &self.aim) } else { probes }
    }

    fn proved(&mut self, now: Timestamp, step: usize, evidence: String) -> Vec<Out> {
        if !evidence.is_empty() {
            self.say(now, evidence);
        }
        self.go_on(now, step + 1)
    }
}
