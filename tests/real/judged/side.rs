//! One side of the comparison: an API with an operator, reached by kubectl, and what its watches have told.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use pgdeck::sandbox::command;
use pgdeck::sandbox::objects::{Change, EVENT, Kind, POSTGRESQL, Store, follow};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::plain::{self, Lines};

/// Kinds that are compared otherwise: as they come, not as they stand.
const TOLD: [&str; 2] = ["events", "events.events.k8s.io"];

#[derive(Debug)]
pub struct Side {
    kubeconfig: PathBuf,
    home: PathBuf,
    namespace: &'static str,
    /// Every kind that it serves, for kubectl.
    kinds: String,
    told: Arc<Mutex<Told>>,
    /// The watches end with it.
    _runtime: Runtime,
}

/// What its watches told, by cluster.
#[derive(Debug, Default)]
struct Told {
    /// The status word as it stands.
    word: BTreeMap<String, String>,
    /// The words, and the operator's Events, since the last change.
    words: BTreeMap<String, Vec<String>>,
    events: BTreeMap<String, Vec<String>>,
    /// What controllers, schedulers and kubelets said of sets and pods.
    around: BTreeMap<String, Vec<String>>,
    /// What the uids of clusters are called: their objects may outlive them.
    uids: BTreeMap<String, String>,
}

impl Side {
    pub fn new(kubeconfig: PathBuf, home: PathBuf, namespace: &'static str) -> Side {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let store = runtime.block_on(async { Store::new(command::client(&kubeconfig).await.unwrap().0, "test") });
        for kind in [POSTGRESQL, EVENT] {
            runtime.spawn(listen(store.clone(), kind, namespace, told.clone()));
        }
        let mut side = Side { kubeconfig, home, namespace, kinds: String::new(), told, _runtime: runtime };
        let kinds = side.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"], "");
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !TOLD.contains(kind)).collect();
        side.kinds = kinds.join(",");
        side
    }

    /// What kubectl prints; it must not fail.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new("kubectl");
        command
            .args(["-n", self.namespace])
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut kubectl = command.spawn().unwrap();
        kubectl.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = kubectl.wait_with_output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?} by {}: {complaint}", self.kubeconfig.display());
        String::from_utf8(output.stdout).unwrap()
    }

    /// All that stands in the namespace.
    pub fn objects(&self) -> BTreeMap<String, Lines> {
        let list = self.kubectl(&["get", &self.kinds, "-o", "json", "--show-managed-fields"], "");
        plain::objects(&serde_json::from_str(&list).unwrap(), &self.told.lock().unwrap().uids)
    }

    /// From here on only what is new is told.
    pub fn forget(&self) {
        let mut told = self.told.lock().unwrap();
        told.words.clear();
        told.events.clear();
        told.around.clear();
    }

    /// The status words of a cluster since the last change, parted by spaces.
    pub fn words(&self, cluster: &str) -> String {
        self.told.lock().unwrap().words.get(cluster).map(|words| words.join(" ")).unwrap_or_default()
    }

    /// What was told, as lines: the words in order, how often each Event came, and in which order.
    pub fn told(&self) -> BTreeMap<String, Lines> {
        let told = self.told.lock().unwrap();
        let mut lines: BTreeMap<String, Lines> = BTreeMap::new();
        for (cluster, words) in &told.words {
            lines.entry(format!("told/{cluster}")).or_default().insert("words".into(), words.join(" "));
        }
        // How often a controller says what is its own affair.
        for (title, events) in &told.around {
            let lines = lines.entry(format!("told/{title}")).or_default();
            lines.extend(events.iter().map(|event| (format!("event {event}"), "said".to_owned())));
        }
        for (cluster, events) in &told.events {
            let lines = lines.entry(format!("told/{cluster}")).or_default();
            for event in events {
                let n = events.iter().filter(|other| *other == event).count();
                lines.insert(format!("event {event}"), n.to_string());
            }
        }
        lines
    }

    /// What a member's server answers to its superuser.
    pub fn sql(&self, member: &str, query: &str) -> String {
        self.kubectl(&["exec", member, "-c", "postgres", "--", "psql", "-Atc", query], "").trim().to_owned()
    }

    /// The primary of a cluster of two, and its replica.
    pub fn members(&self, cluster: &str) -> (String, String) {
        let leader = self.get("configmap", &format!("{cluster}-leader"))["metadata"]["annotations"]["leader"].clone();
        let leader = leader.as_str().unwrap_or_default().to_owned();
        let names = [0, 1].map(|ordinal| format!("{cluster}-{ordinal}"));
        let replica = names.into_iter().find(|name| *name != leader).unwrap_or_default();
        (leader, replica)
    }

    /// Whether the replica of a cluster of two streams.
    pub fn is_streaming(&self, cluster: &str) -> bool {
        let count = "select count(*) from pg_stat_replication where state = 'streaming'";
        let (primary, replica) = self.members(cluster);
        !self.get("pod", &replica).is_null() && self.sql(&primary, count) == "1"
    }

    /// By how many bytes the replica of a cluster of two trails, by Patroni's word.
    pub fn lag(&self, cluster: &str) -> i64 {
        let leader = self.get("configmap", &format!("{cluster}-leader"));
        let written = leader["metadata"]["annotations"]["optime"].as_str().and_then(|text| text.parse::<i64>().ok());
        let told = self.get("pod", &self.members(cluster).1);
        let told = told["metadata"]["annotations"]["status"].as_str().and_then(|text| serde_json::from_str(text).ok());
        let received = told.and_then(|status: Value| status["xlog_location"].as_i64());
        written.zip(received).map_or(0, |(written, received)| written - received)
    }

    /// One object.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"], "");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The Events of a cluster since the last change, in order.
    pub fn events(&self, cluster: &str) -> Vec<String> {
        self.told.lock().unwrap().events.get(cluster).cloned().unwrap_or_default()
    }
}

