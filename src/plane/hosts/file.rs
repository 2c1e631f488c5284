//! The hosts file: which plain Postgres servers there are. All of its mistakes are found at once, each with its line.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Endpoint, Group, SslMode};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub thing: String,
    /// `hosts.toml:3`.
    pub place: String,
    pub why: String,
    pub remedy: String,
}

const FORM: &str = "write [[cluster]] with name and hosts = [\"10.0.0.5:5432\"], and optionally user, dbname, sslmode \
                    (disable, require, verify-full), sslrootcert, protected";

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
    }

    fn complain(&mut self, at: usize, thing: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) {
        let place = format!("{}:{}", self.name, self.line(at));
        self.mistakes.push(Mistake { thing: thing.into(), place, why: why.into(), remedy: remedy.into() });
    }
}

/// Reads the text of a hosts file of that name.
pub fn parse(name: &str, text: &str) -> Result<Vec<Group>, Vec<Mistake>> {
    let mut reader = Reader { name, text, mistakes: Vec::new() };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.complain(at, "the hosts file", error.message(), FORM);
            return Err(reader.mistakes);
        }
    };
    let mut groups = Vec::new();
    for (key, value) in table.get_ref() {
        match (&**key.get_ref(), value.get_ref()) {
            ("cluster", DeValue::Array(tables)) => {
                for table in tables {
                    match table.get_ref() {
                        DeValue::Table(table) => groups.extend(group(&mut reader, table, key.span().start)),
                        _ => reader.complain(table.span().start, "cluster", "is no table", FORM),
                    }
                }
            }
            ("cluster", _) => reader.complain(key.span().start, "cluster", "is no list of tables", "write [[cluster]]"),
            (other, _) => reader.complain(key.span().start, format!("key {other:?}"), "is not known", FORM),
        }
    }
    let mut names = BTreeSet::new();
    for group in &groups {
        if !names.insert(group.name.clone()) {
            reader.complain(0, format!("cluster {:?}", group.name), "stands twice", "join the two, or rename one");
        }
    }
    if groups.is_empty() && reader.mistakes.is_empty() {
        reader.complain(0, "the hosts file", "names no cluster", FORM);
    }
    if reader.mistakes.is_empty() { Ok(groups) } else { Err(reader.mistakes) }
}

fn group(reader: &mut Reader<'_>, table: &DeTable<'_>, at: usize) -> Option<Group> {
    let before = reader.mistakes.len();
    let mut group = Group::default();
    for (key, value) in table {
        let at = key.span().start;
        let name = &**key.get_ref();
        match (name, value.get_ref()) {
            ("name", DeValue::String(text)) if !text.is_empty() => group.name = text.to_string(),
            ("user", DeValue::String(text)) => group.user = Some(text.to_string()),
            ("dbname", DeValue::String(text)) => group.dbname = Some(text.to_string()),
            ("sslrootcert", DeValue::String(text)) => group.root = Some(text.to_string().into()),
            ("protected", DeValue::Boolean(protected)) => group.protected = *protected,
            ("sslmode", DeValue::String(text)) => match SslMode::parse(text) {
                Ok(mode) => group.sslmode = Some(mode),
                Err(why) => {
                    reader.complain(value.span().start, "sslmode", why, "write disable, require or verify-full");
                }
            },
            ("hosts", DeValue::Array(hosts)) => group.hosts = endpoints(reader, hosts.iter()),
            ("password", _) => {
                reader.complain(at, "key password", "does not belong here", "put it into ~/.pgpass or $PGPASSWORD");
            }
            ("name" | "user" | "dbname" | "sslrootcert" | "protected" | "sslmode" | "hosts", _) => {
                let thing = format!("key {name:?}");
                reader.complain(value.span().start, thing, format!("cannot be {}", value.get_ref().type_str()), FORM);
            }
            (other, _) => reader.complain(at, format!("key {other:?}"), "is not known", FORM),
        }
    }
    if reader.mistakes.len() > before {
        return None;
    }
    let at = table.keys().next().map_or(at, |key| key.span().start);
    if group.name.is_empty() {
        reader.complain(at, "a cluster", "has no name", FORM);
    } else if group.hosts.is_empty() {
        reader.complain(at, format!("cluster {:?}", group.name), "has no hosts", "write hosts = [\"10.0.0.5:5432\"]");
    }
    (reader.mistakes.len() == before).then_some(group)
}

fn endpoints<'a>(reader: &mut Reader<'_>, hosts: impl Iterator<Item = &'a Spanned<DeValue<'a>>>) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for host in hosts {
        let parsed = host.get_ref().as_str().ok_or_else(|| "is no text".to_owned()).and_then(Endpoint::parse);
        match parsed {
            Ok(endpoint) if endpoints.contains(&endpoint) => {
                reader.complain(host.span().start, format!("host {endpoint}"), "stands twice", "take one away");
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(why) => {
                let thing = format!("host {}", host.get_ref().as_str().unwrap_or("(no text)"));
                reader.complain(host.span().start, thing, why, "write it as 10.0.0.5:5432 or db.example:5432");
            }
        }
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let found = parse("hosts.toml", text).unwrap_err();
        found.into_iter().map(|mistake| format!("{} {} {}", mistake.place, mistake.thing, mistake.why)).collect()
    }

    #[test]
    fn a_cluster_is_read_with_its_hosts() {
        let text = "[[cluster]]\nname = \"oldprod\"\nhosts = [\"10.0.0.5\", \"[::1]:5433\"]\nsslmode = \"verify-full\"\nprotected = true\n";
        let groups = parse("hosts.toml", text).unwrap();
        let hosts: Vec<String> = groups[0].hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["10.0.0.5:5432", "[::1]:5433"]);
        assert_eq!((groups[0].sslmode, groups[0].protected), (Some(SslMode::VerifyFull), true));
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let text =
            "[[cluster]]\nname = \"a\"\nhosts = [\"h:99999\"]\nsslmode = \"prefer\"\n\n[[cluster]]\nnmae = \"b\"\n";
        assert_eq!(
            mistakes(text),
            [
                "hosts.toml:3 host h:99999 has no port between 1 and 65535",
                "hosts.toml:4 sslmode \"prefer\" is not offered: it would fall back to plain text",
                "hosts.toml:7 key \"nmae\" is not known",
            ]
        );
        assert!(mistakes("[[cluster]\n")[0].starts_with("hosts.toml:1 the hosts file"));
        assert_eq!(mistakes("")[0], "hosts.toml:1 the hosts file names no cluster");
        assert!(mistakes("[[cluster]]\nname='a'\nhosts=['h']\npassword='x'\n")[0].contains("does not belong here"));
    }
}
