//! The sandbox, judged: the same clusters and the same changes for it and for the real operator, and what both leave.

mod differences;
mod plain;
mod side;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place::{Place, Real, other_operator, postgres, within};
use differences::{Difference, Listed, between};
use side::Side;

const NAMESPACE: &str = "judged";
const NAME: &str = "acid-judged";
/// One without members, which another controller takes.
const TAKEN: &str = "acid-taken";
/// One whose primary cannot hand over.
const REFUSED: &str = "acid-refused";
/// The real operator may wait a minute in vain for a pod's end, and does so again when it is asked anew.
const SETTLED: Duration = Duration::from_secs(300);
/// It waits so long for each of the pods that it deletes, and for two at most here: what it has not asked to go by then it has
/// forgotten.
const FORGOTTEN: Duration = Duration::from_secs(130);
/// A pod's flag for the operator.
const ROLLING: &str = "zalando-postgres-operator-rolling-update-required=true";
/// Labels and Services' names are shorter than this.
const TOO_LONG: &str = "acid-with-a-name-that-is-longer-than-the-name-of-a-service-may-be-by-far";

/// When an operator has done, Patroni and the controllers go on: what differs for longer than this, differs.
const CALM: Duration = Duration::from_secs(20);

/// A sandbox without clusters in the control plane's network; ended when dropped.
struct Embedded {
    root: PathBuf,
}

impl Embedded {
    fn up(real: &Real) -> Embedded {
        let embedded = Embedded { root: real.home().with_file_name("sandbox") };
        embedded.run(&["up", "--detach", "--fleet", "none"]);
        embedded
    }

    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgdeck"));
        command.arg("sandbox").args(arguments).args(["--name", NAMESPACE]).env("PGDECK_SANDBOX_ROOT", &self.root);
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || std::thread::panicking(), "sandbox {arguments:?}: {complaint}");
    }

    fn kubeconfig(&self) -> PathBuf {
        self.root.join(NAMESPACE).join("kubeconfig")
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

/// Both sides, and what was found so far.
struct Court {
    real: Side,
    sandbox: Side,
    listed: Listed,
    /// What no line of the file means, and after which change it was seen first.
    unmeant: BTreeMap<Difference, String>,
}

impl Court {
    fn sides(&self) -> [&Side; 2] {
        [&self.real, &self.sandbox]
    }

    /// Makes a change on both sides, waits until both have settled, and compares what they leave.
    fn change(&mut self, what: &str, make: impl Fn(&Side), is_settled: impl Fn(&Side) -> bool) {
        let begun = Instant::now();
        for side in self.sides() {
            side.forget();
            make(side);
        }
        let mut took = Vec::new();
        for side in self.sides() {
            let is_in_time = within(SETTLED, || is_settled(side));
            assert!(is_in_time, "not in time: {what}: settled; the operator says: {}", side.words(NAME));
            took.push(begun.elapsed().as_secs_f64());
        }
        // What fits by chance, in passing, does not fit twice.
        let mut found = Vec::new();
        let mut fitted = false;
        within(CALM, || {
            let before = std::mem::replace(&mut found, self.compare());
            let fits = self.listed.unmeant(&found).iter().all(|difference| self.unmeant.contains_key(*difference));
            let is_calm = fits && std::mem::replace(&mut fitted, fits) && before == found;
            fitted = fits;
            is_calm
        });
        self.listed.mark(&found);
        for difference in self.listed.unmeant(&found) {
            self.unmeant.entry(difference.clone()).or_insert_with(|| {
                eprintln!("  judged: {what}: not as really: {difference}");
                what.to_owned()
            });
        }
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("  judged: {what}: settled after {took:.1?} s, {} differences after {seconds:.1} s", found.len());
    }

    fn compare(&self) -> Vec<Difference> {
        let mut found = between(&self.real.objects(), &self.sandbox.objects());
        found.extend(between(&self.real.told(), &self.sandbox.told()));
        found.extend([NAME, TAKEN, REFUSED, TOO_LONG].iter().filter_map(|cluster| self.disorder(cluster)));
        found
    }

    /// Whether the Events that both wrote came in another order.
    fn disorder(&self, cluster: &str) -> Option<Difference> {
        let [real, sandbox] = self.sides().map(|side| side.events(cluster));
        let both: BTreeSet<&String> = real.iter().filter(|event| sandbox.contains(event)).collect();
        let order = |events: &[String]| {
            let common: Vec<&str> = events.iter().filter(|event| both.contains(event)).map(String::as_str).collect();
            common.join(", ")
        };
        let (real, sandbox) = (order(&real), order(&sandbox));
        let place = format!("told/{cluster} order of the events");
        let seen = format!("really {real}, in the sandbox {sandbox}");
        (real != sandbox).then_some(Difference { how: differences::How::Other, place, seen })
    }
}

fn manifest(name: &str, instances: u32) -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": { "name": name, "labels": { "team": "acid" } },
        "spec": {
            "teamId": "acid", "numberOfInstances": instances, "volume": { "size": "1Gi" },
            "postgresql": { "version": postgres(), "parameters": { "work_mem": "8MB" } },
            "patroni": { "ttl": 20, "loop_wait": 2, "retry_timeout": 5 },
            "users": { "app": ["createdb"], "some_reader": [] }, "databases": { "shop": "app" },
        },
    })
}

