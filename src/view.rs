//! What the screen shows: each view is a projection of the state with a cursor of its own.

pub mod activity;
pub mod cluster;
pub mod events;
pub mod filter;
pub mod fleet;
pub mod help;
pub mod instance;
pub mod logs;
pub mod manifest;
pub mod notices;
pub mod orders;
pub mod sources;

use std::fmt;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::action::{Deed, ViewId};
use crate::fleet::seen::Seen;
use crate::id::{ClusterId, InstanceId, PlaneId};
use crate::keymap::Keymap;
use crate::metric::{self, SurveyId};
use crate::present::Cell;
use crate::state::State;
use crate::theme::Theme;
use crate::work::order;
use crate::work::want::Want;

/// What the cursor is on: the thing an action would be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Nothing,
    Cluster(ClusterId),
    Instance(InstanceId),
    Backend(InstanceId, i32),
}

impl Subject {
    /// The cluster it is or belongs to.
    pub fn cluster(&self) -> Option<&ClusterId> {
        match self {
            Subject::Nothing => None,
            Subject::Cluster(cluster) => Some(cluster),
            Subject::Instance(instance) | Subject::Backend(instance, _) => Some(&instance.cluster),
        }
    }

    /// As titles name it; empty for nothing.
    pub fn shown(&self) -> String {
        match self {
            Subject::Nothing => String::new(),
            Subject::Cluster(cluster) => cluster.to_string(),
            Subject::Instance(instance) => instance.to_string(),
            Subject::Backend(instance, pid) => format!("{instance} pid {pid}"),
        }
    }

    /// The instance, if it is or belongs to one.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Subject::Nothing | Subject::Cluster(_) => None,
            Subject::Instance(instance) | Subject::Backend(instance, _) => Some(instance),
        }
    }
}

/// What a view answers to a deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Not this view's business; the screen decides.
    NotMine,
    /// Open that view on that subject.
    Open(ViewId, Subject),
    /// Copy this text.
    Copy(String),
    /// Say this.
    Say(String),
}

/// What a view needs to look at the world.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub state: &'a State,
    pub now: Timestamp,
    pub theme: &'a Theme,
    pub keymap: &'a Keymap,
}

/// One view. It holds a cursor and what it needs to draw fast, never facts of its own, except streams it asked for
/// (logs, manifests), which [`View::take`] gives it.
pub trait View: fmt::Debug + Send {
    fn id(&self) -> ViewId;

