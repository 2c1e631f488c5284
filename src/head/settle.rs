//! What a pgdeck before this one was cut off at: told, taken up where it can be proved, and asked about where it is held.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::shell;
use crate::id::{ClusterId, Text};
use crate::operation::operation;
use crate::run::{Out, Outcome, Run};
use crate::runtime::{Journal, unanswered};
use crate::state::ledger::LeftOver;
use crate::work::entry::{Entry, SCHEMA, What};

/// What was found.
#[derive(Debug, Default)]
pub struct CutOff {
    /// For the notices.
    pub told: Vec<String>,
    /// What is to be taken back: the user is asked.
    pub left_over: Vec<LeftOver>,
    /// What was sent, and is looked for now.
    pub runs: Vec<(Run, Vec<Out>)>,
}

/// Reads the journal for runs of which no end is known, and whose pgdeck runs no more; of one cluster, or of all. What cannot be
/// taken up is closed. What is held is left to the console, which can ask, where it is about one cluster.
pub fn cut_off(journal: &Journal, now: Timestamp, of: Option<&ClusterId>) -> CutOff {
    let mut found = CutOff::default();
    if let Some(folder) = journal.path().parent() {
        shell::forget_left_over(folder);
    }
    let (lines, _) = match journal.read() {
        Ok(read) => read,
        Err(why) => return CutOff { told: vec![why], ..found },
    };
    let is_meant =
        |asked: &&Value| of.is_none_or(|cluster| asked["cluster"] == json!(cluster) && left_over(asked).is_none());
    for asked in unanswered(&lines).into_iter().filter(is_meant).filter(|line| !is_alive(&line["run"])) {
        let sending = lines.iter().rev().find(|line| line["entry"] == "sending" && line["run"] == asked["run"]);
        let action = asked["action"].as_str().and_then(operation);
        let held = left_over(asked).filter(|_| sending.is_some());
        let run = action.zip(sending).filter(|_| held.is_none());
        let run = run.and_then(|(action, sending)| Run::settle(action.id, asked, sending, now));
        let how = match (&run, &held, sending) {
            (Some(_), ..) => "its effect is looked for".to_owned(),
            (None, Some(_), _) => close(journal, asked, now, "it is asked for whether to take it back"),
            (None, None, Some(_)) => close(journal, asked, now, "look at it; `pgdeck audit` has all of it"),
            (None, None, None) => close(journal, asked, now, "nothing was sent"),
        };
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        found.told.push(format!(
            "{} on {}//{}/{} was cut off at {}: {how}",
            text(&asked["action"]),
            text(&asked["cluster"]["context"]),
            text(&asked["cluster"]["namespace"]),
            text(&asked["cluster"]["name"]),
            text(&asked["at"]),
        ));
        found.left_over.extend(held);
        found.runs.extend(run);
    }
    found
}

/// Writes its end down, and gives the words for it.
fn close(journal: &Journal, asked: &Value, now: Timestamp, words: &str) -> String {
    let run = asked["run"].as_str().unwrap_or_default();
    let evidence = vec!["pgdeck ended before its effect was seen".to_owned()];
    let what = What::Ended { outcome: Outcome::Unproven.word(), evidence, took_ms: 0 };
    let entry = Entry { schema: SCHEMA, at: now, run: run.into(), what };
    match journal.write(&entry) {
        Ok(()) => words.to_owned(),
        Err(why) => format!("{words}; {why}"),
    }
}

/// What was held when pgdeck was cut off.
fn left_over(asked: &Value) -> Option<LeftOver> {
    let text = |value: &Value| value.as_str().map(Text::from);
    let action = text(&asked["action"]).filter(|action| operation(action).is_some_and(|row| row.holds))?;
    let cluster: ClusterId = serde_json::from_value(asked["cluster"].clone()).ok()?;
    Some(LeftOver { run: text(&asked["run"])?, action, cluster, member: text(&asked["member"]), asked: false })
}

/// Whether the pgdeck whose order it is still runs: its number is the last part of the run's name.
fn is_alive(run: &Value) -> bool {
    let process = run.as_str().and_then(|run| run.rsplit_once('-')).map(|(_, process)| process);
    // A number may come again: in a container it always does. What this one has ordered it knows.
    process.is_some_and(|process| process != std::process::id().to_string() && shell::is_pgdeck(process))
}
