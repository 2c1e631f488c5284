//! The clusters we know: everything seen, applied in order, and what it means.

pub mod cluster;
pub mod health;
pub mod hearing;
pub mod instance;
pub mod known;
pub mod seen;
pub mod series;
pub mod surroundings;
#[cfg(test)]
mod tests;
pub mod topology;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use cluster::{Cluster, Origin};
use health::{Health, Scene, Severity};
use hearing::Hearing;
use instance::Instance;
use seen::{Event, Seen, Source, SourceState};

/// At most this many status moves and events are kept for a cluster.
const MOVES_KEPT: usize = 16;
const EVENTS_KEPT: usize = 200;
/// At most this many changes are remembered for views that catch up; older ones make them start over.
const CHANGES_KEPT: usize = 4096;
/// A change of Patroni's approximate lag within this is not worth a frame.
const GRAIN: u64 = 1 << 20;

/// Everything that is known of the world.
#[derive(Debug, Default)]
pub struct Fleet {
    clusters: BTreeMap<ClusterId, Box<Entry>>,
    sources: BTreeMap<Source, Standing>,
    /// Grows with every change that a cell could show.
    generation: u64,
    /// The same, but for what Patroni only estimates.
    told: u64,
    changes: VecDeque<(u64, ClusterId)>,
    rechecks: BTreeSet<(Timestamp, ClusterId)>,
    planes: BTreeMap<PlaneId, Hearing>,
}

/// One cluster with all that was learned of it.
#[derive(Debug)]
pub struct Entry {
    pub cluster: Cluster,
    /// When its plane last told of it.
    pub seen: Timestamp,
    /// The operator's status words as they came, newest last: some last a tenth of a second.
    pub moves: VecDeque<Move>,
    /// SQL truth, by member.
    pub instances: BTreeMap<Text, Instance>,
    /// Newest last.
    pub events: VecDeque<Event>,
    pub health: Health,
    /// The fleet's generation when it last changed.
    pub changed: u64,
    /// The rows stand, but a relist has not confirmed them yet.
    pub stale: bool,
}

/// A change of the operator's status word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub at: Timestamp,
    pub to: Option<Text>,
}

/// How a source stands, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub state: SourceState,
    /// When it last said so.
    pub at: Timestamp,
    pub since: Timestamp,
}

/// What a view must look at again.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// These clusters changed, appeared or went.
    Some(Vec<ClusterId>),
    /// Too much, or too long ago: everything.
    All,
}

impl Fleet {
    /// Takes in one thing seen.
    pub fn apply(&mut self, seen: Seen, now: Timestamp) {
        match seen {
            Seen::Cluster { cluster, at } => {
                self.hear(&cluster.id.plane, at, now);
                self.take_cluster(*cluster, at, now);
            }
            Seen::Census { plane, clusters, at: _ } => self.take_census(&plane, &clusters),
            Seen::Gone(id) => self.remove(&id),
            Seen::Rows { instance, database: _, survey, at, took_ms, rows } => {
                let Some(entry) = self.clusters.get_mut(&instance.cluster) else { return };
                if entry.cluster.member(&instance.member).is_none() {
                    // A last answer of a member that is gone.
                    return;
                }
                let sampled = entry.instances.entry(instance.member.clone()).or_default();
                sampled.took_ms = Some(took_ms);
                let may_tell = rows.as_ref().err().is_none_or(health::is_about_member);
                match (sampled.take(survey, at, rows), may_tell) {
                    (true, _) => self.touch(&instance.cluster, now),
                    (false, true) => self.judge(&instance.cluster, now),
                    (false, false) => {}
                }
            }
            Seen::Event(event) => self.take_event(event, now),
            Seen::Source { source, state, at } => self.take_source(source, state, at),
            Seen::Closed(source) => {
                if self.sources.remove(&source).is_some() {
                    self.generation += 1;
                    self.told += 1;
                }
            }
            // Logs and manifests belong to the views that asked for them.
            Seen::Log { .. } | Seen::Manifest { .. } => {}
        }
    }

