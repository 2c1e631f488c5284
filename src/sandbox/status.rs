//! What is up in a sandbox, from its processes and servers themselves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::sandbox::error::Result;
use crate::sandbox::node;
use crate::sandbox::objects::{POD, POSTGRESQL, Store, text};
use crate::sandbox::process::{Birth, Child, Ledger, postmaster};
use crate::sandbox::registry::{API_HOST, API_PORT, Place, Record, network};
use crate::sandbox::traffic::{Desk, Progress};
use crate::sandbox::{hosts, sql};

/// Everything that belongs to a sandbox.
#[derive(Debug, Serialize)]
pub struct Status {
    pub name: String,
    /// `up`, `starting`, `dead` (its supervisor was killed) or `down`.
    pub state: &'static str,
    pub folder: String,
    pub supervisor: Option<Birth>,
    pub api: Option<String>,
    pub kubeconfig: Option<String>,
    pub hosts: Option<String>,
    pub log: String,
    /// The word of the operator for each cluster.
    pub clusters: BTreeMap<String, String>,
    pub members: Vec<Member>,
    pub processes: Vec<Child>,
    pub workload: Vec<Workload>,
    /// Made-up clusters.
    pub crowd: u32,
    /// Whether every member runs or streams and every workload writes.
    pub is_ready: bool,
    /// Why the API could not be asked, if it should have answered.
    pub problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Member {
    pub cluster: String,
    pub name: String,
    /// `primary`, `standby` or `unknown`.
    pub role: &'static str,
    /// `running` (a primary), `streaming` (a standby), or what it does instead.
    pub state: String,
    pub address: String,
    pub folder: String,
    pub postgres: Option<u32>,
}

#[derive(Debug, Serialize)]
pub struct Workload {
    pub name: String,
    pub is_writing: bool,
    #[serde(flatten)]
    pub progress: Progress,
}

impl Member {
    pub fn is_well(&self) -> bool {
        matches!((self.role, self.state.as_str()), ("primary", "running") | ("standby", "streaming"))
    }
}

/// Looks at a sandbox; `store` is a way to its API, if that answers.
pub async fn look(place: &Place, store: Option<&Store>) -> Result<Status> {
    let folder = place.folder();
    let record = place.record();
    let mut status = Status {
        name: place.name.clone(),
        state: word(record.as_ref()),
        folder: folder.display().to_string(),
        supervisor: record.as_ref().map(|record| record.supervisor),
        api: None,
        kubeconfig: None,
        hosts: None,
        log: place.log().display().to_string(),
        clusters: BTreeMap::new(),
        members: Vec::new(),
        processes: Ledger::of(&folder).living(),
        workload: Vec::new(),
        crowd: record.as_ref().map_or(0, |record| record.crowd),
        is_ready: false,
        problem: None,
    };
    let Some(record) = record else { return Ok(status) };
    let network = network(record.network);
    status.api = Some(format!("https://{}:{API_PORT}", network.host(API_HOST)));
    status.kubeconfig = Some(place.kubeconfig().display().to_string());
    let mut wanted = 0;
    if let Some(store) = store {
        for cluster in store.list(POSTGRESQL, "", node::NOT_CROWD).await? {
            wanted += cluster["spec"]["numberOfInstances"].as_u64().unwrap_or(0);
            status.clusters.insert(name_of(&cluster), text(&cluster, &["status", "PostgresClusterStatus"]).into());
        }
        for pod in store.list(POD, "", &format!("application=spilo,{}", node::NOT_CROWD)).await? {
            status.members.push(member(place, &pod).await);
        }
    }
    if place.hosts().exists() {
        status.hosts = Some(place.hosts().display().to_string());
        for host in hosts::hosts(&folder, network) {
            wanted += 1;
            status.members.push(plain(&host).await);
        }
    }
    for member in &status.members {
        if let Some(server) = member.postgres.and_then(Birth::of) {
            status.processes.push(Child { birth: server, what: format!("postgres {}", member.name) });
        }
    }
    let now = Timestamp::now();
    let report = Desk::of(&folder).read();
    status.workload = report
        .into_iter()
        .map(|(name, progress)| Workload { name, is_writing: progress.is_writing(now), progress })
        .collect();
    status.is_ready = store.is_some()
        && record.crowd == record.wanted_crowd
        && status.members.len() as u64 == wanted
        && status.members.iter().all(Member::is_well)
        && status.clusters.values().all(|word| word == "Running")
        && status.workload.iter().all(|workload| workload.is_writing);
    Ok(status)
}

fn word(record: Option<&Record>) -> &'static str {
    match record {
        None => "down",
        Some(record) if !record.supervisor.is_alive() => "dead",
        Some(record) if record.is_ready => "up",
        Some(_) => "starting",
    }
}

