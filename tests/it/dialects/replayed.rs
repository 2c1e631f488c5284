//! What operator 2.0.1 was seen to do, played again through dialect and model, with the words that the console shows for it.
//!
//! The objects were captured before the operator's clusters were patched: what was patched is changed here by hand, as the timeline
//! and the notes of that run tell, and each change is marked `by hand`.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use pgdeck::action::ViewId;
use pgdeck::fleet::seen::{Seen, Source, SourceState};
use pgdeck::fleet::surroundings::Surroundings;
use pgdeck::id::ClusterId;
use pgdeck::operation::operation;
use pgdeck::plane::kubernetes::around;
use pgdeck::plane::kubernetes::parts::Reach;
use pgdeck::run::Aim;
use pgdeck::view::Subject;
use pgdeck::work::probe::{Answer, Objects, Probe};

use super::*;
use crate::rig::Rig;

/// Every change of a postgresql object in that run: seconds since 1970, what happened, which object, its generation, its status.
const TIMELINE: &str = include_str!("../data/captured/operator-2.0.1-timeline.txt");
/// The CronJob and the warnings of that run.
const MORE: &str = include_str!("../data/captured/operator-2.0.1-more.yaml");

/// A console on that world.
struct Replay {
    index: Index,
    rig: Rig,
    objects: Vec<Value>,
    plane: PlaneId,
}

impl Replay {
    /// As it was captured: but for the postgresql objects, and for what is not there yet.
    fn new() -> Replay {
        let plane = PlaneId::Kubernetes("captured".into());
        let mut index = Index::new(plane.clone(), Settings::default());
        for kind in Kind::ALL {
            index.reach(kind, None, Reach::End);
        }
        let mut rig = Rig::new(Vec::new());
        rig.now = "2026-11-23T03:39:56Z".parse().unwrap();
        let source = Source::Plane { plane: plane.clone() };
        rig.see(vec![
            Seen::Source { source, state: SourceState::Live { polled: false }, at: rig.now },
            Seen::Census { plane: plane.clone(), clusters: BTreeSet::new(), at: rig.now },
        ]);
        Replay { index, rig, objects: items(OPERATOR_TWO).into_iter().chain(items(MORE)).collect(), plane }
    }

    /// A captured object, to be changed.
    fn object(&self, kind: &str, name: &str) -> Value {
        let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        self.objects.iter().find(is_it).unwrap().clone()
    }

    fn id(&self, namespace: &str, name: &str) -> ClusterId {
        ClusterId { plane: self.plane.clone(), namespace: namespace.into(), name: name.into() }
    }

    /// What stands around these clusters, as it was captured, with leases that go on.
    fn put_rest(&mut self, of: &BTreeSet<String>) {
        let mut rest = self.objects.clone();
        rest.retain(|object| {
            let cluster = object["metadata"]["labels"]["cluster-name"].as_str();
            cluster.is_some_and(|cluster| of.contains(cluster)) && object["kind"] != "CronJob"
        });
        for mut object in rest {
            if object["metadata"]["annotations"]["renewTime"].is_string() {
                object["metadata"]["annotations"]["renewTime"] = json!(self.rig.now.to_string()); // by hand
            }
            self.put(&object);
        }
    }

    fn put(&mut self, object: &Value) {
        let (kind, object) = parsed(object);
        self.index.put(kind, object, self.rig.now, None);
    }

    /// The console hears of what was put, at that moment.
    fn tell(&mut self) {
        let at = self.rig.now;
        let told = self.index.take_changed(true).into_iter().map(|(id, cluster)| match cluster {
            Some(cluster) => Seen::Cluster { cluster: Box::new(cluster), at },
            None => Seen::Gone(id),
        });
        let told = told.collect();
        self.rig.see(told);
        self.rig.wait(0);
    }

    fn until(&mut self, seconds: f64) {
        self.rig.now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs_f64(seconds);
    }

    /// The screen's row of a cluster; empty where there is none.
    fn row(&mut self, cluster: &str) -> String {
        let text = self.rig.text((400, 50));
        // Long names are cut.
        let start = &cluster[..cluster.len().min(20)];
        text.lines().skip(3).find(|line| line.contains(start)).unwrap_or_default().to_owned()
    }

    /// The page of a cluster.
    fn page(&mut self, id: ClusterId) -> String {
        self.rig.open(ViewId::Cluster, &Subject::Cluster(id));
        let text = self.rig.text((200, 50));
        self.rig.keys("esc");
        text
    }
}

