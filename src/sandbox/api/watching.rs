//! Watches: what changed after a version, as it happens, with bookmarks.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::call::Call;
use super::kinds::KINDS;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::select::Selector;
use super::store::{Change, Happened, Store, Stored};
use super::table;
use super::verbs::{self, Manner};

/// A quiet watch with bookmarks gets one this often.
const BOOKMARK: Duration = Duration::from_secs(10);
/// A watch without a timeout of its own ends after this.
const LONGEST: Duration = Duration::from_secs(1800);

struct Watch {
    store: Arc<Store>,
    call: Call,
    manner: Manner,
    selector: Selector,
    bookmarks: bool,
    /// Everything up to here was told.
    version: u64,
    now: fn() -> Timestamp,
}

/// Starts a watch.
pub fn watch(store: &Arc<Store>, call: &Call, manner: &Manner, now: fn() -> Timestamp) -> Result<Reply, Refusal> {
    let selector = verbs::selector(call)?;
    let asked = call.query.get("resourceVersion");
    let initial = asked.is_empty() || asked == "0" || call.query.flag("sendInitialEvents");
    let version = if initial {
        store.version()
    } else {
        asked.parse().map_err(|_not_a_number| Refusal::bad_request("invalid resource version"))?
    };
    if !initial && store.changes_after(call.kind, version).is_none() {
        // As a real API server does: the watch opens and its one event is the refusal.
        let gone = json!({"type": "ERROR", "object": Refusal::gone(version).to_value()});
        return Ok(reply::text(200, "application/json", format!("{gone}\n")));
    }
    let watch = Watch {
        store: store.clone(),
        call: call.clone(),
        manner: manner.clone(),
        selector,
        bookmarks: call.query.flag("allowWatchBookmarks"),
        version,
        now,
    };
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(watch.run(sender, initial));
    Ok(reply::stream("application/json", chunks(receiver)))
}

fn chunks(receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = Bytes> + Send + Sync + 'static {
    futures::stream::unfold(
        receiver,
        |mut receiver| async move { receiver.recv().await.map(|chunk| (chunk, receiver)) },
    )
}

impl Watch {
    /// Runs until the client goes (its receiver is dropped), its time is up, or it fell too far behind.
    async fn run(mut self, sender: mpsc::Sender<Bytes>, initial: bool) {
        let seconds = self.call.query.number("timeoutSeconds").map_or(LONGEST, Duration::from_secs);
        let end = Instant::now() + seconds;
        let mut newest = self.store.newest(self.call.kind);
        if initial && self.tell_initial(&sender).await.is_err() {
            return;
        }
        let mut quiet_since = Instant::now();
        loop {
            newest.mark_unchanged();
            let Some((version, changes)) = self.store.changes_after(self.call.kind, self.version) else {
                let gone = json!({"type": "ERROR", "object": Refusal::gone(self.version).to_value()});
                // The client may be gone already: nothing is left to tell it.
                let _ = sender.send(format!("{gone}\n").into()).await;
                return;
            };
            let text: String = changes.iter().filter_map(|change| self.event(change)).collect();
            self.version = version;
            if !text.is_empty() {
                quiet_since = Instant::now();
                if sender.send(text.into()).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                // All branches are cancel-safe: waiting only.
                changed = newest.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                () = tokio::time::sleep_until(end) => {
                    // The last word of an orderly end, so that the client resumes from here.
                    if self.bookmarks && sender.send(self.bookmark(false)).await.is_err() { return }
                    return;
                }
                () = tokio::time::sleep_until(quiet_since + BOOKMARK) => {
                    quiet_since = Instant::now();
                    if self.bookmarks && sender.send(self.bookmark(false)).await.is_err() { return }
                }
            }
        }
    }

    async fn tell_initial(&mut self, sender: &mpsc::Sender<Bytes>) -> Result<(), mpsc::error::SendError<Bytes>> {
        let (version, objects) = self.store.list(self.call.kind, self.call.namespace.as_deref());
        self.version = version;
        for stored in objects.iter().filter(|stored| self.selector.matches(&stored.sight)) {
            sender.send(self.line("ADDED", stored).into()).await?;
        }
        if self.call.query.flag("sendInitialEvents") && self.bookmarks {
            sender.send(self.bookmark(true)).await?;
        }
        Ok(())
    }

    fn event(&self, change: &Change) -> Option<String> {
        if self.call.namespace.as_ref().is_some_and(|namespace| *namespace != change.object.namespace) {
            return None;
        }
        let matches = |stored: &Stored| self.selector.matches(&stored.sight);
        let before = change.before.as_ref().is_some_and(|before| matches(before));
        let after = change.happened != Happened::Deleted && matches(&change.object);
        let word = match (before, after) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        Some(self.line(word, &change.object))
    }

    fn line(&self, word: &str, stored: &Stored) -> String {
        let object = if self.manner.wants_table() {
            table::table(&KINDS[self.call.kind], &[stored.value()], stored.version, true, (self.now)()).to_string()
        } else if self.manner.wants_metadata() {
            table::partial(stored).to_string()
        } else {
            return format!("{{\"type\":\"{word}\",\"object\":{}}}\n", stored.text);
        };
        format!("{{\"type\":\"{word}\",\"object\":{object}}}\n")
    }

    fn bookmark(&self, initial_end: bool) -> Bytes {
        let kind = &KINDS[self.call.kind];
        let annotations: Value = if initial_end { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
        let object = json!({
            "kind": kind.kind, "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": self.version.to_string(), "annotations": annotations},
        });
        format!("{}\n", json!({"type": "BOOKMARK", "object": object})).into()
    }
}
