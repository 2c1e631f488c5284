//! Four small fleets: nothing, everything well and busy, everything silent, everything broken and hostile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pgdeck::fault::Fault;
use pgdeck::fleet::cluster::{
    Cluster, Dcs, DcsConfig, HistoryEntry, Lease, Member, Origin, PatroniMember, Pod, Role, Unreadable, Waiting,
    Warning, Workload,
};
use pgdeck::fleet::seen::{Event, LogLine, Seen, Source, SourceState};
use pgdeck::id::{ClusterId, InstanceId, PlaneId, Text};
use pgdeck::metric::activity::Backend;
use pgdeck::metric::archiver::Archiver;
use pgdeck::metric::lsn::{Bytes, Lsn};
use pgdeck::metric::replication::WalSender;
use pgdeck::metric::slots::Slot;
use pgdeck::metric::storage::Storage;
use pgdeck::metric::vitals::{Receiver, Replay, Vitals};
use pgdeck::metric::{Rows, SurveyId};

/// Text that tries to get at the terminal: OSC 52, CSI, C1, bidirectional overrides.
pub const HOSTILE: &str = "x\u{1b}]52;c;aGk=\u{7}\u{9b}31m\u{202e}y\r\n\tz";

/// The time at which all of this was seen.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn demo() -> PlaneId {
    PlaneId::Kubernetes("demo".into())
}

/// A cluster of the context `demo`.
pub fn id(name: &str) -> ClusterId {
    ClusterId { plane: demo(), namespace: "production".into(), name: name.into() }
}

/// The cluster of plain hosts.
pub fn hosts() -> ClusterId {
    ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "oldprod".into() }
}

/// A member of `acid-shop`, the cluster that inner views are opened on.
pub fn instance(member: &str) -> InstanceId {
    InstanceId { cluster: id("acid-shop"), member: member.into() }
}

fn plane(plane: PlaneId, state: SourceState) -> Seen {
    Seen::Source { source: Source::Plane { plane }, state, at: now() }
}

fn pod(n: u32) -> Pod {
    Pod {
        phase: "Running".into(),
        ready: true,
        restarts: 0,
        last_ended: None,
        waiting: None,
        node: Some(format!("node-{n}").into()),
        image: Some("ghcr.io/zalando/spilo-17:4.0-p3".into()),
        created: Some(ago(86_400 * 3)),
        deleting: false,
        revision: Some("acid-shop-6b8".into()),
        rolling_update: false,
        archive_env: BTreeMap::new(),
        containers: vec!["postgres".into()],
    }
}

fn member(cluster: &str, n: u32, replayed: u64) -> Member {
    let role = if n == 0 { Role::Primary } else { Role::Standby };
    Member {
        name: format!("{cluster}-{n}").into(),
        uid: Some(format!("uid-{n}").into()),
        pod: Some(pod(n)),
        patroni: Some(PatroniMember {
            state: "running".into(),
            role,
            version: Some("4.1.5".into()),
            timeline: Some(3),
            position: Some(Lsn(replayed)),
            received: Some(Lsn(replayed)),
            replayed: (n > 0).then_some(Lsn(replayed)),
            replication_state: (n > 0).then(|| "streaming".into()),
            pending_restart: false,
            pending_reason: BTreeMap::new(),
            pause: false,
            tags: BTreeMap::new(),
        }),
        label_role: role,
        address: Some(format!("10.0.0.{}", n + 10).into()),
    }
}

