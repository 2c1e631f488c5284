//! The record of every order: one JSON object a line, appended, on disk before anything is sent. Secrets are in none: they
//! are hidden before an order is written.

mod index;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::id::ClusterId;
use crate::work::entry::Entry;
use crate::work::past::Past;
use index::Index;

/// The journal's file; a line is written by one `write`, so that several pgdecks can share it.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    /// What was read of it so far.
    index: Arc<Mutex<Index>>,
}

impl Journal {
    /// The journal in a state folder.
    pub fn in_folder(folder: &Path) -> Self {
        Journal { path: folder.join("journal.jsonl"), index: Arc::default() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line and waits until it is on disk.
    pub fn write(&self, entry: &Entry) -> Result<(), String> {
        self.append(entry).map_err(|error| {
            format!("the journal {} cannot be written: {error}; make room or correct its rights", self.path.display())
        })
    }

    fn append(&self, entry: &Entry) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // A crash may have cut the last line: nothing may be glued to it.
        if is_cut(&self.path) {
            line.insert(0, b'\n');
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        file.write_all(&line)?;
        file.sync_data()
    }

    /// What came before for a cluster, whichever pgdeck ordered it, by what the file says this moment.
    pub fn past(&self, cluster: &ClusterId) -> Result<Past, String> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        match index.catch_up(&self.path) {
            Ok(()) => Ok(index.past(cluster)),
            Err(error) => Err(format!("the journal {} cannot be read: {error}", self.path.display())),
        }
    }

    /// All lines, oldest first. One that cannot be read (a crash cut it) is left out and counted.
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
                Ok(value) => lines.push(value),
                Err(_cut) => broken += 1,
            }
        }
        Ok((lines, broken))
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
    use super::*;
    use crate::work::entry::{SCHEMA, What};

    fn entry(run: &str, what: What) -> Entry {
        Entry { schema: SCHEMA, at: jiff::Timestamp::UNIX_EPOCH, run: run.into(), what }
    }

    fn ended(run: &str) -> Entry {
        entry(run, What::Ended { outcome: "PROVED", evidence: vec!["seen".into()], took_ms: 5 })
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
    fn what_was_asked_and_never_ended_is_found() {
        let lines = [
            serde_json::json!({"entry": "asked", "run": "a", "action": "scale"}),
            serde_json::json!({"entry": "asked", "run": "b", "action": "restart"}),
            serde_json::json!({"entry": "ended", "run": "a"}),
        ];
        assert_eq!(unanswered(&lines), [&lines[1]]);
    }

    #[test]
    fn a_journal_that_cannot_be_written_says_what_to_do() {
        let said = Journal::in_folder(Path::new("/proc/nowhere")).write(&ended("a")).unwrap_err();
        assert!(said.contains("/proc/nowhere") && said.contains("make room"), "{said}");
    }
}
