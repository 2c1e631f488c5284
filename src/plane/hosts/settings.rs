//! How plain hosts are reached and logged into: from the hosts file, a connection string, libpq's variables, ~/.pgpass.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::config::Host;

use super::pgpass;
use crate::fault::Fault;
use crate::pg::{Ca, Secret, TlsMode};

/// One cluster of plain hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    pub name: String,
    pub hosts: Vec<Endpoint>,
    pub user: Option<String>,
    pub dbname: Option<String>,
    /// None: `require`. Never less, unless the user says `disable`.
    pub sslmode: Option<SslMode>,
    /// Certificates that may sign the servers', for verify-full; none for the system's.
    pub root: Option<PathBuf>,
    pub protected: bool,
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// What is demanded of the connection's encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Require,
    VerifyFull,
}

impl SslMode {
    /// Reads libpq's word. Those that would fall back to plain text, or verify by halves, are not offered.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(SslMode::Disable),
            "require" => Ok(SslMode::Require),
            "verify-full" => Ok(SslMode::VerifyFull),
            "allow" | "prefer" => Err(format!("{text:?} is not offered: it would fall back to plain text")),
            "verify-ca" => Err("\"verify-ca\" is not offered: verify-full checks the name too".into()),
            _ => Err(format!("{text:?} is not known")),
        }
    }
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[v6]:port`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || "has no port between 1 and 65535".to_owned();
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(bad);
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, 5432),
            Some((host, rest)) => (host, port(rest.strip_prefix(':').unwrap_or_default())?),
            None => match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => (text, 5432),
                Some((host, rest)) => (host, port(rest)?),
                None => (text, 5432),
            },
        };
        let fit = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || !host.chars().all(fit) {
            return Err("is no host name or address".into());
        }
        Ok(Endpoint { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A cluster from a connection string. The error says what in it cannot be used.
pub fn from_dsn(dsn: &str) -> Result<Group, String> {
    // tokio-postgres knows fewer sslmodes than libpq: it is read here.
    let (rest, sslmode) = without_sslmode(dsn);
    let sslmode = sslmode.as_deref().map(SslMode::parse).transpose()?;
    let config: tokio_postgres::Config = rest.parse().map_err(|error: tokio_postgres::Error| error.to_string())?;
    if config.get_password().is_some() {
        return Err("holds a password; put it into ~/.pgpass or $PGPASSWORD".into());
    }
    let ports = config.get_ports();
    let host = |(idx, host): (usize, &Host)| match host {
        Host::Tcp(host) => {
            let port = ports.get(idx).or(ports.first()).copied().unwrap_or(5432);
            Ok(Endpoint { host: host.clone(), port })
        }
        Host::Unix(path) => Err(format!("names the socket {}; name a host", path.display())),
    };
    let hosts = config.get_hosts().iter().enumerate().map(host).collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() {
        return Err("names no host".into());
    }
    Ok(Group {
        name: hosts[0].host.clone(),
        hosts,
        user: config.get_user().map(str::to_owned),
        dbname: config.get_dbname().map(str::to_owned),
        sslmode,
        root: None,
        protected: false,
    })
}

fn without_sslmode(dsn: &str) -> (String, Option<String>) {
    let url = dsn.starts_with("postgres://") || dsn.starts_with("postgresql://");
    let (head, parameters, joint) = match dsn.split_once('?') {
        Some((head, query)) if url => (format!("{head}?"), query.split('&').collect::<Vec<_>>(), "&"),
        _ if url => return (dsn.to_owned(), None),
        _ => (String::new(), dsn.split_whitespace().collect(), " "),
    };
    let mode = parameters.iter().find_map(|parameter| parameter.strip_prefix("sslmode=")).map(str::to_owned);
    let kept: Vec<&str> = parameters.into_iter().filter(|parameter| !parameter.starts_with("sslmode=")).collect();
    (format!("{head}{}", kept.join(joint)), mode)
}

/// libpq's variables, and where its files are.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub host: Option<String>,
    pub port: Option<String>,
    pub user: Option<String>,
    pub dbname: Option<String>,
    pub password: Option<Secret>,
    pub passfile: Option<PathBuf>,
    pub sslmode: Option<String>,
    pub root: Option<PathBuf>,
    /// The user of this machine, as libpq defaults to it.
    pub login: Option<String>,
}

impl Environment {
    /// Reads the variables.
    pub fn look() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let home = text("HOME").map(PathBuf::from);
        Environment {
            host: text("PGHOST"),
            port: text("PGPORT"),
            user: text("PGUSER"),
            dbname: text("PGDATABASE"),
            password: text("PGPASSWORD").map(Secret::new),
            passfile: text("PGPASSFILE").map(PathBuf::from).or_else(|| home.map(|home| home.join(".pgpass"))),
            sslmode: text("PGSSLMODE"),
            root: text("PGSSLROOTCERT").map(PathBuf::from),
            login: text("USER").or_else(|| text("LOGNAME")),
        }
    }

    /// The cluster that the variables name.
    pub fn group(&self) -> Result<Group, String> {
        let host = self.host.clone().ok_or_else(|| "names no host".to_owned())?;
        let port = self.port.as_deref().map(|port| format!(":{port}")).unwrap_or_default();
        let endpoint = Endpoint::parse(&format!("{host}{port}")).map_err(|why| format!("host {host} {why}"))?;
        Ok(Group { name: host, hosts: vec![endpoint], ..Group::default() })
    }

    /// Who logs in there: user, password, database.
    pub fn login(&self, group: &Group, endpoint: &Endpoint) -> Result<crate::pg::Login, Fault> {
        let user = [&group.user, &self.user, &self.login].into_iter().flatten().next().cloned();
        let user = user.unwrap_or_else(|| "postgres".into());
        let dbname =
            [&group.dbname, &self.dbname].into_iter().flatten().next().cloned().unwrap_or_else(|| "postgres".into());
        let from_file = match &self.passfile {
            Some(path) => pgpass::find(path, endpoint, &dbname, &user)?,
            None => None,
        };
        // As libpq does it: the variable before the file.
        let password = self.password.clone().or(from_file);
        Ok(crate::pg::Login { user, password, dbname })
    }

    /// What is demanded of the connection's encryption.
    pub fn tls(&self, group: &Group) -> Result<TlsMode, Fault> {
        let named = self.sslmode.as_deref().and_then(|text| SslMode::parse(text).ok());
        match group.sslmode.or(named).unwrap_or(SslMode::Require) {
            SslMode::Disable => Ok(TlsMode::Disable),
            SslMode::Require => Ok(TlsMode::Require),
            SslMode::VerifyFull => match group.root.as_ref().or(self.root.as_ref()) {
                None => Ok(TlsMode::VerifyFull(Ca::System)),
                Some(path) => {
                    let pem = std::fs::read(path).map_err(|error| Fault::Malformed {
                        what: format!("the certificates of {}", group.name),
                        place: path.display().to_string(),
                        why: error.to_string(),
                    })?;
                    Ok(TlsMode::VerifyFull(Ca::Pem { place: path.display().to_string().into(), pem: pem.into() }))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_nonsense_is_not() {
        for (text, expected) in [
            ("h", "h:5432"),
            ("h:1", "h:1"),
            ("[::1]", "[::1]:5432"),
            ("::1", "[::1]:5432"),
            ("[fe80::1%eth0]:7", "[fe80::1%eth0]:7"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), expected);
        }
        for text in ["", ":5432", "h:0", "h:x", "a b", "h\u{1b}[31m"] {
            assert!(Endpoint::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn connection_strings_are_read_in_both_forms() {
        let url = from_dsn("postgresql://me@db1:5433,db2/app?sslmode=verify-full").unwrap();
        assert_eq!(url.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["db1:5433", "db2:5432"]);
        assert_eq!((url.user.as_deref(), url.sslmode), (Some("me"), Some(SslMode::VerifyFull)));
        let pairs = from_dsn("host=db1 port=6000 dbname=app sslmode=disable").unwrap();
        assert_eq!(
            (pairs.hosts[0].port, pairs.dbname.as_deref(), pairs.sslmode),
            (6000, Some("app"), Some(SslMode::Disable))
        );
        assert!(from_dsn("postgres://me:secret@db1/app").unwrap_err().contains("pgpass"));
        assert!(from_dsn("host=db1 sslmode=prefer").unwrap_err().contains("plain text"));
        assert!(from_dsn("dbname=x").is_err());
    }
}
