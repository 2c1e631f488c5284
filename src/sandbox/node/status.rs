//! A pod's status as a kubelet writes it, for an API that has no kubelet.

use jiff::Timestamp;
use serde_json::{Value, json};

/// What the container `postgres` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// Being made: volumes, address, configuration.
    Creating,
    Running {
        since: Timestamp,
    },
    /// It ended and waits before it is started again.
    BackingOff {
        exit_code: i32,
        finished: Timestamp,
        delay_seconds: u64,
    },
}

/// The status of a pod with one real container; the others are said to run as well.
pub fn of(pod: &Value, address: &str, container: &Container, restarts: u32, now: Timestamp) -> Value {
    let (running, waits) = match container {
        Container::Creating => (false, Some(("ContainerCreating", String::new()))),
        Container::Running { .. } => (true, None),
        Container::BackingOff { delay_seconds, .. } => (
            false,
            Some(("CrashLoopBackOff", format!("back-off {delay_seconds}s restarting failed container=postgres"))),
        ),
    };
    let state = match (container, waits) {
        (Container::Running { since }, _) => json!({ "running": { "startedAt": seconds(*since) } }),
        (_, Some((reason, message))) => json!({ "waiting": { "reason": reason, "message": message } }),
        (_, None) => json!({}),
    };
    let last = match container {
        Container::BackingOff { exit_code, finished, .. } => json!({
            "terminated": { "exitCode": exit_code, "reason": "Error", "finishedAt": seconds(*finished) }
        }),
        Container::Creating | Container::Running { .. } => json!({}),
    };
    let statuses: Vec<Value> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            let is_ours = container["name"] == "postgres";
            json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": running, "started": running, "restartCount": if is_ours { restarts } else { 0 },
                "state": state, "lastState": if is_ours { last.clone() } else { json!({}) },
            })
        })
        .collect();
    let condition = |kind: &str, holds: bool| {
        let word = if holds { "True" } else { "False" };
        json!({ "type": kind, "status": word, "lastProbeTime": null, "lastTransitionTime": seconds(now) })
    };
    let phase = if *container == Container::Creating { "Pending" } else { "Running" };
    json!({
        "phase": phase, "podIP": address, "podIPs": [{ "ip": address }], "hostIP": "127.0.0.1",
        "hostIPs": [{ "ip": "127.0.0.1" }],
        "startTime": pod["metadata"]["creationTimestamp"],
        "conditions": [
            condition("Initialized", true), condition("Ready", running),
            condition("ContainersReady", running), condition("PodScheduled", true),
        ],
        "containerStatuses": statuses,
    })
}

fn seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_backs_off_is_not_ready_and_says_why() {
        let now = Timestamp::from_second(0).unwrap();
        let pod = json!({ "spec": { "containers": [{ "name": "postgres", "image": "x" }] } });
        let container = Container::BackingOff { exit_code: 1, finished: now, delay_seconds: 10 };
        let status = of(&pod, "127.77.1.1", &container, 2, now);
        assert_eq!(status["conditions"][1]["status"], "False");
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
        assert_eq!(status["containerStatuses"][0]["restartCount"], 2);
    }
}
