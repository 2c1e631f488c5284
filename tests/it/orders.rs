//! Orders on bad days: whoever changes the same thing, an answer that is lost, a gate that is closed. The machine that the
//! console and `pgdeck do` drive is driven here against a Kubernetes API with a proxy before it.

mod answered;
mod cut_off;
mod identity;
mod many;
mod together;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pgdeck::fleet::Entry;
use pgdeck::id::{ClusterId, Text};
use pgdeck::journal::{Journal, unanswered};
use pgdeck::operation::operation;
use pgdeck::plane::Plane;
use pgdeck::run::{Aim, Event, Out, Outcome, Phase, Run};
use pgdeck::runtime::Planes;
use pgdeck::runtime::perform::{self, Gate};
use pgdeck::sandbox::objects::{POSTGRESQL, STATEFUL_SET};
use pgdeck::state::ledger::scope;
use pgdeck::work::entry::Colour;
use pgdeck::work::probe::{Answer, Probe};
use serde_json::{Value, json};

use crate::kube::stage::{self, Stage};
use crate::proxy::{Proxy, Trouble};

/// A cluster of one member that is asked to have two, with nobody behind the API who would make it so.
struct Scene {
    stage: Stage,
    proxy: Proxy,
    planes: Planes,
    gate: Gate,
    journal: Journal,
    folder: PathBuf,
}

impl Scene {
    async fn new(test: &str) -> Scene {
        let stage = Stage::embedded("test").await;
        put(&stage, "shop").await;
        let proxy = Proxy::before(&stage).await;
        let plane: Arc<dyn Plane> = Arc::new(stage::plane(proxy.options()));
        let planes = Planes::from([(plane.id(), plane)]);
        let folder = std::env::temp_dir().join(format!("pgdeck-orders-{test}-{}", std::process::id()));
        let journal = Journal::in_folder(&folder);
        Scene { stage, proxy, planes, gate: Gate::default(), journal, folder }
    }

    fn id(&self) -> ClusterId {
        self.proxy.id("shop")
    }

    fn arm(&self) {
        self.gate.open(scope(&self.id()), Timestamp::now() + SignedDuration::from_mins(1));
    }

    /// Does what the run asks for until it waits for the user, has ended, or `enough`.
    async fn drive(&self, run: &mut Run, mut todo: Vec<Out>, enough: impl Fn(&Run) -> bool) -> Vec<Out> {
        while !todo.is_empty() && !enough(run) {
            let mut next = Vec::new();
            for out in todo {
                let event = perform::step(&self.planes, &self.gate, &self.journal, out).await;
                next.extend(event.map(|event| run.advance(Timestamp::now(), event)).unwrap_or_default());
            }
            todo = next;
        }
        todo
    }

    /// What there is of the cluster by the plane's word.
    async fn entry(&self) -> Entry {
        let looked = perform::ask_all(&self.planes, vec![Probe::Objects(self.id())]).await;
        let Some((_, Ok(Answer::Objects(objects)))) = looked.into_iter().next() else { panic!("no objects") };
        Entry::new(objects.cluster, Timestamp::now())
    }

    /// An offer, or why there is none.
    async fn offer(&self, action: &str, member: Option<&str>, words: &[&str]) -> Run {
        let (operation, entry) = (operation(action).unwrap(), self.entry().await);
        let args = operation.read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap();
        let (uid, member) = (entry.cluster.uid.clone(), member.map(Text::from));
        let aim = Aim { cluster: self.id(), uid, member, args, at: Timestamp::UNIX_EPOCH, who: "me".into() };
        let probes = (operation.aim)(&entry, &aim).unwrap();
        let (mut run, todo) = Run::new("r1".into(), operation.id, aim, probes, operation.consider, Timestamp::now());
        run.leaves = operation.leaves(&run.aim.args);
        self.drive(&mut run, todo, |_| false).await;
        run
    }

    /// The offer to have two members.
    async fn offered(&self) -> Run {
        let run = self.offer("scale", None, &["2"]).await;
        assert_eq!(run.phase, Phase::Offered, "{:?}", run.lines);
        run
    }

