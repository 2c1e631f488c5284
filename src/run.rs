//! One attempt to change something: looked at, offered, confirmed, looked at once more, recorded, sent, proved, recorded.
//!
//! Pure: it is told what happened and says what to do next. The console and `pgdeck do` drive the same machine.
//!
//! ```text
//! Looking ─► Offered ─► Again ─► Recording ─► Sending ─► Proving ─► (next step) ─► Ended
//!    └────────── refused, with the reason ──────────┘        └─ failed, or not proved in time ─┘
//! ```

pub mod expect;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::fault::Fault;
use crate::id::{ClusterId, Text};
use crate::work::entry::{Asked, Colour, Entry, Light, SCHEMA, What};
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe};
use expect::{Expect, Judged};

/// A question with its answer.
pub type Looked = (Probe, Result<Answer, Fault>);

/// Whether an effect has been seen is asked again this often, in milliseconds.
const EVERY_MS: u32 = 1_000;

/// What an order is aimed at, as it stood when the key was pressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Aim {
    pub cluster: ClusterId,
    pub uid: Option<Text>,
    pub member: Option<Text>,
    /// As they were typed, by name.
    pub args: BTreeMap<Text, Text>,
}

/// What is offered after looking: the lines of the preflight, and exactly what would be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Deal {
    pub lights: Vec<Light>,
    pub steps: Vec<Step>,
    /// What it takes to go back.
    pub undo: String,
    /// Who is cut off for how long.
    pub downtime: String,
    /// The cluster's name must be typed to confirm it.
    pub by_name: bool,
}

impl Deal {
    /// The worst line.
    pub fn colour(&self) -> Colour {
        self.lights.iter().map(|light| light.colour).max().unwrap_or(Colour::Green)
    }
}

/// One order with the effect that proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub order: Order,
    pub expect: Expect,
    /// It must be seen within so many seconds.
    pub within_s: u32,
}

/// Judges what was looked at: a deal, or why there is none. Pure, and called twice: before the offer, and before sending.
pub type Consider = fn(&Aim, &[Looked]) -> Result<Deal, String>;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    Looked(Vec<Looked>),
    /// The user said yes, in this way, for this reason.
    Confirmed {
        how: String,
        who: Text,
        reason: Option<String>,
    },
    /// The journal has it, or cannot be written.
    Recorded(Result<(), String>),
    Sent(Result<String, Fault>),
    /// It was not let through: nothing was sent.
    Barred(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// Ask these, after that many milliseconds.
    Look {
        probes: Vec<Probe>,
        after_ms: u32,
    },
    /// Write it down, and tell when it is on disk.
    Record(Entry),
    /// Write it down; nothing waits for it.
    Note(Entry),
    Send(Order),
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Looking,
    Offered,
    /// Confirmed, and looked at once more.
    Again,
    Recording {
        step: usize,
    },
    Sending {
        step: usize,
    },
    Proving {
        step: usize,
        since: Timestamp,
    },
    Ended(Outcome),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The effect was seen.
    Proved,
    /// Nothing was sent.
    Refused,
    /// It was sent, and did not do what it should.
    Failed,
    /// It was sent; its effect was not seen in time.
    Unproven,
}

impl Outcome {
    /// As tables and the journal name it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Proved => "PROVED",
            Outcome::Refused => "REFUSED",
            Outcome::Failed => "FAILED",
            Outcome::Unproven => "UNPROVEN",
        }
    }
}

/// One line of what was done and seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: Timestamp,
    pub text: String,
}

/// One attempt.
#[derive(Debug)]
pub struct Run {
    pub id: Text,
    pub action: &'static str,
    pub aim: Aim,
    pub began: Timestamp,
    pub phase: Phase,
    pub deal: Option<Deal>,
    pub lines: Vec<Line>,
    /// The rights may be missing: that is told apart from other refusals.
    pub forbidden: bool,
    /// At most so many seconds are waited for the effect of a step.
    pub patience_s: Option<u32>,
    preflight: Vec<Probe>,
    consider: Consider,
    confirmed: Option<(String, Text, Option<String>)>,
    sent_any: bool,
}

