//! One order for marked clusters, from the marks to the last outcome.

use pgdeck::app::Effect;
use pgdeck::fault::Fault;
use pgdeck::run::{Event, Out, Outcome, Pass};
use pgdeck::work::entry::{Entry, What};
use pgdeck::work::order::Order;

use crate::rig::{Rig, fleets, world};

const SIZE: (u16, u16) = (120, 40);

/// A console whose journal and world take everything, but for orders to clusters of these names.
struct Scene {
    rig: Rig,
    refused: Vec<&'static str>,
    /// What was sent, by the cluster's name, in that order.
    sent: Vec<String>,
    journal: Vec<Entry>,
}

impl Scene {
    /// Three clusters are marked, and nothing may be changed yet.
    fn marked(refused: &[&'static str]) -> Scene {
        let seen = ["acid-a", "acid-b", "acid-c", "acid-d"];
        let seen = seen.map(|name| pgdeck::fleet::seen::Seen::Cluster {
            cluster: Box::new(fleets::cluster(name, 3)),
            at: fleets::now(),
        });
        let mut rig = Rig::new(seen.into());
        rig.model.state.settings.read_only = false;
        rig.keys("space space space");
        Scene { rig, refused: refused.to_vec(), sent: Vec::new(), journal: Vec::new() }
    }

    /// Types keys, and plays the world until it is quiet.
    fn keys(&mut self, keys: &str) {
        let Scene { rig, refused, sent, journal } = self;
        let mut happens = |out| match out {
            Out::Record(entry) => {
                journal.push(entry);
                Ok(Some(Event::Recorded(Ok(()))))
            }
            Out::Note(entry) => {
                journal.push(entry);
                Ok(None)
            }
            Out::Send(order, pass) => {
                assert_eq!(pass, Pass::Armed);
                let name = order.cluster().name.to_string();
                let is_refused = refused.contains(&name.as_str());
                sent.push(name);
                let refusal = || Fault::Refused { what: "the patch".into(), why: "no".into() };
                Ok(Some(Event::Sent(if is_refused { Err(refusal()) } else { Ok("resourceVersion 5".into()) })))
            }
            out => world::happened(out, world::answer).map(Some),
        };
        for key in keys.split_whitespace() {
            let todo = rig.keys(key);
            let others = rig.play(todo, &mut happens);
            assert!(!others.iter().any(|effect| matches!(effect, Effect::Run(..))), "{others:?}");
        }
    }

    fn outcomes(&self) -> Vec<(String, Option<Outcome>)> {
        let runs = self.rig.model.state.ledger.all();
        let mut told: Vec<_> = runs.map(|run| (run.aim.cluster.name.to_string(), run.outcome())).collect();
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        told
    }

    /// What each `asked` in the journal says of its confirmation.
    fn confirmed(&self) -> Vec<&str> {
        let asked = self.journal.iter().filter_map(|entry| match &entry.what {
            What::Asked(asked) => Some(asked.confirm.as_str()),
            _ => None,
        });
        asked.collect()
    }

    #[track_caller]
    fn shows(&mut self, words: &[&str]) {
        let text = self.rig.text(SIZE);
        for word in words {
            assert!(text.contains(word), "{word:?} is not in\n{text}");
        }
    }
}

fn proved(name: &str) -> (String, Option<Outcome>) {
    (name.to_owned(), Some(Outcome::Proved))
}

#[test]
fn marked_clusters_are_done_one_after_the_other_by_one_answer() {
    let mut scene = Scene::marked(&[]);
    // Read-only nothing of it can be answered.
    scene.keys("x o");
    scene.shows(&["reconcile: 3 clusters", "3 green", "READ-ONLY"]);
    scene.keys("y");
    assert_eq!(scene.sent, Vec::<String>::new());
    scene.keys("esc W x o d");
    scene.shows(&["demo//production/acid-a", "patch postgresql production/acid-c", "○ the operator says Running"]);
    scene.keys("d y");
    assert_eq!(scene.sent, ["acid-a", "acid-b", "acid-c"]);
    assert_eq!(scene.outcomes(), [proved("acid-a"), proved("acid-b"), proved("acid-c")]);
    assert!(scene.confirmed().iter().all(|how| *how == "y, for marked clusters"), "{:?}", scene.confirmed());
    scene.shows(&["acid-a  PROVED", "acid-c  PROVED", "it is over"]);
}

#[test]
fn one_that_fails_stops_the_rest_until_it_is_answered_anew() {
    let mut scene = Scene::marked(&["acid-a"]);
    scene.keys("W x o y");
    assert_eq!(scene.sent, ["acid-a"]);
    scene.shows(&["acid-a  FAILED", "STOPPED: y goes on with the 2 left"]);
    scene.keys("y");
    assert_eq!(scene.sent, ["acid-a", "acid-b", "acid-c"]);
    let failed = ("acid-a".to_owned(), Some(Outcome::Failed));
    assert_eq!(scene.outcomes(), [failed, proved("acid-b"), proved("acid-c")]);
    assert!(scene.confirmed()[1].contains("after one failed"), "{:?}", scene.confirmed());

    // Left where it stopped, nothing more is done.
    let mut scene = Scene::marked(&["acid-b"]);
    scene.keys("W x o y esc");
    assert_eq!(scene.sent, ["acid-a", "acid-b"]);
    assert_eq!(scene.outcomes().len(), 2, "{:?}", scene.outcomes());
}

#[test]
fn every_line_that_is_not_green_is_shown_and_counted_and_a_red_one_holds_all_back() {
    let mut scene = Scene::marked(&[]);
    scene.rig.see(vec![pgdeck::fleet::seen::Seen::Cluster {
        cluster: Box::new({
            let mut cluster = fleets::cluster("acid-b", 3);
            cluster.origin = pgdeck::fleet::cluster::Origin::Orphan;
            cluster
        }),
        at: fleets::now(),
    }]);
    scene.keys("W x o");
    scene.shows(&["2 green, 1 refused", "acid-b  refused: its CR is gone"]);
    scene.keys("y");
    assert_eq!(scene.sent, Vec::<String>::new());

    // A name must be typed for each: not by one key.
    scene.keys("esc x X");
    scene.shows(&["delete: 3 clusters", "▲", "amber"]);
    scene.keys("y");
    assert!(scene.sent.is_empty() && scene.journal.is_empty());
    let deleted = scene.rig.model.state.ledger.all().filter_map(|run| run.deal.as_ref());
    assert!(deleted.flat_map(|deal| &deal.steps).all(|step| matches!(step.order, Order::Delete { .. })));
}
