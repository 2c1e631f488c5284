//! Whether the pgdeck that gave an order still runs. Its process number is the last part of a run's name; of a pgdeck on another
//! host nothing can be told from here.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use crate::id::Text;

/// The clock may have been set since: a process is not taken for another one for less.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// The name of this host; none if nobody knows.
pub fn host() -> Option<Text> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim()).filter(|name| !name.is_empty()).map(Text::from)
}

/// Whether the pgdeck on this host that gave that order, at that moment, still runs and is another one than this.
pub fn lives(run: &str, asked_at: Option<Timestamp>, now: Timestamp) -> bool {
    let process = run.rsplit_once('-').map(|(_, process)| process);
    process.is_some_and(|process| {
        process != std::process::id().to_string() && is_pgdeck(process) && could_ask(age(process), asked_at, now)
    })
}

/// Whether a pgdeck of that number still runs; one that has ended, and was not waited for yet, does not.
pub fn is_pgdeck(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    stat.contains("(pgdeck)") && !matches!(state, None | Some('Z' | 'X'))
}

/// How long a process has run (`starttime` of proc(5), in hundredths of a second since the boot); none if nobody knows.
fn age(process: &str) -> Option<SignedDuration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let started: i64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
    Some(SignedDuration::try_from_secs_f64(uptime).ok()? - SignedDuration::from_millis(started * 10))
}

/// Whether a process of that age may be the one that asked then. A number may come again, in a container it always does.
fn could_ask(age: Option<SignedDuration>, asked_at: Option<Timestamp>, now: Timestamp) -> bool {
    let (Some(age), Some(asked_at)) = (age, asked_at) else { return true };
    now - age <= asked_at + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_began_after_the_order_did_not_give_it() {
        let now = Timestamp::now();
        let ago = SignedDuration::from_mins;
        let could = |age, asked| could_ask(Some(age), Some(now - asked), now);
        assert!(could(ago(10), ago(5)) && !could(ago(5), ago(10)) && could_ask(None, Some(now), now));
        let age = age(&std::process::id().to_string()).unwrap();
        assert!(age >= SignedDuration::ZERO && age < ago(60), "{age:?}");
    }
}
