//! The end of what an operator has left behind. Seen with 1.15.1: a CR that goes while its worker is at work leaves it a cluster
//! without a name; it deletes the StatefulSet, looks for pods of no cluster, and never comes back to those that are there.

use super::answers::remains;
use super::{allowed, may};
use crate::id::Text;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Kind, Object, Order};
use crate::work::probe::{Left, Probe};

/// A pod may take this long to go: the grace that the operator gives it by default, and a bit.
const GRACE_S: u32 = 330;

/// What is asked of a cluster that has no CR.
pub(super) fn ask(aim: &Aim) -> Vec<Probe> {
    vec![Probe::Remains(aim.cluster.clone()), may(&aim.cluster, "delete", "", "pods")]
}

/// Whether it was asked.
pub(super) fn is_asked(looked: &[Looked]) -> bool {
    looked.iter().any(|(probe, _)| matches!(probe, Probe::Remains(_)))
}

/// The pods that nobody has asked to go, one after the other.
pub(super) fn consider(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let left = remains(looked)?;
    let of = |kind: &'static str, leaving: bool| -> Vec<&Left> {
        left.iter().filter(|left| left.kind == kind && left.leaving == leaving).collect()
    };
    let any = |kind: &str| left.iter().any(|left| left.kind == kind);
    if any("postgresql") {
        return Err("its CR is there again: aim again".into());
    }
    if any("statefulsets") {
        return Err("its StatefulSet is still there, and would make each pod anew: its operator is at it, or it was orphaned; wait, \
                    create its CR again, or delete the StatefulSet by hand"
            .into());
    }
    let pods = of("pods", false);
    if pods.is_empty() {
        return Err(if any("pods") { "its pods are on their way out already" } else { "no pod of it is left" }.into());
    }
    let names = |of: &[&Left]| of.iter().map(|left| &*left.name).collect::<Vec<_>>().join(", ");
    lights.push(Light::amber(format!("without a CR and a StatefulSet nobody else ends them: pods {}", names(&pods))));
    lights.push(Light::amber("whoever still uses one of them is cut off for good"));
    for (leaving, becomes) in [(true, "go with their pods, and their data"), (false, "stay")] {
        let volumes = of("persistentvolumeclaims", leaving);
        let text = format!("volumes that {becomes}: {}", names(&volumes));
        lights.extend((!volumes.is_empty()).then(|| if leaving { Light::amber(text) } else { Light::green(text) }));
    }
    lights.push(Light::amber("objects that Patroni has written since stay: ConfigMaps or Endpoints of its name"));
    Ok(Deal {
        lights,
        steps: pods.iter().enumerate().map(|(n, pod)| step(aim, pod, n + 1 == pods.len())).collect(),
        undo: "nothing; a restore from backups needs the uid that its CR had".into(),
        downtime: "whatever of it is still in use, for good".into(),
        by_name: true,
        ..Deal::default()
    })
}

fn step(aim: &Aim, pod: &Left, is_last: bool) -> Step {
    let (cluster, name, uid): (_, Text, Text) = (aim.cluster.clone(), pod.name.clone(), pod.uid.clone());
    let expect = if is_last {
        Expect::Deleted { cluster: cluster.clone() }
    } else {
        Expect::Removed { cluster: cluster.clone(), pod: name.clone(), uid: uid.clone() }
    };
    Step { order: Order::Remove { cluster, object: Object { kind: Kind::Pod, name }, uid }, expect, within_s: GRACE_S }
}
