//! What happens between the steps of one order.

use std::cell::Cell;

use pgdeck::run::{Out, Outcome};
use pgdeck::work::probe::Probe;

use super::cases::{Lock, machine};
use super::stage::Scene;

/// Restarts all, and moves the primary's part after so many orders; gives what is said at the end, with who led before and after.
async fn restarted(scene: &Scene, words: &str, after: usize) -> (Vec<String>, usize, String, String) {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let (sent, is_moved) = (Cell::new(0), Cell::new(false));
    let (old, new) = (scene.name("primary"), scene.name("standby"));
    let run = machine(scene, &words, Lock::Open, async |out: &Out| match out {
        Out::Send(..) => sent.set(sent.get() + 1),
        // Before the next step it is asked who leads.
        Out::Look { probes, .. }
            if sent.get() == after
                && !is_moved.get()
                && probes.iter().any(|probe| matches!(probe, Probe::Patroni(_))) =>
        {
            is_moved.set(true);
            scene.proved(&["switchover", "acid-shop", "--yes"]);
        }
        _ => {}
    })
    .await;
    let said: Vec<String> = run.lines.into_iter().map(|line| line.text).collect();
    assert!(is_moved.get(), "nobody was asked who leads: {said:#?}");
    assert_eq!(run.phase, pgdeck::run::Phase::Ended(Outcome::Failed), "{said:#?}");
    (said, sent.get(), old, new)
}

#[tokio::test]
async fn a_restart_goes_no_further_once_another_member_leads() {
    let scene = Scene::up("act-between");
    let (said, sent, old, new) = restarted(&scene, "restart acid-shop --yes", 1).await;
    assert_eq!(sent, 1, "{said:#?}");
    let told = format!(
        "the leader changed: {new} leads now, not {old}; 1 of 2 steps are done, not sent: POST /restart on {old}; look again"
    );
    assert!(said.contains(&told) && said.last().unwrap().starts_with("to go back: "), "{said:#?}");

    // Both pods are flagged, and the operator is not told.
    let (said, sent, old, new) = restarted(&scene, "restart acid-shop pods --yes", 2).await;
    assert_eq!(sent, 2, "{said:#?}");
    let told =
        format!("the leader changed: {new} leads now, not {old}; 2 of 3 steps are done, not sent: patch postgresql");
    assert!(said.iter().any(|line| line.starts_with(&told)), "{said:#?}");
    assert!(said.last().unwrap().contains("a flag that nothing came of is taken off"), "{said:#?}");
}
