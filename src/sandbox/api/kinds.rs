//! The kinds that this API serves: those that Patroni, the operator's part and pgdeck touch.

/// One kind of object.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "`kind` is what Kubernetes calls it")]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub short: &'static [&'static str],
    pub namespaced: bool,
    /// It has a `status` subresource.
    pub status: bool,
    /// In `kubectl get all`.
    pub in_all: bool,
}

const fn kind(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, short: &[], namespaced: true, status: false, in_all: false }
}

impl Kind {
    const fn short(self, short: &'static [&'static str]) -> Self {
        Kind { short, ..self }
    }

    const fn with_status(self) -> Self {
        Kind { status: true, ..self }
    }

    const fn cluster_wide(self) -> Self {
        Kind { namespaced: false, ..self }
    }

    const fn in_all(self) -> Self {
        Kind { in_all: true, ..self }
    }

    /// `v1` or `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `postgresqls.acid.zalan.do`, as messages name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

const ACID: &str = "acid.zalan.do";

/// All of them. The position in this table identifies a kind within the store.
pub static KINDS: &[Kind] = &[
    kind(ACID, "v1", "postgresql", "postgresqls").short(&["pg"]).with_status().in_all(),
    kind(ACID, "v1", "OperatorConfiguration", "operatorconfigurations").short(&["opconfig"]),
    kind(ACID, "v1", "PostgresTeam", "postgresteams").short(&["pgteam"]),
    kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
        .short(&["crd", "crds"])
        .with_status()
        .cluster_wide(),
    kind("", "v1", "Pod", "pods").short(&["po"]).with_status().in_all(),
    kind("", "v1", "ConfigMap", "configmaps").short(&["cm"]),
    kind("", "v1", "Endpoints", "endpoints").short(&["ep"]),
    kind("", "v1", "Service", "services").short(&["svc"]).with_status().in_all(),
    kind("", "v1", "Secret", "secrets"),
    kind("", "v1", "Event", "events").short(&["ev"]),
    kind("", "v1", "Namespace", "namespaces").short(&["ns"]).with_status().cluster_wide(),
    kind("", "v1", "Node", "nodes").short(&["no"]).with_status().cluster_wide(),
    kind("", "v1", "ServiceAccount", "serviceaccounts").short(&["sa"]),
    kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims").short(&["pvc"]).with_status(),
    kind("", "v1", "PersistentVolume", "persistentvolumes").short(&["pv"]).with_status().cluster_wide(),
    kind("apps", "v1", "StatefulSet", "statefulsets").short(&["sts"]).with_status().in_all(),
    kind("apps", "v1", "Deployment", "deployments").short(&["deploy"]).with_status().in_all(),
    kind("apps", "v1", "ReplicaSet", "replicasets").short(&["rs"]).with_status().in_all(),
    kind("batch", "v1", "CronJob", "cronjobs").short(&["cj"]).with_status().in_all(),
    kind("batch", "v1", "Job", "jobs").with_status().in_all(),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets").short(&["pdb"]).with_status(),
    kind("coordination.k8s.io", "v1", "Lease", "leases"),
];

/// The kind with that path.
pub fn find(group: &str, version: &str, plural: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// Every group with its version, the core group first.
pub fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for kind in KINDS {
        if !groups.contains(&(kind.group, kind.version)) {
            groups.push((kind.group, kind.version));
        }
    }
    groups.push(("authorization.k8s.io", "v1"));
    groups.sort_unstable();
    groups
}
