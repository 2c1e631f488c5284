//! What decides on a cluster's backups, and what is left of a cluster that was deleted: read when an order asks.

use serde_json::Value;

use super::client::Server;
use super::dialect;
use super::settings::Settings;
use super::watch::encode;
use crate::fault::Fault;
use crate::id::{ClusterId, Text};
use crate::work::probe::{Backups, BaseBackups, CronJob, JobRun, Left};

/// The operator cuts the name of a CronJob to so many characters.
const NAME: usize = 52;

fn text(value: &Value) -> Text {
    value.as_str().unwrap_or_default().into()
}

/// Reads every layer.
pub async fn backups(server: &Server, settings: &Settings, id: &ClusterId) -> Result<Backups, Fault> {
    let labels = encode(&format!("{}={}", settings.cluster_name_label, id.name));
    let (namespace, resource) = (encode(&id.namespace), dialect::usual().path(id));
    let cron = format!("/apis/batch/v1/namespaces/{namespace}/cronjobs?labelSelector={labels}");
    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let (resource, cron, jobs, schema) = futures::join!(
        server.get_json(&resource),
        server.items(&cron),
        server.items(&jobs),
        // The schema as everyone may read it; the CRD itself takes a right of its own.
        server.get_json("/openapi/v3/apis/acid.zalan.do/v1"),
    );
    let spec = resource?["spec"].take();
    // By name: its labels are no others than everything else's of the cluster.
    let name: String = format!("{}{}", settings.logical_prefix, id.name).chars().take(NAME).collect();
    let job = cron?.iter().find(|job| job["metadata"]["name"] == *name).map(cron_job);
    let runs = job.as_ref().map(|job| Ok(jobs_of(jobs?, job))).transpose()?.unwrap_or_default();
    Ok(Backups {
        env: spec["env"].as_array().cloned().unwrap_or_default(),
        logical: spec["enableLogicalBackup"].as_bool().unwrap_or(false),
        archiving: spec["enableWALArchiving"].as_bool(),
        has_archiving: schema.ok().and_then(|schema| has_archiving(&schema)),
        job,
        runs,
    })
}

/// How a member's own tool lists its base backups (Spilo's `wal-g`), and how the one ended that pgdeck began.
pub fn list_command() -> Vec<Text> {
    let list = "su postgres -c 'envdir /run/etc/wal-e.d/env wal-g backup-list --detail --json' || exit $?; \
                cd /tmp; test -s pgdeck-base-backup.status || exit 0; \
                echo; echo \"ended $(cat pgdeck-base-backup.status)\"; tail -n 1 pgdeck-base-backup.log";
    ["sh", "-c", list].into_iter().map(Text::from).collect()
}

/// Reads both. Before there is any backup, `wal-g` says so instead of printing a list.
pub fn listed(said: &str) -> Result<BaseBackups, Fault> {
    let (list, ended) = said.split_once("\nended ").unwrap_or((said, ""));
    let ended =
        ended.split_once('\n').and_then(|(status, words)| Some((status.trim().parse().ok()?, words.trim().into())));
    let Some(begins) = list.find('[') else { return Ok(BaseBackups { listed: Vec::new(), ended }) };
    let list: Value = serde_json::from_str(list[begins..].trim()).map_err(|error| Fault::Malformed {
        what: "the list of base backups".into(),
        place: "the output of wal-g".into(),
        why: error.to_string(),
    })?;
    let made = |item: &Value| {
        let time = ["finish_time", "time", "modified"].into_iter().find_map(|key| item[key].as_str());
        (text(&item["backup_name"]), Text::from(time.unwrap_or("an unknown time")))
    };
    let mut listed: Vec<_> = list.as_array().into_iter().flatten().map(made).collect();
    listed.sort_by(|one, other| one.1.cmp(&other.1));
    Ok(BaseBackups { listed, ended })
}

fn cron_job(object: &Value) -> CronJob {
    CronJob {
        name: text(&object["metadata"]["name"]),
        uid: text(&object["metadata"]["uid"]),
        schedule: text(&object["spec"]["schedule"]),
        suspended: object["spec"]["suspend"].as_bool().unwrap_or(false),
        last_successful: object["status"]["lastSuccessfulTime"].as_str().map(Text::from),
        template: object["spec"]["jobTemplate"].clone(),
    }
}

