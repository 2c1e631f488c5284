//! The Services' names in a hosts file, as the DNS of a cluster gives them: the leader's address and that of a standby.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::{Key, key};
use crate::sandbox::error::{During, Result};
use crate::sandbox::objects::{Change, is_ready, text};

/// The names that lead somewhere.
#[derive(Debug, Default)]
pub struct Names {
    file: Option<PathBuf>,
    by_pod: BTreeMap<Key, Lead>,
    written: String,
}

/// Where one pod's Service leads.
#[derive(Debug)]
struct Lead {
    service: String,
    address: String,
}

impl Names {
    /// Names that are kept in that file; without one they are nowhere.
    pub fn kept_in(file: Option<PathBuf>) -> Names {
        Names { file, ..Names::default() }
    }

    /// Takes in what became of a pod.
    pub fn take(&mut self, change: &Change) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match change {
            Change::Now(pod) => match lead(pod) {
                Some(lead) => drop(self.by_pod.insert(key(pod), lead)),
                None => drop(self.by_pod.remove(&key(pod))),
            },
            Change::Gone(pod) => drop(self.by_pod.remove(&key(pod))),
        }
        let text = lines(&self.by_pod);
        if text != self.written {
            // In place: a network namespace has this very file bound over its /etc/hosts.
            std::fs::write(file, &text).during(format!("cannot write {}", file.display()))?;
            self.written = text;
        }
        Ok(())
    }
}

fn lead(pod: &Value) -> Option<Lead> {
    let cluster = text(pod, &["metadata", "labels", "cluster-name"]);
    let service = match text(pod, &["metadata", "labels", "spilo-role"]) {
        "" => return None,
        "master" | "primary" => cluster.to_string(),
        _ => format!("{cluster}-repl"),
    };
    let address = text(pod, &["status", "podIP"]).to_string();
    let is_leaving = pod["metadata"]["deletionTimestamp"].is_string();
    (!address.is_empty() && !is_leaving && is_ready(pod)).then_some(Lead { service, address })
}

/// One line a Service: the first of its pods.
fn lines(by_pod: &BTreeMap<Key, Lead>) -> String {
    let mut services: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for ((namespace, _), lead) in by_pod {
        services.entry((namespace, &lead.service)).or_insert(&lead.address);
    }
    let mut text = String::from("127.0.0.1 localhost\n");
    for ((namespace, service), address) in services {
        let name = format!("{service}.{namespace}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{address} {name}.svc.cluster.local {name}.svc {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, role: &str, ready: &str) -> Value {
        json!({
            "metadata": { "namespace": "a", "name": name, "labels": { "cluster-name": "shop", "spilo-role": role } },
            "status": { "podIP": format!("10.64.0.{}", name.len()), "conditions": [{ "type": "Ready", "status": ready }] },
        })
    }

    fn told(changes: &[Change]) -> String {
        let file = std::env::temp_dir().join(format!("pgdeck-names-{}-{}", std::process::id(), changes.len()));
        let mut names = Names::kept_in(Some(file.clone()));
        for change in changes {
            names.take(change).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        text
    }

    #[test]
    fn a_service_leads_to_a_ready_pod_of_its_role() {
        let text = told(&[
            Change::Now(pod("old", "master", "True")),
            Change::Now(pod("standby", "replica", "True")),
            Change::Now(pod("old", "master", "False")),
            Change::Now(pod("newer", "master", "True")),
        ]);
        let leader = "10.64.0.5 shop.a.svc.cluster.local shop.a.svc shop.a\n";
        let standby = "10.64.0.7 shop-repl.a.svc.cluster.local shop-repl.a.svc shop-repl.a\n";
        assert_eq!(text, format!("127.0.0.1 localhost\n{leader}{standby}"));
    }

    #[test]
    fn a_pod_that_is_gone_is_led_to_no_more() {
        let text = told(&[
            Change::Now(pod("old", "master", "True")),
            Change::Gone(pod("old", "master", "True")),
            Change::Now(pod("bare", "", "True")),
        ]);
        assert_eq!(text, "127.0.0.1 localhost\n");
    }
}
