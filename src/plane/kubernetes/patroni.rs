//! Patroni's words on Kubernetes objects: the `status` annotation of pods, and the leader, config, sync and failover objects.
//!
//! Read for Patroni 2 to 4: `master` and `primary`, Endpoints and ConfigMaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::pool::Pool;
use super::slim::Meta;
use crate::fleet::cluster::{DcsConfig, Held, HistoryEntry, PatroniMember, Role, Switchover};
use crate::id::Text;
use crate::metric::lsn::{Bytes, Lsn};
use crate::work::secrets;

/// Which of Patroni's objects it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Leader,
    Config,
    Sync,
    Failover,
}

/// Which of a cluster's objects that name is: in Endpoints the leader's has the cluster's own name.
pub fn place(name: &str, cluster: &str, endpoints: bool) -> Option<Place> {
    match name.strip_prefix(cluster)? {
        "" if endpoints => Some(Place::Leader),
        "-leader" if !endpoints => Some(Place::Leader),
        "-config" => Some(Place::Config),
        "-sync" => Some(Place::Sync),
        "-failover" => Some(Place::Failover),
        _ => None,
    }
}

/// The leader object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leader {
    pub name: Option<Text>,
    pub acquired: Option<Timestamp>,
    pub renewed: Option<Timestamp>,
    pub ttl: Option<u32>,
    pub transitions: Option<u32>,
    pub optime: Option<Lsn>,
    pub slots: BTreeMap<Text, Lsn>,
}

/// Reads the leader object's annotations.
pub fn leader(meta: &Meta, pool: &mut Pool) -> Leader {
    let text = |key: &str| meta.annotation(key).filter(|text| !text.is_empty());
    let slots = text("slots").and_then(|text| serde_json::from_str::<BTreeMap<String, u64>>(text).ok());
    Leader {
        name: text("leader").map(|name| pool.text(name)),
        acquired: text("acquireTime").and_then(time),
        renewed: text("renewTime").and_then(time),
        ttl: text("ttl").and_then(|ttl| ttl.parse().ok()),
        transitions: text("transitions").and_then(|count| count.parse().ok()),
        optime: text("optime").and_then(|lsn| lsn.parse().ok()).map(Lsn),
        slots: slots.into_iter().flatten().map(|(name, lsn)| (pool.text(&name), Lsn(lsn))).collect(),
    }
}

/// The config object: dynamic configuration, system identifier, history.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub config: Option<Arc<DcsConfig>>,
    pub system: Option<Text>,
    pub history: Arc<[HistoryEntry]>,
    /// JSON that could not be read, by annotation.
    pub unreadable: Vec<(Text, Text)>,
}

/// Reads the config object's annotations.
pub fn config(meta: &Meta, pool: &mut Pool) -> Config {
    let mut read = Config { system: meta.annotation("initialize").map(Text::from), ..Config::default() };
    let mut json = |key: &'static str| {
        let text = meta.annotation(key)?;
        match serde_json::from_str::<Value>(text) {
            Ok(value) => Some(value),
            Err(error) => {
                read.unreadable.push((key.into(), error.to_string().into()));
                None
            }
        }
    };
    let (configuration, history) = (json("config"), json("history"));
    let version = Some(Text::from(meta.resource_version.as_str()));
    read.config = configuration.map(|value| Arc::new(DcsConfig { version, ..dynamic(&value, pool) }));
    read.history = history.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(entry).collect();
    read
}

fn dynamic(value: &Value, pool: &mut Pool) -> DcsConfig {
    let number = |key: &str| value[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let parameters = value["postgresql"]["parameters"].as_object().into_iter().flatten();
    DcsConfig {
        pause: value["pause"].as_bool().unwrap_or(false),
        synchronous: truthy(&value["synchronous_mode"]),
        synchronous_strict: truthy(&value["synchronous_mode_strict"]),
        ttl: number("ttl"),
        loop_wait: number("loop_wait"),
        maximum_lag_on_failover: value["maximum_lag_on_failover"].as_u64().map(Bytes),
        failsafe: value["failsafe_mode"].as_bool(),
        standby_cluster: value["standby_cluster"].as_object().is_some_and(|standby| !standby.is_empty()),
        slots: value["slots"].as_object().into_iter().flatten().map(|(name, _)| pool.text(name)).collect(),
        parameters: parameters
            .map(|(name, value)| (pool.text(name), pool.text(&secrets::setting(name, &plain(value)))))
            .collect(),
        held: held(&value["pgdeck"]["replay-pause"]),
        version: None,
    }
}

/// What a pgdeck has written there.
fn held(value: &Value) -> Option<Held> {
    Some(Held {
        member: value["member"].as_str()?.into(),
        who: value["who"].as_str().unwrap_or("somebody").into(),
        since: value["since"].as_str().and_then(time),
        for_s: value["for_s"].as_u64().and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0),
    })
}