fn apply(manifest: &Value) -> impl Fn(&Side) + use<> {
    let text = manifest.to_string();
    move |side| drop(side.kubectl(&["apply", "-f", "-"], &text))
}

fn patch(name: &'static str, patch: &Value) -> impl Fn(&Side) + use<> {
    let text = patch.to_string();
    move |side| drop(side.kubectl(&["patch", "postgresql", name, "--type", "merge", "-p", &text], ""))
}

fn spec(spec: &Value) -> impl Fn(&Side) + use<> {
    patch(NAME, &json!({ "spec": spec }))
}

/// A change of the manifest was taken up and brought to an end.
fn is_done(side: &Side) -> bool {
    side.words(NAME) == "Updating Running"
}

pub fn judged(real: &Real) {
    if let Some(operator) = other_operator() {
        return eprintln!("NOT JUDGED: the sandbox's operator stands for 1.15.1, here is {operator}");
    }
    if std::env::var_os("PGDECK_REAL_STORE").is_some_and(|store| store == "endpoints") {
        return eprintln!("NOT JUDGED: Patroni's state is in Endpoints here, and always in ConfigMaps in the sandbox");
    }
    let _place = Place::new(real, NAMESPACE);
    let embedded = Embedded::up(real);
    let mut court = Court {
        real: Side::new(real.kubeconfig("admin"), real.home(), NAMESPACE),
        sandbox: Side::new(embedded.kubeconfig(), real.home(), NAMESPACE),
        listed: Listed::read(),
        unmeant: BTreeMap::new(),
    };
    play(&mut court);
    let unmeant: Vec<String> = court.unmeant.iter().map(|(found, when)| format!("{found} (since: {when})")).collect();
    let unused = court.listed.unused();
    eprintln!("  judged: {} lines of differences are meant", court.listed.len());
    assert!(
        unmeant.is_empty() && unused.is_empty(),
        "the sandbox is not as the real operator: mend it, or say in differences.txt why that is meant:\n{}\n\
         lines that are not needed: {unused:#?}",
        unmeant.join("\n")
    );
}

fn play(court: &mut Court) {
    // Of two members that start at once either may become the primary: the first is alone until it is.
    court.change("created", apply(&manifest(NAME, 1)), |side| side.words(NAME) == "Creating Running");
    court.change("scaled up", spec(&json!({ "numberOfInstances": 3 })), is_done);
    court.change("scaled down", spec(&json!({ "numberOfInstances": 2 })), is_done);
    court.change("reloaded", spec(&json!({ "postgresql": { "parameters": { "work_mem": "9MB" } } })), is_done);
    // For less the primary comes first, and whether its replicas then have to be restarted again is a race of Postgres' own.
    let restarted = json!({ "postgresql": { "parameters": { "max_connections": "110" } } });
    court.change("restarted", spec(&restarted), is_done);
    let resources =
        json!({ "requests": { "cpu": "10m", "memory": "100Mi" }, "limits": { "cpu": "1", "memory": "1Gi" } });
    let env = json!([{ "name": "PGDECK_TEST", "value": "1" }, { "name": "WAL_S3_BUCKET", "value": "" }]);
    court.change("rolled", spec(&json!({ "env": env, "resources": resources })), is_done);
    let synchronous =
        json!({ "patroni": { "synchronous_mode": true }, "postgresql": { "parameters": { "work_mem": null } } });
    court.change("poked", patch(NAME, &json!({ "metadata": { "annotations": { "pgdeck.test/poke": "1" } } })), is_done);
    let flag = |side: &Side| {
        let replica = side.members(NAME).1;
        side.kubectl(&["annotate", "pod", &replica, ROLLING], "");
        side.kubectl(&["annotate", "postgresql", NAME, "pgdeck.test/poke=2", "--overwrite"], "");
    };
    // On a machine with much else to do the operator may wait in vain for the old pod's end: then it is flagged once more.
    let is_remade = |side: &Side| {
        if side.words(NAME).contains("Failed") {
            side.forget();
            flag(side);
        }
        is_done(side)
    };
    court.change("a replica flagged to be made anew", flag, is_remade);
    let cdc = json!({ "type": "logical", "database": "shop", "plugin": "pgoutput" });
    court.change("a slot", spec(&json!({ "patroni": { "slots": { "cdc": cdc } } })), is_done);
    court.change("no slot any more", spec(&json!({ "patroni": { "slots": null } })), is_done);
    court.change("synchronous, and a parameter less", spec(&synchronous), is_done);
    court.change("a user more", spec(&json!({ "users": { "late": [] }, "databases": { "late": "late" } })), is_done);
    court.change("dumped every night", spec(&json!({ "enableLogicalBackup": true })), is_done);
    court.change("dumped by another schedule", spec(&json!({ "logicalBackupSchedule": "5 5 * * *" })), is_done);
    court.change("not dumped", spec(&json!({ "enableLogicalBackup": false })), is_done);
    court.change("without members", apply(&manifest(TAKEN, 0)), |side| side.words(TAKEN) == "Creating Running");
    let take = patch(TAKEN, &json!({ "metadata": { "annotations": { "acid.zalan.do/controller": "another" } } }));
    let grow = patch(TAKEN, &json!({ "spec": { "numberOfInstances": 1, "enableLogicalBackup": true } }));
    let fail = apply(&manifest(TOO_LONG, 1));
    let in_turn = |side: &Side| {
        take(side);
        grow(side);
        // By the time that this one is taken up the other was passed by.
        fail(side);
    };
    court.change("left alone, and not made", in_turn, |side| side.words(TOO_LONG).contains("CreateFailed"));
    let release = patch(TAKEN, &json!({ "metadata": { "annotations": { "acid.zalan.do/controller": null } } }));
    let poke = patch(TAKEN, &json!({ "metadata": { "annotations": { "pgdeck.test/poke": "1" } } }));
    let give_back = |side: &Side| {
        release(side);
        poke(side);
    };
    court.change("given back", give_back, |side| side.words(TAKEN) == "Updating Running");
    refused(court);
    let pooled = spec(&json!({ "enableConnectionPooler": true, "connectionPooler": { "numberOfInstances": 1 } }));
    court.change("pooled", pooled, is_done);
    let delete = |side: &Side| drop(side.kubectl(&["delete", "postgresql", NAME, TAKEN, REFUSED, TOO_LONG], ""));
    let begun = Instant::now();
    court.change("deleted", delete, |side| is_empty(side, begun.elapsed() > FORGOTTEN));
}

