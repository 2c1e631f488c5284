//! What real operators and real Patronis wrote, of several versions, is read for what it means.

mod replayed;

use std::collections::BTreeMap;

use jiff::Timestamp;
use pgdeck::fleet::cluster::{Cluster, Dcs, Origin, Role};
use pgdeck::id::PlaneId;
use pgdeck::metric::lsn::{Bytes, Lsn};
use pgdeck::plane::kubernetes::parts::{Index, Kind, Object};
use pgdeck::plane::kubernetes::settings::Settings;
use pgdeck::plane::kubernetes::slim;
use serde_json::{Value, json};

const FULL: &str = include_str!("data/captured/operator-1.15.1-full.yaml");
const FAILED_OVER: &str = include_str!("data/captured/operator-1.15.1-failed-over.yaml");
const TOYS: &str = include_str!("data/captured/operator-1.15.1-toys.yaml");
const ENDPOINTS: &str = include_str!("data/captured/operator-1.15.1-endpoints.yaml");
const PATRONI_FOUR: &str = include_str!("data/captured/operator-1.15.1-patroni-4.1.5.yaml");
const OPERATOR_TWO: &str = include_str!("data/captured/operator-2.0.1.yaml");

fn items(text: &str) -> Vec<Value> {
    let list: Value = serde_saphyr::from_str(text).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// An object as the watch of its kind reads it.
fn parsed(value: &Value) -> (Kind, Object) {
    let text = value.to_string();
    match value["kind"].as_str().unwrap() {
        "postgresql" => (Kind::Resources, Object::Resource(serde_json::from_str(&text).unwrap())),
        "Pod" => (Kind::Pods, Object::Pod(serde_json::from_str(&text).unwrap())),
        "StatefulSet" => (Kind::StatefulSets, Object::StatefulSet(serde_json::from_str(&text).unwrap())),
        "Event" => (Kind::Events, Object::Event(serde_json::from_str(&text).unwrap())),
        store => {
            let endpoints = store == "Endpoints";
            let bare: slim::Bare = serde_json::from_str(&text).unwrap();
            let kind = if endpoints { Kind::Endpoints } else { Kind::ConfigMaps };
            (kind, Object::Dcs { meta: Box::new(bare.metadata), endpoints })
        }
    }
}

/// The clusters that these objects make, by name.
fn read(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Cluster> {
    let mut index = Index::new(PlaneId::Kubernetes("captured".into()), Settings::default());
    for value in objects {
        let (kind, object) = parsed(&value);
        index.put(kind, object, Timestamp::UNIX_EPOCH, None);
    }
    let told = index.take_changed(true).into_iter();
    told.filter_map(|(id, cluster)| Some((id.name.to_string(), cluster?))).collect()
}

fn dcs(cluster: &Cluster) -> &Dcs {
    cluster.dcs.as_ref().unwrap()
}

/// Name, role by Patroni, role by label, state and timeline of each member.
fn members(cluster: &Cluster) -> Vec<(&str, Role, Role, &str, Option<u32>)> {
    let members = cluster.members.iter();
    members
        .map(|member| {
            let patroni = member.patroni.as_ref().unwrap();
            (&*member.name, patroni.role, member.label_role, &*patroni.state, patroni.timeline)
        })
        .collect()
}

const PRIMARY: Role = Role::Primary;
const STANDBY: Role = Role::Standby;

/// Seen: a scheduler whose bind came too late for one pod wrote its failure onto the next of that name, which ran.
#[test]
fn a_schedulers_failure_is_told_of_a_pod_that_waits_and_of_none_that_runs() {
    for (phase, reason) in [("Pending", Some("SchedulerError")), ("Running", None)] {
        let mut objects = items(FULL);
        let pod = objects.iter_mut().find(|object| object["metadata"]["name"] == "acid-full-0").unwrap();
        pod["status"]["phase"] = json!(phase);
        let failure = json!({ "type": "PodScheduled", "status": "False", "reason": "SchedulerError" });
        pod["status"]["conditions"].as_array_mut().unwrap().push(failure);
        let clusters = read(objects);
        let told = clusters["acid-full"].members[0].pod.as_ref().unwrap().waiting.as_ref();
        assert_eq!(told.map(|waiting| &*waiting.reason), reason, "{phase}");
    }
}

#[test]
fn operator_one_with_everything_is_read_with_its_poolers_left_out() {
    let clusters = read(items(FULL));
    let full = &clusters["acid-full"];
    assert_eq!((full.origin, full.status.as_deref()), (Origin::Resource, Some("Running")));
    let spec = &full.spec;
    assert_eq!((spec.version.as_deref(), spec.instances, spec.volume), (Some("15"), Some(2), Some(Bytes(1 << 30))));
    assert!(spec.synchronous && spec.pooler && spec.replica_pooler && spec.logical_backup && !spec.standby);
    assert_eq!(spec.patroni.slots.iter().map(|slot| &**slot).collect::<Vec<_>>(), ["cdc"]);
    assert_eq!(&*spec.parameters["work_mem"], "8MB");
    assert_eq!(
        members(full),
        [("acid-full-0", PRIMARY, PRIMARY, "running", Some(1)), ("acid-full-1", STANDBY, STANDBY, "running", Some(1))]
    );
    let pod = full.members[0].pod.as_ref().unwrap();
    assert_eq!(pod.containers.iter().map(|name| &**name).collect::<Vec<_>>(), ["postgres", "exporter"]);
    assert!(pod.ready && !pod.deleting && !pod.rolling_update && pod.waiting.is_none() && pod.archive_env.is_empty());
    let workload = full.workload.as_ref().unwrap();
    assert_eq!((workload.replicas, workload.ready), (2, 2));
    assert_eq!(workload.image.as_deref(), Some("spilo.invalid/spilo:rig"));
    assert!(workload.archive_env.is_empty());
    assert_eq!(full.unreadable, []);
}

#[test]
fn the_words_of_patroni_three_are_read() {
    let clusters = read(items(TOYS));
    let toys = &clusters["acid-toys"];
    let dcs = dcs(toys);
    assert_eq!((dcs.leader.as_deref(), dcs.optime), (Some("acid-toys-0"), Some(Lsn(100_858_552))));
    assert_eq!(dcs.system.as_deref(), Some("7711209188902052922"));
    let lease = dcs.lease.as_ref().unwrap();
    assert_eq!((lease.ttl, lease.transitions), (30, Some(2)));
    assert_eq!(lease.renewed, Some("2026-11-23T03:52:03.323070Z".parse().unwrap()));
    let history: Vec<_> =
        dcs.history.iter().map(|entry| (entry.timeline, entry.lsn, entry.new_leader.as_deref().unwrap())).collect();
    assert_eq!(history, [(1, Lsn(83_886_240), "acid-toys-2"), (2, Lsn(100_663_456), "acid-toys-0")]);
    assert_eq!(&*dcs.history[0].reason, "no recovery target specified");
    let config = dcs.config.as_ref().unwrap();
    assert!(!config.pause && !config.synchronous && config.failsafe == Some(false));
    assert_eq!((config.ttl, config.loop_wait), (Some(30), Some(10)));
    assert_eq!((config.maximum_lag_on_failover, &*config.parameters["archive_mode"]), (Some(Bytes(33_554_432)), "on"));
    let roles: Vec<_> = toys.members.iter().map(|member| member.patroni.as_ref().unwrap().role).collect();
    assert_eq!(roles, [PRIMARY, STANDBY, STANDBY]);
    let first = toys.members[0].patroni.as_ref().unwrap();
    assert_eq!((first.version.as_deref(), first.timeline), (Some("3.0.2"), Some(3)));
    assert_eq!((first.position, first.pending_restart), (Some(Lsn(100_858_552)), false));
}

#[test]
fn a_create_that_failed_is_told_by_its_word() {
    let clusters = read(items(TOYS));
    let books = &clusters["acid-books"];
    assert_eq!((books.status.as_deref(), books.members.len()), (Some("CreateFailed"), 0));
    assert!(books.dcs.is_none() && books.workload.is_none());
}

#[test]
fn a_failover_leaves_history_slots_and_a_synchronous_standby() {
    let clusters = read(items(FULL).into_iter().chain(items(FAILED_OVER)));
    let dcs = dcs(&clusters["acid-full"]);
    assert_eq!((dcs.leader.as_deref(), dcs.sync_leader.as_deref()), (Some("acid-full-0"), Some("acid-full-0")));
    assert_eq!(dcs.sync_standbys.iter().map(|name| &**name).collect::<Vec<_>>(), ["acid-full-1"]);
    assert_eq!((dcs.history.len(), dcs.slots["cdc"]), (1, Lsn(53_856_808)));
    let config = dcs.config.as_ref().unwrap();
    assert!(config.synchronous && !config.synchronous_strict);
    assert_eq!(config.slots.iter().map(|slot| &**slot).collect::<Vec<_>>(), ["cdc"]);
}

#[test]
fn the_words_of_patroni_four_are_read() {
    let clusters = read(items(PATRONI_FOUR));
    let shop = &clusters["acid-shop"];
    assert_eq!(shop.origin, Origin::Orphan);
    assert_eq!(
        members(shop),
        [
            ("acid-shop-0", PRIMARY, PRIMARY, "running", Some(1)),
            ("acid-shop-1", STANDBY, STANDBY, "running", Some(1)),
            ("acid-shop-2", STANDBY, STANDBY, "running", Some(1))
        ]
    );
    let standby = shop.members[1].patroni.as_ref().unwrap();
    assert_eq!((standby.version.as_deref(), standby.replication_state.as_deref()), (Some("4.1.5"), Some("streaming")));
    assert_eq!((standby.received, standby.replayed), (Some(Lsn(70_594_464)), Some(Lsn(70_594_464))));
    let dcs = dcs(shop);
    assert_eq!((dcs.leader.as_deref(), dcs.slots.len()), (Some("acid-shop-0"), 3));
    assert_eq!(dcs.sync_standbys.iter().map(|name| &**name).collect::<Vec<_>>(), ["acid-shop-2"]);
    assert_eq!((dcs.history.len(), dcs.failsafe_active), (0, false));
}

#[test]
fn state_kept_in_endpoints_is_read_as_that_in_configmaps() {
    let manifest = json!({"kind": "postgresql", "metadata": {"name": "acid-shop", "namespace": "default"},
        "spec": {"teamId": "acid", "numberOfInstances": 3, "volume": {"size": "1Gi"}, "postgresql": {"version": "15"}}});
    let clusters = read(items(ENDPOINTS).into_iter().chain([manifest]));
    let dcs = dcs(&clusters["acid-shop"]);
    assert_eq!((dcs.leader.as_deref(), dcs.optime), (Some("acid-shop-0"), Some(Lsn(70_595_272))));
    assert_eq!(dcs.sync_standbys.iter().map(|name| &**name).collect::<Vec<_>>(), ["acid-shop-1"]);
    assert_eq!(dcs.system.as_deref(), Some("7711223450883546846"));
    assert!(dcs.config.as_ref().unwrap().synchronous);
}

#[test]
fn of_two_stores_the_one_renewed_last_counts_whichever_came_first() {
    let manifest = json!({"kind": "postgresql", "metadata": {"name": "acid-shop", "namespace": "default"}, "spec": {}});
    let mut objects: Vec<Value> = items(PATRONI_FOUR).into_iter().chain(items(ENDPOINTS)).chain([manifest]).collect();
    // The Endpoints were renewed five minutes after the ConfigMaps.
    assert_eq!(dcs(&read(objects.clone())["acid-shop"]).optime, Some(Lsn(70_595_272)));
    objects.reverse();
    assert_eq!(dcs(&read(objects)["acid-shop"]).optime, Some(Lsn(70_595_272)));
}

#[test]
fn operator_two_is_read_over_its_namespaces() {
    let clusters = read(items(OPERATOR_TWO));
    let long = "this-name-is-far-too-long-for-the-operator-because-of-its-suffix";
    let words: Vec<_> =
        clusters.values().map(|cluster| (&*cluster.id.name, cluster.status.as_deref().unwrap())).collect();
    assert_eq!(
        words,
        [("acid-minimal", "Running"), ("shop-full", "Running"), ("shop-standby", "Running"), (long, "SyncFailed")]
    );
    let full = &clusters["shop-full"];
    assert_eq!((&*full.id.namespace, full.spec.team.as_deref()), ("team-shop", Some("shop")));
    assert_eq!((full.spec.patroni.ttl, full.spec.patroni.loop_wait), (Some(30), Some(10)));
    assert_eq!(&*dcs(full).config.as_ref().unwrap().parameters["max_connections"], "200");
    let roles: Vec<_> = members(full).into_iter().map(|(name, role, label, ..)| (name, role, label)).collect();
    assert_eq!(
        roles,
        [("shop-full-0", PRIMARY, PRIMARY), ("shop-full-1", STANDBY, STANDBY), ("shop-full-2", STANDBY, STANDBY)]
    );
    assert_eq!(full.members[0].patroni.as_ref().unwrap().version.as_deref(), Some("4.0.4"));
    assert!(clusters["shop-standby"].spec.standby);
    assert_eq!(&*dcs(&clusters["acid-minimal"]).config.as_ref().unwrap().parameters["max_connections"], "100");
    assert!(clusters.values().all(|cluster| cluster.unreadable.is_empty()), "{clusters:#?}");
}

#[test]
fn a_pending_restart_and_archiving_are_read_where_a_real_pod_has_them() {
    let mut objects = items(PATRONI_FOUR);
    let pod = objects.iter_mut().find(|object| object["metadata"]["name"] == "acid-shop-1").unwrap();
    let told = pod["metadata"]["annotations"]["status"].as_str().unwrap();
    let mut status: Value = serde_json::from_str(told).unwrap();
    status["pending_restart"] = json!(true);
    status["pending_restart_reason"] = json!({"max_connections": {"old_value": "100", "new_value": "200"}});
    pod["metadata"]["annotations"]["status"] = json!(status.to_string());
    let env = pod["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.push(json!({"name": "WAL_S3_BUCKET", "value": "backups"}));
    let clusters = read(objects);
    let member = &clusters["acid-shop"].members[1];
    let patroni = member.patroni.as_ref().unwrap();
    assert!(patroni.pending_restart);
    assert_eq!(patroni.pending_reason["max_connections"], ("100".into(), "200".into()));
    assert_eq!(&*member.pod.as_ref().unwrap().archive_env["WAL_S3_BUCKET"], "backups");
}
