//! What people write into a command that Postgres runs is read by nobody again.

use super::stage::{PATIENCE, Scene};
use crate::kube::stage::eventually;
use crate::tty::Tty;

/// Logins of each kind, in a command that archives nothing.
const COMMAND: &str = "HTTPS_PROXY=http://me:CANARY-1@proxy AWS_SECRET_ACCESS_KEY=CANARY-2 /bin/true --secret-key CANARY-3 \
                       https://you:CANARY-4@archive/%f %p";
const TOLD: &str = "HTTPS_PROXY=(hidden) AWS_SECRET_ACCESS_KEY=(hidden) /bin/true --secret-key (hidden) \
                    https://(hidden)@archive/%f %p";

#[tokio::test]
async fn a_login_in_the_archive_command_is_on_no_screen_and_in_no_journal() {
    let scene = Scene::up("act-hidden");
    let session = scene.session("primary").await;
    session.client.batch_execute(&format!("alter system set archive_command = '{COMMAND}'")).await.unwrap();
    session.client.batch_execute("select pg_reload_conf()").await.unwrap();
    let in_force = async || {
        let row = session.client.query_one("select current_setting('archive_command')", &[]).await.unwrap();
        row.get::<_, String>(0) == COMMAND
    };
    eventually("the command in force", in_force).await;
    drop(session);

    let mut tty = Tty::start(&["-A"], &[("KUBECONFIG", &scene.kubeconfig)], (200, 60));
    tty.wait_within(PATIENCE, "the members", |tty| tty.text().contains("acid-shop") && tty.text().contains("2/2"));
    tty.keys("\r");
    tty.wait_within(PATIENCE, "the cluster", |tty| tty.text().contains("TOPOLOGY"));
    tty.keys("\r");
    tty.wait_within(PATIENCE, "the command", |tty| tty.text().contains("AWS_SECRET_ACCESS_KEY=(hidden)"));
    assert!(!tty.text().contains("CANARY"), "{}", tty.text());
    tty.keys("\u{3}");
    tty.wait_exit(PATIENCE);

    let run = scene.proved(&["wal-archiving", "acid-shop", "off", "by=parameter", "--yes"]).to_string();
    assert!(run.contains(TOLD) && !run.contains("CANARY"), "{run}");
    let journal = scene.lines();
    let text = format!("{journal:?}");
    assert!(text.contains(TOLD) && !text.contains("CANARY"), "{text}");
    for format in ["json", "yaml"] {
        let (code, out, err) = scene.pgdeck(&["status", "-A", "-o", format]);
        assert!(code == 0 && !out.contains("CANARY"), "{format}: {out}{err}");
    }
}
