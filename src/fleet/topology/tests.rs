use std::sync::Arc;

use super::*;
use crate::fleet::cluster::{Cluster, Origin};
use crate::fleet::health::Health;
use crate::fleet::known::Known;
use crate::id::{ClusterId, PlaneId};
use crate::metric::vitals::Receiver;

fn server(in_recovery: bool, from: Option<&str>) -> Vitals {
    let receiver = from.map(|host| Receiver {
        status: "streaming".into(),
        sender_host: Some(host.into()),
        sender_port: Some(5432),
        slot: None,
        latest_end: None,
        last_message: None,
    });
    Vitals {
        version: 150_000,
        system: None,
        in_recovery,
        timeline: Some(1),
        started: Timestamp::UNIX_EPOCH,
        loaded: Timestamp::UNIX_EPOCH,
        remote_apply: false,
        clock: Timestamp::UNIX_EPOCH,
        written: (!in_recovery).then_some(Lsn(100)),
        received: in_recovery.then_some(Lsn(90)),
        replayed: in_recovery.then_some(Lsn(80)),
        replayed_commit: None,
        replay: Replay::Running,
        receiver,
        connections: 1,
        max_connections: 100,
        oldest_transaction: None,
        xid_age: 1,
        pending_restart: Vec::new(),
        synchronous_standby_names: "".into(),
        writable: !in_recovery,
    }
}

fn entry(servers: &[(&str, Vitals)]) -> Entry {
    let id = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "old".into() };
    let mut cluster = Cluster::named(id, Origin::Hosts);
    let mut instances = std::collections::BTreeMap::new();
    for (name, vitals) in servers {
        cluster.members.push(Arc::new(Member {
            name: (*name).into(),
            uid: None,
            pod: None,
            patroni: None,
            label_role: Role::Unknown,
            address: Some(format!("{name}:5432").into()),
        }));
        let value = Box::new(vitals.clone());
        let vitals = Known::Seen { value, at: Timestamp::UNIX_EPOCH };
        instances.insert(Text::from(*name), Instance { vitals, ..Instance::default() });
    }
    let (seen, health) = (Timestamp::UNIX_EPOCH, Health::default());
    let (moves, events) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
    Entry { cluster, seen, moves, instances, events, health, changed: 0, stale: false }
}

#[test]
fn plain_hosts_stand_below_the_server_they_stream_from() {
    let entry = entry(&[("c", server(true, Some("b"))), ("a", server(false, None)), ("b", server(true, Some("a")))]);
    let tree: Vec<_> = tree(&entry).into_iter().map(|node| (node.depth, node.name.to_string(), node.kind)).collect();
    let expected = [(0, "a", Kind::Primary), (1, "b", Kind::Asynchronous), (2, "c", Kind::Asynchronous)];
    assert_eq!(tree, expected.map(|(depth, name, kind)| (depth, name.to_owned(), kind)));
    assert_eq!(worst_lag(&entry).map(|(_, lag)| lag), Some(Lag { bytes: Bytes(20), exact: true }));
}

/// A physical standby's row, as a primary shows it.
fn sender(name: &str, client: &str) -> WalSender {
    WalSender {
        client: Some(client.into()),
        replayed: Some(Lsn(70)),
        sync_state: Some("async".into()),
        reference: Some(Lsn(100)),
        ..crate::metric::replication::tests::sender(name, Some("streaming"))
    }
}

fn serve(entry: &mut Entry, name: &str, value: Vec<WalSender>) {
    entry.instances.get_mut(name).unwrap().replication = Known::Seen { value, at: Timestamp::UNIX_EPOCH };
}

fn offered(entry: &Entry) -> Vec<(usize, String, Option<Text>)> {
    let found = tree(entry).into_iter().filter(|node| node.kind == Kind::Unlisted);
    found.map(|node| (node.depth, node.name.to_string(), node.client)).collect()
}

