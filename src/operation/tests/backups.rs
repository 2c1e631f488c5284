//! Backups: the layers that decide on them, and what is refused.

use std::sync::Arc;

use super::*;
use crate::work::probe::{Backups, BaseBackups, CronJob};

#[test]
fn archiving_is_turned_off_by_every_variable_that_keeps_it_on() {
    let env = |on: &[(&str, &str)]| on.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
    let looked = |set: BTreeMap<Text, Text>, backups: crate::work::probe::Backups| {
        let mut looked = looked(0, json!({}), |objects| objects.cluster.workload.as_mut().unwrap().archive_env = set);
        looked.push((Probe::Backups(id()), Ok(Answer::Backups(Box::new(backups)))));
        looked
    };
    let consider = |to: &str, looked: &[Looked]| (archiving::WAL_ARCHIVING.consider)(&aim(&[("to", to)]), looked);
    let backups =
        crate::work::probe::Backups { env: vec![json!({"name": "TZ", "value": "UTC"})], ..Default::default() };
    let on = looked(env(&[("WAL_S3_BUCKET", "b"), ("WALG_S3_PREFIX", "p")]), backups.clone());
    let deal = consider("off", &on).unwrap();
    let blanked = json!({"spec": {"env": [{"name": "TZ", "value": "UTC"}, {"name": "WALG_S3_PREFIX", "value": ""},
                                          {"name": "WAL_S3_BUCKET", "value": ""}]}});
    assert_eq!(deal.steps[0].order.body().unwrap(), &blanked);
    assert!(deal.undo.contains("to=on by=env") && deal.lights.iter().any(|light| light.text.contains("point-in-time")));
    assert!(consider("on", &on).unwrap_err().contains("nothing in the CR's env keeps it off"));

    let blank = json!({"name": "WAL_S3_BUCKET", "value": ""});
    let backups = crate::work::probe::Backups { env: vec![blank], ..backups };
    let off = looked(env(&[("WAL_S3_BUCKET", "")]), backups.clone());
    assert!(consider("off", &off).unwrap_err().contains("off already"));
    let deal = consider("on", &off).unwrap();
    assert_eq!((deal.steps.len(), deal.steps[0].order.body().unwrap()), (2, &json!({"spec": {"env": null}})));

    // The fork's field is used where its CRD has it, and nowhere else.
    let fork =
        looked(env(&[("WAL_S3_BUCKET", "b")]), crate::work::probe::Backups { has_archiving: Some(true), ..backups });
    let deal = consider("off", &fork).unwrap();
    assert_eq!(deal.steps[0].order.body().unwrap(), &json!({"spec": {"enableWALArchiving": false}}));
    let by_field = aim(&[("to", "off"), ("by", "field")]);
    assert!((archiving::WAL_ARCHIVING.consider)(&by_field, &on).unwrap_err().contains("cannot be read"));
}

/// To Kubernetes and Spilo one in another case is another variable; the operator takes it for the same, and the first one wins.
#[test]
fn a_variable_in_the_wrong_case_turns_nothing_on_and_makes_room_for_the_blank() {
    let consider = |to: &str, on: &[(&str, &str)], env: serde_json::Value| {
        let set = on.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
        let mut looked = looked(0, json!({}), |objects| objects.cluster.workload.as_mut().unwrap().archive_env = set);
        let backups = Backups { env: env.as_array().unwrap().clone(), ..Backups::default() };
        looked.push((Probe::Backups(id()), Ok(Answer::Backups(Box::new(backups)))));
        (archiving::WAL_ARCHIVING.consider)(&aim(&[("to", to)]), &looked)
    };
    let lower = json!([{"name": "wal_s3_bucket", "value": "CANARY"}]);
    let on = [("WAL_S3_BUCKET", "b")];
    let deal = consider("off", &on, lower.clone()).unwrap();
    assert_eq!(
        deal.steps[0].order.body().unwrap()["spec"]["env"],
        json!([{"name": "WAL_S3_BUCKET", "value": ""}]),
        "the operator would leave the blank out"
    );
    let said = told(deal.lights);
    says(&said, "Amber: the CR's env sets wal_s3_bucket (for WAL_S3_BUCKET): Spilo does not know it in that case");
    says(&said, "Amber: the CR's own env sets wal_s3_bucket=\"(hidden)\": that value is replaced");
    assert!(!said.concat().contains("CANARY"), "{said:?}");
    // Alone it turns nothing on: there is nothing to turn off.
    assert!(consider("off", &[], lower).unwrap_err().contains("off already"));
    let own = json!([{"name": "WAL_S3_BUCKET", "value": "b"}]);
    let said = told(consider("off", &on, own).unwrap().lights);
    says(&said, "Amber: the CR's own env sets WAL_S3_BUCKET=\"b\": that value is replaced");
    assert!(!said.concat().contains("does not know it"), "{said:?}");
}

