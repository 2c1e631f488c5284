//! The fleet's stream of one context: every kind's task tells here, and clusters come out, each as one piece.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;

use super::client::Server;
use super::dialect;
use super::parts::{Index, Kind, Reach};
use super::settings::Settings;
use super::watch::{self, Parsed, Subject, Tell, Told};
use crate::fault::Fault;
use crate::fleet::seen::{Seen, Source, SourceState};
use crate::fleet::surroundings::Surroundings;
use crate::id::{ClusterId, PlaneId, Text};
use crate::plane::{Clock, Sink};

/// Changes that come together within this are told together; the first after a quiet time is told at once.
const TOGETHER: Duration = Duration::from_millis(40);
/// A context that said nothing for this long is asked for its version.
const QUIET: Duration = Duration::from_secs(10);
/// It is lost if that question is not answered in this time.
const PULSE: Duration = Duration::from_secs(3);

/// What stands around clusters with an open view, told by the streams that look.
pub type Around = (ClusterId, Option<Box<Surroundings>>);

/// The collector of one context.
pub struct Collector {
    pub plane: PlaneId,
    pub server: Server,
    /// The user's namespaces; empty for all.
    pub namespaces: Vec<String>,
    pub settings: Settings,
    pub sink: Sink,
    pub clock: Clock,
    pub around: mpsc::UnboundedReceiver<Around>,
}

struct Collecting {
    plane: PlaneId,
    server: Server,
    sink: Sink,
    clock: Clock,
    index: Index,
    tasks: JoinSet<()>,
    tell: mpsc::UnboundedSender<Tell>,
    /// Namespaces that stand in for "all", where all are forbidden, by kind.
    narrowed: BTreeSet<Kind>,
    /// Lists that have ended, by kind and scope.
    listed: BTreeSet<(Kind, Option<Text>)>,
    running: Vec<Subject>,
    states: BTreeMap<(Kind, Option<Text>), SourceState>,
    live: bool,
    /// No clusters may be read in any namespace: the API server answers, but it tells nothing.
    refused: bool,
}

impl Collector {
    /// Runs until it is dropped.
    pub async fn run(self, settings: channel::Sender<Option<Settings>>) {
        settings.send_replace(Some(self.settings.clone()));
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut around = self.around;
        let mut collecting = Collecting {
            index: Index::new(self.plane.clone(), self.settings.clone()),
            plane: self.plane,
            server: self.server,
            sink: self.sink,
            clock: self.clock,
            tasks: JoinSet::new(),
            tell,
            narrowed: BTreeSet::new(),
            listed: BTreeSet::new(),
            running: Vec::new(),
            states: BTreeMap::new(),
            live: false,
            refused: false,
        };
        collecting.start(&self.namespaces, &self.settings);
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                // All cancel-safe: what is received is kept in `batch`.
                n = told.recv_many(&mut batch, 1024) => if n == 0 { return },
                Some((id, surroundings)) = around.recv() => collecting.index.surround(&id, surroundings),
                () = tokio::time::sleep(QUIET) => collecting.feel_pulse().await,
            }
            for (subject, told) in batch.drain(..) {
                collecting.take(&subject, told).await;
            }
            collecting.tell_changes();
            // What follows within a moment is told in one piece.
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

impl Collecting {
    fn start(&mut self, namespaces: &[String], settings: &Settings) {
        let scopes: Vec<Option<Text>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().map(|namespace| Some(Text::from(namespace.as_str()))).collect()
        };
        for kind in Kind::ALL {
            for scope in &scopes {
                self.spawn(subject(kind, scope.clone(), settings));
            }
        }
    }

    fn spawn(&mut self, subject: Subject) {
        if self.running.contains(&subject) {
            return;
        }
        self.running.push(subject.clone());
        let now = (self.clock)();
        self.tell_kind(&subject, SourceState::Connecting, now);
        self.tasks.spawn(watch::run(self.server.clone(), Arc::new(subject), self.tell.clone(), self.clock.clone()));
    }

