//! The door to Postgres: how a server is reached, logged into and asked.
//!
//! A plane says how ([`Reached`]), [`connect::open`] makes a [`Session`] of it, [`survey::sample`] asks all surveys in one
//! round trip, and [`sampler::run`] keeps asking on one connection.

pub mod connect;
pub mod order;
pub mod probe;
pub mod sampler;
pub mod survey;
pub mod tls;

mod decode;
mod fault;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub use connect::Session;

use crate::fault::Fault;
use crate::id::Text;

/// How one server is reached and logged into.
#[derive(Debug)]
pub struct Reached {
    /// The server's name in messages: `production//db/orders/orders-0`, `hosts:oldprod/10.0.0.5:5432`.
    pub what: Text,
    pub stream: Stream,
    /// The name that the server's certificate must carry where it is verified, and that is sent as SNI.
    pub server_name: String,
    pub tls: TlsMode,
    pub login: Login,
}

/// Who logs in, where to.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: Option<Secret>,
    pub dbname: String,
}

/// The way to the server.
pub enum Stream {
    /// A TCP address; the host may be a name.
    Tcp { host: String, port: u16 },
    /// A Unix-domain socket. TLS does not apply.
    Unix(PathBuf),
    /// An open stream, such as a port-forward; `broken` resolves when the tunnel reports an error of its own.
    Open { io: Box<dyn Duplex>, broken: Option<BoxFuture<'static, Fault>> },
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Tcp { host, port } => write!(f, "Tcp({host}:{port})"),
            Stream::Unix(path) => write!(f, "Unix({})", path.display()),
            Stream::Open { .. } => f.write_str("Open"),
        }
    }
}

/// A stream that can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// What is demanded of the connection's encryption; never less than that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain. Only where the user asked for it.
    Disable,
    /// Encrypted; the certificate is not checked (Spilo's is self-signed).
    Require,
    /// Encrypted; the certificate must be signed by `ca` and carry the server's name.
    VerifyFull(Ca),
}

/// Who may sign a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    /// The authorities that this machine trusts.
    System,
    /// Certificates in PEM; `place` is where they were read, for messages.
    Pem { place: Text, pem: Arc<[u8]> },
}

/// A password or key. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Keeps the bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Secret(bytes.as_ref().into())
    }

    /// The bytes, for the one who sends them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let login = Login { user: "u".into(), password: Some(Secret::new("CANARY-1")), dbname: "d".into() };
        assert!(!format!("{login:?}").contains("CANARY"));
    }
}