/// Writes down what a watch tells.
async fn listen(store: Store, kind: Kind, namespace: &str, told: Arc<Mutex<Told>>) {
    let (changes, mut news) = mpsc::channel(64);
    let follower = tokio::spawn(async move { follow(store, kind, "", changes).await });
    while let Some(change) = news.recv().await {
        let Change::Now(object) = change else { continue };
        if object["metadata"]["namespace"] == namespace {
            told.lock().unwrap().take(kind, &object);
        }
    }
    follower.abort();
}

impl Told {
    fn take(&mut self, kind: Kind, object: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if kind == POSTGRESQL {
            self.uids.insert(text(&object["metadata"]["uid"]), plain::called(object));
            let (cluster, word) = (text(&object["metadata"]["name"]), text(&object["status"]["PostgresClusterStatus"]));
            if !word.is_empty() && self.word.insert(cluster.clone(), word.clone()).as_ref() != Some(&word) {
                self.words.entry(cluster).or_default().push(word);
            }
            return;
        }
        let about = &object["involvedObject"];
        if about["kind"] == "StatefulSet" || about["kind"] == "Pod" {
            let title = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
            let said = ["type", "reason", "message"].map(|key| text(&object[key])).join(" ");
            // Which node is the scheduler's choice.
            let said = said.split(" to node-").next().unwrap_or_default();
            // Before 1.35 the controller of sets begins in lower case.
            let said = said.replace(" create ", " Create ").replace(" delete ", " Delete ");
            self.around.entry(title).or_default().push(said);
        } else if about["kind"] == "postgresql" {
            let said = ["type", "reason", "message"].map(|key| text(&object[key])).join(" ");
            // Older API servers count the same in other words.
            let said = said.replace("63 characters", "63 bytes");
            self.events.entry(text(&about["name"])).or_default().push(said);
        }
    }
}
