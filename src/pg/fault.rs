//! What Postgres and the way to it say instead of an answer, as faults that name the thing and the remedy.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::{Login, TlsMode};
use crate::fault::Fault;
use crate::metric::Survey;
use crate::work::order::Statement;

/// Why a connection did not come about.
pub fn of_connecting(what: &str, login: &Login, tls: &TlsMode, error: &Error) -> Fault {
    if let Some(said) = error.as_db_error() {
        return of_startup(what, login, said.code(), said.message());
    }
    let why = chain(error);
    if why.contains("does not support TLS") {
        return Fault::Refused {
            what: what.into(),
            why: "the server offers no TLS, and pgdeck never goes on in the clear by itself; \
                  set sslmode=disable if that is wanted"
                .into(),
        };
    }
    if let Some(said) = tls_error(error) {
        return of_tls(what, tls, said);
    }
    if why.contains("password missing") {
        return Fault::AuthExpired {
            what: what.into(),
            why: format!("the server asks user \"{}\" for a password and none is known", login.user),
        };
    }
    if why.contains("unsupported authentication") {
        return Fault::Unsupported { what: format!("the login that {what} asks for"), why };
    }
    Fault::Unreachable { what: what.into(), why }
}

fn of_startup(what: &str, login: &Login, code: &SqlState, message: &str) -> Fault {
    let refused = |why: String| Fault::Refused { what: what.into(), why };
    match code {
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION if message.contains("no encryption") => {
            refused(format!("{message}; the server wants TLS: set sslmode=require"))
        }
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION if message.contains("pg_hba") => {
            refused(format!("{message}; add a line for this address and user to the server's pg_hba.conf"))
        }
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Fault::AuthExpired { what: what.into(), why: format!("user \"{}\": {message}", login.user) }
        }
        &SqlState::INVALID_CATALOG_NAME => Fault::Gone { what: format!("database \"{}\" of {what}", login.dbname) },
        &SqlState::INSUFFICIENT_PRIVILEGE => Fault::Forbidden {
            what: format!("database \"{}\" of {what}", login.dbname),
            needs: format!("GRANT CONNECT ON DATABASE \"{}\" TO \"{}\"", login.dbname, login.user),
        },
        &SqlState::CANNOT_CONNECT_NOW | &SqlState::ADMIN_SHUTDOWN => {
            Fault::Unreachable { what: what.into(), why: message.into() }
        }
        other => refused(format!("{message} (SQLSTATE {})", other.code())),
    }
}

fn of_tls(what: &str, tls: &TlsMode, error: &rustls::Error) -> Fault {
    let why = match (error, tls) {
        (rustls::Error::InvalidCertificate(why), TlsMode::VerifyFull(_)) => {
            format!("its certificate does not pass sslmode=verify-full: {why}; check sslrootcert and the host's name")
        }
        (_, TlsMode::Disable | TlsMode::Require | TlsMode::VerifyFull(_)) => format!("TLS failed: {error}"),
    };
    Fault::Refused { what: what.into(), why }
}

fn tls_error(error: &Error) -> Option<&rustls::Error> {
    let io = error.source()?.downcast_ref::<io::Error>()?;
    io.get_ref()?.downcast_ref::<rustls::Error>()
}

/// Why one survey has no answer; `after` is the server's statement timeout.
pub fn of_asking(what: &str, survey: &Survey, major: u16, after: Duration, error: &Error) -> Fault {
    let asked = format!("{} of {what}", survey.name());
    let Some(said) = error.as_db_error() else {
        return if error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>) {
            Fault::Unreachable { what: what.into(), why: chain(error) }
        } else {
            Fault::Malformed { what: asked, place: "its answer".into(), why: chain(error) }
        };
    };
    match *said.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => Fault::Forbidden { what: asked, needs: survey.needs_on(major).into() },
        SqlState::QUERY_CANCELED => Fault::TimedOut { what: asked, after },
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            Fault::Unreachable { what: what.into(), why: said.message().into() }
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_FUNCTION => {
            Fault::Unsupported { what: asked, why: said.message().into() }
        }
        ref other => Fault::Refused { what: asked, why: format!("{} (SQLSTATE {})", said.message(), other.code()) },
    }
}

/// Why the system identifier was not told.
pub fn of_identity(what: &str, error: &Error) -> Fault {
    let asked = format!("the system identifier of {what}");
    match error.as_db_error() {
        None => Fault::Unreachable { what: what.into(), why: chain(error) },
        Some(said) if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
            Fault::Forbidden { what: asked, needs: "GRANT EXECUTE ON FUNCTION pg_control_system()".into() }
        }
        Some(said) => {
            let why = format!("{} (SQLSTATE {})", said.message(), said.code().code());
            Fault::Refused { what: asked, why }
        }
    }
}

/// Why a statement was not carried out; lost answers are told apart from refusals.
pub fn of_order(what: &str, statement: &Statement, error: &Error) -> Fault {
    let asked = format!("{} on {what}", statement.sql());
    let Some(said) = error.as_db_error() else {
        return Fault::Unreachable { what: what.into(), why: chain(error) };
    };
    match *said.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => Fault::Forbidden { what: asked, needs: statement.needs().into() },
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            Fault::Unreachable { what: what.into(), why: said.message().into() }
        }
        ref other => Fault::Refused { what: asked, why: format!("{} (SQLSTATE {})", said.message(), other.code()) },
    }
}

/// The error and what is behind it, each part once.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
