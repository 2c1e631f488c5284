//! What is printed of a scenario that failed, for those who see no more of its run than its output.

use std::any::Any;
use std::path::Path;
use std::process::Command;

/// Lines of each part's log.
const LINES: usize = 16;
/// Characters of each line.
const WIDTH: usize = 300;
/// Characters at either end of a long reason.
const ENDS: usize = 600;
/// How a program that went by itself, or has begun anew, is told from its log.
const BROKEN: &[&str] = &["panic:", "fatal error:", "panicked at", "Spilo operator v"];
const OBJECTS: &str = "pg,sts,pods,pvc";
/// Who was asked to go, and what holds it.
const COLUMNS: &str = "custom-columns=KIND:.kind,NAME:.metadata.name,UID:.metadata.uid,STATUS:.status.phase,\
                       LEAVING:.metadata.deletionTimestamp,FINALIZERS:.metadata.finalizers,OWNER:.metadata.ownerReferences[*].uid";

/// Prints a namespace's objects as they stand, and the last that each part of the control plane said of it.
pub fn print(namespace: &str, logs: &Path) {
    let asked = ["-n", namespace, "get", OBJECTS, "-o", COLUMNS];
    let objects = Command::new("kubectl").args(asked).output();
    let objects = objects.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    eprintln!("{namespace}: what is there:\n{}", objects.unwrap_or_else(|error| error.to_string()));
    let mut parts: Vec<_> = std::fs::read_dir(logs).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    parts.sort();
    let names = [format!("{namespace}/"), format!("\"{namespace}\"")];
    for part in parts {
        let log = std::fs::read(&part).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let file = part.file_name().unwrap_or_default().display();
        for (what, words) in [("broke", BROKEN), ("said of it", &names.each_ref().map(String::as_str))] {
            let said = last(&log, words);
            if !said.is_empty() {
                eprintln!("{namespace}: {file} {what}:\n{}", said.join("\n"));
            }
        }
    }
}

/// The last lines with one of those words.
fn last(log: &str, words: &[&str]) -> Vec<String> {
    let mut lines: Vec<&str> = log.lines().rev().filter(|line| words.iter().any(|word| line.contains(word))).collect();
    lines.truncate(LINES);
    lines.into_iter().rev().map(|line| line.chars().take(WIDTH).collect()).collect()
}

/// Why a scenario failed: both ends of it, where it is long.
pub fn words(why: &(dyn Any + Send)) -> String {
    let plain = why.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = plain.or_else(|| why.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned());
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= 2 * ENDS {
        return text;
    }
    let (begin, end) = (&letters[..ENDS], &letters[letters.len() - ENDS..]);
    format!("{} […] {}", begin.iter().collect::<String>(), end.iter().collect::<String>())
}
