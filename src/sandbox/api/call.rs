//! One request, read: which kind, which object, which verb, what the query asks.

use http::Method;

use super::kinds;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub kind: usize,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    pub verb: &'static str,
    pub query: Query,
}

/// The query of a request, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d` with percent encoding.
    pub fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        };
        Query(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// A value, the last if there are several; empty if absent.
    pub fn get(&self, key: &str) -> &str {
        self.find(key).unwrap_or_default()
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn find(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set, by whatever word (Patroni says `True`) but `false` and `0`.
    pub fn flag(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A number, if it is one.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.find(key)?.parse().ok()
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut idx = 0;
    while idx < bytes.len() {
        let hex =
            || std::str::from_utf8(bytes.get(idx + 1..idx + 3)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[idx], hex()) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                idx += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        idx += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl Call {
    /// Reads a request about objects; none if the path names no kind that is served.
    pub fn parse(method: &Method, path: &str, query: &str) -> Option<Call> {
        let query = Query::parse(query);
        let mut parts = path.trim_matches('/').split('/').map(decode);
        let (group, version) = match parts.next()?.as_str() {
            "api" => (String::new(), parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let rest: Vec<String> = parts.collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let (namespace, plural, rest) = match rest.as_slice() {
            ["namespaces", namespace, plural, rest @ ..] if !(rest.is_empty() && is_sub_of_namespace(plural)) => {
                (Some((*namespace).to_owned()), *plural, rest)
            }
            [plural, rest @ ..] => (None, *plural, rest),
            [] => return None,
        };
        let kind = kinds::find(&group, &version, plural)?;
        let name = rest.first().map(|name| (*name).to_owned());
        let subresource = rest.get(1).map(|sub| (*sub).to_owned());
        let verb = verb(method, name.is_some(), &query)?;
        Some(Call { kind, namespace, name, subresource, verb, query })
    }
}

fn is_sub_of_namespace(part: &str) -> bool {
    matches!(part, "status" | "finalize")
}

fn verb(method: &Method, named: bool, query: &Query) -> Option<&'static str> {
    Some(match (method.as_str(), named) {
        ("GET", false) if query.flag("watch") => "watch",
        ("GET", false) => "list",
        ("GET", true) => "get",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, query: &str, expected: Option<(&str, Option<&str>, Option<&str>, &str)>) {
        let call = Call::parse(&method.parse().unwrap(), path, query);
        let read = call
            .as_ref()
            .map(|call| (kinds::KINDS[call.kind].plural, call.namespace.as_deref(), call.name.as_deref(), call.verb));
        assert_eq!(read, expected, "{method} {path}");
    }

    #[test]
    fn paths_name_kind_namespace_object_and_verb() {
        check("GET", "/api/v1/pods", "watch=true", Some(("pods", None, None, "watch")));
        check("GET", "/api/v1/pods", "watch=True", Some(("pods", None, None, "watch")));
        check("GET", "/api/v1/pods", "watch=false", Some(("pods", None, None, "list")));
        check("GET", "/api/v1/namespaces", "", Some(("namespaces", None, None, "list")));
        check("GET", "/api/v1/namespaces/default", "", Some(("namespaces", None, Some("default"), "get")));
        check("PATCH", "/api/v1/namespaces/a/pods/p-0/status", "", Some(("pods", Some("a"), Some("p-0"), "patch")));
        let postgresqls = "/apis/acid.zalan.do/v1/namespaces/a/postgresqls";
        check("POST", postgresqls, "", Some(("postgresqls", Some("a"), None, "create")));
        check("DELETE", postgresqls, "", Some(("postgresqls", Some("a"), None, "deletecollection")));
        check("GET", "/apis/unknown/v1/things", "", None);
        check("GET", "/metrics", "", None);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=app%3Dspilo%2Crole+in+%28a%29&follow");
        assert_eq!(query.get("labelSelector"), "app=spilo,role in (a)");
        assert!(query.flag("follow") && !query.flag("watch"));
        let query = Query::parse("command=sh&tty=false&command=-c&command=echo+%22a+b%22");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo \"a b\""]);
    }
}
