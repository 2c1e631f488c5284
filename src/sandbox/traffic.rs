//! A small workload, so that every number moves: inserts, updates and deletes, carried across failovers.

mod feed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use feed::Feed;

use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::fleet::Workload;
use crate::sandbox::objects::{POD, SECRET, Store, is_ready, text};
use crate::sandbox::sql::{self, Login, Session};

/// Statements a second in each place that is written to.
pub const DEFAULT_RATE: u32 = 20;

/// Who is written to.
#[derive(Debug, Clone)]
pub enum Target {
    Cluster {
        store: Store,
        workload: Workload,
    },
    /// The first of these addresses that is not a standby.
    Hosts {
        name: String,
        addresses: Vec<String>,
        password: String,
    },
}

/// What is known of the writing to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub committed: u64,
    pub failed: u64,
    pub last_commit: Option<Timestamp>,
    pub last_error: Option<String>,
}

impl Progress {
    /// Whether something was committed a moment ago.
    pub fn is_writing(&self, now: Timestamp) -> bool {
        self.last_commit.is_some_and(|last| now.duration_since(last).as_secs() < 5)
    }
}

/// The written word about all targets, by name.
pub type Report = BTreeMap<String, Progress>;

/// The files by which others see the traffic and change its rate.
#[derive(Debug, Clone)]
pub struct Desk {
    pub report: PathBuf,
    /// Holds the rate as a number; absent, the rate is the usual one.
    pub rate: PathBuf,
}

impl Desk {
    pub fn of(folder: &std::path::Path) -> Desk {
        Desk { report: folder.join("traffic.json"), rate: folder.join("rate") }
    }

    pub fn read(&self) -> Report {
        std::fs::read_to_string(&self.report).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

/// Writes to all targets until it is dropped, and says every second in a file how it goes.
pub async fn run(targets: Vec<Target>, desk: Desk) {
    let (done, mut news) = mpsc::channel::<(String, Result<()>)>(256);
    let (rate, known_rate) = watch::channel(DEFAULT_RATE);
    let mut report: Report = targets.iter().map(|target| (target.name(), Progress::default())).collect();
    let mut writers = JoinSet::new();
    for target in targets {
        writers.spawn(keep_writing(target, known_rate.clone(), done.clone()));
    }
    let mut every_second = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            // Both only receive.
            Some((name, outcome)) = news.recv() => note(report.entry(name).or_default(), outcome),
            _ = every_second.tick() => {
                let asked = tokio::fs::read_to_string(&desk.rate).await.ok();
                let asked = asked.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_RATE);
                rate.send_replace(asked);
                let text = serde_json::to_string_pretty(&report).unwrap_or_default();
                let next = desk.report.with_extension("next");
                let written = tokio::fs::write(&next, text).await;
                if let Err(error) = written.and(tokio::fs::rename(&next, &desk.report).await) {
                    tracing::warn!(%error, "the traffic's report is not written");
                }
            }
        }
    }
}

fn note(progress: &mut Progress, outcome: Result<()>) {
    match outcome {
        Ok(()) => {
            progress.committed += 1;
            progress.last_commit = Some(Timestamp::now());
        }
        Err(error) => {
            progress.failed += 1;
            progress.last_error = Some(error.to_string());
        }
    }
}

