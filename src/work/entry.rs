//! What the journal keeps of an order: who asked for what, what was looked at before, what was sent, and what came of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::order::Order;
use super::past::Open;
use crate::id::{ClusterId, Text};

/// The version of a line's shape: fields are added within it, never changed.
pub const SCHEMA: u32 = 1;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub schema: u32,
    pub at: Timestamp,
    /// The run that the line belongs to: the same in all of its lines.
    pub run: Text,
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum What {
    /// It was confirmed; on disk before anything is sent.
    Asked(Box<Asked>),
    /// The order of a step, of so many, is about to be sent; `expect` is what proves it.
    Sending { step: usize, of: usize, order: Order, expect: Value },
    /// It was answered, or not; `untouched`: the object itself said that nothing was changed by it.
    Answered {
        step: usize,
        answer: Option<String>,
        fault: Option<String>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        untouched: bool,
    },
    /// The end.
    Ended {
        outcome: &'static str,
        evidence: Vec<String>,
        /// From the order to its proof; none where nobody watched.
        took_ms: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        settled: Option<Settled>,
    },
}

/// The pgdeck that gave the order did not see its end: another one has settled it later.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settled {
    /// When it was sent; none if it was not, or nobody knows.
    pub sent_at: Option<Timestamp>,
}

impl What {
    /// The end that another pgdeck than its own has written.
    pub fn settled(outcome: &'static str, evidence: Vec<String>, sent_at: Option<Timestamp>) -> What {
        What::Ended { outcome, evidence, took_ms: None, settled: Some(Settled { sent_at }) }
    }
}

impl Entry {
    /// The cluster whose CR this line claims for its run alone: the operator may lose one of two changes.
    pub fn claims(&self) -> Option<&ClusterId> {
        match &self.what {
            What::Asked(asked) => Some(&asked.cluster).filter(|_| asked.patches),
            What::Sending { order: Order::Patch { cluster, .. } | Order::Delete { cluster, .. }, .. } => Some(cluster),
            What::Sending { .. } | What::Answered { .. } | What::Ended { .. } => None,
        }
    }

    /// Whether it is the end of an order that another pgdeck has given.
    pub fn settles(&self) -> bool {
        matches!(self.what, What::Ended { settled: Some(_), .. })
    }

    /// The run whose claim does not stand in its way.
    pub fn despite(&self) -> Option<&Text> {
        if let What::Asked(asked) = &self.what { asked.despite.as_ref() } else { None }
    }
}

/// Why a line is not in the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// It cannot be written, and what helps.
    #[error("{0}")]
    Broken(String),
    /// Another run has claimed what this one would change.
    #[error("{}", Open::why(.0))]
    Taken(Open),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// The user of the operating system.
    pub who: Text,
    pub action: &'static str,
    pub cluster: ClusterId,
    /// The CR's uid, or the system identifier of plain hosts.
    pub uid: Option<Text>,
    pub member: Option<Text>,
    /// Who led, and on which timeline, as the screen showed it when the key was pressed; none where there was no screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    pub args: BTreeMap<Text, Text>,
    pub preflight: Vec<Light>,
    /// How it was confirmed: `y`, `--yes`, the name that was typed.
    pub confirm: String,
    pub reason: Option<String>,
    pub undo: String,
    /// It changes the CR, or will: until it has ended no other may.
    pub patches: bool,
    /// The run that claims the CR already, and was overridden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub despite: Option<Text>,
}

/// One line of a preflight, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Light {
    pub colour: Colour,
    pub text: String,
}

/// What a line of a preflight means for the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// As it should be.
    Green,
    /// Somebody must say yes to it.
    Amber,
    /// The order is refused.
    Red,
}

impl Light {
    pub fn green(text: impl Into<String>) -> Self {
        Light { colour: Colour::Green, text: text.into() }
    }

    pub fn amber(text: impl Into<String>) -> Self {
        Light { colour: Colour::Amber, text: text.into() }
    }

    pub fn red(text: impl Into<String>) -> Self {
        Light { colour: Colour::Red, text: text.into() }
    }
}