/// A healthy cluster of that many members.
pub fn cluster(name: &str, n_members: u32) -> Cluster {
    let mut cluster = Cluster::named(id(name), Origin::Resource);
    cluster.uid = Some(format!("uid-{name}").into());
    cluster.created = Some(ago(86_400 * 30));
    cluster.spec.team = Some("acid".into());
    cluster.spec.version = Some("17".into());
    cluster.spec.instances = Some(n_members);
    cluster.spec.volume = Some(Bytes(100 << 30));
    cluster.spec.synchronous = n_members > 2;
    cluster.status = Some("Running".into());
    cluster.workload = Some(Workload {
        uid: "sts".into(),
        replicas: n_members,
        ready: n_members,
        image: None,
        update_revision: Some("acid-shop-6b8".into()),
        archive_env: BTreeMap::new(),
    });
    cluster.members = (0..n_members).map(|n| member(name, n, 0x1600_0000 - u64::from(n) * 40_000).into()).collect();
    cluster.dcs = Some(Dcs {
        leader: Some(format!("{name}-0").into()),
        lease: Some(Lease {
            renewed: Some(ago(4)),
            acquired: Some(ago(7200)),
            ttl: 30,
            transitions: Some(2),
            seen: ago(4),
            age_at_first_sight: Some(1),
        }),
        optime: Some(Lsn(0x1600_0000)),
        config: Some(Arc::new(DcsConfig {
            synchronous: n_members > 2,
            ttl: Some(30),
            loop_wait: Some(10),
            ..DcsConfig::default()
        })),
        system: Some("7412345678901234567".into()),
        history: Arc::new([HistoryEntry {
            timeline: 2,
            lsn: Lsn(0x1500_0000),
            reason: "no recovery target specified".into(),
            at: Some(ago(7200)),
            new_leader: Some(format!("{name}-0").into()),
        }]),
        sync_standbys: if n_members > 2 { vec![format!("{name}-1").into()] } else { Vec::new() },
        sync_leader: Some(format!("{name}-0").into()),
        ..Dcs::default()
    });
    cluster
}

pub fn vitals(primary: bool, position: u64) -> Rows {
    Rows::Vitals(Box::new(Vitals {
        version: 170_006,
        system: Some(7_412_345_678_901_234_567),
        in_recovery: !primary,
        timeline: Some(3),
        started: ago(86_400),
        loaded: ago(86_400),
        remote_apply: false,
        clock: now(),
        written: primary.then_some(Lsn(position)),
        received: (!primary).then_some(Lsn(position)),
        replayed: (!primary).then_some(Lsn(position - 4096)),
        replayed_commit: (!primary).then(|| ago(1)),
        replay: if primary { Replay::NotApplicable } else { Replay::Running },
        receiver: (!primary).then(|| Receiver {
            status: "streaming".into(),
            sender_host: Some("10.0.0.10".into()),
            sender_port: Some(5432),
            slot: Some("acid_shop_1".into()),
            latest_end: Some(Lsn(position)),
            last_message: Some(ago(1)),
        }),
        connections: 17,
        max_connections: 100,
        oldest_transaction: Some(190.0),
        xid_age: 1_234_567,
        pending_restart: Vec::new(),
        synchronous_standby_names: "acid-shop-1".into(),
        writable: primary,
    }))
}

fn sender(name: &str, replayed: u64, logical: bool) -> WalSender {
    WalSender {
        pid: 4242,
        user: Some("standby".into()),
        application_name: name.into(),
        client: Some("10.0.0.11".into()),
        state: Some("streaming".into()),
        sent: Some(Lsn(0x1600_0000)),
        written: Some(Lsn(0x1600_0000)),
        flushed: Some(Lsn(0x1600_0000)),
        replayed: Some(Lsn(replayed)),
        sync_state: Some(if name.ends_with('1') { "sync" } else { "async" }.into()),
        replay_lag: Some(0.02),
        reply: Some(ago(1)),
        slot: Some(name.replace('-', "_").into()),
        logical,
        reference: Some(Lsn(0x1600_0000)),
    }
}

fn slot(name: &str, active: bool) -> Slot {
    Slot {
        name: name.into(),
        logical: name.starts_with("cdc"),
        plugin: name.starts_with("cdc").then(|| "pgoutput".into()),
        database: name.starts_with("cdc").then(|| "shop".into()),
        active,
        temporary: false,
        restart: Some(Lsn(0x1400_0000)),
        confirmed_flush: Some(Lsn(0x1500_0000)),
        wal_status: Some("reserved".into()),
        safe_wal: Some(1 << 30),
        retained: Some(Bytes(0x200_0000)),
        inactive_since: (!active).then(|| ago(3600)),
        invalidation: None,
        failover: Some(false),
        synced: Some(false),
    }
}

