//! The record of every order: one JSON object a line, appended, on disk before anything is sent. Secrets are in none: they
//! are hidden before an order is written.

mod index;
pub mod owner;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde_json::Value;

use crate::id::{ClusterId, Text};
use crate::work::entry::{Entry, Unkept, What};
use crate::work::past::{Open, Past};
use crate::work::secrets;
use index::Index;

/// The journal's file; a line is written by one `write`, so that several pgdecks can share it.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    /// What was read of it so far.
    index: Arc<Mutex<Index>>,
    /// Runs that this pgdeck has given, or sees to.
    ours: Arc<Mutex<BTreeSet<Text>>>,
    /// Lines that could not be written when they should have been, oldest first.
    owed: Arc<Mutex<Vec<Entry>>>,
}

/// A line as it is written: who reads it on another host must not look for the process on its own.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Text>,
}

impl Journal {
    /// The journal in a state folder.
    pub fn in_folder(folder: &Path) -> Self {
        Journal {
            path: folder.join("journal.jsonl"),
            index: Arc::default(),
            ours: Arc::default(),
            owed: Arc::default(),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what has happened already. Where that cannot be now it is written before the next line, or by [`Self::catch_up`]:
    /// an order whose end is not in the journal stands open there.
    pub fn keep(&self, entry: Entry) -> Result<(), Unkept> {
        let written = self.write(&entry);
        if let Err(Unkept::Broken(_)) = &written {
            self.owed.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
        written
    }

    /// Writes what could not be written before, and gives how many lines that were.
    pub fn catch_up(&self) -> Result<usize, Unkept> {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = 0;
        while let Some(entry) = owed.first() {
            self.open().and_then(|mut file| self.put(&mut file, entry)).map_err(|error| self.broken(&error))?;
            owed.remove(0);
            written += 1;
        }
        Ok(written)
    }

    fn broken(&self, error: &io::Error) -> Unkept {
        let (path, what) = (self.path.display(), "make room or correct its rights");
        Unkept::Broken(format!("the journal {path} cannot be written: {error}; {what}"))
    }

    /// Appends a line and waits until it is on disk. One that claims a CR is not written while the claim of another run stands:
    /// of several pgdecks that want the same at the same moment one gets it. The end of another pgdeck's order is written once,
    /// whoever else has seen it.
    pub fn write(&self, entry: &Entry) -> Result<(), Unkept> {
        self.catch_up()?;
        let broken = |error: io::Error| self.broken(&error);
        let mut file = self.open().map_err(broken)?;
        // The lock goes with the file, at the end of this function or of the process.
        if let Some(cluster) = entry.claims() {
            lock(&file).map_err(broken)?;
            let past = self.kept(cluster).map_err(Unkept::Broken)?;
            let claimed = match entry.despite() {
                Some(despite) => past.patching_but(&entry.run, Some(despite)),
                None => past.patching(&entry.run),
            };
            if let Some(open) = claimed {
                return Err(Unkept::Taken(open.clone()));
            }
        }
        self.put(&mut file, entry).map_err(broken)
    }

    /// Appends it, unless it is the end of another pgdeck's order that has one.
    fn put(&self, file: &mut File, entry: &Entry) -> io::Result<()> {
        if entry.settles() {
            lock(file)?;
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            index.catch_up(&self.path)?;
            if index.has_ended(&entry.run) {
                return Ok(());
            }
        }
        self.append(file, entry)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }

    fn append(&self, file: &mut File, entry: &Entry) -> io::Result<()> {
        let is_asked = matches!(entry.what, What::Asked(_));
        if is_asked {
            self.see_to(&entry.run);
        }
        let host = owner::host().filter(|_| is_asked);
        let mut line = serde_json::to_vec(&Line { entry, host })?;
        line.push(b'\n');
        // A crash may have cut the last line: nothing may be glued to it.
        if is_cut(&self.path) {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_data()
    }

    /// What came before for a cluster, whichever pgdeck ordered it, by what the file says this moment.
    pub fn past(&self, cluster: &ClusterId) -> Result<Past, String> {
        // What cannot be written yet stands open; whoever wanted to keep it has been told.
        self.catch_up().ok();
        self.kept(cluster)
    }

    /// The same, by what is written there already.
    fn kept(&self, cluster: &ClusterId) -> Result<Past, String> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        match index.catch_up(&self.path) {
            Ok(()) => Ok(index.past(cluster)),
            Err(error) => Err(format!("the journal {} cannot be read: {error}", self.path.display())),
        }
    }

    /// This pgdeck sees to that run from now on.
    pub fn see_to(&self, run: &Text) {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).insert(run.clone());
    }

    /// Whether nobody sees to that order any more: the pgdeck that gave it was on this host, and has ended.
    pub fn was_cut_off(&self, open: &Open, now: Timestamp) -> bool {
        let is_ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(&open.run);
        open.host.is_none() && !is_ours && !owner::lives(&open.run, open.at, now)
    }

    /// All lines, oldest first, without secrets that an older pgdeck may have written. One that cannot be read (a crash cut it)
    /// is left out and counted.
    pub fn read(&self) -> Result<(Vec<Value>, usize), String> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => {
                return Err(format!("the journal {} cannot be read: {error}", self.path.display()));
            }
        };
        let (mut lines, mut broken) = (Vec::new(), 0);
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            match serde_json::from_slice(&line) {
                Ok(mut value) => {
                    secrets::hide_in_line(&mut value);
                    lines.push(value);
                }
                Err(_cut) => broken += 1,
            }
        }
        Ok((lines, broken))
    }
}

