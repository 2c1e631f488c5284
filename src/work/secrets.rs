//! What people write into objects and nobody shall read again: hidden before an object or an order is shown or recorded.

mod command;

use serde::Serialize as _;
use serde_json::Value;

use crate::fleet::cluster::ARCHIVE_VARIABLES;

/// Stands for what is hidden.
pub const HIDDEN: &str = "(hidden)";

/// Variables of the environment whose values are told, beside those that turn archiving on: where things lie and how they are
/// called (Spilo's `ENVIRONMENT.rst`, the operator's logical backup). What is in no list may be a secret, whatever its name.
const HARMLESS: [&str; 17] = [
    "USE_WALG_BACKUP",
    "USE_WALG_RESTORE",
    "BACKUP_SCHEDULE",
    "BACKUP_NUM_TO_RETAIN",
    "WAL_BUCKET_SCOPE_PREFIX",
    "WAL_BUCKET_SCOPE_SUFFIX",
    "AWS_REGION",
    "SCOPE",
    "PGROOT",
    "PGVERSION",
    "PGPORT",
    "PGUSER",
    "PGUSER_SUPERUSER",
    "PGUSER_STANDBY",
    "LOGICAL_BACKUP_PROVIDER",
    "LOGICAL_BACKUP_S3_BUCKET",
    "LOGICAL_BACKUP_S3_REGION",
];

/// Hides every text that its field tells to be a secret, and the value of every variable that is not known to be harmless.
pub fn hide(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let variable = object.get("name").and_then(Value::as_str).map(str::to_owned);
            for (key, value) in object.iter_mut() {
                let is_variable = key == "value" && variable.is_some();
                let is_told = |text: &str| variable.as_deref().is_some_and(|name| is_harmless(name, text));
                match value {
                    Value::String(text) if is_secret(key) || (is_variable && !is_told(text)) => {
                        HIDDEN.clone_into(text);
                    }
                    Value::String(text) => *text = setting(key, text),
                    value => hide(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a field of that name holds a secret.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["secret_access_key", "password", "passwd", "token", "private_key", "access_key"];
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Whether a variable's value may be told: one of a known name without a login in it, or none at all. Names mean what they mean
/// to Kubernetes and Spilo, to the letter: one in another case is another variable.
fn is_harmless(name: &str, value: &str) -> bool {
    let is_known = || HARMLESS.iter().chain(&ARCHIVE_VARIABLES).any(|known| name == *known);
    value.is_empty() || (is_known() && !(value.contains("://") && value.contains('@')))
}

/// A variable's value as it may be told.
pub fn told<'a>(name: &str, value: &'a str) -> &'a str {
    if is_harmless(name, value) { value } else { HIDDEN }
}

/// A setting of Postgres as it may be told: commands and connections may hold a login.
pub fn setting(name: &str, value: &str) -> String {
    let is_command = name.ends_with("_command") || name.ends_with("conninfo");
    if is_command { command::told(value) } else { value.to_owned() }
}

/// Hides them in an order that stands in a text as JSON, as in a command for a shell.
pub fn hidden_in(text: &str) -> String {
    // How a shell writes a quote between quotes.
    let plain = text.replace(r"'\''", "'");
    let (mut told, mut rest, mut hid) = (String::new(), plain.as_str(), false);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        told.push_str(before);
        let mut objects = serde_json::Deserializer::from_str(from).into_iter::<Value>();
        let Some(Ok(object)) = objects.next() else {
            told.push('{');
            rest = &from[1..];
            continue;
        };
        let (whole, after) = from.split_at(objects.byte_offset());
        let mut shown = object.clone();
        hide(&mut shown);
        if shown == object {
            told.push_str(whole);
        } else {
            told.push_str(&shown.to_string());
            hid = true;
        }
        rest = after;
    }
    if hid { told + rest } else { text.to_owned() }
}

/// Hides them in a line of the journal: a pgdeck of long ago may have written what is hidden by now.
pub fn hide_in_line(line: &mut Value) {
    if let Some(order) = line.get_mut("order") {
        hide(order);
    }
    let texts = ["undo", "answer"].into_iter();
    for key in texts {
        if let Some(Value::String(text)) = line.get_mut(key) {
            *text = hidden_in(text);
        }
    }
    for evidence in line.get_mut("evidence").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(text) = evidence {
            *text = hidden_in(text);
        }
    }
}

/// Serializes a value without its secrets.
pub fn serialize<S: serde::Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = value.clone();
    hide(&mut value);
    value.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(mut value: Value) -> String {
        hide(&mut value);
        value.to_string()
    }

    #[test]
    fn a_variable_is_told_only_where_it_is_known_to_be_harmless() {
        let check = |name: &str, value: &str, is_told: bool| {
            let text = shown(json!({"spec": {"containers": [{"env": [{"name": name, "value": value}]}]}}));
            assert_eq!(text.contains(value), is_told, "{text}");
            assert_eq!(text.contains(HIDDEN), !is_told, "{text}");
        };
        for name in ["FOO", "SENTRY_URL", "AWS_SECRET_ACCESS_KEY", "LICENSE", "MY_SCOPE", "wal_s3_bucket"] {
            check(name, "CANARY", false);
        }
        check("WAL_S3_BUCKET", "backups", true);
        check("USE_WALG_BACKUP", "false", true);
        check("WALG_SSH_PREFIX", "ssh://me:CANARY@host/x", false);
        assert!(!shown(json!([{"name": "FOO", "value": ""}])).contains(HIDDEN));
        assert!(!shown(json!({"clone": {"s3_secret_access_key": "CANARY"}})).contains("CANARY"));
    }

    #[test]
    fn a_command_of_postgres_is_told_without_its_logins() {
        let parameters = json!({"parameters": {"archive_command": "AWS_SECRET_ACCESS_KEY=CANARY wal-g wal-push %p",
                                               "primary_conninfo": "host=a password=CANARY", "work_mem": "4MB"}});
        let told = shown(parameters);
        assert!(!told.contains("CANARY") && told.contains("wal-g wal-push %p") && told.contains("4MB"), "{told}");
    }

    #[test]
    fn what_is_no_variable_is_told() {
        let body = json!({"metadata": {"name": "x"}, "spec": {"numberOfInstances": 3,
                          "users": [{"name": "FOO", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}});
        assert_eq!(shown(body.clone()), body.to_string());
    }

    #[test]
    fn an_order_in_a_command_and_a_line_of_long_ago_tell_no_secret() {
        let patch = json!({"spec": {"env": [{"name": "FOO", "value": "CANARY-it's"}, {"name": "WAL_S3_BUCKET", "value": "b"}]}});
        let quoted = patch.to_string().replace('\'', r"'\''");
        let command = format!("kubectl -n {{x}} patch postgresql shop --type merge -p '{quoted}' # and so on");
        let told = hidden_in(&command);
        assert!(!told.contains("CANARY") && told.starts_with("kubectl -n {x} patch"), "{told}");
        assert!(told.ends_with("' # and so on") && told.contains(r#""value":"b""#), "{told}");
        let plain = "pgdeck do scale demo//a/{b} 2: it's so";
        assert_eq!(hidden_in(plain), plain);

        let mut line = json!({"entry": "sending", "order": {"kind": "patch", "patch": patch}, "undo": command,
                              "evidence": [format!("to go back: {command}")]});
        hide_in_line(&mut line);
        assert!(!line.to_string().contains("CANARY"), "{line}");
    }
}
