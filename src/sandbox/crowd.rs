//! Thousands of made-up clusters, and what they do all day: for load tests of whoever watches.
//!
//! The objects are captured ones with their names changed, at their real size.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::sandbox::error::{Error, Result};
use crate::sandbox::objects::{
    CONFIG_MAP, Kind, NAMESPACE, NODE, POD, POSTGRESQL, SERVICE_ACCOUNT, STATEFUL_SET, Store, text,
};

/// What made-up clusters do all day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Regime {
    /// Nothing, and no leader is ever overdue.
    Silent,
    /// Every leader renews its lease every 10 s, as Patroni does.
    #[default]
    Heartbeat,
    /// 20 visible changes a second.
    Churn,
    /// Both.
    Both,
}

impl Regime {
    pub fn word(self) -> &'static str {
        match self {
            Regime::Silent => "silent",
            Regime::Heartbeat => "heartbeat",
            Regime::Churn => "churn",
            Regime::Both => "heartbeat+churn",
        }
    }

    pub fn is_moving(self) -> bool {
        self != Regime::Silent
    }

    fn has_heartbeat(self) -> bool {
        matches!(self, Regime::Heartbeat | Regime::Both)
    }

    fn has_churn(self) -> bool {
        matches!(self, Regime::Churn | Regime::Both)
    }
}

const MEMBERS: u32 = 3;
/// Clusters in one namespace.
pub const PER_NAMESPACE: u32 = 100;
const AT_ONCE: usize = 32;
const LOOP_WAIT: Duration = Duration::from_secs(10);
const CHANGES_PER_SECOND: u32 = 20;
/// The ttl of leaders that never renew: ten years.
const ENDLESS: u64 = 315_360_000;

const TEMPLATES: [(&str, &str); 5] = [
    ("postgresql", include_str!("crowd/postgresql.yaml")),
    ("stateful set", include_str!("crowd/statefulset.yaml")),
    ("pod", include_str!("crowd/pod.yaml")),
    ("leader", include_str!("crowd/leader.yaml")),
    ("config", include_str!("crowd/config.yaml")),
];

/// One made-up cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Double(u32);

impl Double {
    fn namespace(self) -> String {
        format!("crowd-{:02}", self.0 / PER_NAMESPACE)
    }

    fn name(self) -> String {
        format!("crowd-{:05}", self.0)
    }

    fn member(self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name())
    }

    fn ip(self, ordinal: u32) -> String {
        let n = self.0 * MEMBERS + ordinal;
        format!("10.{}.{}.{}", 128 + (n / 64_516) % 64, (n / 254) % 254, n % 254 + 1)
    }
}

/// The captured objects, read once.
struct Templates(Vec<Value>);

impl Templates {
    fn read() -> Result<Templates> {
        let read = TEMPLATES.iter().map(|(what, text)| {
            serde_saphyr::from_str(text).map_err(|error| Error::failed(format!("the captured {what}"), error))
        });
        Ok(Templates(read.collect::<Result<_>>()?))
    }

    /// A captured object for another cluster: its words `acid-toys` and addresses exchanged, and marked as made up.
    fn of(&self, which: usize, double: Double, ordinal: u32) -> Value {
        let original = self.0[which].to_string();
        let changed = original
            .replace("acid-toys", &double.name())
            .replace("ORDINAL", &ordinal.to_string())
            .replace("ROLE", if ordinal == 0 { "master" } else { "replica" })
            .replace("ADDRESS", &double.ip(ordinal));
        let mut object: Value = serde_json::from_str(&changed).unwrap_or_default();
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!(double.namespace());
        metadata["labels"]["pgdeck.sandbox/crowd"] = json!("true");
        object
    }
}

/// Makes `n` clusters in any API server; what is there already is left as it is.
pub async fn make(store: &Store, n: u32, regime: Regime) -> Result<()> {
    let templates = Templates::read()?;
    for first in (0..n).step_by(PER_NAMESPACE as usize) {
        let namespace = Double(first).namespace();
        store.create(NAMESPACE, json!({ "metadata": { "name": namespace } })).await?;
        store
            .create(SERVICE_ACCOUNT, json!({ "metadata": { "name": "postgres-pod", "namespace": namespace } }))
            .await?;
    }
    let nodes = store.list(NODE, "", "").await?;
    let nodes: Vec<&str> = nodes.iter().map(|node| text(node, &["metadata", "name"])).collect();
    let (templates, nodes) = (&templates, &nodes[..]);
    let mut made = stream::iter((0..n).map(Double))
        .map(|double| async move { make_one(store, templates, nodes, double, regime).await })
        .buffer_unordered(AT_ONCE);
    while let Some(one) = made.next().await {
        one?;
    }
    Ok(())
}

async fn make_one(store: &Store, templates: &Templates, nodes: &[&str], double: Double, regime: Regime) -> Result<()> {
    put(store, POSTGRESQL, templates.of(0, double, 0)).await?;
    let set = put(store, STATEFUL_SET, templates.of(1, double, 0)).await?;
    for ordinal in 0..MEMBERS {
        let mut pod = templates.of(2, double, ordinal);
        // An owner that does not exist would get the pod collected as garbage.
        pod["metadata"]["ownerReferences"][0]["uid"] = set["metadata"]["uid"].clone();
        // So would one on a node that does not exist.
        if let Some(node) = nodes.get((double.0 * MEMBERS + ordinal) as usize % nodes.len().max(1)) {
            pod["spec"]["nodeName"] = json!(node);
        }
        put(store, POD, pod).await?;
    }
    let mut leader = templates.of(3, double, 0);
    leader["metadata"]["annotations"]["renewTime"] = json!(patroni_time(Timestamp::now()));
    if !regime.has_heartbeat() {
        leader["metadata"]["annotations"]["ttl"] = json!(ENDLESS.to_string());
    }
    put(store, CONFIG_MAP, leader).await?;
    put(store, CONFIG_MAP, templates.of(4, double, 0)).await?;
    Ok(())
}

