//! Container logs of one or all members of a cluster, followed across restarts.
//!
//! ```text
//!  all 3 members · following · Patroni's log (Postgres logs to files in the pod)
//!  acid-shop-0 12:00:01 INFO: no action. I am (acid-shop-0), the leader with the lock
//!  acid-shop-1 12:00:02 INFO: no action. I am (acid-shop-1), a secondary
//! ```

use std::collections::VecDeque;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::filter::Filter;
use super::{Look, Reply, Subject, View, quoted};
use crate::action::{Deed, Motion, ViewId};
use crate::fleet::seen::{LogLine, Seen, Source, SourceState};
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::present::page::Line;
use crate::present::{Tone, clean};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// At most this many lines are kept; older ones go.
const KEPT: usize = 10_000;
/// A longer line is cut.
const LONGEST: usize = 4_000;

/// The container that runs Patroni and Postgres in every pod of the operator.
const CONTAINER: &str = "postgres";

/// The logs of a cluster.
#[derive(Debug)]
pub struct LogsView {
    cluster: ClusterId,
    members: Vec<Text>,
    /// Which member is shown; none shows all.
    only: Option<Text>,
    rows: VecDeque<Row>,
    /// Sequence numbers of the rows that the filter keeps, ascending.
    shown: VecDeque<u64>,
    next: u64,
    dropped: u64,
    filter: Filter,
    follow: bool,
    wrap: bool,
    /// Index into `shown` of the first row in sight, when not following.
    first: usize,
    height: usize,
    shift: usize,
    page: Page<()>,
}

#[derive(Debug)]
struct Row {
    seq: u64,
    member: Text,
    at: Option<Timestamp>,
    text: String,
}

/// Opens it on one member or on all members of a cluster.
pub fn open(subject: &Subject) -> Option<Box<dyn View>> {
    let cluster = subject.cluster()?.clone();
    let only = subject.instance().map(|instance| instance.member.clone());
    Some(Box::new(LogsView {
        cluster,
        members: Vec::new(),
        only,
        rows: VecDeque::new(),
        shown: VecDeque::new(),
        next: 0,
        dropped: 0,
        filter: Filter::default(),
        follow: true,
        wrap: false,
        first: 0,
        height: 1,
        shift: 0,
        page: Page::default(),
    }))
}

impl LogsView {
    fn push(&mut self, member: &Text, line: &LogLine) {
        if self.is_known(member, line) {
            return;
        }
        if self.rows.len() == KEPT
            && let Some(oldest) = self.rows.pop_front()
            && self.shown.front() == Some(&oldest.seq)
        {
            self.shown.pop_front();
            self.first = self.first.saturating_sub(1);
        }
        let row = Row { seq: self.next, member: member.clone(), at: line.at, text: shown(&line.text) };
        self.next += 1;
        if self.keeps(&row) {
            self.shown.push_back(row.seq);
        }
        self.rows.push_back(row);
    }

    /// Whether it stands here already: a log that is opened anew begins with its last lines.
    fn is_known(&self, member: &Text, line: &LogLine) -> bool {
        let Some(at) = line.at else { return false };
        let known = self.rows.iter().rev().filter(|row| row.member == *member && row.at.is_some());
        let mut not_older = known.take_while(|row| row.at >= Some(at));
        not_older.any(|row| row.at == Some(at) && row.text == shown(&line.text))
    }

    fn keeps(&self, row: &Row) -> bool {
        self.only.as_ref().is_none_or(|only| *only == row.member)
            && self.filter.keeps(&[("member", &row.member), ("", &row.text)])
    }

    fn filter_again(&mut self) {
        self.shown = self.rows.iter().filter(|row| self.keeps(row)).map(|row| row.seq).collect();
        self.first = self.first.min(self.shown.len().saturating_sub(self.height));
    }

    fn row(&self, seq: u64) -> Option<&Row> {
        let oldest = self.rows.front()?.seq;
        self.rows.get(usize::try_from(seq - oldest).ok()?)
    }

