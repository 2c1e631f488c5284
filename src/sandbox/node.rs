//! The kubelet's part: each of Spilo's pods becomes a real Patroni with a real Postgres on the pod's own address.
//!
//! An ordinary client of any Kubernetes API. In the sandbox it also gives each pod its address, writes its status, and runs
//! Jobs; on a real API server others do that, and it takes the pods as they are. Where kwok stands for the kubelets it leads
//! exec, logs and port-forward to the members, and says which containers died: kwok cannot know.

pub mod config;
mod container;
mod job;
mod kwok;
mod log;
mod member;
mod names;
mod status;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::sandbox::error::{During, Result};
use crate::sandbox::objects::{self, Change, POD, Store, text};
use crate::sandbox::process::{Ledger, Toolbox};

pub use container::Host;
pub use member::{exit_code, folder, sockets};

/// Objects of the crowd carry this label; nobody runs them.
pub const NOT_CROWD: &str = "!pgdeck.sandbox/crowd";
/// A pod with this annotation stands for an image without Spilo's `post_init`: no role `admin` in its databases.
const NO_POST_INIT: &str = "pgdeck.sandbox/no-post-init";
/// Where a pod's log is, in the format of a kubelet's log files.
pub const LOG_PATH: &str = "pgdeck.sandbox/log-path";

#[derive(Debug, Clone)]
pub struct Options {
    /// How Patroni reaches the API.
    pub kubeconfig: PathBuf,
    pub context: String,
    /// Where the members' folders are made.
    pub base: PathBuf,
    /// Which pods are members, as a label selector.
    pub labels: String,
    /// The network that pods get their address from; none if somebody else gives it.
    pub network: Option<Network>,
    /// A hosts file that is kept with the Services' names, where no DNS of a cluster gives them.
    pub names: Option<PathBuf>,
}

/// The addresses A.B.C.1 to A.B.C.199.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub [u8; 3]);

impl Network {
    pub fn host(self, n: u8) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, n)
    }

    fn pods(self) -> impl Iterator<Item = Ipv4Addr> {
        (1..200).map(move |n| self.host(n))
    }
}

/// A pod, by namespace and name.
type Key = (String, String);

/// How a member is to end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The pod is being deleted: let Postgres shut down, then let go of the pod.
    Gracefully,
    /// The pod is gone, or the node ends.
    AtOnce,
}

struct Running {
    uid: String,
    address: String,
    end: Option<oneshot::Sender<End>>,
}

struct Node {
    context: member::Context,
    running: BTreeMap<Key, Running>,
    /// Pods that wait until an earlier one of the same name has ended.
    waiting: BTreeMap<Key, Value>,
    tasks: JoinSet<Key>,
    names: names::Names,
}

/// Runs pods until `stop` says so; then ends them at once.
pub async fn run(store: Store, tools: Toolbox, options: Options, mut stop: watch::Receiver<bool>) -> Result<()> {
    std::fs::create_dir_all(options.base.join("members"))
        .during(format!("cannot make the folder {}", options.base.display()))?;
    volume::write_stand_ins(&tools, &options.base)?;
    let (changes, mut news) = mpsc::channel(256);
    let mut watching = JoinSet::new();
    let (labels, follower) = (options.labels.clone(), store.clone());
    watching.spawn(async move { objects::follow(follower, POD, &labels, changes).await });
    let names = names::Names::kept_in(options.names.clone());
    let ledger = Ledger::of(&options.base);
    let context = member::Context { store, tools, options, ledger };
    if context.options.network.is_some() {
        watching.spawn(job::run(context.clone()));
    }
    let mut node = Node { context, running: BTreeMap::new(), waiting: BTreeMap::new(), tasks: JoinSet::new(), names };
    loop {
        tokio::select! {
            // All three only receive: what is not taken now is taken in the next round.
            _ = stop.wait_for(|stop| *stop) => break,
            Some(change) = news.recv() => node.take(change),
            Some(ended) = node.tasks.join_next(), if !node.tasks.is_empty() => node.ended(ended),
        }
    }
    for member in node.running.values_mut() {
        member.end(End::AtOnce);
    }
    while node.tasks.join_next().await.is_some() {}
    Ok(())
}

impl Running {
    fn end(&mut self, how: End) {
        if let Some(end) = self.end.take() {
            // A member that does not listen any more is ending already.
            let _ = end.send(how);
        }
    }
}

impl Node {
    fn take(&mut self, change: Change) {
        if let Err(error) = self.names.take(&change) {
            tracing::error!(%error, "the Services' names are not up to date");
        }
        match change {
            Change::Gone(pod) => {
                let key = key(&pod);
                self.waiting.remove(&key);
                if let Some(member) = self.running.get_mut(&key)
                    && member.uid == text(&pod, &["metadata", "uid"])
                {
                    member.end(End::AtOnce);
                }
            }
            Change::Now(pod) => self.look(pod),
        }
    }

    fn look(&mut self, pod: Value) {
        let (key, uid) = (key(&pod), text(&pod, &["metadata", "uid"]));
        let is_leaving = pod["metadata"]["deletionTimestamp"].is_string();
        match self.running.get_mut(&key) {
            Some(member) if member.uid == uid => {
                if is_leaving {
                    member.end(End::Gracefully);
                }
            }
            Some(member) => {
                member.end(End::AtOnce);
                self.waiting.insert(key, pod);
            }
            None if is_leaving => self.let_go(&pod),
            None => self.begin(key, &pod),
        }
    }

    fn begin(&mut self, key: Key, pod: &Value) {
        let is_member =
            pod["spec"]["containers"].as_array().is_some_and(|boxes| boxes.iter().any(|c| c["name"] == "postgres"));
        if !is_member {
            return;
        }
        let given = text(pod, &["status", "podIP"]).to_string();
        let address = match self.context.options.network {
            Some(network) => match self.free(network) {
                Some(address) => address,
                None => return tracing::error!("no address is left for {}/{}", key.0, key.1),
            },
            // Somebody else starts it: it begins when it has an address and runs.
            None if given.is_empty() || text(pod, &["status", "phase"]) != "Running" => return,
            None => given,
        };
        let (end, ended) = oneshot::channel();
        let uid = text(pod, &["metadata", "uid"]).to_string();
        self.running.insert(key.clone(), Running { uid, address: address.clone(), end: Some(end) });
        let member = member::Member::new(self.context.clone(), pod.clone(), address);
        self.tasks.spawn(async move {
            member.run(ended).await;
            key
        });
    }

    fn free(&self, network: Network) -> Option<String> {
        let taken: BTreeSet<&str> = self.running.values().map(|member| member.address.as_str()).collect();
        network.pods().map(|address| address.to_string()).find(|address| !taken.contains(address.as_str()))
    }

    /// Completes the deletion of a pod that never ran here.
    fn let_go(&mut self, pod: &Value) {
        if self.context.options.network.is_none() {
            return;
        }
        let (store, key) = (self.context.store.clone(), key(pod));
        self.tasks.spawn(async move {
            if let Err(error) = store.delete(&POD.at(&key.0, &key.1), Some(0)).await {
                tracing::warn!(%error, "a pod stays");
            }
            key
        });
    }

    fn ended(&mut self, ended: Result<Key, tokio::task::JoinError>) {
        let Ok(key) = ended else {
            return tracing::error!("a member's task broke");
        };
        self.running.remove(&key);
        if let Some(pod) = self.waiting.remove(&key) {
            self.look(pod);
        }
    }
}

fn key(pod: &Value) -> Key {
    (text(pod, &["metadata", "namespace"]).into(), text(pod, &["metadata", "name"]).into())
}
