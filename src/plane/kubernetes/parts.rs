//! The parts of each cluster as they stand, and the cluster they make. Pure.

mod assemble;
mod reach;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::around;
use super::dialect::{self, Dialect};
use super::patroni::{self, Place};
use super::pool::Pool;
use super::settings::Settings;
use super::slim;
use super::zalando;
use crate::fleet::cluster::{Cluster, Member, Switchover, Unreadable, Warning, Workload};
use crate::fleet::seen;
use crate::fleet::surroundings::Surroundings;
use crate::id::{ClusterId, PlaneId, Text};
pub use reach::Reach;
use reach::{Reached, is_past};
use stores::Stores;

/// The kinds that are watched over the whole fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Resources,
    Pods,
    StatefulSets,
    ConfigMaps,
    Endpoints,
    Events,
}

impl Kind {
    /// All of them, in the order they are asked for.
    pub const ALL: [Kind; 6] =
        [Kind::Resources, Kind::Pods, Kind::ConfigMaps, Kind::StatefulSets, Kind::Endpoints, Kind::Events];

    /// As rights and sources name it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Resources => "postgresqls",
            Kind::Pods => "pods",
            Kind::StatefulSets => "statefulsets",
            Kind::ConfigMaps => "configmaps",
            Kind::Endpoints => "endpoints",
            Kind::Events => "events",
        }
    }
}

/// One object, parsed slim.
#[derive(Debug, Clone)]
pub enum Object {
    Resource(Box<slim::Resource>),
    Pod(Box<slim::Pod>),
    StatefulSet(Box<slim::StatefulSet>),
    /// Patroni's, in a ConfigMap or Endpoints.
    Dcs {
        meta: Box<slim::Meta>,
        endpoints: bool,
    },
    Event(Box<slim::Event>),
}

/// What one cluster is made of.
#[derive(Debug, Default)]
struct Parts {
    resource: Option<zalando::Resource>,
    /// Sorted by name. Shared with the fleet: a cluster is told whole, however little of it changed.
    members: Vec<(Arc<Member>, Option<Box<Unreadable>>)>,
    workload: Option<Workload>,
    leaders: Stores<patroni::Leader>,
    configs: Stores<patroni::Config>,
    syncs: Stores<(Option<Text>, Vec<Text>)>,
    failovers: Stores<Option<Switchover>>,
    /// When the newest renewal was seen to change, and how old it was at first sight.
    lease: Option<(Option<Timestamp>, Timestamp, Option<i64>)>,
    warning: Option<Warning>,
    surroundings: Option<Box<Surroundings>>,
    unreadable: BTreeMap<Text, Unreadable>,
    /// Events that came before the fleet was told of it.
    early: Vec<seen::Event>,
    /// The fleet was told of it.
    told: bool,
}

impl Parts {
    /// Nothing of it is left that makes a cluster. Patroni's objects and events alone do not: they may come before the CR,
    /// and stay behind it.
    fn is_gone(&self) -> bool {
        self.resource.is_none() && self.members.is_empty() && self.workload.is_none()
    }

    fn is_empty(&self) -> bool {
        self.is_gone()
            && self.warning.is_none()
            && self.early.is_empty()
            && self.leaders.is_empty()
            && self.configs.is_empty()
            && self.syncs.is_empty()
            && self.failovers.is_empty()
    }

    fn put_member(&mut self, member: Member, unreadable: Option<Unreadable>) {
        let put = (Arc::new(member), unreadable.map(Box::new));
        match self.members.binary_search_by(|(known, _)| known.name.cmp(&put.0.name)) {
            Ok(at) => self.members[at] = put,
            Err(at) => self.members.insert(at, put),
        }
    }

    /// Takes in a leader object, and notes when its lease was seen to be renewed. A change counts, not the order: a new
    /// leader's clock may be behind the old one's. Only of two stores the newer counts.
    fn take_leader(&mut self, endpoints: bool, leader: patroni::Leader, now: Timestamp, clock: Option<Timestamp>) {
        let renewed = leader.renewed;
        let before = self.leaders.put(endpoints, leader).map(|before| before.renewed);
        let other = self.leaders.get(!endpoints).and_then(|other| other.renewed);
        if before == Some(renewed) || renewed < other {
            return;
        }
        let age = || renewed.map(|renewed| clock.unwrap_or(now).duration_since(renewed).as_secs());
        self.lease = Some((renewed, now, before.is_none().then(age).flatten()));
    }
}

