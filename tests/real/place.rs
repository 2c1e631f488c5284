//! Where a scenario plays: a namespace of its own on the real control plane, looked at through the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pgdeck::sandbox::command;
use pgdeck::sandbox::node;
use pgdeck::sandbox::objects::{Kind, NAMESPACE, POD, POSTGRESQL, SERVICE_ACCOUNT, Store};
use pgdeck::sandbox::process::{self, Birth, Ledger};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::control;
use crate::http;
use crate::traces;
use crate::tty::Tty;

/// Whatever is waited for has come by then, or never will: others are working here too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The control plane that this program runs in.
#[derive(Debug)]
pub struct Real {
    /// The folder of its files.
    run: PathBuf,
}

impl Real {
    /// The one around us, if there is one.
    pub fn around() -> Option<Real> {
        // Another scenario may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::env::var_os("PGDECK_REAL_RUN").map(|run| Real { run: run.into() })
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.run.join(format!("kubeconfig-{user}"))
    }

    /// Who asked the API server for what, one JSON object a line.
    pub fn audit(&self) -> PathBuf {
        self.run.join("audit.log")
    }

    /// Starts or stops a part, such as the operator.
    pub fn part(&self, verb: &str, part: &str) {
        let name = self.run.file_name().unwrap().to_str().unwrap();
        assert!(control::script("part", name).args([verb, part]).status().unwrap().success(), "{verb} {part}");
    }

    /// A folder that ends with it, for what is called here.
    pub fn home(&self) -> PathBuf {
        let home = self.run.join("home");
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    /// pgdeck as it is called by a user, with a home of its own.
    pub fn pgdeck(&self, user: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.env_clear().env("HOME", self.home()).env("KUBECONFIG", self.kubeconfig(user));
        command
    }
}

/// A namespace of one scenario; nothing is left when it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    pub real: &'a Real,
    pub namespace: &'static str,
    runtime: Runtime,
    store: Store,
}

impl<'a> Place<'a> {
    pub fn new(real: &'a Real, namespace: &'static str) -> Place<'a> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(async {
            let store = Store::new(command::client(&real.kubeconfig("admin")).await.unwrap().0, "test");
            store.create(NAMESPACE, json!({ "metadata": { "name": namespace } })).await.unwrap();
            store
        });
        let place = Place { real, namespace, runtime, store };
        place.eventually("the namespace's service account", || place.get(SERVICE_ACCOUNT, "default").is_some());
        place
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.runtime.block_on(self.store.get(&kind.at(self.namespace, name))).unwrap()
    }

    /// Creates a cluster of so many members, with `more` laid over its spec.
    pub fn create(&self, name: &str, instances: u32, more: &Value) {
        assert!(self.try_create(name, instances, more).unwrap(), "the name is taken");
    }

    /// False if there is such a cluster; an error is what the API server refuses it with.
    pub fn try_create(&self, name: &str, instances: u32, more: &Value) -> Result<bool, String> {
        let mut spec = json!({
            "teamId": "acid", "numberOfInstances": instances, "volume": { "size": "1Gi" },
            "postgresql": { "version": postgres() },
            // Failovers within seconds, not half a minute.
            "patroni": { "ttl": 20, "loop_wait": 2, "retry_timeout": 5 },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let cluster = json!({ "metadata": { "name": name, "namespace": self.namespace }, "spec": spec });
        let made = self.runtime.block_on(self.store.create(POSTGRESQL, cluster));
        made.map(|made| made.is_some()).map_err(|error| format!("{error:#}"))
    }

    /// Patches a cluster's spec.
    pub fn patch(&self, name: &str, spec: &Value) {
        let spot = POSTGRESQL.at(self.namespace, name);
        self.runtime.block_on(self.store.patch(&spot, &json!({ "spec": spec }))).unwrap();
    }

    /// What kubectl prints, and what it complains of.
    pub fn kubectl(&self, arguments: &[&str]) -> (String, String) {
        let output = Command::new("kubectl").args(["-n", self.namespace]).args(arguments).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// What a member's server answers to its superuser.
    pub fn sql(&self, member: &str, query: &str) -> String {
        self.kubectl(&["exec", member, "-c", "postgres", "--", "psql", "-Atc", query]).0.trim().to_owned()
    }

    /// What a member's Patroni answers to `PATCH /config` and the like.
    pub fn patroni_api(&self, member: &str, asked: &str, body: &Value) -> Value {
        let pod = self.get(POD, member).unwrap();
        http::ask(&format!("{}:8008", pod["status"]["podIP"].as_str().unwrap()), asked, body)
    }

    /// What `pgdeck status` tells a user of this namespace.
    pub fn status(&self, user: &str) -> Value {
        let mut command = self.real.pgdeck(user);
        let output = command.args(["status", "-o", "json", "--timeout", "10", "-n", self.namespace]).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The cluster as `pgdeck status` tells it; null if it does not.
    pub fn cluster(&self, name: &str) -> Value {
        let status = self.status("admin");
        let clusters = status["clusters"].as_array().unwrap();
        clusters.iter().find(|cluster| cluster["name"] == name).cloned().unwrap_or_default()
    }

    /// Waits until the cluster is as it should be, by `pgdeck status`; says how long that took.
    #[track_caller]
    pub fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, name, what, holds)
    }

    /// As `until`, with more patience.
    #[track_caller]
    pub fn until_within(&self, patience: Duration, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut cluster = Value::Null;
        let is_so = within(patience, || {
            cluster = self.cluster(name);
            holds(&cluster)
        });
        assert!(is_so, "{}: not in time: {what}: {cluster:#}", self.namespace);
        eprintln!("  {}: {what} after {:.1} s", self.namespace, begun.elapsed().as_secs_f64());
        cluster
    }

    /// Waits until it holds.
    #[track_caller]
    pub fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        assert!(within(PATIENCE, holds), "{}: not in time: {what}", self.namespace);
    }

    /// The console of a user on this namespace.
    pub fn console(&self, user: &str) -> Tty {
        let kubeconfig = self.real.kubeconfig(user);
        Tty::start(&["-n", self.namespace], &[("KUBECONFIG", kubeconfig.to_str().unwrap())], (220, 50))
    }

    fn base(&self) -> PathBuf {
        self.real.run.join("node")
    }

    /// The folder of a member's files on this machine.
    pub fn folder(&self, member: &str) -> PathBuf {
        node::folder(&self.base(), self.namespace, member)
    }

    /// A member's Patroni.
    pub fn patroni(&self, member: &str) -> Birth {
        let what = format!("patroni {}/{member}", self.namespace);
        let children = Ledger::of(&self.base()).living();
        children.into_iter().find(|child| child.what == what).expect("its Patroni runs").birth
    }

    /// A member's Postgres, if it runs.
    pub fn postgres(&self, member: &str) -> Option<Birth> {
        process::postmaster(&self.folder(member).join("pgdata"))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let (store, namespace) = (&self.store, self.namespace);
        if std::thread::panicking() {
            traces::print(namespace, &self.real.run.join("log"));
        }
        // The control plane ends after the last scenario anyway: what cannot be deleted goes with it.
        let _ = self.runtime.block_on(async {
            for cluster in store.list(POSTGRESQL, namespace, "").await? {
                store.delete(&POSTGRESQL.at(namespace, cluster["metadata"]["name"].as_str().unwrap()), None).await?;
            }
            store.delete(&NAMESPACE.at("", namespace), None).await
        });
    }
}

