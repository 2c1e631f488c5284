//! Orders: single changes of the world, as they are shown, recorded and sent. What is shown is what is sent,
//! but for secrets: they are sent alone.

mod by_hand;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::secrets;
use crate::id::{ClusterId, InstanceId, Text};
pub use by_hand::quoted;
use by_hand::shell;

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Order {
    /// A merge patch of the cluster's CR. Refused if the CR is another one (`uid`), or newer than `version`.
    Patch {
        cluster: ClusterId,
        uid: Text,
        version: Text,
        #[serde(serialize_with = "secrets::serialize")]
        patch: Value,
    },
    /// A merge patch of another object of the cluster: that very one, whatever was written to it meanwhile (Patroni rewrites
    /// its pods all the time).
    Amend {
        cluster: ClusterId,
        object: Object,
        uid: Text,
        #[serde(serialize_with = "secrets::serialize")]
        patch: Value,
    },
    /// A new object in the cluster's namespace.
    Create {
        cluster: ClusterId,
        object: Object,
        #[serde(serialize_with = "secrets::serialize")]
        body: Value,
    },
    /// Deletes the CR. Refused if it is another one, or newer than `version`.
    Delete { cluster: ClusterId, uid: Text, version: Text },
    /// Deletes another object of the cluster: that very one, whatever was written to it meanwhile.
    Remove { cluster: ClusterId, object: Object, uid: Text },
    /// A command in the member's container; no secret is among the words.
    Exec { instance: InstanceId, command: Vec<Text> },
    /// The terminal, or a port of this machine, is handed over.
    Shell { instance: InstanceId, shell: Shell },
    /// A call to the REST interface of a member's Patroni.
    Patroni {
        instance: InstanceId,
        method: Method,
        path: Text,
        #[serde(serialize_with = "secrets::serialize")]
        body: Value,
    },
    /// A statement on an instance.
    Sql { instance: InstanceId, statement: Statement },
}

/// What is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// psql; unless `write`, read-only by its own defaults.
    Psql { write: bool },
    /// A shell in the member's container.
    Exec,
    /// A port of this machine; 0 for a free one.
    Forward { port: u16 },
}

/// An object beside the CR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Object {
    pub kind: Kind,
    pub name: Text,
}

/// Its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Pod,
    CronJob,
    Job,
    Event,
}

impl Kind {
    /// Where the API has them, and how they are called there: `("/apis/batch/v1", "jobs")`.
    pub fn place(self) -> (&'static str, &'static str) {
        match self {
            Kind::Pod => ("/api/v1", "pods"),
            Kind::CronJob => ("/apis/batch/v1", "cronjobs"),
            Kind::Job => ("/apis/batch/v1", "jobs"),
            Kind::Event => ("/api/v1", "events"),
        }
    }

    /// As kubectl calls one.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Pod => "pod",
            Kind::CronJob => "cronjob",
            Kind::Job => "job",
            Kind::Event => "event",
        }
    }
}

/// An HTTP method of Patroni's REST interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Post,
    Patch,
    Delete,
}

impl Method {
    /// As it is sent.
    pub fn word(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// A statement that changes something. Each finds nothing to do where its subject is another one by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// Cancels the query of a backend: that one, and no later one of the same session.
    Cancel { pid: i32, started: Timestamp, query_started: Timestamp },
    /// Ends a backend's session.
    Terminate { pid: i32, started: Timestamp },
    /// A standby replays no more WAL.
    PauseReplay,
    /// It replays again.
    ResumeReplay,
    /// The segment being written is closed, so that it is archived.
    SwitchWal,
}

/// What makes psql a reader by default, as `PGOPTIONS`; `SET` and `RESET ROLE` undo it.
pub const READ_ONLY: &str = "-c default_transaction_read_only=on -c role=pg_monitor";

impl Statement {
    /// The SQL. It answers one row where it did something, none where its subject was not there.
    pub fn sql(&self) -> String {
        match self {
            Statement::Cancel { pid, started, query_started } => {
                let of = backend("pg_cancel_backend", *pid, *started);
                format!("{of} and query_start = '{query_started}' and state = 'active'")
            }
            Statement::Terminate { pid, started } => backend("pg_terminate_backend", *pid, *started),
            Statement::PauseReplay => "select pg_wal_replay_pause() where pg_is_in_recovery()".into(),
            Statement::ResumeReplay => "select pg_wal_replay_resume() where pg_is_in_recovery()".into(),
            Statement::SwitchWal => "select pg_switch_wal()::text where not pg_is_in_recovery()".into(),
        }
    }
}

impl Statement {
    /// What is not there where it found nothing to do.
    pub fn subject(&self) -> String {
        match self {
            Statement::Cancel { pid, .. } | Statement::Terminate { pid, .. } => format!("backend {pid}"),
            Statement::PauseReplay | Statement::ResumeReplay => "the standby (it leads)".into(),
            Statement::SwitchWal => "the primary (it is a standby)".into(),
        }
    }

