//! What is held for a while, watched, and taken back by what was done alone.

use jiff::{SignedDuration, Timestamp};

use super::step::EVERY_MS;
use super::{Line, Looked, Out, Outcome, Phase, Run};
use crate::metric::vitals::{Replay, Vitals};
use crate::metric::{Rows, SurveyId};
use crate::work::probe::{Answer, Probe};

/// How far the taking back is.
#[derive(Debug, Clone)]
pub(super) struct Back {
    /// The last step back.
    last: usize,
    /// What is said at the end, if every step back is proved.
    outcome: Outcome,
}

/// How the line about what is held begins: it is written anew while time goes by.
const HELD: &str = "held: ";

impl Run {
    /// All steps are done: it is held, or over.
    pub(super) fn done(&mut self, now: Timestamp) -> Vec<Out> {
        let Some(hold) = self.deal.as_ref().and_then(|deal| deal.hold.as_ref()).filter(|_| self.back.is_none()) else {
            if self.is_part {
                let why = "the steps after it were not sent: look at it, and order the rest";
                return self.end(now, Outcome::Unproven, why);
            }
            let outcome = self.back.as_ref().map_or(Outcome::Proved, |back| back.outcome);
            return self.end(now, outcome, "");
        };
        let text = format!("{HELD}for {} s, or until {} MiB wait", hold.for_s, hold.max_lag.0 >> 20);
        let look = watched(hold);
        self.say(now, text);
        self.phase = Phase::Holding { since: now };
        vec![look]
    }

    /// Looks whether it is still as it was made, and within its budget.
    pub(super) fn watch(&mut self, now: Timestamp, since: Timestamp, looked: &[Looked]) -> Vec<Out> {
        let Some(hold) = self.deal.as_ref().and_then(|deal| deal.hold.clone()) else { return Vec::new() };
        let until = since + SignedDuration::from_secs(hold.for_s.into());
        if now >= until {
            return self.take_back(now, Outcome::Proved, "its time is over");
        }
        let left = until.duration_since(now).as_secs();
        let text = match vitals(looked) {
            Err(why) => format!("{HELD}{left} s left; the standby does not answer: {why}"),
            Ok(vitals) if !matches!(vitals.replay, Replay::Paused) => {
                let why = "somebody else has resumed it: what is left is taken back";
                return self.take_back(now, Outcome::Failed, why);
            }
            Ok(vitals) => match vitals.replay_backlog() {
                Some(lag) if lag > hold.max_lag => {
                    let why = format!("{} MiB wait for replay: more than allowed", lag.0 >> 20);
                    return self.take_back(now, Outcome::Proved, &why);
                }
                Some(lag) => format!("{HELD}{left} s left; {} MiB wait for replay", lag.0 >> 20),
                None => format!("{HELD}{left} s left; how much waits for replay is not known"),
            },
        };
        self.lines.pop_if(|line| line.text.starts_with(HELD));
        self.lines.push(Line { at: now, text });
        vec![watched(&hold)]
    }

    /// Ends what is held, or is about to be.
    pub(super) fn end_hold(&mut self, now: Timestamp, why: &str) -> Vec<Out> {
        if !self.is_holding() || self.back.is_some() {
            return Vec::new();
        }
        // What is on its way could arrive after what takes it back.
        if matches!(self.phase, Phase::Recording { .. } | Phase::Sending { .. }) {
            self.ending = Some(why.to_owned());
            return Vec::new();
        }
        self.take_back(now, Outcome::Proved, why)
    }

    /// Begins with the first step back, if somebody asked for it while an order was on its way.
    pub(super) fn asked_to_end(&mut self, now: Timestamp) -> Option<Vec<Out>> {
        let why = self.ending.take().filter(|_| self.back.is_none())?;
        Some(self.take_back(now, Outcome::Proved, &why))
    }

    /// Begins with the first step back.
    fn take_back(&mut self, now: Timestamp, outcome: Outcome, why: &str) -> Vec<Out> {
        let Some(deal) = &mut self.deal else { return Vec::new() };
        let Some(hold) = &deal.hold else { return Vec::new() };
        let first = deal.steps.len();
        deal.steps.extend(hold.back.iter().cloned());
        self.back = Some(Back { last: deal.steps.len() - 1, outcome });
        self.say(now, format!("taken back: {why}"));
        self.record(now, first)
    }