    async fn take(&mut self, subject: &Subject, told: Told) {
        let now = (self.clock)();
        match told {
            Told::Put { objects, clock } => {
                self.note_life(now);
                for parsed in objects {
                    match parsed {
                        Parsed::Object(object) => {
                            if let Some(event) = self.index.put(subject.kind, object, now, clock) {
                                self.sink.send(Seen::Event(event));
                            }
                        }
                        Parsed::Unreadable(meta, why) => self.index.put_unreadable(subject.kind, &meta, &why),
                    }
                }
            }
            Told::Removed { namespace, name } => {
                self.note_life(now);
                self.index.remove(subject.kind, &namespace, &name);
            }
            Told::Reached { namespace, name } => {
                self.index.reach(subject.kind, subject.namespace.as_deref(), Reach::Past(namespace, name));
            }
            Told::Listed(listed) => {
                self.refused &= subject.kind != Kind::Resources;
                if subject.kind == Kind::Resources {
                    self.index.note_sight(subject.namespace.as_deref(), true);
                }
                self.note_life(now);
                self.index.keep_only(subject.kind, subject.namespace.as_deref(), &listed);
                self.index.reach(subject.kind, subject.namespace.as_deref(), Reach::End);
                self.listed.insert((subject.kind, subject.namespace.clone()));
                if self.orphans() && matches!(subject.kind, Kind::Resources | Kind::Pods) {
                    self.tell_changes();
                    let (plane, clusters) = (self.plane.clone(), self.index.census());
                    self.sink.send(Seen::Census { plane, clusters, at: now });
                }
            }
            Told::Alive => self.note_life(now),
            Told::State(state) => self.note_state(subject, state, now),
            Told::Forbidden(why) => self.narrow(subject, why, now).await,
        }
    }

    /// Whether pods without a CR may be called orphans: both lists have ended in every scope.
    fn orphans(&self) -> bool {
        let ended = |kind: Kind| {
            let mut scopes = self.running.iter().filter(|subject| subject.kind == kind).peekable();
            let narrowed = self.narrowed.contains(&kind);
            scopes.peek().is_some()
                && scopes
                    .filter(|subject| !(narrowed && subject.namespace.is_none()))
                    .all(|subject| self.listed.contains(&(kind, subject.namespace.clone())))
        };
        ended(Kind::Resources) && ended(Kind::Pods)
    }

    /// The API server spoke.
    fn note_life(&mut self, now: Timestamp) {
        if !self.live && !self.refused {
            self.live = true;
            self.tell_plane(SourceState::Live { polled: false }, now);
        }
    }

    fn tell_plane(&self, state: SourceState, at: Timestamp) {
        self.sink.send(Seen::Source { source: Source::Plane { plane: self.plane.clone() }, state, at });
    }

    fn note_state(&mut self, subject: &Subject, state: SourceState, now: Timestamp) {
        match &state {
            SourceState::Live { .. } => self.note_life(now),
            SourceState::Lost {
                why: why @ (Fault::Unreachable { .. } | Fault::TimedOut { .. } | Fault::AuthExpired { .. }),
            } => {
                self.live = false;
                self.tell_plane(SourceState::Lost { why: why.clone() }, now);
            }
            SourceState::Relisting if matches!(subject.kind, Kind::Resources) => {
                self.live = false;
                self.tell_plane(SourceState::Relisting, now);
            }
            SourceState::Connecting
            | SourceState::Relisting
            | SourceState::Lost { .. }
            | SourceState::Limited { .. } => {}
        }
        self.tell_kind(subject, state, now);
    }

    fn tell_kind(&mut self, subject: &Subject, state: SourceState, at: Timestamp) {
        let key = (subject.kind, subject.namespace.clone());
        if self.states.get(&key) == Some(&state) {
            return;
        }
        self.states.insert(key, state.clone());
        let (kind, namespace) = (subject.kind.word().into(), subject.namespace.clone());
        let source = Source::Kind { plane: self.plane.clone(), kind, namespace };
        self.sink.send(Seen::Source { source, state, at });
    }

    /// Cluster-wide is forbidden: goes on namespace by namespace, in those that the user may list, else the context's own.
    async fn narrow(&mut self, subject: &Subject, why: Fault, now: Timestamp) {
        self.tell_kind(subject, SourceState::Limited { why }, now);
        // The API server answers, if only to refuse.
        self.note_life(now);
        if subject.namespace.is_some() || !self.narrowed.insert(subject.kind) {
            self.listed.insert((subject.kind, subject.namespace.clone()));
            // The cluster-wide list stays forbidden and is asked again: what its namespaces tell counts.
            if subject.kind == Kind::Resources && subject.namespace.is_some() {
                self.index.note_sight(subject.namespace.as_deref(), false);
            }
            // Without pods nothing is known of members; Patroni's objects may be missing.
            if subject.kind != Kind::Pods {
                self.index.reach(subject.kind, subject.namespace.as_deref(), Reach::End);
            }
            self.note_refusal(subject, now);
            return;
        }
        for namespace in namespaces(&self.server).await {
            self.index.reach(subject.kind, Some(&namespace), Reach::Begun);
            self.spawn(Subject { namespace: Some(namespace.into()), ..subject.clone() });
        }
        if subject.kind != Kind::Pods {
            self.index.reach(subject.kind, None, Reach::End);
        }
    }

