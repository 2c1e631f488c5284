//! Standing wishes: keep telling me. Samples may be lost or merged; gaps are recorded.

use std::time::Duration;

use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::metric::SurveyId;

/// A stream that the screen needs now. The set of wants is derived from the model; the runtime opens and closes to match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// Clusters, pods and Patroni's objects of every plane.
    Fleet,
    /// What stands around one cluster: services, volumes, budgets, backups, pod events.
    Surroundings(ClusterId),
    /// One survey of one instance.
    Survey { instance: InstanceId, survey: SurveyId, every: Duration },
    /// The log of one container, followed across restarts.
    Logs { instance: InstanceId, container: Text },
    /// One object as YAML, read again when it changes. `object` is `postgresql` or `pod/NAME`.
    Manifest { cluster: ClusterId, object: Text },
}

impl Want {
    /// The instance whose SQL connection this wish shares, if it needs one.
    pub fn sampled(&self) -> Option<&InstanceId> {
        match self {
            Want::Survey { instance, .. } => Some(instance),
            Want::Fleet | Want::Surroundings(_) | Want::Logs { .. } | Want::Manifest { .. } => None,
        }
    }

    /// The plane that serves this wish; all of them, if none.
    pub fn plane(&self) -> Option<&PlaneId> {
        match self {
            Want::Fleet => None,
            Want::Surroundings(cluster) | Want::Manifest { cluster, .. } => Some(&cluster.plane),
            Want::Survey { instance, .. } | Want::Logs { instance, .. } => Some(&instance.cluster.plane),
        }
    }
}