    fn motion(&mut self, motion: Motion) {
        let last = self.shown.len().saturating_sub(self.height);
        let from = if self.follow { last } else { self.first };
        let page = self.height.saturating_sub(1).max(1);
        self.first = match motion {
            Motion::Up => from.saturating_sub(1),
            Motion::Down => from + 1,
            Motion::PageUp => from.saturating_sub(page),
            Motion::PageDown => from + page,
            Motion::HalfUp => from.saturating_sub(page.div_ceil(2)),
            Motion::HalfDown => from + page.div_ceil(2),
            Motion::Top => 0,
            Motion::Bottom => last,
        }
        .min(last);
        self.follow = motion == Motion::Bottom || (self.first == last && motion != Motion::Top && self.follow);
    }

    fn cycle(&mut self) {
        let next = match &self.only {
            None => 0,
            Some(only) => {
                self.members.iter().position(|member| member == only).map_or(self.members.len(), |idx| idx + 1)
            }
        };
        self.only = self.members.get(next).cloned();
        self.filter_again();
    }

    fn head(&self, state: &State) -> Vec<Line<()>> {
        let who = match &self.only {
            Some(only) => clean(only).into_owned(),
            None => format!("all {} members", self.members.len()),
        };
        let mode = if self.follow { "following" } else { "paused (G follows)" };
        let mut lines = vec![
            Line::blank()
                .with(who, Tone::Accent)
                .with(format!(" · {mode} · {} of {} lines", self.shown.len(), self.rows.len()), Tone::Normal)
                .with(" · on Spilo this is Patroni's log: Postgres logs to files in the pod", Tone::Dim),
        ];
        if self.dropped > 0 {
            let text = format!("{} lines were dropped: they came faster than they could be shown", self.dropped);
            lines.push(Line::blank().with(text, Tone::Warn));
        }
        lines.extend(self.members.iter().filter_map(|member| self.trouble(state, member)));
        if let PlaneId::Hosts = self.cluster.plane {
            let text = "plain hosts have no container log; look at the server's own log files";
            lines.push(Line::blank().with(text, Tone::Warn));
        }
        lines
    }

    fn trouble(&self, state: &State, member: &Text) -> Option<Line<()>> {
        let instance = InstanceId { cluster: self.cluster.clone(), member: member.clone() };
        let source = Source::Log { instance, container: CONTAINER.into() };
        match &state.fleet.source(&source)?.state {
            SourceState::Lost { why } | SourceState::Limited { why } => {
                let line = Line::blank()
                    .outside(member, Tone::Accent)
                    .outside(&format!(": {why}; {}", why.remedy()), Tone::Warn);
                Some(line)
            }
            SourceState::Connecting => {
                Some(Line::blank().outside(member, Tone::Accent).with(": connecting…", Tone::Dim))
            }
            SourceState::Live { .. } | SourceState::Relisting => None,
        }
    }

    fn body(&self, width: usize, height: usize) -> Vec<Line<()>> {
        let first = if self.follow { self.shown.len().saturating_sub(height) } else { self.first };
        let prefix = self.only.is_none();
        let longest = self.members.iter().map(|member| member.chars().count()).max().unwrap_or(0);
        let in_sight = self.shown.iter().skip(first).take(height).filter_map(|seq| self.row(*seq));
        let lines: Vec<Line<()>> =
            in_sight.flat_map(|row| self.lines_of(row, if prefix { longest } else { 0 }, width)).collect();
        let surplus = if self.follow { lines.len().saturating_sub(height) } else { 0 };
        lines.into_iter().skip(surplus).take(height).collect()
    }

