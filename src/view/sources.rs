//! Every source of data: how it stands, since when, what is wrong and what to do about it. What is wrong stands first.
//!
//! ```text
//!  prod             API server              LOST 2m10s   asked 3s ago
//!      prod cannot be reached: connection refused
//!      check the address, the network and that the server runs
//!  demo             pods, all namespaces    live
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, Reply, Subject, View};
use crate::action::{Deed, ViewId};
use crate::fault::Fault;
use crate::fleet::Standing;
use crate::fleet::seen::{Source, SourceState};
use crate::id::{ClusterId, InstanceId, PlaneId};
use crate::present::known::ago;
use crate::present::page::{Line, Span, cut, pad};
use crate::present::sources::state_word;
use crate::present::{Align, Tone, clean};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The sources, as one page.
#[derive(Debug, Default)]
pub struct SourcesView {
    page: Page<()>,
}

fn named(source: &Source) -> (String, String) {
    let (plane, what) = match source {
        Source::Plane { plane: plane @ PlaneId::Kubernetes(_) } => (plane, "API server".to_owned()),
        Source::Plane { plane: plane @ PlaneId::Hosts } => (plane, "hosts".to_owned()),
        Source::Kind { plane, kind, namespace: Some(namespace) } => (plane, format!("{kind} in {namespace}")),
        Source::Kind { plane, kind, namespace: None } => (plane, format!("{kind}, all namespaces")),
        Source::Instance { instance } => (&instance.cluster.plane, format!("SQL of {}", instance.member)),
        Source::Log { instance, container } => {
            (&instance.cluster.plane, format!("log of {}/{container}", instance.member))
        }
    };
    (clean(plane.context()).into_owned(), clean(&what).into_owned())
}

fn fault(standing: &Standing) -> Option<&Fault> {
    match &standing.state {
        SourceState::Lost { why } | SourceState::Limited { why } => Some(why),
        SourceState::Connecting | SourceState::Live { .. } | SourceState::Relisting => None,
    }
}

/// Whether it says that it lives, but its API server does not answer.
fn is_cut_off(state: &State, source: &Source, standing: &Standing) -> bool {
    let (Source::Kind { plane, .. }
    | Source::Log { instance: InstanceId { cluster: ClusterId { plane, .. }, .. }, .. }) = source
    else {
        return false;
    };
    let server = state.fleet.source(&Source::Plane { plane: plane.clone() });
    let lost = server.is_some_and(|server| matches!(server.state, SourceState::Lost { .. }));
    lost && matches!(standing.state, SourceState::Live { .. })
}

fn lines(state: &State, now: Timestamp) -> Vec<Line<()>> {
    let mut sources: Vec<_> = state.fleet.sources().collect();
    sources.sort_by_key(|(_, standing)| match &standing.state {
        SourceState::Lost { .. } => 0,
        SourceState::Limited { .. } => 1,
        SourceState::Connecting | SourceState::Relisting => 2,
        SourceState::Live { .. } => 3,
    });
    let mut lines = Vec::new();
    for (source, standing) in sources {
        let (plane, what) = named(source);
        let plane = pad(&cut(&plane, 16), 16, Align::Left);
        let what = pad(&cut(&what, 34), 34, Align::Left);
        let word = if is_cut_off(state, source, standing) {
            // Its last word is from before; nothing can come through now.
            Span { text: "cut off".into(), tone: Tone::Warn }
        } else {
            state_word(standing, now)
        };
        let told = format!("  told {}", ago(now.duration_since(standing.at)));
        let mut line = Line::blank().with(format!(" {plane} {what} "), Tone::Normal);
        line.spans.push(word);
        lines.push(line.with(told, Tone::Dim));
        if let Some(why) = fault(standing) {
            lines.push(Line::blank().with("     ", Tone::Normal).outside(&why.to_string(), Tone::Warn));
            lines.push(Line::blank().with("     what to do: ", Tone::Dim).outside(&why.remedy(), Tone::Normal));
        }
    }
    if lines.is_empty() {
        lines.push(Line::blank().with(" no source has been asked yet", Tone::Dim));
    }
    lines
}

impl View for SourcesView {
    fn id(&self) -> ViewId {
        ViewId::Sources
    }

    fn title(&self, _look: &Look<'_>) -> String {
        "sources".into()
    }

    fn subject(&self) -> Subject {
        Subject::Nothing
    }

    fn perform(&mut self, _look: &Look<'_>, deed: Deed) -> Reply {
        if self.page.perform(deed) { Reply::Done } else { Reply::NotMine }
    }

    fn filter(&self) -> &'static str {
        ""
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        Vec::new()
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        self.page.set(lines(look.state, look.now), area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        Some(look.now + SignedDuration::from_secs(1))
    }

    fn hints(&self) -> &'static [&'static str] {
        &["notices", "columns-right", "back"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::seen::Seen;

    #[test]
    fn what_is_watched_behind_a_lost_server_is_cut_off_whatever_it_said_last() {
        let plane = PlaneId::Kubernetes("prod".into());
        let pods = Source::Kind { plane: plane.clone(), kind: "pods".into(), namespace: None };
        let now = Timestamp::UNIX_EPOCH;
        let mut state = State::default();
        let mut tell = |source: Source, standing: SourceState| {
            state.fleet.apply(Seen::Source { source, state: standing, at: now }, now);
            lines(&state, now).iter().map(Line::text).find(|line| line.contains("pods")).unwrap_or_default()
        };
        assert!(tell(pods, SourceState::Live { polled: false }).contains("live"));
        let why = Fault::Unreachable { what: "the API server of prod".into(), why: "gone".into() };
        let text = tell(Source::Plane { plane }, SourceState::Lost { why });
        assert!(text.contains("cut off") && !text.contains("live"), "{text}");
    }
}
