//! One Kubernetes context: CRs, pods, StatefulSets and Patroni's objects are watched; the rest is looked at on demand.

mod access;
pub mod around;
mod backups;
mod changes;
mod client;
mod collect;
pub mod credential;
pub mod dialect;
mod logs;
mod manifest;
mod orders;
pub mod parts;
pub mod patroni;
pub mod pool;
mod quantity;
mod reach;
mod refusals;
pub mod settings;
pub mod slim;
mod watch;
pub mod zalando;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch as channel};

use super::{Clock, Plane, Sink, backoff};
use crate::fault::Fault;
use crate::fleet::seen::{Seen, Source, SourceState};
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::pg::{self, Reached};
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe};
use crate::work::want::Want;
use client::Server;
use collect::{Around, Collector};
use credential::Choice;
use refusals::Refusals;
use settings::Settings;

/// How one context is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub context: String,
    /// None: the usual places.
    pub kubeconfig: Option<PathBuf>,
    /// Empty for all.
    pub namespaces: Vec<String>,
    /// Pods are reached at their own addresses instead of through the API server.
    pub direct: bool,
    /// The role whose secret is used to look; none for the operator's superuser.
    pub role: Option<String>,
}

/// One context.
#[derive(Clone)]
pub struct Kubernetes {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    plane: PlaneId,
    clock: Clock,
    /// Logs in when first asked; its owner's task is started then.
    server: tokio::sync::OnceCell<Server>,
    settings: channel::Sender<Option<Settings>>,
    /// Where streams that look around clusters tell; the collector holds the other end while it runs.
    around: channel::Sender<Option<mpsc::UnboundedSender<Around>>>,
    refusals: channel::Sender<Refusals>,
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kubernetes({})", self.shared.options.context)
    }
}

impl Kubernetes {
    /// Nothing is asked of the API server before something is wanted.
    pub fn new(options: Options, clock: Clock) -> Self {
        let plane = PlaneId::Kubernetes(options.context.as_str().into());
        let (settings, around) = (channel::Sender::new(None), channel::Sender::new(None));
        let (server, refusals) = (tokio::sync::OnceCell::new(), channel::Sender::new(Refusals::default()));
        Kubernetes { shared: Arc::new(Shared { options, plane, clock, server, settings, around, refusals }) }
    }

    async fn server(&self) -> Server {
        let make = || async {
            let shared = &self.shared;
            let choice =
                Choice { kubeconfig: shared.options.kubeconfig.clone(), context: shared.options.context.clone() };
            let (server, keeper) = Server::new(choice, shared.clock.clone());
            tokio::spawn(keeper);
            server
        };
        self.shared.server.get_or_init(make).await.clone()
    }

    /// The settings that the fleet's stream has read, else read now.
    async fn settings(&self) -> Result<Settings, Fault> {
        let known = self.shared.settings.borrow().clone();
        match known {
            Some(settings) => Ok(settings),
            None => collect::settings(&self.server().await).await.map(|(settings, _)| settings),
        }
    }

    fn tell(&self, sink: &Sink, source: Source, state: SourceState) {
        sink.send(Seen::Source { source, state, at: (self.shared.clock)() });
    }

    async fn watch_fleet(self, sink: Sink) {
        let plane = || Source::Plane { plane: self.shared.plane.clone() };
        self.tell(&sink, plane(), SourceState::Connecting);
        let server = self.server().await;
        let mut attempt = 0;
        let (settings, missing) = loop {
            match collect::settings(&server).await {
                Ok(read) => break read,
                Err(why) => {
                    self.tell(&sink, plane(), SourceState::Lost { why });
                    let spread = backoff::spread(&self.shared.options.context, (self.shared.clock)().as_nanosecond());
                    tokio::time::sleep(backoff::wait(attempt, spread)).await;
                    attempt += 1;
                }
            }
        };
        if let Some(why) = missing {
            let kind = Text::from("operator's configuration");
            let source = Source::Kind { plane: self.shared.plane.clone(), kind, namespace: None };
            self.tell(&sink, source, SourceState::Limited { why });
        }
        let (tell, around) = mpsc::unbounded_channel();
        self.shared.around.send_replace(Some(tell));
        let collector = Collector {
            plane: self.shared.plane.clone(),
            server,
            namespaces: self.shared.options.namespaces.clone(),
            settings,
            sink,
            clock: self.shared.clock.clone(),
            around,
        };
        collector.run(self.shared.settings.clone()).await;
    }

