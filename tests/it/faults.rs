//! The Kubernetes plane on its bad days: what the API server does wrong is said, what was seen stays, and it goes on by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use pgdeck::fault::Fault;
use pgdeck::fleet::seen::{Seen, Source, SourceState};
use pgdeck::id::InstanceId;
use pgdeck::plane::Plane as _;
use pgdeck::plane::kubernetes::Options;
use pgdeck::sandbox::objects::{POSTGRESQL, SECRET};
use pgdeck::work::want::Want;
use serde_json::json;

use crate::kube::stage::{self, Fleet, Stage};
use crate::proxy::{Proxy, Trouble};
use crate::tty::{self, Tty};

/// A fleet of two clusters seen through a proxy, live.
struct Scene {
    fleet: Fleet,
    proxy: Proxy,
    stage: Stage,
}

impl Scene {
    async fn new() -> Scene {
        let stage = Stage::embedded("test").await;
        stage.cluster("one").await;
        stage.cluster("two").await;
        let proxy = Proxy::before(&stage).await;
        let mut fleet = Fleet::open(&stage::plane(proxy.options()), Want::Fleet);
        fleet.listed().await;
        // All six kinds are watched.
        proxy.until("watches", |requests| requests.iter().filter(|path| is_watch(path)).count() >= 6).await;
        fleet.until("live", Fleet::is_live).await;
        Scene { fleet, proxy, stage }
    }

    fn assert_kept(&self) {
        self.fleet.assert_kept(0, &[self.proxy.id("one"), self.proxy.id("two")]);
    }

    /// Asserts that it is live again: a new cluster is seen, and nothing was lost on the way.
    async fn assert_recovers(mut self, patience: Duration) {
        self.stage.cluster("new").await;
        let id = self.proxy.id("new");
        self.fleet.within(patience, "the new one", |fleet| fleet.clusters.contains_key(&id)).await;
        self.fleet.within(patience, "live again", Fleet::is_live).await;
        self.assert_kept();
    }
}

fn is_watch(path: &str) -> bool {
    path.contains("watch=true")
}

fn is_lost(state: Option<&SourceState>, why: impl Fn(&Fault) -> bool) -> bool {
    matches!(state, Some(SourceState::Lost { why: fault }) if why(fault))
}

