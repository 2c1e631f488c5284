//! The CronJob that dumps a cluster.

use serde_json::{Value, json};

use super::{BUCKET, Manifest, written};
use crate::sandbox::objects::text;

impl Manifest {
    pub fn wants_logical_backup(&self) -> bool {
        self.spec["enableLogicalBackup"] == true
    }

    pub fn logical_backup_name(&self) -> String {
        format!("logical-backup-{}", self.name).chars().take(52).collect()
    }

    pub fn logical_backup(&self) -> Value {
        let schedule = self.spec["logicalBackupSchedule"].as_str().unwrap_or("30 00 * * *");
        json!({
            "metadata": { "name": self.logical_backup_name(), "namespace": self.namespace, "labels": self.labels() },
            "spec": {
                "schedule": schedule, "concurrencyPolicy": "Forbid", "suspend": false,
                "failedJobsHistoryLimit": 1, "successfulJobsHistoryLimit": 3,
                "jobTemplate": { "metadata": {}, "spec": { "template": self.dumping_pod() } },
            },
        })
    }

    /// The pods carry a label of their own, the CronJob does not.
    fn dumping_pod(&self) -> Value {
        let mut labels = self.labels();
        labels["application"] = json!("spilo-logical-backup");
        let near = json!({
            "weight": 1,
            "podAffinityTerm": { "labelSelector": { "matchLabels": labels }, "topologyKey": "kubernetes.io/hostname" },
        });
        let container = json!({
            "name": "logical-backup", "image": "backup.invalid/logical-backup:1", "imagePullPolicy": "IfNotPresent",
            "env": self.dumping_environment(),
            "ports": Manifest::ports(), "resources": {}, "securityContext": Manifest::confinement(),
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        });
        json!({
            "metadata": { "labels": labels, "namespace": self.namespace },
            "spec": {
                "affinity": { "podAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [near] } },
                "containers": [container],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Never", "schedulerName": "default-scheduler",
                "securityContext": {}, "serviceAccount": "postgres-pod", "serviceAccountName": "postgres-pod",
                "terminationGracePeriodSeconds": 10,
            },
        })
    }

    fn dumping_environment(&self) -> Vec<Value> {
        let set = |name: &str, value: &str| json!({ "name": name, "value": value });
        let namespace = json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } });
        let password = json!({ "secretKeyRef": { "key": "password", "name": self.secret_name("postgres") } });
        let env = vec![
            set("SCOPE", &self.name),
            set("CLUSTER_NAME_LABEL", "cluster-name"),
            json!({ "name": "POD_NAMESPACE", "valueFrom": namespace }),
            set("PG_VERSION", text(&self.spec, &["postgresql", "version"])),
            set("PGPORT", "5432"),
            set("PGUSER", "postgres"),
            set("PGDATABASE", "postgres"),
            set("PGSSLMODE", "require"),
            json!({ "name": "PGPASSWORD", "valueFrom": password }),
            set("LOGICAL_BACKUP_PROVIDER", "s3"),
            set("LOGICAL_BACKUP_S3_BUCKET", BUCKET),
            set("LOGICAL_BACKUP_S3_BUCKET_PREFIX", "spilo"),
            set("LOGICAL_BACKUP_S3_BUCKET_SCOPE_SUFFIX", &format!("/{}", self.uid)),
            set("LOGICAL_BACKUP_S3_REGION", ""),
            set("LOGICAL_BACKUP_S3_ENDPOINT", ""),
            set("LOGICAL_BACKUP_S3_SSE", ""),
            set("LOGICAL_BACKUP_S3_RETENTION_TIME", text(&self.spec, &["logicalBackupRetention"])),
        ];
        env.into_iter().map(written).collect()
    }
}
