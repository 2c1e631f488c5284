//! What an order changes, line by line: the YAML of what it touches, before and after.

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::order::Order;
use super::secrets;

/// At most so many lines in a row that stay as they are are shown.
const CONTEXT: usize = 8;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub mark: Mark,
    pub text: String,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Stays,
    Comes,
    Goes,
    /// What stands there now is not known.
    Set,
}

impl Mark {
    /// As in a diff.
    pub fn sign(self) -> char {
        match self {
            Mark::Stays => ' ',
            Mark::Comes => '+',
            Mark::Goes => '-',
            Mark::Set => '~',
        }
    }
}

/// The change that an order makes; `resource` is the CR as it stands. None where an order is no object's. Secrets are hidden.
pub fn of(order: &Order, resource: Option<&Value>) -> Option<Vec<Line>> {
    match (order, resource) {
        (Order::Patch { patch, .. }, Some(resource)) => Some(merged(resource, patch)),
        (Order::Patch { patch, .. } | Order::Amend { patch, .. }, _) => Some(whole(patch, Mark::Set)),
        (Order::Create { body, .. }, _) => Some(whole(body, Mark::Comes)),
        _ => None,
    }
}

fn whole(value: &Value, mark: Mark) -> Vec<Line> {
    yaml(value.clone()).lines().map(|text| Line { mark, text: text.to_owned() }).collect()
}

/// What a merge patch (RFC 7396) makes of the fields that it touches.
fn merged(resource: &Value, patch: &Value) -> Vec<Line> {
    let before = touched(resource, patch).unwrap_or(Value::Null);
    let mut after = if before.is_object() { before.clone() } else { Value::Object(Map::new()) };
    json_patch::merge(&mut after, patch);
    let (before, after) = (yaml(before), yaml(after));
    let diff = TextDiff::from_lines(&before, &after);
    let lines = diff.iter_all_changes().map(|change| {
        let mark = match change.tag() {
            ChangeTag::Equal => Mark::Stays,
            ChangeTag::Insert => Mark::Comes,
            ChangeTag::Delete => Mark::Goes,
        };
        Line { mark, text: change.value().trim_end_matches('\n').to_owned() }
    });
    folded(&lines.collect::<Vec<_>>())
}

/// The part of a value that a merge patch touches.
fn touched(value: &Value, patch: &Value) -> Option<Value> {
    let (Value::Object(fields), Value::Object(patch)) = (value, patch) else { return Some(value.clone()) };
    let part = patch.iter().filter_map(|(key, patch)| Some((key.clone(), touched(fields.get(key)?, patch)?)));
    let part: Map<String, Value> = part.collect();
    (!part.is_empty()).then_some(Value::Object(part))
}

/// Long stretches that stay as they are, told by their length.
fn folded(lines: &[Line]) -> Vec<Line> {
    let mut kept = Vec::new();
    for stretch in lines.chunk_by(|one, other| (one.mark == Mark::Stays) == (other.mark == Mark::Stays)) {
        if stretch.len() <= CONTEXT || stretch[0].mark != Mark::Stays {
            kept.extend_from_slice(stretch);
            continue;
        }
        let half = CONTEXT / 2;
        let text = format!("… {} lines stay as they are", stretch.len() - 2 * half);
        kept.extend_from_slice(&stretch[..half]);
        kept.push(Line { mark: Mark::Stays, text });
        kept.extend_from_slice(&stretch[stretch.len() - half..]);
    }
    kept
}

/// A value as YAML, without its secrets; nothing for nothing.
fn yaml(mut value: Value) -> String {
    secrets::hide(&mut value);
    if value.is_null() || value.as_object().is_some_and(Map::is_empty) {
        return String::new();
    }
    // What YAML cannot hold, JSON can.
    serde_saphyr::to_string(&value).unwrap_or_else(|_| value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(resource: &Value, patch: &Value) -> String {
        let lines = merged(resource, patch);
        lines.iter().flat_map(|line| [String::from(line.mark.sign()), line.text.clone(), "\n".into()]).collect()
    }

    #[test]
    fn the_old_value_stands_beside_the_new_one() {
        let resource =
            json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"numberOfInstances": 2, "teamId": "x"}});
        assert_eq!(
            told(&resource, &json!({"spec": {"numberOfInstances": 3}})),
            " spec:\n-  numberOfInstances: 2\n+  numberOfInstances: 3\n"
        );
        assert_eq!(
            told(&resource, &json!({"spec": {"enableLogicalBackup": true}})),
            "+spec:\n+  enableLogicalBackup: true\n"
        );
        assert_eq!(
            told(&resource, &json!({"metadata": {"annotations": {"a": null, "b": "2"}}})),
            " metadata:\n   annotations:\n-    a: \"1\"\n+    b: \"2\"\n"
        );
    }

    #[test]
    fn of_a_long_list_only_what_changes_is_told_and_no_secret() {
        let item = |n: u32| json!({"name": format!("V{n}"), "value": format!("CANARY-{n}")});
        let mut env: Vec<Value> = (0..40).map(item).collect();
        env[0] = json!({"name": "AWS_SECRET_ACCESS_KEY", "value": "CANARY-SECRET"});
        let before = json!({"spec": {"env": env}});
        env.push(json!({"name": "USE_WALG_BACKUP", "value": "false"}));
        let told = told(&before, &json!({"spec": {"env": env}}));
        assert!(told.lines().count() < 20, "{told}");
        assert!(told.contains("lines stay as they are") && told.contains('+'), "{told}");
        assert!(!told.contains("CANARY-SECRET"), "{told}");
    }
}
