//! Names of things: planes, clusters, instances, databases. Cheap to clone, ordered, hashable.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A string shared by many rows.
pub type Text = Arc<str>;

/// Where a cluster is operated from: one Kubernetes context, or the plain hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "plane", content = "context", rename_all = "snake_case")]
pub enum PlaneId {
    /// A context of the kubeconfig, by name.
    Kubernetes(Text),
    /// Plain Postgres hosts from a file, a DSN or the environment.
    Hosts,
}

impl PlaneId {
    /// The context's name; `hosts` for plain hosts.
    pub fn context(&self) -> &str {
        match self {
            PlaneId::Kubernetes(context) => context,
            PlaneId::Hosts => "hosts",
        }
    }

    /// The plane's kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            PlaneId::Kubernetes(_) => "kubernetes",
            PlaneId::Hosts => "hosts",
        }
    }
}

impl fmt::Display for PlaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.context())
    }
}

/// One cluster: a postgresql CR (or its orphaned pods), or a group of plain hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId {
    #[serde(flatten)]
    pub plane: PlaneId,
    /// The Kubernetes namespace; empty for plain hosts.
    pub namespace: Text,
    pub name: Text,
}

impl fmt::Display for ClusterId {
    /// `context//namespace/cluster`, or `hosts:cluster`: the same form that the command line takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.plane {
            PlaneId::Kubernetes(context) => write!(f, "{context}//{}/{}", self.namespace, self.name),
            PlaneId::Hosts => write!(f, "hosts:{}", self.name),
        }
    }
}

/// One Postgres server of a cluster: a pod, or a `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    #[serde(flatten)]
    pub cluster: ClusterId,
    /// The pod's name, or `host:port`.
    pub member: Text,
}

/// Stands for a member's name: no member can be called so.
const WHOEVER_LEADS: &str = "@primary";

impl InstanceId {
    /// The member that leads when it is asked, whichever that is by then.
    pub fn whoever_leads(cluster: &ClusterId) -> Self {
        InstanceId { cluster: cluster.clone(), member: WHOEVER_LEADS.into() }
    }

    /// Whether it is no member by name, but the one that leads then.
    pub fn is_whoever_leads(&self) -> bool {
        &*self.member == WHOEVER_LEADS
    }

    /// The member, in sentences.
    pub fn shown(&self) -> &str {
        if self.is_whoever_leads() { "whichever member leads then" } else { &self.member }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.member)
    }
}

/// The name of a database within an instance.
pub type DbName = Text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_they_are_written() {
        for plane in [PlaneId::Kubernetes("prod".into()), PlaneId::Hosts] {
            let cluster = ClusterId { plane, namespace: "n".into(), name: "c".into() };
            let instance = InstanceId { cluster, member: "m".into() };
            let text = serde_json::to_string(&instance).unwrap();
            assert_eq!(serde_json::from_str::<InstanceId>(&text).unwrap(), instance, "{text}");
        }
    }
}