/// `true`, `"on"`, `"quorum"` (Patroni 4) all mean that it is on.
fn truthy(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| !matches!(text, "" | "off" | "false")))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn entry(value: &Value) -> Option<HistoryEntry> {
    Some(HistoryEntry {
        timeline: u32::try_from(value[0].as_u64()?).ok()?,
        lsn: Lsn(value[1].as_u64()?),
        reason: value[2].as_str().unwrap_or_default().into(),
        at: value[3].as_str().and_then(time),
        new_leader: value[4].as_str().map(Text::from),
    })
}

/// The sync object: who leads, who is synchronous.
pub fn sync(meta: &Meta, pool: &mut Pool) -> (Option<Text>, Vec<Text>) {
    let names = meta.annotation("sync_standby").unwrap_or_default();
    let standbys =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(|name| pool.text(name)).collect();
    (meta.annotation("leader").map(|name| pool.text(name)), standbys)
}

/// The failover object: a switchover that waits for its time.
pub fn failover(meta: &Meta) -> Option<Switchover> {
    let text = |key: &str| meta.annotation(key).filter(|text| !text.is_empty()).map(Text::from);
    let switchover = Switchover { from: text("leader"), to: text("member"), at: text("scheduled_at") };
    (switchover.from.is_some() || switchover.to.is_some()).then_some(switchover)
}

/// Reads the annotation `status` of a pod. The error is fit to be shown.
pub fn member(text: &str, pool: &mut Pool) -> Result<PatroniMember, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("it is no JSON object".into());
    }
    let lsn = |key: &str| value[key].as_u64().map(Lsn);
    let mut word = |key: &str| value[key].as_str().map(|text| pool.text(text));
    let (state, version, replication_state) = (word("state"), word("version"), word("replication_state"));
    let pending = value["pending_restart_reason"].as_object().into_iter().flatten();
    let tags = value["tags"].as_object().into_iter().flatten();
    Ok(PatroniMember {
        state: state.unwrap_or_else(|| "unknown".into()),
        role: value["role"].as_str().map_or(Role::Unknown, Role::from_word),
        version,
        timeline: value["timeline"].as_u64().and_then(|timeline| u32::try_from(timeline).ok()),
        position: lsn("xlog_location"),
        received: lsn("receive_lsn"),
        replayed: lsn("replay_lsn"),
        replication_state,
        pending_restart: value["pending_restart"].as_bool().unwrap_or(false),
        pending_reason: pending
            .map(|(name, change)| {
                (name.as_str().into(), (plain(&change["old_value"]).into(), plain(&change["new_value"]).into()))
            })
            .collect(),
        pause: value["pause"].as_bool().unwrap_or(false),
        tags: tags.map(|(name, value)| (name.as_str().into(), plain(value).into())).collect(),
    })
}

/// A time as Patroni or Kubernetes writes it.
pub fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_which_object_it_is_in_either_store() {
        assert_eq!(place("acid-shop-leader", "acid-shop", false), Some(Place::Leader));
        assert_eq!(place("acid-shop", "acid-shop", true), Some(Place::Leader));
        assert_eq!(place("acid-shop", "acid-shop", false), None);
        assert_eq!(place("acid-shop-repl", "acid-shop", true), None);
        assert_eq!(place("acid-shop-sync", "acid-shop", true), Some(Place::Sync));
    }

    #[test]
    fn a_member_is_read_in_the_words_of_three_and_of_four() {
        let mut pool = Pool::default();
        let three = r#"{"conn_url":"postgres://10.2.1.5:5432/postgres","state":"running","role":"master","version":"3.0.2","xlog_location":67419744,"timeline":5}"#;
        let four = r#"{"state":"running","role":"replica","version":"4.1.5","xlog_location":9,"receive_lsn":9,"replay_lsn":8,"replication_state":"streaming","timeline":5,"pending_restart":true,"pending_restart_reason":{"max_connections":{"old_value":"100","new_value":"200"}}}"#;
        let (three, four) = (member(three, &mut pool).unwrap(), member(four, &mut pool).unwrap());
        assert_eq!((three.role, three.position, three.timeline), (Role::Primary, Some(Lsn(67_419_744)), Some(5)));
        assert_eq!((four.role, four.replayed, four.pending_restart), (Role::Standby, Some(Lsn(8)), true));
        assert_eq!(four.pending_reason["max_connections"], ("100".into(), "200".into()));
        assert!(member("oops", &mut pool).is_err());
    }
}
