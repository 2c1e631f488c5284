//! The fleet: one row per cluster over all contexts and hosts, what needs you first.
//!
//! ```text
//!  HEALTH↓    NAME               READY PRIMARY               LAG STATUS       ›
//! >● critical acid-shop            0/3 none                    – Running
//!  ▲ warning  acid-billing         2/3 acid-billing-1   48.0 MiB Updating
//!  ○ ok       acid-orders          3/3 acid-orders-0    ~1.2 KiB Running
//! ```

mod roster;

use std::collections::BTreeSet;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::filter::Filter;
use super::{Look, Reply, Subject, View, psql, survey_wants};
use crate::action::{Deed, Motion, ViewId};
use crate::fleet::cluster::Role;
use crate::fleet::seen::{Source, SourceState};
use crate::fleet::{Entry, Fleet, health, topology};
use crate::id::{ClusterId, InstanceId, PlaneId};
use crate::metric::{Asked, SURVEYS};
use crate::present::columns::{self, COLUMNS, FROZEN};
use crate::present::{Cell, Tone, clean};
use crate::state::State;
use crate::widget::cursor::{Cursor, Keyed};
use crate::widget::table::{self, Column, Frame, Order};
use crate::work::want::Want;
use roster::Roster;

/// At most this many instances are sampled for rows in sight, from the top.
const SAMPLED: usize = 150;

/// The rows in order, and a cursor on them.
#[derive(Debug, Default)]
pub struct FleetView {
    roster: Roster,
    cursor: Cursor<ClusterId>,
    /// Rows that an order is for, all of them.
    marked: BTreeSet<ClusterId>,
    /// Columns scrolled to the right.
    shift: usize,
    /// The columns that are chosen, as numbers of the registry and as the table wants them.
    chosen: Vec<usize>,
    columns: Vec<Column>,
}

impl FleetView {
    fn next_column(&mut self) {
        let chosen = &self.chosen;
        self.roster.set(|rule| {
            let at = chosen.iter().position(|column| *column == rule.column).map_or(0, |at| at + 1);
            rule.column = chosen.get(at).or(chosen.first()).copied().unwrap_or(0);
            let worse = COLUMNS[rule.column].greater_is_worse;
            rule.order = if worse { Order::Descending } else { Order::Ascending };
        });
    }

    /// The instance that a row stands for: the primary, or any member.
    fn instance(&self, fleet: &Fleet) -> Option<InstanceId> {
        let cluster = self.cursor.selected()?;
        let entry = fleet.get(cluster)?;
        let any = || entry.cluster.members.first().map(|member| &member.name);
        let member = topology::primary(entry).or_else(any)?.clone();
        Some(InstanceId { cluster: cluster.clone(), member })
    }

    /// What to say where there is no row.
    fn absence(&self, fleet: &Fleet) -> (String, Tone) {
        if !fleet.is_empty() {
            let rule = self.roster.rule();
            let what = match (rule.problems_only, rule.filter.is_empty()) {
                (true, true) => "no cluster needs you; ! shows all again".to_owned(),
                (_, false) => format!("no cluster matches {:?}; esc clears the filter", rule.filter.text()),
                (false, true) => "no cluster".to_owned(),
            };
            return (what, Tone::Dim);
        }
        let planes = || fleet.sources().filter(|(source, _)| matches!(source, Source::Plane { .. }));
        if planes().any(|(_, standing)| matches!(standing.state, SourceState::Lost { .. })) {
            return ("no cluster is known, and a source does not answer: see its error above, or o".into(), Tone::Warn);
        }
        if planes().count() > 0 && planes().all(|(_, standing)| matches!(standing.state, SourceState::Live { .. })) {
            return ("there are no clusters here; is this the right context and namespace?".into(), Tone::Normal);
        }
        ("waiting for the first answer…".into(), Tone::Dim)
    }
}

/// The columns as the table wants them: the context stands back where there is but one.
fn columns(fleet: &Fleet, chosen: &[usize]) -> Vec<Column> {
    let planes = fleet.sources().filter(|(source, _)| matches!(source, Source::Plane { .. })).count();
    let priority = |column: &columns::Column| match column.id {
        "context" if planes > 1 => 35,
        "context" => u8::MAX,
        _ => column.priority,
    };
    chosen
        .iter()
        .map(|idx| &COLUMNS[*idx])
        .map(|column| Column {
            title: column.title,
            width: column.width,
            most: column.most,
            priority: priority(column),
            align: column.align,
            cut: column.cut,
        })
        .collect()
}

/// A row's cell. A stale row's mark is `!` in place of its severity's, and all but the health is dimmed.
fn cell(entry: &Entry, column: usize, now: Timestamp) -> Cell {
    let mut cell = (COLUMNS[column].cell)(entry, now);
    match COLUMNS[column].id {
        "health" if entry.stale => cell.text = format!("! {}", entry.health.severity.word()).into(),
        "health" | "age" => {}
        _ if entry.stale => cell.tone = Tone::Dim,
        _ => {}
    }
    cell
}

/// What a row shows from SQL: everything of the primary, vitals and replication of the standbys.
fn wants_of<'a>(id: &'a ClusterId, entry: &'a Entry) -> impl Iterator<Item = Vec<Want>> + 'a {
    let primary = topology::primary(entry);
    entry.cluster.members.iter().map(move |member| {
        let instance = InstanceId { cluster: id.clone(), member: member.name.clone() };
        let standby = primary.is_some_and(|primary| *primary != member.name) && member.role() == Role::Standby;
        let asked = move |asked: Asked| match asked {
            Asked::Everywhere => true,
            Asked::OnPrimary => !standby,
            Asked::OnDemand => false,
        };
        survey_wants(&instance, SURVEYS.iter().filter(|survey| asked(survey.asked)).map(|survey| survey.id))
    })
}

