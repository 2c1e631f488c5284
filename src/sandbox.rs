//! A small real fleet on this machine: real Postgres and Patroni behind a small Kubernetes API.
//!
//! ```text
//!   supervisor (one process)                                children, as an unprivileged user
//!   ╭───────────────────────────────────────────────╮
//!   │ api ◀── operator: manifest → objects          │
//!   │  ▲ ◀─── node: pod → ──────────────────────────┼──▶ patroni ─▶ postgres   127.77.N.1 …
//!   │  │      hosts ────────────────────────────────┼──▶ postgres, postgres    127.77.N.201, .202
//!   │  ╰───── traffic: SQL over TLS to all of them  │
//!   ╰───────────────────────────────────────────────╯
//!     127.77.N.254:6443    /var/tmp/pgdeck-sandbox-UID/NAME
//! ```
//!
//! Whatever ends the supervisor, the children are told to end; what survives even that is ended by the next `up`.

pub mod api;
pub mod command;
pub mod crowd;
pub mod error;
pub mod fleet;
pub mod hosts;
pub mod node;
pub mod objects;
pub mod operator;
pub mod process;
pub mod registry;
pub mod sql;
pub mod status;
pub mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::sandbox::api::{Api, ApiOptions, User};
use crate::sandbox::crowd::Regime;
pub use crate::sandbox::error::{Error, Result};
use crate::sandbox::fleet::Fleet;
use crate::sandbox::hosts::Hosts;
use crate::sandbox::objects::{NAMESPACE, POSTGRESQL, Store};
use crate::sandbox::process::Toolbox;
use crate::sandbox::registry::{API_HOST, API_PORT, Claim, Place, network};
use crate::sandbox::traffic::{Desk, Feed, Target};

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sandboxes with different names stand side by side.
    pub name: String,
    pub fleet: Fleet,
    /// Made-up clusters beside the real ones.
    pub crowd: u32,
    pub regime: Regime,
}

impl Default for Options {
    fn default() -> Options {
        Options { name: "demo".into(), fleet: Fleet::Default, crowd: 0, regime: Regime::Heartbeat }
    }
}

/// A running sandbox; dropped without being stopped, it ends all the same.
#[derive(Debug)]
pub struct Sandbox {
    claim: Claim,
    api: Option<Api>,
    store: Store,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts a sandbox: returns when its API answers, while the fleet comes up.
    pub async fn start(options: Options) -> Result<Sandbox> {
        let claim = Place::new(&options.name)?.claim(options.fleet.word(), options.crowd)?;
        let place = claim.place.clone();
        let started = Sandbox::start_at(claim, &options).await;
        if started.is_err()
            && let Err(error) = place.erase()
        {
            tracing::error!(%error, "the sandbox that did not start is not erased");
        }
        started
    }

    async fn start_at(claim: Claim, options: &Options) -> Result<Sandbox> {
        let tools = Toolbox::find()?;
        let place = claim.place.clone();
        let listen = std::net::SocketAddr::from((network(claim.record.network).host(API_HOST), API_PORT));
        let api = Api::start(ApiOptions { listen, folder: place.folder() }).await;
        let api = api.map_err(|error| Error::failed("the API does not start", error))?;
        api.exec_on(node::Host { tools: tools.clone(), base: place.folder() });
        write_private(&place.kubeconfig(), &api.kubeconfig(User::Admin, &options.name))?;
        write_private(&place.folder().join("kubeconfig-view"), &api.kubeconfig(User::View, &options.name))?;
        let (client, context) = command::client(&place.kubeconfig()).await?;
        let store = Store::new(client, "postgres-operator");
        operator::install(&store).await?;
        let (stop, stopped) = watch::channel(false);
        let mut sandbox = Sandbox { claim, api: Some(api), store, stop, tasks: JoinSet::new() };
        sandbox.run_fleet(options, &tools, context, stopped).await?;
        claim_ready(&mut sandbox.claim)?;
        sandbox.run_crowd(options);
        Ok(sandbox)
    }

