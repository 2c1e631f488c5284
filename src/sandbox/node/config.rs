//! What Spilo makes of a pod's environment: the configuration of its Patroni.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::fleet::cluster::ARCHIVE_VARIABLES;

/// The environment of the container `postgres`, resolved.
pub type Env = BTreeMap<String, String>;

/// What the configuration needs to know beside the environment.
#[derive(Debug)]
pub struct Place<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub ip: &'a str,
    pub home: &'a Path,
    /// The folder of the server's socket.
    pub sockets: &'a Path,
    pub bin: &'a Path,
    /// The context in the kubeconfig that Patroni reads.
    pub context: &'a str,
    /// Whether the image brings Spilo's `post_init`.
    pub has_post_init: bool,
}

pub fn is_archiving(env: &Env) -> bool {
    ARCHIVE_VARIABLES.iter().any(|name| env.get(*name).is_some_and(|value| !value.is_empty()))
}

/// Patroni's configuration, passwords included: for a file that only the server's user can read.
pub fn patroni(env: &Env, place: &Place<'_>) -> Value {
    let spilo: Value =
        env.get("SPILO_CONFIGURATION").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let ip = place.ip;
    json!({
        "scope": word(env, "SCOPE", ""),
        "name": place.pod,
        "kubernetes": kubernetes(env, place),
        "restapi": { "listen": format!("{ip}:8008"), "connect_address": format!("{ip}:8008") },
        "bootstrap": {
            "dcs": dcs(&spilo["bootstrap"]["dcs"]),
            "initdb": initdb(&spilo["bootstrap"]["initdb"]),
            "post_init": place.has_post_init.then(|| place.home.join("post_init")),
        },
        "postgresql": postgresql(env, &spilo["postgresql"], place),
    })
}

fn kubernetes(env: &Env, place: &Place<'_>) -> Value {
    let labels = env.get("KUBERNETES_LABELS").and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "context": place.context,
        "namespace": place.namespace,
        "labels": labels.unwrap_or_else(|| json!({ "application": "spilo" })),
        "scope_label": word(env, "KUBERNETES_SCOPE_LABEL", "version"),
        "role_label": word(env, "KUBERNETES_ROLE_LABEL", "role"),
        "leader_label_value": word(env, "KUBERNETES_LEADER_LABEL_VALUE", "master"),
        "use_endpoints": !word(env, "KUBERNETES_USE_CONFIGMAPS", "").eq_ignore_ascii_case("true"),
        "pod_ip": place.ip,
        "ports": [{ "port": 5432, "name": "postgresql" }],
    })
}

/// The dynamic configuration of a new cluster: Spilo's defaults under what the operator asked for.
fn dcs(asked: &Value) -> Value {
    let mut dcs = json!({
        "ttl": 30,
        "loop_wait": 10,
        "retry_timeout": 10,
        "maximum_lag_on_failover": 33_554_432,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": {
                "wal_level": "logical",
                "hot_standby": "on",
                "max_connections": "100",
                "max_wal_senders": "10",
                "max_replication_slots": "10",
                "max_worker_processes": "8",
                "wal_log_hints": "on",
                "wal_compression": "on",
                "track_functions": "all",
                "track_commit_timestamp": "off",
                "archive_mode": "on",
                "archive_timeout": "1800s",
            },
        },
    });
    lay_over(&mut dcs, asked);
    dcs
}

/// Puts the values of `top` over those of `base`, key by key.
fn lay_over(base: &mut Value, top: &Value) {
    match (base, top) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(top)) => {
            for (key, value) in top {
                lay_over(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, top) => *base = top.clone(),
    }
}

fn initdb(asked: &Value) -> Value {
    let mut options = vec![json!({ "encoding": "UTF8" }), json!({ "locale": "C.UTF-8" })];
    options.extend(asked.as_array().into_iter().flatten().cloned());
    options.extend([json!("data-checksums"), json!("no-sync")]);
    Value::Array(options)
}

