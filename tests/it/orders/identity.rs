//! An order is for what was there when the key was pressed: what has its name by now is another one.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use pgdeck::fleet::Entry;
use pgdeck::fleet::cluster::{Cluster, Origin};
use pgdeck::id::{ClusterId, PlaneId, Text};
use pgdeck::journal::Journal;
use pgdeck::operation::operation;
use pgdeck::plane::Plane;
use pgdeck::plane::hosts::settings::Environment;
use pgdeck::plane::hosts::{Hosts, file};
use pgdeck::run::{Aim, Event, Outcome, Phase, Run};
use pgdeck::runtime::Planes;
use pgdeck::runtime::perform::{self, Gate};
use pgdeck::sandbox::objects::POSTGRESQL;
use serde_json::json;

use super::{Scene, said};
use crate::actions::relay::Relay;
use crate::postgres::{Installation, Server};

/// Neither of these orders carries the uid to the API server by itself: a shell in a pod, and a call to whatever has its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_deleted_and_made_anew_under_the_same_name_gets_no_order() {
    let scene = Scene::new("identity").await;
    scene.arm();
    for (action, member, words) in [("exec", Some("shop-0"), &[][..]), ("scale", None, &["2"])] {
        let mut run = scene.offer(action, member, words).await;
        assert_eq!(run.phase, Phase::Offered, "{}", said(&run));
        let spot = POSTGRESQL.at(&scene.stage.namespace, "shop");
        scene.stage.store.delete(&spot, None).await.unwrap();
        scene.stage.cluster("shop").await;
        scene
            .stage
            .store
            .patch(&spot, &json!({"metadata": {"annotations": {"acid.zalan.do/controller": null}}}))
            .await
            .unwrap();
        scene.confirm(&mut run).await;
        assert_eq!(run.outcome(), Some(Outcome::Refused), "{action}: {}", said(&run));
        assert!(said(&run).contains("was deleted and made anew; aim again"), "{action}: {}", said(&run));
        assert!(!scene.journaled().contains(&"sending".into()));
        // Aimed anew it is let through.
        let mut run = scene.offer(action, member, words).await;
        run.patience_s = Some(0);
        scene.confirm(&mut run).await;
        assert!(scene.journaled().contains(&"sending".into()), "{action}: {}", said(&run));
        std::fs::remove_dir_all(&scene.folder).unwrap();
        let one = json!({"spec": {"numberOfInstances": 1}});
        scene.stage.store.patch(&spot, &one).await.unwrap();
    }
}

fn local(server: &Server) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port))
}

/// Behind the address of a host there is another database between the offer and the answer to it: both take the login, and both
/// are primaries of the same version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_another_database_by_now_gets_no_order() {
    let installation = Installation::own();
    let (one, other) = tokio::join!(Server::primary(&installation, ""), Server::primary(&installation, ""));
    for server in [&one, &other] {
        server.session("postgres").await;
    }
    let relay = Relay::to(local(&one));
    let text = format!(
        "[[cluster]]\nname = \"old\"\nhosts = [\"{}\"]\nuser = \"postgres\"\nsslmode = \"disable\"\n",
        relay.address
    );
    let groups = file::parse("hosts.toml", &text).unwrap();
    let plane: Arc<dyn Plane> = Arc::new(Hosts::new(groups, Environment::look(), Arc::new(Timestamp::now)));
    let planes = Planes::from([(plane.id(), plane)]);
    let cluster = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "old".into() };
    let folder = std::env::temp_dir().join(format!("pgdeck-orders-host-{}", std::process::id()));
    let (gate, journal) = (Gate::default(), Journal::in_folder(&folder));
    gate.open("hosts:old".into(), Timestamp::now() + jiff::SignedDuration::from_mins(1));

    for moves in [true, false] {
        relay.turn(local(&one));
        let psql = operation("psql").unwrap();
        let entry = Entry::new(Cluster::named(cluster.clone(), Origin::Hosts), Timestamp::now());
        let (args, member) = (psql.read(&["write".into()]).unwrap(), Some(Text::from(relay.address.to_string())));
        let aim = Aim { cluster: cluster.clone(), uid: None, member, args, at: Timestamp::now(), who: "me".into() };
        let probes = (psql.aim)(&entry, &aim).unwrap();
        let (mut run, mut todo) = Run::new("r".into(), psql.id, aim, probes, psql.consider, Timestamp::now());
        let mut has_answered = false;
        while !todo.is_empty() && !matches!(run.phase, Phase::Sending { .. }) {
            let mut next = Vec::new();
            for out in todo {
                let event = perform::step(&planes, &gate, &journal, out).await;
                next.extend(event.map(|event| run.advance(Timestamp::now(), event)).unwrap_or_default());
            }
            if run.phase == Phase::Offered && !std::mem::replace(&mut has_answered, true) {
                relay.turn(local(if moves { &other } else { &one }));
                let confirmed = Event::Confirmed { how: "y".into(), who: "test".into(), reason: None };
                next = run.advance(Timestamp::now(), confirmed);
            }
            todo = next;
        }
        if moves {
            assert_eq!(run.outcome(), Some(Outcome::Refused), "{}", said(&run));
            assert!(said(&run).contains("its system identifier is not the one it had"), "{}", said(&run));
        } else {
            assert!(matches!(run.phase, Phase::Sending { .. }), "{}", said(&run));
        }
        // Who reads the journal later knows which database it was.
        let (lines, _) = journal.read().unwrap();
        assert!(lines[0]["uid"].as_str().is_some_and(|uid| uid.len() > 15), "{lines:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
