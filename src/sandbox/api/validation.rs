//! What the API refuses to keep: fields that a kind's definition does not name (`fieldValidation`), and texts that are too long.

use serde_json::Value;

use super::call::{Call, Query};
use super::kinds::{self, KINDS, Kind};
use super::refusal::Refusal;
use super::store::Store;

/// What a client wants to hear of unknown fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    /// They go without a word.
    Ignore,
    /// They go, and a header says so: what a server does that is asked nothing.
    Warn,
    /// The whole request is refused.
    Strict,
}

impl Directive {
    fn of(query: &Query) -> Result<Directive, Refusal> {
        match query.get("fieldValidation") {
            "" | "Warn" => Ok(Directive::Warn),
            "Ignore" => Ok(Directive::Ignore),
            "Strict" => Ok(Directive::Strict),
            other => Err(Refusal::invalid(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Takes out of an object what the definition of its kind does not name. Returns the warnings.
///
/// Kinds without a definition pass as they are. A server-side apply is treated like the other patches; a real server refuses
/// unknown fields there whatever the query says.
pub fn prune(store: &Store, call: &Call, object: &mut Value) -> Result<Vec<String>, Refusal> {
    let directive = Directive::of(&call.query)?;
    let kind = &KINDS[call.kind];
    let definitions = kinds::find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let Some(definition) = definitions.and_then(|definitions| store.get(definitions, "", &kind.qualified())) else {
        return Ok(Vec::new());
    };
    let sent = (directive == Directive::Strict).then(|| object.to_string());
    let schema = &definition.value()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut unknown = Vec::new();
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, value| match (name.as_str(), schema["properties"].get(name)) {
            ("apiVersion" | "kind" | "metadata", _) => true,
            (_, Some(inner)) => {
                visit(value, inner, name, &mut unknown);
                true
            }
            (_, None) => {
                unknown.push(name.clone());
                false
            }
        });
    }
    unknown.sort();
    let said: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    match (directive, sent) {
        (_, _) if said.is_empty() => Ok(Vec::new()),
        (Directive::Ignore, _) => Ok(Vec::new()),
        (Directive::Strict, Some(sent)) => Err(refusal(call, &sent, &said)),
        (Directive::Warn | Directive::Strict, _) => Ok(said),
    }
}

fn refusal(call: &Call, sent: &str, said: &[String]) -> Refusal {
    let kind = &KINDS[call.kind];
    let why = format!("strict decoding error: {}", said.join(", "));
    if call.verb == "patch" {
        let quoted = Value::from(sent);
        return Refusal::invalid(format!(" \"\" is invalid: patch: Invalid value: {quoted}: {why}"));
    }
    let (name, version) = (kind.kind, kind.version);
    Refusal::bad_request(format!("{name} in version \"{version}\" cannot be handled as a {name}: {why}"))
}

fn visit(value: &mut Value, schema: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let path = format!("{path}.{name}");
            let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            if let Some(inner) = known {
                visit(value, inner, &path, unknown);
            }
            let stays = known.is_some() || schema["x-kubernetes-preserve-unknown-fields"] == true;
            if !stays {
                unknown.push(path);
            }
            stays
        }),
        Value::Array(items) => {
            for (idx, item) in items.iter_mut().enumerate() {
                visit(item, &schema["items"], &format!("{path}[{idx}]"), unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The values of labels, and the names of Services, are no longer than this.
const LONGEST: usize = 63;

/// Refuses an object whose labels or, if it is a Service, whose name or selector are too long.
pub fn check_lengths(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let is_service = kind.group.is_empty() && kind.plural == "services";
    let mut said = Vec::new();
    let mut check = |place: &str, text: &str, unit: &str| {
        if text.len() > LONGEST {
            said.push(format!("{place}: Invalid value: \"{text}\": must be no more than {LONGEST} {unit}"));
        }
    };
    if is_service {
        check("metadata.name", name, "characters");
    }
    for (place, labels) in
        [("metadata.labels", &object["metadata"]["labels"]), ("spec.selector", &object["spec"]["selector"])]
    {
        if place == "metadata.labels" || is_service {
            let labels = labels.as_object().into_iter().flatten();
            labels.filter_map(|(_, value)| value.as_str()).for_each(|value| check(place, value, "bytes"));
        }
    }
    let said = match said.as_slice() {
        [] => return Ok(()),
        [only] => only.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    Err(Refusal::invalid(format!("{} \"{name}\" is invalid: {said}", kind.kind)))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use jiff::Timestamp;
    use serde_json::json;

    use super::super::seed;
    use super::*;

    const PATH: &str = "/apis/acid.zalan.do/v1/namespaces/default/postgresqls";

    fn check(method: &Method, path: &str, query: &str, spec: &Value) -> Result<(Vec<String>, Value), Refusal> {
        let store = Store::new();
        seed::fill(&store, "127.0.0.1:1".parse().unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        let call = Call::parse(method, path, query).unwrap();
        let mut object = json!({"metadata": {"name": "a", "odd": 1}, "spec": spec});
        prune(&store, &call, &mut object).map(|said| (said, object["spec"].take()))
    }

    #[test]
    fn what_operator_1_15_1_knows_stays_whatever_is_inside() {
        let spec = json!({
            "env": [{"name": "a", "valueFrom": {"x": {"y": 1}}}], "postgresql": {"parameters": {"any": "1"}},
            "nodeAffinity": {"any": {"thing": 1}}, "sidecars": [{"any": 1}], "initContainers": [{"any": 1}],
            "additionalVolumes": [{"any": 1}], "podAnnotations": {"any": "1"}, "users": {"any": ["createdb"]},
            "databases": {"any": "a"}, "preparedDatabases": {"any": {"schemas": {"x": {}}}},
            "patroni": {"slots": {"any": {"type": "logical"}}, "initdb": {"any": "1"}},
        });
        let pruned = check(&Method::POST, PATH, "fieldValidation=Strict", &spec).unwrap();
        assert_eq!(pruned, (Vec::new(), spec));
    }

    #[test]
    fn an_unknown_field_goes_with_a_warning_or_without_or_not_at_all() {
        let spec = json!({"enableWALArchiving": false, "volume": {"size": "1Gi", "x": 1}, "tolerations": [{"y": 1}]});
        let left = json!({"volume": {"size": "1Gi"}, "tolerations": [{}]});
        let said = ["enableWALArchiving", "tolerations[0].y", "volume.x"];
        let said: Vec<_> = said.iter().map(|path| format!("unknown field \"spec.{path}\"")).collect();
        for query in ["", "fieldValidation=Warn"] {
            assert_eq!(check(&Method::PUT, &format!("{PATH}/a"), query, &spec).unwrap(), (said.clone(), left.clone()));
        }
        let ignored = check(&Method::POST, PATH, "fieldValidation=Ignore", &spec).unwrap();
        assert_eq!(ignored, (Vec::new(), left));
        let refused = check(&Method::PATCH, &format!("{PATH}/a"), "fieldValidation=Strict", &spec).unwrap_err();
        assert_eq!(refused.code, 422);
        assert!(
            refused.message.ends_with(&format!(": strict decoding error: {}", said.join(", "))),
            "{}",
            refused.message
        );
        let refused = check(&Method::POST, PATH, "fieldValidation=Strict", &spec).unwrap_err();
        assert_eq!((refused.code, refused.reason), (400, "BadRequest"));
    }

    #[test]
    fn a_service_with_a_name_that_is_too_long_is_refused_with_all_that_is_wrong() {
        let long = "a".repeat(64);
        let object =
            json!({"metadata": {"name": long, "labels": {"cluster-name": long}}, "spec": {"selector": {"a": "b"}}});
        let kind = |plural: &str| KINDS.iter().find(|kind| kind.plural == plural).unwrap();
        let refused = check_lengths(kind("services"), &object).unwrap_err();
        let name = format!("metadata.name: Invalid value: \"{long}\": must be no more than 63 characters");
        let label = format!("metadata.labels: Invalid value: \"{long}\": must be no more than 63 bytes");
        assert_eq!(refused.message, format!("Service \"{long}\" is invalid: [{name}, {label}]"));
        let refused = check_lengths(kind("secrets"), &object).unwrap_err();
        assert_eq!(refused.message, format!("Secret \"{long}\" is invalid: {label}"));
        assert_eq!(check_lengths(kind("pods"), &json!({"metadata": {"name": long}})), Ok(()));
    }
}
