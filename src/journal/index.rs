//! What the journal's lines say of each run, read once: later looks read what was added since.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::owner;
use crate::id::{ClusterId, Text};
use crate::work::past::{Open, Past};

/// Runs in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The file that was read, by its inode, and how many bytes of it.
    file: u64,
    read: u64,
    runs: Vec<Noted>,
    places: HashMap<Text, usize>,
}

/// What is known of a run.
#[derive(Debug)]
struct Noted {
    open: Open,
    cluster: ClusterId,
    /// Something that changes the world was sent.
    sent: bool,
    /// The same before the last order: that one may have been refused as too late.
    sent_before: bool,
    outcome: Option<Text>,
}

impl Index {
    /// Reads what was added since; all of it where it is another file. None is no error: nothing was ordered yet.
    pub(super) fn catch_up(&mut self, path: &Path) -> io::Result<()> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *self = Index::default();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        if about.ino() != self.file || about.len() < self.read {
            *self = Index { file: about.ino(), ..Index::default() };
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut added = Vec::new();
        file.read_to_end(&mut added)?;
        // What has no end yet is read when it has.
        let whole = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in added[..whole].split(|byte| *byte == b'\n') {
            // A line that a crash has cut tells nothing.
            if let Ok(line) = serde_json::from_slice(line) {
                self.take(&line);
            }
        }
        self.read += u64::try_from(whole).unwrap_or_default();
        Ok(())
    }

    fn take(&mut self, line: &Value) {
        let text = |value: &Value| value.as_str().map(Text::from);
        let Some(run) = text(&line["run"]) else { return };
        let known = self.places.get(&run).copied();
        match (line["entry"].as_str().unwrap_or_default(), known.and_then(|place| self.runs.get_mut(place))) {
            ("asked", None) => {
                let Ok(cluster) = serde_json::from_value(line["cluster"].clone()) else { return };
                let Some(open) = Open::read(line, owner::host().as_deref()) else { return };
                self.places.insert(run, self.runs.len());
                self.runs.push(Noted { open, cluster, sent: false, sent_before: false, outcome: None });
            }
            ("sending", Some(noted)) => {
                let kind = line["order"]["kind"].as_str().unwrap_or_default();
                noted.open.patches |= matches!(kind, "patch" | "delete");
                noted.sent_before = noted.sent;
                noted.sent |= kind != "shell";
            }
            ("answered", Some(noted)) if line["untouched"] == true => noted.sent = noted.sent_before,
            ("ended", Some(noted)) => noted.outcome = text(&line["outcome"]),
            _ => {}
        }
    }

    /// Whether an end of that run is known.
    pub(super) fn has_ended(&self, run: &str) -> bool {
        let noted = self.places.get(run).and_then(|place| self.runs.get(*place));
        noted.is_some_and(|noted| noted.outcome.is_some())
    }

    /// What came before for a cluster.
    pub(super) fn past(&self, cluster: &ClusterId) -> Past {
        let mut past = Past::default();
        for noted in self.runs.iter().filter(|noted| noted.cluster == *cluster) {
            match &noted.outcome {
                None => past.open.push(noted.open.clone()),
                Some(outcome) if noted.sent && &**outcome != "REFUSED" => {
                    past.last = Some((noted.open.action.clone(), outcome.clone()));
                }
                Some(_) => {}
            }
        }
        past
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;
    use crate::id::PlaneId;

    fn cluster(name: &str) -> ClusterId {
        ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: name.into() }
    }

    fn asked(run: &str, name: &str) -> Value {
        json!({"entry": "asked", "run": run, "action": run, "cluster": cluster(name)})
    }

    fn sending(run: &str, kind: &str) -> Value {
        json!({"entry": "sending", "run": run, "order": {"kind": kind}})
    }

    fn ended(run: &str, outcome: &str) -> Value {
        json!({"entry": "ended", "run": run, "outcome": outcome})
    }

    fn of(lines: &[Value]) -> Index {
        let mut index = Index::default();
        for line in lines {
            index.take(line);
        }
        index
    }

    fn last(index: &Index, name: &str) -> Option<(String, String)> {
        index.past(&cluster(name)).last.map(|(action, outcome)| (action.to_string(), outcome.to_string()))
    }

    #[test]
    fn the_last_order_that_was_sent_counts_and_neither_a_refusal_nor_a_shell_hides_it() {
        let index = of(&[
            asked("scale", "shop"),
            sending("scale", "patch"),
            ended("scale", "UNPROVEN"),
            asked("attach", "shop"),
            sending("attach", "patch"),
            ended("attach", "REFUSED"),
            asked("detach", "shop"),
            sending("detach", "patch"),
            json!({"entry": "answered", "run": "detach", "untouched": true}),
            ended("detach", "UNPROVEN"),
            asked("psql", "shop"),
            sending("psql", "shell"),
            ended("psql", "PROVED"),
            asked("reload", "pay"),
            ended("reload", "REFUSED"),
        ]);
        assert_eq!(last(&index, "shop"), Some(("scale".into(), "UNPROVEN".into())));
        assert_eq!((last(&index, "pay"), last(&index, "none")), (None, None));
        let lights = index.past(&cluster("shop")).lights("new", None);
        assert!(lights.len() == 1 && lights[0].text.contains("scale, ended UNPROVEN"), "{lights:?}");
    }

    #[test]
    fn a_change_of_the_resource_that_has_not_ended_is_found_whatever_came_after_it() {
        let mut lines = vec![asked("a", "shop"), sending("a", "patroni")];
        let found = |lines: &[Value], name: &str, run: &str| {
            of(lines).past(&cluster(name)).patching(run).map(|open| open.run.to_string())
        };
        assert_eq!(found(&lines, "shop", "x"), None);
        lines.extend([asked("b", "shop"), sending("b", "patch"), asked("c", "shop"), ended("c", "PROVED")]);
        assert_eq!(found(&lines, "shop", "x"), Some("b".into()));
        assert_eq!((found(&lines, "shop", "b"), found(&lines, "pay", "x")), (None, None));
        lines.push(ended("b", "FAILED"));
        assert_eq!(found(&lines, "shop", "x"), None);
        // The end of the CR is a change too.
        lines.extend([asked("d", "shop"), sending("d", "delete")]);
        assert_eq!(found(&lines, "shop", "x"), Some("d".into()));
        // It was ordered though another one was under way: that one still bars all others.
        let mut despite = asked("e", "shop");
        (despite["despite"], despite["patches"]) = (json!("d"), json!(true));
        lines.push(despite);
        assert_eq!((found(&lines, "shop", "e"), found(&lines, "shop", "x")), (None, Some("d".into())));
    }

    #[test]
    fn what_was_added_is_read_and_a_line_that_is_not_whole_waits() {
        let path = std::env::temp_dir().join(format!("pgdeck-index-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let mut index = Index::default();
        let open = |index: &Index| index.past(&cluster("shop")).open.len();
        let second = asked("b", "shop").to_string();
        let (half, rest) = second.split_at(20);
        write!(file, "{}\n{half}", asked("a", "shop")).unwrap();
        index.catch_up(&path).unwrap();
        assert_eq!(open(&index), 1);
        writeln!(file, "{rest}").unwrap();
        index.catch_up(&path).unwrap();
        assert_eq!(open(&index), 2);
        // Another file in its place.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, format!("{}\n", asked("c", "shop"))).unwrap();
        index.catch_up(&path).unwrap();
        assert_eq!(open(&index), 1);
        std::fs::remove_file(&path).unwrap();
        index.catch_up(&path).unwrap();
        assert_eq!(open(&index), 0);
    }
}