    async fn confirm(&self, run: &mut Run) {
        let confirmed = Event::Confirmed { how: "y".into(), who: "test".into(), reason: None };
        let todo = run.advance(Timestamp::now(), confirmed);
        self.drive(run, todo, |_| false).await;
    }

    async fn wanted(&self) -> Value {
        let object = self.stage.store.get(&POSTGRESQL.at(&self.stage.namespace, "shop")).await.unwrap();
        object.unwrap()["spec"]["numberOfInstances"].clone()
    }

    /// What the journal has, by the kinds of its lines.
    fn journaled(&self) -> Vec<String> {
        let (lines, broken) = self.journal.read().unwrap();
        assert_eq!(broken, 0);
        lines.iter().map(|line| line["entry"].as_str().unwrap().to_owned()).collect()
    }
}

/// A cluster of one member that is none yet.
async fn put(stage: &Stage, name: &str) {
    stage.cluster(name).await;
    // There is no operator here that it would have to be kept away from.
    let attached = json!({"metadata": {"annotations": {"acid.zalan.do/controller": null}}});
    stage.store.patch(&POSTGRESQL.at(&stage.namespace, name), &attached).await.unwrap();
    let set = json!({
        "metadata": {"name": name, "labels": {"application": "spilo", "cluster-name": name}},
        "spec": {"replicas": 1, "serviceName": name, "selector": {"matchLabels": {"cluster-name": name}},
                 "template": {"metadata": {"labels": {"cluster-name": name}}, "spec": {"containers": []}}},
    });
    stage.create(STATEFUL_SET, set).await;
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn is_patch(path: &str) -> bool {
    path.contains("fieldManager=pgdeck")
}

fn said(run: &Run) -> String {
    run.lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_is_closed_lets_nothing_through() {
    let scene = Scene::new("closed").await;
    let mut run = scene.offered().await;
    scene.confirm(&mut run).await;
    assert_eq!(run.outcome(), Some(Outcome::Refused));
    assert!(said(&run).contains("is read-only: arm it first"), "{}", said(&run));
    assert!(!scene.proxy.requests().iter().any(|path| is_patch(path)));
    assert_eq!(scene.wanted().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_faster_is_not_overwritten() {
    let scene = Scene::new("conflict").await;
    scene.arm();
    // Between the last look and the patch: the API server's own answer to that.
    let mut run = scene.offered().await;
    scene.proxy.trouble(Trouble::status(409, "the object has been modified"), is_patch);
    scene.confirm(&mut run).await;
    assert_eq!(run.outcome(), Some(Outcome::Refused));
    assert!(said(&run).contains("changed meanwhile") && said(&run).contains("look again"), "{}", said(&run));
    assert_eq!(scene.wanted().await, 1);
    // It was looked at anew five times.
    let tries = ["sending", "answered"].repeat(6);
    assert_eq!(scene.journaled(), [&["asked"], &tries[..], &["ended"]].concat());

    // Between the offer and the confirmation.
    scene.proxy.heal();
    let mut run = scene.offered().await;
    let patch = json!({"spec": {"numberOfInstances": 5}});
    scene.stage.store.patch(&POSTGRESQL.at(&scene.stage.namespace, "shop"), &patch).await.unwrap();
    scene.confirm(&mut run).await;
    assert_eq!(run.outcome(), Some(Outcome::Refused));
    assert_eq!(scene.wanted().await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_wrote_meanwhile_is_looked_at_anew_and_what_somebody_wants_is_not_overwritten() {
    let wanted = json!({"spec": {"users": {"somebody": []}}});
    for expected in [None, Some(Outcome::Refused)] {
        let scene = Scene::new("anew").await;
        scene.arm();
        let spot = POSTGRESQL.at(&scene.stage.namespace, "shop");
        let says = async |word| scene.stage.store.patch_status(&spot, &json!({"PostgresClusterStatus": word})).await;
        says("Updating").await.unwrap();
        let mut run = scene.offered().await;
        let confirmed = Event::Confirmed { how: "y".into(), who: "test".into(), reason: None };
        let todo = run.advance(Timestamp::now(), confirmed);
        let is_sending = |run: &Run| matches!(run.phase, Phase::Sending { .. });
        let todo = scene.drive(&mut run, todo, is_sending).await;
        let written = match expected {
            None => says("Running").await,
            Some(_) => scene.stage.store.patch(&spot, &wanted).await,
        };
        written.unwrap();
        scene.drive(&mut run, todo, |run| matches!(run.phase, Phase::Proving { .. })).await;
        assert_eq!(run.outcome(), expected, "{}", said(&run));
        assert!(said(&run).contains("aimed anew: "), "{}", said(&run));
        let is_sent = expected.is_none();
        assert_eq!(said(&run).contains("the CR was changed by somebody else meanwhile: look again"), !is_sent);
        assert_eq!(scene.wanted().await, if is_sent { 2 } else { 1 });
        let n_asked = scene.journaled().iter().filter(|line| *line == "asked").count();
        assert_eq!(n_asked, 1, "{:?}", scene.journaled());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_no_failure_the_effect_tells() {
    let scene = Scene::new("lost").await;
    scene.arm();
    let mut run = scene.offered().await;
    scene.proxy.trouble(Trouble::AnswerLost, is_patch);
    run.patience_s = Some(1);
    scene.confirm(&mut run).await;
    // It arrived; nobody makes the member, and that is said.
    assert_eq!(scene.wanted().await, 2);
    assert_eq!(run.outcome(), Some(Outcome::Unproven));
    let said = said(&run);
    assert!(said.contains("the answer was lost") && said.contains("the StatefulSet asks for 1"), "{said}");
    assert!(said.contains("to go back: pgdeck do scale"), "{said}");

    // Whoever orders the next one, and be it another pgdeck, must say yes to that; the journal keeps what was said yes to.
    let journal = Journal::in_folder(&scene.folder);
    assert_eq!(journal.past(&scene.id()).unwrap().last, Some(("scale".into(), "UNPROVEN".into())));
    scene
        .stage
        .store
        .patch(&POSTGRESQL.at(&scene.stage.namespace, "shop"), &json!({"spec": {"numberOfInstances": 1}}))
        .await
        .unwrap();
    scene.proxy.heal();
    let mut run = scene.offered().await;
    let told = |lights: &Value| lights.to_string().contains("the last order on this cluster, scale, ended UNPROVEN");
    let deal = run.deal.as_ref().unwrap();
    assert!(told(&json!(deal.lights)) && deal.colour() == Colour::Amber);
    run.patience_s = Some(1);
    scene.confirm(&mut run).await;
    let (lines, _) = scene.journal.read().unwrap();
    assert!(told(&lines.iter().rfind(|line| line["entry"] == "asked").unwrap()["preflight"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_over_a_patch_may_have_made_it_and_one_that_is_busy_has_not() {
    let scene = Scene::new("broken").await;
    scene.arm();
    let mut run = scene.offered().await;
    scene.proxy.trouble(Trouble::status(500, "etcdserver: request timed out"), is_patch);
    run.patience_s = Some(1);
    scene.confirm(&mut run).await;
    assert_eq!(run.outcome(), Some(Outcome::Unproven), "{}", said(&run));
    assert!(said(&run).contains("the answer was lost") && said(&run).contains("request timed out"), "{}", said(&run));

    scene.proxy.heal();
    let mut run = scene.offered().await;
    scene.proxy.trouble(Trouble::status(429, "too many requests"), is_patch);
    scene.confirm(&mut run).await;
    assert_eq!(run.outcome(), Some(Outcome::Refused), "{}", said(&run));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_pgdeck_ended_before_its_proof_is_found_in_the_journal() {
    let scene = Scene::new("killed").await;
    scene.arm();
    let mut run = scene.offered().await;
    let confirmed = Event::Confirmed { how: "y".into(), who: "test".into(), reason: Some("a drill".into()) };
    let todo = run.advance(Timestamp::now(), confirmed);
    // Up to where it is sent, and no further: as after a kill.
    let is_sending = |run: &Run| matches!(run.phase, Phase::Sending { .. });
    let left = scene.drive(&mut run, todo, is_sending).await;
    assert!(matches!(left[..], [Out::Send(..)]), "{left:?}");
    let (lines, _) = scene.journal.read().unwrap();
    let open = unanswered(&lines);
    assert_eq!(
        (open.len(), open[0]["action"].as_str(), open[0]["reason"].as_str()),
        (1, Some("scale"), Some("a drill"))
    );
}
