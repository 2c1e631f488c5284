//! What a pgdeck before this one was cut off at: told, taken up where it can be proved, and asked about where it is held.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::shell;
use crate::id::{ClusterId, Text};
use crate::operation::{Operation, operation};
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
    for asked in unanswered(&lines).into_iter().filter(is_meant).filter(|line| !is_alive(line, now)) {
        let sending = lines.iter().rev().find(|line| line["entry"] == "sending" && line["run"] == asked["run"]);
        let action = asked["action"].as_str().and_then(operation);
        let held = left_over(asked).filter(|_| sending.is_some());
        let run = action.zip(sending).filter(|_| held.is_none());
        let run = run.and_then(|(action, sending)| Run::settle(action.id, asked, sending, now));
        let how = match (&run, &held, sending) {
            (Some(_), ..) => "its effect is looked for".to_owned(),
            // It stays open until it is taken back, however often pgdeck is started before.
            (None, Some(_), _) => "it is asked for whether to take it back".to_owned(),
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

/// The clock may have been set since: a process is not taken for another one for less.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// Whether the pgdeck whose order it is still runs: its number is the last part of the run's name.
fn is_alive(run: &Value, now: Timestamp) -> bool {
    let process = run["run"].as_str().and_then(|run| run.rsplit_once('-')).map(|(_, process)| process);
    let asked_at = run["at"].as_str().and_then(|at| at.parse().ok());
    process.is_some_and(|process| {
        process != std::process::id().to_string()
            && shell::is_pgdeck(process)
            && could_ask(shell::age(process), asked_at, now)
    })
}

/// Whether a process of that age may be the one that asked then. A number may come again, in a container it always does.
fn could_ask(age: Option<SignedDuration>, asked_at: Option<Timestamp>, now: Timestamp) -> bool {
    let (Some(age), Some(asked_at)) = (age, asked_at) else { return true };
    now - age <= asked_at + SLACK
}

/// The run whose effect on the subject stands, by the journal: what the operation takes back. True if it was cut off, and is open
/// there. None if it was taken back since, or whoever gave it still sees to it.
pub fn left_by(
    lines: &[Value],
    taking_back: &Operation,
    (cluster, member): (&ClusterId, Option<&Text>),
    now: Timestamp,
) -> Option<(Text, bool)> {
    let undone = taking_back.undoes?;
    let is_about = |line: &&Value| {
        line["entry"] == "asked" && line["cluster"] == json!(cluster) && line["member"] == json!(member)
    };
    let of = |asked: &Value, kind: &str| {
        let run = asked["run"].clone();
        lines.iter().rfind(move |line| line["entry"] == *kind && line["run"] == run)
    };
    for asked in lines.iter().rev().filter(is_about) {
        let outcome = of(asked, "ended").map(|ended| ended["outcome"].as_str().unwrap_or_default());
        let is_proved = outcome == Some(Outcome::Proved.word());
        if asked["action"] == taking_back.id && is_proved {
            return None;
        }
        if asked["action"] != undone.id || of(asked, "sending").is_none() {
            continue;
        }
        // What is held ends by itself, and is taken back then.
        let is_held = operation(undone.id).is_some_and(|row| row.holds);
        let is_given = undone.with.is_none_or(|with| !asked["args"][with].is_null());
        let is_over = (is_held && is_proved) || outcome == Some(Outcome::Refused.word()) || !is_given;
        let is_open = outcome.is_none();
        if is_over || (is_open && is_alive(asked, now)) {
            return None;
        }
        return Some((asked["run"].as_str()?.into(), is_open && is_held));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlaneId;

    fn cluster() -> ClusterId {
        ClusterId { plane: PlaneId::Kubernetes("t".into()), namespace: "d".into(), name: "shop".into() }
    }

    /// Three lines of a run: asked, sent, and how it ended, if it did.
    fn run(name: &str, action: &str, member: Option<&str>, outcome: Option<&str>) -> Vec<Value> {
        let asked = json!({"entry": "asked", "run": name, "action": action, "cluster": cluster(), "member": member,
                           "args": {}, "at": "2026-11-24T03:00:00Z"});
        let sending = json!({"entry": "sending", "run": name});
        let ended = outcome.map(|outcome| json!({"entry": "ended", "run": name, "outcome": outcome}));
        [asked, sending].into_iter().chain(ended).collect()
    }

    fn left(lines: &[Vec<Value>], taking_back: &str, member: Option<&str>) -> Option<(String, bool)> {
        let member = member.map(Text::from);
        let operation = operation(taking_back).unwrap();
        let left = left_by(&lines.concat(), operation, (&cluster(), member.as_ref()), Timestamp::now());
        left.map(|(run, is_open)| (run.to_string(), is_open))
    }

    #[test]
    fn what_stands_by_the_journal_may_be_taken_back_by_a_command_too() {
        let paused = run("a-0", "patroni-pause", None, Some("PROVED"));
        let resumed = |outcome| run("b-0", "patroni-resume", None, Some(outcome));
        assert_eq!(left(std::slice::from_ref(&paused), "patroni-resume", None), Some(("a-0".into(), false)));
        assert_eq!(left(&[paused.clone(), resumed("PROVED")], "patroni-resume", None), None);
        assert_eq!(left(&[paused, resumed("UNPROVEN")], "patroni-resume", None), Some(("a-0".into(), false)));

        let held = |outcome| run("c-0", "replay-pause", Some("shop-1"), outcome);
        assert_eq!(left(&[held(None)], "replay-resume", Some("shop-1")), Some(("c-0".into(), true)));
        assert_eq!(left(&[held(None)], "replay-resume", Some("shop-2")), None);
        assert_eq!(left(&[held(Some("PROVED"))], "replay-resume", Some("shop-1")), None, "it took itself back");
        assert_eq!(left(&[held(Some("UNPROVEN"))], "replay-resume", Some("shop-1")), Some(("c-0".into(), false)));
        let at_once = run("d-0", "switchover", None, Some("PROVED"));
        assert_eq!(left(&[at_once], "switchover-cancel", None), None, "it was over at once");
    }

    #[test]
    fn a_process_that_began_after_the_order_did_not_give_it() {
        let now = Timestamp::now();
        let ago = SignedDuration::from_mins;
        let could = |age, asked| could_ask(Some(age), Some(now - asked), now);
        assert!(could(ago(10), ago(5)) && !could(ago(5), ago(10)) && could_ask(None, Some(now), now));
        let age = shell::age(&std::process::id().to_string()).unwrap();
        assert!(age >= SignedDuration::ZERO && age < ago(60), "{age:?}");
    }
}
