//! Whose word a proof is, where the one that tells most is not to be had.

use super::stage::Scene;

/// The role of an application sees nothing of the servers: what Patroni says is all there is, and is told as that.
#[test]
fn without_the_right_to_look_in_sql_a_new_leader_is_patronis_word() {
    let scene = Scene::up("act-word");
    let folder = scene.home.join(".config/pgdeck");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "roles = { one = \"shop\" }\n").unwrap();
    let new = scene.name("standby");
    let run = scene.proved(&["switchover", "acid-shop", "--yes"]);
    let word = "1 of 1 standbys follow by Patroni's word alone (pg_stat_replication is hidden: needs pg_monitor)";
    let told = run["lines"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap();
    assert_eq!(told, format!("{new} leads on timeline 2; {word}"));
    assert_eq!(scene.name("primary"), new);
}
