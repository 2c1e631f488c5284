//! Orders of this session: those that are offered, under way, and over; and what may be changed at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use globset::Glob;
use jiff::Timestamp;

use crate::id::{ClusterId, PlaneId, Text};
use crate::operation::undoing;
pub use crate::run::LeftOver;
use crate::run::{Deal, Out, Outcome, Run};

/// At most so many that are over are kept.
const KEPT: usize = 200;

/// What is armed on its own: a context, or one group of plain hosts.
pub type Scope = Text;

/// The scope that a cluster belongs to.
pub fn scope(cluster: &ClusterId) -> Scope {
    match &cluster.plane {
        PlaneId::Kubernetes(context) => context.clone(),
        PlaneId::Hosts => Text::from(format!("hosts:{}", cluster.name)),
    }
}

/// Whether a scope is marked as protected, by its name or a pattern.
pub fn is_protected(protected: &[String], scope: &str) -> bool {
    let name = scope.strip_prefix("hosts:").unwrap_or(scope);
    protected.iter().any(|pattern| {
        // What is no pattern is a name.
        let matches = |glob: Glob| glob.compile_matcher().is_match(name);
        pattern == name || Glob::new(pattern).is_ok_and(matches)
    })
}

/// All orders of this session, by their ids, which grow with time.
#[derive(Debug, Default)]
pub struct Ledger {
    runs: BTreeMap<Text, Run>,
    /// What may be changed, until when.
    armed: BTreeMap<Scope, Timestamp>,
    /// What a pgdeck that was cut off has left.
    left_over: Vec<LeftOver>,
    /// What stands by the journal though the pgdeck that made it has ended: told once its cluster is in sight.
    standing: Vec<Standing>,
    /// What other pgdecks have left, and was told of.
    told: BTreeSet<Told>,
    /// When that was looked for: the fleet's generation, and the time.
    pub looked_for_left: Option<(u64, i64)>,
    /// Runs of one answer: each is confirmed when the one before it is proved. The first is under way.
    queue: VecDeque<Text>,
}

/// What follows an order of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It was none of them.
    Elsewhere,
    Next(Text),
    /// It was the last.
    Over,
    /// It was not proved, and these were to follow.
    Broken(Vec<Text>),
}

/// What another pgdeck has left: where, on which member, since when.
pub type Told = (ClusterId, Text, Option<Timestamp>);

/// Something that stays as an order made it until another order ends it, whoever runs meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub action: Text,
    pub cluster: ClusterId,
    pub member: Option<Text>,
    /// As it was ordered.
    pub args: BTreeMap<Text, Text>,
    /// When the order ended.
    pub since: Timestamp,
    /// Its effect was seen then.
    pub proved: bool,
    /// Its effect was seen then, and what stands now is that for sure.
    pub ours: bool,
    /// The action that ends it.
    pub ended_by: &'static str,
}

impl Standing {
    /// What stands, since when, and the command that ends it.
    pub fn told(&self) -> String {
        let member = self.member.as_ref().map(|member| format!("/{member}")).unwrap_or_default();
        let target = format!("{}{member}", self.cluster);
        let stays = if self.proved { "stays" } else { "may stand" };
        format!(
            "{} of {target} {stays}, since {}; pgdeck do {} {target} --write ends it",
            self.action,
            self.since.strftime("%F %T UTC"),
            self.ended_by
        )
    }
}

impl Ledger {
    /// Takes in a new one.
    pub fn put(&mut self, run: Run) {
        if self.runs.len() >= KEPT {
            let over = self.runs.iter().find(|(_, run)| run.outcome().is_some()).map(|(id, _)| id.clone());
            over.and_then(|id| self.runs.remove(&id));
        }
        self.runs.insert(run.id.clone(), run);
    }

    /// Forgets one of which nothing was sent.
    pub fn withdraw(&mut self, id: &str) {
        if self.runs.get(id).is_some_and(|run| !run.is_under_way() && run.outcome().is_none()) {
            self.runs.remove(id);
        }
    }

    /// The same, unless its turn is still to come.
    pub fn withdraw_unless_queued(&mut self, id: &str) {
        if !self.queue.iter().any(|queued| **queued == *id) {
            self.withdraw(id);
        }
    }

    /// The one of that id.
    pub fn get(&self, id: &str) -> Option<&Run> {
        self.runs.get(id)
    }

