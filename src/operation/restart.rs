//! Restarts: of Postgres in place, member after member, or of whole pods by the operator's own flag.

use serde_json::json;

use super::answers::{sampled, vitals};
use super::member::began;
use super::operator::poke;
use super::patroni::{ask_patroni, call, running};
use super::{
    Arg, By, Confirm, NEVER_MOOT, On, Operation, allowed, candidates, guards, hand_over, instance, may, moment,
    objects, slots, stance, view,
};
use crate::fault::Fault;
use crate::fleet::Entry;
use crate::fleet::cluster::Role;
use crate::id::Text;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::{Kind, Method, Object, Order};
use crate::work::patroni::{PatroniView, Peer};
use crate::work::probe::Probe;

/// The operator recreates every pod that carries it, when it looks.
const FLAG: &str = "zalando-postgres-operator-rolling-update-required";

pub(super) const RESTART: Operation = Operation {
    id: "restart",
    title: "restart",
    doc: "Restarts Postgres in place, of one member or of all, the primary last; `pending`: where a setting waits for it; \
          `pods`: the operator makes the pods anew.",
    keys: &["x r"],
    on: On::Any,
    confirm: Confirm::Yes,
    args: &[Arg {
        name: "what",
        example: "pods",
        doc: "postgres, pending or pods; postgres by itself",
        required: false,
    }],
    proof: "the server's own start time, and that standbys stream (pg_stat_replication); pods: each is another one, and \
            streams",
    undo: "nothing: a restart is over when it is done",
    undoes: None,
    never: &[],
    stands_in: None,
    holds: false,
    aim,
    consider,
    moot: NEVER_MOOT,
};

/// One member is back within this, in seconds.
const WITHIN_S: u32 = 120;
/// All pods are made anew within this.
const RECREATED_S: u32 = 1_800;

#[derive(Clone, Copy, PartialEq)]
enum What {
    Postgres,
    Pending,
    Pods,
}

fn what(aim: &Aim) -> Result<What, String> {
    match aim.args.get("what").map_or("postgres", |word| &**word) {
        "postgres" => Ok(What::Postgres),
        "pending" => Ok(What::Pending),
        "pods" => Ok(What::Pods),
        other => Err(format!("{other:?} is none of postgres, pending, pods")),
    }
}

fn aim(entry: &Entry, aim: &Aim) -> Result<Vec<Probe>, String> {
    let mut probes = ask_patroni(entry, aim)?;
    if what(aim)? == What::Pods {
        probes.push(may(&aim.cluster, "patch", "", "pods"));
        probes.push(may(&aim.cluster, "patch", "acid.zalan.do", "postgresqls"));
    }
    let meant =
        entry.cluster.members.iter().filter(|member| aim.member.as_ref().is_none_or(|name| *name == member.name));
    let sample = |name: &Text| Probe::Sample { instance: instance(aim, name), surveys: hand_over::SURVEYS.to_vec() };
    probes.extend(meant.map(|member| sample(&member.name)));
    probes.push(guards::probe(&aim.cluster));
    Ok(probes)
}

/// Who is meant, standbys first: after them the primary has somebody to fail over to.
fn meant<'a>(aim: &Aim, view: &'a PatroniView) -> Result<Vec<&'a Peer>, String> {
    let mut peers: Vec<&Peer> = match &aim.member {
        Some(name) => vec![view.peer(name).ok_or_else(|| format!("Patroni knows no member {name}"))?],
        None => view.members.iter().collect(),
    };
    peers.sort_by_key(|peer| (peer.role == Role::Primary, peer.name.clone()));
    if peers.is_empty() { Err("Patroni knows no member".into()) } else { Ok(peers) }
}

