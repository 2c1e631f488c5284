//! `pgdeck do` on a pattern that means many clusters.

use std::process::Output;

use pgdeck::sandbox::objects::POSTGRESQL;
use serde_json::Value;
use tokio::process::Command;

use super::{Scene, put};

/// The clusters beside `shop`, whose names begin like its own.
const OTHERS: [&str; 2] = ["shop-b", "shop-c"];

impl Scene {
    async fn with_others(test: &str) -> Scene {
        let scene = Scene::new(test).await;
        for name in OTHERS {
            put(&scene.stage, name).await;
        }
        scene
    }

    /// Runs `pgdeck do`; whatever is sent is waited for a second, in vain.
    async fn scales(&self, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.env_clear().env("HOME", &self.folder).env("KUBECONFIG", self.proxy.options().kubeconfig.unwrap());
        command.args(["-n", &self.stage.namespace, "do", "scale", "shop*", "2", "--timeout", "1"]).args(options);
        command.output().await.unwrap()
    }

    /// How many members each is asked to have.
    async fn asked_for(&self) -> Vec<Value> {
        let mut asked = Vec::new();
        for name in ["shop"].into_iter().chain(OTHERS) {
            let found = self.stage.store.get(&POSTGRESQL.at(&self.stage.namespace, name)).await.unwrap().unwrap();
            asked.push(found["spec"]["numberOfInstances"].clone());
        }
        asked
    }
}

#[track_caller]
fn said(output: &Output, code: i32, words: &[&str]) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not said: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_is_for_all_it_means_up_to_the_first_that_is_not_proved() {
    let scene = Scene::with_others("many").await;
    let offer = scene.scales(&[]).await;
    said(&offer, 3, &["scale 3 clusters: 0 ok, 3 amber, 0 RED", "patch postgresql", "/shop-c", "add --write"]);
    said(&scene.scales(&["--write"]).await, 3, &["add --yes"]);
    said(&scene.scales(&["--dry-run"]).await, 0, &["shop-b: taken (", "nothing was changed"]);
    assert_eq!(scene.asked_for().await, [1, 1, 1]);

    let stopped = scene.scales(&["--write", "--yes"]).await;
    said(&stopped, 6, &["/shop-b: not sent: one before it was not proved", "/shop-c: not sent"]);
    assert_eq!(scene.asked_for().await, [2, 1, 1]);

    // One of them stands in the way of all.
    let barred = scene.scales(&["--write", "--yes"]).await;
    said(&barred, 3, &["/shop: ", "2 members already"]);
    assert_eq!(scene.asked_for().await, [2, 1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_told_to_keep_going_has_an_outcome_for_each() {
    let scene = Scene::with_others("keep-going").await;
    let output = scene.scales(&["--write", "--yes", "--keep-going", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scene.asked_for().await, [2, 2, 2]);
    let runs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<&str> = runs.iter().map(|run| run["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["UNPROVEN"; 3]);
    let (lines, _) = pgdeck::journal::Journal::in_folder(&scene.folder.join(".local/state/pgdeck")).read().unwrap();
    let asked: Vec<&Value> = lines.iter().filter(|line| line["entry"] == "asked").collect();
    assert!(asked.len() == 3 && asked.iter().all(|line| line["confirm"] == "--yes, for 3 clusters"), "{asked:#?}");
}