    /// The one of that id.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Run> {
        self.runs.get_mut(id)
    }

    /// Newest first.
    pub fn all(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().rev()
    }

    /// Those that are sent and not proved yet.
    pub fn under_way(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.is_under_way())
    }

    /// These are confirmed one after the other, the first at once.
    pub fn line_up(&mut self, runs: impl IntoIterator<Item = Text>) {
        self.queue.extend(runs);
    }

    /// Whether those of another answer are under way or wait for their turn.
    pub fn has_line(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What follows one of them. If it was not proved none does: those that are left leave the line.
    pub fn next_in_line(&mut self, id: &str, proved: bool) -> Line {
        if self.queue.front().is_none_or(|first| **first != *id) {
            return Line::Elsewhere;
        }
        self.queue.pop_front();
        match self.queue.front() {
            None => Line::Over,
            Some(next) if proved => Line::Next(next.clone()),
            Some(_) => Line::Broken(self.queue.drain(..).collect()),
        }
    }

    /// Those that wait for their turn are not sent any more.
    pub fn dissolve_line(&mut self) {
        for run in std::mem::take(&mut self.queue) {
            self.withdraw(&run);
        }
    }

    /// What is held now, or about to be.
    pub fn holding(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.is_holding())
    }

    /// Takes in what a pgdeck before this one has left.
    pub fn inherit(&mut self, left: LeftOver) {
        if !self.was_cut_off(&left.run) {
            self.left_over.push(left);
        }
    }

    /// Takes in what stands by the journal.
    pub fn note_standing(&mut self, standing: Vec<Standing>) {
        self.standing = standing;
    }

    /// Takes out the first of them that `is_due`.
    pub fn take_standing(&mut self, is_due: impl FnMut(&Standing) -> bool) -> Option<Standing> {
        let due = self.standing.iter().position(is_due)?;
        Some(self.standing.remove(due))
    }

    /// What the orders of this session leave behind when it ends, and nothing takes back now.
    pub fn staying(&self) -> impl Iterator<Item = Standing> {
        self.runs.values().filter_map(|run| {
            let row = undoing(run.action)?;
            let (ended_by, is_told_by_args) = (row.id, row.undoes.is_some_and(|undone| undone.with.is_some()));
            let is_sure = is_told_by_args || (run.seen_standing && !run.touched);
            let (cluster, member) = (&run.aim.cluster, run.aim.member.as_ref());
            let is_on_its_way = |other: &Run| other.is_under_way() && other.has_sent();
            let ends = |other: &Run| other.action == ended_by && other.aim.cluster == *cluster && is_on_its_way(other);
            let is_left = self.left_by(run.action, ended_by, cluster, member).is_some_and(|left| left == run.id)
                && !self.runs.values().any(ends);
            is_left.then(|| Standing {
                action: run.action.into(),
                cluster: cluster.clone(),
                member: member.cloned(),
                args: run.aim.args.clone(),
                since: run.lines.last().map_or(run.began, |line| line.at),
                proved: run.outcome() == Some(Outcome::Proved),
                ours: run.outcome() == Some(Outcome::Proved) && is_sure,
                ended_by,
            })
        })
    }

    /// Whether something is being taken back, or can only be once it is proved; or is about to end.
    pub fn takes_back(&self) -> bool {
        let begins = |run: &Run| (run.unattended.is_some() && run.outcome().is_none()) || run.is_being_cut_short();
        let goes_on = |run: &Run| run.is_under_way() && (run.is_holding() || run.leaves || run.takes_back.is_some());
        self.runs.values().any(|run| begins(run) || goes_on(run))
    }

    /// Whether it is being ended, or was begun to be by itself.
    pub fn is_seen_to(&self, standing: &Standing) -> bool {
        let is_there = |run: &Run| run.aim.cluster == standing.cluster && run.aim.member == standing.member;
        let ends = |run: &Run| run.action == standing.ended_by && (run.unattended.is_some() || run.is_under_way());
        self.runs.values().any(|run| ends(run) && is_there(run))
    }

    /// Nothing more of any run is sent but what takes back. Gives what is to be done for each.
    pub fn cut_short(&mut self, now: Timestamp) -> Vec<(Text, Vec<Out>)> {
        self.dissolve_line();
        let cut_short = self.runs.values_mut().map(|run| (run.id.clone(), run.cut_short(now)));
        cut_short.filter(|(_, outs)| !outs.is_empty()).collect()
    }

    /// What is to be told when the session ends: what was taken back just now, what was not seen to its end, and what stays.
    pub fn last_words(&self) -> Vec<String> {
        let target = |run: &Run| match &run.aim.member {
            Some(member) => format!("{}/{member}", run.aim.cluster),
            None => run.aim.cluster.to_string(),
        };
        let of_runs = self.runs.values().filter_map(|run| {
            let (action, target) = (run.action, target(run));
            let last = run.lines.last().map(|line| &*line.text).unwrap_or_default();
            match run.outcome() {
                Some(outcome) if run.unattended.is_some() || run.was_cut_short() => {
                    Some(format!("{action} of {target}: {}: {last}", outcome.word()))
                }
                None if run.is_holding() => {
                    Some(format!("{action} of {target} was not taken back ({last}): the next start offers to"))
                }
                None if run.is_under_way() && run.has_sent() => Some(format!(
                    "{action} of {target} was not seen to its end ({last}): the next start looks for its effect"
                )),
                Some(_) | None => None,
            }
        });
        of_runs.chain(self.staying().map(|standing| standing.told())).collect()
    }

    /// What the user has not been asked about.
    pub fn left_over(&mut self) -> impl Iterator<Item = &mut LeftOver> {
        self.left_over.iter_mut().filter(|left| !left.asked)
    }

    /// Whether the user was told of that before.
    pub fn has_told(&self, left: &Told) -> bool {
        let of_ours = |ours: &LeftOver| ours.cluster == left.0 && ours.member.as_ref() == Some(&left.1);
        self.told.contains(left) || self.left_over.iter().any(of_ours)
    }

    /// The user is told of it.
    pub fn tell(&mut self, left: Told) {
        self.told.insert(left);
    }

    /// The run of that action whose effect on the subject stands: by this pgdeck, or by one that was cut off. None if it was
    /// taken back since.
    pub fn left_by(&self, action: &str, takes_back: &str, cluster: &ClusterId, member: Option<&Text>) -> Option<Text> {
        if let Some(run) = self.last_of(action, takes_back, cluster, member) {
            return (run.action == action && run.leaves && !run.has_taken_back()).then(|| run.id.clone());
        }
        let old = self
            .left_over
            .iter()
            .find(|left| *left.action == *action && left.cluster == *cluster && left.member.as_ref() == member);
        old.map(|left| left.run.clone())
    }

    /// The last order of this session that made it so, or took it back.
    fn last_of(&self, action: &str, takes_back: &str, cluster: &ClusterId, member: Option<&Text>) -> Option<&Run> {
        let about = |run: &&Run| run.aim.cluster == *cluster && run.aim.member.as_ref() == member;
        let mine = self.runs.values().rev().filter(about);
        // What did not take it back leaves it as it was.
        let is_over = |run: &&Run| match run.outcome() {
            Some(outcome) if run.action == takes_back => outcome == Outcome::Proved,
            outcome => outcome.is_some_and(|outcome| outcome != Outcome::Refused),
        };
        mine.filter(|run| run.action == action || run.action == takes_back).find(is_over)
    }

    /// Whether that run was cut off, and nobody has settled it since.
    pub fn was_cut_off(&self, run: &str) -> bool {
        self.left_over.iter().any(|left| *left.run == *run)
    }

    /// It is settled.
    pub fn disown(&mut self, run: &str) {
        self.left_over.retain(|left| *left.run != *run);
    }

    /// Runs that are over, and have left something.
    pub fn leaving(&mut self) -> impl Iterator<Item = &mut Run> {
        self.runs.values_mut().filter(|run| run.leaves && run.outcome().is_some())
    }

    /// The action of another order that changes the cluster's CR, and is not proved yet.
    pub fn patching(&self, cluster: &ClusterId, id: &str) -> Option<&'static str> {
        let others =
            self.runs.values().filter(|run| run.aim.cluster == *cluster && *run.id != *id && run.is_under_way());
        others.filter(|run| run.deal.as_ref().is_some_and(Deal::patches)).map(|run| run.action).next()
    }

    /// The action of another order for the cluster that is under way: the newest.
    pub fn under_way_on(&self, cluster: &ClusterId, id: &str) -> Option<&'static str> {
        let others = self.runs.values().rev().filter(|run| run.aim.cluster == *cluster && *run.id != *id);
        others.filter(|run| run.is_under_way()).map(|run| run.action).next()
    }

    /// Lets a scope be changed until then.
    pub fn arm(&mut self, scope: Scope, until: Timestamp) {
        self.armed.insert(scope, until);
    }

    /// The scope may not be changed any more.
    pub fn disarm(&mut self, scope: &str) {
        self.armed.remove(scope);
    }

    /// Until when the scope may be changed; none if it may not.
    pub fn armed(&self, scope: &str, now: Timestamp) -> Option<Timestamp> {
        self.armed.get(scope).copied().filter(|until| *until > now)
    }

    /// What may be changed now, with its end.
    pub fn armed_now(&self, now: Timestamp) -> impl Iterator<Item = (&Scope, Timestamp)> {
        self.armed.iter().map(|(scope, until)| (scope, *until)).filter(move |(_, until)| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_protect_contexts_and_groups_of_hosts() {
        let protected = ["prod-*".to_owned(), "oldprod".to_owned(), "arn:aws:eks:eu-1:1:cluster/x".to_owned()];
        for scope in ["prod-eu", "hosts:oldprod", "oldprod", "arn:aws:eks:eu-1:1:cluster/x"] {
            assert!(is_protected(&protected, scope), "{scope}");
        }
        assert!(!is_protected(&protected, "staging") && !is_protected(&[], "prod-eu"));
    }
}
