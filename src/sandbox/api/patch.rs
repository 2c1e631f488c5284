//! Patches: merge, strategic (the lists that Patroni and kubectl patch), JSON.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// How a list is merged by a strategic patch: by this key of its items.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("conditions", "type"),
    ("containerStatuses", "name"),
    ("ports", "containerPort"),
    ("imagePullSecrets", "name"),
    ("ownerReferences", "uid"),
];

/// Applies a patch of that content type.
pub fn apply(content_type: &str, object: &mut Value, body: &[u8]) -> Result<(), Refusal> {
    let unreadable = |error: serde_json::Error| Refusal::bad_request(format!("the patch cannot be read: {error}"));
    match content_type.split(';').next().unwrap_or("").trim() {
        "application/merge-patch+json" => {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            json_patch::merge(object, &patch);
        }
        "application/strategic-merge-patch+json" => {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            strategic(object, patch, "");
        }
        "application/json-patch+json" => {
            let patch: json_patch::Patch = serde_json::from_slice(body).map_err(unreadable)?;
            json_patch::patch(object, &patch).map_err(|error| Refusal::invalid(error.to_string()))?;
        }
        "application/apply-patch+yaml" => {
            let patch: Value = serde_saphyr::from_slice(body)
                .map_err(|error| Refusal::bad_request(format!("the patch cannot be read: {error}")))?;
            // Without ownership of fields: what is given is set.
            json_patch::merge(object, &patch);
        }
        other => return Err(Refusal::media_type(other)),
    }
    Ok(())
}

fn strategic(target: &mut Value, patch: Value, field: &str) {
    match patch {
        Value::Object(patch) => {
            if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
                *target = Value::Object(patch.into_iter().filter(|(key, _)| key != "$patch").collect());
                return;
            }
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Some(target) = target.as_object_mut() else { return };
            for (key, value) in patch.into_iter().filter(|(key, _)| !key.starts_with("$setElementOrder/")) {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    strategic(target.entry(key.clone()).or_insert(Value::Null), value, &key);
                }
            }
        }
        Value::Array(items) => match MERGE_KEYS.iter().find(|(name, _)| *name == field) {
            Some((_, key)) if target.is_array() => merge_list(target, items, key),
            _ => *target = Value::Array(items),
        },
        other => *target = other,
    }
}

fn merge_list(target: &mut Value, items: Vec<Value>, key: &str) {
    let Some(list) = target.as_array_mut() else { return };
    for item in items {
        let same = list.iter().position(|known| !item[key].is_null() && known[key] == item[key]);
        let deleted = item.get("$patch").and_then(Value::as_str) == Some("delete");
        match (same, deleted) {
            (Some(idx), true) => drop(list.remove(idx)),
            (Some(idx), false) => strategic(&mut list[idx], item, ""),
            (None, true) => {}
            (None, false) => list.push(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(content_type: &str, patch: &Value, expected: &Value) {
        let mut object = json!({"metadata": {"annotations": {"a": "1", "b": "2"}}, "spec": {"containers": [{"name": "x", "image": "1"}], "args": [1]}});
        apply(content_type, &mut object, patch.to_string().as_bytes()).unwrap();
        assert_eq!(object, *expected);
    }

    #[test]
    fn a_merge_patch_sets_and_null_removes() {
        check(
            "application/merge-patch+json",
            &json!({"metadata": {"annotations": {"a": null, "c": "3"}}, "spec": {"containers": []}}),
            &json!({"metadata": {"annotations": {"b": "2", "c": "3"}}, "spec": {"containers": [], "args": [1]}}),
        );
    }

    #[test]
    fn a_strategic_patch_merges_lists_by_their_key() {
        check(
            "application/strategic-merge-patch+json",
            &json!({"spec": {"containers": [{"name": "x", "tty": true}, {"name": "y"}], "args": [2]}}),
            &json!({"metadata": {"annotations": {"a": "1", "b": "2"}},
                    "spec": {"containers": [{"name": "x", "image": "1", "tty": true}, {"name": "y"}], "args": [2]}}),
        );
    }

    #[test]
    fn an_unknown_patch_is_refused() {
        assert_eq!(apply("text/plain", &mut json!({}), b"{}").unwrap_err().code, 415);
        let failing = json!([{"op": "test", "path": "/x", "value": 1}]).to_string();
        assert_eq!(apply("application/json-patch+json", &mut json!({}), failing.as_bytes()).unwrap_err().code, 422);
    }
}