    async fn run_fleet(
        &mut self,
        options: &Options,
        tools: &Toolbox,
        context: String,
        stopped: watch::Receiver<bool>,
    ) -> Result<()> {
        let place = self.claim.place.clone();
        let network = network(self.claim.record.network);
        let node = node::Options {
            kubeconfig: place.kubeconfig(),
            context,
            base: place.folder(),
            labels: format!("application=spilo,{}", node::NOT_CROWD),
            network: Some(network),
            names: None,
        };
        let kubelet = Store::new(self.store.client.clone(), "kubelet");
        let running = node::run(kubelet, tools.clone(), node, stopped);
        self.tasks.spawn(async move { note("the node", running.await) });
        self.tasks.spawn(operator::run(self.store.clone()));
        for manifest in options.fleet.manifests() {
            let namespace = json!({ "metadata": { "name": manifest["metadata"]["namespace"] } });
            self.store.create(NAMESPACE, namespace).await?;
            self.store.create(POSTGRESQL, manifest).await?;
        }
        let mut targets: Vec<Target> = Vec::new();
        if options.fleet.has_hosts() {
            let hosts = Hosts::new(tools.clone(), &place.folder(), network, operator::password()?);
            write_private(&place.hosts(), &hosts.file())?;
            write_private(&place.pgpass(), &hosts.pgpass())?;
            targets.push(hosts.target());
            self.tasks.spawn(async move { note("oldprod", hosts.start().await) });
        }
        let workloads = options.fleet.workloads().iter();
        targets.extend(workloads.map(|workload| Target::Cluster { store: self.store.clone(), workload: *workload }));
        self.tasks.spawn(traffic::run(targets, Desk::of(&place.folder())));
        if options.fleet.has_feed() {
            let feed = Feed {
                store: self.store.clone(),
                tools: tools.clone(),
                source: fleet::BILLING,
                target: fleet::SHOP,
                passfile: place.folder().join("feed.pgpass"),
            };
            self.tasks.spawn(feed.set_up());
        }
        Ok(())
    }

    fn run_crowd(&mut self, options: &Options) {
        let (store, n, regime) = (self.store.clone(), options.crowd, options.regime);
        let (place, mut record) = (self.claim.place.clone(), self.claim.record.clone());
        if n > 0 {
            self.tasks.spawn(async move {
                note("the crowd", crowd::make(&store, n, regime).await);
                record.crowd = n;
                note("the crowd's record", place.write(&record));
                crowd::live(store, n, regime).await;
            });
        }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.claim.place.kubeconfig()
    }

    /// The file of the plain hosts; it exists if the fleet has any.
    pub fn hosts(&self) -> PathBuf {
        self.claim.place.hosts()
    }

    pub fn folder(&self) -> PathBuf {
        self.claim.place.folder()
    }

    pub async fn status(&self) -> Result<status::Status> {
        status::look(&self.claim.place, Some(&self.store)).await
    }

    /// Waits until every member runs or streams, every workload writes, and the whole crowd is there.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.status().await?;
            if status.is_ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::failed("the fleet is not ready in time", status));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends everything; when it returns, no process, address or folder of the sandbox exists any more.
    pub async fn stop(mut self) -> Result<()> {
        tracing::info!("ending");
        self.stop.send_replace(true);
        self.tasks.shutdown().await;
        tracing::info!("no task runs any more");
        if let Some(api) = self.api.take() {
            api.stop().await;
        }
        tracing::info!("the API is silent");
        let place = self.claim.place.clone();
        let erased = tokio::task::spawn_blocking(move || place.erase()).await;
        erased.map_err(|error| Error::failed("the sandbox is not erased", error))?
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Or the node would start again what is ended here.
        self.tasks.abort_all();
        if let Err(error) = self.claim.place.erase() {
            tracing::error!(%error, "the sandbox is not erased");
        }
    }
}

fn claim_ready(claim: &mut Claim) -> Result<()> {
    claim.record.is_ready = true;
    claim.place.write(&claim.record)
}

fn note(who: &str, ended: Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "{who} failed");
    }
}

/// Writes a file that only we can read.
fn write_private(path: &std::path::Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use crate::sandbox::error::During as _;

    let what = format!("cannot write {}", path.display());
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.during(&*what)?.write_all(content.as_bytes()).during(what)
}
