//! Everything a key, the palette or a command line can do. One row per action; help, hints and the palette derive from it.

use crate::operation::{OPERATIONS, On, Operation};

/// The views, by name. `view::VIEWS` has a row for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViewId {
    Fleet,
    Cluster,
    Instance,
    Activity,
    Logs,
    Events,
    Manifest,
    Orders,
    Sources,
    Notices,
    Help,
}

/// What can be done.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    pub id: &'static str,
    /// As the palette and the hints show it.
    pub title: &'static str,
    /// One sentence for the help.
    pub doc: &'static str,
    /// Default keys, each a chord or a sequence of chords parted by spaces.
    pub keys: &'static [&'static str],
    pub on: Scope,
    pub does: Deed,
}

/// Where an action applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Everywhere,
    /// Any view with rows or lines: all of them.
    Rows,
    /// These views alone.
    In(&'static [ViewId]),
}

impl Scope {
    /// Whether it applies in that view.
    pub fn holds_in(self, view: ViewId) -> bool {
        match self {
            Scope::Everywhere | Scope::Rows => true,
            Scope::In(views) => views.contains(&view),
        }
    }
}

/// What an action does. None of these changes anything but the screen: an operation is looked at and offered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Move(Motion),
    /// Opens what the cursor is on: a cluster, an instance.
    Enter,
    /// Opens a view on the subject under the cursor.
    Open(ViewId),
    Back,
    /// Leaves an inner view; from the fleet, leaves pgdeck.
    Leave,
    /// Leaves pgdeck at once.
    Quit,
    Palette,
    Filter,
    ClearFilter,
    /// Sorts by the next column, or turns the order around.
    SortNext,
    SortReverse,
    /// Shows only what needs somebody.
    ProblemsOnly,
    /// Marks the cursor's row, or no more: an order is then for all marked rows.
    Mark,
    /// Marks no row any more.
    Unmark,
    /// Copies the cursor's row as a kubectl or psql command.
    Copy,
    /// Scrolls columns sideways.
    ColumnsLeft,
    ColumnsRight,
    /// Keeps the newest line in sight (logs, events).
    Follow,
    /// Wraps long lines.
    Wrap,
    /// Next kind of the view's content (logs of one or all members, YAML of CR or pod).
    Cycle,
    Redraw,
    Suspend,
    /// Lets orders through for a while, or no more.
    Arm,
    /// Looks at what an operation would do to the subject, and offers it.
    Operate(&'static str),
}

/// A movement of the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    Up,
    Down,
    PageUp,
    PageDown,
    HalfUp,
    HalfDown,
    Top,
    Bottom,
}

const fn row(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    keys: &'static [&'static str],
    on: Scope,
    does: Deed,
) -> Action {
    Action { id, title, doc, keys, on, does }
}

/// The row of an operation.
const fn order(operation: &Operation) -> Action {
    let on = match operation.on {
        On::Cluster | On::Any => OF_CLUSTER,
        On::Member => OF_MEMBER,
        On::Backend => In(&[ViewId::Activity]),
    };
    row(operation.id, operation.title, operation.doc, operation.keys, on, Deed::Operate(operation.id))
}

use Deed::{Move, Open};
use Scope::{Everywhere, In, Rows};

const FLEET: Scope = In(&[ViewId::Fleet]);
/// Views whose cursor is on a cluster or a part of one.
const OF_CLUSTER: Scope = In(&[
    ViewId::Fleet,
    ViewId::Cluster,
    ViewId::Instance,
    ViewId::Activity,
    ViewId::Logs,
    ViewId::Events,
    ViewId::Manifest,
]);
/// Views whose cursor may be on a member.
const OF_MEMBER: Scope = In(&[ViewId::Cluster, ViewId::Instance, ViewId::Activity, ViewId::Logs, ViewId::Manifest]);
const FILTERED: Scope =
    In(&[ViewId::Fleet, ViewId::Activity, ViewId::Logs, ViewId::Events, ViewId::Manifest, ViewId::Notices]);
