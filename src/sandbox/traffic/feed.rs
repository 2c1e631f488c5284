//! Logical replication from one cluster into another: a declared slot in use, and a subscription that follows failovers.

use std::path::PathBuf;
use std::time::Duration;

use super::{password, primary};
use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::fleet::Workload;
use crate::sandbox::objects::{POD, Store, text};
use crate::sandbox::process::Toolbox;
use crate::sandbox::sql::{self, Login, Session};

/// The slot and its publication; the slot is declared in the source's manifest, so Patroni keeps it.
const SLOT: &str = "cdc";

#[derive(Debug)]
pub struct Feed {
    pub store: Store,
    pub tools: Toolbox,
    pub source: Workload,
    pub target: Workload,
    /// The file with the password that the subscriber reads.
    pub passfile: PathBuf,
}

impl Feed {
    /// Sets the feed up; tries again until it is done.
    pub async fn set_up(self) {
        while let Err(error) = self.attempt().await {
            tracing::debug!(%error, "the feed is not there yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn attempt(&self) -> Result<()> {
        let what = "cannot set up the feed";
        let source = self.superuser(&self.source).await?;
        let slot = source.client.query_opt("select 1 from pg_replication_slots where slot_name = $1", &[&SLOT]).await;
        if slot.during(what)?.is_none() {
            return Err(Error::failed(what, "the slot is not there yet"));
        }
        let table = self.source.table;
        let prepare = format!(
            "{}; grant select on {table} to cdc; do $$ begin
               if not exists (select from pg_publication where pubname = '{SLOT}') then
                 create publication {SLOT} for table {table};
               end if;
             end $$",
            owned_by(table, self.source.user)
        );
        source.client.batch_execute(&prepare).await.during(what)?;
        let target = self.superuser(&self.target).await?;
        let known = target.client.query_opt("select 1 from pg_subscription where subname = 'billing_feed'", &[]).await;
        if known.during(what)?.is_some() {
            return Ok(());
        }
        // The slot may be older than its publication, which decoding would not find in its past.
        let advance = "select pg_replication_slot_advance($1, pg_current_wal_lsn())";
        source.client.execute(advance, &[&SLOT]).await.during(what)?;
        let make = owned_by(self.source.table, self.target.user);
        target.client.batch_execute(&make).await.during(what)?;
        let conninfo = self.conninfo().await?;
        let subscribe = format!(
            "create subscription billing_feed connection '{conninfo}' publication {SLOT}
             with (create_slot = false, slot_name = '{SLOT}', copy_data = true)"
        );
        target.client.batch_execute(&subscribe).await.during(what)
    }

    async fn superuser(&self, workload: &Workload) -> Result<Session> {
        let host = primary(&self.store, workload).await?;
        let password = password(&self.store, workload, "postgres").await?;
        let login = Login { host, password, user: "postgres".into(), database: workload.database.into() };
        sql::connect(&login, "pgdeck sandbox feed").await
    }

    /// How the subscriber reaches whichever member of the source is primary; the password is in a file.
    async fn conninfo(&self) -> Result<String> {
        let labels = format!("application=spilo,cluster-name={}", self.source.cluster);
        let pods = self.store.list(POD, self.source.namespace, &labels).await?;
        let hosts: Vec<&str> =
            pods.iter().map(|pod| text(pod, &["status", "podIP"])).filter(|ip| !ip.is_empty()).collect();
        let password = password(&self.store, &self.source, "cdc").await?;
        let lines: Vec<String> = hosts.iter().map(|host| format!("{host}:5432:*:cdc:{password}\n")).collect();
        self.tools.write(&self.passfile, &lines.concat(), 0o600)?;
        Ok(format!(
            "host={} port=5432 dbname={} user=cdc passfile={} sslmode=require target_session_attrs=read-write",
            hosts.join(","),
            self.source.database,
            self.passfile.display()
        ))
    }
}

fn owned_by(table: &str, user: &str) -> String {
    format!("{}; alter table {table} owner to {user}", super::table(table))
}
