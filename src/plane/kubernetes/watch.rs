//! One kind, listed and watched: pages, then changes, resumed where they broke off; a poll where watching is forbidden.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::Server;
use super::parts::{Kind, Object};
use super::slim;
use crate::fault::Fault;
use crate::fleet::seen::SourceState;
use crate::id::Text;
use crate::plane::{Clock, backoff};

/// Objects a page: pods have ten KiB and more, and the memory that large pages took stays fragmented.
const PAGE: usize = 100;
/// The API server ends a watch after this; it is resumed at once.
const WATCH: u64 = 240;
/// A watch that says nothing for longer, not even a bookmark, is taken for dead.
const SILENCE: Duration = Duration::from_secs(WATCH + 15);
/// A watch that ended before this has not really begun.
const BRIEF: Duration = Duration::from_secs(1);
/// Where watching is forbidden, the list is repeated this often.
const POLL: Duration = Duration::from_secs(30);

/// What is listed and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub kind: Kind,
    /// `/apis/acid.zalan.do/v1`
    pub root: &'static str,
    /// None: over all namespaces.
    pub namespace: Option<Text>,
    /// `labelSelector=…` or `fieldSelector=…`, encoded.
    pub selector: String,
}

impl Subject {
    /// The path of the list with a query.
    pub fn path(&self, query: &str) -> String {
        let scope = self.namespace.as_ref().map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        let joint = if self.selector.is_empty() { "" } else { "&" };
        format!("{}{scope}/{}?{}{joint}{query}", self.root, self.kind.word(), self.selector)
    }
}

/// What a kind's task tells the one who keeps the index.
#[derive(Debug)]
pub enum Told {
    /// Objects of a page, or one that changed; with the API server's clock at a list.
    Put {
        objects: Vec<Parsed>,
        clock: Option<Timestamp>,
    },
    Removed {
        namespace: Text,
        name: Text,
    },
    /// A list in order has come so far: what is before this and was not told does not exist.
    Reached {
        namespace: Text,
        name: Text,
    },
    /// A list has ended: these and no others.
    Listed(BTreeSet<(Text, Text)>),
    State(SourceState),
    /// Something was heard, if only a bookmark.
    Alive,
    /// Cluster-wide is forbidden: try namespaces one by one.
    Forbidden(Fault),
}

/// An object, or why it cannot be read.
#[derive(Debug)]
pub enum Parsed {
    Object(Object),
    Unreadable(Box<slim::Meta>, String),
}

/// A message with who sends it.
pub type Tell = (Arc<Subject>, Told);

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(rename = "type")]
    happened: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Why a watch ended.
enum End {
    /// Resume from this version.
    Closed(String),
    /// The version is too old: list again.
    Gone,
    /// Resume from this version; `spoke` if anything was heard before it failed.
    Failed { next: String, fault: Fault, spoke: bool },
}

/// Lists and watches until nobody listens any more.
pub async fn run(server: Server, subject: Arc<Subject>, tell: mpsc::UnboundedSender<Tell>, clock: Clock) {
    let say = |told: Told| tell.send((subject.clone(), told)).is_ok();
    let mut version: Option<String> = None;
    let mut attempt = 0;
    let mut brief = 0;
    loop {
        let began = Instant::now();
        let failed = match &version {
            None => match list(&server, &subject, &tell).await {
                Ok(listed) => {
                    attempt = 0;
                    version = Some(listed);
                    if !say(Told::State(SourceState::Live { polled: false })) {
                        return;
                    }
                    continue;
                }
                Err(fault) => fault,
            },
            Some(from) => match watch(&server, &subject, &tell, from.clone()).await {
                End::Closed(next) => {
                    attempt = 0;
                    version = Some(next);
                    settle(&mut brief, began, subject.kind.word(), &clock).await;
                    continue;
                }
                End::Gone => {
                    let kind = subject.kind.word();
                    tracing::info!(kind, from, "the API server knows that version no more (410): it is listed anew");
                    version = None;
                    if !say(Told::State(SourceState::Relisting)) {
                        return;
                    }
                    settle(&mut brief, began, subject.kind.word(), &clock).await;
                    continue;
                }
                End::Failed { fault: Fault::Forbidden { .. }, .. } => return poll(&server, &subject, &tell).await,
                End::Failed { next, fault, spoke } => {
                    // One that spoke had recovered: breaks that lie hours apart do not add up.
                    attempt = if spoke { 0 } else { attempt };
                    version = Some(next);
                    fault
                }
            },
        };
        let wait = match &failed {
            Fault::Throttled { retry_after, .. } => *retry_after,
            _ => backoff::wait(attempt, backoff::spread(subject.kind.word(), clock().as_nanosecond())),
        };
        attempt += 1;
        let forbidden = matches!(failed, Fault::Forbidden { .. });
        let told = if forbidden { Told::Forbidden(failed) } else { Told::State(SourceState::Lost { why: failed }) };
        // A dropped watch that resumes at once is no news: say so only when it fails again.
        let quiet = attempt == 1 && version.is_some() && !forbidden;
        if !quiet && !say(told) {
            return;
        }
        let wait = if forbidden { POLL } else { wait };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = tell.closed() => return,
        }
    }
}

