//! What the journal says of orders for a cluster that came before, whichever pgdeck gave them.

use jiff::Timestamp;
use serde_json::Value;

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
    /// The run that it has overridden: that one's claim does not stand in its way.
    pub despite: Option<Text>,
    /// When it was confirmed.
    pub at: Option<Timestamp>,
    /// The host of the pgdeck that gave it, where that is another one than this: whether it still runs cannot be told.
    pub host: Option<Text>,
}

impl Open {
    /// Reads the line of a journal that says that it was asked for, on the host of that name.
    pub fn read(asked: &Value, here: Option<&str>) -> Option<Open> {
        let text = |key: &str| asked[key].as_str().map(Text::from);
        Some(Open {
            run: text("run")?,
            action: text("action").unwrap_or_else(|| "an order".into()),
            patches: asked["patches"] == true,
            despite: text("despite"),
            at: asked["at"].as_str().and_then(|at| at.parse().ok()),
            // Lines of an older pgdeck name none: they are from here.
            host: text("host").filter(|host| here.is_some_and(|here| here != &**host)),
        })
    }

    /// Why another change of the CR is not sent meanwhile.
    pub fn why(&self) -> String {
        let why = "changes this cluster's CR, and has not ended: the operator may lose one of two changes";
        let (action, run) = (&self.action, &self.run);
        match &self.host {
            None => format!("{action} {why}; wait until it is proved (`pgdeck audit` has it as {run})"),
            Some(host) => format!(
                "{action}, given on host {host}, {why}; whether its pgdeck still runs cannot be told from here: wait until it is \
                 proved, or start pgdeck on {host}; if that is gone for good, `pgdeck audit --close {run}` ends the wait"
            ),
        }
    }
}

impl Past {
    /// The order, other than that run's, that changes the CR and has not ended.
    pub fn patching(&self, run: &str) -> Option<&Open> {
        let own = self.open.iter().find(|open| *open.run == *run);
        self.patching_but(run, own.and_then(|own| own.despite.as_deref()))
    }

    /// The same, but for one that is overridden.
    pub fn patching_but(&self, run: &str, despite: Option<&str>) -> Option<&Open> {
        self.open.iter().find(|open| open.patches && *open.run != *run && Some(&*open.run) != despite)
    }

    /// The lines of the preflight that it makes: somebody must say yes to what is unsettled, but for what this run settles.
    pub fn lights(&self, run: &str, settles: Option<&str>) -> Vec<Light> {
        let others = self.open.iter().filter(|open| *open.run != *run && Some(&*open.run) != settles);
        let mut lights: Vec<Light> = others
            .map(|open| {
                let given = open.host.as_ref().map(|host| format!(", given on host {host},")).unwrap_or_default();
                Light::amber(format!("{}{given} is under way on this cluster, and not proved yet", open.action))
            })
            .collect();
        if let Some((action, outcome)) = self.last.as_ref().filter(|(_, outcome)| &**outcome != "PROVED") {
            let text = format!("the last order on this cluster, {action}, ended {outcome}: look at it first (audit)");
            lights.push(Light::amber(text));
        }
        lights
    }
}
