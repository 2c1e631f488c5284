//! Connections of the sandbox's own clients: over TLS to a member's address, or by its socket.

use std::path::Path;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::pg::tls;
use crate::sandbox::error::{During, Error, Result};

/// A connection that closes when it is dropped.
#[derive(Debug)]
pub struct Session {
    pub client: Client,
    driver: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Where and as whom; the password never leaves this process but inside TLS.
#[derive(Clone)]
pub struct Login {
    pub host: String,
    pub user: String,
    pub password: String,
    pub database: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}@{}/{}", self.user, self.host, self.database)
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Connects over TLS; the certificate is the member's own and is not verified.
pub async fn connect(login: &Login, application: &str) -> Result<Session> {
    let what = format!("cannot connect to {login:?}");
    let mut config = Config::new();
    config.host(&login.host).port(5432).user(&login.user).password(&login.password).dbname(&login.database);
    config.ssl_mode(SslMode::Require).application_name(application);
    let tls = MakeRustlsConnect::new(tls::unverified().map_err(|error| Error::failed(&*what, error))?);
    let opened = tokio::time::timeout(PATIENCE, config.connect(tls)).await;
    let (client, connection) =
        opened.map_err(|_elapsed| Error::failed(&*what, "no answer within 5 s"))?.during(&*what)?;
    let driver = tokio::spawn(connection).abort_handle();
    Ok(Session { client, driver })
}

/// Connects by the socket in a server's folder, where everyone is trusted.
pub async fn connect_locally(folder: &Path, user: &str) -> Result<Session> {
    let what = format!("cannot connect to the server in {}", folder.display());
    let mut config = Config::new();
    config.host_path(folder).port(5432).user(user).dbname("postgres").application_name("pgdeck sandbox");
    let opened = tokio::time::timeout(PATIENCE, config.connect(NoTls)).await;
    let (client, connection) =
        opened.map_err(|_elapsed| Error::failed(&*what, "no answer within 5 s"))?.during(&*what)?;
    let driver = tokio::spawn(connection).abort_handle();
    Ok(Session { client, driver })
}
