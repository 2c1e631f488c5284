//! What is aimed at what, and what is offered for it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::expect::Expect;
use crate::id::{ClusterId, InstanceId, Text};
use crate::metric::lsn::Bytes;
use crate::work::entry::{Colour, Light};
use crate::work::order::Order;

/// What an order is aimed at, as it stood when the key was pressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Aim {
    pub cluster: ClusterId,
    pub uid: Option<Text>,
    pub member: Option<Text>,
    /// As they were typed, by name.
    pub args: BTreeMap<Text, Text>,
    /// When it was aimed.
    pub at: Timestamp,
    /// The user of the operating system.
    pub who: Text,
}

/// What is offered after looking: the lines of the preflight, and exactly what would be sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deal {
    pub lights: Vec<Light>,
    pub steps: Vec<Step>,
    /// What it takes to go back.
    pub undo: String,
    /// Who is cut off for how long.
    pub downtime: String,
    /// The cluster's name must be typed to confirm it.
    pub by_name: bool,
    /// What the steps lead to is held for a while, and taken back.
    pub hold: Option<Hold>,
    /// Who must lead whenever a step after the first is sent.
    pub led_by: Option<Text>,
    /// What may be lost for good by it, or touches what others do: it is not done where nobody is there to be asked.
    pub asks: Option<String>,
}

/// A state that is held under watch. It ends when its budget is spent, somebody asks, or somebody else ends it; then the steps
/// back are carried out, whatever becomes of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// The standby whose replay is paused.
    pub instance: InstanceId,
    /// It ends after so many seconds,
    pub for_s: u32,
    /// or when so much WAL waits for replay.
    pub max_lag: Bytes,
    pub back: Vec<Step>,
}

impl Deal {
    /// The worst line.
    pub fn colour(&self) -> Colour {
        self.lights.iter().map(|light| light.colour).max().unwrap_or(Colour::Green)
    }

    /// Whether it may be done where nobody is there to be asked, or why not.
    pub fn needs_nobody(&self) -> Result<(), String> {
        let red = self.lights.iter().find(|light| light.colour == Colour::Red).map(|light| light.text.clone());
        let name = self.by_name.then(|| "the cluster's name must be typed".to_owned());
        red.or_else(|| self.asks.clone()).or(name).map_or(Ok(()), Err)
    }

    /// Whether nothing is changed by it itself.
    pub fn is_look(&self) -> bool {
        self.steps.iter().all(|step| step.order.is_look())
    }

    /// Whether it changes the cluster's CR, of whose changes the operator may lose all but the last; its end is one.
    pub fn patches(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.order, Order::Patch { .. } | Order::Delete { .. }))
    }

    /// Whether it deletes the cluster: that waits for no other change where somebody says so, since the other may never end.
    pub fn deletes(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.order, Order::Delete { .. }))
    }
}

/// One order with the effect that proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub order: Order,
    pub expect: Expect,
    /// It must be seen within so many seconds.
    pub within_s: u32,
}

impl Step {
    /// What is waited for, and for how long.
    pub fn awaited(&self) -> String {
        match self.within_s {
            0 => self.expect.awaited(),
            within_s => format!("{} (at most {within_s} s)", self.expect.awaited()),
        }
    }
}

/// Why what would be sent is not what was offered; none if it is.
pub(super) fn other(offered: &Deal, deal: &Deal) -> Option<String> {
    if offered.hold != deal.hold {
        return Some("what would be taken back has changed since it was shown".into());
    }
    let same = |(one, other): (&Step, &Step)| {
        one.order.is_same_but_for_version(&other.order) && one.expect.is_same(&other.expect)
    };
    if offered.steps.len() != deal.steps.len() || !offered.steps.iter().zip(&deal.steps).all(same) {
        return Some("what would be sent has changed since it was shown".into());
    }
    None
}

/// The same; none only if nothing got worse either.
pub(super) fn changed(offered: &Deal, deal: &Deal) -> Option<String> {
    if let Some(why) = other(offered, deal) {
        return Some(why);
    }
    let count = |deal: &Deal, colour| deal.lights.iter().filter(|light| light.colour == colour).count();
    // Who overrides a red line has not seen a second one.
    let is_worse = deal.colour() > offered.colour() || count(deal, Colour::Red) > count(offered, Colour::Red);
    is_worse.then(|| {
        let worst = deal.lights.iter().filter(|light| light.colour == deal.colour());
        let why: Vec<&str> = worst.map(|light| &*light.text).collect();
        format!("it has changed since it was shown: {}", why.join("; "))
    })
}
