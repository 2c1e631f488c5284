//! What a confirmation takes: a red line that is overridden by name and reason, a protected context whose name is typed.

use std::process::Output;

use pgdeck::sandbox::objects::{EVENT, POSTGRESQL};
use serde_json::{Value, json};
use tokio::process::Command;

use super::Scene;

impl Scene {
    /// Runs `pgdeck do scale shop 2`; what is sent is waited for a second, in vain.
    async fn scale(&self, options: &[&str]) -> Output {
        self.scale_by(Command::new(env!("CARGO_BIN_EXE_pgdeck")), options).await
    }

    async fn scale_by(&self, mut command: Command, options: &[&str]) -> Output {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", &self.folder).env("KUBECONFIG", self.proxy.options().kubeconfig.unwrap());
        command.args(["-n", &self.stage.namespace, "do", "scale", "shop", "2", "--timeout", "1"]).args(options);
        command.output().await.unwrap()
    }

    /// The Events that pgdeck has written.
    async fn events(&self) -> Vec<Value> {
        let events = self.stage.store.list(EVENT, &self.stage.namespace, "").await.unwrap();
        events.into_iter().filter(|event| event["reason"] == "pgdeck").collect()
    }

    async fn refuses(&self, options: &[&str], why: &str) {
        let output = self.scale(options).await;
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && err.contains(why), "{options:?}: {:?}: {err}", output.status);
        assert_eq!(self.wanted().await, 1, "{options:?}");
    }

    /// It is sent; gives what the journal has of it.
    async fn sends(&self, options: &[&str]) -> Value {
        let output = self.scale(options).await;
        assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(self.wanted().await, 2);
        let journal = pgdeck::journal::Journal::in_folder(&self.folder.join(".local/state/pgdeck"));
        let (lines, _) = journal.read().unwrap();
        lines.iter().rfind(|line| line["entry"] == "asked").unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_red_line_is_overridden_by_the_name_and_a_reason_and_the_journal_has_both() {
    let scene = Scene::new("override").await;
    // Nobody would act on it: a red line.
    let detached = json!({"metadata": {"annotations": {"acid.zalan.do/controller": "nobody"}}});
    scene.stage.store.patch(&POSTGRESQL.at(&scene.stage.namespace, "shop"), &detached).await.unwrap();
    scene.refuses(&["--write", "--yes"], "--override shop --reason TEXT goes on all the same").await;
    scene.refuses(&["--write", "--yes", "--override", "shop"], "--override needs --reason TEXT").await;
    scene.refuses(&["--write", "--override", "shop-b", "--reason", "a drill"], "is not its name").await;
    scene.refuses(&["--override", "shop", "--reason", "a drill"], "add --write").await;
    let asked = scene.sends(&["--write", "--override", "shop", "--reason", "a drill"]).await;
    assert!(asked["confirm"].as_str().unwrap().starts_with("overridden by the name shop: detached"), "{asked:#}");
    assert_eq!(asked["reason"], "a drill");
    assert!(asked["preflight"].as_array().unwrap().iter().any(|light| light["colour"] == "red"), "{asked:#}");
    // Whoever looks at the CR with kubectl reads it too.
    let [event] = &scene.events().await[..] else { panic!("{:#?}", scene.events().await) };
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("scale by ") && message.ends_with("UNPROVEN; reason: a drill"), "{event:#}");
    assert_eq!((&event["involvedObject"]["uid"], &event["type"]), (&asked["uid"], &json!("Normal")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_protected_context_the_name_is_typed_and_yes_is_not_enough() {
    let scene = Scene::new("protected").await;
    let config = scene.folder.join(".config/pgdeck");
    std::fs::create_dir_all(&config).unwrap();
    let context = scene.proxy.options().context;
    std::fs::write(config.join("config.toml"), format!("protected = [\"{}*\"]\n", &context[..4])).unwrap();
    scene.refuses(&["--write", "--yes"], "by --confirm shop: its context is protected").await;
    scene.refuses(&["--write", "--yes", "--confirm", "shop-b"], "is not its name").await;
    let asked = scene.sends(&["--write", "--confirm", "shop"]).await;
    assert_eq!(asked["confirm"], "the name shop");
    assert_eq!(scene.events().await, Vec::<Value>::new(), "no reason was given");
}

/// A limit on the size of files does what a full disk does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_journal_cannot_keep_is_not_sent() {
    let scene = Scene::new("full").await;
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pgdeck")]);
    let output = scene.scale_by(command, &["--write", "--yes"]).await;
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("nothing is sent that the journal cannot keep") && err.contains("make room"), "{err}");
    assert_eq!(scene.wanted().await, 1);
    scene.sends(&["--write", "--yes"]).await;
}
