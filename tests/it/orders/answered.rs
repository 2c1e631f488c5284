//! What a confirmation takes: a red line that is overridden by name and reason, a protected context whose name is typed.

use std::process::Output;

use pgdeck::sandbox::objects::POSTGRESQL;
use serde_json::{Value, json};
use tokio::process::Command;

use super::Scene;

impl Scene {
    /// Runs `pgdeck do scale shop 2`; what is sent is waited for a second, in vain.
    async fn scale(&self, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.env_clear().env("HOME", &self.folder).env("KUBECONFIG", self.proxy.options().kubeconfig.unwrap());
        command.args(["-n", &self.stage.namespace, "do", "scale", "shop", "2", "--timeout", "1"]).args(options);
        command.output().await.unwrap()
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
}
