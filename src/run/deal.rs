//! What is aimed at what, and what is offered for it.

use std::collections::BTreeMap;

use super::expect::Expect;
use crate::id::{ClusterId, Text};
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
}

/// What is offered after looking: the lines of the preflight, and exactly what would be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Deal {
    pub lights: Vec<Light>,
    pub steps: Vec<Step>,
    /// What it takes to go back.
    pub undo: String,
    /// Who is cut off for how long.
    pub downtime: String,
    /// The cluster's name must be typed to confirm it.
    pub by_name: bool,
}

impl Deal {
    /// The worst line.
    pub fn colour(&self) -> Colour {
        self.lights.iter().map(|light| light.colour).max().unwrap_or(Colour::Green)
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

/// Why what would be sent is not what was offered; none if it is, and nothing got worse.
pub(super) fn changed(offered: &Deal, deal: &Deal) -> Option<String> {
    let same =
        |(one, other): (&Step, &Step)| one.order.is_same_but_for_version(&other.order) && one.expect == other.expect;
    if offered.steps.len() != deal.steps.len() || !offered.steps.iter().zip(&deal.steps).all(same) {
        return Some("what would be sent has changed since it was shown".into());
    }
    if deal.colour() <= offered.colour() {
        return None;
    }
    let worst = deal.lights.iter().filter(|light| light.colour == deal.colour());
    let why: Vec<&str> = worst.map(|light| &*light.text).collect();
    Some(format!("it has changed since it was shown: {}", why.join("; ")))
}
