//! Whether an order is still aimed at what it was aimed at when the key was pressed.

use super::offer::wanted;
use super::{Aim, Deal, Looked, Run};
use crate::fault::Fault;
use crate::fleet::cluster::Spec;
use crate::id::{InstanceId, PlaneId, Text};
use crate::work::entry::Light;
use crate::work::probe::{Answer, Probe};

/// How the cluster stood when the key was pressed, as far as the screen knew; nothing where there was no screen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shown {
    /// None where nobody was known to lead.
    pub primary: Option<Text>,
    pub timeline: Option<u32>,
    /// What the CR asked for: its resourceVersion grows with every word of the operator, too.
    pub spec: Option<Spec>,
}

/// Asks for it.
pub(super) fn probe(aim: &Aim) -> Probe {
    let leads = || InstanceId::whoever_leads(&aim.cluster);
    let member = aim.member.clone().map(|member| InstanceId { cluster: aim.cluster.clone(), member });
    Probe::Identity(member.unwrap_or_else(leads))
}

/// Adds the question where the others do not answer it: objects carry the CR's uid.
pub(super) fn with_it(mut probes: Vec<Probe>, aim: &Aim) -> Vec<Probe> {
    if !probes.iter().any(|probe| matches!(probe, Probe::Objects(_) | Probe::Identity(_))) {
        probes.push(probe(aim));
    }
    probes
}

/// What is there under that name, or why nobody knows.
fn found(looked: &[Looked]) -> Result<Option<&Text>, Option<&Fault>> {
    let mut why = None;
    for (probe, answer) in looked {
        match (probe, answer) {
            (_, Ok(Answer::Objects(objects))) => return Ok(objects.cluster.uid.as_ref()),
            (_, Ok(Answer::Identity(found))) => return Ok(found.as_ref()),
            (Probe::Identity(_) | Probe::Objects(_), Err(fault)) => why = Some(fault),
            _ => {}
        }
    }
    Err(why)
}

impl Run {
    /// A cluster that was deleted and made anew has another uid, and a host that was a new database since has another system
    /// identifier. The identifier of a host that nobody has sampled is the one it has when it is looked at first.
    pub(super) fn same_cluster(&mut self, looked: &[Looked]) -> Result<(), String> {
        let Ok(found) = found(looked) else { return Ok(()) };
        if self.aim.uid.is_none() && self.aim.cluster.plane == PlaneId::Hosts {
            self.aim.uid = found.cloned();
        }
        if self.aim.uid.as_ref() == found {
            return Ok(());
        }
        Err(format!("{}; aim again", self.another()))
    }

    /// Why the effect of what was sent before cannot be seen on what is there now: it is another one, as far as anybody knows.
    pub(super) fn why_it_shows_nothing(&self, looked: &[Looked]) -> Option<String> {
        let found = found(looked).ok()??;
        let is_another = self.aim.uid.as_ref().is_some_and(|uid| uid != found);
        is_another.then(|| format!("{}: what was sent cannot be seen on it", self.another()))
    }

    fn another(&self) -> &'static str {
        match self.aim.cluster.plane {
            PlaneId::Hosts => "it is another database by now: its system identifier is not the one it had",
            PlaneId::Kubernetes(_) => "it is another cluster by now: the one of that name was deleted and made anew",
        }
    }

    /// The line that is due where another member leads than the screen showed, or the same one on another timeline. It stands
    /// against orders that are done to whoever leads. What the screen did not show is compared with nothing.
    pub(super) fn moved(&self, deal: &Deal, looked: &[Looked]) -> Option<Light> {
        let leader = looked.iter().find_map(|(_, answer)| match answer {
            Ok(Answer::Patroni(view)) => view.leader(),
            _ => None,
        })?;
        let Shown { primary: Some(primary), timeline, .. } = &self.shown else { return None };
        let is_on_another = timeline.zip(leader.timeline).is_some_and(|(shown, now)| shown != now);
        if *primary == leader.name && !is_on_another {
            return None;
        }
        let on =
            |timeline: Option<u32>| timeline.map_or_else(String::new, |timeline| format!(" on timeline {timeline}"));
        let text = format!(
            "the screen showed {primary} as primary{} when the key was pressed; now {} leads{}: look again",
            on(*timeline),
            leader.name,
            on(leader.timeline)
        );
        let is_done_to_leader = deal.steps.iter().any(|step| step.expect.is_about_leader());
        Some(if is_done_to_leader { Light::red(text) } else { Light::amber(text) })
    }

    /// The line that is due where the CR that is to be changed asks for something else than when the key was pressed.
    pub(super) fn rewritten(&self, deal: &Deal, looked: &[Looked]) -> Option<Light> {
        let shown = self.shown.spec.as_ref().filter(|_| deal.patches())?;
        let now = looked.iter().find_map(|(_, answer)| match answer {
            Ok(Answer::Objects(objects)) => Some(wanted(objects)),
            _ => None,
        })?;
        (now != Spec { changed: None, ..shown.clone() })
            .then(|| Light::amber("the CR has been changed since the key was pressed: look again"))
    }

    /// The line that is due where that cannot be told: it stands against the order, but not where a right is missing, nothing
    /// is changed, or something is taken back.
    pub(super) fn unknown_identity(&self, deal: &Deal, looked: &[Looked]) -> Option<Light> {
        let Err(why) = found(looked) else { return None };
        let why = why.map_or_else(|| "it was not asked".to_owned(), |why| format!("{why}; {}", why.remedy()));
        let text = format!("whether it is still what it was when you aimed at it cannot be told: {why}");
        let is_right_missing = matches!(self::found(looked), Err(Some(Fault::Forbidden { .. })));
        let bears_it = is_right_missing || deal.is_look() || self.takes_back.is_some();
        Some(if bears_it { Light::amber(text) } else { Light::red(text) })
    }
}
