//! Looked at, offered, confirmed, and looked at once more.

use jiff::Timestamp;
use serde_json::Value;

use super::{BY_ITSELF, Cause, Deal, Looked, Out, Outcome, Phase, Run, deal};
use crate::fleet::cluster::Spec;
use crate::id::Text;
use crate::work::change;
use crate::work::entry::Light;
use crate::work::probe::{Answer, Objects};

/// Why a patch of the CR is not sent.
const CHANGED: &str = "the CR was changed by somebody else meanwhile: look again";

fn objects(looked: &[Looked]) -> Option<&Objects> {
    looked.iter().find_map(|(_, answer)| match answer {
        Ok(Answer::Objects(objects)) => Some(&**objects),
        _ => None,
    })
}

/// What the CR asks for; when that was written last does not count, since our own patches are writes.
pub(super) fn wanted(objects: &Objects) -> Spec {
    Spec { changed: None, ..objects.cluster.spec.clone() }
}

impl Run {
    /// Looks at all that the preflight is about.
    pub(super) fn look(&mut self) -> Vec<Out> {
        self.past = Err("it was not asked".into());
        let (cluster, probes) = (self.aim.cluster.clone(), self.preflight.clone());
        vec![Out::Settle(cluster.clone()), Out::Recall(cluster), Out::Look { probes, after_ms: 0 }]
    }

    /// Judges what was looked at, and what came before it.
    fn judge(&mut self, looked: &[Looked]) -> Result<Deal, String> {
        self.same_cluster(looked)?;
        let mut deal = (self.consider)(&self.aim, looked)?;
        deal.lights.extend(self.unknown_identity(&deal, looked));
        deal.lights.extend(self.moved(&deal, looked));
        deal.lights.extend(self.rewritten(&deal, looked));
        if deal.is_look() {
            return Ok(deal);
        }
        match &self.past {
            Ok(past) => {
                deal.lights.extend(past.lights(&self.id, self.settles.then_some(self.takes_back.as_deref()).flatten()));
                let pending = past.patching(&self.id).filter(|_| deal.patches()).cloned();
                (self.despite, self.waits_for) = if deal.deletes() { (pending, None) } else { (None, pending) };
                deal.lights.extend(self.despite.iter().map(|open| Light::red(open.why())));
            }
            Err(why) => deal.lights.push(Light::amber(format!("what was ordered before is not known: {why}"))),
        }
        Ok(deal)
    }

    pub(super) fn offer(&mut self, now: Timestamp, looked: &[Looked]) -> Vec<Out> {
        self.resource = objects(looked).map(|objects| objects.resource.clone());
        self.looked_at = now;
        match self.judge(looked) {
            Ok(deal) => {
                let alone = self.unattended.clone().map(|who| deal.needs_nobody().map(|()| who));
                self.deal = Some(deal);
                self.phase = Phase::Offered;
                match alone {
                    None => Vec::new(),
                    Some(Ok(who)) => self.confirm(now, (BY_ITSELF.into(), who, None)),
                    Some(Err(why)) => self.refuse(now, looked, &format!("somebody has to look at it: {why}")),
                }
            }
            Err(why) => self.refuse(now, looked, &why),
        }
    }

    fn refuse(&mut self, now: Timestamp, looked: &[Looked], why: &str) -> Vec<Out> {
        let cause = looked.iter().find_map(|(_, answer)| match answer {
            Ok(Answer::May(false)) => Some(Cause::Forbidden),
            Err(fault) if why.contains(&fault.to_string()) => Some(Cause::of(fault)),
            _ => None,
        });
        self.cause = cause.unwrap_or(self.cause);
        // All have answered, and there is nothing to take back any more.
        let is_gone = self.confirmed.is_none() && looked.iter().all(|(_, answer)| answer.is_ok());
        let settled = if is_gone && self.cause == Cause::Judged { self.settled(now, why) } else { None };
        let mut outs = self.end(now, Outcome::Refused, why);
        outs.extend(settled);
        outs
    }

    pub(super) fn confirm(&mut self, now: Timestamp, confirmed: (String, Text, Option<String>)) -> Vec<Out> {
        self.say(now, format!("confirmed by {}", confirmed.0));
        self.confirmed = Some(confirmed);
        self.phase = Phase::Again;
        self.look()
    }

    /// What was offered must still be what would be sent. From here on the journal knows of it, whatever comes.
    pub(super) fn look_again(&mut self, now: Timestamp, looked: &[Looked]) -> Vec<Out> {
        self.looked_at = now;
        let judged = self.judge(looked);
        let offered = self.deal.clone();
        let before = std::mem::replace(&mut self.resource, objects(looked).map(|objects| objects.resource.clone()));
        let refusal = match (&judged, &offered) {
            (Err(why), _) => Some(why.clone()),
            // It was refused a moment ago, since the CR was newer: the operator writes its status, others what they want.
            (Ok(deal), _) if self.is_asked && !self.is_untouched(before.as_ref(), deal) => Some(CHANGED.to_owned()),
            _ if self.waits_for.is_some() => self.why_it_waits(),
            // Nobody has seen the lines: what they say counts, not whether they are the same.
            (Ok(deal), Some(offered)) if self.unattended.is_some() => {
                deal::other(offered, deal).or_else(|| deal.needs_nobody().err())
            }
            (Ok(deal), Some(offered)) => deal::changed(offered, deal),
            (Ok(_), None) => Some("nothing was offered".to_owned()),
        };
        if let Ok(deal) = judged {
            self.deal = Some(deal);
        }
        self.wanted = objects(looked).map(wanted);
        if let Some(why) = refusal {
            return self.refuse_as_asked(now, looked, &why);
        }
        if self.is_asked {
            return self.record(now, 0);
        }
        self.phase = Phase::Asking;
        vec![Out::Record(self.asked(now, self.deal.as_ref().is_some_and(Deal::patches)))]
    }

    /// Whether what is asked for, and what would be changed, is as it was.
    fn is_untouched(&self, before: Option<&Value>, deal: &Deal) -> bool {
        let now = self.resource.as_ref();
        let spec = |resource: Option<&Value>| resource.and_then(|resource| resource.get("spec")).cloned();
        let changes = |resource| deal.steps.iter().map(move |step| change::of(&step.order, resource));
        spec(before) == spec(now) && changes(before).eq(changes(now))
    }

    /// It was confirmed, and is not sent: the journal has both.
    pub(super) fn refuse_as_asked(&mut self, now: Timestamp, looked: &[Looked], why: &str) -> Vec<Out> {
        let asked = (!self.is_asked).then(|| Out::Note(self.asked(now, false)));
        asked.into_iter().chain(self.refuse(now, looked, why)).collect()
    }
}
