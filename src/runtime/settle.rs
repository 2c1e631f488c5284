//! What a pgdeck before this one was cut off at: told, taken up where it can be proved, and asked about where it is held.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::id::{ClusterId, Text};
use crate::journal::{Journal, owner, unanswered};
use crate::operation::{Operation, operation, undoing};
use crate::run::{CutOff, LeftOver, Outcome, Run};
use crate::state::ledger::Standing;
use crate::work::entry::{Entry, SCHEMA, What};
use crate::work::past::Open;

/// All that pgdecks which run no more were cut off at: what is taken up, and what is to be taken back, of which the user is asked.
pub fn all_cut_off(journal: &Journal, now: Timestamp) -> CutOff {
    look_for(journal, now, |_| true)
}

/// What they were cut off at with one cluster.
pub fn cut_off(journal: &Journal, now: Timestamp, cluster: &ClusterId) -> CutOff {
    // The whole journal is read only where there is something to find.
    let past = journal.past(cluster).unwrap_or_default();
    if !past.open.iter().any(|open| journal.was_cut_off(open, now)) {
        return CutOff::default();
    }
    look_for(journal, now, |asked| asked["cluster"] == json!(cluster))
}

/// Reads the journal for runs of which no end is known, and whose pgdeck runs no more. What cannot be taken up is closed.
fn look_for(journal: &Journal, now: Timestamp, is_meant: impl Fn(&Value) -> bool) -> CutOff {
    let mut found = CutOff::default();
    let (lines, _) = match journal.read() {
        Ok(read) => read,
        Err(why) => return CutOff { told: vec![why], ..found },
    };
    let here = owner::host();
    let was_cut_off =
        |asked: &&Value| Open::read(asked, here.as_deref()).is_some_and(|open| journal.was_cut_off(&open, now));
    for asked in unanswered(&lines).into_iter().filter(|asked| is_meant(asked)).filter(was_cut_off) {
        let sending = last_sent(&lines, &asked["run"]);
        let action = asked["action"].as_str().and_then(operation);
        let left = left_over(asked).filter(|_| sending.is_some());
        let run = action.zip(sending).filter(|_| left.is_none());
        let run = run.and_then(|(action, sending)| Run::settle(action.id, asked, sending, now));
        let how = match (&run, &left, sending) {
            (Some((run, _)), ..) => {
                journal.see_to(&run.id);
                "its effect is looked for".to_owned()
            }
            // It stays open until it is taken back, however often pgdeck is started before; by this one it is told once.
            (None, Some(left), _) => {
                journal.see_to(&left.run);
                let ended_by = undoing(&left.action).map_or("", |row| row.id);
                format!("what it holds stays until it is taken back ({ended_by})")
            }
            (None, None, Some(_)) => close(journal, asked, sending, now, "look at it; `pgdeck audit` has all of it"),
            (None, None, None) => close(journal, asked, sending, now, "nothing was sent"),
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
        found.held.extend(left);
        found.runs.extend(run);
    }
    found
}

/// The last order of a run that may have changed something.
fn last_sent<'a>(lines: &'a [Value], run: &Value) -> Option<&'a Value> {
    let mut untouched = false;
    lines.iter().rev().filter(|line| line["run"] == *run).find(|line| match line["entry"].as_str() {
        Some("answered") => {
            untouched = line["untouched"] == true;
            false
        }
        Some("sending") => !std::mem::take(&mut untouched),
        _ => false,
    })
}

/// Writes its end down, and gives the words for it.
fn close(journal: &Journal, asked: &Value, sending: Option<&Value>, now: Timestamp, words: &str) -> String {
    let run = asked["run"].as_str().unwrap_or_default();
    match journal.keep(unproven(run, sending.and_then(at), now, "pgdeck ended before its effect was seen".to_owned())) {
        Ok(()) => words.to_owned(),
        Err(why) => format!("{words}; {why}"),
    }
}

fn unproven(run: &str, sent_at: Option<Timestamp>, now: Timestamp, why: String) -> Entry {
    let what = What::settled(Outcome::Unproven.word(), vec![why], sent_at);
    Entry { schema: SCHEMA, at: now, run: run.into(), what }
}

fn at(line: &Value) -> Option<Timestamp> {
    line["at"].as_str()?.parse().ok()
}

/// Ends an order whose pgdeck is gone for good, because somebody says so; gives its action.
pub fn close_by_hand(journal: &Journal, run: &str, who: &str, now: Timestamp) -> Result<Text, String> {
    let (lines, _) = journal.read()?;
    let asked = unanswered(&lines).into_iter().find(|asked| asked["run"] == run);
    let open = asked.and_then(|asked| Open::read(asked, owner::host().as_deref()));
    let open = open.ok_or_else(|| format!("the journal has no order {run} that is open"))?;
    if open.host.is_none() && owner::lives(run, open.at, now) {
        return Err(format!("the pgdeck that sees to {run} still runs here: wait for it, or end it"));
    }
    journal.write(&unproven(run, None, now, format!("closed by hand, by {who}"))).map_err(|why| why.to_string())?;
    Ok(open.action)
}

/// What was held when pgdeck was cut off.
fn left_over(asked: &Value) -> Option<LeftOver> {
    let text = |value: &Value| value.as_str().map(Text::from);
    let action = text(&asked["action"]).filter(|action| operation(action).is_some_and(|row| row.holds))?;
    let cluster: ClusterId = serde_json::from_value(asked["cluster"].clone()).ok()?;
    Some(LeftOver { run: text(&asked["run"])?, action, cluster, member: text(&asked["member"]), asked: false })
}