/// Whether no pod is left. The real operator leaves those of a cluster behind that it was just looking at (operated, busy): in
/// the end they are ended here, with what Patroni has written since.
fn is_empty(side: &Side, is_late: bool) -> bool {
    let objects = side.objects();
    let any = |what: &str| objects.keys().any(|title| title.starts_with(what));
    let is_empty = !any("Pod/acid-");
    if !is_empty && is_late && !any("StatefulSet/acid-") {
        for kind in ["pods", "configmaps"] {
            side.kubectl(&["delete", kind, "-l", "application=spilo"], "");
        }
        eprintln!("  judged: what the operator left behind was deleted by hand");
    }
    is_empty
}

/// The primary is to be made anew, and the one that could take over lags by more than Patroni takes.
fn refused(court: &mut Court) {
    // Of two members that start at once either may become the primary: the first is alone until it is.
    court.change("another created", apply(&manifest(REFUSED, 1)), |side| side.words(REFUSED) == "Creating Running");
    let grow = patch(REFUSED, &json!({ "spec": { "numberOfInstances": 2 } }));
    court.change("another scaled up", grow, |side| {
        side.words(REFUSED) == "Updating Running" && side.is_streaming(REFUSED)
    });
    let signal_receiver = |side: &Side, signal: &str| {
        let replica = side.members(REFUSED).1;
        let receiver = side.sql(&replica, "select pid from pg_stat_wal_receiver");
        side.kubectl(&["exec", &replica, "-c", "postgres", "--", "kill", signal, &receiver], "");
    };
    let cut_off = |side: &Side| {
        signal_receiver(side, "-STOP");
        let primary = side.members(REFUSED).0;
        // Each goes on to a new file of 16 MB; Patroni takes 32 MB.
        for _ in 0..4 {
            side.sql(&primary, "select pg_logical_emit_message(false, 'x', 'x'); select pg_switch_wal()");
        }
    };
    court.change("cut off", cut_off, |side| side.lag(REFUSED) > 33_554_432);
    let flag = |side: &Side| {
        side.kubectl(&["annotate", "pod", &side.members(REFUSED).0, ROLLING], "");
        side.kubectl(&["annotate", "postgresql", REFUSED, "pgdeck.test/poke=1"], "");
    };
    court.change("refused", flag, |side| side.words(REFUSED).starts_with("Updating UpdateFailed"));
    // Whatever a periodic look has added since, the first attempt is the same.
    let [really, here] = court.sides().map(|side| side.events(REFUSED).into_iter().take(3).collect::<Vec<_>>());
    assert_eq!(really, here);
    assert!(really[2].contains("FAILED: could not switch over from"), "{really:?}");
    let follow = |side: &Side| signal_receiver(side, "-CONT");
    court.change("following again", follow, |side| side.words(REFUSED).ends_with("Running"));
}
