//! For each action: what brings about the state that it is for, how it is called, what it leads to, and the way back.

use pgdeck::sandbox::objects::{CONFIG_MAP, CRON_JOB, POD, POSTGRESQL, SECRET, STATEFUL_SET, Store, VOLUME_CLAIM};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::stage::Scene;
use crate::sandbox::store;

/// One call of an action.
pub struct Recipe {
    /// Action, target, arguments, and what confirms it.
    pub words: Vec<String>,
    /// Asserts the effect, in SQL or in the objects themselves.
    pub effect: Effect,
    /// The calls that lead back.
    pub back: Vec<Vec<String>>,
    /// A session that the action is about; kept open meanwhile.
    pub session: Option<tokio::task::JoinHandle<()>>,
}

type Effect = Box<dyn Fn(&World<'_>)>;

/// The fleet, and ways to look at it.
pub struct World<'a> {
    pub scene: &'a Scene,
    pub runtime: &'a Runtime,
}

impl World<'_> {
    fn store(&self) -> Store {
        self.runtime.block_on(store(&self.scene.sandbox.status()))
    }

    /// The first column of the first row, as text, from the member of that role.
    pub fn sql(&self, role: &str, query: &str) -> String {
        self.runtime.block_on(async {
            let session = self.scene.session(role).await;
            session.client.query_one(&format!("select ({query})::text"), &[]).await.unwrap().get(0)
        })
    }

    fn run_sql(&self, role: &str, statement: &str) {
        self.runtime.block_on(async { self.scene.session(role).await.client.batch_execute(statement).await.unwrap() });
    }

    /// The CR of a cluster; null if there is none.
    pub fn resource(&self, name: &str) -> Value {
        let spot = POSTGRESQL.at("production", name);
        self.runtime.block_on(self.store().get(&spot)).unwrap().unwrap_or_default()
    }

    /// Writes to a CR what changes nothing, and gives it as it is then.
    pub async fn touch(&self, name: &str) -> Value {
        let (store, spot) = (store(&self.scene.sandbox.status()).await, POSTGRESQL.at("production", name));
        store
            .patch(
                &spot,
                &json!({"metadata": {"labels": {"touched": jiff::Timestamp::now().as_millisecond().to_string()}}}),
            )
            .await
            .unwrap();
        store.get(&spot).await.unwrap().unwrap()
    }

    /// Whether the cluster is as it was made, and no other beside it.
    pub fn is_as_made(&self) -> bool {
        let (store, now) = (self.store(), self.resource("acid-shop"));
        let failover = CONFIG_MAP.at("production", "acid-shop-failover");
        let spec = &now["spec"];
        spec["numberOfInstances"] == 2
            && spec["enableLogicalBackup"] != true
            && spec["env"].is_null()
            && spec["postgresql"]["parameters"]["archive_mode"] != "off"
            && now["metadata"]["annotations"]["acid.zalan.do/controller"].is_null()
            && now["status"]["PostgresClusterStatus"] == "Running"
            && self.resource("acid-gone").is_null()
            && !self.has_remains(&store)
            && self.config()["pause"].is_null()
            && !self.runtime.block_on(store.get(&failover)).unwrap().is_some_and(|map| map.to_string().contains("2099"))
    }

    /// Something of the second cluster is still there.
    fn has_remains(&self, store: &Store) -> bool {
        let left = |kind| self.runtime.block_on(store.list(kind, "production", "cluster-name=acid-gone")).unwrap();
        [STATEFUL_SET, POD, SECRET, VOLUME_CLAIM, CONFIG_MAP].into_iter().any(|kind| !left(kind).is_empty())
    }

    /// The cluster as it was made, and no other beside it.
    pub fn restore(&self) {
        let (store, shop) = (self.store(), POSTGRESQL.at("production", "acid-shop"));
        if !self.resource("acid-gone").is_null() {
            self.runtime.block_on(store.delete(&POSTGRESQL.at("production", "acid-gone"), None)).unwrap();
        }
        let before = self.resource("acid-shop");
        let spec = json!({"numberOfInstances": 2, "enableLogicalBackup": false, "env": null});
        let annotations = json!({"acid.zalan.do/controller": null});
        let mut wanted = json!({"metadata": {"annotations": annotations}, "spec": spec});
        if before["spec"]["postgresql"]["parameters"]["archive_mode"] == "off" {
            wanted["spec"]["postgresql"] = json!({"parameters": {"archive_mode": "on"}});
        }
        self.runtime.block_on(store.patch(&shop, &wanted)).unwrap();
        if self
            .runtime
            .block_on(store.get(&CONFIG_MAP.at("production", "acid-shop-failover")))
            .unwrap()
            .is_some_and(|map| map.to_string().contains("2099"))
        {
            self.scene.proved(&["switchover-cancel", "acid-shop", "--yes"]);
        }
        self.scene.sandbox.wait_until("as it was made", |_| {
            let now = self.resource("acid-shop");
            now["status"]["PostgresClusterStatus"] == "Running"
                && !self.has_remains(&store)
                && self.sql("primary", "current_setting('archive_mode')") == "on"
                && self.sql("primary", "current_setting('archive_command')") != "/bin/true"
        });
    }

    /// Patroni's configuration.
    pub fn config(&self) -> Value {
        let spot = CONFIG_MAP.at("production", "acid-shop-config");
        let map = self.runtime.block_on(self.store().get(&spot)).unwrap().unwrap();
        serde_json::from_str(map["metadata"]["annotations"]["config"].as_str().unwrap()).unwrap()
    }

    fn has_cron_job(&self) -> bool {
        let spot = CRON_JOB.at("production", "logical-backup-acid-shop");
        self.runtime.block_on(self.store().get(&spot)).unwrap().is_some()
    }

    /// A second cluster, for an action that ends it.
    fn make(&self, name: &str) {
        let (store, mut manifest) = (self.store(), self.resource("acid-shop"));
        let spec = manifest["spec"].take();
        let mut cluster = json!({"metadata": {"name": name, "namespace": "production"}, "spec": spec});
        cluster["spec"]["numberOfInstances"] = 1.into();
        for owned in ["users", "databases"] {
            cluster["spec"].as_object_mut().unwrap().remove(owned);
        }
        self.runtime.block_on(store.create(POSTGRESQL, cluster)).unwrap().unwrap();
        self.scene.sandbox.wait_until("made", |_| self.resource(name)["status"]["PostgresClusterStatus"] == "Running");
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// How an action is called here, after what it is for has been brought about. `gentle`: the cheaper way, if there are two.
pub fn recipe(id: &str, world: &World<'_>, gentle: bool) -> Recipe {
    let scene = world.scene;
    let (primary, standby) = (scene.name("primary"), scene.name("standby"));
    let done = |text: &str| scene.proved(&words(text).iter().map(String::as_str).collect::<Vec<_>>());
    let made = |call: String, effect: Effect, back: &[&str]| Recipe {
        words: words(&call),
        effect,
        back: back.iter().map(|call| words(call)).collect(),
        session: None,
    };
    match id {
        "scale" => {
            let streaming = "select count(*) from pg_stat_replication where state = 'streaming'";
            let effect = move |world: &World<'_>| assert_eq!(world.sql("primary", streaming), "2");
            made("scale acid-shop 3 --yes".into(), Box::new(effect), &["scale acid-shop 2 --yes"])
        }
        "wal_archiving" if gentle => {
            let effect = |world: &World<'_>| assert_eq!(world.sql("primary", "current_setting('archive_mode')"), "off");
            let call = "wal-archiving acid-shop off by=parameter --yes".to_owned();
            made(call, Box::new(effect), &["wal-archiving acid-shop on --yes"])
        }
        "wal_archiving" => {
            let command = "current_setting('archive_command')";
            let effect = move |world: &World<'_>| assert_eq!(world.sql("primary", command), "/bin/true");
            made("wal-archiving acid-shop off --yes".into(), Box::new(effect), &["wal-archiving acid-shop on --yes"])
        }
        "logical_backup" => {
            let effect = |world: &World<'_>| assert!(world.has_cron_job());
            let back = ["logical-backup acid-shop now --yes", "logical-backup acid-shop off --yes"];
            let back = if gentle { &back[1..] } else { &back[..] };
            made("logical-backup acid-shop on --yes".into(), Box::new(effect), back)
        }
        "base_backup" => {
            let folder = scene.member("primary")["folder"].as_str().unwrap().to_owned();
            let count =
                move || std::fs::read_dir(format!("{folder}/archive/basebackups_005")).map_or(0, Iterator::count);
            let before = count();
            let effect = move |_: &World<'_>| assert!(count() > before, "no new base backup lies there");
            made("base-backup acid-shop --yes".into(), Box::new(effect), &[])
        }
        "replay_pause" => {
            let effect = |world: &World<'_>| {
                assert_eq!(world.sql("standby", "pg_get_wal_replay_pause_state()"), "not paused");
                assert!(world.config()["pause"].is_null() && world.config()["pgdeck"].is_null());
            };
            made(format!("replay-pause acid-shop/{standby} --for 3s --yes"), Box::new(effect), &[])
        }
        "replay_resume" => {
            done("patroni-pause acid-shop --yes");
            world.run_sql("standby", "select pg_wal_replay_pause()");
            let effect = |world: &World<'_>| {
                assert_eq!(world.sql("standby", "pg_get_wal_replay_pause_state()"), "not paused");
            };
            let call = format!("replay-resume acid-shop/{standby} --yes");
            made(call, Box::new(effect), &["patroni-resume acid-shop --yes"])
        }
        "switchover" => {
            let effect = move |world: &World<'_>| assert_eq!(world.scene.name("primary"), standby);
            made("switchover acid-shop --yes".into(), Box::new(effect), &[])
        }
        "failover" => {
            let call = format!("failover acid-shop to={standby} --confirm acid-shop");
            let effect = move |world: &World<'_>| assert_eq!(world.scene.name("primary"), standby);
            made(call, Box::new(effect), &[])
        }
        "switchover_cancel" => {
            done("switchover acid-shop at=2099-01-01T00:00:00+00:00 --yes");
            let effect = |world: &World<'_>| {
                let spot = CONFIG_MAP.at("production", "acid-shop-failover");
                let map = world.runtime.block_on(world.store().get(&spot)).unwrap().unwrap_or_default();
                assert!(!map.to_string().contains("2099"), "{map}");
            };
            made("switchover-cancel acid-shop --yes".into(), Box::new(effect), &[])
        }
        "restart" => {
            let started = "pg_postmaster_start_time()";
            let before = [world.sql("primary", started), world.sql("standby", started)];
            let effect = move |world: &World<'_>| {
                assert!(
                    !before.contains(&world.sql("primary", started))
                        && !before.contains(&world.sql("standby", started))
                );
            };
            made("restart acid-shop --yes".into(), Box::new(effect), &[])
        }
        "reload" => {
            let before = world.sql("primary", "pg_conf_load_time()");
            let effect = move |world: &World<'_>| assert_ne!(world.sql("primary", "pg_conf_load_time()"), before);
            made(format!("reload acid-shop/{primary} --yes"), Box::new(effect), &[])
        }
        "reinitialize" => {
            let before = world.sql("standby", "pg_postmaster_start_time()");
            let effect =
                move |world: &World<'_>| assert_ne!(world.sql("standby", "pg_postmaster_start_time()"), before);
            made(format!("reinitialize acid-shop/{standby} --confirm acid-shop"), Box::new(effect), &[])
        }
        _ => of_others(id, world, &made),
    }
}

