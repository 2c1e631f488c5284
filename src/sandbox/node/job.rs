//! The Job controller of an API that has none, with the one kind of Job there is here: a dump of a whole cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::member::{Context, sockets};
use super::{Key, NOT_CROWD, key};
use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::objects::{self, Change, JOB, POD, Spot, Word, is_ready, text};

/// Where the dump of a finished Job is.
const DUMP: &str = "pgdeck.sandbox/dump";

/// Runs every Job once, whatever its `backoffLimit`, until it is dropped.
pub async fn run(context: Context) {
    let (changes, mut news) = mpsc::channel(16);
    let mut tasks: JoinSet<()> = JoinSet::new();
    let follower = context.store.clone();
    tasks.spawn(async move { objects::follow(follower, JOB, NOT_CROWD, changes).await });
    let mut known: BTreeMap<Key, (String, AbortHandle)> = BTreeMap::new();
    while let Some(change) = news.recv().await {
        match change {
            Change::Gone(job) => {
                if let Some((_, task)) = known.remove(&key(&job)) {
                    task.abort();
                }
            }
            Change::Now(job) => {
                let uid = text(&job, &["metadata", "uid"]).to_string();
                let is_known = known.get(&key(&job)).is_some_and(|(known, _)| *known == uid);
                if !is_known && is_to_run(&job) {
                    let task = tasks.spawn(work(context.clone(), job.clone()));
                    known.insert(key(&job), (uid, task));
                }
            }
        }
    }
}

/// Whether nobody stopped it or ran it before.
fn is_to_run(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let is_over = conditions.into_iter().flatten().any(|condition| {
        matches!(condition["type"].as_str(), Some("Complete" | "Failed")) && condition["status"] == "True"
    });
    !is_over && job["spec"]["suspend"] != true && !job["metadata"]["deletionTimestamp"].is_string()
}

/// The cluster that a Job's pod template is about: what the operator's image is told by the variable `SCOPE`.
fn scope(job: &Value) -> Option<&str> {
    let containers = job["spec"]["template"]["spec"]["containers"].as_array()?;
    let variables = containers.iter().filter_map(|container| container["env"].as_array()).flatten();
    variables.filter(|variable| variable["name"] == "SCOPE").find_map(|variable| variable["value"].as_str())
}

async fn work(context: Context, job: Value) {
    let (namespace, name) = key(&job);
    let spot = JOB.at(&namespace, &name);
    write(&context, &spot, &json!({ "active": 1, "ready": 1, "startTime": stamp() })).await;
    let ended = dump(&context, &namespace, &job).await;
    let word = |severity: &'static str, reason: &'static str, message: &str| (severity, reason, message.to_string());
    let (status, (severity, reason, message)) = match &ended {
        Ok(path) => {
            let annotations = json!({ "metadata": { "annotations": { DUMP: path } } });
            if let Err(error) = context.store.patch(&spot, &annotations).await {
                tracing::warn!(%error, "a dump's place is not told");
            }
            let done = condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods");
            let status = json!({ "succeeded": 1, "completionTime": stamp(), "conditions": [done] });
            (status, word("Normal", "Completed", "Job completed"))
        }
        Err(error) => {
            let why = format!("Job has reached the specified backoff limit: {error}");
            let failed = condition("Failed", "BackoffLimitExceeded", &why);
            (json!({ "failed": 1, "conditions": [failed] }), word("Warning", "BackoffLimitExceeded", &why))
        }
    };
    let mut status = status;
    (status["active"], status["ready"]) = (Value::Null, json!(0));
    write(&context, &spot, &status).await;
    let word = Word { source: "job-controller", severity, reason, message: &message };
    context.store.tell(&spot, text(&job, &["metadata", "uid"]), word).await;
}

fn condition(kind: &str, reason: &str, message: &str) -> Value {
    let now = stamp();
    json!({ "type": kind, "status": "True", "reason": reason, "message": message,
            "lastProbeTime": now, "lastTransitionTime": now })
}

fn stamp() -> String {
    format!("{:.0}", Timestamp::now())
}

async fn write(context: &Context, spot: &Spot, status: &Value) {
    if let Err(error) = context.store.patch_status(spot, status).await
        && !error.is_status(404)
    {
        tracing::warn!(%error, "a job's status is not written");
    }
}

/// Dumps the whole cluster from its primary into a file, and tells where that is.
async fn dump(context: &Context, namespace: &str, job: &Value) -> Result<PathBuf> {
    let what = "cannot dump";
    let cluster = scope(job).ok_or_else(|| Error::failed(what, "no container of the job has the variable SCOPE"))?;
    let address = primary(context, namespace, cluster).await?;
    let tools = &context.tools;
    let folder = context.options.base.join("dumps");
    tools.folder(&folder)?;
    let folder = folder.join(format!("{namespace}.{cluster}"));
    tools.folder(&folder)?;
    let path = folder.join(format!("{}.sql", Timestamp::now().as_second()));

    let mut command = tools.command(&tools.bin.join("pg_dumpall"), &folder);
    command.args(["--username", "postgres", "--no-password", "--host"]);
    command.arg(sockets(&context.options.base, &address)).arg("--file").arg(&path);
    finish(context, command, &format!("pg_dumpall {namespace}/{cluster}")).await?;
    let mut command = tools.command("gzip".as_ref(), &folder);
    command.args(["--force", "--"]).arg(&path);
    finish(context, command, &format!("gzip {namespace}/{cluster}")).await?;
    Ok(path.with_extension("sql.gz"))
}

async fn primary(context: &Context, namespace: &str, cluster: &str) -> Result<String> {
    let selector = format!("application=spilo,cluster-name={cluster},spilo-role=master");
    let pods = context.store.list(POD, namespace, &selector).await?;
    let address = pods.iter().filter(|pod| is_ready(pod)).map(|pod| text(pod, &["status", "podIP"])).next();
    let missing = || Error::failed(format!("cannot dump {namespace}/{cluster}"), "it has no primary that is ready");
    address.map(str::to_string).ok_or_else(missing)
}

/// Waits for a command; what it complained of is the error.
async fn finish(context: &Context, mut command: Command, what: &str) -> Result<()> {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().during(what)?;
    if let Some(pid) = child.id() {
        context.ledger.record(pid, what)?;
    }
    let output = child.wait_with_output().await.during(what)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(what, said.lines().next_back().unwrap_or("it failed without a word")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(status: &Value, spec: &Value) -> Value {
        json!({ "metadata": { "name": "a" }, "spec": spec, "status": status })
    }

    #[test]
    fn a_job_runs_once_and_not_while_it_is_suspended() {
        let over = json!({ "conditions": [{ "type": "Failed", "status": "True" }] });
        assert!(is_to_run(&job(&Value::Null, &json!({}))));
        assert!(!is_to_run(&job(&over, &json!({}))));
        assert!(!is_to_run(&job(&Value::Null, &json!({ "suspend": true }))));
    }

    #[test]
    fn a_job_names_its_cluster_in_the_environment() {
        let env = json!([{ "name": "PGUSER", "value": "postgres" }, { "name": "SCOPE", "value": "acid-shop" }]);
        let spec = json!({ "template": { "spec": { "containers": [{ "name": "logical-backup", "env": env }] } } });
        assert_eq!(scope(&job(&Value::Null, &spec)), Some("acid-shop"));
        assert_eq!(scope(&job(&Value::Null, &json!({}))), None);
    }
}