fn consider(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let what = what(aim)?;
    let mut lights = vec![allowed(looked)?];
    lights.extend(stance::lights(looked, if what == What::Pods { By::Operator } else { By::Others }));
    let view = view(looked)?;
    let mut peers = meant(aim, view)?;
    if what == What::Pending {
        peers.retain(|peer| peer.pending_restart);
        if peers.is_empty() {
            return Err("no setting waits for a restart".into());
        }
    }
    for peer in &peers {
        lights.extend(about(peer, looked)?);
    }
    let all = sampled(looked);
    if what == What::Pods && peers.iter().any(|peer| peer.role == Role::Primary) {
        lights.extend(hand_over::rolls(looked));
    } else {
        lights.extend(slots::unknown(&all, view, "a member starts anew").into_iter().map(Light::amber));
    }
    let primary = peers.iter().find(|peer| peer.role == Role::Primary);
    if let Some(primary) = primary {
        lights.push(hand_over::leads(all.iter().find(|sampled| *sampled.member == primary.name), view, &primary.name));
        lights.extend((what != What::Pods).then(|| candidates::synchronous(view)));
    }
    lights.extend(guards::lights(looked, aim.at));
    let leads = primary.is_some();
    let led_by = view.leader().map(|leader| leader.name.clone());
    if what == What::Pods {
        return Ok(Deal { led_by, ..pods(aim, looked, &peers, lights)? });
    }
    let body = if what == What::Pending { json!({"restart_pending": true}) } else { json!({}) };
    let step = |peer: &&Peer| Step {
        order: call(aim, &peer.name, Method::Post, "/restart", body.clone()),
        expect: Expect::Restarted {
            instance: instance(aim, &peer.name),
            after: began(vitals(looked, &peer.name).ok()),
            standby: peer.role != Role::Primary,
            recovers: peer.standby_leader,
            followers: if peer.role == Role::Primary { followers(view, peer) } else { Vec::new() },
        },
        within_s: WITHIN_S,
    };
    let steps = peers.iter().map(step).collect();
    let downtime =
        if leads { view.downtime("for some seconds") } else { "readers of those that restart reconnect".into() };
    let undo = "nothing: it runs again, or Patroni's log tells why not".into();
    Ok(Deal { lights, steps, undo, downtime, led_by, ..Deal::default() })
}

/// Who must stream from a primary when it is back.
fn followers(view: &PatroniView, primary: &Peer) -> Vec<Text> {
    running(view).into_iter().filter(|name| *name != primary.name).collect()
}

/// What a restart means for one member. One that does not answer may need it most; without the right to ask nothing could be
/// proved.
fn about(peer: &Peer, looked: &[Looked]) -> Result<Vec<Light>, String> {
    let member = &peer.name;
    let refused = looked.iter().any(|(probe, answer)| {
        matches!(probe, Probe::Sample { .. })
            && matches!(answer, Err(Fault::Forbidden { .. } | Fault::AuthExpired { .. }))
    });
    let mut lights = match vitals(looked, member) {
        Ok(vitals) => {
            let since = Light::green(format!("Postgres of {member} runs since {}", moment(vitals.started)));
            let all = sampled(looked);
            let own = all.iter().find(|sampled| *sampled.member == *member);
            std::iter::once(since).chain(own.into_iter().flat_map(hand_over::stops)).collect()
        }
        Err(why) if refused => return Err(why),
        Err(why) => vec![Light::amber(why)],
    };
    lights.push(if peer.standby_leader {
        Light::amber(format!("{member} leads a standby cluster: its standbys, and its readers, reconnect"))
    } else if peer.role == Role::Primary {
        Light::amber(format!("{member} leads: writes stop until it is back, and every client reconnects"))
    } else if peer.synchronous {
        Light::amber(format!("{member} is synchronous: commits wait until Patroni has chosen another, or it is back"))
    } else {
        Light::green(format!("{member} is a standby that nobody waits for"))
    });
    Ok(lights)
}

/// Flags the pods and makes the operator look: it recreates the standbys, switches over, and recreates the old primary.
fn pods(aim: &Aim, looked: &[Looked], peers: &[&Peer], mut lights: Vec<Light>) -> Result<Deal, String> {
    let objects = objects(looked)?;
    let mut before = std::collections::BTreeMap::new();
    let mut steps = Vec::new();
    for peer in peers {
        let uid = objects.pods.get(&peer.name).ok_or_else(|| format!("{} has no pod", peer.name))?.clone();
        before.insert(peer.name.clone(), uid.clone());
        let object = Object { kind: Kind::Pod, name: peer.name.clone() };
        let patch = json!({"metadata": {"annotations": {FLAG: "true"}}});
        let expect = Expect::Recreated {
            cluster: aim.cluster.clone(),
            before: [(peer.name.clone(), uid.clone())].into(),
            flagged: true,
        };
        steps.push(Step {
            order: Order::Amend { cluster: aim.cluster.clone(), object, uid, patch },
            expect,
            within_s: 30,
        });
    }
    let expect = Expect::Recreated { cluster: aim.cluster.clone(), before, flagged: false };
    steps.push(Step { expect, ..poke(aim, objects, RECREATED_S) });
    let leads = peers.iter().any(|peer| peer.role == Role::Primary);
    lights.push(Light::amber(if leads {
        "the operator recreates the standbys, switches over, and recreates the old primary"
    } else {
        "the operator recreates them one by one, waiting for each"
    }));
    lights.push(Light::amber("if it finds that unsafe it postpones it to its next sync, and says so in its log alone"));
    let downtime =
        if leads { "one switchover: writes stop for some seconds" } else { "readers of those pods reconnect" };
    let undo = "nothing; a flag that nothing came of is taken off by kubectl annotate".into();
    Ok(Deal { lights, steps, undo, downtime: downtime.into(), ..Deal::default() })
}
