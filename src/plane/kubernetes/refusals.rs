//! Rights that were refused a moment ago: nobody asks for each pod anew what the namespace as a whole does not give.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::fault::Fault;
use crate::id::{InstanceId, Text};

/// A right that was granted meanwhile is found within this.
const STANDS: SignedDuration = SignedDuration::from_secs(60);

/// What was refused on the way to instances, by namespace: when, and the right that would help.
#[derive(Debug, Clone, Default)]
pub struct Refusals(BTreeMap<Text, (Timestamp, String)>);

impl Refusals {
    /// Takes in how a way to an instance ended.
    pub fn note(&mut self, instance: &InstanceId, fault: &Fault, now: Timestamp) {
        if let Fault::Forbidden { needs, .. } = fault {
            self.0.insert(instance.cluster.namespace.clone(), (now, needs.clone()));
        }
    }

    /// The refusal that still stands.
    pub fn standing(&self, instance: &InstanceId, now: Timestamp) -> Option<Fault> {
        let (at, needs) = self.0.get(&instance.cluster.namespace)?;
        let stands = now.duration_since(*at) < STANDS;
        stands.then(|| Fault::Forbidden { what: instance.to_string(), needs: needs.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClusterId, PlaneId};

    fn instance(namespace: &str, member: &str) -> InstanceId {
        let plane = PlaneId::Kubernetes("demo".into());
        let cluster = ClusterId { plane, namespace: namespace.into(), name: "shop".into() };
        InstanceId { cluster, member: member.into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_refusal_stands_for_its_namespace_and_for_a_minute() {
        let mut refusals = Refusals::default();
        let fault = Fault::Forbidden { what: "a secret".into(), needs: "the right to get secrets".into() };
        refusals.note(&instance("apps", "shop-0"), &fault, at(0));
        let expected =
            Fault::Forbidden { what: instance("apps", "shop-1").to_string(), needs: "the right to get secrets".into() };
        assert_eq!(refusals.standing(&instance("apps", "shop-1"), at(59)), Some(expected));
        assert_eq!(refusals.standing(&instance("apps", "shop-1"), at(60)), None);
        assert_eq!(refusals.standing(&instance("other", "shop-0"), at(1)), None);
    }

    #[test]
    fn only_a_refusal_is_remembered() {
        let mut refusals = Refusals::default();
        refusals.note(&instance("apps", "shop-0"), &Fault::Gone { what: "a secret".into() }, at(0));
        assert_eq!(refusals.standing(&instance("apps", "shop-0"), at(1)), None);
    }
}