/// Creates an object with its status, which an API server takes by a second request alone.
async fn put(store: &Store, kind: Kind, object: Value) -> Result<Value> {
    let status = object["status"].clone();
    let spot = kind.at(text(&object, &["metadata", "namespace"]), text(&object, &["metadata", "name"]));
    let Some(made) = store.create(kind, object).await? else {
        return Ok(store.get(&spot).await?.unwrap_or_default());
    };
    if status.is_object() && made["status"] != status {
        return store.patch_status(&spot, &status).await;
    }
    Ok(made)
}

/// Lets the crowd live by its regime until it is dropped.
pub async fn live(store: Store, n: u32, regime: Regime) {
    if n == 0 {
        return std::future::pending().await;
    }
    let beats = async { if regime.has_heartbeat() { beat(&store, n).await } else { std::future::pending().await } };
    let changes = async { if regime.has_churn() { churn(&store, n).await } else { std::future::pending().await } };
    tokio::join!(beats, changes);
}

/// Renews every leader once a loop, spread evenly over it.
async fn beat(store: &Store, n: u32) {
    let mut tick = interval(LOOP_WAIT / n);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut optime: u64 = 100_858_552;
    let turns = stream::unfold(tick, |mut tick| async move {
        tick.tick().await;
        Some(((), tick))
    });
    let renewals = turns.zip(stream::iter((0..n).cycle())).map(|((), i)| {
        optime += 56;
        renew(store, Double(i), optime)
    });
    renewals.buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
}

async fn renew(store: &Store, double: Double, optime: u64) {
    let now = patroni_time(Timestamp::now());
    let patch = json!({ "metadata": { "annotations": { "renewTime": now, "optime": optime.to_string() } } });
    let spot = CONFIG_MAP.at(&double.namespace(), &format!("{}-leader", double.name()));
    note(store.patch(&spot, &patch).await);
}

/// Changes something visible, 20 times a second, all over the crowd.
async fn churn(store: &Store, n: u32) {
    let mut tick = interval(Duration::from_secs(1) / CHANGES_PER_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for round in 0_u32.. {
        tick.tick().await;
        // A step that shares no factor with usual sizes visits every cluster, far from the last one.
        note(change(store, Double(round.wrapping_mul(7919) % n), round).await);
    }
}

/// One visible change: a word of the operator, a pod's readiness, or a member's word.
async fn change(store: &Store, double: Double, round: u32) -> Result<Value> {
    let flips = (round / 3).is_multiple_of(2);
    let namespace = double.namespace();
    let pod = POD.at(&namespace, &double.member(2));
    match round % 3 {
        0 => {
            let word = if flips { "Updating" } else { "Running" };
            let spot = POSTGRESQL.at(&namespace, &double.name());
            store.patch_status(&spot, &json!({ "PostgresClusterStatus": word })).await
        }
        1 => {
            let word = if flips { "False" } else { "True" };
            let at = format!("{:.0}", Timestamp::now());
            let conditions: Vec<Value> = ["Initialized", "Ready", "ContainersReady", "PodScheduled"]
                .map(|kind| {
                    let word = if kind.ends_with("eady") { word } else { "True" };
                    json!({ "type": kind, "status": word, "lastProbeTime": null, "lastTransitionTime": at })
                })
                .into();
            store.patch_status(&pod, &json!({ "conditions": conditions })).await
        }
        _ => {
            let state = if flips { "starting" } else { "running" };
            let ip = double.ip(2);
            let word = json!({
                "conn_url": format!("postgres://{ip}:5432/postgres"), "api_url": format!("http://{ip}:8008/patroni"),
                "state": state, "role": "replica", "version": "3.0.2",
                "xlog_location": 100_000_000 + u64::from(round) * 4096, "timeline": 3,
            });
            store.patch(&pod, &json!({ "metadata": { "annotations": { "status": word.to_string() } } })).await
        }
    }
}

fn note(done: Result<Value>) {
    if let Err(error) = done {
        tracing::debug!(%error, "a change of the crowd is lost");
    }
}

/// A time as Patroni writes it.
fn patroni_time(at: Timestamp) -> String {
    format!("{at:.6}").replace('Z', "+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_the_crowd_has_its_real_size_and_its_own_name() {
        let pod = Templates::read().unwrap().of(2, Double(123), 1);
        assert!(pod.to_string().len() >= 9 * 1024, "{} bytes", pod.to_string().len());
        assert_eq!(pod["metadata"]["name"], "crowd-00123-1");
        assert_eq!(pod["metadata"]["namespace"], "crowd-01");
        assert!(!pod.to_string().contains("acid-toys"));
    }

    #[test]
    fn only_the_first_member_leads() {
        let templates = Templates::read().unwrap();
        let role = |ordinal| templates.of(2, Double(0), ordinal)["metadata"]["labels"]["spilo-role"].clone();
        assert_eq!((role(0), role(1), role(2)), (json!("master"), json!("replica"), json!("replica")));
    }

    #[test]
    fn no_two_members_share_an_address() {
        let ips: std::collections::BTreeSet<String> =
            (0..2000).flat_map(|i| (0..3).map(move |o| Double(i).ip(o))).collect();
        assert_eq!(ips.len(), 6000);
    }

    #[test]
    fn a_time_reads_as_patroni_writes_it() {
        let at = Timestamp::from_microsecond(1_000_001).unwrap();
        assert_eq!(patroni_time(at), "1970-01-01T00:00:01.000001+00:00");
    }
}