    /// Steps back follow this one. A standby that is gone must not keep automatic failover off.
    pub(super) fn has_more_to_take_back(&self, step: usize) -> bool {
        self.back.as_ref().is_some_and(|back| step < back.last)
    }

    /// What takes back goes on though the journal cannot be written: it is said, loudly.
    pub(super) fn goes_on_without(&mut self, now: Timestamp, why: String) -> Result<(), String> {
        if self.back.is_none() && self.takes_back.is_none() {
            return Err(why);
        }
        self.say(now, format!("THE JOURNAL DOES NOT KEEP THIS: {why}"));
        Ok(())
    }

    /// What was begun and is to be held is taken back before it ends; one step back that fails keeps none of the others off.
    pub(super) fn instead_of_ending(&mut self, now: Timestamp, outcome: Outcome) -> Option<Vec<Out>> {
        if matches!(outcome, Outcome::Proved | Outcome::Refused) || !self.sent_any {
            return None;
        }
        let (Phase::Recording { step }
        | Phase::Refreshing { step, .. }
        | Phase::Sending { step }
        | Phase::Proving { step, .. }) = self.phase
        else {
            return None;
        };
        self.deal.as_ref()?.hold.as_ref()?;
        match &mut self.back {
            None => Some(self.take_back(now, outcome, "it did not come to be held")),
            Some(back) => {
                back.outcome = Outcome::Failed;
                self.has_more_to_take_back(step).then(|| self.record(now, step + 1))
            }
        }
    }
}

fn watched(hold: &super::Hold) -> Out {
    let probe = Probe::Sample { instance: hold.instance.clone(), surveys: vec![SurveyId::Vitals] };
    Out::Look { probes: vec![probe], after_ms: EVERY_MS }
}

