//! The objects that the operator makes of a cluster's manifest, as the real one (1.15.1) writes them.

mod dumps;

use std::io::Read as _;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::sandbox::error::{During, Result};
use crate::sandbox::objects::text;

/// The image that pods say they run.
const IMAGE: &str = "spilo.invalid/spilo-15:3.0-p1";
/// The bucket of the operator's configuration: every cluster archives unless its manifest blanks it.
pub const BUCKET: &str = "acid-wal";

/// What the operator knows of one cluster: its manifest, read leniently.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub annotations: Value,
    pub spec: Value,
}

impl Manifest {
    pub fn read(object: &Value) -> Manifest {
        Manifest {
            namespace: text(object, &["metadata", "namespace"]).into(),
            name: text(object, &["metadata", "name"]).into(),
            uid: text(object, &["metadata", "uid"]).into(),
            annotations: object["metadata"]["annotations"].clone(),
            spec: object["spec"].clone(),
        }
    }

    pub fn instances(&self) -> u32 {
        self.spec["numberOfInstances"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    pub fn team(&self) -> &str {
        text(&self.spec, &["teamId"])
    }

    fn labels(&self) -> Value {
        json!({ "application": "spilo", "cluster-name": self.name, "team": self.team() })
    }

    fn role_labels(&self, role: &str) -> Value {
        let mut labels = self.labels();
        labels["spilo-role"] = json!(role);
        labels
    }

    /// Selects everything of the cluster.
    pub fn selector(&self) -> String {
        format!("application=spilo,cluster-name={}", self.name)
    }

    pub fn users(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.spec["users"].as_object().into_iter().flatten()
    }

    pub fn databases(&self) -> impl Iterator<Item = (&String, &str)> {
        let databases = self.spec["databases"].as_object().into_iter().flatten();
        databases.map(|(name, owner)| (name, owner.as_str().unwrap_or_default()))
    }

    pub fn secret_name(&self, user: &str) -> String {
        format!("{}.{}.credentials.postgresql.acid.zalan.do", user.replace('_', "-"), self.name)
    }

    /// The part of Patroni's dynamic configuration that the manifest decides.
    pub fn patroni(&self) -> Value {
        let asked = &self.spec["patroni"];
        let mut dcs = json!({ "failsafe_mode": asked["failsafe_mode"].as_bool().unwrap_or(false) });
        for key in ["ttl", "loop_wait", "retry_timeout", "maximum_lag_on_failover"] {
            if asked[key].as_u64().is_some_and(|value| value > 0) {
                dcs[key] = asked[key].clone();
            }
        }
        for key in ["synchronous_mode", "synchronous_mode_strict"] {
            if asked[key].as_bool() == Some(true) {
                dcs[key] = json!(true);
            }
        }
        if asked["slots"].is_object() {
            dcs["slots"] = asked["slots"].clone();
        }
        if self.parameters().is_object() {
            dcs["postgresql"] = json!({ "parameters": self.parameters() });
        }
        dcs
    }

    /// The server's parameters that the manifest sets.
    pub fn parameters(&self) -> &Value {
        &self.spec["postgresql"]["parameters"]
    }

    /// The environment of the container `postgres`: the first writer of a name wins, whatever its case.
    fn environment(&self) -> Vec<Value> {
        let spilo = json!({
            "postgresql": {},
            "bootstrap": { "initdb": [{ "auth-host": "md5" }, { "auth-local": "trust" }], "dcs": self.patroni() },
        });
        let field = |path: &str| json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": path } });
        let secret = |user: &str| json!({ "secretKeyRef": { "key": "password", "name": self.secret_name(user) } });
        let set = |name: &str, value: &str| json!({ "name": name, "value": value });
        let take = |name: &str, from: Value| json!({ "name": name, "valueFrom": from });
        let mut env = vec![
            set("SCOPE", &self.name),
            set("PGROOT", "/home/postgres/pgdata/pgroot"),
            take("POD_IP", field("status.podIP")),
            take("POD_NAMESPACE", field("metadata.namespace")),
            set("PGUSER_SUPERUSER", "postgres"),
            set("KUBERNETES_SCOPE_LABEL", "cluster-name"),
            set("KUBERNETES_ROLE_LABEL", "spilo-role"),
            take("PGPASSWORD_SUPERUSER", secret("postgres")),
            set("PGUSER_STANDBY", "standby"),
            take("PGPASSWORD_STANDBY", secret("standby")),
            set("PAM_OAUTH2", "https://info.example.com/oauth2/tokeninfo?access_token= uid realm=/employees"),
            set("HUMAN_ROLE", "zalandos"),
            set("PGVERSION", text(&self.spec, &["postgresql", "version"])),
            set("KUBERNETES_LABELS", r#"{"application":"spilo"}"#),
            set("SPILO_CONFIGURATION", &spilo.to_string()),
            set("DCS_ENABLE_KUBERNETES_API", "true"),
            set("KUBERNETES_BOOTSTRAP_LABELS", r#"{"critical-operation":"true"}"#),
            set("KUBERNETES_USE_CONFIGMAPS", "true"),
        ];
        let ours = [
            set("WAL_S3_BUCKET", BUCKET),
            set("WAL_BUCKET_SCOPE_SUFFIX", &format!("/{}", self.uid)),
            set("WAL_BUCKET_SCOPE_PREFIX", ""),
        ];
        let asked = self.spec["env"].as_array().cloned().unwrap_or_default();
        for variable in asked.into_iter().chain(ours) {
            let name = text(&variable, &["name"]).to_ascii_uppercase();
            if !env.iter().any(|known| text(known, &["name"]).to_ascii_uppercase() == name) {
                env.push(variable);
            }
        }
        env.into_iter().map(written).collect()
    }

    fn ports() -> Value {
        let port = |n: u16| json!({ "containerPort": n, "protocol": "TCP" });
        json!([port(8008), port(5432), port(8080)])
    }

    fn confinement() -> Value {
        json!({ "allowPrivilegeEscalation": true, "privileged": false, "readOnlyRootFilesystem": false })
    }

    /// Whether its pods have to be made anew to be as this manifest says and the older one did not. What goes by Patroni's
    /// configuration is in their environment as well, and needs no new pods.
    pub fn needs_new_pods(&self, old: &Manifest) -> bool {
        let template = |manifest: &Manifest| {
            let mut template = manifest.template();
            if let Some(env) = template["spec"]["containers"][0]["env"].as_array_mut() {
                env.retain(|variable| variable["name"] != "SPILO_CONFIGURATION");
            }
            template
        };
        template(self) != template(old)
    }

    fn container(&self) -> Value {
        json!({
            "name": "postgres", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
            "env": self.environment(),
            "ports": Manifest::ports(),
            "resources": if self.spec["resources"].is_object() { self.spec["resources"].clone() } else { json!({}) },
            "securityContext": Manifest::confinement(),
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [
                { "mountPath": "/home/postgres/pgdata", "name": "pgdata" },
                { "mountPath": "/dev/shm", "name": "dshm" },
            ],
        })
    }

    fn template(&self) -> Value {
        json!({
            "metadata": { "labels": self.labels(), "namespace": self.namespace },
            "spec": {
                "containers": [self.container()],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "serviceAccount": "postgres-pod", "serviceAccountName": "postgres-pod",
                "terminationGracePeriodSeconds": 10,
                "volumes": [{ "name": "dshm", "emptyDir": { "medium": "Memory" } }],
            },
        })
    }

    pub fn stateful_set(&self) -> Value {
        json!({
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": self.labels() },
            "spec": {
                "replicas": self.instances(),
                "selector": { "matchLabels": { "application": "spilo", "cluster-name": self.name } },
                "serviceName": self.name,
                "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
                "updateStrategy": { "type": "OnDelete" },
                "template": self.template(),
                "volumeClaimTemplates": [{
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": { "name": "pgdata", "labels": self.labels() },
                    "spec": {
                        "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
                        "resources": { "requests": { "storage": self.spec["volume"]["size"] } },
                    },
                    "status": { "phase": "Pending" },
                }],
            },
        })
    }

    pub fn services(&self) -> [Value; 2] {
        let service = |name: String, role: &str| {
            json!({
                "metadata": { "name": name, "namespace": self.namespace, "labels": self.role_labels(role) },
                "spec": {
                    "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                    "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                    "ports": [{ "name": "postgresql", "port": 5432, "protocol": "TCP", "targetPort": 5432 }],
                    "selector": {
                        "application": "spilo", "cluster-name": self.name, "spilo-role": role,
                    },
                },
                "status": { "loadBalancer": {} },
            })
        };
        [service(self.name.clone(), "master"), service(format!("{}-repl", self.name), "replica")]
    }

    pub fn secret(&self, user: &str) -> Result<Value> {
        let code = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        Ok(json!({
            "metadata": { "name": self.secret_name(user), "namespace": self.namespace, "labels": self.labels() },
            "type": "Opaque",
            "data": { "username": code(user), "password": code(&password()?) },
        }))
    }

    pub fn disruption_budgets(&self) -> [Value; 2] {
        let budget = |name: String, healthy: u32, label: (&str, &str)| {
            let mut labels = json!({ "application": "spilo", "cluster-name": self.name });
            labels[label.0] = json!(label.1);
            json!({
                "metadata": { "name": name, "namespace": self.namespace, "labels": self.labels() },
                "spec": { "minAvailable": healthy, "selector": { "matchLabels": labels } },
            })
        };
        [
            budget(format!("postgres-{}-pdb", self.name), 1.min(self.instances()), ("spilo-role", "master")),
            budget(format!("postgres-{}-critical-op-pdb", self.name), self.instances(), ("critical-operation", "true")),
        ]
    }
}

/// A variable as it stands in a pod: an empty value is not written.
fn written(mut variable: Value) -> Value {
    if variable["value"] == ""
        && let Some(fields) = variable.as_object_mut()
    {
        fields.shift_remove("value");
    }
    variable
}

/// One pod of a stateful set, and its volume claim.
pub fn pod(set: &Value, ordinal: u32) -> (Value, Value) {
    let (namespace, name) = (text(set, &["metadata", "namespace"]), text(set, &["metadata", "name"]));
    let pod_name = format!("{name}-{ordinal}");
    let claim_name = format!("pgdata-{pod_name}");
    let template = &set["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
    labels["controller-revision-hash"] = json!(revision(set));
    labels["statefulset.kubernetes.io/pod-name"] = json!(pod_name);
    let mut spec = template["spec"].clone();
    spec["hostname"] = json!(pod_name);
    spec["subdomain"] = json!(name);
    spec["nodeName"] = json!(format!("node-{}", ordinal % 3 + 1));
    spec["enableServiceLinks"] = json!(true);
    spec["preemptionPolicy"] = json!("PreemptLowerPriority");
    spec["priority"] = json!(0);
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.insert(0, json!({ "name": "pgdata", "persistentVolumeClaim": { "claimName": claim_name } }));
    }
    let pod = json!({
        "metadata": {
            "name": pod_name, "namespace": namespace, "generateName": format!("{name}-"), "labels": labels,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": set["metadata"]["uid"],
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
        "status": { "phase": "Pending" },
    });
    let wanted = &set["spec"]["volumeClaimTemplates"][0];
    let mut claim_spec = wanted["spec"].clone();
    claim_spec["volumeName"] = json!(format!("pv-{namespace}-{pod_name}"));
    let claim = json!({
        "metadata": { "name": claim_name, "namespace": namespace, "labels": wanted["metadata"]["labels"] },
        "spec": claim_spec,
        "status": {
            "phase": "Bound", "accessModes": ["ReadWriteOnce"],
            "capacity": wanted["spec"]["resources"]["requests"],
        },
    });
    (pod, claim)
}

/// A name for the pods' template that changes when the template does.
pub fn revision(set: &Value) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    set["spec"]["template"].to_string().hash(&mut hasher);
    format!("{}-{:x}", text(set, &["metadata", "name"]), hasher.finish() & 0xffff_ffff)
}

/// A new password; the word in it lets a test find it where no password may be.
pub fn password() -> Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; 16];
    let mut source = std::fs::File::open("/dev/urandom").during("cannot open /dev/urandom")?;
    source.read_exact(&mut bytes).during("cannot read /dev/urandom")?;
    let mut password = String::from("CANARY-");
    for byte in bytes {
        // Writing into a string does not fail.
        let _ = write!(password, "{byte:02x}");
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(spec: Value) -> Manifest {
        let annotations = Value::Null;
        Manifest { namespace: "production".into(), name: "acid-shop".into(), uid: "u1".into(), annotations, spec }
    }

    fn variable(manifest: &Manifest, name: &str) -> Option<String> {
        let set = manifest.stateful_set();
        let env = set["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        let found = env.iter().find(|variable| variable["name"] == name)?;
        Some(text(found, &["value"]).to_owned())
    }

    #[test]
    fn a_manifest_can_blank_the_bucket_of_the_operator() {
        assert_eq!(variable(&manifest(json!({})), "WAL_S3_BUCKET").as_deref(), Some(BUCKET));
        let blank = manifest(json!({ "env": [{ "name": "WAL_S3_BUCKET", "value": "" }] }));
        assert_eq!(variable(&blank, "WAL_S3_BUCKET").as_deref(), Some(""));
    }

    #[test]
    fn a_lower_case_variable_blocks_the_operators_own() {
        let lower = manifest(json!({ "env": [{ "name": "wal_s3_bucket", "value": "x" }] }));
        assert_eq!(variable(&lower, "WAL_S3_BUCKET"), None);
    }

    #[test]
    fn a_parameter_needs_no_new_pods_and_a_variable_does() {
        let plain = manifest(json!({}));
        let tuned = manifest(json!({ "postgresql": { "parameters": { "work_mem": "9MB" } } }));
        assert!(tuned.stateful_set() != plain.stateful_set() && !tuned.needs_new_pods(&plain));
        assert!(manifest(json!({ "env": [{ "name": "A", "value": "1" }] })).needs_new_pods(&plain));
    }

    #[test]
    fn a_pod_mounts_the_claim_of_its_own_ordinal() {
        let set = manifest(json!({ "numberOfInstances": 3, "volume": { "size": "1Gi" } })).stateful_set();
        let (pod, claim) = pod(&set, 2);
        assert_eq!(claim["metadata"]["name"], "pgdata-acid-shop-2");
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "pgdata-acid-shop-2");
        assert_eq!(claim["status"]["capacity"]["storage"], "1Gi");
    }
}