impl View for FleetView {
    fn id(&self) -> ViewId {
        ViewId::Fleet
    }

    fn title(&self, _look: &Look<'_>) -> String {
        if self.roster.rule().problems_only { "fleet, problems only".into() } else { "fleet".into() }
    }

    fn note(&self) -> String {
        match self.marked.len() {
            0 => self.cursor.position(),
            n => format!("{n} marked  {}", self.cursor.position()),
        }
    }

    fn remark(&self, look: &Look<'_>) -> Option<Cell> {
        let entry = look.state.fleet.get(self.cursor.selected()?)?;
        let (worst, others) = entry.health.verdicts.split_first()?;
        let more = if others.is_empty() { String::new() } else { format!(" (+{} more)", others.len()) };
        let text = format!("{}{more}: {}", entry.cluster.id.name, health::reason(worst));
        Some(Cell::outside(&text, Tone::Dim))
    }

    fn subject(&self) -> Subject {
        self.cursor.selected().map_or(Subject::Nothing, |id| Subject::Cluster(id.clone()))
    }

    fn marked(&self) -> Vec<ClusterId> {
        self.marked.iter().cloned().collect()
    }

    fn perform(&mut self, look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            Deed::Move(motion) => self.cursor.motion(&self.roster, motion),
            Deed::Mark => {
                if let Some(id) = self.cursor.selected().cloned()
                    && !self.marked.remove(&id)
                {
                    self.marked.insert(id);
                }
                self.cursor.motion(&self.roster, Motion::Down);
            }
            Deed::Unmark => self.marked.clear(),
            Deed::ColumnsLeft => self.shift = self.shift.saturating_sub(1),
            Deed::ColumnsRight => self.shift = (self.shift + 1).min(table::most_shift(self.chosen.len(), FROZEN)),
            Deed::SortNext => self.next_column(),
            Deed::SortReverse => self.roster.set(|rule| rule.order = rule.order.reversed()),
            Deed::ProblemsOnly => self.roster.set(|rule| rule.problems_only = !rule.problems_only),
            Deed::Enter => return Reply::Open(ViewId::Cluster, self.subject()),
            Deed::Open(id @ (ViewId::Instance | ViewId::Activity)) => {
                return match (self.instance(&look.state.fleet), self.cursor.selected()) {
                    (Some(instance), _) => Reply::Open(id, Subject::Instance(instance)),
                    (None, Some(cluster)) => Reply::Say(format!("{} has no member yet", clean(&cluster.name))),
                    (None, None) => Reply::NotMine,
                };
            }
            Deed::Copy => {
                return match (self.cursor.selected(), self.instance(&look.state.fleet)) {
                    (Some(cluster), Some(instance)) if cluster.plane == PlaneId::Hosts => {
                        Reply::Copy(psql(look.state, &instance))
                    }
                    (Some(cluster), _) => Reply::Copy(super::cluster::get(cluster)),
                    (None, _) => Reply::Say("there is no row to copy".into()),
                };
            }
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &str {
        self.roster.rule().filter.text()
    }

    fn set_filter(&mut self, _look: &Look<'_>, filter: &str) -> Result<(), String> {
        let filter = Filter::parse(filter, &columns::names())?;
        self.roster.set(|rule| rule.filter = filter);
        Ok(())
    }

    fn wants(&self, state: &State) -> Vec<Want> {
        let in_sight = self.roster.slice(self.cursor.window());
        let entries = in_sight.filter_map(|id| Some((id, state.fleet.get(id)?)));
        entries.flat_map(|(id, entry)| wants_of(id, entry)).take(SAMPLED).flatten().collect()
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        self.roster.catch_up(&look.state.fleet, look.now);
        // What is gone is nobody's subject.
        self.marked.retain(|id| look.state.fleet.get(id).is_some());
        self.cursor.settle(&self.roster, area.height.saturating_sub(1));
        // An unknown name was refused at the start.
        self.chosen = columns::chosen(&look.state.settings.columns).unwrap_or_default();
        self.columns = columns(&look.state.fleet, &self.chosen);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        let layout = table::layout(&self.columns, FROZEN, self.shift, area.width);
        let window = self.cursor.window();
        let rule = self.roster.rule();
        let is_marked = |(n, id): (usize, &ClusterId)| self.marked.contains(id).then_some(n);
        let marked: Vec<usize> = self.roster.slice(window.clone()).enumerate().filter_map(is_marked).collect();
        let frame = Frame {
            columns: &self.columns,
            layout: &layout,
            sort: self.chosen.iter().position(|column| *column == rule.column).map(|at| (at, rule.order)),
            selected: self.cursor.selected().map(|_| self.cursor.at() - window.start),
            marked: &marked,
        };
        let rows = self.roster.slice(window).filter_map(|id| look.state.fleet.get(id));
        let cell = |entry: &&Entry, column: usize| cell(entry, self.chosen[column], look.now);
        table::draw(&frame, rows, cell, look.theme, (area, buffer));
        if self.roster.is_empty() && area.height > 2 {
            let (text, tone) = self.absence(&look.state.fleet);
            buffer.set_stringn(area.x, area.y + 2, format!(" {text}"), usize::from(area.width), look.theme.style(tone));
        }
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        let in_sight = self.roster.slice(self.cursor.window()).filter_map(|id| look.state.fleet.get(id));
        in_sight.filter_map(|entry| columns::next_change(entry, look.now)).min()
    }

    fn hints(&self) -> &'static [&'static str] {
        &["enter", "filter", "problems", "sort", "palette", "help", "quit", "copy", "sources"]
    }
}
