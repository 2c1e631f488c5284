//! One attempt to change something: looked at, offered, confirmed, looked at once more, recorded, sent, proved, recorded.
//!
//! Pure: it is told what happened and says what to do next. The console and `pgdeck do` drive the same machine.
//!
//! ```text
//! Looking ─► Offered ─► Again ─► Asking ─► Recording ─► Sending ─► Proving ─► Ended
//!    └─ refused, why ─────┘      (journal)     └──── Refreshing ◄─────┘ (next step)
//! ```
//!
//! What is held ([`Hold`]) stays in Holding after the last step, and goes on with the steps back.

mod deal;
pub mod expect;
mod hold;
mod identity;
mod offer;
mod outcome;
mod record;
mod settle;
mod step;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

use crate::fault::Fault;
use crate::fleet::cluster::Spec;
use crate::id::{ClusterId, Text};
use crate::work::change;
use crate::work::entry::{Entry, Settled, Unkept, What};
use crate::work::order::Order;
use crate::work::past::{Open, Past};
use crate::work::probe::{Answer, Probe};
pub use deal::{Aim, Deal, Hold, Step};
pub use identity::Shown;
pub use outcome::{Cause, Outcome};
pub use settle::{CutOff, LeftOver};

/// A question with its answer.
pub type Looked = (Probe, Result<Answer, Fault>);

/// Judges what was looked at: a deal, or why there is none. Pure, and called twice: before the offer, and before sending.
pub type Consider = fn(&Aim, &[Looked]) -> Result<Deal, String>;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// What was cut off with this cluster: whoever drives the run sees to it.
    CutOff(Box<CutOff>),
    /// What the journal says of the cluster, or why it cannot be read.
    Recalled(Result<Past, String>),
    Looked(Vec<Looked>),
    /// The user said yes, in this way, for this reason.
    Confirmed {
        how: String,
        who: Text,
        reason: Option<String>,
    },
    /// The journal has it, or cannot be written.
    Recorded(Result<(), Unkept>),
    /// The journal cannot take in what has happened, and why: it does as soon as it can. Whoever drives the run says so.
    Owed(String),
    Sent(Result<String, Fault>),
    /// It was not let through: nothing was sent.
    Barred(String),
    /// An order was tried, and nothing changed: what was said to it.
    Tried(Order, Result<String, Fault>),
    /// What is held shall end, and why.
    TakeBack(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// See first to what a pgdeck that runs no more was cut off at with this cluster: its claim stands in the way of others.
    Settle(ClusterId),
    /// Read in the journal what came before.
    Recall(ClusterId),
    /// Ask these, after that many milliseconds.
    Look {
        probes: Vec<Probe>,
        after_ms: u32,
    },
    /// Write it down, and tell when it is on disk.
    Record(Entry),
    /// Write it down; nothing waits for it.
    Note(Entry),
    Send(Order, Pass),
    /// Send it so that the server does everything but the change.
    Try(Order),
    /// Tell whoever looks at the cluster with kubectl, if that is allowed; nothing waits for it.
    Tell(Order),
}

/// What lets an order through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// Its scope must be armed.
    Armed,
    /// The same; and what it leads to may be taken back by orders that name this run, armed or not.
    Leaves(Text),
    /// It takes back what that run has led to; more may follow that does not depend on it.
    TakesBack { run: Text, more_follows: bool },
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Looking,
    Offered,
    /// Confirmed, and looked at once more.
    Again,
    /// The journal takes in who asked for what.
    Asking,
    Recording {
        step: usize,
    },
    /// The order of a later step is aimed anew.
    Refreshing {
        step: usize,
        since: Timestamp,
    },
    Sending {
        step: usize,
    },
    Proving {
        step: usize,
        since: Timestamp,
    },
    /// All is done, and held.
    Holding {
        since: Timestamp,
    },
    Ended(Outcome),
}

/// How an order is confirmed that takes back what pgdeck has made when a signal ends it.
pub const BY_ITSELF: &str = "the end of pgdeck";