/// A postgresql object at a generation, with the time of its last change and the operator's word.
fn at_generation(object: &Value, generation: u64, changed: Timestamp, status: Option<&Value>) -> Value {
    let mut object = object.clone();
    object["metadata"]["generation"] = json!(generation);
    // By hand: the patches of that run.
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    match (name.as_str(), generation) {
        ("acid-minimal", 2) => object["spec"]["numberOfInstances"] = json!(3),
        ("acid-minimal", 3..) => object["spec"]["numberOfInstances"] = json!(4),
        ("shop-full", 2) => object["spec"]["enableLogicalBackup"] = json!(false),
        ("shop-full", 3..) => {
            object["spec"]["enableLogicalBackup"] = json!(false);
            object["spec"]["postgresql"]["parameters"]["max_connections"] = json!("250");
        }
        _ => {}
    }
    if generation > 1 {
        let fields = object["metadata"]["managedFields"].as_array_mut().unwrap();
        for entry in fields.iter_mut().filter(|entry| entry["subresource"].is_null()) {
            entry["time"] = json!(changed.to_string());
        }
    }
    match status {
        Some(word) => object["status"] = json!({ "PostgresClusterStatus": word }),
        None => drop(object.as_object_mut().unwrap().remove("status")),
    }
    object
}

/// A line of the timeline.
struct Line {
    at: f64,
    what: &'static str,
    namespace: &'static str,
    name: &'static str,
    generation: u64,
    status: Option<Value>,
}

fn timeline() -> Vec<Line> {
    let lines = TIMELINE.lines().filter(|line| !line.contains("# end"));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let at = words.next().unwrap().parse().unwrap();
            let what = words.next().unwrap();
            let (namespace, name) = words.next().unwrap().split_once('/').unwrap();
            let generation = words.next().unwrap().strip_prefix("generation=").unwrap().parse().unwrap();
            let (_, status) = line.split_once("status=").unwrap();
            let (status, _) = status.split_once(" annotations=").unwrap();
            let status: Value = serde_json::from_str(status).unwrap();
            Line { at, what, namespace, name, generation, status: status.get("PostgresClusterStatus").cloned() }
        })
        .collect()
}

/// Health, members and the operator's word on the screen after each line of the timeline.
const SHOWN: &[(&str, &str, &str)] = &[
    ("warning", "0/2", "–"),
    ("warning", "0/3", "–"),
    ("warning", "0/2", "Creating"),
    ("warning", "0/1", "–"),
    ("warning", "0/3", "Creating"),
    ("warning", "0/1", "–"),
    ("warning", "0/1", "Creating"),
    ("warning", "0/1", "Creating"),
    ("critical", "0/1", "CreateFailed"),
    ("ok", "2/2", "Running"),
    ("ok", "1/1", "Running"),
    ("critical", "0/1", "SyncFailed"),
    ("ok", "3/3", "Running"),
    // Scaled up: its word is back within 0.1 s, when there is no third pod yet.
    ("warning", "2/3", "Running"),
    ("warning", "2/3", "Updating"),
    ("warning", "2/3", "Running"),
    ("ok", "3/3", "Running"),
    ("warning", "2/4", "Running"),
    ("ok", "3/3", "Running"),
    ("warning", "2/4", "Running"),
    ("warning", "2/4", "Updating"),
    ("critical", "3/3", "SyncFailed"),
    ("warning", "2/4", "Running"),
    ("ok", "1/1", "Running"),
    ("ok", "1/1", "Updating"),
    ("ok", "1/1", "Running"),
    ("warning", "1/0", "no object"),
];

#[test]
fn the_run_of_operator_two_is_shown_word_by_word() {
    let mut replay = Replay::new();
    let (mut running, mut changed) = (BTreeSet::new(), BTreeMap::new());
    let lines = timeline();
    assert_eq!(lines.len(), SHOWN.len());
    for (line, (health, members, word)) in lines.into_iter().zip(SHOWN) {
        replay.until(line.at);
        let changed = *changed.entry((line.name, line.generation)).or_insert(replay.rig.now);
        if line.what == "DELETED" {
            replay.index.remove(Kind::Resources, line.namespace, line.name);
        } else {
            let captured = replay.object("postgresql", line.name);
            replay.put(&at_generation(&captured, line.generation, changed, line.status.as_ref()));
        }
        if line.status.as_ref().is_some_and(|word| word == "Running") {
            running.insert(line.name.to_owned());
        }
        replay.put_rest(&running);
        replay.tell();
        let row = replay.row(line.name);
        let is_shown = |word: &str| row.contains(&format!(" {word} "));
        assert!([health, members, word].iter().all(|word| is_shown(word)), "{} {}: {row}", line.at, line.what);
    }
    // Its resource is gone at once, with no finalizer that would have shown it beforehand.
    assert!(
        replay
            .row("shop-standby")
            .contains("no postgresql object, but pods shop-standby-0: being deleted, or orphaned")
    );
    assert!(replay.object("postgresql", "shop-standby")["metadata"]["finalizers"].is_null());
}

