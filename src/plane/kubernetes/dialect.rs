//! How one operator writes clusters into Kubernetes: where its resources are, which objects belong to a cluster, and how they
//! read. One row in [`DIALECTS`] for each.

use std::fmt;

use super::pool::Pool;
use super::settings::Settings;
use super::slim;
use super::watch::encode;
use super::zalando;
use crate::fleet::cluster::{Member, Unreadable, Workload};
use crate::id::{ClusterId, PlaneId};

/// An operator's way. All of it is pure.
pub trait Dialect: fmt::Debug + Sync {
    /// Where the API has its resources: `/apis/GROUP/VERSION`.
    fn root(&self) -> &'static str;

    /// The plural of its cluster resource.
    fn plural(&self) -> &'static str;

    /// The cluster that an object's labels name.
    fn cluster_of(&self, meta: &slim::Meta, settings: &Settings, plane: &PlaneId) -> Option<ClusterId>;

    /// Reads a cluster resource leniently: what cannot be read is named, the rest counts.
    fn resource(&self, object: &slim::Resource, pool: &mut Pool) -> zalando::Resource;

    /// Reads a pod, if it is a member and not a pooler.
    fn member(&self, object: &slim::Pod, settings: &Settings, pool: &mut Pool) -> Option<(Member, Option<Unreadable>)>;

    /// Reads the StatefulSet.
    fn workload(&self, object: &slim::StatefulSet, pool: &mut Pool) -> Workload;

    /// Where a cluster's resource is.
    fn path(&self, id: &ClusterId) -> String {
        format!("{}/namespaces/{}/{}/{}", self.root(), encode(&id.namespace), self.plural(), encode(&id.name))
    }
}

/// All operators that pgdeck knows; the first is the usual one, and the only one yet.
pub static DIALECTS: &[&dyn Dialect] = &[&Zalando];

/// The dialect that contexts are read in.
pub fn usual() -> &'static dyn Dialect {
    DIALECTS[0]
}

/// Zalando's postgres-operator.
#[derive(Debug)]
struct Zalando;

impl Dialect for Zalando {
    fn root(&self) -> &'static str {
        "/apis/acid.zalan.do/v1"
    }

    fn plural(&self) -> &'static str {
        "postgresqls"
    }

    fn cluster_of(&self, meta: &slim::Meta, settings: &Settings, plane: &PlaneId) -> Option<ClusterId> {
        zalando::cluster_of(meta, settings, plane)
    }

    fn resource(&self, object: &slim::Resource, pool: &mut Pool) -> zalando::Resource {
        zalando::resource(object, pool)
    }

    fn member(&self, object: &slim::Pod, settings: &Settings, pool: &mut Pool) -> Option<(Member, Option<Unreadable>)> {
        zalando::member(object, settings, pool)
    }

    fn workload(&self, object: &slim::StatefulSet, pool: &mut Pool) -> Workload {
        zalando::workload(object, pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_says_where_its_clusters_are() {
        for dialect in DIALECTS {
            assert!(dialect.root().starts_with("/apis/") && !dialect.plural().is_empty());
        }
        let id = ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() };
        assert_eq!(usual().path(&id), "/apis/acid.zalan.do/v1/namespaces/d/postgresqls/shop");
    }
}