/// All parts of a plane.
#[derive(Debug)]
pub struct Index {
    plane: PlaneId,
    dialect: &'static dyn Dialect,
    settings: Settings,
    pool: Pool,
    parts: BTreeMap<ClusterId, Box<Parts>>,
    /// Which cluster an object belongs to, to find it again when it is deleted or relabelled.
    homes: BTreeMap<(Kind, Text, Text), ClusterId>,
    dirty: BTreeSet<ClusterId>,
    /// Namespaces (`None`: all) whose CRs may not be read: pods there are no orphans, only half known.
    blind: BTreeSet<Option<Text>>,
    /// Told while parts of them were still being listed.
    coming: BTreeSet<ClusterId>,
    /// How far the first lists have come, by kind and scope.
    reached: Reached,
}

impl Index {
    /// An empty one.
    pub fn new(plane: PlaneId, settings: Settings) -> Self {
        let (parts, homes) = (BTreeMap::new(), BTreeMap::new());
        let (dirty, blind, coming) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let dialect = dialect::usual();
        Index {
            plane,
            dialect,
            settings,
            pool: Pool::default(),
            parts,
            homes,
            dirty,
            blind,
            coming,
            reached: BTreeMap::new(),
        }
    }

    /// Takes in an object. `clock` is the time by the API server's clock, for leases seen for the first time.
    pub fn put(&mut self, kind: Kind, object: Object, now: Timestamp, clock: Option<Timestamp>) -> Option<seen::Event> {
        match object {
            Object::Resource(object) => {
                let id = self.named(&object.metadata.namespace, &object.metadata.name);
                let read = self.dialect.resource(&object, &mut self.pool);
                self.part(kind, &object.metadata, id).resource = Some(read);
            }
            Object::Pod(object) => {
                let id = self.home(kind, &object.metadata)?;
                let (member, unreadable) = self.dialect.member(&object, &self.settings, &mut self.pool)?;
                let parts = self.part(kind, &object.metadata, id);
                parts.put_member(member, unreadable);
            }
            Object::StatefulSet(object) => {
                let id = self.home(kind, &object.metadata)?;
                if *object.metadata.name != *id.name {
                    return None;
                }
                let read = self.dialect.workload(&object, &mut self.pool);
                self.part(kind, &object.metadata, id).workload = Some(read);
            }
            Object::Dcs { meta, endpoints } => self.put_dcs(kind, &meta, endpoints, now, clock),
            Object::Event(object) => {
                let about = &object.involved_object;
                let id = self.named(&about.namespace, &about.name);
                let event = zalando::event(&object, id.clone());
                let parts = self.parts.entry(id.clone()).or_default();
                parts.warning = zalando::newer(parts.warning.take(), &event);
                self.dirty.insert(id);
                if parts.told {
                    return Some(event);
                }
                parts.early.push(event);
            }
        }
        None
    }

    fn put_dcs(&mut self, kind: Kind, meta: &slim::Meta, endpoints: bool, now: Timestamp, clock: Option<Timestamp>) {
        let Some(id) = self.home(kind, meta) else { return };
        let Some(place) = patroni::place(&meta.name, &id.name, endpoints) else { return };
        let mut pool = std::mem::take(&mut self.pool);
        let parts = self.part(kind, meta, id);
        match place {
            Place::Leader => {
                let leader = patroni::leader(meta, &mut pool);
                parts.take_leader(endpoints, leader, now, clock);
            }
            Place::Config => drop(parts.configs.put(endpoints, patroni::config(meta, &mut pool))),
            Place::Sync => drop(parts.syncs.put(endpoints, patroni::sync(meta, &mut pool))),
            Place::Failover => drop(parts.failovers.put(endpoints, patroni::failover(meta))),
        }
        self.pool = pool;
    }

    /// An object that could not be parsed at all.
    pub fn put_unreadable(&mut self, kind: Kind, meta: &slim::Meta, why: &str) {
        let id = match kind {
            Kind::Resources => self.named(&meta.namespace, &meta.name),
            _ => match self.dialect.cluster_of(meta, &self.settings, &self.plane) {
                Some(id) => id,
                None => return,
            },
        };
        let object: Text = named(kind, meta).into();
        let unreadable = Unreadable { object: object.clone(), place: "the object".into(), why: why.into() };
        self.part(kind, meta, id).unreadable.insert(object, unreadable);
    }

