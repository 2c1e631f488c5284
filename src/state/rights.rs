//! What the user may do, as the servers' own rules said when they were asked last.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::id::{PlaneId, Text};
use crate::run::Looked;
use crate::work::probe::{Access, Answer, Probe};

/// Rules change: an answer is asked for again after so long.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// Rights by plane and namespace.
#[derive(Debug, Default)]
pub struct Rights(BTreeMap<(PlaneId, Text, Access), Said>);

/// One answer; none while it is awaited, or where it could not be had.
#[derive(Debug)]
struct Said {
    may: Option<bool>,
    asked: Timestamp,
}

impl Rights {
    /// Those questions whose answer is not known, or old. They count as asked from now on.
    pub fn to_ask(&mut self, probes: impl IntoIterator<Item = Probe>, now: Timestamp) -> Vec<Probe> {
        let is_due = |probe: &Probe| {
            let Some(key) = key(probe) else { return false };
            let may = match self.0.get(&key) {
                Some(said) if now.duration_since(said.asked) < FRESH => return false,
                said => said.and_then(|said| said.may),
            };
            self.0.insert(key, Said { may, asked: now });
            true
        };
        probes.into_iter().filter(is_due).collect()
    }

    /// Takes in what was answered. Where nobody answered nothing is known: it is not greyed for that.
    pub fn take(&mut self, looked: &[Looked]) {
        for (probe, answer) in looked {
            let Some(said) = key(probe).and_then(|key| self.0.get_mut(&key)) else { continue };
            said.may = match answer {
                Ok(Answer::May(may)) => Some(*may),
                _ => None,
            };
        }
    }

    /// The first right that is known to be missing.
    pub fn missing<'a>(&self, probes: &'a [Probe]) -> Option<&'a Access> {
        probes.iter().find_map(|probe| match probe {
            Probe::May { access, .. } if self.0.get(&key(probe)?)?.may == Some(false) => Some(access),
            _ => None,
        })
    }
}

fn key(probe: &Probe) -> Option<(PlaneId, Text, Access)> {
    match probe {
        Probe::May { cluster, access } => Some((cluster.plane.clone(), cluster.namespace.clone(), access.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::id::ClusterId;

    #[test]
    fn a_right_is_asked_for_once_a_minute_and_missing_only_when_that_was_said() {
        let probe = |name: &str| Probe::May {
            cluster: ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: name.into() },
            access: Access { verb: "patch", group: "acid.zalan.do", resource: "postgresqls" },
        };
        let mut rights = Rights::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        // Clusters of one namespace share their rights.
        assert_eq!(rights.to_ask([probe("a"), probe("b")], at(0)), [probe("a")]);
        assert_eq!(rights.missing(&[probe("b")]), None);
        rights.take(&[(probe("a"), Ok(Answer::May(false)))]);
        assert_eq!(rights.missing(&[probe("b")]).unwrap().verb, "patch");
        assert!(rights.to_ask([probe("b")], at(59)).is_empty());
        assert_eq!(rights.to_ask([probe("b")], at(60)), [probe("b")]);
        // It stands until something else is known.
        assert!(rights.missing(&[probe("a")]).is_some());
        rights.take(&[(probe("b"), Err(Fault::Cancelled))]);
        assert!(rights.missing(&[probe("a")]).is_none());
    }
}