fn backend(pid: i32, query: &str, blocked_by: &[i32]) -> Backend {
    let blocked = !blocked_by.is_empty();
    Backend {
        pid,
        kind: "client backend".into(),
        database: Some("shop".into()),
        user: Some("app".into()),
        application_name: "checkout".into(),
        client: Some("10.1.0.7".into()),
        state: Some(if blocked { "active" } else { "idle in transaction" }.into()),
        wait: blocked.then(|| "Lock:transactionid".into()),
        state_age: Some(12.0),
        transaction_age: Some(190.0),
        query_age: Some(12.0),
        blocked_by: blocked_by.to_vec(),
        query: query.into(),
        started: Some(ago(600)),
        query_started: None,
    }
}

fn archiver(failed: bool) -> Rows {
    Rows::Archiver(Archiver {
        mode: "on".into(),
        command: "envdir \"/run/etc/wal-e.d/env\" wal-g wal-push \"%p\"".into(),
        library: None,
        archived: 812,
        last_archived_wal: Some("000000030000000000000015".into()),
        last_archived: Some(ago(40)),
        failed: i64::from(failed) * 9,
        last_failed_wal: failed.then(|| "000000030000000000000016".into()),
        last_failed: failed.then(|| ago(5)),
        segment_size: 16 << 20,
    })
}

fn rows(member: &str, rows: Rows) -> Seen {
    let survey = rows.survey();
    Seen::Rows { instance: instance(member), database: None, survey, at: ago(1), took_ms: 3, rows: Ok(rows) }
}

fn seen(cluster: Cluster) -> Seen {
    Seen::Cluster { cluster: Box::new(cluster), at: ago(2) }
}

/// A context that answers, and has no cluster.
pub fn empty() -> Vec<Seen> {
    vec![
        plane(demo(), SourceState::Live { polled: false }),
        Seen::Census { plane: demo(), clusters: BTreeSet::new(), at: now() },
    ]
}

/// Clusters that are well, sampled, with something to see in every view.
pub fn busy() -> Vec<Seen> {
    let mut billing = cluster("acid-billing", 2);
    billing.status = Some("Updating".into());
    let mut old = Cluster::named(hosts(), Origin::Hosts);
    old.members = vec![Arc::new(Member {
        name: "10.9.0.5:5432".into(),
        uid: None,
        pod: None,
        patroni: None,
        label_role: Role::Primary,
        address: Some("10.9.0.5:5432".into()),
    })];
    let mut all = vec![
        plane(demo(), SourceState::Live { polled: false }),
        plane(PlaneId::Hosts, SourceState::Live { polled: false }),
        seen(cluster("acid-shop", 3)),
        seen(billing),
        seen(cluster("acid-staging", 1)),
        seen(old),
        rows("acid-shop-0", vitals(true, 0x1600_0000)),
        rows("acid-shop-1", vitals(false, 0x1600_0000)),
        rows("acid-shop-2", vitals(false, 0x1300_0000)),
        rows(
            "acid-shop-0",
            Rows::Replication(vec![
                sender("acid-shop-1", 0x1600_0000, false),
                sender("acid-shop-2", 0x1300_0000, false),
                sender("cdc-orders", 0x1500_0000, true),
            ]),
        ),
        rows("acid-shop-0", Rows::Slots(vec![slot("acid_shop_1", true), slot("cdc_old", false)])),
        rows("acid-shop-0", archiver(false)),
        rows(
            "acid-shop-0",
            Rows::Activity(vec![
                backend(4711, "update stock set n = n - 1 where sku = $1", &[]),
                backend(4713, "update stock set n = n - 1 where sku = $1", &[4711]),
            ]),
        ),
        rows("acid-shop-0", Rows::Progress(Vec::new())),
        rows(
            "acid-shop-0",
            Rows::Storage(Storage {
                databases: vec![("shop".into(), Bytes(42 << 30)), ("postgres".into(), Bytes(8 << 20))],
                n_hidden: 0,
                wal: Some(Bytes(1 << 30)),
            }),
        ),
    ];
    all.extend(streams("2026-09-21 12:13:20 INFO: no action. I am (acid-shop-0), the leader with the lock"));
    all
}

