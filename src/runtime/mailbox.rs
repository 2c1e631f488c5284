//! Where everything that happens waits for the loop: keys first, then data in order, the newest of each row only.
//!
//! This is the only lock of pgdeck. Its critical sections move values and never wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::app::{Msg, Size};
use crate::fleet::seen::{LogLine, Seen};
use crate::id::{ClusterId, DbName, InstanceId, Text};
use crate::metric::SurveyId;
use crate::plane::Sink;

/// At most this many log lines wait; older ones are dropped, and counted.
const LOG_LINES: usize = 5_000;

/// The inbox of one loop. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

/// What was taken out at once: urgent messages, then data.
#[derive(Debug, Default)]
pub struct Batch {
    /// Keys, pastes, resizes, signals.
    pub urgent: Vec<Msg>,
    /// What was seen.
    pub data: Vec<Msg>,
}

/// Until when [`Mailbox::take`] waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Data that comes before this time waits for it; keys never do.
    pub data_from: Instant,
    /// Come back then though nothing came; never, if none.
    pub until: Option<Instant>,
    /// Take at most this much data.
    pub most: usize,
}

/// What may be merged: the newest of each key wins, as if the older had never been sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Cluster(ClusterId),
    Rows(InstanceId, Option<DbName>, SurveyId),
}

#[derive(Debug, Default)]
struct Inner {
    urgent: Vec<Msg>,
    /// Only the last size counts.
    resized: Option<Size>,
    /// In order; what a newer one has replaced is none.
    data: VecDeque<Option<Seen>>,
    /// How many were ever taken from the front of `data`.
    taken: usize,
    /// The number of the one that waits, counted from the first ever: its place is that less `taken`.
    places: BTreeMap<Key, usize>,
    log_lines: usize,
    dropped: BTreeMap<(InstanceId, Text), u64>,
    /// The loop waits, and wants to be woken for data too.
    awaits_data: bool,
}

impl Mailbox {
    /// Puts in what the user, the terminal or the system did; wakes the loop at once.
    pub fn urge(&self, msg: Msg) {
        let mut inner = self.lock();
        if let Msg::Resized(size) = msg {
            inner.resized = Some(size);
        } else {
            inner.urgent.push(msg);
        }
        drop(inner);
        self.0.arrived.notify_all();
    }

    /// Puts in what was seen.
    pub fn put(&self, seen: Seen) {
        let mut inner = self.lock();
        inner.put(seen);
        let wake = inner.awaits_data;
        drop(inner);
        if wake {
            self.0.arrived.notify_all();
        }
    }

    /// Where planes put what they see.
    pub fn sink(&self) -> Sink {
        let mailbox = self.clone();
        Sink::new(move |seen| mailbox.put(seen))
    }

    /// Waits for something to happen and takes it out.
    pub fn take(&self, patience: Patience) -> Batch {
        let mut inner = self.lock();
        loop {
            let now = super::clock::instant();
            let ripe = now >= patience.data_from;
            let due = patience.until.is_some_and(|until| now >= until);
            if inner.is_urged() || due || (ripe && inner.has_data()) {
                inner.awaits_data = false;
                return inner.take(if ripe || due { patience.most } else { 0 });
            }
            // The first piece of data wakes us; what follows it before its time does not.
            inner.awaits_data = !inner.has_data();
            let held = inner.has_data().then_some(patience.data_from);
            inner = match [held, patience.until].into_iter().flatten().min() {
                Some(until) => {
                    let waited = self.0.arrived.wait_timeout(inner, until.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A panic elsewhere leaves plain values behind, never half of one: the lock stays usable.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_urged(&self) -> bool {
        !self.urgent.is_empty() || self.resized.is_some()
    }

    fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    fn put(&mut self, seen: Seen) {
        match seen {
            Seen::Log { instance, container, lines, dropped } => self.put_log(instance, container, lines, dropped),
            seen => {
                if let Some(key) = key(&seen) {
                    let number = self.taken + self.data.len();
                    let older = self.places.insert(key, number).and_then(|older| older.checked_sub(self.taken));
                    if let Some(waiting) = older.and_then(|place| self.data.get_mut(place)) {
                        *waiting = None;
                    }
                }
                self.data.push_back(Some(seen));
            }
        }
    }

    fn put_log(&mut self, instance: InstanceId, container: Text, lines: Vec<LogLine>, dropped: u64) {
        let room = LOG_LINES.saturating_sub(self.log_lines);
        let key = (instance.clone(), container.clone());
        if room == 0 {
            *self.dropped.entry(key).or_default() += dropped + lines.len() as u64;
            return;
        }
        let before = self.dropped.remove(&key).unwrap_or_default() + dropped;
        let excess = lines.len().saturating_sub(room);
        let lines = lines.into_iter().skip(excess).collect::<Vec<_>>();
        self.log_lines += lines.len();
        self.data.push_back(Some(Seen::Log { instance, container, lines, dropped: before + excess as u64 }));
    }

    fn take(&mut self, most: usize) -> Batch {
        let mut urgent = std::mem::take(&mut self.urgent);
        urgent.extend(self.resized.take().map(Msg::Resized));
        let mut data = Vec::new();
        while data.len() < most
            && let Some(seen) = self.data.pop_front()
        {
            self.taken += 1;
            match &seen {
                Some(Seen::Log { lines, .. }) => self.log_lines -= lines.len(),
                Some(seen) => drop(key(seen).and_then(|key| self.places.remove(&key))),
                None => {}
            }
            data.extend(seen.map(|seen| Msg::Seen(Box::new(seen))));
        }
        Batch { urgent, data }
    }
}

fn key(seen: &Seen) -> Option<Key> {
    match seen {
        Seen::Cluster { cluster, .. } => Some(Key::Cluster(cluster.id.clone())),
        Seen::Rows { instance, database, survey, .. } => Some(Key::Rows(instance.clone(), database.clone(), *survey)),
        Seen::Census { .. }
        | Seen::Gone(_)
        | Seen::Log { .. }
        | Seen::Event(_)
        | Seen::Manifest { .. }
        | Seen::Source { .. }
        | Seen::Closed(_) => None,
    }
}

#[cfg(test)]
mod tests;
