//! From a way to a server to a session on it, every step under a deadline of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Duplex, Reached, Stream, TlsMode, fault, tls};
use crate::fault::Fault;
use crate::id::Text;

/// Each of: the TCP connection, TLS and login, the settings.
const STEP: Duration = Duration::from_secs(5);
/// The oldest server that the surveys know.
const OLDEST: u16 = 12;

/// What a session is for, as the limits it puts upon itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    pub statement_timeout: Duration,
    pub lock_timeout: Duration,
    pub read_only: bool,
}

/// Looks, and takes no more than a moment.
pub const SAMPLES: Manners =
    Manners { statement_timeout: Duration::from_secs(3), lock_timeout: Duration::from_millis(500), read_only: true };

/// Changes something small, at once or not at all.
pub const ORDERS: Manners =
    Manners { statement_timeout: Duration::from_secs(5), lock_timeout: Duration::from_secs(2), read_only: false };

/// An open connection, logged in, with its limits set. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    pub client: Client,
    /// The server's name in messages.
    pub what: Text,
    /// The major version, such as 15.
    pub major: u16,
    /// As the server writes it: `15.18 (Debian 15.18-1)`.
    pub version: Text,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    pub manners: Manners,
    wire: JoinSet<Fault>,
}

impl Session {
    /// Why the connection has ended, once it has.
    pub fn ended(&mut self) -> Option<Fault> {
        match self.wire.try_join_next()? {
            Ok(fault) => Some(fault),
            Err(error) => Some(Fault::Unreachable { what: self.what.to_string(), why: error.to_string() }),
        }
    }
}

/// Connects, logs in, and sets the limits.
pub async fn open(reached: Reached, manners: Manners) -> Result<Session, Fault> {
    let Reached { what, stream, server_name, tls, login } = reached;
    let is_socket = matches!(stream, Stream::Unix(_));
    let (io, broken) = within(&what, "connecting", dial(&what, stream)).await?;
    let encrypted = !is_socket && tls != TlsMode::Disable;

    let mut config = Config::new();
    config.user(&login.user).dbname(&login.dbname).application_name("pgdeck");
    config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
    if let Some(password) = &login.password {
        config.password(password.reveal());
    }
    let connector = match (&tls, encrypted) {
        (TlsMode::VerifyFull(ca), true) => Some(tls::verified(ca)?),
        (TlsMode::Require, true) => Some(tls::unverified()?),
        (TlsMode::Disable, _) | (_, false) => None,
    };
    let starting = start(Io(io), config, connector, server_name).boxed();
    let failed = |error: &tokio_postgres::Error| fault::of_connecting(&what, &login, &tls, error);
    let mut broken = broken.unwrap_or_else(|| std::future::pending().boxed());
    // Cancel-safe: whichever loses is dropped, and the connection with it.
    let started = tokio::select! {
        started = within(&what, "logging in", starting.map(|started| started.map_err(|error| failed(&error)))) => started?,
        fault = &mut broken => return Err(fault),
    };

    let mut wire = JoinSet::new();
    let name = what.clone();
    wire.spawn(async move {
        // Both ends are final: the connection is done, or its tunnel is.
        tokio::select! {
            ended = started.connection => Fault::Unreachable { what: name.to_string(), why: ended },
            fault = broken => fault,
        }
    });
    let version = started.version.ok_or_else(|| Fault::Unsupported {
        what: what.to_string(),
        why: "it does not tell its version: is it Postgres?".into(),
    })?;
    let mut session = Session {
        client: started.client,
        major: major(&version),
        version: version.into(),
        what,
        encrypted,
        manners,
        wire,
    };
    settle(&mut session).await?;
    Ok(session)
}

/// Puts the limits on, once the server is known to be new enough.
async fn settle(session: &mut Session) -> Result<(), Fault> {
    if session.major < OLDEST {
        return Err(Fault::Unsupported {
            what: session.what.to_string(),
            why: format!("Postgres {} is older than {OLDEST}", session.version),
        });
    }
    let Manners { statement_timeout, lock_timeout, read_only } = session.manners;
    // By SET, not in the startup packet: connection poolers refuse options there, and pg_settings keeps showing the
    // server's own value beside ours.
    let settings = format!(
        "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = 10000; \
         set default_transaction_read_only = {}; set search_path = pg_catalog, pg_temp",
        statement_timeout.as_millis(),
        lock_timeout.as_millis(),
        if read_only { "on" } else { "off" },
    );
    let what = session.what.clone();
    let done = session.client.batch_execute(&settings).map(|done| {
        done.map_err(|error| Fault::Refused {
            what: what.to_string(),
            why: format!("settings: {}", fault::chain(&error)),
        })
    });
    within(&what, "setting limits", done).await
}

/// A stream of any kind, under one name: through `Box<dyn …>` itself the compiler cannot prove the login's future Send.
struct Io(Box<dyn Duplex>);

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct Started {
    client: Client,
    version: Option<String>,
    /// Resolves to why it ended.
    connection: BoxFuture<'static, String>,
}

async fn start(
    io: Io,
    config: Config,
    tls: Option<rustls::ClientConfig>,
    server_name: String,
) -> Result<Started, tokio_postgres::Error> {
    let Some(tls) = tls else {
        let (client, connection) = config.connect_raw(io, NoTls).await?;
        let version = connection.parameter("server_version").map(str::to_owned);
        return Ok(Started { client, version, connection: connection.map(ended).boxed() });
    };
    let mut maker = MakeRustlsConnect::new(tls);
    let connector = match MakeTlsConnect::<Io>::make_tls_connect(&mut maker, &server_name) {
        Ok(connector) => connector,
        Err(never) => match never {},
    };
    let (client, connection) = config.connect_raw(io, connector).await?;
    let version = connection.parameter("server_version").map(str::to_owned);
    Ok(Started { client, version, connection: connection.map(ended).boxed() })
}

fn ended(result: Result<(), tokio_postgres::Error>) -> String {
    result.map_or_else(|error| fault::chain(&error), |()| "the connection was closed".into())
}

async fn dial(what: &str, stream: Stream) -> Result<(Box<dyn Duplex>, Option<BoxFuture<'static, Fault>>), Fault> {
    let unreachable = |error: io::Error| Fault::Unreachable { what: what.into(), why: error.to_string() };
    match stream {
        Stream::Open { io, broken } => Ok((io, broken)),
        Stream::Unix(path) => {
            let socket = UnixStream::connect(&path).await.map_err(unreachable)?;
            Ok((Box::new(socket), None))
        }
        Stream::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
            socket.set_nodelay(true).map_err(unreachable)?;
            rustix::net::sockopt::set_socket_keepalive(&socket, true).map_err(|error| unreachable(error.into()))?;
            Ok((Box::new(socket), None))
        }
    }
}

async fn within<T>(what: &str, step: &str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let timed_out = |_elapsed| Fault::TimedOut { what: format!("{what} ({step})"), after: STEP };
    tokio::time::timeout(STEP, work).await.map_err(timed_out)?
}

/// `15.18 (Debian …)` → 15; `9.6.24` → 9; `18beta1` → 18.
fn major(version: &str) -> u16 {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_spelling() {
        for (version, expected) in [("15.18 (Debian 15.18-0+deb12u1)", 15), ("9.6.24", 9), ("18beta1", 18), ("", 0)] {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
