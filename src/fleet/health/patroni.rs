//! Verdicts on Patroni itself: pauses, scheduled switchovers, failsafe.

use super::leader::{Renewal, lease};
use super::{Judged, Needs, Rule, Scene, Severity, holds};

pub(super) const PAUSED: Rule = Rule {
    id: "patroni_paused",
    severity: Severity::Warning,
    doc: "Patroni is paused for the whole cluster: there is no automatic failover until it is resumed.",
    needs: Needs::Objects,
    judge: paused,
};

pub(super) const SWITCHOVER: Rule = Rule {
    id: "switchover_scheduled",
    severity: Severity::Warning,
    doc: "A switchover is scheduled; connections will break then.",
    needs: Needs::Objects,
    judge: switchover,
};

pub(super) const FAILSAFE: Rule = Rule {
    id: "failsafe",
    severity: Severity::Warning,
    doc: "The leader cannot renew its lease, but failsafe mode keeps it a primary as long as it sees its standbys.",
    needs: Needs::Objects,
    judge: failsafe,
};

pub(super) const HELD: Rule = Rule {
    id: "replay_held",
    severity: Severity::Warning,
    doc: "A pgdeck has paused replay of a standby, and Patroni with it, for a while. If its time is over that pgdeck was cut \
          off: replay-resume on that member ends it.",
    needs: Needs::Objects,
    judge: held,
};

fn held(scene: &Scene<'_>) -> Judged {
    let config = scene.entry.cluster.dcs.as_ref().and_then(|dcs| dcs.config.as_ref());
    let Some(held) = config.and_then(|config| config.held.as_ref()) else { return Judged::Fine };
    let since =
        held.since.map_or_else(|| "an unknown time".to_owned(), |since| since.strftime("%F %T UTC").to_string());
    let text = format!("{} has paused replay of {} since {since}, for {} s", held.who, held.member, held.for_s);
    if held.is_over(scene.now) {
        return holds(format!("{text}: its time is over, end it (replay-resume)"));
    }
    holds(text)
}

fn paused(scene: &Scene<'_>) -> Judged {
    let config = scene.entry.cluster.dcs.as_ref().and_then(|dcs| dcs.config.as_ref());
    match config {
        Some(config) if config.pause => holds("Patroni is paused: no automatic failover"),
        _ => Judged::Fine,
    }
}

fn switchover(scene: &Scene<'_>) -> Judged {
    let Some(switchover) = scene.entry.cluster.dcs.as_ref().and_then(|dcs| dcs.switchover.as_ref()) else {
        return Judged::Fine;
    };
    let word = |name: &Option<crate::id::Text>, none: &str| name.as_deref().unwrap_or(none).to_owned();
    let (from, to) = (word(&switchover.from, "the primary"), word(&switchover.to, "any standby"));
    match &switchover.at {
        Some(at) => holds(format!("a switchover from {from} to {to} is scheduled for {at}")),
        None => holds(format!("a switchover from {from} to {to} is asked for")),
    }
}

fn failsafe(scene: &Scene<'_>) -> Judged {
    let Some(dcs) = &scene.entry.cluster.dcs else { return Judged::Fine };
    let enabled = dcs.config.as_ref().is_some_and(|config| config.failsafe == Some(true));
    let (Some(leader), true) = (&dcs.leader, enabled) else { return Judged::Fine };
    let writes = scene.vitals(leader).is_some_and(|vitals| !vitals.in_recovery);
    if writes && matches!(lease(scene), Renewal::Overdue) {
        return holds(format!("{leader} takes writes without a lease: failsafe mode keeps it"));
    }
    Judged::Fine
}
