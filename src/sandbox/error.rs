//! What can go wrong while a sandbox is made, run or ended.

use std::io;

/// A failure of the sandbox; the message names the thing, what happened, and where it helps what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, process or address of this machine.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// The Kubernetes API said no, or nothing.
    #[error("{what}: {source}")]
    Kube { what: String, source: Box<kube::Error> },
    /// A Postgres said no, or nothing.
    #[error("{what}: {}", spelled(source))]
    Sql { what: String, source: tokio_postgres::Error },
    /// A Patroni said no; `said` are its own words.
    #[error("{what}: patroni returned '{said}'")]
    Patroni { what: String, said: String },
    /// A program or package is not installed.
    #[error("{what} is missing; {remedy}")]
    Missing { what: String, remedy: String },
    /// Anything else.
    #[error("{what}: {why}")]
    Failed { what: String, why: String },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn failed(what: impl Into<String>, why: impl std::fmt::Display) -> Error {
        Error::Failed { what: what.into(), why: format!("{why}") }
    }

    /// Whether the API answered with this HTTP status.
    pub fn is_status(&self, code: u16) -> bool {
        matches!(self, Error::Kube { source, .. } if is_status(source, code))
    }

    /// The Kubernetes API's own words, if it was the one to refuse.
    pub fn refusal(&self) -> Option<&str> {
        let Error::Kube { source, .. } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        Some(&status.message)
    }
}

/// Whether the API answered with this HTTP status.
pub fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The server's own words; tokio-postgres alone says "db error".
fn spelled(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_string())
}

/// Says what was being done when an error came.
pub trait During<T> {
    fn during(self, what: impl Into<String>) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Io { what: what.into(), source })
    }
}

impl<T> During<T> for kube::Result<T> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Kube { what: what.into(), source: Box::new(source) })
    }
}

impl<T> During<T> for std::result::Result<T, tokio_postgres::Error> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Sql { what: what.into(), source })
    }
}
