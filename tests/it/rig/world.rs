//! A world that allows everything, for consoles without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgdeck::app::{self, Effect, Msg};
use pgdeck::fault::Fault;
use pgdeck::fleet::cluster::{Dcs, DcsConfig};
use pgdeck::fleet::seen::Seen;
use pgdeck::run::{Event, Out};
use pgdeck::work::past::Past;
use pgdeck::work::patroni::PatroniView;
use pgdeck::work::probe::{Answer, Objects, Probe, Rules};
use serde_json::json;

use super::{Rig, fleets};

/// What a world that allows everything would answer.
pub fn answer(probe: &Probe) -> Result<Answer, Fault> {
    let member = |n: u32, role: &str| json!({"name": format!("acid-shop-{n}"), "role": role, "state": "running", "timeline": 3, "lag": 0});
    match probe {
        Probe::May { .. } => Ok(Answer::May(true)),
        Probe::Reach(_) => Ok(Answer::Reached { version: 170_006, primary: true, tls: true }),
        Probe::Patroni(_) => {
            let cluster = json!({"members": [member(0, "leader"), member(1, "sync_standby"), member(2, "replica")]});
            Ok(Answer::Patroni(Box::new(PatroniView::read(&cluster, json!({})))))
        }
        Probe::Identity(instance) => Ok(Answer::Identity(Some(format!("uid-{}", instance.cluster.name).into()))),
        Probe::Objects(id) => {
            let mut cluster = fleets::cluster(&id.name, 3);
            cluster.id = id.clone();
            let (version, annotations) = ("1".into(), BTreeMap::new());
            let (finalizers, pods, rules) = (Vec::new(), BTreeMap::new(), Rules::default());
            let resource = json!({"spec": {"numberOfInstances": 3, "teamId": "acid"}});
            Ok(Answer::Objects(Box::new(Objects { cluster, version, resource, annotations, finalizers, pods, rules })))
        }
        probe => Err(Fault::Gone { what: probe.what() }),
    }
}

/// Who answers questions.
pub type World = fn(&Probe) -> Result<Answer, Fault>;

/// What comes of something that changes nothing; of nothing else. Nothing was ordered there before.
pub fn happened(out: Out, world: World) -> Result<Event, Box<Out>> {
    let looked = |probes: Vec<Probe>| probes.into_iter().map(|probe| (probe.clone(), world(&probe))).collect();
    match out {
        Out::Settle(_) => Ok(Event::CutOff(Box::default())),
        Out::Recall(_) => Ok(Event::Recalled(Ok(Past::default()))),
        Out::Look { probes, .. } => Ok(Event::Looked(looked(probes))),
        out => Err(Box::new(out)),
    }
}

impl Rig {
    /// A change of what Patroni says of the cluster `acid-shop`, seen now.
    pub fn sees(&mut self, change: impl FnOnce(&mut Dcs)) {
        let mut cluster = fleets::cluster("acid-shop", 3);
        change(cluster.dcs.as_mut().unwrap());
        self.see(vec![Seen::Cluster { cluster: Box::new(cluster), at: self.now }]);
    }

    /// The same, of whether it is paused.
    pub fn sees_pause(&mut self, pause: bool) {
        self.sees(|dcs| dcs.config = Some(Arc::new(DcsConfig { pause, ..(**dcs.config.as_ref().unwrap()).clone() })));
    }

    /// Types keys and answers every question that follows from each; gives what else is asked of the world.
    pub fn asks(&mut self, keys: &str) -> Vec<Effect> {
        let ask = |key| {
            let todo = self.keys(key);
            self.answered(todo, answer)
        };
        keys.split_whitespace().flat_map(ask).collect()
    }

    /// Answers every question among these, and what follows; gives what else is asked of the world.
    pub fn answered(&mut self, todo: Vec<Effect>, world: World) -> Vec<Effect> {
        self.play(todo, |out| happened(out, world).map(Some))
    }

    /// Plays these out, and what follows: `happens` says what comes of each, if anything, or leaves it to the caller.
    pub fn play(
        &mut self,
        mut todo: Vec<Effect>,
        mut happens: impl FnMut(Out) -> Result<Option<Event>, Box<Out>>,
    ) -> Vec<Effect> {
        let mut others = Vec::new();
        while let Some(effect) = todo.pop() {
            let Effect::Run(id, outs) = effect else {
                others.push(effect);
                continue;
            };
            for out in outs {
                match happens(out) {
                    Ok(Some(event)) => {
                        let told = Msg::Run(id.clone(), Box::new(event));
                        todo.extend(app::update(&mut self.model, self.now, vec![told]));
                    }
                    Ok(None) => {}
                    Err(out) => others.push(Effect::Run(id.clone(), vec![*out])),
                }
            }
        }
        others
    }
}