fn name_of(object: &Value) -> String {
    format!("{}/{}", text(object, &["metadata", "namespace"]), text(object, &["metadata", "name"]))
}

async fn member(place: &Place, pod: &Value) -> Member {
    let (namespace, name) = (text(pod, &["metadata", "namespace"]), text(pod, &["metadata", "name"]));
    let folder = node::folder(&place.folder(), namespace, name);
    let cluster = format!("{namespace}/{}", text(pod, &["metadata", "labels", "cluster-name"]));
    let address = text(pod, &["status", "podIP"]);
    let (role, state) = ask(&node::sockets(&place.folder(), address)).await;
    Member {
        cluster,
        name: name.into(),
        role,
        state,
        address: address.into(),
        postgres: postmaster(&folder.join("pgdata")).map(|server| server.pid),
        folder: folder.display().to_string(),
    }
}

async fn plain(host: &hosts::Host) -> Member {
    let (role, state) = ask(&host.home).await;
    Member {
        cluster: format!("hosts:{}", hosts::NAME),
        name: host.name.into(),
        role,
        state,
        address: host.address.clone(),
        postgres: postmaster(&host.data()).map(|server| server.pid),
        folder: host.home.display().to_string(),
    }
}

/// The role and the state of the server whose socket is in a folder, by its own word.
async fn ask(folder: &std::path::Path) -> (&'static str, String) {
    let question = "select pg_is_in_recovery(), (select status from pg_stat_wal_receiver)";
    let answer = match sql::connect_locally(folder, "postgres").await {
        Ok(session) => session.client.query_one(question, &[]).await,
        Err(_) => return ("unknown", "not reached".into()),
    };
    match answer.map(|row| (row.get::<_, bool>(0), row.get::<_, Option<String>>(1))) {
        Ok((false, _)) => ("primary", "running".into()),
        Ok((true, receiver)) => ("standby", receiver.unwrap_or_else(|| "not streaming".into())),
        Err(error) => ("unknown", error.to_string()),
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pid = self.supervisor.map_or_else(|| "–".into(), |birth| birth.pid.to_string());
        writeln!(out, "sandbox {} is {}   supervisor {pid}   folder {}", self.name, self.state, self.folder)?;
        if let Some(api) = &self.api {
            writeln!(out, "api {api}   log {}", self.log)?;
        }
        if let Some(problem) = &self.problem {
            writeln!(out, "  the API does not answer: {problem}")?;
        }
        if self.crowd > 0 {
            writeln!(out, "  {} made-up clusters", self.crowd)?;
        }
        for (cluster, word) in &self.clusters {
            writeln!(out, "  {cluster:<28} {word}")?;
        }
        for member in &self.members {
            let postgres = member.postgres.map_or_else(|| "–".into(), |pid| pid.to_string());
            writeln!(
                out,
                "  {:<20} {:<8} {:<14} {:<15} postgres {postgres:<8} {}",
                member.name, member.role, member.state, member.address, member.folder
            )?;
        }
        for workload in &self.workload {
            let word = if workload.is_writing { "writing" } else { "not writing" };
            writeln!(out, "  workload {:<28} {word}, {} committed", workload.name, workload.progress.committed)?;
        }
        Ok(())
    }
}
