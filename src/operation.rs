//! Everything that changes the world, one row each. Keys, palette, help, `pgdeck do` and the README derive from the rows.
//!
//! A row says what it may be aimed at, what is looked at first, and makes of the answers what would be sent: see [`crate::run`].

mod answers;
mod archiving;
mod backup;
mod base_backup;
mod candidates;
mod guards;
mod hand_over;
mod known;
mod left_behind;
mod member;
mod operator;
mod patroni;
mod replay;
mod restart;
mod scale;
mod session;
mod shell;
mod slots;
mod stance;
mod succession;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use answers::{objects, view};
use stance::By;

use crate::fault::Fault;
use crate::fleet::cluster::Origin;
use crate::fleet::{Entry, topology};
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::run::{Aim, Consider, Looked};
use crate::work::entry::Light;
use crate::work::patroni::PatroniView;
use crate::work::probe::{Access, Answer, Objects, Probe};

/// One row.
#[derive(Debug)]
pub struct Operation {
    /// As on the command line, in the palette and in the journal.
    pub id: &'static str,
    pub title: &'static str,
    /// One sentence for the help.
    pub doc: &'static str,
    /// Default keys.
    pub keys: &'static [&'static str],
    pub on: On,
    pub confirm: Confirm,
    pub args: &'static [Arg],
    /// What proves it, for the help.
    pub proof: &'static str,
    /// How it is taken back, for the help.
    pub undo: &'static str,
    /// What it takes back: then it needs no arming, if this pgdeck was the one that did it.
    pub undoes: Option<Undone>,
    /// Cases that its orders can never meet, each with the reason: the tests are measured by it.
    pub never: &'static [Never],
    /// What stands in for the real thing where it is tested; none where nothing does.
    pub stands_in: Option<&'static str>,
    /// What it leads to is held under watch, and taken back.
    pub holds: bool,
    /// Whether it applies, and what is looked at first.
    pub aim: fn(&Entry, &Aim) -> Result<Vec<Probe>, String>,
    pub consider: Consider,
    /// Why it would change nothing now, by what is known of the cluster and the member; none if it might, or nobody knows. It
    /// greys, and refuses nothing: that is for what is looked at.
    pub moot: fn(&Entry, Option<&Text>) -> Option<String>,
}

/// An operation whose effect another one takes back.
#[derive(Debug, Clone, Copy)]
pub struct Undone {
    pub id: &'static str,
    /// Only where it was given that argument: otherwise its effect is over at once.
    pub with: Option<&'static str>,
    /// Whether it stands as it was ordered with these arguments, by what is known of the cluster; none if that does not tell.
    pub stands: fn(&Entry, &Args) -> Option<bool>,
    /// What tells one making of it from the next, where it reads the same.
    pub made: fn(&Entry) -> Option<Text>,
    /// When it is over by itself; none if it never is.
    pub until: fn(&Args) -> Option<Timestamp>,
}

/// The arguments of an order, by name.
type Args = BTreeMap<Text, Text>;

/// Nothing that is known speaks against it.
const NEVER_MOOT: fn(&Entry, Option<&Text>) -> Option<String> = |_, _| None;

/// A case of the tests that cannot arise, and why.
pub type Never = (&'static str, &'static str);

const NO_CONFLICT: Never = ("conflict", "nothing that it changes carries a version: the second look stands for it");
const NO_LEADER: Never = ("leader_changed", "it is about the CR alone, whoever leads");
const ANY_MEMBER: Never = ("leader_changed", "any member of Patroni takes it for all, whoever leads");
const ANY_ROLE: Never = ("leader_changed", "it does the same to a member that leads and to one that does not");
const WHOEVER_LEADS: Never = ("leader_changed", "it is done to whichever member leads when it is sent");
/// Of a CR.
const ON_RESOURCE: &[Never] = &[NO_LEADER];
/// Of a member, where who leads matters.
const ON_LEADER: &[Never] = &[NO_CONFLICT];

