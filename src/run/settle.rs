//! Runs that were cut off between sending and proving: taken up where the journal leaves them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::expect::Expect;
use super::{Aim, Deal, Out, Phase, Run, Step, identity};
use crate::id::{ClusterId, InstanceId, Text};
use crate::work::entry::Settled;
use crate::work::order::{Method, Order};

/// What was sent is looked for so long at the next start, in seconds: it was sent a while ago.
const WITHIN_S: u32 = 120;

/// What pgdecks that run no more were cut off at.
#[derive(Debug, Clone, Default)]
pub struct CutOff {
    /// What is said of it.
    pub told: Vec<String>,
    /// What was sent, and is looked for now.
    pub runs: Vec<(Run, Vec<Out>)>,
    /// What is to be taken back.
    pub held: Vec<LeftOver>,
}

/// Something that a pgdeck holds no more, and did not take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// Its run, in the journal.
    pub run: Text,
    pub action: Text,
    pub cluster: ClusterId,
    pub member: Option<Text>,
    /// The user has been asked.
    pub asked: bool,
}

impl Run {
    /// Takes up the run of a pgdeck that was cut off, from its lines in the journal: `asked` and the last `sending`. None if
    /// they cannot be read, or nothing was sent.
    pub fn settle(action: &'static str, asked: &Value, sending: &Value, now: Timestamp) -> Option<(Run, Vec<Out>)> {
        let text = |value: &Value| value.as_str().map(Text::from);
        let cluster: ClusterId = serde_json::from_value(asked["cluster"].clone()).ok()?;
        let expect: Expect = serde_json::from_value(sending["expect"].clone()).ok()?;
        // Of a shell nobody can tell any more how it ended.
        if expect == Expect::Over {
            return None;
        }
        let args: BTreeMap<Text, Text> = serde_json::from_value(asked["args"].clone()).unwrap_or_default();
        let began = text(&asked["at"]).and_then(|at| at.parse().ok()).unwrap_or(now);
        let who = text(&asked["who"]).unwrap_or_else(|| "somebody".into());
        let aim = Aim {
            cluster: cluster.clone(),
            uid: text(&asked["uid"]),
            member: text(&asked["member"]),
            args,
            at: began,
            who,
        };
        let (mut run, _) = Run::new(text(&asked["run"])?, action, aim, Vec::new(), |_, _| Err(String::new()), began);
        let undo = asked["undo"].as_str().unwrap_or_default().to_owned();
        let order = stand_in(&cluster, &sending["order"]);
        let probes = identity::with_it(expect.probes(), &run.aim);
        run.deal = Some(Deal { steps: vec![Step { order, expect, within_s: WITHIN_S }], undo, ..Deal::default() });
        run.confirmed = Some((String::new(), run.aim.who.clone(), None));
        run.sent_any = true;
        run.taken_up = Some(Settled { sent_at: text(&sending["at"]).and_then(|at| at.parse().ok()) });
        run.is_part = sending["step"].as_u64().unwrap_or(0) + 1 < sending["of"].as_u64().unwrap_or(1);
        run.say(now, "pgdeck was cut off after this step was sent: its effect is looked for; what would have come next was not sent".into());
        run.phase = Phase::Proving { step: 0, since: now };
        Some((run, vec![Out::Look { probes, after_ms: 0 }]))
    }
}

