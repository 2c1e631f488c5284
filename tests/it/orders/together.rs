//! Several pgdecks that want to change the same CR at the same moment: one of them does.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::Scene;
use crate::kube::stage::eventually;
use pgdeck::sandbox::objects::POSTGRESQL;

/// So often two begin at the same moment.
const ROUNDS: usize = 12;

/// The order in which the journal has the patches' sending and ending, as `>RUN` and `<RUN`.
fn sent_and_ended(lines: &[Value]) -> Vec<String> {
    let of = |kind: &str, line: &Value| line["entry"] == kind;
    let is_sent = |run: &Value| lines.iter().any(|line| of("sending", line) && line["run"] == *run);
    let told = |line: &Value| match line["entry"].as_str().unwrap() {
        "sending" => Some(format!(">{}", line["run"])),
        "ended" if is_sent(&line["run"]) => Some(format!("<{}", line["run"])),
        _ => None,
    };
    lines.iter().filter_map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_that_patch_one_resource_at_the_same_moment_never_both_do() {
    let scene = Scene::new("together").await;
    let home = scene.folder.join("home");
    std::fs::create_dir_all(&home).unwrap();
    let pgdeck = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.env_clear().env("HOME", &home).env("KUBECONFIG", scene.proxy.options().kubeconfig.unwrap());
        command.args(["-n", &scene.stage.namespace, "do"]).args(words).args(["--write", "--yes", "--timeout", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output()
    };
    let (mut n_sent, mut n_refused) = (0, 0);
    for _ in 0..ROUNDS {
        let one = json!({"spec": {"numberOfInstances": 1}});
        scene.stage.store.patch(&POSTGRESQL.at(&scene.stage.namespace, "shop"), &one).await.unwrap();
        let (two, three) = tokio::join!(pgdeck(&["scale", "shop", "2"]), pgdeck(&["scale", "shop", "3"]));
        for output in [two.unwrap(), three.unwrap()] {
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code().unwrap() {
                // Nobody is there who would make it so.
                6 => n_sent += 1,
                3 if err.contains("has not ended") => n_refused += 1,
                // The other one has come and gone between the two looks.
                3 if err.contains("changed") => {}
                code => panic!("{code}: {err}"),
            }
        }
    }
    let journal = pgdeck::journal::Journal::in_folder(&home.join(".local/state/pgdeck"));
    let (lines, broken) = journal.read().unwrap();
    let told = sent_and_ended(&lines);
    assert_eq!((broken, told.len()), (0, 2 * n_sent));
    for pair in told.chunks(2) {
        assert!(pair[0].starts_with('>') && pair[1] == pair[0].replacen('>', "<", 1), "two at once: {told:#?}");
    }
    assert!(n_sent >= ROUNDS && n_refused > 0, "{n_sent} were sent, {n_refused} refused");
}

/// The end of a CR is the last of its changes: it waits for the one that is under way, unless that is overridden, and none is made
/// while it is under way itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_not_deleted_over_a_patch_but_by_an_override_nor_patched_meanwhile() {
    let scene = Scene::new("delete").await;
    let spot = POSTGRESQL.at(&scene.stage.namespace, "shop");
    let held = json!({"metadata": {"finalizers": ["pgdeck/test"]}});
    scene.stage.store.patch(&spot, &held).await.unwrap();
    let begins = |words: &[&str]| {
        let mut command = scene.command(&[&["do"], words, &["--write"]].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    };
    let answered = || scene.kept().iter().filter(|line| line["entry"] == "answered").count();
    let mut patching = begins(&["scale", "shop", "2", "--yes"]);
    eventually("the patch", async || answered() == 1).await;

    let delete = ["delete", "shop", "--confirm", "shop"];
    let (code, said) = scene.pgdeck(&[&["do"], &delete[..], &["--write"]].concat()).await;
    assert!(
        code == Some(3) && said.contains("RED    scale changes this cluster's CR, and has not ended"),
        "{code:?}: {said}"
    );
    let overridden = ["--override", "shop", "--reason", "the patch hangs"];
    let mut deleting = begins(&[&delete[..], &overridden].concat());
    eventually("the end", async || answered() == 2).await;
    let object = scene.stage.store.get(&spot).await.unwrap().unwrap();
    assert!(object["metadata"]["deletionTimestamp"].is_string(), "{object:#}");
    let asked = scene.kept().iter().rfind(|line| line["entry"] == "asked").unwrap().clone();
    assert_eq!((&asked["action"], asked["despite"].is_string()), (&json!("delete"), true));

    patching.kill().await.unwrap();
    let (code, said) = scene.pgdeck(&["do", "detach", "shop", "--write", "--yes", "--timeout", "1"]).await;
    assert!(
        code == Some(3) && said.contains("delete changes this cluster's CR, and has not ended"),
        "{code:?}: {said}"
    );
    assert_eq!((scene.outcomes("scale"), scene.outcomes("delete")), (vec![json!("UNPROVEN")], vec![Value::Null]));
    deleting.kill().await.unwrap();
}