impl Run {
    /// A new one, with the first thing to do.
    pub fn new(
        id: Text,
        action: &'static str,
        aim: Aim,
        preflight: Vec<Probe>,
        consider: Consider,
        now: Timestamp,
    ) -> (Run, Vec<Out>) {
        let look = Out::Look { probes: preflight.clone(), after_ms: 0 };
        let run = Run {
            id,
            action,
            aim,
            began: now,
            phase: Phase::Looking,
            deal: None,
            lines: Vec::new(),
            forbidden: false,
            patience_s: None,
            preflight,
            consider,
            confirmed: None,
            sent_any: false,
        };
        (run, vec![look])
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether anything was sent: then it must be followed to its end.
    pub fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Again | Phase::Recording { .. } | Phase::Sending { .. } | Phase::Proving { .. })
    }

    /// What happened leads to what is to be done. Events that do not belong to the phase are late, and mean nothing.
    pub fn advance(&mut self, now: Timestamp, event: Event) -> Vec<Out> {
        match (self.phase.clone(), event) {
            (Phase::Looking, Event::Looked(looked)) => self.offer(now, &looked),
            (Phase::Offered, Event::Confirmed { how, who, reason }) => self.confirm(now, (how, who, reason)),
            (Phase::Again, Event::Looked(looked)) => self.look_again(now, &looked),
            (Phase::Recording { step }, Event::Recorded(recorded)) => self.recorded(now, step, recorded),
            (Phase::Sending { step }, Event::Sent(sent)) => self.sent(now, step, sent),
            (Phase::Sending { step }, Event::Barred(why)) => {
                let outcome = if step == 0 { Outcome::Refused } else { Outcome::Failed };
                self.end(now, outcome, &why)
            }
            (Phase::Proving { step, since }, Event::Looked(looked)) => self.looked(now, step, since, &looked),
            _ => Vec::new(),
        }
    }

    fn offer(&mut self, now: Timestamp, looked: &[Looked]) -> Vec<Out> {
        match (self.consider)(&self.aim, looked) {
            Ok(deal) => {
                self.deal = Some(deal);
                self.phase = Phase::Offered;
                Vec::new()
            }
            Err(why) => self.refuse(now, looked, &why),
        }
    }

    fn refuse(&mut self, now: Timestamp, looked: &[Looked], why: &str) -> Vec<Out> {
        self.forbidden = looked.iter().any(|(_, answer)| {
            matches!(answer, Err(Fault::Forbidden { .. } | Fault::AuthExpired { .. }) | Ok(Answer::May(false)))
        });
        self.end(now, Outcome::Refused, why)
    }

    fn confirm(&mut self, now: Timestamp, confirmed: (String, Text, Option<String>)) -> Vec<Out> {
        self.say(now, format!("confirmed by {}", confirmed.0));
        self.confirmed = Some(confirmed);
        self.phase = Phase::Again;
        vec![Out::Look { probes: self.preflight.clone(), after_ms: 0 }]
    }

    /// What was offered must still be what would be sent.
    fn look_again(&mut self, now: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let deal = match (self.consider)(&self.aim, looked) {
            Ok(deal) => deal,
            Err(why) => return self.refuse(now, looked, &why),
        };
        let Some(offered) = self.deal.replace(deal) else { return Vec::new() };
        let Some(deal) = &self.deal else { return Vec::new() };
        let is_same = offered.steps.len() == deal.steps.len()
            && offered
                .steps
                .iter()
                .zip(&deal.steps)
                .all(|(one, other)| one.order.is_same_but_for_version(&other.order));
        if !is_same {
            return self.end(now, Outcome::Refused, "what would be sent has changed since it was shown");
        }
        if deal.colour() > offered.colour() {
            let worst = deal.colour();
            let new = deal.lights.iter().filter(|light| light.colour == worst).map(|light| light.text.clone());
            let why = new.collect::<Vec<_>>().join("; ");
            return self.end(now, Outcome::Refused, &format!("it has changed since it was shown: {why}"));
        }
        let (confirm, who, reason) = self.confirmed.clone().unwrap_or_else(|| (String::new(), Text::from(""), None));
        let asked = Asked {
            who,
            action: self.action,
            cluster: self.aim.cluster.clone(),
            uid: self.aim.uid.clone(),
            member: self.aim.member.clone(),
            args: self.aim.args.clone(),
            preflight: deal.lights.clone(),
            confirm,
            reason,
            undo: deal.undo.clone(),
        };
        let asked = self.entry(now, What::Asked(Box::new(asked)));
        let mut out = self.record(now, 0);
        out.insert(0, Out::Note(asked));
        out
    }

    fn record(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        let Some(next) = self.deal.as_ref().and_then(|deal| deal.steps.get(step)) else {
            return self.end(now, Outcome::Proved, "");
        };
        let order = next.order.clone();
        self.phase = Phase::Recording { step };
        vec![Out::Record(self.entry(now, What::Sending { step, order }))]
    }

    fn recorded(&mut self, now: Timestamp, step: usize, recorded: Result<(), String>) -> Vec<Out> {
        if let Err(why) = recorded {
            let outcome = if self.sent_any { Outcome::Failed } else { Outcome::Refused };
            return self.end(now, outcome, &format!("nothing is sent that the journal cannot keep: {why}"));
        }
        let Some(next) = self.step(step) else { return Vec::new() };
        let order = next.order.clone();
        self.say(now, format!("sent: {}", order.title()));
        self.phase = Phase::Sending { step };
        self.sent_any = true;
        vec![Out::Send(order)]
    }

    fn sent(&mut self, now: Timestamp, step: usize, sent: Result<String, Fault>) -> Vec<Out> {
        let (answer, fault) = match &sent {
            Ok(said) => (Some(said.clone()), None),
            Err(fault) => (None, Some(fault.to_string())),
        };
        let note = Out::Note(self.entry(now, What::Answered { step, answer, fault }));
        let mut out = match sent {
            Ok(said) => {
                self.say(now, if said.is_empty() { "answered".into() } else { format!("answered: {said}") });
                self.prove(now, step)
            }
            // It may have arrived all the same: only its effect tells.
            Err(fault @ (Fault::TimedOut { .. } | Fault::Unreachable { .. } | Fault::Cancelled)) => {
                self.say(now, format!("the answer was lost: {fault}"));
                self.prove(now, step)
            }
            Err(fault) => {
                self.forbidden = matches!(fault, Fault::Forbidden { .. } | Fault::AuthExpired { .. });
                let why = format!("{fault}; {}", fault.remedy());
                self.end(now, Outcome::Failed, &why)
            }
        };
        out.insert(0, note);
        out
    }

    fn prove(&mut self, now: Timestamp, step: usize) -> Vec<Out> {
        let Some(next) = self.step(step) else { return Vec::new() };
        let probes = next.expect.probes();
        self.phase = Phase::Proving { step, since: now };
        vec![Out::Look { probes, after_ms: 0 }]
    }

    fn looked(&mut self, now: Timestamp, step: usize, since: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let Some(next) = self.step(step) else { return Vec::new() };
        let within_s = self.patience_s.unwrap_or(u32::MAX).min(next.within_s);
        let deadline = since + SignedDuration::from_secs(within_s.into());
        let probes = next.expect.probes();
        match next.expect.judge(looked) {
            Judged::Proved(evidence) => {
                self.say(now, evidence);
                self.record(now, step + 1)
            }
            Judged::Failed(why) => self.end(now, Outcome::Failed, &why),
            Judged::NotYet(seen) if now >= deadline => {
                let after = deadline.duration_since(since).as_secs();
                self.end(now, Outcome::Unproven, &format!("not seen within {after} s; last seen: {seen}"))
            }
            Judged::NotYet(seen) => {
                let seen = format!("waiting: {seen}");
                if self.lines.last().is_none_or(|line| line.text != seen) {
                    self.say(now, seen);
                }
                vec![Out::Look { probes, after_ms: EVERY_MS }]
            }
        }
    }

    fn end(&mut self, now: Timestamp, outcome: Outcome, why: &str) -> Vec<Out> {
        if !why.is_empty() {
            self.say(now, why.to_owned());
        }
        self.phase = Phase::Ended(outcome);
        if outcome != Outcome::Proved
            && self.sent_any
            && let Some(undo) = self.deal.as_ref().map(|deal| deal.undo.clone())
        {
            self.say(now, format!("to go back: {undo}"));
        }
        // What was never confirmed is nobody's order.
        if self.confirmed.is_none() {
            return Vec::new();
        }
        let evidence = self.lines.iter().map(|line| line.text.clone()).collect();
        let took_ms = i64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(i64::MAX);
        vec![Out::Note(self.entry(now, What::Ended { outcome: outcome.word(), evidence, took_ms }))]
    }

    fn step(&self, step: usize) -> Option<&Step> {
        self.deal.as_ref()?.steps.get(step)
    }

    fn say(&mut self, at: Timestamp, text: String) {
        self.lines.push(Line { at, text });
    }

    fn entry(&self, at: Timestamp, what: What) -> Entry {
        Entry { schema: SCHEMA, at, run: self.id.clone(), what }
    }
}
