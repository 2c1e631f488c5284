//! The objects, their versions, and the changes that watches replay.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::kinds::KINDS;
use super::refusal::Refusal;

/// So many changes are kept for watches that resume; older versions answer 410 Gone.
const CHANGES_KEPT: usize = 20_000;

/// One version of an object, as text that goes out as it is.
#[derive(Debug)]
pub struct Stored {
    pub namespace: String,
    pub name: String,
    pub version: u64,
    pub text: Arc<str>,
}

impl Stored {
    /// The object as a tree, to be changed or selected.
    pub fn value(&self) -> Value {
        // What was stored was serialised by this very module.
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    Added,
    Modified,
    Deleted,
}

/// One change.
#[derive(Debug, Clone)]
pub struct Change {
    pub version: u64,
    pub kind: usize,
    pub happened: Happened,
    pub object: Arc<Stored>,
    /// The version before, to tell a watch with a selector that an object left its sight.
    pub before: Option<Arc<Stored>>,
}

/// All objects of one API.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
}

type Key = (String, String);

#[derive(Debug)]
struct Inner {
    version: u64,
    objects: Vec<BTreeMap<Key, Arc<Stored>>>,
    changes: VecDeque<Change>,
    /// Watches from before this version are told 410.
    compacted: u64,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        let objects = KINDS.iter().map(|_| BTreeMap::new()).collect();
        // As on a real API server, versions start well above zero.
        let inner = Inner { version: 100, objects, changes: VecDeque::new(), compacted: 100 };
        Store { inner: Mutex::new(inner), newest: watch::Sender::new(100) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of the newest version; changes with every change.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// One object.
    pub fn get(&self, kind: usize, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        self.lock().objects[kind].get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a kind in a namespace, or in all, in order of (namespace, name), with the version they stand at.
    pub fn list(&self, kind: usize, namespace: Option<&str>) -> (u64, Vec<Arc<Stored>>) {
        let inner = self.lock();
        let of = |stored: &&Arc<Stored>| namespace.is_none_or(|namespace| stored.namespace == namespace);
        (inner.version, inner.objects[kind].values().filter(of).cloned().collect())
    }

    /// Puts an object in place of the one with that version (`None`: of none). The object carries its own metadata but for
    /// the resourceVersion, which it gets here.
    pub fn put(&self, kind: usize, expected: Option<u64>, mut object: Value) -> Result<Arc<Stored>, Refusal> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let mut inner = self.lock();
        let before = inner.objects[kind].get(&key).cloned();
        match (&before, expected) {
            (Some(_), None) => return Err(Refusal::exists(&KINDS[kind], &key.1)),
            (None, Some(_)) => return Err(Refusal::not_found(&KINDS[kind], &key.1)),
            (Some(stands), Some(expected)) if stands.version != expected => {
                return Err(Refusal::conflict(&KINDS[kind], &key.1));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        inner.version += 1;
        let version = inner.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let stored = Arc::new(Stored {
            namespace: key.0.clone(),
            name: key.1.clone(),
            version,
            text: object.to_string().into(),
        });
        inner.objects[kind].insert(key, stored.clone());
        let happened = if before.is_some() { Happened::Modified } else { Happened::Added };
        self.note(inner, Change { version, kind, happened, object: stored.clone(), before });
        Ok(stored)
    }

    /// Removes an object; what is told to watches carries the version of its removal.
    pub fn remove(&self, kind: usize, namespace: &str, name: &str) -> Result<Arc<Stored>, Refusal> {
        let mut inner = self.lock();
        let before = inner.objects[kind].remove(&(namespace.to_owned(), name.to_owned()));
        let before = before.ok_or_else(|| Refusal::not_found(&KINDS[kind], name))?;
        inner.version += 1;
        let version = inner.version;
        let mut object = before.value();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let last = Stored {
            namespace: before.namespace.clone(),
            name: name.to_owned(),
            version,
            text: object.to_string().into(),
        };
        let last = Arc::new(last);
        let change = Change { version, kind, happened: Happened::Deleted, object: last.clone(), before: Some(before) };
        self.note(inner, change);
        Ok(last)
    }

    fn note(&self, mut inner: MutexGuard<'_, Inner>, change: Change) {
        if inner.changes.len() == CHANGES_KEPT
            && let Some(oldest) = inner.changes.pop_front()
        {
            inner.compacted = oldest.version;
        }
        let version = change.version;
        inner.changes.push_back(change);
        drop(inner);
        self.newest.send_replace(version);
    }

    /// Changes of a kind after that version, oldest first, with the newest version of all. None: too old, 410 Gone.
    pub fn changes_after(&self, kind: usize, version: u64) -> Option<(u64, Vec<Change>)> {
        let inner = self.lock();
        if version < inner.compacted {
            return None;
        }
        let first = inner.changes.partition_point(|change| change.version <= version);
        let changes = inner.changes.range(first..).filter(|change| change.kind == kind).cloned().collect();
        Some((inner.version, changes))
    }

    /// Forgets all changes: whoever resumes from before now is told 410 Gone.
    pub fn compact(&self) {
        let mut inner = self.lock();
        inner.changes.clear();
        inner.compacted = inner.version;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds;
    use super::*;

    fn pod(name: &str) -> Value {
        json!({"metadata": {"namespace": "default", "name": name}})
    }

    fn pods() -> usize {
        kinds::find("", "v1", "pods").unwrap()
    }

    #[test]
    fn a_stale_version_is_a_conflict_and_a_second_creation_exists() {
        let store = Store::new();
        let first = store.put(pods(), None, pod("a")).unwrap();
        assert_eq!(store.put(pods(), None, pod("a")).unwrap_err().code, 409);
        store.put(pods(), Some(first.version), pod("a")).unwrap();
        assert_eq!(store.put(pods(), Some(first.version), pod("a")).unwrap_err().reason, "Conflict");
        assert_eq!(store.put(pods(), Some(1), pod("b")).unwrap_err().code, 404);
    }

    #[test]
    fn changes_are_replayed_until_they_are_compacted() {
        let store = Store::new();
        let start = store.version();
        store.put(pods(), None, pod("a")).unwrap();
        store.put(kinds::find("", "v1", "secrets").unwrap(), None, pod("s")).unwrap();
        store.remove(pods(), "default", "a").unwrap();
        let (newest, changes) = store.changes_after(pods(), start).unwrap();
        let happened: Vec<_> = changes.iter().map(|change| change.happened).collect();
        assert_eq!((newest, happened), (start + 3, vec![Happened::Added, Happened::Deleted]));

        store.compact();
        assert!(store.changes_after(pods(), start).is_none());
        assert!(store.changes_after(pods(), newest).is_some());
    }
}