    async fn look_around(self, id: ClusterId, sink: Sink) {
        /// Takes the surroundings back when the view closes.
        struct Leave(channel::Receiver<Option<mpsc::UnboundedSender<Around>>>, ClusterId);
        impl Drop for Leave {
            fn drop(&mut self) {
                if let Some(tell) = &*self.0.borrow() {
                    // The collector may have ended first.
                    let _ = tell.send((self.1.clone(), None));
                }
            }
        }
        let server = self.server().await;
        let leave = Leave(self.shared.around.subscribe(), id);
        loop {
            if let Ok(settings) = self.settings().await {
                let around = around::look(&server, &settings, &leave.1, &sink).await;
                if let Some(tell) = &*leave.0.borrow() {
                    let _ = tell.send((leave.1.clone(), Some(Box::new(around))));
                }
            }
            tokio::time::sleep(around::EVERY).await;
        }
    }

    async fn follow(self, instance: InstanceId, container: Text, sink: Sink) {
        let server = self.server().await;
        logs::follow(server, instance, container, sink, self.shared.clock.clone()).await;
    }

    async fn keep_manifest(self, cluster: ClusterId, object: Text, sink: Sink) {
        let server = self.server().await;
        manifest::keep(server, cluster, object, sink, self.shared.clock.clone()).await;
    }

    async fn find(self, instance: InstanceId) -> Result<Reached, Fault> {
        let shared = &self.shared;
        let standing = shared.refusals.borrow().standing(&instance, (shared.clock)());
        if let Some(refused) = standing {
            return Err(refused);
        }
        let settings = self.settings().await?;
        let reached = reach::reach(&self.server().await, &settings, &shared.options, &instance).await;
        if let Err(fault) = &reached {
            shared.refusals.send_modify(|refusals| refusals.note(&instance, fault, (shared.clock)()));
        }
        reached
    }

    /// The member by its name, where whoever leads is meant.
    async fn named(&self, instance: InstanceId) -> Result<InstanceId, Fault> {
        if !instance.is_whoever_leads() {
            return Ok(instance);
        }
        changes::leader(&self.server().await, &self.settings().await?, &instance.cluster).await
    }

    async fn answer(self, probe: Probe) -> Result<Answer, Fault> {
        let server = self.server().await;
        match probe {
            Probe::Versions(_) => access::versions(&server).await.map(Answer::Versions),
            Probe::Rights { namespace, .. } => {
                let named = self.shared.options.namespaces.first().map(|namespace| Text::from(namespace.as_str()));
                let namespace = namespace.or(named);
                Ok(Answer::Rights(access::rights(&server, namespace.as_deref()).await))
            }
            Probe::Reach(instance) => {
                let instance = self.named(instance).await?;
                pg::probe::reach(self.find(instance).await?).await
            }
            Probe::Identity(instance) => orders::uid(&server, &instance.cluster).await.map(Answer::Identity),
            Probe::Objects(cluster) => {
                let (settings, now) = (self.settings().await?, (self.shared.clock)());
                let read = orders::objects(&server, &self.shared.plane, &settings, &cluster, now).await;
                read.map(|objects| Answer::Objects(Box::new(objects)))
            }
            Probe::Backups(cluster) => {
                let read = backups::backups(&server, &self.settings().await?, &cluster).await;
                read.map(|backups| Answer::Backups(Box::new(backups)))
            }
            Probe::Budgets(cluster) => {
                around::budgets(&server, &self.settings().await?, &cluster).await.map(Answer::Budgets)
            }
            Probe::BaseBackups(instance) => {
                let said = changes::exec(&server, &self.named(instance).await?, &backups::list_command()).await?;
                backups::listed(&said).map(Answer::BaseBackups)
            }
            Probe::Remains(cluster) => {
                backups::remains(&server, &self.settings().await?, &cluster).await.map(Answer::Remains)
            }
            Probe::Patroni(instance) => {
                let instance = self.named(instance).await?;
                let view = orders::view(&server, &self.shared.options, &instance).await;
                view.map(|view| Answer::Patroni(Box::new(view)))
            }
            Probe::Sample { instance, surveys } => {
                let instance = self.named(instance).await?;
                pg::probe::sample(self.find(instance).await?, &surveys).await
            }
            Probe::May { cluster, access } => access::may(&server, &access, &cluster.namespace).await.map(Answer::May),
        }
    }