/// One line of what was done and seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: Timestamp,
    pub text: String,
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: Text,
    pub action: &'static str,
    pub aim: Aim,
    pub began: Timestamp,
    /// When what the deal is made of was looked at last.
    pub looked_at: Timestamp,
    pub phase: Phase,
    pub deal: Option<Deal>,
    pub lines: Vec<Line>,
    /// What stood in the way: refusals are told apart by it.
    pub cause: Cause,
    /// So many seconds are waited for the effect of a step, whatever the step says.
    pub patience_s: Option<u32>,
    /// The run whose effect this one takes back: it needs no arming.
    pub takes_back: Option<Text>,
    /// Nobody is there to be asked: it confirms itself, in the name of that user, where it may.
    pub unattended: Option<Text>,
    /// What the screen showed when the key was pressed.
    pub shown: Shown,
    /// That run was cut off, and stays open in the journal until this one has settled it.
    pub settles: bool,
    /// What it leaves was seen to stand: when it is seen to be gone, somebody else has ended it.
    pub seen_standing: bool,
    /// What tells it from one that is made anew, when it was seen last.
    pub made: Option<Text>,
    /// Where it stands something was changed since: it may not be what was ordered any more.
    pub touched: bool,
    /// Something stays as it is made until an order of its own takes it back.
    pub leaves: bool,
    /// Whoever sees to it ends: nothing more is sent but what takes back.
    cut_short: bool,
    /// Another order that changes the CR, and has not ended: this one waits for it.
    pub waits_for: Option<Open>,
    /// The same, where this one may be sent before it has ended, by an override.
    despite: Option<Open>,
    /// What came before, as it was read last.
    past: Result<Past, String>,
    /// It was given by a pgdeck that ended before its effect was seen.
    taken_up: Option<Settled>,
    /// It was taken up after a step that was not its last: more was never sent.
    is_part: bool,
    /// It shall be taken back as soon as what is on its way is answered, and why.
    ending: Option<String>,
    /// What was held is being taken back.
    back: Option<hold::Back>,
    preflight: Vec<Probe>,
    consider: Consider,
    confirmed: Option<(String, Text, Option<String>)>,
    /// The journal has what was asked for.
    is_asked: bool,
    sent_any: bool,
    /// The CR when it was looked at last, where it was.
    resource: Option<Value>,
    /// What the CR asked for when it was looked at last: a later step is for that alone.
    wanted: Option<Spec>,
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
        let preflight = identity::with_it(preflight, &aim);
        let mut run = Run {
            id,
            action,
            aim,
            began: now,
            looked_at: now,
            phase: Phase::Looking,
            deal: None,
            lines: Vec::new(),
            cause: Cause::Judged,
            patience_s: None,
            takes_back: None,
            unattended: None,
            shown: Shown::default(),
            settles: false,
            seen_standing: false,
            made: None,
            touched: false,
            leaves: false,
            cut_short: false,
            waits_for: None,
            despite: None,
            past: Ok(Past::default()),
            taken_up: None,
            is_part: false,
            ending: None,
            back: None,
            preflight,
            consider,
            confirmed: None,
            is_asked: false,
            sent_any: false,
            resource: None,
            wanted: None,
        };
        let outs = run.look();
        (run, outs)
    }

    /// Whoever sees to it ends: nothing more of it is sent, unless it takes something back. Where nothing is out now it ends.
    pub fn cut_short(&mut self, now: Timestamp) -> Vec<Out> {
        if self.takes_back.is_some() || self.outcome().is_some() {
            return Vec::new();
        }
        self.cut_short = true;
        match self.phase {
            Phase::Again => self.end_early(now, 0),
            Phase::Refreshing { step, .. } if self.back.is_none() => self.end_early(now, step),
            _ => Vec::new(),
        }
    }

    /// Whether it ends as soon as the journal has answered.
    pub fn is_being_cut_short(&self) -> bool {
        self.cut_short && self.back.is_none() && matches!(self.phase, Phase::Asking | Phase::Recording { .. })
    }

    /// Whether it was ended by that, half-way or before anything was sent.
    pub fn was_cut_short(&self) -> bool {
        let is_over = matches!(self.outcome(), Some(Outcome::Failed | Outcome::Refused));
        self.cut_short && is_over && self.confirmed.is_some()
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
        matches!(
            self.phase,
            Phase::Again
                | Phase::Asking
                | Phase::Recording { .. }
                | Phase::Refreshing { .. }
                | Phase::Sending { .. }
                | Phase::Proving { .. }
                | Phase::Holding { .. }
        )
    }

    /// Whether an order of it is out, or was.
    pub fn has_sent(&self) -> bool {
        self.sent_any || matches!(self.phase, Phase::Sending { .. })
    }

    /// Whether it is held and watched, and nothing is being sent.
    pub fn is_watching(&self) -> bool {
        matches!(self.phase, Phase::Holding { .. })
    }

    /// Whether it can be taken back at once: it is held, or waited for, and nothing is being sent.
    pub fn may_come_back(&self) -> bool {
        let is_waiting = matches!(self.phase, Phase::Proving { .. } | Phase::Holding { .. });
        is_waiting && self.is_holding() && !self.to_come_back().is_empty()
    }

    /// Whether what it held was taken back by itself, to the end.
    pub fn has_taken_back(&self) -> bool {
        self.back.is_some() && self.outcome() == Some(Outcome::Proved)
    }

    /// What an order changes, line by line; none where it has no body.
    pub fn change(&self, order: &Order) -> Option<Vec<change::Line>> {
        change::of(order, self.resource.as_ref())
    }

    /// The steps that will take back what is held; none once they are among the steps.
    pub fn to_come_back(&self) -> &[Step] {
        let hold = self.deal.as_ref().and_then(|deal| deal.hold.as_ref()).filter(|_| self.back.is_none());
        hold.map(|hold| &hold.back[..]).unwrap_or_default()
    }

    /// Whether something is held, or about to be, or not yet taken back.
    pub fn is_holding(&self) -> bool {
        self.is_under_way() && self.has_sent() && self.deal.as_ref().is_some_and(|deal| deal.hold.is_some())
    }

    /// What happened leads to what is to be done. Events that do not belong to the phase are late, and mean nothing.
    pub fn advance(&mut self, now: Timestamp, event: Event) -> Vec<Out> {
        match (self.phase.clone(), event) {
            (Phase::Looking | Phase::Again, Event::Recalled(past)) => {
                self.past = past;
                Vec::new()
            }
            (Phase::Looking, Event::Looked(looked)) => self.offer(now, &looked),
            (Phase::Offered, Event::Confirmed { how, who, reason }) => self.confirm(now, (how, who, reason)),
            (Phase::Again, Event::Looked(looked)) => self.look_again(now, &looked),
            (Phase::Asking, Event::Recorded(recorded)) => match recorded {
                Ok(()) => {
                    self.is_asked = true;
                    self.record(now, 0)
                }
                // It is written down as one that claims nothing.
                Err(Unkept::Taken(open)) => self.refuse_as_asked(now, &[], &open.why()),
                Err(why) => self.recorded(now, 0, Err(why)),
            },
            (Phase::Refreshing { step, since }, Event::Looked(looked)) => self.refreshed(now, step, since, &looked),
            (Phase::Recording { step }, Event::Recorded(recorded)) => self.recorded(now, step, recorded),
            (Phase::Sending { step }, Event::Sent(sent)) => self.sent(now, step, sent),
            (Phase::Sending { step }, Event::Barred(why)) => {
                let outcome = if step == 0 { Outcome::Refused } else { Outcome::Failed };
                self.end(now, outcome, &why)
            }
            (Phase::Proving { step, since }, Event::Looked(looked)) => self.looked(now, step, since, &looked),
            (Phase::Holding { since }, Event::Looked(looked)) => self.watch(now, since, &looked),
            (Phase::Offered, Event::Tried(order, said)) => self.tried(now, &order, said),
            (_, Event::TakeBack(why)) => self.end_hold(now, &why),
            _ => Vec::new(),
        }
    }

    /// Why it may not be sent yet; none if it may.
    pub fn why_it_waits(&self) -> Option<String> {
        self.waits_for.as_ref().map(Open::why)
    }

    fn end(&mut self, now: Timestamp, outcome: Outcome, why: &str) -> Vec<Out> {
        if !why.is_empty() {
            self.say(now, why.to_owned());
        }
        if let Some(outs) = self.instead_of_ending(now, outcome) {
            return outs;
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
        let word = outcome.word();
        let settled = if outcome == Outcome::Proved { self.settled(now, "it was taken back") } else { None };
        let ended = Out::Note(self.entry(
            now,
            match &self.taken_up {
                Some(Settled { sent_at }) => What::settled(word, evidence, *sent_at),
                None => What::Ended { outcome: word, evidence, took_ms: Some(took_ms), settled: None },
            },
        ));
        let mut outs: Vec<Out> = settled.into_iter().chain([ended]).collect();
        outs.extend(self.event(now, outcome).map(Out::Tell));
        outs
    }

    fn step(&self, step: usize) -> Option<&Step> {
        self.deal.as_ref()?.steps.get(step)
    }

    fn say(&mut self, at: Timestamp, text: String) {
        self.lines.push(Line { at, text });
    }
}