/// Counts watches in a row that ended as soon as they began: from the second one on it waits, or a server that cannot hold
/// one is stormed.
async fn settle(brief: &mut u32, began: Instant, kind: &str, clock: &Clock) {
    *brief = if began.elapsed() < BRIEF { *brief + 1 } else { 0 };
    if let Some(attempt) = brief.checked_sub(2) {
        tokio::time::sleep(backoff::wait(attempt, backoff::spread(kind, clock().as_nanosecond()))).await;
    }
}

async fn poll(server: &Server, subject: &Arc<Subject>, tell: &mpsc::UnboundedSender<Tell>) {
    loop {
        let state = match list(server, subject, tell).await {
            Ok(_) => SourceState::Live { polled: true },
            Err(why) => SourceState::Lost { why },
        };
        if tell.send((subject.clone(), Told::State(state))).is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = tell.closed() => return,
        }
    }
}

async fn list(server: &Server, subject: &Arc<Subject>, tell: &mpsc::UnboundedSender<Tell>) -> Result<String, Fault> {
    let mut listed = BTreeSet::new();
    let mut next = String::new();
    let mut version = String::new();
    // API servers list in the order of their keys. One that does not is only slower to be believed.
    let mut furthest: Option<(Text, Text)> = None;
    let mut ordered = true;
    loop {
        let more = if next.is_empty() { String::new() } else { format!("&continue={}", encode(&next)) };
        let path = subject.path(&format!("limit={PAGE}{more}"));
        let answered = server.page(&path).await?;
        let clock = answered.date();
        let page: List<'_> = serde_json::from_slice(&answered.body).map_err(|error| Fault::Malformed {
            what: format!("the list of {}", subject.kind.word()),
            place: path.clone(),
            why: error.to_string(),
        })?;
        let mut objects = Vec::with_capacity(page.items.len());
        for item in page.items {
            let Some(Read { key: (namespace, name), parsed, .. }) = read(subject.kind, item.get()) else { continue };
            let key = (Text::from(namespace.as_str()), Text::from(name.as_str()));
            ordered &= furthest.as_ref().is_none_or(|furthest| *furthest < key);
            furthest = Some(key.clone());
            listed.insert(key);
            objects.push(parsed);
        }
        version = if version.is_empty() { page.metadata.resource_version } else { version };
        let told = Told::Put { objects, clock };
        tell.send((subject.clone(), told)).map_err(|_closed| Fault::Cancelled)?;
        match page.metadata.next.filter(|next| !next.is_empty()) {
            Some(token) => next = token,
            None => break,
        }
        if let Some((namespace, name)) = furthest.clone().filter(|_| ordered) {
            let told = Told::Reached { namespace, name };
            tell.send((subject.clone(), told)).map_err(|_closed| Fault::Cancelled)?;
        }
    }
    tell.send((subject.clone(), Told::Listed(listed))).map_err(|_closed| Fault::Cancelled)?;
    Ok(version)
}

async fn watch(
    server: &Server,
    subject: &Arc<Subject>,
    tell: &mpsc::UnboundedSender<Tell>,
    mut version: String,
) -> End {
    let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={version}");
    let mut lines = match server.lines(&subject.path(&query)).await {
        Ok(lines) => lines,
        // A real API server answers 410 by its status line too.
        Err(Fault::Gone { .. }) => return End::Gone,
        Err(fault) => return End::Failed { next: version, fault, spoke: false },
    };
    let mut spoke = false;
    if tell.send((subject.clone(), Told::State(SourceState::Live { polled: false }))).is_err() {
        return End::Closed(version);
    }
    loop {
        let line = tokio::select! {
            // Cancel-safe: a line is taken whole or stays.
            line = tokio::time::timeout(SILENCE, lines.next()) => line,
            () = tell.closed() => return End::Closed(version),
        };
        let line = match line {
            Ok(Some(Ok(line))) => line,
            Ok(Some(Err(fault))) => return End::Failed { next: version, fault, spoke },
            Ok(None) => return End::Closed(version),
            Err(_elapsed) => {
                let what = format!("the watch of {}", subject.kind.word());
                return End::Failed { next: version, fault: Fault::TimedOut { what, after: SILENCE }, spoke };
            }
        };
        if line.is_empty() {
            continue;
        }
        match take(subject, &line) {
            Ok((told, seen)) => {
                spoke = true;
                version = seen.unwrap_or(version);
                if tell.send((subject.clone(), told)).is_err() {
                    return End::Closed(version);
                }
            }
            Err(Fault::Gone { .. }) => return End::Gone,
            Err(fault) => return End::Failed { next: version, fault, spoke },
        }
    }
}