async fn keep_writing(target: Target, rate: watch::Receiver<u32>, done: mpsc::Sender<(String, Result<()>)>) {
    loop {
        let ended = write(&target, rate.clone(), &done).await;
        if done.send((target.name(), ended)).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Makes the table that the workload writes to.
fn table(name: &str) -> String {
    format!(
        "create table if not exists {name} (
           id bigserial primary key, customer int not null, cents bigint not null, state text not null default 'open',
           at timestamptz not null default clock_timestamp(), note text not null default repeat('.', 100))"
    )
}

/// Every so many statements a bulk import comes, so that standbys have something to catch up with.
const IMPORT_EVERY: u32 = 300;

fn import(table: &str) -> String {
    format!("insert into {table} (customer, cents) select n % 1000, n from generate_series(1, 20000) n")
}

/// The statements of the workload, in turn; the table stays at some thousand rows.
fn statements(table: &str) -> [String; 5] {
    let insert =
        format!("insert into {table} (customer, cents) select (random() * 999)::int, (random() * 10000)::bigint");
    let some = format!("(select max(id) - (random() * 500)::int from {table})");
    [
        insert.clone(),
        format!("update {table} set state = 'paid' where id = {some}"),
        insert,
        format!("update {table} set cents = cents + 1 where id = {some}"),
        format!("delete from {table} where id <= (select max(id) - 5000 from {table})"),
    ]
}

/// Writes until something fails.
async fn write(
    target: &Target,
    mut rate: watch::Receiver<u32>,
    done: &mpsc::Sender<(String, Result<()>)>,
) -> Result<()> {
    let session = target.primary().await?;
    let what = format!("cannot write to {}", target.name());
    session.client.batch_execute(&table(target.table())).await.during(&*what)?;
    let (import, usual) = (import(target.table()), statements(target.table()));
    let mut statements = (1..=IMPORT_EVERY).cycle().zip(usual.iter().cycle());
    loop {
        let now = *rate.borrow_and_update();
        if now == 0 {
            // The sender outlives us, or we are dropped with it.
            let _ = rate.changed().await;
            continue;
        }
        let mut beat = interval(Duration::from_secs(1) / now);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !rate.has_changed().unwrap_or(false) || *rate.borrow_and_update() == now {
            beat.tick().await;
            let Some((turn, usual)) = statements.next() else { return Ok(()) };
            let statement = if turn == IMPORT_EVERY { &import } else { usual };
            let answer = tokio::time::timeout(Duration::from_secs(15), session.client.batch_execute(statement)).await;
            answer.map_err(|_elapsed| Error::failed(&*what, "no answer within 15 s"))?.during(&*what)?;
            if done.send((target.name(), Ok(()))).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Target {
    pub fn name(&self) -> String {
        match self {
            Target::Cluster { workload, .. } => format!("{}/{}", workload.namespace, workload.cluster),
            Target::Hosts { name, .. } => format!("hosts:{name}"),
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Target::Cluster { workload, .. } => workload.table,
            Target::Hosts { .. } => "orders",
        }
    }

    /// Connects to whoever takes writes now.
    async fn primary(&self) -> Result<Session> {
        match self {
            Target::Cluster { store, workload } => {
                let host = primary(store, workload).await?;
                let password = password(store, workload, workload.user).await?;
                let (user, database) = (workload.user.into(), workload.database.into());
                sql::connect(&Login { host, user, password, database }, "shop-backend").await
            }
            Target::Hosts { name, addresses, password } => {
                for host in addresses {
                    let (host, password) = (host.clone(), password.clone());
                    let login = Login { host, password, user: "shop".into(), database: "shop".into() };
                    if let Ok(session) = sql::connect(&login, "shop-backend").await
                        && let Ok(row) = session.client.query_one("select pg_is_in_recovery()", &[]).await
                        && !row.get::<_, bool>(0)
                    {
                        return Ok(session);
                    }
                }
                Err(Error::failed(name, "no host takes writes"))
            }
        }
    }
}

/// The address of a cluster's primary, as its Service finds it: by the role's label, among the pods that are ready.
async fn primary(store: &Store, workload: &Workload) -> Result<String> {
    let labels = format!("application=spilo,cluster-name={},spilo-role=master", workload.cluster);
    let pods = store.list(POD, workload.namespace, &labels).await?;
    let ip = pods.iter().find(|pod| is_ready(pod)).map(|pod| text(pod, &["status", "podIP"]).to_string());
    ip.ok_or_else(|| Error::failed(workload.cluster, "has no primary now"))
}

async fn password(store: &Store, workload: &Workload, user: &str) -> Result<String> {
    let name = format!("{}.{}.credentials.postgresql.acid.zalan.do", user.replace('_', "-"), workload.cluster);
    let spot = SECRET.at(workload.namespace, &name);
    let secret = store.get(&spot).await?.ok_or_else(|| Error::failed(&spot, "not found"))?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text(&secret, &["data", "password"]));
    String::from_utf8(bytes.unwrap_or_default()).map_err(|error| Error::failed(&spot, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_of_long_ago_is_not_writing() {
        let now = Timestamp::from_second(1_000).unwrap();
        let at = |second| Progress { last_commit: Timestamp::from_second(second).ok(), ..Progress::default() };
        assert!(at(998).is_writing(now));
        assert!(!at(990).is_writing(now));
        assert!(!Progress::default().is_writing(now));
    }
}