/// The operator's version, where it is not the pinned one.
pub fn other_operator() -> Option<String> {
    std::env::var("PGDECK_REAL_OPERATOR").ok()
}

/// The version of the Patroni that the members are to be.
pub fn patroni() -> String {
    if let Ok(asked) = std::env::var("PGDECK_REAL_PATRONI") {
        return asked;
    }
    let program = std::env::var_os("PATRONI").unwrap_or_else(|| "patroni".into());
    let told = Command::new(program).arg("--version").output().unwrap().stdout;
    String::from_utf8(told).unwrap().trim().trim_start_matches("patroni ").to_owned()
}

/// What the scenarios are played on.
pub fn versions() -> String {
    let of = |name: &str, else_: &str| std::env::var(name).unwrap_or_else(|_unset| else_.to_owned());
    let (built, store) = (of("PGDECK_REAL_VERSIONS", "?"), of("PGDECK_REAL_STORE", "configmaps"));
    format!("{built}, Patroni {} with {store}, Postgres {}", patroni(), postgres())
}

/// Looks again and again whether it holds; false if it does not in that time.
pub fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    true
}

/// Whether a cluster, as `pgdeck status` tells it, has a primary and so many members in all, the others streaming.
pub fn is_whole(cluster: &Value, n: usize) -> bool {
    let members = cluster["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |role: &str, state: &str| {
        members
            .iter()
            .filter(|member| member["role"] == role && member["state"] == state && member["sampled"] == true)
            .count()
    };
    members.len() == n && of("primary", "running") == 1 && of("standby", "streaming") == n - 1 && cluster["ready"] == n
}

/// Whether a verdict holds, with all these words in its evidence.
pub fn has_verdict(cluster: &Value, id: &str, words: &[&str]) -> bool {
    let verdicts = cluster["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
    verdicts.iter().any(|verdict| {
        let evidence = verdict["evidence"].to_string();
        verdict["id"] == id && words.iter().all(|word| evidence.contains(word))
    })
}

/// The major version of the machine's newest Postgres.
pub fn postgres() -> String {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = found.filter(|entry| Path::new(&entry.path()).join("bin/initdb").exists());
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    versions.max().expect("a Postgres below /usr/lib/postgresql: apt-get install postgresql").to_string()
}
