//! The clusters we know: everything seen, applied in order, and what it means.

pub mod cluster;
pub mod health;
pub mod instance;
pub mod known;
pub mod seen;
pub mod series;
pub mod topology;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use cluster::Cluster;
use health::{Health, Scene, Severity};
use instance::Instance;
use seen::{Event, Seen, Source, SourceState};

/// At most this many status moves and events are kept for a cluster.
const MOVES_KEPT: usize = 16;
const EVENTS_KEPT: usize = 200;
/// At most this many changes are remembered for views that catch up; older ones make them start over.
const CHANGES_KEPT: usize = 4096;
/// A plane that has not answered for three of its ten-second intervals is silent.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);

/// Everything that is known of the world.
#[derive(Debug, Default)]
pub struct Fleet {
    clusters: BTreeMap<ClusterId, Entry>,
    sources: BTreeMap<Source, Standing>,
    /// Grows with every change that a cell could show.
    generation: u64,
    changes: VecDeque<(u64, ClusterId)>,
    rechecks: BTreeSet<(Timestamp, ClusterId)>,
    planes: BTreeMap<PlaneId, Hearing>,
}

/// How a plane is heard.
#[derive(Debug, Default)]
struct Hearing {
    /// When it last answered.
    heard: Option<Timestamp>,
    /// When it is called silent unless it answers before.
    due: Option<Timestamp>,
    /// Why its clusters are unknown now.
    silent: Option<String>,
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
                let sampled = entry.instances.entry(instance.member.clone()).or_default();
                sampled.took_ms = Some(took_ms);
                sampled.take(survey, at, rows);
                self.touch(&instance.cluster, now);
            }
            Seen::Event(event) => self.take_event(event, now),
            Seen::Source { source, state, at } => self.take_source(source, state, at),
            // Logs and manifests belong to the views that asked for them.
            Seen::Log { .. } | Seen::Manifest { .. } => {}
        }
    }

    /// Judges again what time alone may have changed. True if anything did.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let before = self.generation;
        while let Some((at, id)) = self.rechecks.first().cloned() {
            if at > now {
                break;
            }
            self.rechecks.pop_first();
            self.judge(&id, now);
        }
        let due: Vec<PlaneId> = self
            .planes
            .iter()
            .filter(|(_, hearing)| hearing.due.is_some_and(|due| due <= now))
            .map(|(plane, _)| plane.clone())
            .collect();
        for plane in due {
            self.fall_silent(&plane, now);
        }
        self.generation != before
    }

    /// When [`Fleet::tick`] is due next.
    pub fn next_recheck(&self) -> Option<Timestamp> {
        let planes = self.planes.values().filter_map(|hearing| hearing.due);
        self.rechecks.first().map(|(at, _)| *at).into_iter().chain(planes).min()
    }

    /// All clusters, in order of their ids.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterId, &Entry)> {
        self.clusters.iter()
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
        self.clusters.get(id)
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
        let Some(entry) = self.clusters.get_mut(&id) else {
            let moves = VecDeque::from([Move { at, to: cluster.status.clone() }]);
            let entry = Entry {
                cluster,
                seen: at,
                moves,
                instances: BTreeMap::new(),
                events: VecDeque::new(),
                health: Health::default(),
                changed: 0,
                stale: false,
            };
            self.clusters.insert(id.clone(), entry);
            self.touch(&id, now);
            return;
        };
        entry.seen = at;
        let quiet = !entry.stale && cluster.is_heartbeat_after(&entry.cluster);
        entry.stale = false;
        if entry.cluster.status != cluster.status {
            if entry.moves.len() == MOVES_KEPT {
                entry.moves.pop_front();
            }
            entry.moves.push_back(Move { at, to: cluster.status.clone() });
        }
        entry.cluster = cluster;
        if quiet { self.judge(&id, now) } else { self.touch(&id, now) }
    }

    fn take_census(&mut self, plane: &PlaneId, present: &BTreeSet<ClusterId>) {
        let gone: Vec<_> =
            self.clusters.keys().filter(|id| id.plane == *plane && !present.contains(*id)).cloned().collect();
        for id in &gone {
            self.remove(id);
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
        }
        if let Source::Plane { plane } = &source {
            let plane = plane.clone();
            match &state {
                SourceState::Live { .. } => self.hear(&plane, at, at),
                SourceState::Relisting => self.mark_stale(&plane),
                SourceState::Lost { .. } => {
                    self.mark_stale(&plane);
                    let hearing = self.planes.entry(plane).or_default();
                    if hearing.silent.is_none() {
                        hearing.due = Some(hearing.heard.unwrap_or(at) + SILENCE);
                    }
                }
                SourceState::Connecting | SourceState::Limited { .. } => {}
            }
        }
        self.sources.insert(source, Standing { state, at, since });
    }

    /// A plane answered: its clusters are known again.
    fn hear(&mut self, plane: &PlaneId, at: Timestamp, now: Timestamp) {
        let hearing = self.planes.entry(plane.clone()).or_default();
        hearing.heard = Some(at);
        hearing.due = None;
        if hearing.silent.take().is_some() {
            self.judge_plane(plane, now);
        }
    }

    fn fall_silent(&mut self, plane: &PlaneId, now: Timestamp) {
        let state = self.sources.get(&Source::Plane { plane: plane.clone() }).map(|standing| standing.state.clone());
        let Some(hearing) = self.planes.get_mut(plane) else { return };
        hearing.due = None;
        let Some(SourceState::Lost { why }) = state else { return };
        let seconds = hearing.heard.map_or(0, |heard| now.duration_since(heard).as_secs());
        hearing.silent = Some(format!("nothing was heard for {seconds} s: {why}; {}", why.remedy()));
        self.judge_plane(plane, now);
    }

    fn judge_plane(&mut self, plane: &PlaneId, now: Timestamp) {
        let ids: Vec<_> = self.clusters.keys().filter(|id| id.plane == *plane).cloned().collect();
        for id in &ids {
            self.judge(id, now);
        }
    }

    fn mark_stale(&mut self, plane: &PlaneId) {
        for entry in self.clusters.values_mut().filter(|entry| entry.cluster.id.plane == *plane) {
            entry.stale = true;
        }
    }

    fn remove(&mut self, id: &ClusterId) {
        if self.clusters.remove(id).is_some() {
            self.note_change(id);
        }
    }

    /// Notes a visible change of a cluster, and judges it again.
    fn touch(&mut self, id: &ClusterId, now: Timestamp) {
        self.note_change(id);
        self.judge(id, now);
    }

    fn note_change(&mut self, id: &ClusterId) {
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
        let Some(entry) = self.clusters.get(id) else { return };
        let silent = self.planes.get(&id.plane).and_then(|hearing| hearing.silent.as_deref());
        let plane = self.sources.get(&Source::Plane { plane: id.plane.clone() });
        let cut_off = plane.is_some_and(|standing| matches!(standing.state, SourceState::Lost { .. }));
        let health = health::judge(&Scene { entry, now, silent, cut_off }, &entry.health);
        if let Some(at) = entry.health.recheck {
            self.rechecks.remove(&(at, id.clone()));
        }
        if let Some(at) = health.recheck {
            self.rechecks.insert((at, id.clone()));
        }
        let differs = health.verdicts != entry.health.verdicts || health.severity != entry.health.severity;
        if let Some(entry) = self.clusters.get_mut(id) {
            entry.health = health;
        }
        if differs {
            self.note_change(id);
        }
    }
}