/// One cluster of that run, patched by hand at 03:42:30 to that generation, `later` seconds after it; with the operator's word.
fn patched(name: &str, generation: u64, later: i64, word: &str) -> Replay {
    let mut replay = Replay::new();
    let changed: Timestamp = "2026-11-23T03:42:30Z".parse().unwrap();
    replay.rig.now = changed + SignedDuration::from_secs(later);
    let captured = replay.object("postgresql", name);
    replay.put(&at_generation(&captured, generation, changed, Some(&json!(word))));
    replay.put_rest(&BTreeSet::from([name.to_owned()]));
    replay
}

#[test]
fn a_patch_that_waits_behind_another_cluster_is_said_to_be_not_taken_up() {
    // The operator says Running at the new generation all along: its one handler waits for another cluster's worker.
    let words = "4 instances are asked for, the StatefulSet has 2 (the operator waits, or clamps to its limits)";
    for (later, is_said) in [(59, false), (61, true)] {
        let mut replay = patched("acid-minimal", 3, later, "Running");
        replay.tell();
        let page = replay.page(replay.id("team-acid", "acid-minimal"));
        assert_eq!(page.contains(words), is_said, "{page}");
        assert_eq!(page.contains("not_taken_up  1m01s ago"), is_said, "{page}");
    }
}

#[test]
fn a_patch_that_the_operator_lost_is_named_though_it_never_speaks_of_it_again() {
    let mut replay = patched("shop-full", 2, 61, "Running");
    replay.tell();
    let id = replay.id("team-shop", "shop-full");
    let jobs = vec![around::backup(&replay.object("CronJob", "logical-backup-shop-full"))];
    replay.index.surround(&id, Some(Box::new(Surroundings { backups: jobs, ..Surroundings::default() })));
    replay.tell();
    let words = "no logical backup is asked for, CronJob logical-backup-shop-full still runs: delete or suspend it";
    assert!(replay.row("shop-full").contains(words));

    // Both updates failed, without an event; what a sync makes good too was still missing then.
    let changed = replay.rig.now;
    let captured = replay.object("postgresql", "shop-full");
    replay.put(&at_generation(&captured, 3, changed, Some(&json!("SyncFailed"))));
    replay.rig.now += SignedDuration::from_secs(61);
    replay.put_rest(&BTreeSet::from(["shop-full".to_owned()]));
    replay.tell();
    let page = replay.page(id);
    for words in [
        "SyncFailed: no event tells why; look into the operator's log",
        "yet a member leads and 3 of 3 are ready: its word may be old, `reconcile` makes it look again",
        "parameter max_connections 250 is asked for, Patroni has 200",
        words,
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn a_failure_that_stands_on_a_whole_cluster_is_contradicted() {
    let mut replay = patched("acid-minimal", 1, 90, "CreateFailed");
    let mut event = replay.objects.iter().find(|object| object["reason"] == "Create").unwrap().clone();
    // By hand: the words that were in this cluster's event.
    event["involvedObject"]["name"] = json!("acid-minimal");
    event["message"] = json!("could not create cluster: pod labels error: still failing after 30 retries");
    replay.put(&event);
    replay.tell();
    let page = replay.page(replay.id("team-acid", "acid-minimal"));
    for words in [
        "CreateFailed: could not create cluster: pod labels error: still failing after 30 retries",
        "yet a member leads and 2 of 2 are ready: its word may be old, `reconcile` makes it look again",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn what_the_defaults_of_operator_two_delete_is_said_before() {
    let mut replay = patched("acid-minimal", 1, 0, "Running");
    let id = replay.id("team-acid", "acid-minimal");
    let (_, cluster) = replay.index.take_changed(true).into_iter().find(|(told, _)| *told == id).unwrap();
    let cluster = cluster.unwrap();
    let captured = replay.object("postgresql", "acid-minimal");
    assert!(captured["metadata"]["finalizers"].is_null() && captured["metadata"]["ownerReferences"].is_null());
    // By hand: an operator's configuration that says nothing of deletion.
    let settings = Settings::from_object(&json!({ "configuration": { "kubernetes": {} } }));
    let objects = Objects {
        version: "815".into(),
        resource: json!({}),
        annotations: BTreeMap::new(),
        finalizers: Vec::new(),
        pods: BTreeMap::new(),
        rules: settings.rules,
        cluster,
    };
    let aim = Aim {
        cluster: id.clone(),
        uid: objects.cluster.uid.clone(),
        member: None,
        args: BTreeMap::new(),
        at: replay.rig.now,
        who: "sre".into(),
    };
    let looked = vec![(Probe::Objects(id), Ok(Answer::Objects(Box::new(objects))))];
    let deal = (operation("delete").unwrap().consider)(&aim, &looked).unwrap();
    let lights: Vec<&str> = deal.lights.iter().map(|light| &*light.text).collect();
    for words in ["its volumes go too: its data is gone but for backups", "its secrets go too"] {
        assert!(lights.contains(&words), "{words}: {lights:#?}");
    }
    assert!(!lights.iter().any(|light| light.contains("finalizers")), "{lights:#?}");
}
