//! One statement that changes something, on a connection of its own.

use super::Reached;
use super::connect::{self, ORDERS, Session};
use super::fault;
use crate::fault::Fault;
use crate::work::order::Statement;

/// Sends it, once. Gives what was done; a statement that found nothing to do is a fault.
pub async fn carry_out(reached: Reached, statement: &Statement) -> Result<String, Fault> {
    let what = reached.what.clone();
    let session = connect::open(reached, ORDERS).await?;
    let sent = tokio::time::timeout(ORDERS.statement_timeout * 2, session.client.query(&statement.sql(), &[])).await;
    let rows = sent
        .map_err(|_elapsed| Fault::TimedOut { what: what.to_string(), after: ORDERS.statement_timeout * 2 })?
        .map_err(|error| fault::of_order(&what, statement, &error))?;
    let Some(row) = rows.first() else {
        return Err(Fault::Gone { what: format!("{} of {what}", statement.subject()) });
    };
    // Whether the signal was sent.
    match row.try_get::<_, bool>(0) {
        Ok(false) => {
            Err(Fault::Refused { what: what.to_string(), why: "the server could not signal the backend".into() })
        }
        Ok(true) | Err(_) => Ok("the server took it".into()),
    }
}

/// A write that leaves nothing behind but a few bytes of WAL: whether it was confirmed. Public functions alone are used
/// (`pg_logical_emit_message`), so that any role may try.
pub async fn beat(session: &Session) -> bool {
    let sql = "select pg_logical_emit_message(true, 'pgdeck', 'is it writable?')";
    session.client.batch_execute(sql).await.is_ok()
}