    /// Forgets an object.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        let Some(id) = self.homes.remove(&(kind, namespace.into(), name.into())) else { return };
        let Some(parts) = self.parts.get_mut(&id) else { return };
        match kind {
            Kind::Resources => {
                parts.resource = None;
                // They told of that CR, not of the next one of its name.
                parts.warning = None;
                parts.early.clear();
            }
            Kind::Pods => parts.members.retain(|(member, _)| *member.name != *name),
            Kind::StatefulSets => parts.workload = None,
            Kind::ConfigMaps | Kind::Endpoints => {
                let endpoints = kind == Kind::Endpoints;
                match patroni::place(name, &id.name, endpoints) {
                    Some(Place::Leader) => parts.leaders.remove(endpoints),
                    Some(Place::Config) => parts.configs.remove(endpoints),
                    Some(Place::Sync) => parts.syncs.remove(endpoints),
                    Some(Place::Failover) => parts.failovers.remove(endpoints),
                    None => {}
                }
            }
            Kind::Events => {}
        }
        parts.unreadable.remove(&*format!("{} {namespace}/{name}", kind.word()));
        self.dirty.insert(id);
    }

    /// After a list: forgets every object of the kind in that scope that the list did not name.
    pub fn keep_only(&mut self, kind: Kind, scope: Option<&str>, listed: &BTreeSet<(Text, Text)>) {
        let gone: Vec<_> = self
            .homes
            .keys()
            .filter(|(of, namespace, name)| {
                *of == kind
                    && scope.is_none_or(|scope| *scope == **namespace)
                    && !listed.contains(&(namespace.clone(), name.clone()))
            })
            .cloned()
            .collect();
        for (_, namespace, name) in gone {
            self.remove(kind, &namespace, &name);
        }
    }

    /// What stands around a cluster, or nothing any more.
    pub fn surround(&mut self, id: &ClusterId, mut surroundings: Option<Box<Surroundings>>) {
        if let Some(parts) = self.parts.get_mut(id) {
            if let Some(surroundings) = &mut surroundings {
                around::mark_left_over(surroundings, parts.workload.as_ref().map(|workload| workload.replicas));
            }
            parts.surroundings = surroundings;
            self.dirty.insert(id.clone());
        }
    }

    /// Clusters that changed since the last call: as they stand, or none where they are gone.
    ///
    /// `orphans`: whether pods without a CR may already be called so (both lists have ended once).
    pub fn take_changed(&mut self, orphans: bool) -> Vec<(ClusterId, Option<Cluster>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut changed = Vec::with_capacity(dirty.len());
        for id in dirty {
            let Some(parts) = self.parts.get_mut(&id) else { continue };
            if parts.is_gone() {
                if std::mem::take(&mut parts.told) {
                    changed.push((id.clone(), None));
                }
                if parts.is_empty() {
                    self.parts.remove(&id);
                }
            } else if parts.resource.is_some() || orphans {
                parts.told = true;
                let blind = self.blind.contains(&None) || self.blind.contains(&Some(id.namespace.clone()));
                let coming = !is_past(&self.reached, &id);
                let cluster = Cluster { coming, ..assemble::cluster(&id, parts, blind) };
                if cluster.coming {
                    // Told once more when the lists are past it.
                    self.coming.insert(id.clone());
                }
                changed.push((id, Some(cluster)));
            } else {
                // Its CR may still come: look again then.
                self.dirty.insert(id);
            }
        }
        changed
    }

    /// A list has come so far: clusters before that have all their parts of that kind.
    pub fn reach(&mut self, kind: Kind, scope: Option<&str>, reach: Reach) {
        self.reached.insert((kind, scope.map(Text::from)), reach);
        let (past, coming) = std::mem::take(&mut self.coming).into_iter().partition(|id| is_past(&self.reached, id));
        self.coming = coming;
        let mut past: BTreeSet<ClusterId> = past;
        self.dirty.append(&mut past);
    }

    /// Every cluster there is.
    pub fn census(&self) -> BTreeSet<ClusterId> {
        self.parts.iter().filter(|(_, parts)| !parts.is_gone()).map(|(id, _)| id.clone()).collect()
    }

    /// The cluster that its labels name. An object that names none any more is forgotten.
    fn home(&mut self, kind: Kind, meta: &slim::Meta) -> Option<ClusterId> {
        let id = self.dialect.cluster_of(meta, &self.settings, &self.plane);
        if id.is_none() {
            self.remove(kind, &meta.namespace, &meta.name);
        }
        id
    }

    /// Events that waited for their cluster to be told.
    pub fn take_early(&mut self, id: &ClusterId) -> Vec<seen::Event> {
        self.parts.get_mut(id).map(|parts| std::mem::take(&mut parts.early)).unwrap_or_default()
    }

    /// Whether CRs may be read in that scope: where not, a cluster without one is no orphan.
    pub fn note_sight(&mut self, scope: Option<&str>, sees: bool) {
        let key = scope.map(Text::from);
        let changed = if sees { self.blind.remove(&key) } else { self.blind.insert(key) };
        if changed {
            let inside = self.parts.keys().filter(|id| scope.is_none_or(|scope| *scope == *id.namespace));
            self.dirty.extend(inside.cloned());
        }
    }

    fn named(&self, namespace: &str, name: &str) -> ClusterId {
        ClusterId { plane: self.plane.clone(), namespace: namespace.into(), name: name.into() }
    }

    fn part(&mut self, kind: Kind, meta: &slim::Meta, id: ClusterId) -> &mut Parts {
        // A dozen objects name it: their texts are kept once.
        let id = self.parts.get_key_value(&id).map_or(id, |(known, _)| known.clone());
        let key = (kind, id.namespace.clone(), self.pool.text(&meta.name));
        if self.homes.get(&key) != Some(&id) {
            // It moved from one cluster to another: its labels were changed.
            if self.homes.contains_key(&key) {
                self.remove(kind, &meta.namespace, &meta.name);
            }
            self.homes.insert(key, id.clone());
        }
        self.dirty.insert(id.clone());
        let parts = self.parts.entry(id).or_default();
        if !parts.unreadable.is_empty() {
            // Whoever puts it says anew whether it can be read.
            parts.unreadable.remove(&*named(kind, meta));
        }
        parts
    }
}

