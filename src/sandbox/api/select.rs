//! Label and field selectors.

use std::collections::BTreeMap;

use serde_json::Value;

/// The fields that a field selector may name.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "status.phase",
    "spec.nodeName",
    "type",
    "reason",
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.resourceVersion",
    "involvedObject.uid",
];

/// What selectors look at in an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    labels: BTreeMap<String, String>,
    /// Those of [`FIELDS`] that the object has.
    fields: Vec<(&'static str, String)>,
}

impl Sight {
    /// Takes it from an object.
    pub fn of(object: &Value) -> Self {
        let at = |path: &str| path.split('.').try_fold(object, |value, part| value.get(part)).and_then(Value::as_str);
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        Sight {
            labels: labels.filter_map(label).collect(),
            fields: FIELDS.iter().filter_map(|path| Some((*path, at(path)?.to_owned()))).collect(),
        }
    }
}

/// A selector: every term must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<LabelTerm>,
    /// (path, value, must be equal)
    fields: Vec<(String, String, bool)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelTerm {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector` of a query. The error is fit for a 400.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let labels = split(labels).iter().map(|term| label_term(term)).collect::<Result<_, _>>()?;
        let field = |term: &str| {
            let (path, value, equal) = term
                .split_once("!=")
                .map(|(path, value)| (path, value, false))
                .or_else(|| term.split_once("==").map(|(path, value)| (path, value, true)))
                .or_else(|| term.split_once('=').map(|(path, value)| (path, value, true)))
                .ok_or_else(|| format!("invalid field selector: {term}"))?;
            if !FIELDS.contains(&path.trim()) {
                return Err(format!("field label not supported: {}", path.trim()));
            }
            Ok::<_, String>((path.trim().to_owned(), value.trim().to_owned(), equal))
        };
        let fields = fields.split(',').filter(|term| !term.is_empty()).map(field).collect::<Result<_, _>>()?;
        Ok(Selector { labels, fields })
    }

    /// Whether an object is selected.
    pub fn matches(&self, sight: &Sight) -> bool {
        let label = |key: &str| sight.labels.get(key);
        let labels = self.labels.iter().all(|term| match term {
            LabelTerm::In(key, values) => label(key).is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            LabelTerm::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|wanted| wanted != value)),
            LabelTerm::Exists(key) => label(key).is_some(),
            LabelTerm::Missing(key) => label(key).is_none(),
        });
        let field = |path: &str| sight.fields.iter().find(|(known, _)| *known == path).map_or("", |(_, value)| value);
        labels && self.fields.iter().all(|(path, wanted, equal)| (field(path) == wanted) == *equal)
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut terms = vec![String::new()];
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = terms.last_mut() {
            last.push(c);
        }
    }
    terms.into_iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

fn label_term(term: &str) -> Result<LabelTerm, String> {
    let values = |text: &str| -> Result<Vec<String>, String> {
        let inner = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let inner = inner.ok_or_else(|| format!("invalid label selector: {term}"))?;
        Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let one = |key: &str, value: &str| (key.trim().to_owned(), vec![value.trim().to_owned()]);
    if let Some((key, rest)) = term.split_once(" notin ") {
        return Ok(LabelTerm::NotIn(key.trim().into(), values(rest)?));
    }
    if let Some((key, rest)) = term.split_once(" in ") {
        return Ok(LabelTerm::In(key.trim().into(), values(rest)?));
    }
    if let Some((key, value)) = term.split_once("!=") {
        let (key, values) = one(key, value);
        return Ok(LabelTerm::NotIn(key, values));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        let (key, values) = one(key, value);
        return Ok(LabelTerm::In(key, values));
    }
    Ok(match term.strip_prefix('!') {
        Some(key) => LabelTerm::Missing(key.trim().into()),
        None => LabelTerm::Exists(term.trim().into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(labels: &str, fields: &str, expected: bool) {
        let object = json!({"metadata": {"name": "a-0", "labels": {"app": "spilo", "role": "master"}}, "spec": {"nodeName": "n1"}});
        assert_eq!(
            Selector::parse(labels, fields).unwrap().matches(&Sight::of(&object)),
            expected,
            "{labels} {fields}"
        );
    }

    #[test]
    fn labels_select_by_equality_sets_and_presence() {
        check("", "", true);
        check("app=spilo,role==master", "", true);
        check("app!=spilo", "", false);
        check("role in (master, replica),!gone", "", true);
        check("role notin (master)", "", false);
        check("team notin (x)", "", true);
        check("team", "", false);
    }

    #[test]
    fn fields_select_by_path() {
        check("", "metadata.name=a-0", true);
        check("", "metadata.name!=a-0", false);
        check("", "spec.nodeName=n2", false);
    }
}
