//! Carries out what must happen exactly once: each question with a deadline of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use super::{Planes, clock, outage, settle};
use crate::fault::Fault;
use crate::id::Text;
use crate::journal::Journal;
use crate::run::{CutOff, Event, Out, Pass};
use crate::state::ledger::{Scope, scope};
use crate::work::entry::{Entry, Unkept};
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe};

/// No answer takes longer; planes have shorter deadlines of their own.
const DEADLINE: Duration = Duration::from_secs(20);

/// An order is answered within this, or its answer is lost.
const ORDER: Duration = Duration::from_secs(60);

/// The same, where it is also measured how long writes stop.
const MEASURED: Duration = Duration::from_secs(95);

/// So many questions are asked at the same time.
const AT_ONCE: usize = 16;

/// Asks questions and waits for all answers, in the order of the questions.
pub async fn ask_all(planes: &Planes, probes: Vec<Probe>) -> Vec<(Probe, Result<Answer, Fault>)> {
    ask_within(planes, probes, DEADLINE).await
}

async fn ask_within(planes: &Planes, probes: Vec<Probe>, within: Duration) -> Vec<(Probe, Result<Answer, Fault>)> {
    let asked = probes.into_iter().map(|probe| async { (probe.clone(), ask(planes, probe, within).await) });
    futures::stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// What may be changed now: the one place that every order passes, whoever sends it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    armed: BTreeMap<Scope, Timestamp>,
    /// No answer is waited for any longer.
    haste: Option<Duration>,
    /// Runs that were let through and have left something that may be taken back, armed or not.
    left: BTreeSet<Text>,
}

impl Gate {
    /// Opens it for a scope, until then.
    pub fn open(&self, scope: Scope, until: Timestamp) {
        self.lock().armed.insert(scope, until);
    }

    /// Closes it for a scope.
    pub fn close(&self, scope: &str) {
        self.lock().armed.remove(scope);
    }

    /// What that run of a pgdeck before this one has left may be taken back.
    pub fn adopt(&self, run: Text) {
        self.lock().left.insert(run);
    }

    /// Whoever sees to the orders ends soon: what is asked from now on is answered within this or not at all, and so is what is
    /// sent before something else.
    pub fn make_haste(&self, within: Duration) {
        self.lock().haste = Some(within);
    }

    /// The time that is left for an answer, of what there would be.
    fn patience(&self, usual: Duration) -> Duration {
        self.lock().haste.map_or(usual, |haste| usual.min(haste))
    }

    /// Whether it may be sent now.
    pub fn pass(&self, order: &Order, pass: &Pass) -> Result<(), Fault> {
        if order.is_look() {
            return Ok(());
        }
        let scope = scope(order.cluster());
        let mut open = self.lock();
        if matches!(pass, Pass::TakesBack { run, .. } if open.left.contains(run)) {
            return Ok(());
        }
        match open.armed.get(&scope) {
            Some(until) if *until > clock::now() => {
                if let Pass::Leaves(run) = pass {
                    open.left.insert(run.clone());
                }
                Ok(())
            }
            _ => Err(Fault::Refused { what: order.title(), why: format!("{scope} is read-only: arm it first") }),
        }
    }