#[test]
fn a_standby_that_streams_but_is_not_listed_is_found() {
    let mut entry = entry(&[("10.0.0.1", server(false, None)), ("10.0.0.2", server(true, Some("10.0.0.1")))]);
    serve(&mut entry, "10.0.0.1", vec![sender("walreceiver", "10.0.0.2"), sender("walreceiver", "10.0.0.3")]);
    serve(&mut entry, "10.0.0.2", vec![sender("cascade", "10.0.0.4")]);
    let expected = [(2, "cascade", "10.0.0.4"), (1, "walreceiver", "10.0.0.3")];
    assert_eq!(offered(&entry), expected.map(|(depth, name, host)| (depth, name.to_owned(), Some(host.into()))));
    let tree = tree(&entry);
    let found = tree.iter().find(|node| node.client.as_deref() == Some("10.0.0.3")).unwrap();
    assert_eq!((&*found.state, found.position), ("streaming", Some(Lsn(70))));
    assert_eq!(found.lag, Some(Lag { bytes: Bytes(30), exact: true }));
}

#[test]
fn a_second_server_on_a_listed_host_is_not_taken_for_the_first() {
    let mut entry = entry(&[("10.0.0.1", server(false, None))]);
    serve(&mut entry, "10.0.0.1", vec![sender("walreceiver", "10.0.0.1")]);
    assert_eq!(offered(&entry), [(1, "walreceiver".to_owned(), Some("10.0.0.1".into()))]);
}

#[test]
fn copies_and_wal_archivers_are_no_standbys() {
    let mut entry = entry(&[("10.0.0.1", server(false, None))]);
    let backup = WalSender { state: Some("backup".into()), ..sender("nightly", "10.0.0.3") };
    let hidden = WalSender { state: None, ..sender("hidden", "10.0.0.3") };
    let logical = WalSender { logical: true, ..sender("cdc", "10.0.0.3") };
    let others = ["pg_basebackup", "pg_receivewal"].map(|name| sender(name, "10.0.0.3"));
    serve(&mut entry, "10.0.0.1", others.into_iter().chain([backup, hidden, logical]).collect());
    assert_eq!(offered(&entry), []);
}

#[test]
fn nothing_is_offered_that_may_be_listed_by_another_address() {
    let mut entry = entry(&[("10.0.0.1", server(false, None)), ("db2.example", server(true, Some("db1.example")))]);
    serve(&mut entry, "10.0.0.1", vec![sender("walreceiver", "10.0.0.2")]);
    assert_eq!(offered(&entry), []);
    // Its slot tells which one it is; the other is known to be unlisted then.
    let mut vitals = server(true, Some("db1.example"));
    vitals.receiver.as_mut().unwrap().slot = Some("two".into());
    entry.instances.get_mut("db2.example").unwrap().vitals =
        Known::Seen { value: Box::new(vitals), at: Timestamp::UNIX_EPOCH };
    let two = WalSender { slot: Some("two".into()), ..sender("walreceiver", "10.0.0.2") };
    serve(&mut entry, "10.0.0.1", vec![sender("walreceiver", "10.0.0.3"), two]);
    assert_eq!(offered(&entry), [(1, "walreceiver".to_owned(), Some("10.0.0.3".into()))]);
}

#[test]
fn a_listed_address_in_brackets_is_recognized() {
    let mut entry = entry(&[("10.0.0.1", server(false, None)), ("[fd00::2]", server(true, Some("10.0.0.1")))]);
    serve(&mut entry, "10.0.0.1", vec![sender("walreceiver", "fd00::2")]);
    assert_eq!(offered(&entry), []);
}

#[test]
fn a_cluster_of_kubernetes_offers_no_hosts() {
    let mut entry = entry(&[("10.0.0.1", server(false, None))]);
    entry.cluster.origin = Origin::Resource;
    serve(&mut entry, "10.0.0.1", vec![sender("walreceiver", "10.0.0.3")]);
    assert_eq!(offered(&entry), []);
}

#[test]
fn members_that_are_still_being_listed_are_not_counted_as_missing() {
    let mut entry = entry(&[("a", server(false, None))]);
    assert_eq!(n_ready(&entry), Some(1));
    entry.instances.clear();
    assert_eq!(n_ready(&entry), None);
    entry.cluster.origin = Origin::Resource;
    assert_eq!(n_ready(&entry), Some(0));
    entry.cluster.coming = true;
    assert_eq!(n_ready(&entry), None);
}
