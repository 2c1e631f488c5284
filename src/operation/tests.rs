mod backups;
mod handed_over;
mod part_moves;
mod seen;
mod sessions;
mod standing;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::fault::Fault;
use crate::fleet::cluster::{Cluster, Member, Pod, Role, Workload};
use crate::metric::activity::Backend;
use crate::metric::archiver::Archiver;
use crate::metric::replication::WalSender;
use crate::metric::slots::Slot;
use crate::metric::slots::tests::logical;
use crate::metric::vitals::Vitals;
use crate::metric::{Rows, SurveyId};
use crate::run::Deal;
use crate::run::expect::Expect;
use crate::work::entry::Colour;
use crate::work::probe::{Left, Rules};

fn id() -> ClusterId {
    ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() }
}

fn aim(args: &[(&str, &str)]) -> Aim {
    let args = args.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
    Aim { cluster: id(), uid: Some("u".into()), member: None, args, at: Timestamp::UNIX_EPOCH, who: "me".into() }
}

/// Three members, that one leads, and shop-0 is asked.
fn patroni(leader: u32, config: serde_json::Value) -> Looked {
    patroni_of("shop-0", leader, config)
}

fn patroni_of(asked: &str, leader: u32, config: serde_json::Value) -> Looked {
    let member = |n: u32| {
        let role = if n == leader { "leader" } else { "replica" };
        json!({"name": format!("shop-{n}"), "role": role, "state": "running", "timeline": 1, "lag": n})
    };
    let cluster = json!({"members": [member(0), member(1), member(2)], "pause": config["pause"]});
    let asked = InstanceId { cluster: id(), member: asked.into() };
    (Probe::Patroni(asked), Ok(Answer::Patroni(Box::new(PatroniView::read(&cluster, config)))))
}

fn looked(leader: u32, config: serde_json::Value, change: impl FnOnce(&mut Objects)) -> Vec<Looked> {
    let mut cluster = Cluster::named(id(), Origin::Resource);
    cluster.uid = Some("u".into());
    cluster.status = Some("Running".into());
    cluster.spec.instances = Some(3);
    let (image, update_revision) = (None, None);
    let archive_env = BTreeMap::new();
    cluster.workload = Some(Workload { uid: "w".into(), replicas: 3, ready: 3, image, update_revision, archive_env });
    let mut objects = Objects {
        cluster,
        version: "7".into(),
        resource: json!({}),
        annotations: BTreeMap::new(),
        finalizers: Vec::new(),
        pods: BTreeMap::new(),
        rules: Rules::default(),
    };
    change(&mut objects);
    let right = may(&id(), "patch", "acid.zalan.do", "postgresqls");
    vec![
        (Probe::Objects(id()), Ok(Answer::Objects(Box::new(objects)))),
        patroni(leader, config),
        (right, Ok(Answer::May(true))),
    ]
}

fn left(kind: &'static str, name: &str, leaving: bool) -> Left {
    Left { kind, name: name.into(), uid: format!("uid of {name}").into(), leaving }
}

fn scale(count: &str, looked: &[Looked]) -> Result<Deal, String> {
    (scale::SCALE.consider)(&aim(&[("instances", count)]), looked)
}

fn red(deal: &Deal) -> Vec<&str> {
    deal.lights.iter().filter(|light| light.colour == Colour::Red).map(|light| &*light.text).collect()
}

#[test]
fn every_row_says_what_it_needs_to_say() {
    for operation in OPERATIONS {
        assert!(operation.doc.ends_with('.') && !operation.proof.is_empty() && !operation.undo.is_empty());
        assert!(!operation.keys.is_empty(), "{} has no key", operation.id);
    }
}