/// It is never sent again: it stands for the one that was. A patch keeps the version that it was made for, since the CR is
/// untouched while it has that.
fn stand_in(cluster: &ClusterId, order: &Value) -> Order {
    let text = |key: &str| order[key].as_str().map(Text::from);
    let (kind, cluster) = (order["kind"].as_str(), cluster.clone());
    match (kind, text("uid"), text("version")) {
        (Some("patch"), Some(uid), Some(version)) => {
            return Order::Patch { cluster, uid, version, patch: order["patch"].clone() };
        }
        (Some("delete"), Some(uid), Some(version)) => return Order::Delete { cluster, uid, version },
        _ => {}
    }
    Order::Patroni {
        instance: InstanceId::whoever_leads(&cluster),
        method: Method::Post,
        path: text("path").unwrap_or_else(|| "as the journal has it".into()),
        body: order.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::PlaneId;
    use crate::run::{Event, Outcome};
    use crate::work::entry::What;
    use crate::work::probe::{Answer, Probe};

    /// What was sent is seen, on the cluster of that uid: how it ends, and what the journal has of it.
    fn settled(asked: &Value, uid: Option<&str>) -> (Option<Outcome>, String, What) {
        let cluster: ClusterId = serde_json::from_value(asked["cluster"].clone()).unwrap();
        let expect = Expect::Scheduled { instance: InstanceId::whoever_leads(&cluster), waits: false };
        let sending = json!({"at": "2026-11-24T03:00:01Z", "order": {"path": "/switchover"}, "expect": expect});
        let (mut run, outs) = Run::settle("switchover-cancel", asked, &sending, Timestamp::UNIX_EPOCH).unwrap();
        let [Out::Look { probes, .. }] = &outs[..] else { panic!("{outs:?}") };
        let answer = |probe: &Probe| {
            if matches!(probe, Probe::Identity(_)) {
                return Ok(Answer::Identity(uid.map(Text::from)));
            }
            Ok(Answer::Patroni(Box::default()))
        };
        let looked = probes.iter().map(|probe| (probe.clone(), answer(probe))).collect();
        let outs = run.advance(Timestamp::UNIX_EPOCH, Event::Looked(looked));
        let [Out::Note(ended)] = &outs[..] else { panic!("{outs:?}") };
        let said = run.lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>().join("; ");
        (run.outcome(), said, ended.what.clone())
    }

    #[test]
    fn the_effect_on_another_cluster_of_that_name_proves_nothing() {
        let cluster = ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() };
        let asked = json!({"run": "r", "cluster": cluster, "uid": "u", "who": "me", "undo": "back"});
        let (outcome, said, what) = settled(&asked, Some("u"));
        assert_eq!(outcome, Some(Outcome::Proved), "{said}");
        // How long it took nobody knows; when it was sent stands in the journal.
        let What::Ended { took_ms: None, settled: Some(Settled { sent_at }), .. } = what else { panic!("{what:?}") };
        assert_eq!(sent_at, Some("2026-11-24T03:00:01Z".parse().unwrap()));

        let (outcome, said, _) = settled(&asked, Some("another"));
        assert_eq!(outcome, Some(Outcome::Unproven));
        assert!(said.contains("it is another cluster by now") && said.contains("cannot be seen on it"), "{said}");
        // An older journal has none, and what is not there is no other one.
        let older = json!({"run": "r", "cluster": cluster, "who": "me", "undo": "back"});
        assert_eq!(settled(&older, Some("u")).0, Some(Outcome::Proved));
        assert_eq!(settled(&asked, None).0, Some(Outcome::Proved));
    }

    #[test]
    fn what_was_cut_off_is_taken_up_from_the_journal() {
        let cluster = ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() };
        let instance = InstanceId { cluster: cluster.clone(), member: "shop-1".into() };
        let expect =
            Expect::Leader { instance, timeline: Some(3), followers: vec!["shop-0".into()], slots: Vec::new() };
        let asked = json!({"run": "r", "at": "2026-11-24T03:00:00Z", "cluster": cluster, "args": {}, "who": "me", "undo": "back"});
        let sending = json!({"order": {"path": "/switchover"}, "expect": expect});
        let now = Timestamp::UNIX_EPOCH;
        let (run, outs) = Run::settle("switchover", &asked, &sending, now).unwrap();
        let [Out::Look { probes, .. }] = &outs[..] else { panic!("{outs:?}") };
        assert_eq!(probes[..probes.len() - 1], expect.probes());
        assert!(matches!(probes.last(), Some(Probe::Identity(_))), "it must be the same cluster still");
        assert!(run.is_under_way() && run.aim.cluster == cluster);
        assert!(Run::settle("switchover", &asked, &json!({"order": {}}), now).is_none());

        let patch = json!({"kind": "patch", "uid": "u", "version": "7", "patch": {"spec": {}}});
        let (run, _) = Run::settle("scale", &asked, &json!({"order": patch, "expect": expect}), now).unwrap();
        let deal = run.deal.unwrap();
        assert!(deal.patches(), "another one must wait for it");
        assert!(matches!(&deal.steps[0].order, Order::Patch { version, .. } if &**version == "7"));
        let delete = json!({"kind": "delete", "uid": "u", "version": "7"});
        let (run, _) = Run::settle("delete", &asked, &json!({"order": delete, "expect": expect}), now).unwrap();
        assert!(run.deal.unwrap().patches(), "the end of the CR is its last change");
    }
}
