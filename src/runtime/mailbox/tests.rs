use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::app::Msg;
use crate::fault::Fault;
use crate::fleet::cluster::{Cluster, Origin};
use crate::id::PlaneId;
use crate::keymap::chord::{Chord, Code};

fn named(name: &str) -> ClusterId {
    ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: name.into() }
}

fn cluster(name: &str, second: i64) -> Seen {
    let cluster = Box::new(Cluster::named(named(name), Origin::Hosts));
    Seen::Cluster { cluster, at: Timestamp::from_second(second).unwrap() }
}

fn rows(survey: SurveyId) -> Seen {
    let instance = InstanceId { cluster: named("a"), member: "a-0".into() };
    Seen::Rows { instance, database: None, survey, at: Timestamp::UNIX_EPOCH, took_ms: 1, rows: Err(Fault::Cancelled) }
}

fn lines(n: usize) -> Seen {
    let instance = InstanceId { cluster: named("a"), member: "a-0".into() };
    let lines = (0..n).map(|idx| LogLine { at: None, text: idx.to_string().into() }).collect();
    Seen::Log { instance, container: "postgres".into(), lines, dropped: 0 }
}

fn told(data: &[Msg]) -> Vec<String> {
    let tell = |msg: &Msg| match msg {
        Msg::Seen(seen) => match &**seen {
            Seen::Cluster { cluster, at } => format!("{}@{}", cluster.id.name, at.as_second()),
            Seen::Gone(id) => format!("-{}", id.name),
            Seen::Rows { survey, .. } => format!("{survey:?}"),
            Seen::Log { lines, dropped, .. } => format!("{} lines, {dropped} dropped", lines.len()),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    };
    data.iter().map(tell).collect()
}

fn now_and(most: usize) -> Patience {
    let now = super::super::clock::instant();
    Patience { data_from: now, until: Some(now), most }
}

#[test]
fn the_newest_of_a_key_wins_and_everything_else_keeps_its_order() {
    let check = |put: Vec<Seen>, expected: &[&str]| {
        let mailbox = Mailbox::default();
        for seen in put {
            mailbox.put(seen);
        }
        assert_eq!(told(&mailbox.take(now_and(100)).data), expected);
    };
    check(vec![cluster("a", 1), cluster("b", 1), cluster("a", 2)], &["b@1", "a@2"]);
    check(vec![cluster("a", 1), Seen::Gone(named("a")), cluster("a", 2)], &["-a", "a@2"]);
    check(vec![cluster("a", 1), Seen::Gone(named("a"))], &["a@1", "-a"]);
    check(vec![rows(SurveyId::Vitals), rows(SurveyId::Slots), rows(SurveyId::Vitals)], &["Slots", "Vitals"]);
}

#[test]
fn merging_holds_across_takes() {
    let mailbox = Mailbox::default();
    for second in 0..3 {
        mailbox.put(cluster("a", second));
        mailbox.put(cluster("b", second));
    }
    assert_eq!(told(&mailbox.take(now_and(1)).data), ["a@2"]);
    mailbox.put(cluster("a", 7));
    mailbox.put(cluster("b", 8));
    assert_eq!(told(&mailbox.take(now_and(9)).data), ["a@7", "b@8"]);
    assert!(mailbox.take(now_and(9)).data.is_empty());
}

#[test]
fn log_lines_are_bounded_and_the_dropped_ones_counted() {
    let mailbox = Mailbox::default();
    mailbox.put(lines(LOG_LINES - 10));
    mailbox.put(lines(30));
    mailbox.put(lines(5));
    let first = told(&mailbox.take(now_and(100)).data);
    assert_eq!(first, [format!("{} lines, 0 dropped", LOG_LINES - 10), "10 lines, 20 dropped".into()]);
    mailbox.put(lines(1));
    assert_eq!(told(&mailbox.take(now_and(100)).data), ["1 lines, 5 dropped"]);
}

#[test]
fn a_key_comes_before_data_and_at_once() {
    let mailbox = Mailbox::default();
    mailbox.put(cluster("a", 1));
    mailbox.urge(Msg::Key(Chord::plain(Code::Enter)));
    let far = super::super::clock::instant() + Duration::from_secs(3600);
    let batch = mailbox.take(Patience { data_from: far, until: None, most: 10 });
    assert_eq!((batch.urgent.len(), batch.data.len()), (1, 0));
}

#[test]
fn only_the_last_size_of_a_storm_counts() {
    let mailbox = Mailbox::default();
    for columns in 10..200 {
        mailbox.urge(Msg::Resized(Size { columns, rows: 50 }));
    }
    let batch = mailbox.take(now_and(10));
    assert!(matches!(batch.urgent[..], [Msg::Resized(Size { columns: 199, rows: 50 })]));
}

#[test]
fn a_waiting_loop_is_woken_by_the_first_piece_of_data() {
    let mailbox = Mailbox::default();
    let other = mailbox.clone();
    let sender = thread::spawn(move || {
        let clusters = BTreeSet::from([named("a")]);
        other.put(Seen::Census { plane: PlaneId::Hosts, clusters, at: Timestamp::UNIX_EPOCH });
    });
    let now = super::super::clock::instant();
    let batch = mailbox.take(Patience { data_from: now, until: None, most: 10 });
    sender.join().unwrap();
    assert_eq!(batch.data.len(), 1);
}