/// Whoever has it looks for other claims and writes its own, which takes as long as one fsync.
const LOCKED_FOR: Duration = Duration::from_secs(5);

/// Between two tries.
const TRIED_AGAIN: Duration = Duration::from_millis(2);

/// Waits until no other pgdeck has the lock.
fn lock(file: &File) -> io::Result<()> {
    let mut left = LOCKED_FOR;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if left > Duration::ZERO => {
                std::thread::sleep(TRIED_AGAIN);
                left = left.saturating_sub(TRIED_AGAIN);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another pgdeck keeps it locked"));
            }
            locked => return locked.map_err(io::Error::from),
        }
    }
}

fn is_cut(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    // An empty file, or none, ends in nothing.
    last().is_ok_and(|byte| byte != b'\n')
}

/// The runs that were sent and of which no end is known: a crash came between. Oldest first, with their action and cluster.
pub fn unanswered(lines: &[Value]) -> Vec<&Value> {
    let of = |line: &Value, kind: &str| line["entry"] == kind;
    let ended: std::collections::BTreeSet<&str> =
        lines.iter().filter(|line| of(line, "ended")).filter_map(|line| line["run"].as_str()).collect();
    let is_open = |line: &&Value| of(line, "asked") && line["run"].as_str().is_some_and(|run| !ended.contains(run));
    lines.iter().filter(is_open).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::work::entry::{Asked, SCHEMA, What};
    use crate::work::order::Order;

    fn entry(run: &str, what: What) -> Entry {
        Entry { schema: SCHEMA, at: jiff::Timestamp::UNIX_EPOCH, run: run.into(), what }
    }

    fn ended(run: &str) -> Entry {
        entry(run, What::Ended { outcome: "PROVED", evidence: vec!["seen".into()], took_ms: Some(5), settled: None })
    }

    #[test]
    fn lines_are_appended_and_a_cut_one_loses_nothing_else() {
        let folder = std::env::temp_dir().join(format!("pgdeck-journal-{}", std::process::id()));
        let journal = Journal::in_folder(&folder);
        journal.write(&ended("a")).unwrap();
        let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
        file.write_all(b"{\"run\": \"cut").unwrap();
        journal.write(&ended("b")).unwrap();
        let (lines, broken) = journal.read().unwrap();
        assert_eq!((lines.len(), broken, lines[1]["run"].as_str()), (2, 1, Some("b")));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(journal.path()).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn of_several_that_settle_one_order_at_the_same_moment_one_writes_its_end() {
        let folder = std::env::temp_dir().join(format!("pgdeck-settles-{}", std::process::id()));
        Journal::in_folder(&folder).write(&asked("r")).unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let folder = &folder;
                scope.spawn(move || {
                    let what = What::settled("PROVED", vec![n.to_string()], None);
                    Journal::in_folder(folder).write(&entry("r", what)).unwrap();
                });
            }
        });
        let (lines, _) = Journal::in_folder(&folder).read().unwrap();
        assert_eq!(lines.iter().filter(|line| line["entry"] == "ended").count(), 1, "{lines:#?}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_was_asked_and_never_ended_is_found() {
        let lines = [
            serde_json::json!({"entry": "asked", "run": "a", "action": "scale"}),
            serde_json::json!({"entry": "asked", "run": "b", "action": "restart"}),
            serde_json::json!({"entry": "ended", "run": "a"}),
        ];
        assert_eq!(unanswered(&lines), [&lines[1]]);
    }

    #[test]
    fn what_an_older_pgdeck_wrote_is_read_without_its_secrets() {
        let folder = std::env::temp_dir().join(format!("pgdeck-old-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let env = serde_json::json!([{"name": "FOO", "value": "CANARY"}, {"name": "USE_WALG_BACKUP", "value": "true"}]);
        let order = serde_json::json!({"kind": "patch", "patch": {"spec": {"env": env}}});
        let line = serde_json::json!({"entry": "sending", "run": "a", "order": order});
        let journal = Journal::in_folder(&folder);
        fs::write(journal.path(), format!("{line}\n")).unwrap();
        let told = journal.read().unwrap().0[0].to_string();
        assert!(!told.contains("CANARY") && told.contains("USE_WALG_BACKUP") && told.contains("true"), "{told}");
        fs::remove_dir_all(folder).unwrap();
    }

    fn cluster() -> ClusterId {
        let plane = crate::id::PlaneId::Kubernetes("t".into());
        ClusterId { plane, namespace: "d".into(), name: "shop".into() }
    }

    fn sending(run: &str) -> Entry {
        let order = Order::Patch { cluster: cluster(), uid: "u".into(), version: "1".into(), patch: Value::Null };
        entry(run, What::Sending { step: 0, of: 1, order, expect: Value::Null })
    }

    fn asked(run: &str) -> Entry {
        let asked = Asked {
            who: "me".into(),
            action: "scale",
            cluster: cluster(),
            uid: None,
            member: None,
            primary: None,
            timeline: None,
            args: BTreeMap::new(),
            preflight: Vec::new(),
            confirm: "y".into(),
            reason: None,
            undo: String::new(),
            patches: true,
            despite: None,
        };
        entry(run, What::Asked(Box::new(asked)))
    }

    #[test]
    fn of_many_that_claim_one_resource_at_the_same_moment_one_gets_it() {
        let folder = std::env::temp_dir().join(format!("pgdeck-claims-{}", std::process::id()));
        for round in 0..20 {
            let claim = |n: usize| Journal::in_folder(&folder).write(&asked(&format!("{round}-{n}"))).is_ok();
            let got: Vec<String> = std::thread::scope(|scope| {
                let claims: Vec<_> = (0..8).map(|n| (n, scope.spawn(move || claim(n)))).collect();
                let got = claims.into_iter().filter_map(|(n, claim)| claim.join().unwrap().then_some(n));
                got.map(|n| format!("{round}-{n}")).collect()
            });
            assert_eq!(got.len(), 1, "{got:?}");
            // It goes on with what it claimed; another one does not, whatever it claimed before.
            let journal = Journal::in_folder(&folder);
            journal.write(&sending(&got[0])).unwrap();
            assert!(matches!(journal.write(&sending("late")), Err(Unkept::Taken(open)) if *open.run == *got[0]));
            journal.write(&ended(&got[0])).unwrap();
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_could_not_be_written_is_written_before_anything_else_as_soon_as_it_can_be() {
        let folder = std::env::temp_dir().join(format!("pgdeck-owed-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        // A file where the folder should be.
        fs::write(&folder, "").unwrap();
        let journal = Journal::in_folder(&folder);
        for run in ["a", "b"] {
            assert!(matches!(journal.keep(ended(run)), Err(Unkept::Broken(_))));
        }
        assert!(journal.write(&ended("c")).is_err() && journal.catch_up().is_err());
        fs::remove_file(&folder).unwrap();
        journal.write(&ended("d")).unwrap();
        let runs: Vec<Value> = journal.read().unwrap().0.into_iter().map(|line| line["run"].clone()).collect();
        assert_eq!(runs, ["a", "b", "d"], "what must be on disk before the deed is not written after it");
        assert_eq!(journal.catch_up(), Ok(0));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_end_that_is_owed_is_not_written_beside_another_ones() {
        let folder = std::env::temp_dir().join(format!("pgdeck-owed-end-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::write(&folder, "").unwrap();
        let end = |evidence: &str| entry("r", What::settled("UNPROVEN", vec![evidence.to_owned()], None));
        let journal = Journal::in_folder(&folder);
        assert!(matches!(journal.keep(end("late")), Err(Unkept::Broken(_))));
        fs::remove_file(&folder).unwrap();
        Journal::in_folder(&folder).write(&asked("r")).unwrap();
        Journal::in_folder(&folder).write(&end("first")).unwrap();
        journal.catch_up().unwrap();
        let (lines, _) = journal.read().unwrap();
        let ends: Vec<&Value> = lines.iter().filter(|line| line["entry"] == "ended").collect();
        assert!(ends.len() == 1 && ends[0]["evidence"][0] == "first", "{lines:#?}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_journal_that_cannot_be_written_says_what_to_do() {
        let said = Journal::in_folder(Path::new("/proc/nowhere")).write(&ended("a")).unwrap_err().to_string();
        assert!(said.contains("/proc/nowhere") && said.contains("make room"), "{said}");
    }
}
