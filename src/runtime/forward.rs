//! A port of this machine that leads to a member's Postgres for as long as pgdeck runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::fault::Fault;
use crate::id::InstanceId;
use crate::pg::{Ca, Duplex, Login, Stream, TlsMode};
use crate::plane::Plane;

/// An open port, and who logs in behind it.
#[derive(Debug)]
pub struct Forwarded {
    pub port: u16,
    pub login: Login,
    pub tls: TlsMode,
    /// What the server's certificate is made out to.
    pub server_name: String,
}

impl Forwarded {
    /// The way there, without a password.
    pub fn dsn(&self) -> String {
        let (login, mode) = (&self.login, self.mode());
        format!("host=127.0.0.1 port={} user={} dbname={} sslmode={mode}", self.port, login.user, login.dbname)
    }

    /// The same for libpq's programs, as variables; the certificate is checked by the server's own name.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("PGHOST", self.server_name.clone()),
            ("PGHOSTADDR", Ipv4Addr::LOCALHOST.to_string()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.login.user.clone()),
            ("PGDATABASE", self.login.dbname.clone()),
            ("PGAPPNAME", "pgdeck psql".into()),
            ("PGSSLMODE", self.mode().into()),
        ];
        if let TlsMode::VerifyFull(ca) = &self.tls {
            let place = match ca {
                Ca::System => "system".to_owned(),
                Ca::Pem { place, .. } => place.to_string(),
            };
            variables.push(("PGSSLROOTCERT", place));
        }
        variables
    }

    /// A line for libpq's password file; none where no password is needed.
    pub fn pass_line(&self) -> Option<Vec<u8>> {
        let password = self.login.password.as_ref()?;
        let escaped = |bytes: &[u8]| {
            let each = bytes.iter().flat_map(|byte| match byte {
                b':' | b'\\' => vec![b'\\', *byte],
                byte => vec![*byte],
            });
            each.collect::<Vec<u8>>()
        };
        let parts = [
            format!("*:{}:*:", self.port).into_bytes(),
            escaped(self.login.user.as_bytes()),
            b":".to_vec(),
            escaped(password.reveal()),
            b"\n".to_vec(),
        ];
        Some(parts.concat())
    }

    fn mode(&self) -> &'static str {
        match self.tls {
            TlsMode::Disable => "disable",
            TlsMode::Require => "require",
            TlsMode::VerifyFull(_) => "verify-full",
        }
    }
}

/// Opens the port; each connection to it takes a way of its own to the member.
pub async fn open(plane: Arc<dyn Plane>, instance: InstanceId, port: u16) -> Result<Forwarded, Fault> {
    // A way that nobody takes: it tells who logs in, and that the member can be reached at all.
    let reached = plane.reach(instance.clone()).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |error: std::io::Error| Fault::Refused { what: format!("port {port}"), why: error.to_string() };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    tokio::spawn(accept(listener, plane, instance));
    Ok(Forwarded { port, login: reached.login, tls: reached.tls, server_name: reached.server_name })
}

async fn accept(listener: TcpListener, plane: Arc<dyn Plane>, instance: InstanceId) {
    loop {
        let Ok((guest, _)) = listener.accept().await else { return };
        tokio::spawn(carry(guest, plane.clone(), instance.clone()));
    }
}

async fn carry(mut guest: TcpStream, plane: Arc<dyn Plane>, instance: InstanceId) {
    let (mut way, broken) = match dial(&plane, instance.clone()).await {
        Ok(way) => way,
        Err(fault) => return tracing::warn!(%instance, %fault, "a forwarded connection came to nothing"),
    };
    let mut broken = broken.unwrap_or_else(|| Box::pin(std::future::pending()));
    // Either end may go: the other sees its connection closed.
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut guest, &mut way) => {}
        fault = &mut broken => tracing::info!(%instance, %fault, "a forwarded connection broke"),
    }
}

type Way = (Box<dyn Duplex>, Option<futures::future::BoxFuture<'static, Fault>>);

async fn dial(plane: &Arc<dyn Plane>, instance: InstanceId) -> Result<Way, Fault> {
    let what = instance.to_string();
    let unreachable = |error: std::io::Error| Fault::Unreachable { what: what.clone(), why: error.to_string() };
    match plane.reach(instance).await?.stream {
        Stream::Open { io, broken } => Ok((io, broken)),
        Stream::Tcp { host, port } => {
            Ok((Box::new(TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?), None))
        }
        Stream::Unix(path) => Ok((Box::new(UnixStream::connect(path).await.map_err(unreachable)?), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Secret;

    #[test]
    fn a_password_is_in_its_line_and_in_nothing_else() {
        let login = Login { user: "a:b".into(), password: Some(Secret::new("CANARY-:\\x")), dbname: "d".into() };
        let forwarded = Forwarded { port: 5, login, tls: TlsMode::Require, server_name: "s".into() };
        assert_eq!(forwarded.dsn(), "host=127.0.0.1 port=5 user=a:b dbname=d sslmode=require");
        assert_eq!(forwarded.pass_line().unwrap(), b"*:5:*:a\\:b:CANARY-\\:\\\\x\n");
        assert!(!format!("{forwarded:?} {:?}", forwarded.variables()).contains("CANARY"));
    }
}