/// Reads one line of a watch: what it tells, and the version it carries.
fn take(subject: &Subject, line: &[u8]) -> Result<(Told, Option<String>), Fault> {
    let change: Change<'_> = serde_json::from_slice(line).map_err(|error| Fault::Malformed {
        what: "a watch".into(),
        place: subject.kind.word().into(),
        why: error.to_string(),
    })?;
    let bare = |text: &str| serde_json::from_str::<slim::Bare>(text).map(|bare| bare.metadata).unwrap_or_default();
    match change.happened {
        "ADDED" | "MODIFIED" => {
            let (version, parsed) = match read(subject.kind, change.object.get()) {
                Some(Read { version, parsed, .. }) => {
                    (Some(version.into()).filter(|version: &String| !version.is_empty()), Some(parsed))
                }
                None => (None, None),
            };
            Ok((Told::Put { objects: parsed.into_iter().collect(), clock: None }, version))
        }
        "DELETED" => {
            let meta = bare(change.object.get());
            let (namespace, name) = (meta.namespace.as_str().into(), meta.name.as_str().into());
            Ok((Told::Removed { namespace, name }, Some(meta.resource_version.into())))
        }
        "BOOKMARK" => Ok((Told::Alive, Some(bare(change.object.get()).resource_version.into()))),
        _ => {
            let status: serde_json::Value = serde_json::from_str(change.object.get()).unwrap_or_default();
            let what = format!("the watch of {}", subject.kind.word());
            match status["code"].as_u64() {
                Some(410) => Err(Fault::Gone { what }),
                _ => Err(Fault::Refused { what, why: status["message"].as_str().unwrap_or("no reason given").into() }),
            }
        }
    }
}

/// An object with what every kind has: its namespace, its name, and its version.
struct Read {
    key: (CompactString, CompactString),
    version: CompactString,
    parsed: Parsed,
}

/// Parses an object of that kind, once: a watch of a large fleet does little else. None if it has not even a name.
fn read(kind: Kind, text: &str) -> Option<Read> {
    let of = |meta: &slim::Meta| {
        let key = (meta.namespace.clone(), meta.name.clone());
        (key, meta.resource_version.clone())
    };
    macro_rules! object {
        ($variant:ident, $ty:ty) => {
            serde_json::from_str::<$ty>(text).map(|object| (of(&object.metadata), Object::$variant(Box::new(object))))
        };
    }
    let parsed = match kind {
        Kind::Resources => object!(Resource, slim::Resource),
        Kind::Pods => object!(Pod, slim::Pod),
        Kind::StatefulSets => object!(StatefulSet, slim::StatefulSet),
        Kind::Events => object!(Event, slim::Event),
        Kind::ConfigMaps | Kind::Endpoints => serde_json::from_str::<slim::Bare>(text).map(|bare| {
            let endpoints = kind == Kind::Endpoints;
            (of(&bare.metadata), Object::Dcs { meta: Box::new(bare.metadata), endpoints })
        }),
    };
    let ((key, version), parsed) = match parsed {
        Ok((of, object)) => (of, Parsed::Object(object)),
        Err(error) => {
            let meta = slim::salvage(text)?;
            (of(&meta), Parsed::Unreadable(Box::new(meta), error.to_string()))
        }
    };
    Some(Read { key, version, parsed })
}

/// Percent-encodes a value of a query.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: Kind) -> Subject {
        Subject { kind, root: "/api/v1", namespace: None, selector: "labelSelector=a%3Db".into() }
    }

    #[test]
    fn a_line_of_a_watch_tells_what_happened_and_its_version() {
        let line = br#"{"type":"DELETED","object":{"metadata":{"name":"p","namespace":"d","resourceVersion":"7"}}}"#;
        let (told, version) = take(&subject(Kind::Pods), line).unwrap();
        assert!(matches!(told, Told::Removed { name, .. } if &*name == "p"));
        assert_eq!(version.as_deref(), Some("7"));
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#;
        assert!(matches!(take(&subject(Kind::Pods), gone), Err(Fault::Gone { .. })));
    }

    #[test]
    fn an_object_of_the_wrong_shape_keeps_its_name() {
        let text = r#"{"metadata":{"name":"p","namespace":"d","resourceVersion":"8","labels":{"cluster-name":"c"}},"status":{"containerStatuses":"none"}}"#;
        let Read { key, version, parsed } = read(Kind::Pods, text).unwrap();
        assert_eq!((key, &*version), (("d".into(), "p".into()), "8"));
        assert!(matches!(parsed, Parsed::Unreadable(meta, _) if meta.labels["cluster-name"] == "c"));
        assert!(read(Kind::Pods, "{}").is_none());
    }

    #[test]
    fn paths_carry_scope_and_selector() {
        let one = Subject { namespace: Some("x".into()), ..subject(Kind::Pods) };
        assert_eq!(one.path("limit=1"), "/api/v1/namespaces/x/pods?labelSelector=a%3Db&limit=1");
    }
}
