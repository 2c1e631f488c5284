//! `~/.pgpass`: `host:port:database:user:password`, `*` for any, `\` before `:` and `\`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::settings::Endpoint;
use crate::fault::Fault;
use crate::pg::Secret;

/// The password for that login; none if the file is not there or has no line for it. A file that others may read is refused,
/// as libpq refuses it.
pub fn find(path: &Path, endpoint: &Endpoint, dbname: &str, user: &str) -> Result<Option<Secret>, Fault> {
    let malformed =
        |why: String| Fault::Malformed { what: "the password file".into(), place: path.display().to_string(), why };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(malformed(error.to_string())),
    };
    if metadata.mode() & 0o077 != 0 {
        return Err(malformed("others may read it: chmod 600 it".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| malformed(error.to_string()))?;
    Ok(text.lines().find_map(|line| password(line, endpoint, dbname, user)))
}

fn password(line: &str, endpoint: &Endpoint, dbname: &str, user: &str) -> Option<Secret> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [host, port, database, name, password] = fields.as_slice() else { return None };
    let fits = |field: &str, value: &str| field == "*" || field == value;
    let all = fits(host, &endpoint.host)
        && fits(port, &endpoint.port.to_string())
        && fits(database, dbname)
        && fits(name, user);
    all.then(|| Secret::new(password))
}

/// The four fields and the rest, unescaped.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().unwrap_or('\\'),
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            c => c,
        };
        if let Some(last) = fields.last_mut() {
            last.push(c);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&str>) {
        let endpoint = Endpoint { host: "db1".into(), port: 5432 };
        let found = password(line, &endpoint, "app", "me");
        assert_eq!(found.as_ref().map(Secret::reveal), expected.map(str::as_bytes), "{line}");
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        check("db1:5432:app:me:pw", Some("pw"));
        check("*:*:*:me:p:w\\\\x", Some("p:w\\x"));
        check("db2:*:*:*:pw", None);
        check("# db1:5432:app:me:pw", None);
        check("db1:5432", None);
    }
}