/// The rest: Patroni's pause, the operator's own, sessions.
fn of_others(id: &str, world: &World<'_>, made: &dyn Fn(String, Effect, &[&str]) -> Recipe) -> Recipe {
    let scene = world.scene;
    let done = |call: &str| scene.proved(&call.split_whitespace().collect::<Vec<_>>());
    let annotation = |key: &'static str, wanted: Option<&'static str>| {
        Box::new(move |world: &World<'_>| {
            assert_eq!(world.resource("acid-shop")["metadata"]["annotations"][key].as_str(), wanted);
        })
    };
    match id {
        "patroni_pause" => {
            let effect = |world: &World<'_>| assert_eq!(world.config()["pause"], true);
            made("patroni-pause acid-shop --yes".into(), Box::new(effect), &["patroni-resume acid-shop --yes"])
        }
        "patroni_resume" => {
            done("patroni-pause acid-shop --yes");
            let effect = |world: &World<'_>| assert!(world.config()["pause"].is_null());
            made("patroni-resume acid-shop --yes".into(), Box::new(effect), &[])
        }
        "reconcile" => {
            let effect = |world: &World<'_>| {
                assert!(world.resource("acid-shop")["metadata"]["annotations"]["pgdeck/reconcile"].is_string());
            };
            made("reconcile acid-shop --yes".into(), Box::new(effect), &[])
        }
        "detach" => {
            let effect = annotation("acid.zalan.do/controller", Some("pgdeck-detached"));
            made("detach acid-shop --yes".into(), effect, &["attach acid-shop --yes"])
        }
        "attach" => {
            done("detach acid-shop --yes");
            // What the operator would do is refused before it is waited for in vain.
            scene.refused(&["scale", "acid-shop", "3", "--write", "--yes"], 3, "attach it first");
            made("attach acid-shop --yes".into(), annotation("acid.zalan.do/controller", None), &[])
        }
        "delete" => {
            world.make("acid-gone");
            let effect = |world: &World<'_>| {
                assert!(world.resource("acid-gone").is_null() && !world.resource("acid-shop").is_null());
            };
            made("delete acid-gone --confirm acid-gone".into(), Box::new(effect), &[])
        }
        "cancel" | "terminate" => {
            let session = world.runtime.block_on(scene.session("primary"));
            let pid: i32 =
                world.runtime.block_on(session.client.query_one("select pg_backend_pid()", &[])).unwrap().get(0);
            let query = world.runtime.spawn(async move {
                // It ends by being cancelled, or by the end of the session.
                assert!(session.client.batch_execute("select pg_sleep(600)").await.is_err());
            });
            let active = format!("select count(*) from pg_stat_activity where pid = {pid} and state = 'active'");
            let is_active = active.clone();
            scene.sandbox.wait_until("a query that runs", |_| world.sql("primary", &is_active) == "1");
            let call = format!("{id} acid-shop/{} {pid} --yes", scene.name("primary"));
            let effect = move |world: &World<'_>| assert_eq!(world.sql("primary", &active), "0");
            Recipe { session: Some(query), ..made(call, Box::new(effect), &[]) }
        }
        "psql" => made("psql acid-shop".into(), Box::new(|_| ()), &[]),
        "exec" => made(format!("exec acid-shop/{} --yes", scene.name("primary")), Box::new(|_| ()), &[]),
        "forward" => made("forward acid-shop".into(), Box::new(|_| ()), &[]),
        other => panic!("there is no recipe for {other}"),
    }
}