/// What it is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Cluster,
    Member,
    /// One member, or all of a cluster.
    Any,
    /// A backend in the activity view; on the command line a member and `pid=N`.
    Backend,
}

/// What the user must do to confirm it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// The key `y`, or `--yes`.
    Yes,
    /// The cluster's name, typed, or `--confirm NAME`.
    Name,
}

impl Confirm {
    /// As the lists name it.
    pub fn word(self) -> &'static str {
        match self {
            Confirm::Yes => "y",
            Confirm::Name => "name",
        }
    }
}

/// One argument.
#[derive(Debug)]
pub struct Arg {
    pub name: &'static str,
    /// One that reads.
    pub example: &'static str,
    pub doc: &'static str,
    pub required: bool,
}

/// All of them, in the order the help lists them.
pub const OPERATIONS: &[Operation] = &[
    scale::SCALE,
    succession::SWITCHOVER,
    succession::CANCEL_SWITCHOVER,
    succession::FAILOVER,
    restart::RESTART,
    member::REINITIALIZE,
    patroni::PAUSE,
    patroni::RESUME,
    member::RELOAD,
    replay::REPLAY_PAUSE,
    replay::REPLAY_RESUME,
    archiving::WAL_ARCHIVING,
    backup::LOGICAL_BACKUP,
    base_backup::BASE_BACKUP,
    operator::RECONCILE,
    operator::DETACH,
    operator::ATTACH,
    operator::DELETE,
    session::CANCEL,
    session::TERMINATE,
    shell::PSQL,
    shell::EXEC,
    shell::FORWARD,
];

/// The row of that id.
pub fn operation(id: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.id == id)
}

/// The row that takes back the effect of that one.
pub fn undoing(id: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.undoes.is_some_and(|undone| undone.id == id))
}

impl Operation {
    /// Reads `name=value` and bare words into arguments, by their order in the row.
    pub fn read(&self, words: &[String]) -> Result<BTreeMap<Text, Text>, String> {
        self.read_on(BTreeMap::new(), words)
    }

    /// The same, where some are known already.
    pub fn read_on(&self, mut args: BTreeMap<Text, Text>, words: &[String]) -> Result<BTreeMap<Text, Text>, String> {
        for word in words {
            let named = word.split_once('=').filter(|(name, _)| self.args.iter().any(|arg| arg.name == *name));
            let free = || self.args.iter().find(|arg| !args.contains_key(arg.name)).map(|arg| arg.name);
            let (name, value) = match named {
                Some((name, value)) => (name, value),
                None => (free().ok_or_else(|| format!("{} takes no argument {word:?}", self.usage()))?, word.as_str()),
            };
            args.insert(Text::from(name), Text::from(value));
        }
        match self.args.iter().find(|arg| arg.required && !args.contains_key(arg.name)) {
            Some(missing) => Err(format!("{} needs {}: {}", self.usage(), missing.name, missing.doc)),
            None => Ok(args),
        }
    }

    /// Whether its effect, with these arguments, stays until another operation takes it back.
    pub fn leaves(&self, args: &BTreeMap<Text, Text>) -> bool {
        let stays = |undone: Undone| undone.with.is_none_or(|arg| args.contains_key(arg));
        undoing(self.id).and_then(|other| other.undoes).is_some_and(stays)
    }

    /// How it is called: `scale INSTANCES`.
    pub fn usage(&self) -> String {
        let args = self.args.iter().map(|arg| {
            if arg.required { format!(" {}", arg.name.to_uppercase()) } else { format!(" [{}=…]", arg.name) }
        });
        std::iter::once(self.id.to_owned()).chain(args).collect()
    }
}

