//! A primary that hangs, Patroni and Postgres alike: it takes connections and answers nothing, as on a machine whose disk is gone.

use std::fs;
use std::time::Instant;

use pgdeck::sandbox::objects::CONFIG_MAP;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::stage::Scene;
use crate::kube::stage::eventually;
use crate::sandbox::store;

/// Every process of a member, stopped until this is dropped.
pub struct Stopped(Vec<Pid>);

impl Stopped {
    pub fn all_of(member: &Value) -> Stopped {
        let folder = member["folder"].as_str().unwrap();
        let is_its = |process: &std::path::Path| {
            let words = fs::read(process.join("cmdline")).unwrap_or_default();
            fs::read_link(process.join("cwd")).is_ok_and(|at| at.starts_with(folder))
                || String::from_utf8_lossy(&words).contains(folder)
        };
        let pid = |process: &std::path::Path| Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?);
        let mut stopped = Stopped(Vec::new());
        // What was born while the others were stopped is stopped by the next look.
        loop {
            let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
            let found = processes.filter(|process| is_its(process)).filter_map(|process| pid(&process));
            let new: Vec<Pid> = found.filter(|pid| !stopped.0.contains(pid)).collect();
            // One that has ended meanwhile needs no stop.
            stopped.0.extend(new.iter().filter(|pid| kill_process(**pid, Signal::STOP).is_ok()));
            if new.is_empty() {
                break;
            }
        }
        assert!(stopped.0.len() > 3, "only {:?} belong to {folder}", stopped.0);
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            // It may be gone: then there is nothing to go on.
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

#[tokio::test]
async fn a_standby_is_asked_and_takes_over_where_the_primary_hangs() {
    let scene = Scene::up("act-hanging");
    let (old, new) = (scene.name("primary"), scene.name("standby"));
    let stopped = Stopped::all_of(&scene.member("primary"));
    let begun = Instant::now();
    let run = scene.proved(&["failover", "acid-shop", &format!("to={new}"), "--confirm", "acid-shop"]);
    eprintln!("a failover from a primary that hangs took {:.1} s", begun.elapsed().as_secs_f64());
    let preflight: Vec<&str> =
        run["preflight"].as_array().unwrap().iter().map(|light| light["text"].as_str().unwrap()).collect();
    let told = format!("{old} leads by Patroni's last word, and does not answer: it is not waited for");
    assert!(preflight.iter().any(|text| text.starts_with(&told)), "{preflight:#?}");
    let session = scene.session("primary").await;
    assert_eq!(scene.name("primary"), new);
    session.client.batch_execute("create table since (at timestamptz default now())").await.unwrap();

    // Where it goes on it finds that it leads no more, and follows.
    drop(stopped);
    scene.sandbox.wait_until("whole", |status| status["is_ready"] == true);
    assert_eq!((scene.name("primary"), scene.name("standby")), (new.clone(), old.clone()));
    // In recovery is not following yet: it may have to be rewound first, and not while Patroni is paused.
    let streams = "select count(*) = 1 from pg_stat_replication where state = 'streaming'";
    let is_streamed_from = async || session.client.query_one(streams, &[]).await.unwrap().get(0);
    eventually("streams from the new primary", is_streamed_from).await;

    // The standby's Patroni takes what is for all, too; that the one that hangs obeys is not to be had, and not said.
    scene.proved(&["patroni-pause", "acid-shop", "--yes"]);
    let stopped = Stopped::all_of(&scene.member("primary"));
    let (code, out, err) = scene.pgdeck(&["do", "patroni-resume", "acid-shop", "--write", "--yes", "--timeout", "2"]);
    assert!(code == 6 && out.contains(&format!("PATCH /config on {old}")), "{code}: {out}{err}");
    let spot = CONFIG_MAP.at("production", "acid-shop-config");
    let map = store(&scene.sandbox.status()).await.get(&spot).await.unwrap().unwrap();
    let config: Value = serde_json::from_str(map["metadata"]["annotations"]["config"].as_str().unwrap()).unwrap();
    assert!(config["pause"].is_null(), "{config}");
    scene.sandbox.wait_until("led by the standby", |status| {
        let members = status["members"].as_array().unwrap();
        members.iter().any(|member| member["name"] == *old && member["role"] == "primary")
    });
    drop(stopped);
}
