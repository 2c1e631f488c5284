//! Objects as plain lines that can be laid beside each other: ids, times, addresses and passwords under names of their own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::differences::fits;

/// One object: the texts at its paths.
pub type Lines = BTreeMap<String, String>;

/// What differs from run to run on one side alone.
const NEVER: &[&str] = &["metadata.uid", "metadata.resourceVersion"];

/// Who wrote an object is read of these alone: it dates a change of the manifest.
const MANAGED: &str = "postgresql";

/// What is there on both sides, each time with another value.
const MASKED: &[&str] = &[
    "Secret/* data.password",
    "ConfigMap/*-leader metadata.annotations.optime",
    "ConfigMap/*-leader metadata.annotations.slots.*",
    "ConfigMap/*-config metadata.annotations.initialize",
    "ConfigMap/*-config metadata.annotations.history.*.1",
    "Pod/* metadata.annotations.status.xlog_location",
    "Pod/* metadata.annotations.status.received_location",
    "Pod/* metadata.annotations.status.replayed_location",
    "Pod/* metadata.annotations.status.receive_lsn",
    "Pod/* metadata.annotations.status.replay_lsn",
];

/// By these an entry of a list is known, wherever it stands.
const KEYS: &[&str] = &["name", "type", "mountPath", "containerPort"];

/// All objects of a list, by kind and name; `known` are names of ids beside those that the list itself tells.
pub fn objects(list: &Value, known: &BTreeMap<String, String>) -> BTreeMap<String, Lines> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = Known::of(items, known);
    items.iter().map(|item| (title(item), known.lines(item))).collect()
}

fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// What the id of an object is called.
pub fn called(object: &Value) -> String {
    format!("<uid of {}>", title(object))
}

/// The ids and addresses of one side, and what each is of.
struct Known(Vec<(String, String)>);

impl Known {
    fn of(items: &[Value], known: &BTreeMap<String, String>) -> Known {
        let mut known: Vec<(String, String)> = known.clone().into_iter().collect();
        let mut learn = |value: &Value, name: String| {
            if let Some(text) = value.as_str().filter(|text| !text.is_empty() && *text != "None") {
                known.push((text.to_owned(), name));
            }
        };
        for item in items {
            let title = title(item);
            learn(&item["metadata"]["uid"], called(item));
            learn(&item["status"]["podIP"], format!("<address of {title}>"));
            learn(&item["spec"]["clusterIP"], format!("<address of {title}>"));
        }
        // Whether a pod is of the newest template is told by comparing it with its set.
        for item in items.iter().filter(|item| item["kind"] == "StatefulSet") {
            learn(&item["status"]["updateRevision"], "<newest revision>".into());
            learn(&item["status"]["currentRevision"], "<older revision>".into());
        }
        for item in items.iter().filter(|item| item["kind"] == "Pod") {
            learn(&item["metadata"]["labels"]["controller-revision-hash"], "<older revision>".into());
        }
        Known(known)
    }

    fn lines(&self, object: &Value) -> Lines {
        let title = title(object);
        let mut lines = Lines::new();
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut()
            && let Some(entries) = metadata.remove("managedFields")
        {
            // Who, and by what; whose fields they are nobody reads.
            let writers = entries.as_array().into_iter().flatten().map(|entry| {
                let part = entry["subresource"].as_str().unwrap_or("whole");
                let manager = entry["manager"].as_str().unwrap_or_default();
                (format!("metadata.managedFields.{manager}.{part}"), "<time>".to_owned())
            });
            lines.extend(writers.filter(|_| object["kind"] == MANAGED));
        }
        self.add(&mut lines, "", &object);
        lines.retain(|path, _| !NEVER.iter().any(|never| path.starts_with(never)));
        for (path, text) in &mut lines {
            if MASKED.iter().any(|pattern| fits(pattern, &format!("{title} {path}"))) {
                *text = "<some>".into();
            }
        }
        lines
    }

    fn add(&self, lines: &mut Lines, path: &str, value: &Value) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            // A field of null is as good as none; which are written depends on the API's version.
            Value::Object(fields) if fields.values().all(Value::is_null) => {
                drop(lines.insert(path.into(), "{}".into()));
            }
            Value::Array(entries) if entries.is_empty() => drop(lines.insert(path.into(), "[]".into())),
            Value::Object(fields) => {
                let fields = fields.iter().filter(|(_, value)| !value.is_null());
                fields.for_each(|(key, value)| self.add(lines, &below(key), value));
            }
            Value::Array(entries) => {
                // Of two variables of one name the first wins, and a later one may refer to an earlier.
                if path.rsplit('.').next() == Some("env") {
                    let names: Vec<String> = entries.iter().filter_map(key).collect();
                    lines.insert(below("#order"), names.join(" "));
                }
                for (idx, entry) in entries.iter().enumerate() {
                    self.add(lines, &below(&key(entry).unwrap_or_else(|| idx.to_string())), entry);
                }
            }
            Value::String(text) => match nested(text) {
                Some(inner) => self.add(lines, path, &inner),
                None => drop(lines.insert(path.into(), self.named(text))),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => drop(lines.insert(path.into(), value.to_string())),
        }
    }

    /// The text with names in the place of ids, addresses and times.
    fn named(&self, text: &str) -> String {
        if text.parse::<Timestamp>().is_ok() {
            return "<time>".into();
        }
        let mut text = text.to_owned();
        for (id, name) in &self.0 {
            text = replaced(&text, id, name);
        }
        text
    }
}

/// Puts `name` wherever `id` stands as a whole: 10.64.0.1 is not in 10.64.0.12.
fn replaced(text: &str, id: &str, name: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(id) {
        let (before, after) = (&rest[..at], &rest[at + id.len()..]);
        let is_whole = !before.ends_with(|c: char| c.is_ascii_alphanumeric())
            && !after.starts_with(|c: char| c.is_ascii_alphanumeric());
        result.push_str(before);
        result.push_str(if is_whole { name } else { id });
        rest = after;
    }
    result + rest
}

/// JSON in a text, such as Patroni's annotations.
fn nested(text: &str) -> Option<Value> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).ok().filter(|inner: &Value| inner.is_object() || inner.is_array())
}

fn key(entry: &Value) -> Option<String> {
    let fields: &Map<String, Value> = entry.as_object()?;
    let value = KEYS.iter().find_map(|key| fields.get(*key))?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
