//! What the operator is configured to do: labels, names of secrets, users. Nothing of it is hard-coded but the defaults.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::id::Text;
use crate::work::probe::Rules;

/// The part of the operator's configuration that pgdeck needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub cluster_labels: BTreeMap<String, String>,
    pub cluster_name_label: String,
    pub pod_role_label: String,
    pub secret_name_template: String,
    pub super_username: String,
    /// `logical_backup_job_prefix`.
    pub logical_prefix: String,
    pub rules: Rules,
    /// Where it was read; none if the defaults are assumed.
    pub found: Option<Text>,
}

impl Default for Settings {
    /// The operator's own defaults.
    fn default() -> Self {
        Settings {
            cluster_labels: BTreeMap::from([("application".into(), "spilo".into())]),
            cluster_name_label: "cluster-name".into(),
            pod_role_label: "spilo-role".into(),
            secret_name_template: "{username}.{cluster}.credentials.{tprkind}.{tprgroup}".into(),
            super_username: "postgres".into(),
            logical_prefix: "logical-backup-".into(),
            rules: Rules::default(),
            found: None,
        }
    }
}

impl Settings {
    /// Reads an `OperatorConfiguration` object.
    pub fn from_object(object: &Value) -> Self {
        let configuration = &object["configuration"];
        let kubernetes = &configuration["kubernetes"];
        let mut settings = Settings::default();
        if let Some(labels) = kubernetes["cluster_labels"].as_object().filter(|labels| !labels.is_empty()) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            settings.cluster_labels = labels.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        }
        set(&mut settings.cluster_name_label, &kubernetes["cluster_name_label"]);
        set(&mut settings.pod_role_label, &kubernetes["pod_role_label"]);
        set(&mut settings.secret_name_template, &kubernetes["secret_name_template"]);
        set(&mut settings.super_username, &configuration["users"]["super_username"]);
        set(&mut settings.logical_prefix, &configuration["logical_backup"]["logical_backup_job_prefix"]);
        settings.rules = rules(configuration, kubernetes);
        settings.found = Some(place("operatorconfiguration", object));
        settings
    }

    /// Reads the flat ConfigMap of older installations.
    pub fn from_config_map(object: &Value) -> Self {
        let data = &object["data"];
        let mut settings = Settings::default();
        if let Some(text) = data["cluster_labels"].as_str() {
            let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
            let labels: BTreeMap<_, _> =
                pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
            if !labels.is_empty() {
                settings.cluster_labels = labels;
            }
        }
        set(&mut settings.cluster_name_label, &data["cluster_name_label"]);
        set(&mut settings.pod_role_label, &data["pod_role_label"]);
        set(&mut settings.secret_name_template, &data["secret_name_template"]);
        set(&mut settings.super_username, &data["super_username"]);
        set(&mut settings.logical_prefix, &data["logical_backup_job_prefix"]);
        settings.rules = rules(data, data);
        settings.found = Some(place("configmap", object));
        settings
    }

    /// The label selector of everything that belongs to clusters.
    pub fn selector(&self) -> String {
        self.cluster_labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }

    /// Names that the secret of a user may have, the configured one first; older operators left out kind and group.
    pub fn secret_names(&self, user: &str, cluster: &str) -> Vec<String> {
        let name = |template: &str| {
            template
                .replace("{username}", &user.replace('_', "-"))
                .replace("{cluster}", cluster)
                .replace("{tprkind}", "postgresql")
                .replace("{tprgroup}", "acid.zalan.do")
        };
        let mut names = vec![name(&self.secret_name_template), name("{username}.{cluster}.credentials")];
        names.push(name("{username}.{cluster}.credentials.{tprkind}.{tprgroup}"));
        names.dedup();
        names
    }
}

/// The rules, as an object groups them or a flat map lists them.
fn rules(configuration: &Value, kubernetes: &Value) -> Rules {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(Text::from);
    let flag = |value: &Value, usual: bool| match value {
        Value::Bool(on) => *on,
        Value::String(word) => matches!(&**word, "true" | "1"),
        _ => usual,
    };
    Rules {
        limits: (limit(&configuration["min_instances"]), limit(&configuration["max_instances"])),
        ignore_limits: text(&configuration["ignore_instance_limits_annotation_key"])
            .or_else(|| text(&kubernetes["ignore_instance_limits_annotation_key"])),
        deletes_volumes: flag(&kubernetes["enable_persistent_volume_claim_deletion"], true),
        deletes_secrets: flag(&kubernetes["enable_secrets_deletion"], true),
        delete_date: text(&kubernetes["delete_annotation_date_key"]),
        delete_name: text(&kubernetes["delete_annotation_name_key"]),
        controllers: Vec::new(),
        known: true,
    }
}

/// A limit; -1, the default, is none.
fn limit(value: &Value) -> Option<u32> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    u32::try_from(number).ok()
}

fn set(field: &mut String, value: &Value) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        text.clone_into(field);
    }
}

fn place(kind: &str, object: &Value) -> Text {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    format!("{kind} {}/{}", text("namespace"), text("name")).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_of_configuration_are_read() {
        let object = json!({"metadata": {"namespace": "ops", "name": "main"}, "configuration": {"kubernetes": {
            "cluster_labels": {"app": "pg"}, "cluster_name_label": "version", "secret_name_template": "{cluster}-{username}"}}});
        let settings = Settings::from_object(&object);
        assert_eq!((settings.selector().as_str(), settings.cluster_name_label.as_str()), ("app=pg", "version"));
        assert_eq!(settings.secret_names("my_user", "shop")[0], "shop-my-user");
        assert_eq!(settings.found.as_deref(), Some("operatorconfiguration ops/main"));

        let map = json!({"metadata": {"namespace": "ops", "name": "postgres-operator"},
                         "data": {"cluster_labels": "application:spilo, tier:db", "super_username": "admin"}});
        let settings = Settings::from_config_map(&map);
        assert_eq!(
            (settings.selector().as_str(), settings.super_username.as_str()),
            ("application=spilo,tier=db", "admin")
        );
    }

    #[test]
    fn the_defaults_are_the_operators_own() {
        let names = Settings::default().secret_names("postgres", "acid-shop");
        assert_eq!(
            names,
            [
                "postgres.acid-shop.credentials.postgresql.acid.zalan.do",
                "postgres.acid-shop.credentials",
                "postgres.acid-shop.credentials.postgresql.acid.zalan.do"
            ]
        );
    }
}
