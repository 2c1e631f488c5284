//! The clusters that a sandbox starts with.

use serde_json::{Value, json};

/// Which clusters a sandbox starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fleet {
    /// Three clusters, and an old production on plain hosts.
    #[default]
    Default,
    /// One cluster of two members.
    Small,
    /// The API alone.
    None,
}

impl Fleet {
    pub fn word(self) -> &'static str {
        match self {
            Fleet::Default => "default",
            Fleet::Small => "small",
            Fleet::None => "none",
        }
    }

    pub fn manifests(self) -> Vec<Value> {
        match self {
            Fleet::Default => vec![shop(3), billing(), staging()],
            Fleet::Small => vec![shop(2)],
            Fleet::None => Vec::new(),
        }
    }

    pub fn has_hosts(self) -> bool {
        self == Fleet::Default
    }
}

/// A cluster that is written to: where, as whom, and in which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    pub namespace: &'static str,
    pub cluster: &'static str,
    pub user: &'static str,
    pub database: &'static str,
    pub table: &'static str,
}

pub const SHOP: Workload =
    Workload { namespace: "production", cluster: "acid-shop", user: "shop", database: "shop", table: "orders" };
pub const BILLING: Workload = Workload {
    namespace: "production",
    cluster: "acid-billing",
    user: "billing",
    database: "billing",
    table: "ledger",
};

impl Fleet {
    /// The clusters with a workload.
    pub fn workloads(self) -> &'static [Workload] {
        match self {
            Fleet::Default => &[SHOP, BILLING],
            Fleet::Small => &[SHOP],
            Fleet::None => &[],
        }
    }

    /// Whether `BILLING`'s changes flow into `SHOP`'s database by logical replication.
    pub fn has_feed(self) -> bool {
        self == Fleet::Default
    }
}

/// What runs the shop: three members, one of them synchronous, dumped every night.
fn shop(instances: u32) -> Value {
    json!({
        "metadata": { "name": SHOP.cluster, "namespace": SHOP.namespace, "labels": { "team": "acid" } },
        "spec": {
            "teamId": "acid",
            "numberOfInstances": instances,
            "postgresql": { "version": "15", "parameters": { "work_mem": "8MB" } },
            "volume": { "size": "10Gi" },
            "resources": {
                "requests": { "cpu": "500m", "memory": "1Gi" }, "limits": { "cpu": "2", "memory": "1Gi" },
            },
            "patroni": { "synchronous_mode": instances > 2 },
            "users": { "shop": ["createdb"] },
            "databases": { "shop": "shop" },
            "enableLogicalBackup": true,
        },
    })
}

/// Two members, and a declared slot that another cluster reads the ledger from.
fn billing() -> Value {
    json!({
        "metadata": { "name": BILLING.cluster, "namespace": BILLING.namespace, "labels": { "team": "acid" } },
        "spec": {
            "teamId": "acid",
            "numberOfInstances": 2,
            "postgresql": { "version": "15" },
            "volume": { "size": "5Gi" },
            "patroni": { "slots": { "cdc": { "type": "logical", "database": "billing", "plugin": "pgoutput" } } },
            "users": { "billing": [], "cdc": ["replication"] },
            "databases": { "billing": "billing" },
        },
    })
}

/// One member that nobody would miss, archived all the same: the operator's bucket holds for every cluster.
fn staging() -> Value {
    json!({
        "metadata": { "name": "acid-staging", "namespace": "staging", "labels": { "team": "acid" } },
        "spec": {
            "teamId": "acid",
            "numberOfInstances": 1,
            "postgresql": { "version": "15" },
            "volume": { "size": "1Gi" },
            "users": { "shop": ["createdb"] },
            "databases": { "shop": "shop" },
            "enableLogicalBackup": true,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_its_cluster_user_and_database() {
        for fleet in [Fleet::Default, Fleet::Small, Fleet::None] {
            for workload in fleet.workloads() {
                let manifests = fleet.manifests();
                let found = manifests.iter().find(|manifest| manifest["metadata"]["name"] == workload.cluster).unwrap();
                assert!(found["spec"]["users"][workload.user].is_array());
                assert_eq!(found["spec"]["databases"][workload.database], workload.user);
            }
        }
    }
}