    fn lines_of(&self, row: &Row, prefix: usize, width: usize) -> Vec<Line<()>> {
        let mut head = Line::blank();
        if prefix > 0 {
            head = head.outside(&format!("{:<prefix$} ", row.member), Tone::Accent);
        }
        if let Some(at) = row.at {
            head = head.with(format!("{} ", at.strftime("%H:%M:%S")), Tone::Dim);
        }
        if !self.wrap {
            let text: String = row.text.chars().skip(self.shift).collect();
            return vec![head.with(text, tone_of(&row.text))];
        }
        let room = width.saturating_sub(head.width()).max(10);
        let chars: Vec<char> = row.text.chars().collect();
        let indent = head.width();
        let mut parts = chars.chunks(room).map(|part| part.iter().collect::<String>());
        let mut lines = vec![head.with(parts.next().unwrap_or_default(), tone_of(&row.text))];
        lines.extend(
            parts.map(|part| Line::blank().with(" ".repeat(indent), Tone::Normal).with(part, tone_of(&row.text))),
        );
        lines
    }
}

/// A line as it stands on screen.
fn shown(text: &str) -> String {
    clean(text).chars().take(LONGEST).collect()
}

/// By the severity words of Patroni and Postgres.
fn tone_of(text: &str) -> Tone {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["ERROR", "FATAL", "PANIC", "CRITICAL", "Traceback"]) {
        Tone::Bad
    } else if has(&["WARNING", "WARN"]) {
        Tone::Warn
    } else {
        Tone::Normal
    }
}

impl View for LogsView {
    fn id(&self) -> ViewId {
        ViewId::Logs
    }

    fn title(&self, _look: &Look<'_>) -> String {
        format!("logs of {}", clean(self.only.as_ref().unwrap_or(&self.cluster.name)))
    }

    fn subject(&self) -> Subject {
        match &self.only {
            Some(member) => Subject::Instance(InstanceId { cluster: self.cluster.clone(), member: member.clone() }),
            None => Subject::Cluster(self.cluster.clone()),
        }
    }