    /// Its part of the breadcrumb, cleaned.
    fn title(&self, look: &Look<'_>) -> String;

    /// What stands at the right of the breadcrumb: how much of how much is in sight, say.
    fn note(&self) -> String {
        String::new()
    }

    /// What is wrong with what the cursor is on, in one line; it stands where notices stand while there is none.
    fn remark(&self, _look: &Look<'_>) -> Option<Cell> {
        None
    }

    /// What the cursor is on.
    fn subject(&self) -> Subject;

    /// The clusters that are marked, where rows can be.
    fn marked(&self) -> Vec<ClusterId> {
        Vec::new()
    }

    /// Carries out a deed on its rows.
    fn perform(&mut self, look: &Look<'_>, deed: Deed) -> Reply;

    /// The filter in force, as typed; empty if none or where a view has no filter.
    fn filter(&self) -> &str;

    /// Sets the filter. An error says what in it cannot be read; the old filter stays.
    fn set_filter(&mut self, _look: &Look<'_>, _filter: &str) -> Result<(), String> {
        Err("this view has no filter".into())
    }

    /// What it needs from the world while it is on top.
    fn wants(&self, state: &State) -> Vec<Want>;

    /// Takes in streams that it asked for. True if a visible cell changed.
    fn take(&mut self, _seen: &Seen) -> bool {
        false
    }

    /// Catches up with the state before drawing into `area`; the only place where rows are sorted, filtered and windowed.
    fn refresh(&mut self, look: &Look<'_>, area: Rect);

    /// Draws; whatever is outside `area` is not its business.
    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer);

    /// When a visible cell will change though nothing is seen (an age, say).
    fn next_change(&self, _look: &Look<'_>) -> Option<Timestamp> {
        None
    }

    /// The actions worth a hint at the bottom, by id, most useful first.
    fn hints(&self) -> &'static [&'static str];
}

/// One row of the registry: a view, what it is for, and how it is opened.
#[derive(Debug)]
pub struct Row {
    pub id: ViewId,
    pub name: &'static str,
    /// One sentence for help and README.
    pub doc: &'static str,
    /// None if the view cannot show that subject.
    pub open: fn(&Subject) -> Option<Box<dyn View>>,
}

/// All views.
pub static VIEWS: &[Row] = &[
    Row {
        id: ViewId::Fleet,
        name: "fleet",
        doc: "One row per cluster over all contexts and hosts, what needs you first.",
        open: |_| Some(Box::new(fleet::FleetView::default())),
    },
    Row {
        id: ViewId::Cluster,
        name: "cluster",
        doc: "One cluster: verdicts with evidence, topology, pods, failovers, backups, services, volumes.",
        open: cluster::open,
    },
    Row {
        id: ViewId::Instance,
        name: "instance",
        doc: "Everything sampled from one server: role, WAL, replication, slots, archiving, sizes, each with its age.",
        open: instance::open,
    },
    Row {
        id: ViewId::Activity,
        name: "activity",
        doc: "What runs on one server: blockers with their waiters, open transactions, progress of long commands.",
        open: activity::open,
    },
    Row {
        id: ViewId::Logs,
        name: "logs",
        doc: "Container logs of one or all members, followed across restarts; `/` includes and excludes.",
        open: logs::open,
    },
    Row {
        id: ViewId::Events,
        name: "events",
        doc: "One timeline of a cluster: Kubernetes events, the operator's status words, failovers, verdicts.",
        open: events::open,
    },
    Row {
        id: ViewId::Manifest,
        name: "yaml",
        doc: "The cluster's object or one of its pods as YAML.",
        open: manifest::open,
    },
    Row {
        id: ViewId::Orders,
        name: "orders",
        doc: "Orders of this session: what was asked, what has been seen, what is awaited, how it ended.",
        open: |_| Some(Box::new(orders::OrdersView::default())),
    },
    Row {
        id: ViewId::Sources,
        name: "sources",
        doc: "Every source of data: how it stands, since when, what is wrong with it and what to do.",
        open: |_| Some(Box::new(sources::SourcesView::default())),
    },
    Row {
        id: ViewId::Notices,
        name: "notices",
        doc: "All notices of this session; errors stay here after they have left the line.",
        open: |_| Some(Box::new(notices::NoticesView::default())),
    },
    Row {
        id: ViewId::Help,
        name: "help",
        doc: "Keys as they are bound now, columns, verdicts, figures.",
        open: |_| Some(Box::new(help::HelpView::about(ViewId::Fleet))),
    },
];

/// The views as a table for the README.
pub fn table() -> String {
    let rows = VIEWS.iter().map(|row| format!("| {} | {} |\n", row.name, row.doc));
    std::iter::once("| view | what it shows |\n|---|---|\n".to_owned()).chain(rows).collect()
}

/// Wishes for surveys of one instance, each on its own period.
pub fn survey_wants(instance: &InstanceId, surveys: impl IntoIterator<Item = SurveyId>) -> Vec<Want> {
    let want = |survey| Want::Survey { instance: instance.clone(), survey, every: metric::survey(survey).every };
    surveys.into_iter().map(want).collect()
}

/// A command that opens psql there, without any password.
pub fn psql(state: &State, instance: &InstanceId) -> String {
    let entry = state.fleet.get(&instance.cluster);
    let address = entry.and_then(|entry| entry.cluster.member(&instance.member)?.address.clone());
    match &instance.cluster.plane {
        PlaneId::Kubernetes(context) => format!(
            "kubectl --context {} -n {} exec -it {} -c postgres -- psql -U postgres",
            quoted(context),
            quoted(&instance.cluster.namespace),
            quoted(&instance.member)
        ),
        PlaneId::Hosts => {
            let address = address.unwrap_or_else(|| instance.member.clone());
            let (host, port) = address.rsplit_once(':').unwrap_or((&address, "5432"));
            format!("psql -h {} -p {}", quoted(host), quoted(port))
        }
    }
}

/// The text as one word of a POSIX shell, without control characters.
pub fn quoted(text: &str) -> String {
    order::quoted(&crate::present::clean(text))
}
