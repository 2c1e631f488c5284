//! The record of every order: one JSON object a line, appended, on disk before anything is sent. Secrets are in none: they
//! are hidden before an order is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::work::entry::Entry;

/// The journal's file; a line is written by one `write`, so that several pgdecks can share it.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal in a state folder.
    pub fn in_folder(folder: &Path) -> Self {
        Journal { path: folder.join("journal.jsonl") }
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

/// The action of an order that changes a cluster's CR, was sent, and has not ended.
pub fn patching<'a>(lines: &'a [Value], cluster: &Value) -> Option<&'a str> {
    let sent = |run: &Value| {
        lines.iter().any(|line| line["entry"] == "sending" && line["run"] == *run && line["order"]["kind"] == "patch")
    };
    let open = unanswered(lines).into_iter().find(|asked| asked["cluster"] == *cluster && sent(&asked["run"]))?;
    open["action"].as_str()
}

/// How the last order for a cluster stands that was sent: its action and outcome, none while it has not ended.
pub fn last_of(lines: &[Value], cluster: &Value) -> Option<(String, Option<String>)> {
    let asked = lines.iter().rev().find(|line| {
        let sent = || lines.iter().any(|other| other["entry"] == "sending" && other["run"] == line["run"]);
        line["entry"] == "asked" && line["cluster"] == *cluster && sent()
    })?;
    let ended = lines.iter().find(|line| line["entry"] == "ended" && line["run"] == asked["run"]);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    Some((text(&asked["action"]), ended.map(|line| text(&line["outcome"]))))
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
    fn the_last_order_of_a_cluster_that_was_sent_is_found() {
        let asked = |run: &str, cluster: &str| serde_json::json!({"entry": "asked", "run": run, "action": "scale", "cluster": cluster});
        let lines = [
            asked("a", "shop"),
            serde_json::json!({"entry": "sending", "run": "a"}),
            serde_json::json!({"entry": "ended", "run": "a", "outcome": "UNPROVEN"}),
            asked("b", "pay"),
            serde_json::json!({"entry": "sending", "run": "b"}),
            asked("c", "shop"),
        ];
        let found = |cluster: &str| last_of(&lines, &Value::from(cluster));
        assert_eq!(found("shop"), Some(("scale".into(), Some("UNPROVEN".into()))));
        assert_eq!(found("pay"), Some(("scale".into(), None)));
        assert_eq!(found("none"), None);
    }

    #[test]
    fn a_change_of_the_resource_that_has_not_ended_is_found_whatever_came_after_it() {
        let line = |entry: &str, run: &str| serde_json::json!({"entry": entry, "run": run, "action": "scale", "cluster": "shop"});
        let sending =
            |run: &str, kind: &str| serde_json::json!({"entry": "sending", "run": run, "order": {"kind": kind}});
        let mut lines = vec![line("asked", "a"), sending("a", "patroni")];
        let found = |lines: &[Value], cluster: &str| patching(lines, &Value::from(cluster)).map(str::to_owned);
        assert_eq!(found(&lines, "shop"), None);
        lines.extend([line("asked", "b"), sending("b", "patch"), line("asked", "c"), line("ended", "c")]);
        assert_eq!((found(&lines, "shop"), found(&lines, "pay")), (Some("scale".into()), None));
        lines.push(line("ended", "b"));
        assert_eq!(found(&lines, "shop"), None);
    }

    #[test]
    fn a_journal_that_cannot_be_written_says_what_to_do() {
        let said = Journal::in_folder(Path::new("/proc/nowhere")).write(&ended("a")).unwrap_err();
        assert!(said.contains("/proc/nowhere") && said.contains("make room"), "{said}");
    }
}
