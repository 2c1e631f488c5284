//! Verdicts on knowing: silent sources, and hosts that nobody has asked.

use super::{Judged, Needs, Rule, Scene, Severity, holds};
use crate::fleet::cluster::Origin;
use crate::fleet::hearing::Hearing;
use crate::fleet::known::Known;

pub(super) const SILENT: Rule = Rule {
    id: "source_silent",
    severity: Severity::Unknown,
    doc: "Its plane has not answered for three of its own intervals (watched: 10 s, polled: 30 s): what is on screen is old.",
    needs: Needs::Objects,
    judge: silent,
};

pub(super) const NOT_ASKED: Rule = Rule {
    id: "not_asked",
    severity: Severity::Unknown,
    doc: "Plain hosts tell by SQL alone, and none has answered yet.",
    needs: Needs::Sql,
    judge: not_asked,
};

pub(super) const COMING: Rule = Rule {
    id: "not_listed",
    severity: Severity::Unknown,
    doc: "Its pods, or Patroni's objects, have not been listed yet, or may not be.",
    needs: Needs::Objects,
    judge: coming,
};

fn coming(scene: &Scene<'_>) -> Judged {
    if scene.entry.cluster.coming { holds("its pods are not listed yet: sources tell why") } else { Judged::Fine }
}

fn silent(scene: &Scene<'_>) -> Judged {
    scene.hearing.and_then(Hearing::silent).map_or(Judged::Fine, holds)
}

fn not_asked(scene: &Scene<'_>) -> Judged {
    if scene.entry.cluster.origin != Origin::Hosts {
        return Judged::Fine;
    }
    let never = scene.entry.instances.values().all(|instance| matches!(instance.vitals, Known::Never(_)));
    if never { holds("no host has answered yet") } else { Judged::Fine }
}