    /// The GRANT that allows it.
    pub fn needs(&self) -> &'static str {
        match self {
            Statement::Cancel { .. } | Statement::Terminate { .. } => {
                "GRANT pg_signal_backend (for backends of a superuser: a superuser)"
            }
            Statement::PauseReplay => "GRANT EXECUTE ON FUNCTION pg_wal_replay_pause()",
            Statement::ResumeReplay => "GRANT EXECUTE ON FUNCTION pg_wal_replay_resume()",
            Statement::SwitchWal => "GRANT EXECUTE ON FUNCTION pg_switch_wal()",
        }
    }
}

/// A pid may belong to another backend by now: when it began tells them apart.
fn backend(function: &str, pid: i32, started: Timestamp) -> String {
    format!("select {function}(pid) from pg_stat_activity where pid = {pid} and backend_start = '{started}'")
}

impl Order {
    /// The cluster that it changes.
    pub fn cluster(&self) -> &ClusterId {
        match self {
            Order::Patch { cluster, .. }
            | Order::Amend { cluster, .. }
            | Order::Create { cluster, .. }
            | Order::Delete { cluster, .. }
            | Order::Remove { cluster, .. } => cluster,
            Order::Patroni { instance, .. }
            | Order::Sql { instance, .. }
            | Order::Exec { instance, .. }
            | Order::Shell { instance, .. } => &instance.cluster,
        }
    }

    /// Whether both would do the same, though the object was written meanwhile (by status updates, say).
    pub fn is_same_but_for_version(&self, other: &Order) -> bool {
        match (self, other) {
            (
                Order::Patch { cluster, uid, version: _, patch },
                Order::Patch { cluster: c, uid: u, version: _, patch: p },
            ) => (cluster, uid, patch) == (c, u, p),
            (Order::Delete { cluster, uid, version: _ }, Order::Delete { cluster: c, uid: u, version: _ }) => {
                (cluster, uid) == (c, u)
            }
            _ => self == other,
        }
    }

    /// Whether it changes nothing by itself: it may go through unarmed.
    pub fn is_look(&self) -> bool {
        matches!(self, Order::Shell { shell: Shell::Psql { write: false } | Shell::Forward { .. }, .. })
    }

    /// Whether a program gets the terminal until it ends.
    pub fn takes_terminal(&self) -> bool {
        matches!(self, Order::Shell { shell: Shell::Psql { .. } | Shell::Exec, .. })
    }

    /// Whether it changes an object of the API server, which can try it without doing it.
    pub fn is_of_objects(&self) -> bool {
        match self {
            Order::Patch { .. }
            | Order::Amend { .. }
            | Order::Create { .. }
            | Order::Delete { .. }
            | Order::Remove { .. } => true,
            Order::Patroni { .. } | Order::Sql { .. } | Order::Exec { .. } | Order::Shell { .. } => false,
        }
    }

