//! What Patroni answers when it is asked itself: its view of the cluster, and the configuration in force. Read for Patroni 2 to 4.

use serde::Serialize;
use serde_json::Value;

use crate::fleet::cluster::Role;
use crate::id::Text;
use crate::metric::lsn::Bytes;

/// `GET /cluster` and `GET /config` of one member.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PatroniView {
    pub members: Vec<Peer>,
    /// Automatic failover is off.
    pub pause: bool,
    pub switchover: Option<Scheduled>,
    /// The dynamic configuration as it stands.
    pub config: Value,
}

/// A member as Patroni sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peer {
    pub name: Text,
    pub role: Role,
    /// It leads a standby cluster: it replays what a remote primary sends, or has archived, and its timeline is that one's.
    pub standby_leader: bool,
    /// Counted as synchronous: a valid candidate in synchronous mode.
    pub synchronous: bool,
    /// `running`, `streaming`, `in archive recovery`, `starting`, …
    pub state: Text,
    pub timeline: Option<u32>,
    /// Behind the leader, by the leader's own position; none where Patroni cannot tell.
    pub lag: Option<Bytes>,
    pub pending_restart: bool,
    /// It takes no part in leader elections.
    pub nofailover: bool,
    /// It is never chosen as synchronous.
    pub nosync: bool,
    /// The member it is told to stream from, where that is not the leader (tag `replicatefrom`).
    pub replicates_from: Option<Text>,
}

/// A switchover that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scheduled {
    pub at: Text,
    pub from: Option<Text>,
    pub to: Option<Text>,
}

impl PatroniView {
    /// Puts the two answers together. What is missing or of another kind is left out, never an error.
    pub fn read(cluster: &Value, config: Value) -> Self {
        let members = cluster["members"].as_array().into_iter().flatten().filter_map(peer).collect();
        let text = |value: &Value| value.as_str().map(Text::from);
        let scheduled = &cluster["scheduled_switchover"];
        let switchover = text(&scheduled["at"]).map(|at| Scheduled {
            at,
            from: text(&scheduled["from"]),
            to: text(&scheduled["to"]),
        });
        let pause = cluster["pause"].as_bool().or_else(|| config["pause"].as_bool()).unwrap_or(false);
        PatroniView { members, pause, switchover, config }
    }

    /// The leader, if there is one.
    pub fn leader(&self) -> Option<&Peer> {
        self.members.iter().find(|peer| peer.role == Role::Primary)
    }

    /// Whether the cluster follows a remote primary: nobody writes there.
    pub fn is_standby_cluster(&self) -> bool {
        self.leader().is_some_and(|leader| leader.standby_leader)
    }

    /// The timeline that another leader leaves behind; none where a new leader goes on with the same one, or nobody knows.
    pub fn left_timeline(&self) -> Option<u32> {
        self.leader().filter(|leader| !leader.standby_leader)?.timeline
    }

    /// Who is cut off for how long where the leader stops taking writes: `so_long`.
    pub fn downtime(&self, so_long: &str) -> String {
        if self.is_standby_cluster() {
            return "no writes: it is a standby cluster; readers of the leader reconnect".into();
        }
        format!("writes stop {so_long}, and every client reconnects")
    }

    /// The member of that name.
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.members.iter().find(|peer| *peer.name == *name)
    }

    /// Whether commits wait for a standby.
    pub fn is_synchronous(&self) -> bool {
        match &self.config["synchronous_mode"] {
            Value::Bool(on) => *on,
            Value::String(word) => matches!(&**word, "on" | "true" | "yes" | "quorum"),
            _ => false,
        }
    }

    /// Whether commits hang where no standby is left for them to wait for.
    pub fn is_strict(&self) -> bool {
        let strict = match &self.config["synchronous_mode_strict"] {
            Value::Bool(on) => *on,
            Value::String(word) => matches!(&**word, "on" | "true" | "yes"),
            _ => false,
        };
        strict && self.is_synchronous()
    }
}

impl Peer {
    /// Whether its Postgres takes part: as a leader, or as a standby that streams or replays.
    pub fn is_running(&self) -> bool {
        matches!(&*self.state, "running" | "streaming" | "in archive recovery")
    }
}

fn peer(value: &Value) -> Option<Peer> {
    let role = value["role"].as_str().unwrap_or_default();
    Some(Peer {
        name: value["name"].as_str()?.into(),
        role: Role::from_word(role),
        standby_leader: role == "standby_leader",
        synchronous: matches!(role, "sync_standby" | "quorum_standby"),
        state: value["state"].as_str().unwrap_or_default().into(),
        timeline: value["timeline"].as_u64().and_then(|timeline| u32::try_from(timeline).ok()),
        lag: value["lag"].as_u64().map(Bytes),
        pending_restart: value["pending_restart"].as_bool().unwrap_or(false),
        nofailover: value["tags"]["nofailover"].as_bool().unwrap_or(false),
        nosync: value["tags"]["nosync"].as_bool().unwrap_or(false),
        replicates_from: value["tags"]["replicatefrom"].as_str().map(Text::from),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_words_of_old_and_new_patroni_are_read() {
        let view = PatroniView::read(
            &json!({"members": [
                {"name": "shop-0", "role": "leader", "state": "running", "timeline": 3},
                {"name": "shop-1", "role": "sync_standby", "state": "streaming", "timeline": 3, "lag": 0},
                {"name": "shop-2", "role": "replica", "state": "running", "lag": "unknown", "tags": {"nofailover": true, "nosync": true, "replicatefrom": "shop-1"}},
            ], "scheduled_switchover": {"at": "2026-11-25T03:00:00+00:00", "from": "shop-0"}}),
            json!({"pause": true, "synchronous_mode": "quorum", "synchronous_mode_strict": true}),
        );
        assert_eq!(view.leader().map(|peer| &*peer.name), Some("shop-0"));
        let [_, one, two] = &view.members[..] else { panic!("{view:?}") };
        assert_eq!((one.synchronous, one.lag, two.lag), (true, Some(Bytes(0)), None));
        assert!(two.nofailover && two.nosync && !one.nofailover && !one.nosync);
        assert_eq!((one.replicates_from.as_deref(), two.replicates_from.as_deref()), (None, Some("shop-1")));
        assert!(view.pause && view.is_synchronous() && view.is_strict());
        assert_eq!(view.switchover.unwrap().from.as_deref(), Some("shop-0"));
    }
}