/// The operations as a table for the README.
pub fn table() -> String {
    let mut table = String::from("| keys | `pgdeck do` | what it does | confirmed by | proved by | taken back by |\n");
    table.push_str("|---|---|---|---|---|---|\n");
    for operation in OPERATIONS {
        let keys: Vec<String> = operation.keys.iter().map(|key| format!("`{key}`")).collect();
        let cells = [
            &keys.join(" "),
            &format!("`{}`", operation.usage()),
            operation.doc,
            operation.confirm.word(),
            operation.proof,
            operation.undo,
        ];
        table.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    table
}

/// Only clusters of an operator are operated by its CR and Patroni.
fn of_operator(entry: &Entry) -> Result<(), String> {
    match entry.cluster.origin {
        Origin::Resource => Ok(()),
        Origin::Orphan => Err("its CR is gone: there is nothing to operate it by".into()),
        Origin::Hosts => Err("plain hosts have no operator and no Patroni that pgdeck could ask".into()),
    }
}

/// A moment as sentences have it, to the second.
fn moment(at: Timestamp) -> String {
    at.strftime("%F %T UTC").to_string()
}

fn instance(aim: &Aim, member: &Text) -> InstanceId {
    InstanceId { cluster: aim.cluster.clone(), member: member.clone() }
}

/// The members whose Patroni is asked, the first that answers speaks for all: the primary and one more that runs, since either
/// may hang. One of which it is known that it does not answer is asked only where there is no other.
fn spokesmen(entry: &Entry) -> Result<Vec<Text>, String> {
    let primary = topology::primary(entry);
    let mut members: Vec<(u8, &Text)> = entry
        .cluster
        .members
        .iter()
        .filter(|member| primary == Some(&member.name) || member.pod.as_ref().is_some_and(|pod| pod.ready))
        .map(|member| {
            (if hangs(entry, &member.name) { 2 } else { u8::from(primary != Some(&member.name)) }, &member.name)
        })
        .collect();
    members.sort();
    if members.first().is_some_and(|(rank, _)| *rank < 2) {
        members.retain(|(rank, _)| *rank < 2);
    }
    members.truncate(2);
    if members.is_empty() {
        return Err("no member of it runs: there is no Patroni to ask".into());
    }
    Ok(members.into_iter().map(|(_, name)| name.clone()).collect())
}

/// Whether a member is known not to answer: its samples fail, or it leads and does not renew its lease.
fn hangs(entry: &Entry, member: &Text) -> bool {
    let fault = entry.instances.get(member).and_then(|instance| instance.vitals.fault());
    let fails = fault.is_some_and(|fault| matches!(fault, Fault::Unreachable { .. } | Fault::TimedOut { .. }));
    let leads = topology::primary(entry) == Some(member);
    fails || (leads && entry.health.verdicts.iter().any(|verdict| verdict.id == "leader_overdue"))
}

fn may(cluster: &ClusterId, verb: &'static str, group: &'static str, resource: &'static str) -> Probe {
    Probe::May { cluster: cluster.clone(), access: Access { verb, group, resource } }
}

/// What calls to Patroni take on Kubernetes.
fn may_forward(cluster: &ClusterId) -> Vec<Probe> {
    match cluster.plane {
        PlaneId::Kubernetes(_) => vec![may(cluster, "create", "", "pods/portforward")],
        PlaneId::Hosts => Vec::new(),
    }
}

/// Every right that was asked for is there; else the first that is missing, or why nobody knows.
fn allowed(looked: &[Looked]) -> Result<Light, String> {
    let mut rights = Vec::new();
    for (probe, answer) in looked {
        let Probe::May { access, .. } = probe else { continue };
        match answer {
            Ok(Answer::May(true)) => rights.push(access.to_string()),
            Ok(_) => return Err(format!("the right to {access} is missing; ask whoever grants rights there for it")),
            Err(fault) => return Err(format!("whether you may {access} cannot be found out: {fault}")),
        }
    }
    Ok(Light::green(match rights.len() {
        0 => "allowed by the server's own rules".to_owned(),
        _ => format!("allowed: {}", rights.join(", ")),
    }))
}