const OPENING: Scope = In(&[ViewId::Fleet, ViewId::Cluster]);

/// All actions, in the order the help lists them: every operation has its row between the two tables.
pub static ACTIONS: &[Action] = &{
    let mut all = [BEFORE[0]; BEFORE.len() + OPERATIONS.len() + AFTER.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < BEFORE.len() {
            BEFORE[at]
        } else if at < BEFORE.len() + OPERATIONS.len() {
            order(&OPERATIONS[at - BEFORE.len()])
        } else {
            AFTER[at - BEFORE.len() - OPERATIONS.len()]
        };
        at += 1;
    }
    all
};

/// What looks, moves and arms.
const BEFORE: &[Action] = &[
    row("up", "up", "Moves the cursor up.", &["up", "k"], Rows, Move(Motion::Up)),
    row("down", "down", "Moves the cursor down.", &["down", "j"], Rows, Move(Motion::Down)),
    row("page-up", "page up", "Moves a page up.", &["pageup", "ctrl-b"], Rows, Move(Motion::PageUp)),
    row("page-down", "page down", "Moves a page down.", &["pagedown", "ctrl-f"], Rows, Move(Motion::PageDown)),
    row("half-up", "half page up", "Moves half a page up.", &["ctrl-u"], Rows, Move(Motion::HalfUp)),
    row("half-down", "half page down", "Moves half a page down.", &["ctrl-d"], Rows, Move(Motion::HalfDown)),
    row("top", "top", "Moves to the first row.", &["home", "g g"], Rows, Move(Motion::Top)),
    row("bottom", "bottom", "Moves to the last row.", &["end", "G"], Rows, Move(Motion::Bottom)),
    row("columns-left", "columns left", "Scrolls the columns to the left.", &["left", "h"], Rows, Deed::ColumnsLeft),
    row(
        "columns-right",
        "columns right",
        "Scrolls the columns to the right.",
        &["right", "l"],
        Rows,
        Deed::ColumnsRight,
    ),
    row("enter", "open", "Opens what the cursor is on.", &["enter"], OPENING, Deed::Enter),
    row(
        "filter",
        "filter",
        "Filters rows: text, column:value, and ! before either to exclude.",
        &["/"],
        FILTERED,
        Deed::Filter,
    ),
    row("sort", "sort", "Sorts by the next column.", &["s"], FLEET, Deed::SortNext),
    row("sort-reverse", "reverse order", "Turns the sort order around.", &["S"], FLEET, Deed::SortReverse),
    row("problems", "problems only", "Shows only rows that need somebody.", &["!"], FLEET, Deed::ProblemsOnly),
    row(
        "mark",
        "mark",
        "Marks the row, or no more: an order is then for all marked clusters, one after the other.",
        &["space"],
        FLEET,
        Deed::Mark,
    ),
    row("unmark", "unmark all", "Takes every mark away.", &["u"], FLEET, Deed::Unmark),
    row("copy", "copy", "Copies the row as a kubectl or psql command.", &["c"], OF_CLUSTER, Deed::Copy),
    row(
        "cluster",
        "cluster",
        "Opens the cluster: topology, pods, verdicts, history.",
        &["d"],
        OF_CLUSTER,
        Open(ViewId::Cluster),
    ),
    row(
        "instance",
        "instance",
        "Opens the instance: everything sampled, with ages.",
        &["i"],
        OF_CLUSTER,
        Open(ViewId::Instance),
    ),
    row(
        "activity",
        "activity",
        "Opens the activity of the instance: running, waiting, blockers.",
        &["a"],
        OF_CLUSTER,
        Open(ViewId::Activity),
    ),
    row("logs", "logs", "Follows the logs of the member, or of all members.", &["L"], OF_CLUSTER, Open(ViewId::Logs)),
    row(
        "events",
        "events",
        "Opens events, status moves and failovers as one timeline.",
        &["e"],
        OF_CLUSTER,
        Open(ViewId::Events),
    ),
    row("yaml", "YAML", "Shows the cluster's or pod's object as YAML.", &["y"], OF_CLUSTER, Open(ViewId::Manifest)),
    row(
        "sources",
        "sources",
        "Shows every source of data, how it stands, and what to do.",
        &["o"],
        Everywhere,
        Open(ViewId::Sources),
    ),
    row(
        "orders",
        "orders",
        "Lists the orders of this session, and what came of them.",
        &["O"],
        Everywhere,
        Open(ViewId::Orders),
    ),
    row(
        "arm",
        "arm",
        "Lets orders through for a while (`armed_minutes`) for the context under the cursor; again: no more.",
        &["W"],
        Everywhere,
        Deed::Arm,
    ),
];