    /// A panic elsewhere leaves a whole map behind.
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tries an order: everything but the change.
pub async fn try_out(planes: &Planes, order: Order) -> Result<String, Fault> {
    carry_out(planes, order, true, ORDER).await
}

/// Sends one order, once.
async fn carry_out(planes: &Planes, order: Order, dry: bool, within: Duration) -> Result<String, Fault> {
    let what = order.title();
    let Some(plane) = planes.get(&order.cluster().plane) else { return Err(Fault::Gone { what }) };
    let moved = outage::hands_over(&order).filter(|_| !dry);
    let send = plane.carry_out(order, dry);
    let sent = match moved {
        Some(members) => tokio::time::timeout(MEASURED, outage::measured(plane, members, send)).await,
        None => tokio::time::timeout(within, send).await,
    };
    sent.unwrap_or(Err(Fault::TimedOut { what, after: within }))
}

/// Does what a run asks for, and gives what became of it; a note asks for nothing more.
pub async fn step(planes: &Planes, gate: &Gate, journal: &Journal, out: Out) -> Option<Event> {
    match out {
        Out::Look { probes, after_ms } => {
            tokio::time::sleep(Duration::from_millis(after_ms.into())).await;
            Some(Event::Looked(ask_within(planes, probes, gate.patience(DEADLINE)).await))
        }
        Out::Settle(cluster) => {
            let journal = journal.clone();
            let found = tokio::task::spawn_blocking(move || settle::cut_off(&journal, clock::now(), &cluster)).await;
            let broken = |error: tokio::task::JoinError| CutOff { told: vec![error.to_string()], ..CutOff::default() };
            let found = found.unwrap_or_else(broken);
            // Whoever finds what is held may take it back.
            found.held.iter().for_each(|left| gate.adopt(left.run.clone()));
            Some(Event::CutOff(Box::new(found)))
        }
        Out::Recall(cluster) => {
            let journal = journal.clone();
            let recalled = tokio::task::spawn_blocking(move || journal.past(&cluster)).await;
            Some(Event::Recalled(recalled.unwrap_or_else(|error| Err(error.to_string()))))
        }
        Out::Record(entry) => Some(Event::Recorded(write(journal, entry).await)),
        Out::Note(entry) => {
            let journal = journal.clone();
            let kept = tokio::task::spawn_blocking(move || journal.keep(entry)).await;
            let why = match kept {
                Ok(kept) => kept.err()?.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::error!("{why}");
            Some(Event::Owed(why))
        }
        Out::Tell(order) => {
            // The journal has it; that an Event may not be written stops nothing.
            let told = match gate.pass(&order, &Pass::Armed) {
                Ok(()) => carry_out(planes, order, false, ORDER).await.map(drop),
                Err(barred) => Err(barred),
            };
            if let Err(fault) = told {
                tracing::warn!(%fault, "no Event was written");
            }
            None
        }
        Out::Try(order) => {
            let said = carry_out(planes, order.clone(), true, ORDER).await;
            Some(Event::Tried(order, said))
        }
        Out::Send(order, pass) => Some(match gate.pass(&order, &pass) {
            Ok(()) => {
                let is_last = !matches!(pass, Pass::TakesBack { more_follows: true, .. });
                let within = if is_last { ORDER } else { gate.patience(ORDER) };
                Event::Sent(carry_out(planes, order, false, within).await)
            }
            Err(barred) => Event::Barred(barred.to_string()),
        }),
    }
}

/// The first wait before the journal is tried again,
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// and the longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Tries for so long to write what the journal could not take in, ever more seldom. Gives how many lines it has got, none if it
/// takes none.
pub async fn catch_up(journal: &Journal, within: Duration) -> Option<usize> {
    let (mut waited, mut wait) = (Duration::ZERO, FIRST_WAIT);
    loop {
        let written = {
            let journal = journal.clone();
            tokio::task::spawn_blocking(move || journal.catch_up()).await
        };
        if let Ok(Ok(written)) = written {
            return Some(written);
        }
        if waited >= within {
            return None;
        }
        tokio::time::sleep(wait).await;
        waited = waited.saturating_add(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// A disk may take its time: not on the threads that keep the streams.
async fn write(journal: &Journal, entry: Entry) -> Result<(), Unkept> {
    let journal = journal.clone();
    let written = tokio::task::spawn_blocking(move || journal.write(&entry)).await;
    written.unwrap_or_else(|error| Err(Unkept::Broken(error.to_string())))
}

/// Asks one question.
async fn ask(planes: &Planes, probe: Probe, within: Duration) -> Result<Answer, Fault> {
    let what = probe.what();
    let Some(plane) = planes.get(probe.plane()) else { return Err(Fault::Gone { what }) };
    let answered = tokio::time::timeout(within, plane.probe(probe)).await;
    answered.unwrap_or(Err(Fault::TimedOut { what, after: within }))
}
