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
        let list = self.kubectl(&["get", &self.kinds, "-o", "json"], "");
        plain::objects(&serde_json::from_str(&list).unwrap(), &self.told.lock().unwrap().uids)
    }

    /// From here on only what is new is told.
    pub fn forget(&self) {
        let mut told = self.told.lock().unwrap();
        told.words.clear();
        told.events.clear();
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
        for (cluster, events) in &told.events {
            let lines = lines.entry(format!("told/{cluster}")).or_default();
            for event in events {
                let n = events.iter().filter(|other| *other == event).count();
                lines.insert(format!("event {event}"), n.to_string());
            }
        }
        lines
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
        } else if object["involvedObject"]["kind"] == "postgresql" {
            let said = ["type", "reason", "message"].map(|key| text(&object[key])).join(" ");
            // Older API servers count the same in other words.
            let said = said.replace("63 characters", "63 bytes");
            self.events.entry(text(&object["involvedObject"]["name"])).or_default().push(said);
        }
    }
}