fn archiver_of_whoever_leads(change: impl FnOnce(&mut Archiver)) -> Looked {
    let mut archiver = crate::metric::archiver::tests::archiver(false, "000000010000000000000003");
    change(&mut archiver);
    let instance = InstanceId::whoever_leads(&id());
    let rows = vec![
        (SurveyId::Archiver, Ok(Rows::Archiver(archiver))),
        (SurveyId::Replication, Ok(Rows::Replication(Vec::new()))),
        (SurveyId::Activity, Ok(Rows::Activity(Vec::new()))),
    ];
    (Probe::Sample { instance, surveys: vec![SurveyId::Archiver] }, Ok(Answer::Sample(rows)))
}

#[test]
fn every_layer_that_decides_on_archiving_stands_beside_the_others() {
    let env = |value: &str| BTreeMap::from([(Text::from("WAL_S3_BUCKET"), Text::from(value))]);
    let lights = |job: Option<CronJob>, archiver: Looked, change: fn(&mut Objects)| {
        let mut looked = looked(0, json!({}), |objects| {
            let made = |name: &str| {
                let mut member = member(name);
                member.pod.as_mut().unwrap().archive_env = env("b");
                Arc::new(member)
            };
            objects.cluster.members = vec![made("shop-0"), made("shop-1")];
            objects.cluster.workload.as_mut().unwrap().archive_env = env("b");
            change(objects);
        });
        let backups = Backups { logical: true, job, has_archiving: Some(false), ..Backups::default() };
        looked.push((Probe::Backups(id()), Ok(Answer::Backups(Box::new(backups)))));
        looked.extend([archiver, sampled("shop-0", Sample::leads), sampled("shop-1", |_| ())]);
        let aim = Aim { at: Timestamp::from_second(61).unwrap(), ..aim(&[("to", "off")]) };
        told((archiving::WAL_ARCHIVING.consider)(&aim, &looked).unwrap().lights)
    };
    let job = CronJob {
        name: "logical-backup-shop".into(),
        uid: "j".into(),
        schedule: "30 00 * * *".into(),
        suspended: true,
        last_successful: Some("2026-11-26T00:31:00Z".into()),
        template: json!({}),
    };
    let said = lights(Some(job), archiver_of_whoever_leads(|_| ()), |_| ());
    let expected = [
        "Green: the CR sets nothing",
        "Green: the StatefulSet gives new pods WAL_S3_BUCKET=\"b\"",
        "Green: shop-0 was made with WAL_S3_BUCKET=\"b\"",
        "Green: shop-1 was made with WAL_S3_BUCKET=\"b\"",
        "Green: in force on the primary: archive_mode on, archive_command \"cp %p /archive/%f\"; archived last: \
         000000010000000000000003 at 1970-01-01 00:00:01 UTC (60 s ago); failed last: never; it archives",
        "Green: the CR asks for logical backups",
        "Green: CronJob logical-backup-shop is suspended, at 30 00 * * *; it succeeded last: 2026-11-26T00:31:00Z",
    ];
    let at = said.iter().position(|line| line == expected[0]).unwrap_or_else(|| panic!("{said:#?}"));
    assert_eq!(said[at..at + expected.len()], expected);
    says(&said, "Green: no base backup runs from shop-0");
    says(&said, "Green: synchronous mode is off");
    says(&said, "Green: shop-1 could take over from the primary");
    says(&said, "Amber: point-in-time recovery ends with 000000010000000000000003");

    let failing = archiver_of_whoever_leads(|archiver| {
        *archiver = crate::metric::archiver::tests::archiver(true, "000000010000000000000003");
        archiver.last_failed_wal = Some("000000010000000000000004".into());
    });
    let said = lights(None, failing, |objects| {
        objects.cluster.members.push(Arc::new(member("shop-2")));
        objects.cluster.members.push(Arc::new(Member { pod: None, ..member("shop-3") }));
    });
    says(&said, "Amber: shop-2 was made with nothing, before the StatefulSet was");
    says(&said, "Amber: shop-3 has no pod");
    says(&said, "failed last: 000000010000000000000004 at 1970-01-01 00:00:02 UTC (59 s ago); it fails now");
    says(&said, "Amber: there is no CronJob");
    let (probe, _) = archiver_of_whoever_leads(|_| ());
    says(&lights(None, (probe, Err(Fault::Cancelled)), |_| ()), "Amber: whether the primary archives is not known");
}