    /// Where clusters may be read nowhere, the whole context is as good as lost.
    fn note_refusal(&mut self, subject: &Subject, now: Timestamp) {
        let mut scopes = self.running.iter().filter(|running| running.kind == Kind::Resources);
        let is_limited = |subject: &Subject| {
            let state = self.states.get(&(subject.kind, subject.namespace.clone()));
            matches!(state, Some(SourceState::Limited { .. }))
        };
        if subject.kind != Kind::Resources || self.refused || !scopes.all(is_limited) {
            return;
        }
        self.refused = true;
        self.live = false;
        let what = format!("clusters in {}", self.server.context);
        let needs = "the right to list and watch postgresqls.acid.zalan.do".into();
        self.tell_plane(SourceState::Lost { why: Fault::Forbidden { what, needs } }, now);
    }

    fn tell_changes(&mut self) {
        let now = (self.clock)();
        let orphans = self.orphans();
        for (id, cluster) in self.index.take_changed(orphans) {
            let early = self.index.take_early(&id);
            self.sink.send(match cluster {
                Some(cluster) => Seen::Cluster { cluster: Box::new(cluster), at: now },
                None => Seen::Gone(id),
            });
            for event in early {
                self.sink.send(Seen::Event(event));
            }
        }
    }

    async fn feel_pulse(&mut self) {
        let pulse = tokio::time::timeout(PULSE, self.server.get("/version")).await;
        let now = (self.clock)();
        match pulse {
            // A right to /version is not needed to be alive.
            Ok(Ok(_) | Err(Fault::Forbidden { .. })) if self.refused => {}
            Ok(Ok(_) | Err(Fault::Forbidden { .. })) => {
                self.live = true;
                self.tell_plane(SourceState::Live { polled: false }, now);
            }
            Ok(Err(why)) => {
                self.live = false;
                self.tell_plane(SourceState::Lost { why }, now);
            }
            Err(_elapsed) => {
                self.live = false;
                let what = format!("the API server of {}", self.server.context);
                self.tell_plane(SourceState::Lost { why: Fault::TimedOut { what, after: PULSE } }, now);
            }
        }
    }
}

/// The namespaces that may be looked into, where not all may.
async fn namespaces(server: &Server) -> Vec<String> {
    if let Ok(items) = server.items("/api/v1/namespaces").await {
        return items.iter().filter_map(|item| Some(item["metadata"]["name"].as_str()?.to_owned())).collect();
    }
    let own = server.client().await.map(|connection| connection.namespace.to_string());
    own.into_iter().collect()
}

/// What is asked for of a kind.
fn subject(kind: Kind, namespace: Option<Text>, settings: &Settings) -> Subject {
    let labels = format!("labelSelector={}", watch::encode(&settings.selector()));
    let (root, selector) = match kind {
        Kind::Resources => (dialect::usual().root(), String::new()),
        Kind::Pods | Kind::ConfigMaps | Kind::Endpoints => ("/api/v1", labels),
        Kind::StatefulSets => ("/apis/apps/v1", labels),
        Kind::Events => ("/api/v1", format!("fieldSelector={}", watch::encode("involvedObject.kind=postgresql"))),
    };
    Subject { kind, root, namespace, selector }
}

/// Finds out how the operator is configured; where nothing tells, its defaults, with the reason.
pub async fn settings(server: &Server) -> Result<(Settings, Option<Fault>), Fault> {
    let configurations = server.get_json("/apis/acid.zalan.do/v1/operatorconfigurations?limit=50").await;
    match &configurations {
        Ok(list) => {
            if let Some(object) = list["items"].as_array().and_then(|items| items.first()) {
                return Ok((Settings::from_object(object), None));
            }
        }
        Err(Fault::Gone { .. } | Fault::Forbidden { .. } | Fault::Refused { .. }) => {}
        Err(other) => return Err(other.clone()),
    }
    let selector = watch::encode("metadata.name=postgres-operator");
    let maps = server.get_json(&format!("/api/v1/configmaps?fieldSelector={selector}")).await;
    let why = match (maps, configurations) {
        (Ok(list), configurations) => {
            if let Some(object) = list["items"].as_array().and_then(|items| items.first()) {
                return Ok((Settings::from_config_map(object), None));
            }
            configurations.err().filter(|fault| matches!(fault, Fault::Forbidden { .. })).unwrap_or(Fault::Gone {
                what: format!(
                    "the operator's configuration in {} (its defaults are assumed: application=spilo)",
                    server.context
                ),
            })
        }
        (Err(fault @ Fault::Forbidden { .. }), _) => fault,
        (Err(fault), _) => return Err(fault),
    };
    Ok((Settings::default(), Some(why)))
}