fn vitals(looked: &[Looked]) -> Result<&Vitals, String> {
    match looked.first() {
        Some((_, Ok(Answer::Sample(rows)))) => match rows.first() {
            Some((_, Ok(Rows::Vitals(vitals)))) => Ok(vitals),
            Some((_, Err(fault))) => Err(fault.to_string()),
            _ => Err("nothing".into()),
        },
        Some((_, Err(fault))) => Err(fault.to_string()),
        _ => Err("it was not asked".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::id::{ClusterId, InstanceId, PlaneId};
    use crate::metric::lsn::{Bytes, Lsn};
    use crate::run::expect::Expect;
    use crate::run::{Aim, Consider, Deal, Event, Hold, Pass, Step};
    use crate::work::entry::Unkept;
    use crate::work::order::{Order, Statement};

    /// So many steps lead back.
    const N_BACK: usize = 2;

    /// A hold that takes two steps.
    fn in_two(aim: &Aim, looked: &[Looked]) -> Result<Deal, String> {
        let deal = consider(aim, looked)?;
        Ok(Deal { steps: [&deal.steps[..], &deal.steps[..]].concat(), ..deal })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn instance() -> InstanceId {
        let cluster = ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "old".into() };
        InstanceId { cluster, member: "h:5432".into() }
    }

    fn step(statement: Statement, paused: bool) -> Step {
        let order = Order::Sql { instance: instance(), statement };
        Step { order, expect: Expect::Replay { instance: instance(), paused }, within_s: 10 }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands for one that may refuse")]
    fn consider(_: &Aim, _: &[Looked]) -> Result<Deal, String> {
        let back = vec![step(Statement::ResumeReplay, false); N_BACK];
        let hold = Some(Hold { instance: instance(), for_s: 60, max_lag: Bytes(100), back });
        Ok(Deal { steps: vec![step(Statement::PauseReplay, true)], hold, ..Deal::default() })
    }

    fn seen(replay: Replay, waits: u64) -> Event {
        let mut vitals = crate::fleet::health::tests::vitals(true);
        (vitals.replay, vitals.received, vitals.replayed) = (replay, Some(Lsn(1_000 + waits)), Some(Lsn(1_000)));
        let probe = Probe::Sample { instance: instance(), surveys: vec![SurveyId::Vitals] };
        let rows = vec![(SurveyId::Vitals, Ok(Rows::Vitals(Box::new(vitals))))];
        Event::Looked(vec![(probe, Ok(Answer::Sample(rows)))])
    }

    /// What is there under that name is still what it was.
    fn found_out() -> Looked {
        (Probe::Identity(InstanceId::whoever_leads(&instance().cluster)), Ok(Answer::Identity(None)))
    }

    /// Confirmed, and its first order on its way.
    fn sending() -> Run {
        sending_of(consider)
    }

    fn sending_of(consider: Consider) -> Run {
        let (cluster, args) = (instance().cluster, BTreeMap::new());
        let aim = Aim { cluster, uid: None, member: None, args, at: at(0), who: "me".into() };
        let (mut run, _) = Run::new("r".into(), "replay-pause", aim, Vec::new(), consider, at(0));
        run.advance(at(0), Event::Looked(Vec::new()));
        run.advance(at(0), Event::Confirmed { how: "y".into(), who: "me".into(), reason: None });
        run.advance(at(0), Event::Looked(Vec::new()));
        run.advance(at(0), Event::Recorded(Ok(())));
        let outs = run.advance(at(0), Event::Recorded(Ok(())));
        assert!(matches!(&outs[..], [Out::Send(_, Pass::Leaves(_))]), "{outs:?}");
        run
    }

    #[test]
    fn what_is_waited_for_is_taken_back_at_once_and_once_alone() {
        let mut run = sending();
        assert!(!run.may_come_back(), "an order is on its way");
        run.advance(at(1), Event::Sent(Ok(String::new())));
        run.advance(at(2), seen(Replay::PauseRequested, 0));
        assert!(run.may_come_back() && !run.is_watching());
        let outs = run.advance(at(3), Event::TakeBack("asked".into()));
        assert!(matches!(&outs[..], [Out::Record(_)]), "{outs:?}");
        assert!(!run.may_come_back() && run.advance(at(3), Event::TakeBack("again".into())).is_empty());
    }

    fn holding() -> Run {
        let mut run = sending();
        run.advance(at(1), Event::Sent(Ok(String::new())));
        run.advance(at(1), seen(Replay::Paused, 0));
        assert!(run.is_watching() && run.is_holding());
        run
    }

    /// Goes through the steps back, which are proved.
    fn let_go(run: &mut Run) {
        for _ in 0..N_BACK {
            let outs = run.advance(at(90), Event::Recorded(Ok(())));
            assert!(matches!(&outs[..], [Out::Send(Order::Sql { .. }, Pass::TakesBack { .. })]), "{outs:?}");
            run.advance(at(90), Event::Sent(Ok(String::new())));
            run.advance(at(91), seen(Replay::Running, 0));
        }
    }

    #[test]
    fn a_step_back_that_nobody_answers_keeps_the_next_from_nothing() {
        let mut run = holding();
        run.advance(at(2), Event::TakeBack("asked".into()));
        run.advance(at(2), Event::Recorded(Ok(())));
        let lost = crate::fault::Fault::Unreachable { what: "h".into(), why: "refused".into() };
        run.advance(at(2), Event::Sent(Err(lost)));
        let outs = run.advance(at(2), Event::Recorded(Ok(())));
        assert!(matches!(&outs[..], [Out::Send(_, Pass::TakesBack { .. })]), "{outs:?}");
        run.advance(at(3), Event::Sent(Ok(String::new())));
        run.advance(at(3), seen(Replay::Running, 0));
        assert_eq!(run.outcome(), Some(Outcome::Failed));
    }

    #[test]
    fn taking_back_is_not_cut_short() {
        let mut run = holding();
        run.cut_short(at(2));
        run.advance(at(2), Event::TakeBack("pgdeck was asked to end".into()));
        let_go(&mut run);
        assert_eq!((run.outcome(), run.was_cut_short()), (Some(Outcome::Proved), false));
        // Nor half-way, before the next step or while the journal takes it in; it is no failure then.
        for n_more in 0..2 {
            let mut run = sending_of(in_two);
            run.advance(at(1), Event::Sent(Ok(String::new())));
            run.advance(at(1), seen(Replay::Paused, 0));
            assert!(matches!(run.phase, Phase::Refreshing { .. }));
            if n_more > 0 {
                run.advance(at(1), Event::Looked(vec![found_out()]));
                assert!(matches!(run.phase, Phase::Recording { step: 1 }), "{:?}", run.lines);
            }
            run.advance(at(2), Event::TakeBack("pgdeck was asked to end".into()));
            run.cut_short(at(2));
            if n_more > 0 {
                run.advance(at(2), Event::Recorded(Ok(())));
            }
            let_go(&mut run);
            assert_eq!((run.outcome(), run.has_taken_back()), (Some(Outcome::Proved), true), "{:?}", run.lines);
        }
        // Nor where the order that makes it is still on its way.
        let mut run = sending();
        run.cut_short(at(1));
        run.advance(at(1), Event::TakeBack("pgdeck was asked to end".into()));
        run.advance(at(2), Event::Sent(Ok(String::new())));
        let_go(&mut run);
        assert_eq!(run.outcome(), Some(Outcome::Proved));
    }

    #[test]
    fn what_is_held_is_taken_back_when_its_time_or_its_lag_is_used_up_or_somebody_asks() {
        let ends = [
            (60, seen(Replay::Paused, 0), "its time is over"),
            (10, seen(Replay::Paused, 101), "more than allowed"),
            (10, Event::TakeBack("it was asked for".into()), "it was asked for"),
        ];
        for (second, event, why) in ends {
            let mut run = holding();
            run.advance(at(9), seen(Replay::Paused, 100));
            assert!(run.is_watching() && run.lines.last().unwrap().text.contains("52 s left"), "{:?}", run.lines);
            run.advance(at(second + 1), event);
            assert!(run.lines.last().unwrap().text.contains(why), "{:?}", run.lines);
            let_go(&mut run);
            assert_eq!((run.outcome(), run.is_holding()), (Some(Outcome::Proved), false));
        }
    }

    #[test]
    fn what_somebody_else_ended_is_no_success_and_the_rest_is_taken_back() {
        let mut run = holding();
        run.advance(at(5), seen(Replay::Running, 0));
        let_go(&mut run);
        assert_eq!(run.outcome(), Some(Outcome::Failed));
    }

    #[test]
    fn what_did_not_come_to_be_held_is_taken_back_too() {
        let mut run = sending();
        run.advance(at(1), Event::Sent(Ok(String::new())));
        run.advance(at(30), seen(Replay::PauseRequested, 0));
        let_go(&mut run);
        assert_eq!(run.outcome(), Some(Outcome::Unproven));
    }

    #[test]
    fn what_is_on_its_way_is_answered_before_it_is_taken_back() {
        let mut run = sending();
        assert!(run.advance(at(1), Event::TakeBack("asked".into())).is_empty());
        run.advance(at(2), Event::Sent(Ok(String::new())));
        let_go(&mut run);
        assert_eq!(run.outcome(), Some(Outcome::Proved));
    }

    #[test]
    fn taking_back_waits_for_no_journal() {
        let mut run = holding();
        run.advance(at(2), Event::TakeBack("asked".into()));
        let outs = run.advance(at(2), Event::Recorded(Err(Unkept::Broken("disk full".into()))));
        assert!(matches!(&outs[..], [Out::Send(_, Pass::TakesBack { .. })]), "{outs:?}");
        assert!(run.lines.last().unwrap().text.contains("JOURNAL DOES NOT KEEP"));
    }

    #[test]
    fn a_standby_that_does_not_answer_is_still_held_until_its_time_is_over() {
        let mut run = holding();
        let fault = crate::fault::Fault::Unreachable { what: "h".into(), why: "refused".into() };
        let probe = Probe::Sample { instance: instance(), surveys: vec![SurveyId::Vitals] };
        run.advance(at(20), Event::Looked(vec![(probe, Err(fault))]));
        assert!(run.is_watching() && run.lines.last().unwrap().text.contains("does not answer"));
    }
}
