//! One pod: a Patroni that is started, watched, started again when it dies, and ended with its Postgres.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::config::{Env, Place};
use super::container::Host;
use super::status::{self, Container};
use super::{End, LOG_PATH, NO_POST_INIT, Options, kwok, log, volume};
use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::objects::{POD, SECRET, Spot, Store, VOLUME_CLAIM, Word, text};
use crate::sandbox::process::{Birth, Ledger, Toolbox};

/// What all members share.
#[derive(Debug, Clone)]
pub struct Context {
    pub store: Store,
    pub tools: Toolbox,
    pub options: Options,
    pub ledger: Ledger,
}

#[derive(Debug)]
pub struct Member {
    context: Context,
    pod: Value,
    spot: Spot,
    address: String,
    home: PathBuf,
    sockets: PathBuf,
    restarts: u32,
    /// Whether kwok stands for the kubelet.
    is_on_kwok: bool,
}

/// How long a container that died for the nth time waits before it is started again: a kubelet's rule.
fn back_off(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs((10 << (n - 2).min(5)).min(300)),
    }
}

/// Where a member's files are.
pub fn folder(base: &Path, namespace: &str, name: &str) -> PathBuf {
    base.join("members").join(format!("{namespace}.{name}"))
}

/// Where the socket of the server at an address is: names of members are longer than the path of a socket may be.
pub fn sockets(base: &Path, address: &str) -> PathBuf {
    base.join("sockets").join(address)
}

/// After this time without a failure the next one is the first again.
const FORGIVEN: Duration = Duration::from_secs(600);

impl Member {
    pub fn new(context: Context, pod: Value, address: String) -> Member {
        let (namespace, name) = (text(&pod, &["metadata", "namespace"]), text(&pod, &["metadata", "name"]));
        let spot = POD.at(namespace, name);
        let home = folder(&context.options.base, namespace, name);
        let sockets = sockets(&context.options.base, &address);
        Member { context, pod, spot, address, home, sockets, restarts: 0, is_on_kwok: false }
    }