    /// Judges again what time alone may have changed. True if anything did.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let before = self.generation;
        while let Some((at, id)) = self.rechecks.first().cloned().filter(|(at, _)| *at <= now) {
            // Judging puts it back at a later time only.
            self.rechecks.remove(&(at, id.clone()));
            self.judge(&id, now);
        }
        let is_due = |hearing: &Hearing| hearing.due().is_some_and(|due| due <= now);
        let due: Vec<PlaneId> =
            self.planes.iter().filter(|(_, hearing)| is_due(hearing)).map(|(plane, _)| plane.clone()).collect();
        for plane in due {
            self.fall_silent(&plane, now);
        }
        self.generation != before
    }

    /// When [`Fleet::tick`] is due next.
    pub fn next_recheck(&self) -> Option<Timestamp> {
        let planes = self.planes.values().filter_map(Hearing::due);
        self.rechecks.first().map(|(at, _)| *at).into_iter().chain(planes).min()
    }

    /// All clusters, in order of their ids.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterId, &Entry)> {
        self.clusters.iter().map(|(id, entry)| (id, &**entry))
    }

    /// How many clusters are known.
    pub fn len(&self) -> usize {
        self.clusters.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// One cluster.
    pub fn get(&self, id: &ClusterId) -> Option<&Entry> {
        self.clusters.get(id).map(Box::as_ref)
    }

    /// SQL truth of one instance; none if nothing was ever asked of it.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.clusters.get(&id.cluster)?.instances.get(&id.member)
    }

    /// How all sources stand.
    pub fn sources(&self) -> impl Iterator<Item = (&Source, &Standing)> {
        self.sources.iter()
    }

    /// How one source stands.
    pub fn source(&self, source: &Source) -> Option<&Standing> {
        self.sources.get(source)
    }

    /// Grows with every change that a cell could show.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Grows with every change but those of approximate lags: these come all the time, and nobody waits for one of them.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// What changed after that generation.
    pub fn changed_since(&self, generation: u64) -> Changes {
        if generation == self.generation {
            return Changes::Some(Vec::new());
        }
        match self.changes.front() {
            Some((oldest, _)) if *oldest <= generation + 1 => {
                let newer = self.changes.iter().rev().take_while(|(at, _)| *at > generation);
                let ids: BTreeSet<_> = newer.map(|(_, id)| id.clone()).collect();
                Changes::Some(ids.into_iter().collect())
            }
            _ => Changes::All,
        }
    }

    /// How many clusters have each severity.
    pub fn tally(&self) -> BTreeMap<Severity, usize> {
        let mut tally = BTreeMap::new();
        for entry in self.clusters.values() {
            *tally.entry(entry.health.severity).or_default() += 1;
        }
        tally
    }

    fn take_cluster(&mut self, cluster: Cluster, at: Timestamp, now: Timestamp) {
        let id = cluster.id.clone();
        let known = self.clusters.get_mut(&id).filter(|entry| !is_another(&entry.cluster, &cluster));
        let Some(entry) = known else {
            self.remove(&id);
            self.clusters.insert(id.clone(), Box::new(Entry::new(cluster, at)));
            self.touch(&id, now);
            return;
        };
        entry.seen = at;
        let quiet = !entry.stale && cluster.is_heartbeat_after(&entry.cluster);
        let lag_before = if quiet { approximate_lag(entry) } else { None };
        entry.stale = false;
        if entry.cluster.status != cluster.status {
            if entry.moves.len() == MOVES_KEPT {
                entry.moves.pop_front();
            }
            entry.moves.push_back(Move { at, to: cluster.status.clone() });
        }
        entry.cluster = cluster;
        if !quiet {
            let Entry { cluster, instances, .. } = &mut **entry;
            instances.retain(|name, _| cluster.member(name).is_some());
        }
        match (quiet, approximate_lag(entry) == lag_before) {
            (true, true) => {}
            (true, false) => self.note_estimate(&id),
            (false, _) => self.note_change(&id),
        }
        self.judge(&id, now);
    }

    /// After a list: what it does not hold is gone, what it holds is as it was unless told otherwise.
    fn take_census(&mut self, plane: &PlaneId, present: &BTreeSet<ClusterId>) {
        let gone: Vec<_> =
            self.clusters.keys().filter(|id| id.plane == *plane && !present.contains(*id)).cloned().collect();
        for id in &gone {
            self.remove(id);
        }
        self.confirm(plane, |id| present.contains(id));
    }

    /// What stood unconfirmed is as it was.
    fn confirm(&mut self, plane: &PlaneId, is_told: impl Fn(&ClusterId) -> bool) {
        let mut confirmed = Vec::new();
        for (id, entry) in self.clusters.iter_mut().filter(|(id, entry)| entry.stale && id.plane == *plane) {
            if is_told(id) {
                entry.stale = false;
                confirmed.push(id.clone());
            }
        }
        for id in &confirmed {
            self.note_change(id);
        }
    }

    fn take_event(&mut self, event: Event, now: Timestamp) {
        let id = event.cluster.clone();
        let Some(entry) = self.clusters.get_mut(&id) else { return };
        if let Some(known) = entry.events.iter_mut().find(|known| known.uid == event.uid) {
            *known = event;
        } else {
            if entry.events.len() == EVENTS_KEPT {
                entry.events.pop_front();
            }
            entry.events.push_back(event);
        }
        self.touch(&id, now);
    }

    fn take_source(&mut self, source: Source, state: SourceState, at: Timestamp) {
        let before = self.sources.get(&source);
        let since = before.filter(|before| before.state == state).map_or(at, |before| before.since);
        if before.is_none_or(|before| before.state != state) {
            self.generation += 1;
            self.told += 1;
        }
        let before_lost = before.is_some_and(|before| matches!(before.state, SourceState::Lost { .. }));
        if let Source::Plane { plane } = &source {
            match &state {
                SourceState::Live { .. } => {
                    // A watch that goes on where it broke off confirms what stands; after a list its census does.
                    if before_lost {
                        self.confirm(plane, |_| true);
                    }
                    self.planes.entry(plane.clone()).or_default().note_manner(&state);
                    self.hear(plane, at, at);
                }
                SourceState::Relisting => self.mark_stale(plane),
                SourceState::Lost { .. } => {
                    self.mark_stale(plane);
                    self.planes.entry(plane.clone()).or_default().lose(at);
                }
                SourceState::Connecting | SourceState::Limited { .. } => {}
            }
        }
        self.sources.insert(source, Standing { state, at, since });
    }

    /// A plane answered: its clusters are known again.
    fn hear(&mut self, plane: &PlaneId, at: Timestamp, now: Timestamp) {
        let was_silent = match self.planes.get_mut(plane) {
            Some(hearing) => hearing.hear(at),
            None => self.planes.entry(plane.clone()).or_default().hear(at),
        };
        if was_silent {
            self.judge_plane(plane, now);
        }
    }

    fn fall_silent(&mut self, plane: &PlaneId, now: Timestamp) {
        let why = match self.sources.get(&Source::Plane { plane: plane.clone() }).map(|standing| &standing.state) {
            Some(SourceState::Lost { why }) => format!("{why}; {}", why.remedy()),
            _ => "it does not answer".into(),
        };
        self.planes.entry(plane.clone()).or_default().fall_silent(&why);
        self.judge_plane(plane, now);
    }

    fn judge_plane(&mut self, plane: &PlaneId, now: Timestamp) {
        let ids: Vec<_> = self.clusters.keys().filter(|id| id.plane == *plane).cloned().collect();
        for id in &ids {
            self.judge(id, now);
        }
    }

    /// The plane's rows stand, unconfirmed: each of them looks different from now on.
    fn mark_stale(&mut self, plane: &PlaneId) {
        let mut any = false;
        for entry in self.clusters.values_mut().filter(|entry| !entry.stale && entry.cluster.id.plane == *plane) {
            entry.stale = true;
            any = true;
        }
        if any {
            self.generation += 1;
            self.told += 1;
            self.changes.clear();
        }
    }

    fn remove(&mut self, id: &ClusterId) {
        if let Some(entry) = self.clusters.remove(id) {
            if let Some(at) = entry.health.recheck {
                self.rechecks.remove(&(at, id.clone()));
            }
            self.note_change(id);
        }
    }

    /// Notes a visible change of a cluster, and judges it again.
    fn touch(&mut self, id: &ClusterId, now: Timestamp) {
        self.note_change(id);
        self.judge(id, now);
    }

    fn note_change(&mut self, id: &ClusterId) {
        self.told += 1;
        self.note_estimate(id);
    }

    fn note_estimate(&mut self, id: &ClusterId) {
        self.generation += 1;
        if self.changes.len() == CHANGES_KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back((self.generation, id.clone()));
        if let Some(entry) = self.clusters.get_mut(id) {
            entry.changed = self.generation;
        }
    }

    fn judge(&mut self, id: &ClusterId, now: Timestamp) {
        let Some(entry) = self.clusters.get_mut(id) else { return };
        let mut differs = false;
        for instance in entry.instances.values_mut() {
            differs |= instance.age_out(now);
        }
        let health = health::judge(&Scene { entry, now, hearing: self.planes.get(&id.plane) }, &entry.health);
        if let Some(at) = entry.health.recheck {
            self.rechecks.remove(&(at, id.clone()));
        }
        if let Some(at) = health.recheck {
            self.rechecks.insert((at, id.clone()));
        }
        differs |= health.verdicts != entry.health.verdicts || health.severity != entry.health.severity;
        entry.health = health;
        if differs {
            self.note_change(id);
        }
    }
}

