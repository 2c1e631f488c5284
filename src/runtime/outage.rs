//! How long writes stop while the primary's part is handed over: a write every tenth of a second on both members.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clock;
use crate::fault::Fault;
use crate::id::{InstanceId, Text};
use crate::pg::connect::{self, ORDERS, Session};
use crate::pg::order;
use crate::plane::Plane;
use crate::work::order::Order;

/// A write is tried this often.
const EVERY: Duration = Duration::from_millis(100);
/// One that hangs for longer has failed: commits may wait for a standby that is gone.
const HANGS: Duration = Duration::from_secs(1);
/// After the answer the new primary is waited for at most this long.
const AFTER: Duration = Duration::from_secs(30);
/// Before the order at least one write must have been seen, within this.
const FIRST: Duration = Duration::from_secs(3);

/// A write that was confirmed.
#[derive(Debug, Clone, PartialEq)]
struct Beat {
    member: Text,
    at: Timestamp,
}

/// What the beats tell.
#[derive(Debug, Default)]
struct Pulse {
    first: Option<Beat>,
    last: Option<Beat>,
    /// The longest time between two writes, with both.
    longest: Option<(Beat, Beat)>,
}

impl Pulse {
    fn take(&mut self, beat: Beat) {
        if let Some(last) = self.last.replace(beat.clone()) {
            let gap = |(from, to): &(Beat, Beat)| to.at.duration_since(from.at);
            let pair = (last, beat.clone());
            if self.longest.as_ref().is_none_or(|longest| gap(&pair) > gap(longest)) {
                self.longest = Some(pair);
            }
        }
        self.first.get_or_insert(beat);
    }

    /// Another member takes writes than at the beginning.
    fn has_moved(&self) -> bool {
        self.first.as_ref().zip(self.last.as_ref()).is_some_and(|(first, last)| first.member != last.member)
    }

    fn told(&self) -> String {
        let time = |at: Timestamp| at.strftime("%H:%M:%S.%3f").to_string();
        match (&self.longest, self.has_moved()) {
            (Some((from, to)), true) => {
                let stopped = to.at.duration_since(from.at);
                format!(
                    "writes stopped for {} s (a write every 0.1 s): last on {} at {}, first on {} at {} UTC",
                    seconds(stopped),
                    from.member,
                    time(from.at),
                    to.member,
                    time(to.at)
                )
            }
            (_, false) if self.first.is_some() => "no write was seen on the new primary".into(),
            _ => "how long writes stopped was not measured: no write could be tried".into(),
        }
    }
}

fn seconds(duration: SignedDuration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// The members between which an order moves the primary's part at once; none for any other order.
pub fn hands_over(order: &Order) -> Option<[InstanceId; 2]> {
    let Order::Patroni { instance, path, body, .. } = order else { return None };
    if !matches!(&**path, "/switchover" | "/failover") || !body["scheduled_at"].is_null() {
        return None;
    }
    let to = body["candidate"].as_str()?;
    let from = body["leader"].as_str().unwrap_or(&instance.member);
    let member = |name: &str| InstanceId { cluster: instance.cluster.clone(), member: name.into() };
    Some([member(from), member(to)])
}

/// Sends an order, and adds to its answer how long writes stopped.
pub async fn measured(
    plane: &Arc<dyn Plane>,
    members: [InstanceId; 2],
    send: impl Future<Output = Result<String, Fault>>,
) -> Result<String, Fault> {
    let (beats, mut heard) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for member in members {
        tasks.spawn(write_on(plane.clone(), member, beats.clone()));
    }
    let mut pulse = Pulse::default();
    // Without a write before, nothing could be told of the time between.
    if let Ok(Some(beat)) = tokio::time::timeout(FIRST, heard.recv()).await {
        pulse.take(beat);
    }
    tokio::pin!(send);
    let answered = loop {
        // The channel is never closed: a sender is kept here.
        tokio::select! {
            answered = &mut send => break answered?,
            Some(beat) = heard.recv() => pulse.take(beat),
        }
    };
    let until = tokio::time::Instant::now() + AFTER;
    while pulse.first.is_some() && !pulse.has_moved() {
        match tokio::time::timeout_at(until, heard.recv()).await {
            Ok(Some(beat)) => pulse.take(beat),
            Ok(None) | Err(_) => break,
        }
    }
    Ok(format!("{answered}; {}", pulse.told()))
}

/// Tries to write until it is dropped; tells of each write that was confirmed.
async fn write_on(plane: Arc<dyn Plane>, instance: InstanceId, beats: mpsc::UnboundedSender<Beat>) {
    let mut session: Option<Session> = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let opened = match session.take() {
            Some(session) => session,
            None => match tokio::time::timeout(HANGS, open(&plane, &instance)).await {
                Ok(Ok(session)) => session,
                Ok(Err(_)) | Err(_) => continue,
            },
        };
        match tokio::time::timeout(HANGS, order::beat(&opened)).await {
            Ok(written) => {
                if written && beats.send(Beat { member: instance.member.clone(), at: clock::now() }).is_err() {
                    return;
                }
                session = (!opened.client.is_closed()).then_some(opened);
            }
            // Its answer may come late, and for another write: a new session has no such doubt.
            Err(_hangs) => {}
        }
    }
}

async fn open(plane: &Arc<dyn Plane>, instance: &InstanceId) -> Result<Session, Fault> {
    connect::open(plane.reach(instance.clone()).await?, ORDERS).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(member: &str, ms: i64) -> Beat {
        Beat { member: member.into(), at: Timestamp::from_millisecond(ms).unwrap() }
    }

    #[test]
    fn the_longest_gap_is_told_if_the_part_has_moved() {
        let mut pulse = Pulse::default();
        for beat in [beat("a", 0), beat("a", 100), beat("b", 2_400), beat("b", 2_500)] {
            pulse.take(beat);
        }
        assert_eq!(
            pulse.told(),
            "writes stopped for 2.3 s (a write every 0.1 s): last on a at 00:00:00.100, first on b at 00:00:02.400 UTC"
        );
        let mut stayed = Pulse::default();
        stayed.take(beat("a", 0));
        assert_eq!(stayed.told(), "no write was seen on the new primary");
        assert!(Pulse::default().told().contains("was not measured"));
    }

    #[test]
    fn only_what_moves_the_part_at_once_is_measured() {
        let cluster = crate::id::ClusterId { plane: crate::id::PlaneId::Hosts, namespace: "".into(), name: "c".into() };
        let instance = InstanceId { cluster, member: "a".into() };
        let order = |path: &str, body: serde_json::Value| Order::Patroni {
            instance: instance.clone(),
            method: crate::work::order::Method::Post,
            path: path.into(),
            body,
        };
        let now = serde_json::json!({"leader": "a", "candidate": "b"});
        let members = hands_over(&order("/switchover", now.clone())).unwrap();
        assert_eq!(members.map(|member| member.member), [Text::from("a"), Text::from("b")]);
        let mut later = now.clone();
        later["scheduled_at"] = "2026-11-25T03:00+00:00".into();
        assert!(hands_over(&order("/switchover", later)).is_none() && hands_over(&order("/restart", now)).is_none());
    }
}
