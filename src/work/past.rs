//! What the journal says of orders for a cluster that came before, whichever pgdeck gave them.

use super::entry::Light;
use crate::id::Text;

/// What came before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Confirmed, and not ended: oldest first.
    pub open: Vec<Open>,
    /// The action of the last one that was sent and has ended, with its outcome; refusals and shells do not count.
    pub last: Option<(Text, Text)>,
}

/// An order that has not ended, as far as the journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub run: Text,
    pub action: Text,
    /// It changes the CR, or will: the operator may lose a second change meanwhile.
    pub patches: bool,
}

impl Open {
    /// Why another change of the CR is not sent meanwhile.
    pub fn why(&self) -> String {
        format!(
            "{} changes this cluster's CR, and has not ended: the operator may lose one of two changes; wait until it is proved \
             (`pgdeck audit` has it as {})",
            self.action, self.run
        )
    }
}

impl Past {
    /// The order, other than that run's, that changes the CR and has not ended.
    pub fn patching(&self, run: &str) -> Option<&Open> {
        self.open.iter().find(|open| open.patches && *open.run != *run)
    }

    /// The lines of the preflight that it makes: somebody must say yes to what is unsettled, but for what this run settles.
    pub fn lights(&self, run: &str, settles: Option<&str>) -> Vec<Light> {
        let others = self.open.iter().filter(|open| *open.run != *run && Some(&*open.run) != settles);
        let mut lights: Vec<Light> = others
            .map(|open| Light::amber(format!("{} is under way on this cluster, and not proved yet", open.action)))
            .collect();
        if let Some((action, outcome)) = self.last.as_ref().filter(|(_, outcome)| &**outcome != "PROVED") {
            let text = format!("the last order on this cluster, {action}, ended {outcome}: look at it first (audit)");
            lights.push(Light::amber(text));
        }
        lights
    }
}