    fn perform(&mut self, _look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            Deed::Move(motion) => self.motion(motion),
            Deed::Follow => self.follow = !self.follow,
            Deed::Wrap => self.wrap = !self.wrap,
            Deed::Cycle => self.cycle(),
            Deed::ColumnsLeft => self.shift = self.shift.saturating_sub(8),
            Deed::ColumnsRight => self.shift += 8,
            Deed::Copy => {
                let what = match &self.only {
                    Some(member) => quoted(member),
                    None => format!("-l cluster-name={} --prefix", quoted(&self.cluster.name)),
                };
                let context = quoted(self.cluster.plane.context());
                let namespace = quoted(&self.cluster.namespace);
                return Reply::Copy(format!(
                    "kubectl --context {context} -n {namespace} logs -f -c {CONTAINER} {what}"
                ));
            }
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &str {
        self.filter.text()
    }

    fn set_filter(&mut self, _look: &Look<'_>, filter: &str) -> Result<(), String> {
        // Only `member:` is a column here; anything else with a colon is text to look for.
        self.filter = Filter::parse_text(filter, &["member"]);
        self.filter_again();
        Ok(())
    }

    fn wants(&self, state: &State) -> Vec<Want> {
        let Some(entry) = state.fleet.get(&self.cluster) else { return Vec::new() };
        let want = |member: &Text| Want::Logs {
            instance: InstanceId { cluster: self.cluster.clone(), member: member.clone() },
            container: CONTAINER.into(),
        };
        match self.cluster.plane {
            PlaneId::Kubernetes(_) => entry.cluster.members.iter().map(|member| want(&member.name)).collect(),
            PlaneId::Hosts => Vec::new(),
        }
    }

    fn take(&mut self, seen: &Seen) -> bool {
        let Seen::Log { instance, lines, dropped, .. } = seen else { return false };
        if instance.cluster != self.cluster {
            return false;
        }
        self.dropped += dropped;
        for line in lines {
            self.push(&instance.member, line);
        }
        true
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        if let Some(entry) = look.state.fleet.get(&self.cluster) {
            self.members = entry.cluster.members.iter().map(|member| member.name.clone()).collect();
        }
        let mut lines = self.head(look.state);
        self.height = usize::from(area.height).saturating_sub(lines.len()).max(1);
        lines.extend(self.body(usize::from(area.width), self.height));
        self.page.set(lines, area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn hints(&self) -> &'static [&'static str] {
        &["filter", "cycle", "follow", "wrap", "copy", "back"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> LogsView {
        let cluster =
            ClusterId { plane: PlaneId::Kubernetes("demo".into()), namespace: "default".into(), name: "shop".into() };
        LogsView {
            cluster,
            members: vec!["shop-0".into(), "shop-1".into()],
            only: None,
            rows: VecDeque::new(),
            shown: VecDeque::new(),
            next: 0,
            dropped: 0,
            filter: Filter::default(),
            follow: true,
            wrap: false,
            first: 0,
            height: 3,
            shift: 0,
            page: Page::default(),
        }
    }

    fn say(view: &mut LogsView, member: &str, lines: &[&str]) {
        let instance = InstanceId { cluster: view.cluster.clone(), member: member.into() };
        let lines = lines.iter().map(|line| LogLine { at: None, text: (*line).into() }).collect();
        assert!(view.take(&Seen::Log { instance, container: CONTAINER.into(), lines, dropped: 0 }));
    }

    fn texts(view: &LogsView) -> Vec<String> {
        view.body(80, view.height).iter().map(Line::text).collect()
    }

    #[test]
    fn the_newest_lines_are_followed_until_somebody_scrolls() {
        let mut view = view();
        say(&mut view, "shop-0", &["1", "2", "3", "4"]);
        assert_eq!(texts(&view), ["shop-0 2", "shop-0 3", "shop-0 4"]);

        view.motion(Motion::Up);
        say(&mut view, "shop-1", &["5"]);
        assert_eq!(texts(&view), ["shop-0 1", "shop-0 2", "shop-0 3"]);
        view.motion(Motion::Bottom);
        assert_eq!(texts(&view), ["shop-0 3", "shop-0 4", "shop-1 5"]);
    }

    #[test]
    fn a_log_that_is_opened_anew_shows_no_line_twice() {
        let mut view = view();
        let mut told = |numbers: &[i64]| {
            let instance = InstanceId { cluster: view.cluster.clone(), member: "shop-0".into() };
            let at = |number: &i64| Some(Timestamp::from_second(*number).unwrap());
            let line = |number: &i64| LogLine { at: at(number), text: number.to_string().as_str().into() };
            let lines = numbers.iter().map(line).collect();
            view.take(&Seen::Log { instance, container: CONTAINER.into(), lines, dropped: 0 });
            view.rows.iter().map(|row| row.text.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(&[1, 2, 3]), "1 2 3");
        assert_eq!(told(&[2, 3, 4]), "1 2 3 4");
    }

    #[test]
    fn a_filter_includes_and_excludes_also_lines_that_come_later() {
        let mut view = view();
        view.filter = Filter::parse_text("lock !secondary", &["member"]);
        say(&mut view, "shop-0", &["the leader with the lock", "a secondary without lock", "other"]);
        say(&mut view, "shop-1", &["lock again"]);
        assert_eq!(texts(&view), ["shop-0 the leader with the lock", "shop-1 lock again"]);
    }

    #[test]
    fn old_lines_go_and_escapes_never_stay() {
        let mut view = view();
        let many: Vec<String> = (0..KEPT + 5).map(|n| format!("\u{1b}[31m{n}")).collect();
        say(&mut view, "shop-0", &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((view.rows.len(), view.shown.len()), (KEPT, KEPT));
        assert_eq!(view.rows[0].text, "·[31m5");
    }

    #[test]
    fn a_long_line_wraps_under_its_text() {
        let mut view = view();
        view.wrap = true;
        say(&mut view, "shop-0", &["abcdefghijklmnop"]);
        assert_eq!(view.body(17, 3).iter().map(Line::text).collect::<Vec<_>>(), ["shop-0 abcdefghij", "       klmnop"]);
    }
}