/// A base backup without the WAL that follows it restores nothing.
#[test]
fn a_base_backup_without_archiving_is_refused_and_one_with_trouble_is_amber() {
    let consider = |archiver: Looked, listed: &[&str]| {
        let listed = listed.iter().map(|name| (Text::from(*name), "2026-11-26T01:00:00Z".into())).collect();
        let backups = BaseBackups { listed, ended: None };
        let asked = Probe::BaseBackups(InstanceId::whoever_leads(&id()));
        let mut looked = looked(0, json!({}), |_| ());
        looked.extend([archiver, (asked, Ok(Answer::BaseBackups(backups)))]);
        (base_backup::BASE_BACKUP.consider)(&aim(&[]), &looked)
    };
    let refused = "the primary archives no WAL: a base backup could not be restored; turn wal-archiving on";
    let off = |change: fn(&mut Archiver)| consider(archiver_of_whoever_leads(change), &["base_1"]).unwrap_err();
    assert_eq!(off(|archiver| archiver.command = "/bin/true".into()), refused);
    assert_eq!(off(|archiver| archiver.mode = "off".into()), refused);
    let failing = archiver_of_whoever_leads(|archiver| archiver.last_failed = Some(Timestamp::from_second(2).unwrap()));
    let said = told(consider(failing, &[]).unwrap().lights);
    says(&said, "Amber: archiving fails now: without the WAL a base backup cannot be restored");
    says(&said, "Amber: there is no base backup yet");
    let (probe, _) = archiver_of_whoever_leads(|_| ());
    let said = told(consider((probe, Err(Fault::Cancelled)), &["base_1"]).unwrap().lights);
    says(&said, "Amber: whether the primary archives is not known");
    let deal = consider(archiver_of_whoever_leads(|_| ()), &["base_1", "base_2"]).unwrap();
    assert_eq!(deal.colour(), Colour::Green, "{:?}", deal.lights);
    says(&told(deal.lights.clone()), "Green: no other base backup runs from the primary");
    let (probe, mut answer) = archiver_of_whoever_leads(|_| ());
    let Ok(Answer::Sample(rows)) = &mut answer else { panic!("no sample") };
    rows[2].1 = Ok(Rows::Activity(vec![backend(1, "SELECT * FROM pg_start_backup($1, $2)", None)]));
    let said = told(consider((probe, answer), &["base_1"]).unwrap().lights);
    says(&said, "Amber: 1 base backup(s) run from the primary already");
    says(&told(deal.lights), "Green: 2 base backup(s), the last base_2 of 2026-11-26T01:00:00Z");
}