    /// What it does to what, in one line.
    pub fn title(&self) -> String {
        match self {
            Order::Patch { cluster, .. } => format!("patch postgresql {}/{}", cluster.namespace, cluster.name),
            Order::Amend { cluster, object, .. } => {
                format!("patch {} {}/{}", object.kind.word(), cluster.namespace, object.name)
            }
            Order::Create { cluster, object, .. } => {
                format!("create {} {}/{}", object.kind.word(), cluster.namespace, object.name)
            }
            Order::Delete { cluster, .. } => format!("delete postgresql {}/{}", cluster.namespace, cluster.name),
            Order::Remove { cluster, object, .. } => {
                format!("delete {} {}/{}", object.kind.word(), cluster.namespace, object.name)
            }
            Order::Shell { instance, shell } => match shell {
                Shell::Psql { write: false } => format!("psql on {}, read-only by default", instance.shown()),
                Shell::Psql { write: true } => format!("psql on {}", instance.shown()),
                Shell::Exec => format!("a shell in {}", instance.shown()),
                Shell::Forward { .. } => format!("forward a local port to {}", instance.shown()),
            },
            Order::Exec { instance, command } => format!("run {} in {}", shell(command), instance.shown()),
            Order::Patroni { instance, method, path, .. } => {
                format!("{} {path} on {}", method.word(), instance.shown())
            }
            Order::Sql { instance, statement } => format!("{} on {}", statement.sql(), instance.shown()),
        }
    }

    /// The body that is sent, where it is more than the title tells.
    pub fn body(&self) -> Option<&Value> {
        match self {
            Order::Patch { patch, .. } | Order::Amend { patch, .. } => Some(patch),
            Order::Create { body, .. } => Some(body),
            Order::Patroni { body, .. } => Some(body).filter(|body| !body.is_null()),
            Order::Sql { .. }
            | Order::Delete { .. }
            | Order::Remove { .. }
            | Order::Exec { .. }
            | Order::Shell { .. } => None,
        }
    }

    /// The same with its secrets hidden: to be shown.
    fn hidden(&self) -> Order {
        let mut order = self.clone();
        match &mut order {
            Order::Patch { patch: body, .. }
            | Order::Amend { patch: body, .. }
            | Order::Create { body, .. }
            | Order::Patroni { body, .. } => secrets::hide(body),
            Order::Sql { .. }
            | Order::Delete { .. }
            | Order::Remove { .. }
            | Order::Exec { .. }
            | Order::Shell { .. } => {}
        }
        order
    }

    /// The body as it may be shown.
    pub fn shown(&self) -> Option<Value> {
        self.hidden().body().cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::PlaneId;

    #[test]
    fn a_backend_is_named_by_its_pid_and_its_beginning() {
        let started = Timestamp::UNIX_EPOCH;
        assert_eq!(
            Statement::Terminate { pid: 7, started }.sql(),
            "select pg_terminate_backend(pid) from pg_stat_activity where pid = 7 and backend_start = '1970-01-01T00:00:00Z'"
        );
    }

    #[test]
    fn a_secret_is_sent_and_neither_shown_nor_recorded() {
        let plane = PlaneId::Kubernetes("prod".into());
        let cluster = ClusterId { plane, namespace: "d".into(), name: "shop".into() };
        let env = json!([{"name": "AWS_SECRET_ACCESS_KEY", "value": "CANARY-1"}, {"name": "CLONE_SECRET", "value": "CANARY-2"},
            {"name": "LOGICAL_BACKUP_AZURE_STORAGE_ACCOUNT_KEY", "value": "CANARY-3"}, {"name": "DATABASE_URL", "value": "CANARY-4"}, {"name": "FOO", "value": "CANARY-5"},
                         {"name": "USE_WALG_BACKUP", "value": "false"}]);
        let (uid, version) = (Text::from("u"), Text::from("7"));
        let patch = Order::Patch { cluster: cluster.clone(), uid, version, patch: json!({"spec": {"env": env}}) };
        let body = json!({"spec": {"template": {"spec": {"containers": [{"env": env}]}}}});
        let create = Order::Create { cluster, object: Object { kind: Kind::Job, name: "j".into() }, body };
        for order in [patch, create] {
            let shown = [order.shown().unwrap().to_string(), order.command(), json!(order).to_string()];
            assert!(shown.iter().all(|text| !text.contains("CANARY") && text.contains("USE_WALG_BACKUP")), "{shown:?}");
            assert!(order.command().starts_with("# with what is (hidden) filled in: "));
            assert!(order.body().unwrap().to_string().contains("CANARY-2"));
        }
    }
}