#[test]
fn arguments_are_read_in_order_or_by_name() {
    let read = |words: &[&str]| succession::SWITCHOVER.read(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(read(&["shop-1"]).unwrap()["to"].as_ref(), "shop-1");
    assert_eq!(read(&["at=2026-11-25T03:00+00:00"]).unwrap()["at"].as_ref(), "2026-11-25T03:00+00:00");
    assert!(read(&["a", "b", "c"]).unwrap_err().contains("takes no argument"));
    assert!(scale::SCALE.read(&[]).unwrap_err().contains("how many members"));
}

#[test]
fn scaling_up_is_one_patch() {
    let deal = scale("5", &looked(0, json!({}), |_| ())).unwrap();
    assert_eq!((deal.colour(), deal.steps.len()), (Colour::Green, 1));
    assert_eq!(deal.steps[0].order.body().unwrap(), &json!({"spec": {"numberOfInstances": 5}}));
    assert!(scale("3", &looked(0, json!({}), |_| ())).unwrap_err().contains("3 members already"));
}

#[test]
fn a_primary_that_would_go_hands_over_first() {
    let deal = scale("2", &looked(2, json!({}), |_| ())).unwrap();
    let titles: Vec<String> = deal.steps.iter().map(|step| step.order.title()).collect();
    assert_eq!(titles, ["POST /switchover on shop-2", "patch postgresql d/shop"]);
    assert_eq!(deal.steps[0].order.body().unwrap()["candidate"], "shop-0");
    assert_eq!(scale("2", &looked(0, json!({}), |_| ())).unwrap().steps.len(), 1);
    // In synchronous mode only a synchronous standby may take over, and none is.
    let refused = scale("2", &looked(2, json!({"synchronous_mode": true}), |_| ())).unwrap_err();
    assert!(refused.contains("shop-2 would go"), "{refused}");
}

#[test]
fn what_would_hang_commits_or_be_lost_is_red() {
    let strict = json!({"synchronous_mode": true, "synchronous_mode_strict": true});
    let deal = scale("1", &looked(0, strict, |_| ())).unwrap();
    assert_eq!(red(&deal), ["synchronous_mode_strict is on: with one member every commit would hang"]);
    let behind = looked(0, json!({}), |objects| objects.cluster.workload.as_mut().unwrap().replicas = 2);
    assert!(red(&scale("5", &behind).unwrap())[0].contains("not taken up yet"));
    let limited = looked(0, json!({}), |objects| objects.rules.limits = (None, Some(4)));
    assert!(red(&scale("5", &limited).unwrap())[0].contains("max_instances (4)"));
    let ignored = looked(0, json!({}), |objects| {
        objects.rules.limits = (None, Some(4));
        objects.rules.ignore_limits = Some("acid.zalan.do/ignore-instance-limits".into());
        objects.annotations.insert("acid.zalan.do/ignore-instance-limits".into(), "true".into());
    });
    assert!(red(&scale("5", &ignored).unwrap()).is_empty());
}

#[test]
fn volumes_that_a_scale_down_left_are_named() {
    let mut looked = looked(0, json!({}), |_| ());
    let names = ["pgdata-shop-2", "pgdata-shop-3", "pgdata-shop-5"];
    let volumes = names.map(|name| left("persistentvolumeclaims", name, false)).to_vec();
    looked.push((Probe::Remains(id()), Ok(Answer::Remains(volumes))));
    let deal = scale("5", &looked).unwrap();
    assert!(deal.lights.iter().any(|light| light.text.starts_with("pgdata-shop-3 hold old data")), "{:?}", deal.lights);
}

#[test]
fn scaling_to_nothing_must_be_typed() {
    let deal = scale("0", &looked(0, json!({}), |_| ())).unwrap();
    assert!(deal.by_name && deal.downtime.contains("whole"));
}

#[test]
fn a_missing_right_is_named() {
    let mut looked = looked(0, json!({}), |_| ());
    looked.last_mut().unwrap().1 = Ok(Answer::May(false));
    assert!(scale("5", &looked).unwrap_err().contains("patch postgresqls.acid.zalan.do"));
}

#[test]
fn a_pause_is_amber_and_not_repeated() {
    let deal = (patroni::PAUSE.consider)(&aim(&[]), &[patroni(0, json!({}))]).unwrap();
    assert_eq!(deal.colour(), Colour::Amber);
    let again = (patroni::PAUSE.consider)(&aim(&[]), &[patroni(0, json!({"pause": true}))]);
    assert!(again.unwrap_err().contains("already"));
    assert!((patroni::RESUME.consider)(&aim(&[]), &[patroni(0, json!({}))]).is_err());
}

#[test]
fn the_end_of_a_pause_asks_somebody_where_it_may_cost_a_slot_or_what_another_holds() {
    let consider = |looked: &[Looked]| (patroni::RESUME.consider)(&aim(&[]), looked).unwrap().needs_nobody();
    let paused = patroni(0, json!({"pause": true}));
    let slots = |slots| sampled("shop-0", |sample| sample.slots = slots);
    assert_eq!(consider(&[paused.clone(), slots(Vec::new())]), Ok(()));
    let why = consider(&[paused, slots(vec![logical("byhand")])]).unwrap_err();
    assert!(why.contains("does not know the slots byhand of shop-0"), "{why}");
    let fault = Fault::TimedOut { what: "SQL on shop-1".into(), after: std::time::Duration::from_secs(1) };
    let why = consider(&[patroni(0, json!({"pause": true})), (sample_of("shop-1"), Err(fault))]).unwrap_err();
    assert!(why.contains("slots of shop-1 are not known"), "{why}");
    let held = json!({"pause": true, "pgdeck": {"who": "another"}});
    let why = consider(&[patroni(0, held), slots(Vec::new())]).unwrap_err();
    assert!(why.contains("a pgdeck holds a paused replay there"), "{why}");
    let delete = Deal { by_name: true, ..Deal::default() };
    assert!(delete.needs_nobody().is_err());
}

#[test]
fn a_patroni_that_does_not_answer_refuses_with_its_fault() {
    let asked = Probe::Patroni(InstanceId { cluster: id(), member: "shop-0".into() });
    let fault = Fault::Unreachable { what: "Patroni of shop-0".into(), why: "refused".into() };
    let refused = (patroni::PAUSE.consider)(&aim(&[]), &[(asked, Err(fault))]).unwrap_err();
    assert!(refused.contains("cannot be reached: refused; check the address"), "{refused}");
}

/// What a member answers to all that is asked of it before the part is handed over: a standby unless `change` says otherwise.
fn sampled(member: &str, change: impl FnOnce(&mut Sample)) -> Looked {
    let mut sample = Sample {
        vitals: Vitals { timeline: Some(1), ..crate::fleet::health::tests::vitals(true) },
        slots: Vec::new(),
        senders: Vec::new(),
        backends: Vec::new(),
        archiver: crate::metric::archiver::tests::archiver(false, "000000010000000000000003"),
    };
    change(&mut sample);
    let rows = vec![
        (SurveyId::Vitals, Ok(Rows::Vitals(Box::new(sample.vitals)))),
        (SurveyId::Slots, Ok(Rows::Slots(sample.slots))),
        (SurveyId::Replication, Ok(Rows::Replication(sample.senders))),
        (SurveyId::Archiver, Ok(Rows::Archiver(sample.archiver))),
        (SurveyId::Activity, Ok(Rows::Activity(sample.backends))),
    ];
    (sample_of(member), Ok(Answer::Sample(rows)))
}

fn sample_of(member: &str) -> Probe {
    let instance = InstanceId { cluster: id(), member: member.into() };
    Probe::Sample { instance, surveys: super::hand_over::SURVEYS.to_vec() }
}

struct Sample {
    vitals: Vitals,
    slots: Vec<Slot>,
    senders: Vec<WalSender>,
    backends: Vec<Backend>,
    archiver: Archiver,
}

impl Sample {
    fn leads(&mut self) {
        self.vitals = Vitals { timeline: Some(1), ..crate::fleet::health::tests::vitals(false) };
    }
}

/// A client's session, and for how long its transaction is open.
fn backend(pid: i32, query: &str, transaction_age: Option<f64>) -> Backend {
    Backend {
        pid,
        kind: "client backend".into(),
        database: Some("shop".into()),
        user: Some("web".into()),
        application_name: "checkout".into(),
        client: None,
        state: Some("active".into()),
        wait: None,
        state_age: None,
        transaction_age,
        query_age: Some(2.0),
        blocked_by: Vec::new(),
        query: query.into(),
        started: Some(Timestamp::UNIX_EPOCH),
        query_started: Some(Timestamp::UNIX_EPOCH),
    }
}

/// A member whose pod runs.
fn member(name: &str) -> Member {
    let pod = Pod { phase: "Running".into(), ready: true, ..Pod::default() };
    Member { name: name.into(), uid: None, pod: Some(pod), patroni: None, label_role: Role::Unknown, address: None }
}

fn told(lights: Vec<crate::work::entry::Light>) -> Vec<String> {
    lights.into_iter().map(|light| format!("{:?}: {}", light.colour, light.text)).collect()
}

#[track_caller]
fn says(told: &[String], text: &str) {
    assert!(told.iter().any(|line| line.contains(text)), "{text:?} is not among {told:#?}");
}

fn replay(args: &[(&str, &str)], config: serde_json::Value, looks: Vec<Looked>) -> Result<Deal, String> {
    let aim = Aim { member: Some("shop-1".into()), ..aim(args) };
    (replay::REPLAY_PAUSE.consider)(&aim, &[looks, vec![patroni_of("shop-1", 0, config)]].concat())
}

fn replaying(slots: Vec<Slot>) -> Vec<Looked> {
    let leads = |sample: &mut Sample| {
        sample.leads();
        sample.slots = slots;
    };
    vec![sampled("shop-1", |_| ()), sampled("shop-0", leads)]
}

#[test]
fn replay_is_paused_with_patroni_and_freed_in_reverse() {
    let deal = replay(&[("for", "2m"), ("max-lag", "64MiB")], json!({}), replaying(Vec::new())).unwrap();
    let titles = |steps: &[crate::run::Step]| steps.iter().map(|step| step.order.title()).collect::<Vec<_>>();
    assert!(titles(&deal.steps)[0] == "PATCH /config on shop-1" && titles(&deal.steps)[1].contains("wal_replay_pause"));
    let hold = deal.hold.unwrap();
    assert_eq!((hold.for_s, hold.max_lag.0), (120, 64 << 20));
    assert!(titles(&hold.back)[0].contains("wal_replay_resume"));
    assert_eq!(hold.back[1].order.body().unwrap(), &json!({"pause": null, "pgdeck": null}));
    // A pause that was there before stays.
    let deal = replay(&[], json!({"pause": true}), replaying(Vec::new())).unwrap();
    assert_eq!(deal.hold.unwrap().back[1].order.body().unwrap(), &json!({"pgdeck": null}));
}

#[test]
fn a_pause_of_replay_that_would_cost_slots_or_commits_is_red_and_nonsense_is_refused() {
    let deal = replay(&[], json!({}), replaying(vec![logical("cdc"), logical("shop_2")])).unwrap();
    assert!(red(&deal)[0].contains("slots cdc of shop-0"), "{:?}", red(&deal));
    // What is not known is no slot that is lost for certain.
    let silent = (sample_of("shop-2"), Err(Fault::Unreachable { what: "shop-2".into(), why: "refused".into() }));
    let deal = replay(&[], json!({}), [replaying(Vec::new()), vec![silent]].concat()).unwrap();
    assert!(red(&deal).is_empty());
    says(&told(deal.lights), "Amber: slots of shop-2 are not known: shop-2 cannot be reached: refused");
    let declared = json!({"slots": {"cdc": {}}, "ignore_slots": []});
    assert!(red(&replay(&[], declared, replaying(vec![logical("cdc")])).unwrap()).is_empty());
    let ignored = json!({"ignore_slots": [{"name": "cdc", "type": "logical"}]});
    assert!(red(&replay(&[], ignored, replaying(vec![logical("cdc")])).unwrap()).is_empty());
    for (args, why) in [([("for", "soon")], "write 90s"), ([("max-lag", "much")], "write 512MiB")] {
        assert!(replay(&args, json!({}), replaying(Vec::new())).unwrap_err().contains(why));
    }
    let leads = vec![sampled("shop-1", Sample::leads)];
    assert!(replay(&[], json!({}), leads).unwrap_err().contains("only a standby replays"));
    let held = json!({"pgdeck": {"replay-pause": {"member": "shop-2"}}});
    assert!(replay(&[], held, replaying(Vec::new())).unwrap_err().contains("holds something there already"));
}

#[test]
fn a_cluster_is_deleted_only_as_its_operator_wants_it() {
    let consider = |change: fn(&mut Objects)| (operator::DELETE.consider)(&aim(&[]), &looked(0, json!({}), change));
    let deal = consider(|_| ()).unwrap();
    assert!(
        deal.by_name && red(&deal).is_empty() && deal.lights.iter().any(|light| light.text.contains("volumes go too"))
    );
    let busy = consider(|objects| objects.cluster.status = Some("Updating".into())).unwrap();
    assert!(busy.lights.iter().any(|light| light.text.contains("may be left behind")));
    let guarded = consider(|objects| objects.rules.delete_date = Some("delete-date".into())).unwrap();
    assert_eq!(
        red(&guarded),
        ["the operator ignores its deletion until the CR carries delete-date=1970-01-01: annotate it first"]
    );
    let detached = |objects: &mut Objects| {
        objects.annotations.insert("acid.zalan.do/controller".into(), "pgdeck-detached".into());
    };
    assert!(red(&consider(detached).unwrap())[0].contains("all but the CR would stay"));
    let attach = (operator::ATTACH.consider)(&aim(&[]), &looked(0, json!({}), detached)).unwrap();
    assert_eq!(attach.steps.len(), 2);
}

#[test]
fn pods_that_an_operator_left_behind_are_ended_one_after_the_other() {
    let consider = |remains: Vec<Left>| {
        let right = may(&id(), "delete", "", "pods");
        let looked = [(Probe::Remains(id()), Ok(Answer::Remains(remains))), (right, Ok(Answer::May(true)))];
        (operator::DELETE.consider)(&Aim { uid: None, ..aim(&[]) }, &looked)
    };
    let pods = || vec![left("pods", "shop-0", false), left("pods", "shop-1", true), left("pods", "shop-2", false)];
    let volumes = [("pgdata-shop-0", true), ("pgdata-shop-2", false)]
        .map(|(name, leaving)| left("persistentvolumeclaims", name, leaving));
    let deal = consider(pods().into_iter().chain(volumes).collect()).unwrap();
    let sent: Vec<String> = deal.steps.iter().map(|step| step.order.command()).collect();
    assert_eq!(sent, ["kubectl --context t -n d delete pod shop-0", "kubectl --context t -n d delete pod shop-2"]);
    let removed = Expect::Removed { cluster: id(), pod: "shop-0".into(), uid: "uid of shop-0".into() };
    assert_eq!(deal.steps[0].expect, removed);
    assert_eq!(deal.steps[1].expect, Expect::Deleted { cluster: id() });
    let told = |text: &str| deal.lights.iter().any(|light| light.text == text);
    assert!(deal.by_name && told("volumes that go with their pods, and their data: pgdata-shop-0"));
    assert!(told("volumes that stay: pgdata-shop-2"));

    for (more, why) in [("postgresql", "aim again"), ("statefulsets", "make each pod anew")] {
        let remains = pods().into_iter().chain([left(more, "shop", false)]).collect();
        assert!(consider(remains).unwrap_err().contains(why), "{more}");
    }
    assert!(consider(vec![left("pods", "shop-1", true)]).unwrap_err().contains("on their way out already"));
    assert!(consider(Vec::new()).unwrap_err().contains("no pod of it is left"));
}

#[test]
fn what_stays_until_it_is_taken_back_depends_on_how_it_was_called() {
    let leaves = |id: &str, words: &[&str]| {
        let row = operation(id).unwrap();
        row.leaves(&row.read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap())
    };
    assert!(leaves("patroni-pause", &[]) && leaves("replay-pause", &["for=10m"]));
    assert!(leaves("switchover", &["at=2099-01-01T00:00:00Z"]) && !leaves("switchover", &["to=shop-1"]));
    assert!(!leaves("scale", &["3"]));
    for undone in OPERATIONS.iter().filter_map(|row| row.undoes) {
        let row = operation(undone.id).unwrap();
        assert!(undone.with.is_none_or(|with| row.args.iter().any(|arg| arg.name == with)), "{undone:?}");
    }
}