/// An object as it is called where it cannot be read.
fn named(kind: Kind, meta: &slim::Meta) -> String {
    format!("{} {}/{}", kind.word(), meta.namespace, meta.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fleet::cluster::Origin;

    fn index() -> Index {
        Index::new(PlaneId::Kubernetes("t".into()), Settings::default())
    }

    fn put(index: &mut Index, kind: Kind, value: &serde_json::Value) {
        let text = value.to_string();
        let object = match kind {
            Kind::Resources => Object::Resource(serde_json::from_str(&text).unwrap()),
            Kind::Pods => Object::Pod(serde_json::from_str(&text).unwrap()),
            Kind::StatefulSets => Object::StatefulSet(serde_json::from_str(&text).unwrap()),
            Kind::Events => Object::Event(serde_json::from_str(&text).unwrap()),
            Kind::ConfigMaps | Kind::Endpoints => {
                let bare: slim::Bare = serde_json::from_str(&text).unwrap();
                Object::Dcs { meta: Box::new(bare.metadata), endpoints: kind == Kind::Endpoints }
            }
        };
        index.put(kind, object, Timestamp::UNIX_EPOCH, None);
    }

    fn meta(name: &str) -> serde_json::Value {
        json!({"name": name, "namespace": "d", "labels": {"application": "spilo", "cluster-name": "shop"}})
    }

    fn leader(renewed: &str) -> serde_json::Value {
        let mut meta = meta("shop-leader");
        meta["annotations"] = json!({"leader": "shop-0", "renewTime": renewed, "ttl": "30"});
        json!({"metadata": meta})
    }

    #[test]
    fn patronis_objects_that_come_before_the_cr_are_kept() {
        let mut index = index();
        put(&mut index, Kind::ConfigMaps, &leader("2026-11-24T10:00:00Z"));
        assert_eq!(index.take_changed(false), []);
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        let changed = index.take_changed(false);
        let cluster = changed[0].1.as_ref().unwrap();
        assert_eq!(cluster.dcs.as_ref().unwrap().leader.as_deref(), Some("shop-0"));
    }

    #[test]
    fn a_warning_that_comes_before_the_cr_is_kept_and_goes_with_it() {
        let mut index = index();
        let event = json!({"metadata": {"name": "e", "namespace": "d"}, "type": "Warning", "reason": "Create",
                           "involvedObject": {"kind": "postgresql", "namespace": "d", "name": "shop"}});
        put(&mut index, Kind::Events, &event);
        assert_eq!(index.take_changed(true), []);
        let warned = |index: &mut Index| index.take_changed(true)[0].1.as_ref().unwrap().warning.is_some();
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        assert!(warned(&mut index));
        // Nothing that failed: it does not take its place.
        let raised = json!({"metadata": {"name": "r", "namespace": "d"}, "type": "Warning", "reason": "ResourceLimits",
                            "involvedObject": {"kind": "postgresql", "namespace": "d", "name": "shop"}});
        put(&mut index, Kind::Events, &raised);
        let told = index.take_changed(true);
        assert_eq!(&*told[0].1.as_ref().unwrap().warning.as_ref().unwrap().reason, "Create");
        index.remove(Kind::Resources, "d", "shop");
        assert!(index.take_changed(true)[0].1.is_none());
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        assert!(!warned(&mut index));
    }

    #[test]
    fn a_pod_that_loses_its_label_is_no_member_any_more() {
        let mut index = index();
        let mut pod = json!({"metadata": meta("shop-0"), "spec": {"containers": [{"name": "postgres"}]}});
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        put(&mut index, Kind::Pods, &pod);
        let members = |index: &mut Index| index.take_changed(true)[0].1.as_ref().unwrap().members.len();
        assert_eq!(members(&mut index), 1);
        pod["metadata"]["labels"] = json!({"application": "spilo"});
        put(&mut index, Kind::Pods, &pod);
        assert_eq!(members(&mut index), 0);
    }

    #[test]
    fn an_object_that_was_corrected_is_readable_again() {
        let mut index = index();
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        let of: slim::Meta = serde_json::from_value(meta("shop-0")).unwrap();
        index.put_unreadable(Kind::Pods, &of, "no list");
        let named = |index: &mut Index| {
            let changed = index.take_changed(true);
            changed[0].1.as_ref().unwrap().unreadable.iter().any(|unreadable| &*unreadable.why == "no list")
        };
        assert!(named(&mut index));
        put(
            &mut index,
            Kind::Pods,
            &json!({"metadata": meta("shop-0"), "spec": {"containers": [{"name": "postgres"}]}}),
        );
        assert!(!named(&mut index));
    }

    #[test]
    fn pods_without_a_cr_are_told_only_once_both_lists_have_ended() {
        let mut index = index();
        put(
            &mut index,
            Kind::Pods,
            &json!({"metadata": meta("shop-0"), "spec": {"containers": [{"name": "postgres"}]}}),
        );
        assert_eq!(index.take_changed(false), []);
        assert_eq!(index.take_changed(true)[0].1.as_ref().unwrap().origin, Origin::Orphan);
        index.remove(Kind::Pods, "d", "shop-0");
        assert!(index.take_changed(true)[0].1.is_none());
    }

    #[test]
    fn a_cluster_whose_pods_the_list_has_passed_has_all_of_them() {
        let mut index = index();
        for name in ["shop", "shop-2", "zoo"] {
            put(&mut index, Kind::Resources, &json!({"metadata": meta(name), "spec": {}}));
        }
        let coming = |index: &mut Index| -> Vec<(String, bool)> {
            let changed = index.take_changed(false).into_iter();
            changed.map(|(id, cluster)| (id.name.to_string(), cluster.unwrap().coming)).collect()
        };
        let told = |all: &[(&str, bool)]| all.iter().map(|(name, is)| ((*name).to_owned(), *is)).collect::<Vec<_>>();
        assert_eq!(coming(&mut index), told(&[("shop", true), ("shop-2", true), ("zoo", true)]));
        index.reach(Kind::ConfigMaps, None, Reach::End);
        index.reach(Kind::Endpoints, Some("d"), Reach::End);
        let mut reach = |namespace: &str, name: &str| {
            index.reach(Kind::Pods, None, Reach::Past(namespace.into(), name.into()));
            coming(&mut index)
        };
        assert_eq!(reach("d", "shop-2-0"), told(&[]));
        assert_eq!(reach("d", "shop-3"), told(&[("shop-2", false)]));
        assert_eq!(reach("e", "a"), told(&[("shop", false), ("zoo", false)]));
    }

    #[test]
    fn a_pooler_is_no_member_and_the_newest_of_two_stores_counts() {
        let mut index = index();
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        put(
            &mut index,
            Kind::Pods,
            &json!({"metadata": meta("shop-pooler-1"), "spec": {"containers": [{"name": "pooler"}]}}),
        );
        let mut orphan = meta("shop");
        orphan["annotations"] = json!({"leader": "shop-9", "renewTime": "2020-01-01T00:00:00Z"});
        put(&mut index, Kind::Endpoints, &json!({"metadata": orphan}));
        put(&mut index, Kind::ConfigMaps, &leader("2026-11-24T10:00:00Z"));
        let changed = index.take_changed(true);
        let cluster = changed[0].1.as_ref().unwrap();
        assert_eq!((cluster.members.len(), cluster.dcs.as_ref().unwrap().leader.as_deref()), (0, Some("shop-0")));
    }

    #[test]
    fn a_lease_is_seen_anew_only_when_it_was_renewed() {
        let mut index = index();
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        let mut seen = |at: i64, renewed: &str| {
            let bare: slim::Bare = serde_json::from_value(leader(renewed)).unwrap();
            let object = Object::Dcs { meta: Box::new(bare.metadata), endpoints: false };
            index.put(Kind::ConfigMaps, object, Timestamp::from_second(at).unwrap(), None);
            let lease = index.take_changed(true)[0].1.as_ref().unwrap().dcs.as_ref().unwrap().lease.clone();
            lease.unwrap().seen.as_second()
        };
        assert_eq!(seen(100, "1970-01-01T00:01:00Z"), 100);
        assert_eq!(seen(105, "1970-01-01T00:01:00Z"), 100);
        assert_eq!(seen(110, "1970-01-01T00:01:50Z"), 110);
    }

    #[test]
    fn malformed_objects_are_named_and_the_rest_counts() {
        let mut index = index();
        put(
            &mut index,
            Kind::Resources,
            &json!({"metadata": meta("shop"), "status": "Running",
            "spec": {"numberOfInstances": "three", "volume": {"size": "lots"}, "teamId": "x"}}),
        );
        let changed = index.take_changed(true);
        let cluster = changed[0].1.as_ref().unwrap();
        let places: Vec<&str> = cluster.unreadable.iter().map(|unreadable| &*unreadable.place).collect();
        assert_eq!(places, ["spec.postgresql", "spec.volume.size", "spec.numberOfInstances"]);
        assert_eq!((cluster.status.as_deref(), cluster.spec.team.as_deref()), (Some("Running"), Some("x")));
    }

    #[test]
    fn a_lease_renewed_by_a_clock_that_is_behind_is_renewed_all_the_same() {
        let mut index = index();
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        let mut seen = |at: i64, renewed: &str| {
            let bare: slim::Bare = serde_json::from_value(leader(renewed)).unwrap();
            let object = Object::Dcs { meta: Box::new(bare.metadata), endpoints: false };
            index.put(Kind::ConfigMaps, object, Timestamp::from_second(at).unwrap(), None);
            let lease = index.take_changed(true)[0].1.as_ref().unwrap().dcs.as_ref().unwrap().lease.clone();
            lease.unwrap().seen.as_second()
        };
        assert_eq!(seen(100, "1970-01-01T00:01:40Z"), 100);
        assert_eq!(seen(110, "1970-01-01T00:01:05Z"), 110);
    }

    #[test]
    fn failsafe_that_is_only_enabled_is_not_called_active() {
        let mut index = index();
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        let mut enabled = leader("2026-11-24T10:00:00Z");
        enabled["metadata"]["annotations"]["failsafe"] = r#"{"shop-0":"http://10.0.0.1:8008/patroni"}"#.into();
        put(&mut index, Kind::ConfigMaps, &enabled);
        let changed = index.take_changed(true);
        assert!(!changed[0].1.as_ref().unwrap().dcs.as_ref().unwrap().failsafe_active);
    }

    #[test]
    fn pods_whose_cr_may_not_be_read_are_no_orphans() {
        let mut index = index();
        let pod = json!({"metadata": meta("shop-0"), "spec": {"containers": [{"name": "postgres"}]}});
        put(&mut index, Kind::Pods, &pod);
        index.note_sight(Some("d"), false);
        let origin = |index: &mut Index| index.take_changed(true)[0].1.as_ref().unwrap().origin;
        assert_eq!(origin(&mut index), Origin::Resource);
        index.note_sight(Some("d"), true);
        assert_eq!(origin(&mut index), Origin::Orphan);
    }

    #[test]
    fn events_that_come_before_their_cluster_wait_for_it() {
        let mut index = index();
        let event = json!({"metadata": {"name": "e", "namespace": "d"}, "reason": "Create",
                           "involvedObject": {"kind": "postgresql", "namespace": "d", "name": "shop"}});
        put(&mut index, Kind::Events, &event);
        assert_eq!(index.take_changed(true), []);
        put(&mut index, Kind::Resources, &json!({"metadata": meta("shop"), "spec": {}}));
        let (id, _) = index.take_changed(true).remove(0);
        assert_eq!((index.take_early(&id).len(), index.take_early(&id).len()), (1, 0));
    }
}