fn any_lost(fleet: &Fleet, kind: &str, why: impl Fn(&Fault) -> bool) -> bool {
    fleet.kind(kind).into_iter().any(|state| is_lost(Some(state), &why))
}

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_connections_are_taken_up_again_and_nothing_is_said_of_it() {
    let mut scene = Scene::new().await;
    let mark = scene.fleet.seen.len();
    scene.proxy.cut();
    scene.stage.cluster("new").await;
    let id = scene.proxy.id("new");
    scene.fleet.until("the new one", |fleet| fleet.clusters.contains_key(&id)).await;
    scene.assert_kept();
    let lost = scene.fleet.seen[mark..].iter().filter(|seen| format!("{seen:?}").contains("Lost"));
    assert_eq!(lost.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_too_old_is_listed_anew_with_the_old_rows_on_screen() {
    let mut scene = Scene::new().await;
    let mark = scene.fleet.seen.len();
    scene.proxy.trouble_once(Trouble::status(410, "too old resource version"), |path| {
        is_watch(path) && path.contains("/postgresqls?")
    });
    scene.proxy.cut();
    let relisting =
        |fleet: &Fleet| fleet.seen[mark..].iter().any(|seen| format!("{seen:?}").contains("state: Relisting"));
    scene.fleet.until("relisting", relisting).await;
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_store_tells_410_within_the_watch_and_is_listed_anew() {
    let scene = Scene::new().await;
    scene.stage.cluster("between").await;
    scene.stage.api.as_ref().unwrap().compact();
    scene.proxy.cut();
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_to_wait_is_given_its_time() {
    let mut scene = Scene::new().await;
    let busy = Trouble::Refused { code: 429, message: "too many requests", retry_after: Some("2") };
    scene.proxy.trouble(busy, |path| path.contains("/postgresqls?"));
    let before = scene.proxy.requests().len();
    let throttled =
        |fault: &Fault| matches!(fault, Fault::Throttled { retry_after, .. } if *retry_after == Duration::from_secs(2));
    scene.proxy.cut();
    scene.fleet.until("throttled", |fleet| any_lost(fleet, "postgresqls", throttled)).await;
    let since = Instant::now();
    let asked = || scene.proxy.requests()[before..].iter().filter(|path| path.contains("/postgresqls?")).count();
    let (first, proxy) = (asked(), &scene.proxy);
    proxy.until("asked again", |_| asked() > first).await;
    assert!(since.elapsed() > Duration::from_millis(1500), "asked again after {:?}", since.elapsed());
    scene.proxy.heal();
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_an_inner_error_is_said_so_and_asked_again() {
    let mut scene = Scene::new().await;
    scene.proxy.trouble(Trouble::status(500, "etcdserver: leader changed"), |path| path.contains("/pods?"));
    scene.proxy.cut();
    let told = |fault: &Fault| matches!(fault, Fault::Refused { why, .. } if why.contains("leader changed"));
    scene.fleet.until("refused", |fleet| any_lost(fleet, "pods", told)).await;
    scene.proxy.heal();
    let live =
        |fleet: &Fleet| fleet.kind("pods").into_iter().all(|state| *state == SourceState::Live { polled: false });
    scene.fleet.within(PATIENCE, "pods live again", live).await;
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_late_and_not_lost() {
    let stage = Stage::embedded("test").await;
    stage.cluster("one").await;
    let proxy = Proxy::before(&stage).await;
    proxy.trouble(Trouble::Late(Duration::from_millis(700)), |_| true);
    let mut fleet = Fleet::open(&stage::plane(proxy.options()), Want::Fleet);
    fleet.listed().await;
    fleet.until("live", Fleet::is_live).await;
    let lost = fleet.seen.iter().filter(|seen| format!("{seen:?}").contains("Lost"));
    assert_eq!(lost.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_login_is_said_so_and_taken_up_when_it_is_good_again() {
    let mut scene = Scene::new().await;
    scene.proxy.trouble(Trouble::status(401, "Unauthorized"), |_| true);
    scene.proxy.cut();
    let expired = |fault: &Fault| matches!(fault, Fault::AuthExpired { .. });
    scene.fleet.until("expired", |fleet| is_lost(fleet.plane(), expired)).await;
    scene.assert_kept();
    scene.proxy.heal();
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_of_a_watch_that_spoke_in_between_do_not_add_up() {
    let mut scene = Scene::new().await;
    let watches =
        |proxy: &Proxy| proxy.requests().iter().filter(|path| is_watch(path) && path.contains("/postgresqls?")).count();
    for round in 0..5 {
        let before = watches(&scene.proxy);
        scene.proxy.cut();
        let proxy = &scene.proxy;
        proxy.until("the watch", |_| watches(proxy) > before).await;
        let name = format!("new-{round}");
        scene.stage.cluster(&name).await;
        let id = scene.proxy.id(&name);
        scene.fleet.until("the new one", |fleet| fleet.clusters.contains_key(&id)).await;
    }
    let lost = |seen: &&Seen| {
        let kind = Source::Kind {
            plane: scene.proxy.id("one").plane,
            kind: "postgresqls".into(),
            namespace: Some(scene.proxy.id("one").namespace),
        };
        matches!(seen, Seen::Source { source, state: SourceState::Lost { .. }, .. } if *source == kind)
    };
    assert_eq!(scene.fleet.seen.iter().filter(lost).count(), 0);
}

/// An exec plugin that notes each of its runs in a file.
fn plugin(runs: &Path) -> serde_json::Value {
    let script = format!(
        r#"echo run >>'{}'; echo '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"t"}}}}'"#,
        runs.display()
    );
    json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
                    "interactiveMode": "Never"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_made_anew_once_before_it_is_called_expired() {
    let stage = Stage::embedded("test").await;
    let proxy = Proxy::before(&stage).await;
    let runs = proxy.folder().join("runs");
    proxy.log_in(&plugin(&runs));
    proxy.trouble(Trouble::status(401, "Unauthorized"), |_| true);
    let mut fleet = Fleet::open(&stage::plane(proxy.options()), Want::Fleet);
    let expired = |fault: &Fault| matches!(fault, Fault::AuthExpired { .. });
    fleet.until("expired", |fleet| is_lost(fleet.plane(), expired)).await;
    assert_eq!(std::fs::read_to_string(&runs).unwrap().lines().count(), 2);
    proxy.heal();
    fleet.listed().await;
    fleet.until("live", Fleet::is_live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_fails_is_not_run_for_every_stream() {
    let mut scene = Scene::new().await;
    let runs = scene.proxy.folder().join("runs");
    let script = format!("echo run >>'{}'; echo 'log in first' >&2; exit 1", runs.display());
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
                      "interactiveMode": "Never"});
    scene.proxy.log_in(&json!({"exec": exec}));
    scene.proxy.trouble(Trouble::status(401, "Unauthorized"), |_| true);
    scene.proxy.cut();
    let said = |fault: &Fault| matches!(fault, Fault::AuthExpired { why, .. } if why.contains("log in first"));
    for kind in ["postgresqls", "pods", "configmaps", "statefulsets", "endpoints", "events"] {
        scene.fleet.until("the plugin's own words", |fleet| any_lost(fleet, kind, said)).await;
    }
    // Six streams that each came twice: without restraint twelve.
    let n = std::fs::read_to_string(&runs).unwrap().lines().count();
    assert!((1..=4).contains(&n), "run {n} times");
    scene.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_watching_is_forbidden_it_is_polled_and_said_so() {
    let stage = Stage::embedded("test").await;
    stage.cluster("one").await;
    let proxy = Proxy::before(&stage).await;
    let message = "pods is forbidden: User \"x\" cannot watch resource \"pods\" in API group \"\" at the cluster scope";
    proxy.trouble(Trouble::status(403, message), |path| is_watch(path) && path.contains("/pods?"));
    let mut fleet = Fleet::open(&stage::plane(proxy.options()), Want::Fleet);
    let polled = |fleet: &Fleet| fleet.kind("pods").contains(&&SourceState::Live { polled: true });
    fleet.until("polled", polled).await;
    fleet.listed().await;
    let watched = |fleet: &Fleet| fleet.kind("postgresqls").contains(&&SourceState::Live { polled: false });
    fleet.until("the others watched", |fleet| fleet.is_live() && watched(fleet)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_whole_is_forbidden_namespaces_are_looked_into_one_by_one() {
    let stage = Stage::embedded("test").await;
    stage.cluster("one").await;
    stage.pod("one", "one-0", &json!({})).await;
    let proxy = Proxy::before(&stage).await;
    let message = "forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" at the cluster scope";
    let cluster_wide = |path: &str| {
        let list = path.split('?').next().unwrap_or_default();
        !list.contains("/namespaces") && (list.ends_with("/pods") || list.ends_with("/postgresqls"))
    };
    proxy.trouble(Trouble::status(403, message), cluster_wide);
    check_narrowed(&proxy).await;
    // Not even their names may be listed: the context's own is left.
    let message = "forbidden: User \"x\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope";
    proxy.trouble(Trouble::status(403, message), |path| path.starts_with("/api/v1/namespaces?"));
    check_narrowed(&proxy).await;
}

async fn check_narrowed(proxy: &Proxy) {
    let options = Options { namespaces: Vec::new(), ..proxy.options() };
    let mut fleet = Fleet::open(&stage::plane(options), Want::Fleet);
    fleet.listed().await;
    assert_eq!(fleet.clusters[&proxy.id("one")].members.len(), 1);
    let limited = |state: &&SourceState| matches!(state, SourceState::Limited { why: Fault::Forbidden { needs, .. } } if needs.contains("list pods"));
    assert_eq!(fleet.kind("pods").into_iter().filter(limited).count(), 1, "{:#?}", fleet.states);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_lost_by_its_pulse_and_found_again() {
    let mut scene = Scene::new().await;
    scene.proxy.swallow();
    let silent = |fault: &Fault| matches!(fault, Fault::TimedOut { .. });
    scene.fleet.until("silent", |fleet| is_lost(fleet.plane(), silent)).await;
    scene.assert_kept();
    scene.proxy.heal();
    scene.proxy.cut();
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_unreachable_and_comes_back() {
    let mut scene = Scene::new().await;
    scene.proxy.down().await;
    let unreachable = |fault: &Fault| matches!(fault, Fault::Unreachable { .. });
    scene.fleet.until("unreachable", |fleet| is_lost(fleet.plane(), unreachable)).await;
    scene.assert_kept();
    scene.proxy.up().await;
    scene.assert_recovers(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_port_forward_is_named_with_the_right_that_it_needs() {
    let scene = Scene::new().await;
    let secret = "postgres.one.credentials.postgresql.acid.zalan.do";
    let data = json!({"username": "cG9zdGdyZXM=", "password": "Q0FOQVJZLTE="});
    scene.stage.create(SECRET, json!({"metadata": {"name": secret}, "data": data})).await;
    scene.stage.pod("one", "one-0", &json!({})).await;
    scene.proxy.trouble(Trouble::status(403, "forbidden"), |path| path.contains("/portforward"));
    let instance = InstanceId { cluster: scene.proxy.id("one"), member: "one-0".into() };

    let fault = stage::plane(scene.proxy.options()).reach(instance).await.unwrap_err();

    assert!(matches!(&fault, Fault::Forbidden { what, .. } if what.contains("one/one-0")), "{fault:?}");
    assert!(fault.to_string().contains("create pods/portforward"), "{fault}");
    assert!(!format!("{fault:?}").contains("CANARY-"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_escape_codes_is_shown_and_harmless() {
    let stage = Stage::embedded("test").await;
    stage.cluster("evilname").await;
    let proxy = Proxy::before(&stage).await;
    // No API server takes such a name: one that is broken into, or no API server at all, might send it.
    let instead = r#""evilname\u001b]52;c;QUJD\u0007\u001b[2J\u009b31m""#;
    proxy.trouble(Trouble::Misspelt { word: r#""evilname""#, instead }, |_| true);
    let kubeconfig = proxy.options().kubeconfig.unwrap();
    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", kubeconfig.to_str().unwrap())], (200, 50));
    tty.wait_within(PATIENCE, "the hostile name", |tty| tty.text().contains("evilname") && tty.text().contains("52;c"));
    for view in ["\r", "y", "e"] {
        tty.keys(view);
        tty.wait_for("the name in an inner view", |tty| {
            tty.text().lines().nth(1).is_some_and(|line| line.contains("evilname·]52;c"))
        });
        tty.keys("\u{1b}");
        tty.wait_for("the fleet", |tty| tty.text().contains("NAMESPACE"));
    }
    tty.keys("q");
    assert_eq!(tty.wait_exit(Duration::from_secs(2)).exit_code(), 0);
    tty::assert_only_allowed_escapes(&tty.transcript);
}

/// The console's row of a cluster.
fn row(tty: &Tty, name: &str) -> String {
    tty.text().lines().find(|line| line.contains(&format!(" {name} "))).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_outlives_an_api_server_that_is_down_for_two_minutes() {
    let stage = Stage::embedded("test").await;
    for name in ["one", "two"] {
        // Nobody is wanted in it, so that nothing is wrong with it.
        let mut manifest = stage::cluster(name);
        manifest["spec"]["numberOfInstances"] = json!(0);
        stage.create(POSTGRESQL, manifest).await;
    }
    let proxy = Proxy::before(&stage).await;
    let kubeconfig = proxy.options().kubeconfig.unwrap();
    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", kubeconfig.to_str().unwrap())], (200, 50));
    let is_live = |tty: &Tty| ["one", "two"].iter().all(|name| row(tty, name).contains(" live"));
    tty.wait_for("both clusters, live", is_live);

    proxy.down().await;
    let down = Instant::now();
    tty.wait_within(PATIENCE, "the loss", |tty| tty.text().contains("LOST"));
    tty.wait_within(PATIENCE, "no verdict", |tty| row(tty, "one").contains("unknown"));
    tty.watch(Duration::from_secs(120).saturating_sub(down.elapsed()));
    assert!(row(&tty, "two").contains("unknown") && !is_live(&tty), "{}", tty.text());

    proxy.up().await;
    tty.wait_within(PATIENCE, "both clusters, live again", is_live);
    assert!(!tty.text().contains("LOST"), "{}", tty.text());
    stage.cluster("three").await;
    tty.wait_within(PATIENCE, "a new one", |tty| row(tty, "three").contains(" live"));
    tty.keys("q");
    tty.wait_exit(Duration::from_secs(2));
}

/// How long the first census of all of these takes.
async fn time_to_census(all: &[Options]) -> Duration {
    let start = Instant::now();
    let mut fleets: Vec<Fleet> =
        all.iter().map(|options| Fleet::open(&stage::plane(options.clone()), Want::Fleet)).collect();
    for fleet in &mut fleets {
        fleet.listed().await;
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_of_three_does_not_slow_the_other_two() {
    let stages = [Stage::embedded("a").await, Stage::embedded("b").await, Stage::embedded("c").await];
    for stage in &stages {
        for idx in 0..40 {
            stage.cluster(&format!("c{idx}")).await;
        }
    }
    let hole = Proxy::before(&stages[2]).await;
    hole.swallow();
    let others = [stages[0].options(), stages[1].options()];
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        alone.push(time_to_census(&others).await);
        let _dead = Fleet::open(&stage::plane(hole.options()), Want::Fleet);
        beside.push(time_to_census(&others).await);
    }
    alone.sort_unstable();
    beside.sort_unstable();
    // The slack is for what else this machine does: such censuses take tens of milliseconds.
    let limit = alone[1].mul_f64(1.2) + Duration::from_millis(150);
    assert!(beside[1] <= limit, "alone {alone:?}, beside a black hole {beside:?}");
}
