//! What people write into objects and nobody shall read again: hidden before an object or an order is shown or recorded.

use serde::Serialize as _;
use serde_json::Value;

/// Stands for what is hidden.
pub const HIDDEN: &str = "(hidden)";

/// Hides every text that its name tells to be a secret: a field, or the value of a variable of the environment.
pub fn hide(value: &mut Value) {
    const SECRET: [&str; 6] = ["secret_access_key", "password", "passwd", "token", "private_key", "access_key"];
    const OF_VARIABLES: [&str; 6] = ["secret", "credential", "passphrase", "_key", "database_url", "dsn"];
    let is_secret = |name: &str| {
        let name = name.to_lowercase();
        SECRET.iter().any(|word| name.contains(word))
    };
    let is_variable = |name: &str| {
        let lower = name.to_lowercase();
        is_secret(name) || OF_VARIABLES.iter().any(|word| lower.contains(word))
    };
    match value {
        Value::Object(object) => {
            let named = object.get("name").and_then(Value::as_str).is_some_and(is_variable);
            for (key, value) in object.iter_mut() {
                if value.is_string() && (is_secret(key) || (named && key == "value")) {
                    *value = HIDDEN.into();
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Serializes a value without its secrets.
pub fn serialize<S: serde::Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = value.clone();
    hide(&mut value);
    value.serialize(serializer)
}
