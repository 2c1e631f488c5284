//! Orders as commands that a person gives by hand: to be shown, copied and journaled.

use super::{Order, READ_ONLY, Shell};
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::work::secrets::HIDDEN;

impl Order {
    /// The same by hand: a command for a shell. Secrets are in none; where one is missing it is a comment, and says so.
    pub fn command(&self) -> String {
        let hidden = self.hidden();
        let command = hidden.by_hand();
        if hidden == *self { command } else { format!("# with what is {HIDDEN} filled in: {command}") }
    }

    fn by_hand(&self) -> String {
        // A pooler's pods have the labels of the members that they lead to.
        let pod = |instance: &InstanceId| {
            if !instance.is_whoever_leads() {
                return format!("pod/{}", quoted(&instance.member));
            }
            let labels = format!("cluster-name={},spilo-role=master,!connection-pooler", instance.cluster.name);
            format!("$({} get pod -l {} -o name)", kubectl(&instance.cluster), quoted(&labels))
        };
        let exec = |instance: &InstanceId, flags: &str| {
            format!("{} exec {}{flags} -c postgres --", kubectl(&instance.cluster), pod(instance))
        };
        match self {
            Order::Patch { cluster, patch, .. } => format!(
                "{} patch postgresql {} --type merge -p {}",
                kubectl(cluster),
                quoted(&cluster.name),
                quoted(&patch.to_string())
            ),
            Order::Amend { cluster, object, patch, .. } => format!(
                "{} patch {} {} --type merge -p {}",
                kubectl(cluster),
                object.kind.word(),
                quoted(&object.name),
                quoted(&patch.to_string())
            ),
            Order::Create { cluster, body, .. } => {
                format!("printf %s {} | {} create -f -", quoted(&body.to_string()), kubectl(cluster))
            }
            Order::Delete { cluster, .. } => {
                format!("{} delete postgresql {}", kubectl(cluster), quoted(&cluster.name))
            }
            Order::Remove { cluster, object, .. } => {
                format!("{} delete {} {}", kubectl(cluster), object.kind.word(), quoted(&object.name))
            }
            Order::Exec { instance, command } => format!("{} {}", exec(instance, ""), shell(command)),
            Order::Shell { instance, shell } => match (shell, &instance.cluster.plane) {
                (Shell::Psql { write: true }, PlaneId::Kubernetes(_)) => {
                    format!("{} psql -U postgres", exec(instance, " -it"))
                }
                (Shell::Psql { write: false }, PlaneId::Kubernetes(_)) => {
                    format!("{} env PGOPTIONS={} psql -U postgres", exec(instance, " -it"), quoted(READ_ONLY))
                }
                (Shell::Exec, PlaneId::Kubernetes(_)) => format!("{} bash", exec(instance, " -it")),
                (Shell::Forward { port }, PlaneId::Kubernetes(_)) => {
                    let port = if *port == 0 { String::new() } else { port.to_string() };
                    format!("{} port-forward {} {port}:5432", kubectl(&instance.cluster), pod(instance))
                }
                (Shell::Psql { write: false }, PlaneId::Hosts) => {
                    format!("PGOPTIONS={} {}", quoted(READ_ONLY), psql(instance))
                }
                (_, PlaneId::Hosts) => psql(instance),
            },
            Order::Patroni { instance, method, path, body } => {
                let data = if body.is_null() { String::new() } else { format!(" -d {}", quoted(&body.to_string())) };
                let curl = format!("curl -sS -X {} http://localhost:8008{path}{data}", method.word());
                match instance.cluster.plane {
                    PlaneId::Kubernetes(_) => format!("{} {curl}", exec(instance, "")),
                    PlaneId::Hosts => curl,
                }
            }
            Order::Sql { instance, statement } => {
                let sql = quoted(&statement.sql());
                match instance.cluster.plane {
                    PlaneId::Kubernetes(_) => format!("{} psql -U postgres -c {sql}", exec(instance, "")),
                    PlaneId::Hosts => format!("{} -c {sql}", psql(instance)),
                }
            }
        }
    }
}

fn kubectl(cluster: &ClusterId) -> String {
    format!("kubectl --context {} -n {}", quoted(cluster.plane.context()), quoted(&cluster.namespace))
}

/// psql on a plain host.
fn psql(instance: &InstanceId) -> String {
    let (host, port) = instance.member.rsplit_once(':').unwrap_or((&instance.member, "5432"));
    format!("psql -h {} -p {port}", quoted(host.trim_matches(['[', ']'])))
}

/// Words as a line for a shell.
pub(super) fn shell(words: &[Text]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word for a shell: bare where it is plain, else between single quotes.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@=+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::work::order::{Kind, Method, Object, Statement};

    fn instance(plane: PlaneId, member: &str) -> InstanceId {
        InstanceId { cluster: ClusterId { plane, namespace: "d".into(), name: "shop".into() }, member: member.into() }
    }

    #[test]
    fn every_order_can_be_given_by_hand() {
        let pod = instance(PlaneId::Kubernetes("prod".into()), "shop-0");
        let patch = json!({"spec": {"numberOfInstances": 3}});
        let (uid, version) = ("u".into(), "7".into());
        assert_eq!(
            Order::Patch { cluster: pod.cluster.clone(), uid, version, patch }.command(),
            r#"kubectl --context prod -n d patch postgresql shop --type merge -p '{"spec":{"numberOfInstances":3}}'"#
        );
        let object = Object { kind: Kind::Pod, name: "shop-0".into() };
        assert_eq!(
            Order::Remove { cluster: pod.cluster.clone(), object, uid: "p".into() }.command(),
            "kubectl --context prod -n d delete pod shop-0"
        );
        let body = json!({"leader": "shop-0"});
        let call = Order::Patroni { instance: pod, method: Method::Post, path: "/switchover".into(), body };
        assert_eq!(
            call.command(),
            "kubectl --context prod -n d exec pod/shop-0 -c postgres -- \
             curl -sS -X POST http://localhost:8008/switchover -d '{\"leader\":\"shop-0\"}'"
        );
        let leader = InstanceId::whoever_leads(&call.cluster().clone());
        let by_hand = |shell| Order::Shell { instance: leader.clone(), shell }.command();
        assert_eq!(
            by_hand(Shell::Forward { port: 0 }),
            "kubectl --context prod -n d port-forward $(kubectl --context prod -n d get pod \
             -l 'cluster-name=shop,spilo-role=master,!connection-pooler' -o name) :5432"
        );
        assert!(by_hand(Shell::Psql { write: false }).ends_with(
            "-it -c postgres -- env PGOPTIONS='-c default_transaction_read_only=on -c role=pg_monitor' psql -U postgres"
        ));
        let host = instance(PlaneId::Hosts, "10.0.0.5:5433");
        let statement = Statement::Terminate { pid: 7, started: Timestamp::UNIX_EPOCH };
        assert_eq!(
            Order::Sql { instance: host, statement }.command(),
            r"psql -h 10.0.0.5 -p 5433 -c 'select pg_terminate_backend(pid) from pg_stat_activity where pid = 7 and backend_start = '\''1970-01-01T00:00:00Z'\'''"
        );
    }
}
