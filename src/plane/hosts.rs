//! Plain Postgres hosts: what no Kubernetes tells of. Everything about them comes from SQL.

pub mod file;
mod pgpass;
pub mod settings;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Clock, Plane, Sink};
use crate::fault::Fault;
use crate::fleet::cluster::{Cluster, Member, Origin, Role};
use crate::fleet::seen::{Seen, Source, SourceState};
use crate::id::{ClusterId, InstanceId, PlaneId};
use crate::pg::{self, Reached, Stream};
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe, Versions};
use crate::work::want::Want;
use settings::{Endpoint, Environment, Group};

/// All plain hosts.
#[derive(Clone)]
pub struct Hosts {
    groups: Arc<Vec<Group>>,
    environment: Arc<Environment>,
    clock: Clock,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosts({} clusters)", self.groups.len())
    }
}

impl Hosts {
    /// Nothing is asked of any host before something is wanted.
    pub fn new(groups: Vec<Group>, environment: Environment, clock: Clock) -> Self {
        Hosts { groups: Arc::new(groups), environment: Arc::new(environment), clock }
    }

    fn tell(&self, sink: &Sink) {
        let at = (self.clock)();
        let clusters: BTreeSet<ClusterId> = self.groups.iter().map(id).collect();
        for group in self.groups.iter() {
            sink.send(Seen::Cluster { cluster: Box::new(cluster(group)), at });
        }
        sink.send(Seen::Census { plane: PlaneId::Hosts, clusters, at });
        // The file has been read: that source is as live as it can be. Each host's SQL is a source of its own.
        let state = SourceState::Live { polled: false };
        sink.send(Seen::Source { source: Source::Plane { plane: PlaneId::Hosts }, state, at });
    }

    fn find(&self, instance: &InstanceId) -> Result<Reached, Fault> {
        let gone = || Fault::Gone { what: instance.to_string() };
        let group = self.groups.iter().find(|group| *group.name == *instance.cluster.name).ok_or_else(gone)?;
        let endpoint = Endpoint::parse(&instance.member).map_err(|_why| gone())?;
        Ok(Reached {
            what: instance.to_string().into(),
            stream: Stream::Tcp { host: endpoint.host.clone(), port: endpoint.port },
            server_name: endpoint.host.clone(),
            tls: self.environment.tls(group)?,
            login: self.environment.login(group, &endpoint)?,
        })
    }
}

fn id(group: &Group) -> ClusterId {
    ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: group.name.as_str().into() }
}

fn cluster(group: &Group) -> Cluster {
    let mut cluster = Cluster::named(id(group), Origin::Hosts);
    cluster.members = group
        .hosts
        .iter()
        .map(|endpoint| {
            Arc::new(Member {
                name: endpoint.to_string().into(),
                uid: None,
                pod: None,
                patroni: None,
                label_role: Role::Unknown,
                address: Some(endpoint.to_string().into()),
            })
        })
        .collect();
    cluster
}

fn no_patroni(what: &str) -> Fault {
    Fault::Unsupported { what: what.into(), why: "plain hosts are operated by SQL alone".into() }
}

impl Plane for Hosts {
    fn id(&self) -> PlaneId {
        PlaneId::Hosts
    }

    fn stream(&self, want: Want, sink: Sink) -> BoxFuture<'static, ()> {
        if matches!(want, Want::Fleet) {
            self.tell(&sink);
        }
        // Nothing else is told here: samples come over `reach`, and hosts have no logs or manifests.
        futures::future::pending().boxed()
    }

    fn reach(&self, instance: InstanceId) -> BoxFuture<'static, Result<Reached, Fault>> {
        let this = self.clone();
        // The password file and certificates are read anew each time: they may have been corrected.
        async move {
            let found = tokio::task::spawn_blocking(move || this.find(&instance)).await;
            found.unwrap_or(Err(Fault::Cancelled))
        }
        .boxed()
    }

    fn probe(&self, probe: Probe) -> BoxFuture<'static, Result<Answer, Fault>> {
        let (this, what) = (self.clone(), probe.what());
        async move {
            match probe {
                Probe::Versions(_) => Ok(Answer::Versions(Versions::default())),
                Probe::Rights { .. } => Ok(Answer::Rights(Vec::new())),
                Probe::Reach(instance) => pg::probe::reach(this.reach(instance).await?).await,
                Probe::Identity(instance) => pg::probe::identity(this.reach(instance).await?).await,
                Probe::Sample { instance, surveys } => pg::probe::sample(this.reach(instance).await?, &surveys).await,
                // Whoever may log in is limited by the server alone.
                Probe::May { .. } => Ok(Answer::May(true)),
                Probe::Objects(_)
                | Probe::Patroni(_)
                | Probe::Backups(_)
                | Probe::Budgets(_)
                | Probe::Remains(_)
                | Probe::BaseBackups(_) => Err(no_patroni(&what)),
            }
        }
        .boxed()
    }

    fn listed(&self) -> Option<Vec<ClusterId>> {
        Some(self.groups.iter().map(id).collect())
    }

    fn protected(&self) -> Vec<String> {
        self.groups.iter().filter(|group| group.protected).map(|group| group.name.clone()).collect()
    }

    fn carry_out(&self, order: Order, dry: bool) -> BoxFuture<'static, Result<String, Fault>> {
        let this = self.clone();
        async move {
            match order {
                Order::Sql { instance, statement } if !dry => {
                    pg::order::carry_out(this.reach(instance).await?, &statement).await
                }
                order => Err(no_patroni(&order.title())),
            }
        }
        .boxed()
    }
}