impl Entry {
    /// What tells the cluster from another one of that name: the CR's uid; on plain hosts the system identifier that the member
    /// told last, none if it was never asked.
    pub fn identity(&self, member: Option<&Text>) -> Option<Text> {
        if self.cluster.origin != Origin::Hosts {
            return self.cluster.uid.clone();
        }
        let vitals = self.instances.get(member?)?.vitals.fresh()?;
        vitals.system.map(|system| Text::from(system.to_string()))
    }

    /// A cluster at first sight.
    pub fn new(cluster: Cluster, seen: Timestamp) -> Self {
        Entry {
            moves: VecDeque::from([Move { at: seen, to: cluster.status.clone() }]),
            cluster,
            seen,
            instances: BTreeMap::new(),
            events: VecDeque::new(),
            health: Health::default(),
            changed: 0,
            stale: false,
        }
    }
}

/// Whether a report is of another cluster of the same name: the old one was deleted meanwhile.
fn is_another(known: &Cluster, told: &Cluster) -> bool {
    known.origin == told.origin && known.uid.is_some() && told.uid.is_some() && known.uid != told.uid
}

/// The lag that a row shows by Patroni's positions, as coarse as it is worth a frame.
fn approximate_lag(entry: &Entry) -> Option<u64> {
    topology::worst_lag(entry).filter(|(_, lag)| !lag.exact).map(|(_, lag)| lag.bytes.0 / GRAIN)
}