/// What the views of logs, events and objects ask for.
fn streams(line: &str) -> Vec<Seen> {
    let log = LogLine { at: Some(ago(3)), text: line.into() };
    let event = Event {
        cluster: id("acid-shop"),
        uid: "event-1".into(),
        about: "postgresql acid-shop".into(),
        warning: false,
        reason: "StatefulSet".into(),
        message: "Statefulset is ready".into(),
        count: 2,
        first: Some(ago(900)),
        last: Some(ago(600)),
        from: "postgres-operator".into(),
    };
    let text =
        "apiVersion: acid.zalan.do/v1\nkind: postgresql\nmetadata:\n  name: acid-shop\nspec:\n  numberOfInstances: 3\n";
    vec![
        Seen::Log { instance: instance("acid-shop-0"), container: "postgres".into(), lines: vec![log], dropped: 0 },
        Seen::Event(event),
        Seen::Manifest { cluster: id("acid-shop"), object: "postgresql".into(), text: Ok(text.into()), at: ago(1) },
    ]
}

/// The busy fleet, and then nothing answers any more.
pub fn stale() -> Vec<Seen> {
    let silent = Fault::TimedOut { what: "acid-shop-0".into(), after: Duration::from_secs(3) };
    let lost = |survey| Seen::Rows {
        instance: instance("acid-shop-0"),
        database: None,
        survey,
        at: now(),
        took_ms: 3000,
        rows: Err(silent.clone()),
    };
    let mut all = busy();
    all.extend([SurveyId::Vitals, SurveyId::Replication, SurveyId::Activity, SurveyId::Archiver].map(lost));
    let why = Fault::AuthExpired { what: "context demo".into(), why: "401 Unauthorized".into() };
    all.push(Seen::Manifest {
        cluster: id("acid-shop"),
        object: "postgresql".into(),
        text: Err(why.clone()),
        at: now(),
    });
    all.push(plane(demo(), SourceState::Lost { why }));
    all
}

/// Clusters with everything wrong, and names that attack the terminal.
pub fn broken() -> Vec<Seen> {
    let mut shop = cluster("acid-shop", 3);
    shop.status = Some("CreateFailed".into());
    shop.warning = Some(Warning {
        reason: "Create".into(),
        message: format!("could not create cluster: {HOSTILE}").into(),
        at: Some(ago(30)),
    });
    shop.unreadable = vec![Unreadable {
        object: "postgresql production/acid-shop".into(),
        place: "spec.volume.size".into(),
        why: "\"many\" is no quantity".into(),
    }];
    if let Some(dcs) = &mut shop.dcs {
        dcs.leader = None;
        dcs.config = Some(Arc::new(DcsConfig { pause: true, synchronous: true, ..DcsConfig::default() }));
        dcs.sync_standbys = Vec::new();
    }
    for member in shop.members.iter_mut().map(Arc::make_mut) {
        member.label_role = Role::Unknown;
        member.patroni = None;
        if let Some(pod) = &mut member.pod {
            pod.ready = false;
            pod.phase = "Pending".into();
            pod.waiting = Some(Waiting {
                container: "postgres".into(),
                reason: "ImagePullBackOff".into(),
                message: Some(HOSTILE.into()),
            });
        }
    }
    let name: Text = HOSTILE.into();
    let orphan = Cluster::named(ClusterId { plane: demo(), namespace: name.clone(), name }, Origin::Orphan);
    let forbidden = Fault::Forbidden { what: "services in production".into(), needs: "list services".into() };
    let source = Source::Kind { plane: demo(), kind: "services".into(), namespace: Some("production".into()) };
    let mut all = vec![
        plane(demo(), SourceState::Live { polled: true }),
        Seen::Source { source, state: SourceState::Limited { why: forbidden }, at: now() },
        seen(shop),
        seen(orphan),
        rows("acid-shop-0", archiver(true)),
        rows("acid-shop-0", Rows::Activity(vec![backend(4711, HOSTILE, &[])])),
    ];
    all.extend(streams(HOSTILE));
    all
}

/// Many healthy clusters of three members, as the crowd makes them.
pub fn crowd(n_clusters: u32) -> Vec<Seen> {
    let clusters = (0..n_clusters).map(|n| seen(cluster(&format!("acid-crowd-{n:04}"), 3)));
    std::iter::once(plane(demo(), SourceState::Live { polled: false })).chain(clusters).collect()
}
