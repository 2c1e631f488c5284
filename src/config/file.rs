//! The configuration file: its keys, and where in it something is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use crate::cli::Reach;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    pub contexts: Vec<String>,
    pub namespaces: Vec<String>,
    pub hosts: Option<PathBuf>,
    pub reach: Option<Reach>,
    pub theme: Option<String>,
    pub ascii: bool,
    pub readonly: bool,
    pub protected: Vec<String>,
    pub roles: BTreeMap<String, String>,
    pub columns: Vec<String>,
    pub tunnels: Option<usize>,
    pub armed_minutes: Option<u32>,
    pub keys: BTreeMap<String, Vec<String>>,
    /// By action: the line of its keys.
    pub key_lines: BTreeMap<String, usize>,
}

/// One key of the file: its name, what it holds, and how it is taken in.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// For README and messages: what the value must be.
    pub form: &'static str,
    pub doc: &'static str,
    /// False if the value has another form.
    take: fn(&mut Written, &DeValue<'_>) -> bool,
}

/// All keys.
pub static KEYS: &[Key] = &[
    Key {
        name: "contexts",
        form: "a list of names",
        doc: "Kubernetes contexts to watch at once; without it the current one.",
        take: |written, value| store(&mut written.contexts, names(value)),
    },
    Key {
        name: "namespaces",
        form: "a list of names",
        doc: "Namespaces to watch; without it all.",
        take: |written, value| store(&mut written.namespaces, names(value)),
    },
    Key {
        name: "hosts",
        form: "the path of a file",
        doc: "TOML file of plain Postgres hosts, as --hosts.",
        take: |written, value| store(&mut written.hosts, value.as_str().map(|path| Some(PathBuf::from(path)))),
    },
    Key {
        name: "reach",
        form: "\"forward\" or \"direct\"",
        doc: "How pods are reached, as --reach.",
        take: |written, value| store(&mut written.reach, reach(value).map(Some)),
    },
    Key {
        name: "theme",
        form: "the name of a theme or the path of a TOML file",
        doc: "The theme, as --theme.",
        take: |written, value| store(&mut written.theme, value.as_str().map(|name| Some(name.to_owned()))),
    },
    Key {
        name: "ascii",
        form: "true or false",
        doc: "Draw with ASCII alone.",
        take: |written, value| store(&mut written.ascii, value.as_bool()),
    },
    Key {
        name: "readonly",
        form: "true or false",
        doc: "Never change anything.",
        take: |written, value| store(&mut written.readonly, value.as_bool()),
    },
    Key {
        name: "protected",
        form: "a list of names",
        doc: "Contexts, and clusters of plain hosts, that are marked as protected, by name or pattern.",
        take: |written, value| store(&mut written.protected, names(value)),
    },
    Key {
        name: "roles",
        form: "a table of context = \"role\"",
        doc: "By context: the Postgres role whose secret pgdeck looks with, instead of the superuser's.",
        take: |written, value| store(&mut written.roles, roles(value)),
    },
    Key {
        name: "columns",
        form: "a list of column names",
        doc: "Columns of the fleet view, in order.",
        take: |written, value| store(&mut written.columns, names(value)),
    },
    Key {
        name: "tunnels",
        form: "a number from 1 to 500",
        doc: "How many instances are sampled at once at most; more take turns.",
        take: |written, value| store(&mut written.tunnels, tunnels(value).map(Some)),
    },
    Key {
        name: "armed_minutes",
        form: "a number from 1 to 720",
        doc: "How many minutes a context stays armed.",
        take: |written, value| store(&mut written.armed_minutes, minutes(value).map(Some)),
    },
    Key {
        name: "keys",
        form: "a table of action = \"key\" or action = [\"key\", …]",
        doc: "Keys in place of the usual ones, by action.",
        take: |written, value| store(&mut written.keys, keys(value)),
    },
];

/// Reads the file's text; `path` is for messages.
pub fn parse(path: &str, text: &str, problems: &mut Vec<Problem>) -> Written {
    let mut written = Written::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.push(Problem {
            thing: "the configuration".into(),
            place: place(path, text, error.span().map_or(0, |span| span.start)),
            why: error.message().lines().collect::<Vec<_>>().join(", "),
            remedy: "correct the line; the file is TOML".into(),
        });
    }
    for (name, value) in table.get_ref() {
        let at = name.span().start;
        let Some(key) = KEYS.iter().find(|key| key.name == name.get_ref()) else {
            problems.push(unknown(name.get_ref(), place(path, text, at)));
            continue;
        };
        if !(key.take)(&mut written, value.get_ref()) {
            problems.push(Problem {
                thing: key.name.into(),
                place: place(path, text, value.span().start),
                why: format!("is {}", described(value.get_ref())),
                remedy: format!("write {}", key.form),
            });
        }
        if key.name == "keys" {
            written.key_lines = lines_of_keys(text, value.get_ref());
        }
    }
    written
}

fn unknown(name: &str, place: String) -> Problem {
    let known = KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
    let near = KEYS.iter().find(|key| is_near(key.name, name)).map(|key| format!("did you mean {}? ", key.name));
    Problem {
        thing: format!("{name:?}"),
        place,
        why: "is no key of the configuration".into(),
        remedy: format!("{}the keys are {known}", near.unwrap_or_default()),
    }
}

/// Whether one is the other with one letter more, less, or different.
fn is_near(known: &str, written: &str) -> bool {
    let (known, written): (Vec<_>, Vec<_>) = (known.chars().collect(), written.chars().collect());
    let same = known.iter().zip(&written).take_while(|(one, other)| one == other).count();
    let (rest, other) = (&known[same..], &written[same..]);
    rest.get(1..) == other.get(1..) || rest.get(1..) == Some(other) || Some(rest) == other.get(1..)
}

fn place(path: &str, text: &str, at: usize) -> String {
    format!("{path}:{}", line(text, at))
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            format!("a {} of another form", value.type_str())
        }
    }
}

fn store<T>(slot: &mut T, value: Option<T>) -> bool {
    value.map(|value| *slot = value).is_some()
}

fn names(value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    value.as_array()?.iter().map(text).collect()
}

fn reach(value: &DeValue<'_>) -> Option<Reach> {
    match value.as_str()? {
        "forward" => Some(Reach::Forward),
        "direct" => Some(Reach::Direct),
        _ => None,
    }
}

fn tunnels(value: &DeValue<'_>) -> Option<usize> {
    value.as_integer()?.as_str().parse().ok().filter(|n| (1..=500).contains(n))
}

fn minutes(value: &DeValue<'_>) -> Option<u32> {
    value.as_integer()?.as_str().parse().ok().filter(|n| (1..=720).contains(n))
}

fn roles(value: &DeValue<'_>) -> Option<BTreeMap<String, String>> {
    let role = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
    let table = value.as_table()?.iter();
    table.map(|(context, value)| Some((context.get_ref().to_string(), role(value)?))).collect()
}

fn keys(value: &DeValue<'_>) -> Option<BTreeMap<String, Vec<String>>> {
    let keys = |value: &DeValue<'_>| value.as_str().map(|key| vec![key.to_owned()]).or_else(|| names(value));
    let table = value.as_table()?.iter();
    table.map(|(action, value)| Some((action.get_ref().to_string(), keys(value.get_ref())?))).collect()
}

fn lines_of_keys(text: &str, value: &DeValue<'_>) -> BTreeMap<String, usize> {
    let table = value.as_table().into_iter().flatten();
    table.map(|(action, _)| (action.get_ref().to_string(), line(text, action.span().start))).collect()
}