/// What is about the view, and leaving it.
const AFTER: &[Action] = &[
    row(
        "follow",
        "follow",
        "Keeps the newest line in sight.",
        &["f"],
        In(&[ViewId::Logs, ViewId::Events]),
        Deed::Follow,
    ),
    row("wrap", "wrap", "Wraps long lines.", &["w"], In(&[ViewId::Logs]), Deed::Wrap),
    row(
        "cycle",
        "next kind",
        "Goes on to the next kind of content of this view.",
        &["tab"],
        In(&[ViewId::Logs, ViewId::Manifest]),
        Deed::Cycle,
    ),
    row("palette", "palette", "Opens the command palette.", &[":", "ctrl-p"], Everywhere, Deed::Palette),
    row("notices", "notices", "Shows all notices of this session.", &["N"], Everywhere, Open(ViewId::Notices)),
    row("help", "help", "Lists keys, columns and verdicts.", &["?"], Everywhere, Open(ViewId::Help)),
    row("back", "back", "Goes back; clears a filter first.", &["esc", "backspace"], Everywhere, Deed::Back),
    row("redraw", "redraw", "Draws the whole screen again.", &["ctrl-l"], Everywhere, Deed::Redraw),
    row(
        "suspend",
        "suspend",
        "Puts pgdeck in the background (fg brings it back).",
        &["ctrl-z"],
        Everywhere,
        Deed::Suspend,
    ),
    row("quit", "quit", "Leaves an inner view; from the fleet, leaves pgdeck.", &["q"], Everywhere, Deed::Leave),
    row("quit-now", "quit now", "Leaves pgdeck at once.", &["ctrl-c"], Everywhere, Deed::Quit),
];

/// The actions that apply in a view.
pub fn actions_in(view: ViewId) -> impl Iterator<Item = &'static Action> {
    ACTIONS.iter().filter(move |action| action.on.holds_in(view))
}

/// The actions with their default keys as a table for the README.
pub fn table() -> String {
    let rows = ACTIONS.iter().map(|action| {
        let keys: Vec<String> = action.keys.iter().map(|key| format!("`{key}`")).collect();
        format!("| {} | `{}` | {} |\n", keys.join(" "), action.id, action.doc)
    });
    std::iter::once("| keys | action | what it does |\n|---|---|---|\n".to_owned()).chain(rows).collect()
}

/// The action of that id.
pub fn action(id: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_has_one_id_a_sentence_and_a_key() {
        let ids: BTreeSet<_> = ACTIONS.iter().map(|action| action.id).collect();
        assert_eq!(ids.len(), ACTIONS.len());
        for action in ACTIONS {
            assert!(action.doc.ends_with('.') && !action.title.is_empty(), "{}", action.id);
            assert!(!action.keys.is_empty(), "{}", action.id);
        }
        for operation in OPERATIONS {
            assert!(ids.contains(operation.id), "{} has no row", operation.id);
            assert!(operation.keys.iter().all(|key| !key.contains("ctrl")), "no ctrl key changes anything");
        }
    }
}
