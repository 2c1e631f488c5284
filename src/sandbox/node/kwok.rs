//! What kwok is told of a member, so that exec, logs and port-forward of its pod lead to the processes of this machine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::member::Context;
use crate::sandbox::error::Result;
use crate::sandbox::objects::{KWOK_EXEC, KWOK_FORWARD, KWOK_LOGS, Spot};
use crate::sandbox::process::Toolbox;

/// Where a member is.
#[derive(Debug)]
pub struct Post<'a> {
    pub address: &'a str,
    pub home: &'a Path,
    pub sockets: &'a Path,
    /// In the format of a kubelet's log files.
    pub log: PathBuf,
    pub tools: &'a Toolbox,
    /// Where the programs are that stand for the image's own.
    pub stand_ins: PathBuf,
}

/// Leads requests for the pod to the member; whether kwok is there to be led.
pub async fn lead(context: &Context, pod: &Spot, post: &Post<'_>) -> Result<bool> {
    for (kind, spec) in [(KWOK_FORWARD, forward(post)), (KWOK_EXEC, exec(post)), (KWOK_LOGS, logs(post))] {
        let object = json!({ "metadata": { "name": pod.name, "namespace": pod.namespace }, "spec": spec });
        match context.store.put(kind, object).await {
            Ok(()) => {}
            // Its kinds are not known here: there are real kubelets, or others that stand for them.
            Err(error) if error.is_status(404) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn forward(post: &Post<'_>) -> Value {
    let to = |port: u16| json!({ "ports": [port], "target": { "address": post.address, "port": port } });
    json!({ "forwards": [to(5432), to(8008)] })
}

fn exec(post: &Post<'_>) -> Value {
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    let (home, sockets) = (post.home.display().to_string(), post.sockets.display().to_string());
    let mut local = json!({
        "workDir": home,
        "envs": [
            variable("PGHOST", &sockets),
            variable("PGUSER", "postgres"),
            variable("PATH", &post.tools.path(&[&post.stand_ins])),
            variable("HOME", &home),
            variable("KUBECONFIG", &post.home.join("kubeconfig").display().to_string()),
            variable("WALG_FILE_PREFIX", &post.home.join("archive").display().to_string()),
        ],
    });
    if let Some(user) = &post.tools.user {
        local["securityContext"] = json!({ "runAsUser": user.uid, "runAsGroup": user.gid });
    }
    json!({ "execs": [{ "containers": ["postgres"], "local": local }] })
}

fn logs(post: &Post<'_>) -> Value {
    json!({ "logs": [{ "containers": ["postgres"], "logsFile": post.log, "follow": true }] })
}