    /// Runs the pod until it is told to end.
    pub async fn run(mut self, mut end: oneshot::Receiver<End>) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let exit_code = match self.live(&mut end).await {
                Ok(Life::Over(exit_code)) => exit_code,
                Ok(Life::Ended(how)) => return self.finish(&how).await,
                Err(error) => {
                    tracing::warn!(pod = %self.spot, %error, "the member did not start");
                    128
                }
            };
            self.end_servers().await;
            failures = if begun.elapsed() > FORGIVEN { 1 } else { failures + 1 };
            let delay = back_off(failures);
            self.restarts += 1;
            let delay_seconds = delay.as_secs();
            self.tell("Warning", "BackOff", "Back-off restarting failed container postgres").await;
            self.write(&Container::BackingOff { exit_code, finished: Timestamp::now(), delay_seconds }).await;
            tokio::select! {
                // Both only wait.
                () = self.rest(delay.max(Duration::from_millis(200))) => {}
                how = &mut end => return self.finish(&how.unwrap_or(End::AtOnce)).await,
            }
        }
    }

    /// Waits before the next start; a file `hold` in the member's folder keeps the container down for longer.
    async fn rest(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
        while self.home.join("hold").exists() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// One life of the container.
    async fn live(&mut self, end: &mut oneshot::Receiver<End>) -> Result<Life> {
        if self.restarts == 0 {
            self.write(&Container::Creating).await;
        }
        self.prepare().await?;
        if self.restarts == 0 && self.context.options.network.is_none() {
            self.is_on_kwok = kwok::lead(&self.context, &self.spot, &self.post()).await?;
        }
        let mut logs = JoinSet::new();
        let mut patroni = self.start(&mut logs)?;
        self.write(&Container::Running { since: Timestamp::now() }).await;
        self.tell("Normal", "Started", "Started container postgres").await;
        let how = tokio::select! {
            // Both only wait.
            status = patroni.wait() => {
                return status.map(|status| Life::Over(exit_code(status))).during(format!("cannot wait for {}", self.spot));
            }
            how = end => how.unwrap_or(End::AtOnce),
        };
        if how == End::Gracefully {
            self.tell("Normal", "Killing", "Stopping container postgres").await;
            self.shut_down(&mut patroni).await;
        }
        Ok(Life::Ended(how))
    }

    /// Asks Patroni to hand over and to stop Postgres, and waits as long as the pod allows.
    async fn shut_down(&self, patroni: &mut Child) {
        let grace = self.pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(10).min(30);
        if let Some(birth) = patroni.id().and_then(Birth::of) {
            birth.signal(Signal::TERM);
        }
        if tokio::time::timeout(Duration::from_secs(grace), patroni.wait()).await.is_err() {
            tracing::info!(pod = %self.spot, "did not stop in time and is killed");
        }
    }

    async fn prepare(&self) -> Result<()> {
        let Context { store, tools, options, .. } = &self.context;
        let claim = VOLUME_CLAIM.at(&self.spot.namespace, &format!("pgdata-{}", self.spot.name));
        let claim = store.get(&claim).await?.unwrap_or_default();
        tools.folder(&self.sockets)?;
        volume::mount(tools, &self.home, text(&claim, &["metadata", "uid"]))?;
        let env = self.environment().await?;
        let place = Place {
            namespace: &self.spot.namespace,
            pod: &self.spot.name,
            ip: &self.address,
            home: &self.home,
            sockets: &self.sockets,
            bin: &tools.bin,
            context: &options.context,
            has_post_init: !self.pod["metadata"]["annotations"][NO_POST_INIT].is_string(),
        };
        volume::furnish(tools, &env, &place, &options.kubeconfig)
    }

    fn start(&self, logs: &mut JoinSet<()>) -> Result<Child> {
        let Context { tools, options, ledger, .. } = &self.context;
        let host = Host { tools: tools.clone(), base: options.base.clone() };
        let mut command = host.command(&self.home, &tools.patroni);
        command.arg("patroni.yml");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut patroni = command.spawn().during(format!("cannot start {}", tools.patroni.display()))?;
        if let Some(pid) = patroni.id() {
            ledger.record(pid, &format!("patroni {}/{}", self.spot.namespace, self.spot.name))?;
        }
        let path = self.log_path();
        if let Some(out) = patroni.stdout.take() {
            let path = path.clone();
            logs.spawn(async move { log::copy(out, &path).await });
        }
        if let Some(err) = patroni.stderr.take() {
            logs.spawn(async move { log::copy(err, &path).await });
        }
        Ok(patroni)
    }

    fn post(&self) -> kwok::Post<'_> {
        let Context { tools, options, .. } = &self.context;
        let (address, home, sockets) = (&self.address, &self.home, &self.sockets);
        kwok::Post { address, home, sockets, log: self.log_path(), tools, stand_ins: volume::stand_ins(&options.base) }
    }

    /// Beside the member's folder, which only the servers' user can enter.
    fn log_path(&self) -> PathBuf {
        self.home.with_file_name(format!("{}.{}.log", self.spot.namespace, self.spot.name))
    }

    /// The environment of the container `postgres`, with what it takes from the pod and from secrets.
    async fn environment(&self) -> Result<Env> {
        let containers = self.pod["spec"]["containers"].as_array();
        let container = containers.into_iter().flatten().find(|container| container["name"] == "postgres");
        let mut env = Env::new();
        for variable in container.and_then(|container| container["env"].as_array()).into_iter().flatten() {
            let from = &variable["valueFrom"];
            let value = if from["secretKeyRef"].is_object() {
                self.secret(&from["secretKeyRef"]).await?
            } else if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
                self.field(path)
            } else {
                text(variable, &["value"]).to_string()
            };
            env.insert(text(variable, &["name"]).to_string(), value);
        }
        Ok(env)
    }

    fn field(&self, path: &str) -> String {
        match path {
            "status.podIP" => self.address.clone(),
            "metadata.namespace" => self.spot.namespace.clone(),
            "metadata.name" => self.spot.name.clone(),
            _ => String::new(),
        }
    }

    async fn secret(&self, asked: &Value) -> Result<String> {
        let spot = SECRET.at(&self.spot.namespace, text(asked, &["name"]));
        let secret = self.context.store.get(&spot).await?;
        let secret = secret.ok_or_else(|| Error::failed(&spot, "not found, and the pod needs it"))?;
        let coded = text(&secret, &["data", text(asked, &["key"])]).to_string();
        let bytes = base64::engine::general_purpose::STANDARD.decode(coded);
        String::from_utf8(bytes.unwrap_or_default()).map_err(|error| Error::failed(&spot, error))
    }

    /// Writes the pod's status where nobody else does. kwok writes that a pod runs, and never looks at it again.
    async fn write(&self, container: &Container) {
        let status = status::of(&self.pod, &self.address, container, self.restarts, Timestamp::now());
        let done = if self.context.options.network.is_some() {
            self.write_whole(container, &status).await
        } else if self.is_on_kwok && self.restarts > 0 {
            let containers = ["conditions", "containerStatuses"].map(|key| (key.to_string(), status[key].clone()));
            self.context.store.patch_status(&self.spot, &Value::Object(containers.into_iter().collect())).await
        } else {
            return;
        };
        if let Err(error) = done
            && !error.is_status(404)
        {
            tracing::warn!(%error, "the pod's status is not written");
        }
    }

    async fn write_whole(&self, container: &Container, status: &Value) -> Result<Value> {
        let store = &self.context.store;
        if *container == Container::Creating {
            let patch = json!({ "metadata": { "annotations": { LOG_PATH: self.log_path() } } });
            store.patch(&self.spot, &patch).await?;
        }
        store.patch_status(&self.spot, status).await
    }

    /// Says what a kubelet says, where there is none.
    async fn tell(&self, severity: &str, reason: &str, message: &str) {
        if self.context.options.network.is_some() || self.is_on_kwok {
            let word = Word { source: "kubelet", severity, reason, message };
            self.context.store.tell(&self.spot, text(&self.pod, &["metadata", "uid"]), word).await;
        }
    }

    async fn finish(&self, how: &End) {
        self.end_servers().await;
        if *how == End::Gracefully
            && self.context.options.network.is_some()
            && let Err(error) = self.context.store.delete(&self.spot, Some(0)).await
        {
            tracing::warn!(%error, "the pod stays");
        }
    }

    /// Ends whatever of the container is still alive.
    async fn end_servers(&self) {
        let home = self.home.clone();
        let swept = tokio::task::spawn_blocking(move || Ledger::of(&home).sweep()).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(pod = %self.spot, %error, "something of the member is left");
        }
    }
}

/// How a container's life ended.
enum Life {
    Over(i32),
    Ended(End),
}

/// The exit code as a shell tells it: 128 and the signal, if one ended the process.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_forgiven_and_the_wait_doubles_up_to_five_minutes() {
        let waits: Vec<u64> = (1..9).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }
}
