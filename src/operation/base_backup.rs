//! Base backups: one now, by the image's own script.

use super::answers::{archiver, base_backups, sampled};
use super::{
    By, Confirm, NEVER_MOOT, NO_CONFLICT, On, Operation, WHOEVER_LEADS, allowed, hand_over, may, may_forward, objects,
    of_operator, stance,
};
use crate::id::{InstanceId, Text};
use crate::metric::SurveyId;
use crate::metric::archiver::Archiving;
use crate::run::expect::Expect;
use crate::run::{Aim, Deal, Looked, Step};
use crate::work::entry::Light;
use crate::work::order::Order;
use crate::work::probe::Probe;

pub(super) const BASE_BACKUP: Operation = Operation {
    id: "base-backup",
    title: "base backup now",
    doc: "Makes a base backup of the primary now, by the image's own script.",
    keys: &["x B"],
    on: On::Cluster,
    confirm: Confirm::Yes,
    args: &[],
    proof: "wal-g lists a base backup that it did not list before",
    undo: "nothing: it is kept as long as the image's settings say",
    undoes: None,
    never: &[NO_CONFLICT, WHOEVER_LEADS],
    stands_in: Some("Spilo's script and wal-g are stand-ins in the tests; what they make is a real pg_basebackup"),
    holds: false,
    aim: |entry, aim| {
        of_operator(entry)?;
        let primary = InstanceId::whoever_leads(&aim.cluster);
        let sample = Probe::Sample { instance: primary.clone(), surveys: SURVEYS.to_vec() };
        let looks = [Probe::Objects(aim.cluster.clone()), Probe::BaseBackups(primary), sample];
        let rights = [may(&aim.cluster, "create", "", "pods/exec")].into_iter().chain(may_forward(&aim.cluster));
        Ok(looks.into_iter().chain(rights).collect())
    },
    consider: base_backup,
    moot: NEVER_MOOT,
};

/// How the archiver fares, and whether a base backup runs already.
const SURVEYS: [SurveyId; 3] = [SurveyId::Archiver, SurveyId::Replication, SurveyId::Activity];

/// A base backup of a large cluster takes hours.
const COPIED_S: u32 = 12 * 3_600;
/// Spilo's own, as its schedule calls it. It goes on when the connection that began it is gone.
const MAKE: &str = "rm -f /tmp/pgdeck-base-backup.status; (su postgres -c 'nohup envdir /run/etc/wal-e.d/env \
                    /scripts/postgres_backup.sh /home/postgres/pgdata/pgroot/data' >/tmp/pgdeck-base-backup.log 2>&1; \
                    echo $? >/tmp/pgdeck-base-backup.status) >/dev/null 2>&1 & echo begun";

fn base_backup(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
    let mut lights = vec![allowed(looked)?];
    let objects = objects(looked)?;
    lights.extend(stance::of(objects, By::Others));
    match archiver(looked) {
        Ok(archiver) if archiver.archiving() == Archiving::Off => {
            return Err(
                "the primary archives no WAL: a base backup could not be restored; turn wal-archiving on".into()
            );
        }
        Ok(archiver) if archiver.archiving() == Archiving::Failing => {
            lights.push(Light::amber("archiving fails now: without the WAL a base backup cannot be restored"));
        }
        Ok(_) => lights.push(Light::green("the primary archives its WAL")),
        Err(why) => lights.push(Light::amber(format!("whether the primary archives is not known: {why}"))),
    }
    let all = sampled(looked);
    lights.push(match all.first().map_or_else(|| Err("not known: nobody asked".into()), hand_over::n_base_backups) {
        Ok(0) => Light::green("no other base backup runs from the primary"),
        Ok(n) => Light::amber(format!("{n} base backup(s) run from the primary already: its disk is busy with them")),
        Err(why) => Light::amber(format!("whether a base backup runs already is {why}")),
    });
    let listed = base_backups(looked).map_err(|why| format!("what there is cannot be listed: {why}"))?;
    let listed = &listed.listed;
    lights.push(match listed.last() {
        Some((name, at)) => Light::green(format!("{} base backup(s), the last {name} of {at}", listed.len())),
        None => Light::amber("there is no base backup yet"),
    });
    if let Some(bytes) = objects.cluster.spec.volume {
        lights.push(Light::green(format!("at most {} GiB are read from the primary's disk", bytes.0 >> 30)));
    }
    let cluster = aim.cluster.clone();
    let command = ["sh", "-c", MAKE].into_iter().map(Text::from).collect();
    let order = Order::Exec { instance: InstanceId::whoever_leads(&cluster), command };
    let known = listed.iter().map(|(name, _)| name.clone()).collect();
    let step = Step { order, expect: Expect::BaseBackup { cluster, known }, within_s: COPIED_S };
    let undo = "nothing; its log on the primary is /tmp/pgdeck-base-backup.log".into();
    Ok(Deal {
        lights,
        steps: vec![step],
        undo,
        downtime: "none; the primary's disk and network are busy".into(),
        ..Deal::default()
    })
}