fn postgresql(env: &Env, local: &Value, place: &Place<'_>) -> Value {
    let (ip, home) = (place.ip, place.home);
    let hba = json!([
        "local all all trust",
        "local replication all trust",
        "hostnossl all all all reject",
        "hostnossl replication all all reject",
        "hostssl replication all all md5",
        "hostssl all all all md5",
    ]);
    json!({
        "listen": format!("{ip}:5432"),
        "connect_address": format!("{ip}:5432"),
        "data_dir": home.join("pgdata"),
        "bin_dir": place.bin,
        "pgpass": home.join("pgpass"),
        "use_unix_socket": true,
        "authentication": {
            "superuser": {
                "username": word(env, "PGUSER_SUPERUSER", "postgres"),
                "password": word(env, "PGPASSWORD_SUPERUSER", ""),
            },
            "replication": {
                "username": word(env, "PGUSER_STANDBY", "standby"),
                "password": word(env, "PGPASSWORD_STANDBY", ""),
            },
        },
        "parameters": parameters(env, &local["parameters"], place),
        "pg_hba": if local["pg_hba"].is_array() { local["pg_hba"].clone() } else { hba },
        "create_replica_methods": ["basebackup"],
        "basebackup": [{ "checkpoint": "fast" }, "no-sync"],
    })
}

/// The parameters that Spilo sets in each pod; small, and without waiting for the disk: nothing here outlives the sandbox.
fn parameters(env: &Env, asked: &Value, place: &Place<'_>) -> Value {
    let home = place.home;
    let archive = if is_archiving(env) { r#"envdir "/run/etc/wal-e.d/env" wal-g wal-push "%p""# } else { "/bin/true" };
    let mut parameters: Map<String, Value> = asked.as_object().cloned().unwrap_or_default();
    parameters.entry("archive_command").or_insert_with(|| json!(archive));
    for (name, value) in [
        ("unix_socket_directories", place.sockets.display().to_string()),
        ("ssl", "on".into()),
        ("ssl_cert_file", home.join("tls.crt").display().to_string()),
        ("ssl_key_file", home.join("tls.key").display().to_string()),
        ("logging_collector", "on".into()),
        ("log_destination", "csvlog".into()),
        ("log_directory", home.join("pg_log").display().to_string()),
        ("log_filename", "postgresql-%u.log".into()),
        ("shared_buffers", "32MB".into()),
        ("fsync", "off".into()),
    ] {
        parameters.insert(name.into(), value.into());
    }
    Value::Object(parameters)
}

fn word<'a>(env: &'a Env, name: &str, otherwise: &'a str) -> &'a str {
    env.get(name).map_or(otherwise, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(env: &[(&str, &str)]) -> Value {
        let env = env.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
        let place = Place {
            namespace: "production",
            pod: "acid-shop-0",
            ip: "127.77.1.1",
            home: Path::new("/home/x"),
            sockets: Path::new("/sockets/x"),
            bin: Path::new("/bin"),
            context: "here",
            has_post_init: true,
        };
        patroni(&env, &place)
    }

    #[test]
    fn a_bucket_turns_archiving_on_and_an_empty_one_does_not() {
        let command = |env: &[(&str, &str)]| configured(env)["postgresql"]["parameters"]["archive_command"].clone();
        assert_eq!(command(&[("WAL_S3_BUCKET", "")]), "/bin/true");
        assert_eq!(command(&[("AZURE_STORAGE_ACCOUNT", "x")]), "/bin/true");
        assert_eq!(command(&[("WALG_AZ_PREFIX", "x")]), r#"envdir "/run/etc/wal-e.d/env" wal-g wal-push "%p""#);
    }

    #[test]
    fn what_the_operator_asks_for_lies_over_the_defaults() {
        let asked =
            r#"{"bootstrap":{"dcs":{"synchronous_mode":true,"postgresql":{"parameters":{"max_connections":"20"}}}}}"#;
        let dcs = configured(&[("SPILO_CONFIGURATION", asked)])["bootstrap"]["dcs"].clone();
        assert_eq!(dcs["synchronous_mode"], true);
        assert_eq!(dcs["postgresql"]["parameters"]["max_connections"], "20");
        assert_eq!(dcs["postgresql"]["parameters"]["wal_level"], "logical");
    }

    #[test]
    fn the_store_is_endpoints_unless_the_pod_says_configmaps() {
        assert_eq!(configured(&[])["kubernetes"]["use_endpoints"], true);
        assert_eq!(configured(&[("KUBERNETES_USE_CONFIGMAPS", "true")])["kubernetes"]["use_endpoints"], false);
    }
}
