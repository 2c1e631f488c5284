//! What is left of a cluster that ends.

use super::{Judged, when};
use crate::work::probe::Left;

/// Whether the CR, its StatefulSet and its pods are gone; what else there is, is told.
pub(super) fn deleted(remains: &[Left]) -> Judged {
    let kinds = ["postgresql", "statefulsets", "pods", "persistentvolumeclaims", "secrets"];
    let of = |kind: &'static str| remains.iter().filter(move |left| left.kind == kind);
    let told = kinds.iter().filter(|kind| of(kind).next().is_some());
    let told: Vec<String> = told.map(|kind| format!("{kind} {}", names(of(kind)))).collect();
    let said = if told.is_empty() { "nothing of it is left".to_owned() } else { format!("left: {}", told.join("; ")) };
    // The operator asks them one after the other, and waits for each; if it forgets them nobody does.
    let unasked: Vec<&Left> = of("pods").filter(|pod| !pod.leaving).collect();
    let is_forgotten = of("postgresql").chain(of("statefulsets")).next().is_none() && !unasked.is_empty();
    let more = if is_forgotten {
        format!(
            "; nobody has asked {} to go: if that stays so the operator has left them behind, and another delete ends them",
            names(unasked.into_iter())
        )
    } else {
        String::new()
    };
    when(kinds[..3].iter().all(|kind| of(kind).next().is_none()), format!("{said}{more}"))
}

/// Whether that pod is gone; one of its name that was made since is another.
pub(super) fn removed(remains: &[Left], pod: &str, uid: &str) -> Judged {
    match remains.iter().find(|left| left.kind == "pods" && *left.uid == *uid) {
        None => Judged::Proved(format!("pod {pod} is gone")),
        Some(left) if left.leaving => Judged::NotYet(format!("pod {pod} is on its way out")),
        Some(_) => Judged::NotYet(format!("pod {pod} is there")),
    }
}

fn names<'a>(of: impl Iterator<Item = &'a Left>) -> String {
    of.map(|left| &*left.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(kind: &'static str, name: &str, leaving: bool) -> Left {
        Left { kind, name: name.into(), uid: format!("uid of {name}").into(), leaving }
    }

    #[test]
    fn a_cluster_is_gone_with_its_pods_and_pods_that_nobody_ends_are_told() {
        let volume = left("persistentvolumeclaims", "pgdata-shop-0", true);
        assert_eq!(
            deleted(std::slice::from_ref(&volume)),
            Judged::Proved("left: persistentvolumeclaims pgdata-shop-0".into())
        );
        let told = |remains: &[Left]| match deleted(remains) {
            Judged::NotYet(told) => told,
            judged => panic!("{judged:?}"),
        };
        let going = told(&[left("pods", "shop-0", true), volume.clone()]);
        assert_eq!(going, "left: pods shop-0; persistentvolumeclaims pgdata-shop-0");
        let set = left("statefulsets", "shop", false);
        assert!(!told(&[set, left("pods", "shop-0", false)]).contains("nobody"));
        let forgotten = told(&[left("pods", "shop-0", true), left("pods", "shop-1", false), volume]);
        assert!(forgotten.contains("nobody has asked shop-1 to go"), "{forgotten}");
    }

    #[test]
    fn a_pod_of_that_name_that_was_made_since_is_another() {
        let remains = [left("pods", "shop-0", false)];
        assert_eq!(removed(&remains, "shop-0", "an older uid"), Judged::Proved("pod shop-0 is gone".into()));
        assert_eq!(removed(&remains, "shop-0", "uid of shop-0"), Judged::NotYet("pod shop-0 is there".into()));
    }
}
