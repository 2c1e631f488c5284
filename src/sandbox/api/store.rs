//! The objects, their versions, and the changes that watches replay.
//!
//! An object is kept as the text that goes out, beside what selectors look at: neither a list nor a watch of thousands of
//! pods reads or writes a tree. Each kind has a ring of changes of its own, so that a busy kind does not age a quiet one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::kinds::KINDS;
use super::refusal::Refusal;
use super::select::Sight;

/// So many changes of a kind are kept for watches that resume; older versions answer 410 Gone.
const CHANGES_KEPT: usize = 20_000;
/// At most this many bytes of objects are kept in a kind's changes.
const BYTES_KEPT: usize = 48 << 20;

/// One version of an object, as text that goes out as it is.
#[derive(Debug)]
pub struct Stored {
    pub namespace: String,
    pub name: String,
    pub version: u64,
    pub text: Arc<str>,
    /// What selectors look at.
    pub sight: Sight,
    uid: String,
    /// The uids of its owners.
    owners: Vec<String>,
}

impl Stored {
    fn new((namespace, name): Key, version: u64, object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        Stored {
            namespace,
            name,
            version,
            text: object.to_string().into(),
            sight: Sight::of(object),
            uid: text(&object["metadata"]["uid"]),
            owners: owners.map(|owner| text(&owner["uid"])).collect(),
        }
    }

    /// The object as a tree, to be changed.
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
    /// One a kind: the version of its newest change.
    newest: Vec<watch::Sender<u64>>,
}

type Key = (String, String);

#[derive(Debug)]
struct Inner {
    version: u64,
    shelves: Vec<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    objects: BTreeMap<Key, Arc<Stored>>,
    changes: VecDeque<Change>,
    bytes: usize,
    /// Watches from before this version are told 410.
    compacted: u64,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        // As on a real API server, versions start well above zero.
        let shelf = |_| Shelf { objects: BTreeMap::new(), changes: VecDeque::new(), bytes: 0, compacted: 100 };
        let inner = Inner { version: 100, shelves: KINDS.iter().map(shelf).collect() };
        Store { inner: Mutex::new(inner), newest: KINDS.iter().map(|_| watch::Sender::new(100)).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of the newest change of a kind.
    pub fn newest(&self, kind: usize) -> watch::Receiver<u64> {
        self.newest[kind].subscribe()
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// One object.
    pub fn get(&self, kind: usize, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        self.lock().shelves[kind].objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a kind in a namespace, or in all, in order of (namespace, name), with the version they stand at.
    pub fn list(&self, kind: usize, namespace: Option<&str>) -> (u64, Vec<Arc<Stored>>) {
        self.list_after(kind, namespace, None)
    }

    /// The same, behind that namespace and name.
    pub fn list_after(&self, kind: usize, namespace: Option<&str>, after: Option<Key>) -> (u64, Vec<Arc<Stored>>) {
        let inner = self.lock();
        let start = match after {
            Some(key) => Bound::Excluded(key),
            None => Bound::Included((namespace.unwrap_or_default().to_owned(), String::new())),
        };
        let found = inner.shelves[kind].objects.range((start, Bound::Unbounded)).map(|(_, stored)| stored);
        let found = found.take_while(|stored| namespace.is_none_or(|namespace| stored.namespace == namespace));
        (inner.version, found.cloned().collect())
    }

    /// What goes when that object goes: what it owns and, of a namespace, all that is in it.
    pub fn dependents(&self, owner: &Stored, namespace: Option<&str>) -> Vec<(usize, Arc<Stored>)> {
        let inner = self.lock();
        let depends = |stored: &&Arc<Stored>| {
            namespace.is_some_and(|namespace| stored.namespace == namespace) || stored.owners.contains(&owner.uid)
        };
        let of = |(kind, shelf): (usize, &Shelf)| {
            shelf.objects.values().filter(depends).map(|stored| (kind, stored.clone())).collect::<Vec<_>>()
        };
        inner.shelves.iter().enumerate().flat_map(of).collect()
    }

    /// Puts an object in place of the one with that version (`None`: of none). The object carries its own metadata but for
    /// the resourceVersion, which it gets here.
    pub fn put(&self, kind: usize, expected: Option<u64>, mut object: Value) -> Result<Arc<Stored>, Refusal> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let mut inner = self.lock();
        let before = inner.shelves[kind].objects.get(&key).cloned();
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
        let stored = Arc::new(Stored::new(key.clone(), version, &object));
        inner.shelves[kind].objects.insert(key, stored.clone());
        let happened = if before.is_some() { Happened::Modified } else { Happened::Added };
        self.note(inner, Change { version, kind, happened, object: stored.clone(), before });
        Ok(stored)
    }

    /// Removes an object; what is told to watches carries the version of its removal.
    pub fn remove(&self, kind: usize, namespace: &str, name: &str) -> Result<Arc<Stored>, Refusal> {
        let mut inner = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let before = inner.shelves[kind].objects.remove(&key);
        let before = before.ok_or_else(|| Refusal::not_found(&KINDS[kind], name))?;
        inner.version += 1;
        let version = inner.version;
        let mut object = before.value();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let last = Arc::new(Stored::new(key, version, &object));
        let change = Change { version, kind, happened: Happened::Deleted, object: last.clone(), before: Some(before) };
        self.note(inner, change);
        Ok(last)
    }

    fn note(&self, mut inner: MutexGuard<'_, Inner>, change: Change) {
        let (kind, version) = (change.kind, change.version);
        let shelf = &mut inner.shelves[kind];
        shelf.bytes += change.object.text.len();
        shelf.changes.push_back(change);
        while (shelf.changes.len() > CHANGES_KEPT || shelf.bytes > BYTES_KEPT)
            && let Some(oldest) = shelf.changes.pop_front()
        {
            shelf.bytes -= oldest.object.text.len();
            shelf.compacted = oldest.version;
        }
        drop(inner);
        self.newest[kind].send_replace(version);
    }

    /// Changes of a kind after that version, oldest first, with the newest version of all. None: too old, 410 Gone.
    pub fn changes_after(&self, kind: usize, version: u64) -> Option<(u64, Vec<Change>)> {
        let inner = self.lock();
        let shelf = &inner.shelves[kind];
        if version < shelf.compacted {
            return None;
        }
        let first = shelf.changes.partition_point(|change| change.version <= version);
        Some((inner.version, shelf.changes.range(first..).cloned().collect()))
    }

    /// Forgets all changes: whoever resumes from before now is told 410 Gone.
    pub fn compact(&self) {
        let mut inner = self.lock();
        let version = inner.version;
        for shelf in &mut inner.shelves {
            shelf.changes.clear();
            shelf.bytes = 0;
            shelf.compacted = version;
        }
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