/// The CronJob's own, newest first. Until operator 2.0 they carry no labels: their owner and name tell.
fn jobs_of(mut jobs: Vec<Value>, cron: &CronJob) -> Vec<JobRun> {
    let prefix = format!("{}-", cron.name);
    jobs.retain(|job| {
        let owners = job["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.into_iter().any(|owner| owner["uid"] == *cron.uid)
            || job["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(&prefix))
    });
    jobs.sort_by_key(|job| std::cmp::Reverse(text(&job["metadata"]["creationTimestamp"])));
    jobs.iter().map(run).collect()
}

fn run(job: &Value) -> JobRun {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let failed = conditions.filter(|condition| condition["type"] == "Failed" && condition["status"] == "True");
    let why = |condition: &Value| {
        let said = [&condition["reason"], &condition["message"]].map(|part| part.as_str().unwrap_or_default());
        Text::from(said.join(": "))
    };
    JobRun {
        name: text(&job["metadata"]["name"]),
        succeeded: job["status"]["succeeded"].as_u64().unwrap_or(0) > 0,
        failed: failed.map(why).next(),
        active: job["status"]["active"].as_u64().unwrap_or(0) > 0,
    }
}

/// Whether the schema knows the field; upstream's does not. None where the fields are not listed.
fn has_archiving(openapi: &Value) -> Option<bool> {
    let schemas = openapi["components"]["schemas"].as_object()?;
    let resource = schemas.values().find(|schema| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        kinds.into_iter().any(|kind| kind["kind"] == "postgresql")
    });
    let fields = resource?["properties"]["spec"]["properties"].as_object()?;
    Some(fields.contains_key("enableWALArchiving"))
}

/// What carries the cluster's label still, by kind.
pub async fn remains(server: &Server, settings: &Settings, id: &ClusterId) -> Result<Vec<Left>, Fault> {
    // Not the pods of a backup's Jobs, which are of another application, and poolers.
    let labels = encode(&format!("{},{}={}", settings.selector(), settings.cluster_name_label, id.name));
    let list = |root: &'static str, kind: &'static str| {
        let path = format!("{root}/namespaces/{}/{kind}?labelSelector={labels}", encode(&id.namespace));
        async move { server.items(&path).await }
    };
    let resource = dialect::usual().path(id);
    let (resource, sets, pods, volumes, secrets) = futures::join!(
        server.get_json(&resource),
        list("/apis/apps/v1", "statefulsets"),
        list("/api/v1", "pods"),
        list("/api/v1", "persistentvolumeclaims"),
        list("/api/v1", "secrets"),
    );
    let mut remains = Vec::new();
    match resource {
        Ok(object) => remains.push(left("postgresql", &object)),
        Err(Fault::Gone { .. }) => {}
        Err(fault) => return Err(fault),
    }
    // The last two are told, not waited for: to list secrets may be forbidden.
    let (volumes, secrets) = (volumes.unwrap_or_default(), secrets.unwrap_or_default());
    let listed = [("statefulsets", sets?), ("pods", pods?), ("persistentvolumeclaims", volumes), ("secrets", secrets)];
    remains.extend(listed.iter().flat_map(|(kind, items)| items.iter().map(|item| left(kind, item))));
    Ok(remains)
}

fn left(kind: &'static str, object: &Value) -> Left {
    let meta = &object["metadata"];
    Left { kind, name: text(&meta["name"]), uid: text(&meta["uid"]), leaving: meta["deletionTimestamp"].is_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_of_a_cron_job_are_told_by_owner_or_name_newest_first() {
        let cron =
            cron_job(&json!({"metadata": {"name": "logical-backup-shop", "uid": "u"}, "spec": {"suspend": true}}));
        let job = |name: &str, at: &str, owner: &str, status: Value| json!({"metadata": {"name": name, "creationTimestamp": at, "ownerReferences": [{"uid": owner}]}, "status": status});
        let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "x"}]});
        let runs = jobs_of(
            vec![
                job("a", "2026-01-01T00:00:00Z", "u", json!({"succeeded": 1})),
                job("logical-backup-shop-pgdeck-1", "2026-01-02T00:00:00Z", "", failed),
                job("other", "2026-01-03T00:00:00Z", "v", json!({})),
            ],
            &cron,
        );
        assert!(cron.suspended);
        assert_eq!(runs.iter().map(|run| &*run.name).collect::<Vec<_>>(), ["logical-backup-shop-pgdeck-1", "a"]);
        assert_eq!((runs[0].failed.as_deref(), runs[1].succeeded), (Some("BackoffLimitExceeded: x"), true));
    }

    #[test]
    fn base_backups_are_read_as_wal_g_lists_them() {
        let list = r#"[{"backup_name": "base_2", "time": "2026-01-02T00:00:00Z"}, {"backup_name": "base_1", "modified": "2026-01-01T00:00:00Z"}]"#;
        let names: Vec<_> = listed(list).unwrap().listed.into_iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["base_1", "base_2"]);
        assert!(listed("INFO: No backups found").unwrap().listed.is_empty() && listed("[{").is_err());
        let failed = listed("[]\n\nended 1\npg_basebackup: error: disk full\n").unwrap();
        assert_eq!(failed.ended, Some((1, "pg_basebackup: error: disk full".into())));
    }

    #[test]
    fn the_forks_field_is_looked_for_in_the_schema() {
        let schema = |fields: Value| {
            let kinds = json!([{"group": "acid.zalan.do", "version": "v1", "kind": "postgresql"}]);
            let spec = json!({"spec": {"properties": fields}});
            json!({"components": {"schemas": {"x": {"x-kubernetes-group-version-kind": kinds, "properties": spec}}}})
        };
        assert_eq!(has_archiving(&schema(json!({"enableWALArchiving": {"type": "boolean"}}))), Some(true));
        assert_eq!(has_archiving(&schema(json!({"env": {}}))), Some(false));
        assert_eq!(has_archiving(&json!({"components": {"schemas": {}}})), None);
    }
}
