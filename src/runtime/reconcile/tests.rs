use super::*;
use crate::id::{ClusterId, PlaneId};

/// A runtime that carries out every change, and a clock that is set by hand.
#[derive(Default)]
struct Rig {
    streams: Streams,
    log: Vec<String>,
}

impl Rig {
    /// What is wanted at that millisecond; returns the opens and closes that follow.
    fn at(&mut self, millis: i64, wanted: &[&str]) -> Vec<String> {
        let now = Timestamp::from_millisecond(millis).unwrap();
        let wanted = Wanted::of(&wanted.iter().copied().map(want).collect());
        let changes = reconcile(&self.streams, &wanted, 2, now);
        for change in &changes {
            self.streams.apply(change, now);
        }
        assert_eq!(reconcile(&self.streams, &wanted, 2, now), [], "a second look finds nothing to do");
        let told: Vec<_> = changes.iter().filter_map(tell).collect();
        self.log.extend(told.clone());
        told
    }

    fn due(&self) -> Option<i64> {
        due(&self.streams, 2).map(Timestamp::as_millisecond)
    }
}

fn instance(name: &str) -> InstanceId {
    let cluster = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "c".into() };
    InstanceId { cluster, member: name.into() }
}

/// `fleet`, `log`, or a survey of an instance of that name.
fn want(name: &str) -> Want {
    match name {
        "fleet" => Want::Fleet,
        "log" => Want::Logs { instance: instance("a"), container: "postgres".into() },
        name => Want::Survey { instance: instance(name), survey: SurveyId::Vitals, every: Duration::from_secs(2) },
    }
}

fn tell(change: &Change) -> Option<String> {
    let name = |stream: &Stream| match stream {
        Stream::Plane(Want::Fleet) => "fleet".to_owned(),
        Stream::Plane(_) => "log".to_owned(),
        Stream::Samples(instance) => instance.member.to_string(),
    };
    match change {
        Change::Open(stream) => Some(format!("+{}", name(stream))),
        Change::Close(stream) => Some(format!("-{}", name(stream))),
        Change::Yield(instance) => Some(format!("~{}", instance.member)),
        Change::Await(_) | Change::Forget(_) | Change::Idle(_) | Change::Resume(_) | Change::Ask(..) => None,
    }
}

#[test]
fn the_fleet_and_logs_open_at_once_and_samples_after_a_moment() {
    let mut rig = Rig::default();
    assert_eq!(rig.at(0, &["fleet", "log", "a"]), ["+fleet", "+log"]);
    assert_eq!(rig.due(), Some(300));
    assert_eq!(rig.at(299, &["fleet", "log", "a"]), [""; 0]);
    assert_eq!(rig.at(300, &["fleet", "log", "a"]), ["+a"]);
    assert_eq!(rig.due(), None);
}

#[test]
fn scrolling_past_opens_nothing() {
    let mut rig = Rig::default();
    rig.at(0, &["a"]);
    rig.at(200, &["b"]);
    rig.at(400, &["c"]);
    assert_eq!(rig.at(700, &["c"]), ["+c"]);
    assert_eq!(rig.log, ["+c"]);
}

#[test]
fn samples_close_late_and_coming_back_finds_them_running() {
    let mut rig = Rig::default();
    rig.at(0, &["a"]);
    rig.at(300, &["a"]);
    assert_eq!(rig.at(1_000, &[]), [""; 0]);
    assert_eq!(rig.due(), Some(31_000));
    assert_eq!(rig.at(30_000, &["a"]), [""; 0]);
    assert_eq!(rig.due(), None);
    rig.at(40_000, &[]);
    assert_eq!(rig.at(70_000, &[]), ["-a"]);
    assert_eq!(rig.streams, Streams::default());
}

#[test]
fn a_log_ends_with_its_view() {
    let mut rig = Rig::default();
    rig.at(0, &["log"]);
    assert_eq!(rig.at(10, &[]), ["-log"]);
}

#[test]
fn more_instances_than_fit_take_turns() {
    let mut rig = Rig::default();
    let wanted = ["a", "b", "c"];
    rig.at(0, &wanted);
    assert_eq!(rig.at(300, &wanted), ["+a", "+b"]);
    // Turns that end within one second end together, at its end.
    assert_eq!(rig.due(), Some(11_000));
    assert_eq!(rig.at(10_299, &wanted), [""; 0]);
    assert_eq!(rig.at(10_300, &wanted), ["~a", "+c"]);
    assert_eq!(rig.at(20_300, &wanted), ["~b", "+a"]);
    assert_eq!(rig.at(30_300, &wanted), ["~c", "+b"]);
}

#[test]
fn what_nobody_wants_makes_room_at_once() {
    let mut rig = Rig::default();
    rig.at(0, &["a", "b"]);
    rig.at(300, &["a", "b"]);
    rig.at(400, &["b", "c"]);
    assert_eq!(rig.at(700, &["b", "c"]), ["-a", "+c"]);
}

#[test]
fn surveys_of_one_instance_share_its_stream_and_may_change() {
    let now = Timestamp::UNIX_EPOCH;
    let mut streams = Streams::default();
    let want = |survey, every| Want::Survey { instance: instance("a"), survey, every: Duration::from_secs(every) };
    let wanted = BTreeSet::from([want(SurveyId::Vitals, 2), want(SurveyId::Vitals, 9), want(SurveyId::Slots, 5)]);
    let asked = Surveys::from([(SurveyId::Vitals, Duration::from_secs(2)), (SurveyId::Slots, Duration::from_secs(5))]);

    let changes = reconcile(&streams, &Wanted::of(&wanted), 2, now);
    assert_eq!(changes, [Change::Ask(instance("a"), asked.clone()), Change::Await(Stream::Samples(instance("a")))]);
    for change in &changes {
        streams.apply(change, now);
    }
    assert_eq!(streams.surveys(&instance("a")), asked);

    let fewer = BTreeSet::from([want(SurveyId::Vitals, 2)]);
    let changes = reconcile(&streams, &Wanted::of(&fewer), 2, now);
    let asked = Surveys::from([(SurveyId::Vitals, Duration::from_secs(2))]);
    assert_eq!(changes, [Change::Ask(instance("a"), asked)]);
}
