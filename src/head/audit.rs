//! `pgdeck audit`: what was changed, by whom, and what came of it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::act::who;
use super::{Exit, complain, fail, say, usage};
use crate::cli::{Audit, Report};
use crate::present;
use crate::runtime::{Journal, clock, settle};

/// Prints the journal and ends.
pub fn run(journal: &Journal, asked: &Audit) -> Exit {
    if let Some(run) = &asked.close {
        return match settle::close_by_hand(journal, run, &who(), clock::now()) {
            Ok(action) => {
                say(&present::clean(&format!("{action}, {run}: UNPROVEN; look at its cluster before the next order")))
            }
            Err(why) => refuse_to_close(&why),
        };
    }
    let since = match asked.since.as_deref().map(|text| moment(text, clock::now())).transpose() {
        Ok(since) => since,
        Err(why) => return usage(&why),
    };
    let (lines, broken) = match journal.read() {
        Ok(read) => read,
        Err(why) => return fail(&why),
    };
    if broken > 0 {
        complain(&format!("pgdeck: {broken} line(s) of {} cannot be read and are left out", journal.path().display()));
    }
    let at = |line: &Value| line["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let is_asked = |line: &&Value| since.is_none_or(|since| at(line).is_some_and(|at| at >= since));
    let lines: Vec<&Value> = lines.iter().filter(is_asked).collect();
    match asked.output {
        Report::Json => {
            let text = lines.iter().map(|line| present::escaped(&line.to_string()).to_string()).collect::<Vec<_>>();
            if text.is_empty() { Exit::Done } else { say(&text.join("\n")) }
        }
        Report::Text if lines.is_empty() => say("nothing was changed"),
        Report::Text => say(&lines.iter().map(|line| told(line)).collect::<Vec<_>>().join("\n")),
    }
}

/// How long it took until its effect was seen; where another pgdeck has settled it later, how long after it was sent.
fn how_late(line: &Value) -> String {
    let at = |value: &Value| value.as_str().and_then(|at| at.parse::<Timestamp>().ok());
    match (line["took_ms"].as_i64(), at(&line["settled"]["sent_at"]), at(&line["at"])) {
        // An older pgdeck wrote 0 for what nobody had watched.
        (Some(took_ms), ..) if took_ms > 0 || line["outcome"] != "UNPROVEN" => format!(" after {took_ms} ms"),
        (_, Some(sent_at), Some(ended_at)) => {
            format!(", settled {} after it was sent", present::format::age(ended_at.duration_since(sent_at)))
        }
        _ => ", settled later".to_owned(),
    }
}

fn refuse_to_close(why: &str) -> Exit {
    complain(&format!("pgdeck: refused: {}", present::clean(why)));
    Exit::Refused
}

/// One line for people.
fn told(line: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let what = match line["entry"].as_str().unwrap_or_default() {
        "asked" => {
            let cluster = &line["cluster"];
            let member = line["member"].as_str().map(|member| format!("/{member}")).unwrap_or_default();
            let reason = line["reason"].as_str().map(|reason| format!(" because: {reason}")).unwrap_or_default();
            format!(
                "{} asked to {} {}//{}/{}{member} {} (confirmed by {}){reason}",
                text(&line["who"]),
                text(&line["action"]),
                text(&cluster["context"]),
                text(&cluster["namespace"]),
                text(&cluster["name"]),
                line["args"],
                text(&line["confirm"]),
            )
        }
        "sending" => format!("sends step {}: {}", line["step"], line["order"]),
        "answered" => match line["fault"].as_str() {
            Some(fault) => format!("step {} was not answered: {fault}", line["step"]),
            None => format!("step {} was answered: {}", line["step"], text(&line["answer"])),
        },
        "ended" => format!("{}{}", text(&line["outcome"]), how_late(line)),
        other => format!("{other}: {line}"),
    };
    present::clean(&format!("{}  {}  {what}", text(&line["at"]), text(&line["run"]))).into_owned()
}

/// A moment, or how long ago.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let unit = text.chars().last().and_then(|unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    });
    let ago = unit.and_then(|unit| text[..text.len() - 1].parse::<i64>().ok()?.checked_mul(unit));
    let ago = ago.filter(|ago| (0..=3_155_760_000).contains(ago));
    ago.map(|ago| now - SignedDuration::from_secs(ago))
        .ok_or_else(|| format!("--since {text:?} cannot be read: write 2026-11-24T03:00:00Z, or 90m, 36h, 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_watched_took_no_time_that_is_known() {
        let told = |line: Value| {
            let mut whole = line;
            (whole["entry"], whole["at"], whole["run"]) = ("ended".into(), "2026-11-24T03:12:00Z".into(), "r".into());
            told(&whole).rsplit_once("  ").unwrap().1.to_owned()
        };
        let sent = serde_json::json!({"sent_at": "2026-11-24T03:00:00Z"});
        let cases = [
            (serde_json::json!({"outcome": "PROVED", "took_ms": 5}), "PROVED after 5 ms"),
            (
                serde_json::json!({"outcome": "PROVED", "took_ms": null, "settled": sent}),
                "PROVED, settled 12m00s after it was sent",
            ),
            (
                serde_json::json!({"outcome": "UNPROVEN", "took_ms": null, "settled": {"sent_at": null}}),
                "UNPROVEN, settled later",
            ),
            (serde_json::json!({"outcome": "UNPROVEN", "took_ms": 0}), "UNPROVEN, settled later"),
            (serde_json::json!({"outcome": "REFUSED", "took_ms": 0}), "REFUSED after 0 ms"),
        ];
        for (line, expected) in cases {
            assert_eq!(told(line), expected);
        }
    }

    #[test]
    fn a_moment_is_read_in_both_forms() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(moment("90m", now).unwrap().as_second(), 1_000_000 - 5_400);
        assert_eq!(moment("1970-01-01T00:00:10Z", now).unwrap().as_second(), 10);
        assert!(moment("yesterday", now).unwrap_err().contains("36h"));
    }
}