/// Whether whoever gave it sees to it still, or that cannot be told: it is on another host.
fn may_live(asked: &Value, now: Timestamp) -> bool {
    let open = Open::read(asked, owner::host().as_deref());
    open.is_some_and(|open| open.host.is_some() || owner::lives(&open.run, open.at, now))
}

/// The run whose effect on the subject stands, by the journal: what the operation takes back. True if it was cut off, and is open
/// there. None if it was taken back since, or whoever gave it still sees to it.
pub fn left_by(
    lines: &[&Value],
    taking_back: &Operation,
    (cluster, member): (&ClusterId, Option<&Text>),
    now: Timestamp,
) -> Option<(Text, bool)> {
    let undone = taking_back.undoes?;
    let (cluster, member) = (json!(cluster), json!(member));
    let is_about = |line: &&&Value| line["entry"] == "asked" && line["cluster"] == cluster && line["member"] == member;
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
        if is_over || (is_open && may_live(asked, now)) {
            return None;
        }
        return Some((asked["run"].as_str()?.into(), is_open && is_held));
    }
    None
}

/// What stands by the journal, though the pgdecks that made it have ended or never held it. What is open is told of otherwise.
pub fn standing(journal: &Journal, now: Timestamp) -> Vec<Standing> {
    // That the journal cannot be read was said.
    let (lines, _) = journal.read().unwrap_or_default();
    by_subject(&lines).values().flat_map(|lines| lines.iter().filter_map(|asked| stands(lines, asked, now))).collect()
}

/// The lines of each cluster's or member's orders, in order: a journal grows for years, and most of it is about others.
fn by_subject(lines: &[Value]) -> BTreeMap<(String, Option<&str>), Vec<&Value>> {
    let (mut subjects, mut grouped) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        let run = line["run"].as_str().unwrap_or_default();
        if line["entry"] == "asked" {
            subjects.insert(run, (line["cluster"].to_string(), line["member"].as_str()));
        }
        if let Some(subject) = subjects.get(run) {
            grouped.entry(subject.clone()).or_insert_with(Vec::new).push(line);
        }
    }
    grouped
}

/// What an order has left, by the lines of its subject. Of several that made the same the last one counts.
fn stands(lines: &[&Value], asked: &Value, now: Timestamp) -> Option<Standing> {
    if asked["entry"] != "asked" {
        return None;
    }
    let row = undoing(asked["action"].as_str()?)?;
    let cluster = serde_json::from_value::<ClusterId>(asked["cluster"].clone()).ok()?;
    let member = asked["member"].as_str().map(Text::from);
    left_by(lines, row, (&cluster, member.as_ref()), now).filter(|(run, _)| asked["run"] == **run)?;
    let ended = lines.iter().rfind(|line| line["entry"] == "ended" && line["run"] == asked["run"])?;
    let action = asked["action"].as_str().unwrap_or_default().into();
    let proved = ended["outcome"] == Outcome::Proved.word();
    let (args, ours) = (BTreeMap::new(), false);
    Some(Standing { action, cluster, member, args, since: at(ended)?, proved, ours, ended_by: row.id })
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
        let lines: Vec<&Value> = lines.iter().flatten().collect();
        let left = left_by(&lines, operation, (&cluster(), member.as_ref()), Timestamp::now());
        left.map(|(run, is_open)| (run.to_string(), is_open))
    }

    #[test]
    fn an_order_that_the_object_itself_refused_was_never_sent() {
        let line = |entry: &str, step: u32, untouched: bool| json!({"entry": entry, "run": "r", "step": step, "untouched": untouched});
        let (sending, refused) = (line("sending", 0, false), line("answered", 0, true));
        let step = |lines: &[Value]| last_sent(lines, &json!("r")).map(|line| line["step"].clone());
        assert_eq!(step(&[sending.clone(), refused.clone()]), None);
        assert_eq!(step(&[sending.clone(), refused.clone(), sending.clone()]), Some(json!(0)));
        assert_eq!(step(&[sending.clone(), line("answered", 0, false)]), Some(json!(0)));
        // The step before it was.
        let before = [sending, line("answered", 0, false), line("sending", 1, false), line("answered", 1, true)];
        assert_eq!(step(&before), Some(json!(0)));
        assert_eq!(last_sent(&before, &json!("another")), None);
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
    fn what_stands_is_told_of_each_subject_by_itself_and_the_last_that_made_it_counts() {
        let folder = std::env::temp_dir().join(format!("pgdeck-standing-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let journal = Journal::in_folder(&folder);
        let mut runs = vec![
            run("a-0", "patroni-pause", None, Some("PROVED")),
            run("b-0", "patroni-pause", None, Some("UNPROVEN")),
            run("c-0", "replay-pause", Some("shop-1"), Some("PROVED")),
        ];
        let mut elsewhere = run("d-0", "patroni-resume", None, Some("PROVED"));
        elsewhere[0]["cluster"]["name"] = "other".into();
        runs.push(elsewhere);
        for line in runs.iter_mut().flatten() {
            line["at"] = "2026-11-24T03:00:00Z".into();
        }
        let text: Vec<String> = runs.iter().flatten().map(Value::to_string).collect();
        std::fs::write(journal.path(), text.join("\n")).unwrap();
        let standing = standing(&journal, Timestamp::now());
        let told: Vec<_> = standing.iter().map(|left| (&*left.action, left.proved, left.member.is_some())).collect();
        assert_eq!(told, [("patroni-pause", false, false)]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