    async fn act(self, order: Order, dry: bool) -> Result<String, Fault> {
        let server = self.server().await;
        match order {
            Order::Patch { cluster, uid, version, patch } => {
                orders::patch(&server, &cluster, (&uid, &version), &patch, dry).await
            }
            Order::Amend { cluster, object, uid, patch } => {
                changes::amend(&server, &cluster, &object, &uid, &patch, dry).await
            }
            Order::Create { cluster, object, body } => changes::create(&server, &cluster, &object, &body, dry).await,
            Order::Delete { cluster, uid, version } => changes::delete(&server, &cluster, (&uid, &version), dry).await,
            Order::Remove { cluster, object, uid } => changes::remove(&server, &cluster, &object, &uid, dry).await,
            Order::Shell { .. } => Err(Fault::Unsupported { what: order.title(), why: "no terminal is here".into() }),
            Order::Patroni { .. } | Order::Sql { .. } | Order::Exec { .. } if dry => Err(Fault::Unsupported {
                what: "a trial of this order".into(),
                why: "only changes of Kubernetes objects can be tried".into(),
            }),
            Order::Patroni { instance, method, path, body } => {
                let instance = self.named(instance).await?;
                orders::call(&server, &self.shared.options, &instance, method.word(), &path, &body).await
            }
            Order::Sql { instance, statement } => {
                let instance = self.named(instance).await?;
                pg::order::carry_out(self.find(instance).await?, &statement).await
            }
            Order::Exec { instance, command } => {
                changes::exec(&server, &self.named(instance).await?, &command).await.map(|said| last_line(&said))
            }
        }
    }
}

impl Plane for Kubernetes {
    fn id(&self) -> PlaneId {
        self.shared.plane.clone()
    }

    fn stream(&self, want: Want, sink: Sink) -> BoxFuture<'static, ()> {
        let this = self.clone();
        match want {
            Want::Fleet => this.watch_fleet(sink).boxed(),
            Want::Surroundings(cluster) => this.look_around(cluster, sink).boxed(),
            // Sampled by the runtime, over `reach`.
            Want::Survey { .. } => futures::future::pending().boxed(),
            Want::Logs { instance, container } => this.follow(instance, container, sink).boxed(),
            Want::Manifest { cluster, object } => this.keep_manifest(cluster, object, sink).boxed(),
        }
    }

    fn reach(&self, instance: InstanceId) -> BoxFuture<'static, Result<Reached, Fault>> {
        let this = self.clone();
        async move { this.clone().find(this.named(instance).await?).await }.boxed()
    }

    fn probe(&self, probe: Probe) -> BoxFuture<'static, Result<Answer, Fault>> {
        self.clone().answer(probe).boxed()
    }

    fn carry_out(&self, order: Order, dry: bool) -> BoxFuture<'static, Result<String, Fault>> {
        self.clone().act(order, dry).boxed()
    }
}

/// What a command said last.
fn last_line(said: &str) -> String {
    said.trim().lines().next_back().unwrap_or_default().to_owned()
}

/// Contexts that a kubeconfig offers.
pub fn contexts(kubeconfig: Option<&PathBuf>) -> Result<(Vec<String>, Option<String>), Fault> {
    credential::read(kubeconfig).map(|read| credential::contexts(&read))
}
