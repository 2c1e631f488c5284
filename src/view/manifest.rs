//! The cluster's object or one of its pods as YAML.
//!
//! ```text
//!  postgresql acid-shop   2s ago   (tab: pod/acid-shop-0, …)
//!  apiVersion: acid.zalan.do/v1
//!  kind: postgresql
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::filter::Filter;
use super::{Look, Reply, Subject, View, quoted};
use crate::action::{Deed, ViewId};
use crate::fault::Fault;
use crate::fleet::known::{Known, Why};
use crate::fleet::seen::Seen;
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::present::known::{ago, fault};
use crate::present::page::Line;
use crate::present::{Tone, clean, yaml};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// What stands for the CR itself in [`Want::Manifest`].
const RESOURCE: &str = "postgresql";

/// An object as YAML.
#[derive(Debug)]
pub struct ManifestView {
    cluster: ClusterId,
    object: Text,
    text: Known<Text>,
    filter: Filter,
    page: Page<()>,
}

/// Opens it on a pod or on the cluster's own object.
pub fn open(subject: &Subject) -> Option<Box<dyn View>> {
    let cluster = subject.cluster()?.clone();
    let object = match subject.instance() {
        Some(instance) => format!("pod/{}", instance.member).into(),
        None => RESOURCE.into(),
    };
    let text = match cluster.plane {
        PlaneId::Kubernetes(_) => Known::Never(Why::Waiting),
        PlaneId::Hosts => Known::Lost {
            last: None,
            why: Fault::Unsupported { what: "YAML of a plain host".into(), why: "it has no Kubernetes object".into() },
            at: Timestamp::UNIX_EPOCH,
        },
    };
    Some(Box::new(ManifestView { cluster, object, text, filter: Filter::default(), page: Page::default() }))
}

impl ManifestView {
    fn cycle(&mut self, state: &State) {
        let Some(entry) = state.fleet.get(&self.cluster) else { return };
        let pods = entry.cluster.members.iter().map(|member| Text::from(format!("pod/{}", member.name)));
        let objects: Vec<Text> = std::iter::once(Text::from(RESOURCE)).chain(pods).collect();
        let at = objects.iter().position(|object| *object == self.object).unwrap_or(0);
        self.object = objects[(at + 1) % objects.len()].clone();
        self.text = Known::Never(Why::Waiting);
    }

    fn lines(&self, now: Timestamp) -> Vec<Line<()>> {
        let name = match &*self.object {
            RESOURCE => format!("postgresql {}", self.cluster.name),
            pod => pod.replace('/', " "),
        };
        let head = Line::blank().outside(&name, Tone::Title);
        let age = |at: Timestamp| format!("  read {}", ago(now.duration_since(at)));
        let mut lines = match &self.text {
            Known::Seen { at, .. } => vec![head.with(age(*at), Tone::Dim)],
            Known::Past { at, .. } => vec![head.with(age(*at), Tone::Warn)],
            Known::Lost { last, why, .. } => {
                let mut lines = vec![match last {
                    Some((_, at)) => head.with(age(*at), Tone::Warn),
                    None => head,
                }];
                lines.extend(fault(why));
                lines
            }
            Known::Never(why) => vec![head.with(format!("  – {}", why.word()), Tone::Unknown)],
        };
        if let Some((text, _)) = self.text.last() {
            lines.extend(text.lines().filter(|line| self.filter.keeps_text(line)).map(yaml::line));
        }
        lines
    }
}

impl View for ManifestView {
    fn id(&self) -> ViewId {
        ViewId::Manifest
    }

    fn title(&self, _look: &Look<'_>) -> String {
        format!("YAML of {}", clean(if &*self.object == RESOURCE { &self.cluster.name } else { &self.object }))
    }

    fn subject(&self) -> Subject {
        match self.object.strip_prefix("pod/") {
            Some(pod) => Subject::Instance(InstanceId { cluster: self.cluster.clone(), member: pod.into() }),
            None => Subject::Cluster(self.cluster.clone()),
        }
    }

    fn perform(&mut self, look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            deed if self.page.perform(deed) => {}
            Deed::Cycle => self.cycle(look.state),
            Deed::Copy => {
                let object = match self.object.strip_prefix("pod/") {
                    Some(pod) => format!("pod {}", quoted(pod)),
                    None => format!("postgresql {}", quoted(&self.cluster.name)),
                };
                let context = quoted(self.cluster.plane.context());
                let namespace = quoted(&self.cluster.namespace);
                return Reply::Copy(format!("kubectl --context {context} -n {namespace} get {object} -o yaml"));
            }
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &str {
        self.filter.text()
    }

    fn set_filter(&mut self, _look: &Look<'_>, filter: &str) -> Result<(), String> {
        self.filter = Filter::parse_text(filter, &[]);
        Ok(())
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        match self.cluster.plane {
            PlaneId::Kubernetes(_) => {
                vec![Want::Manifest { cluster: self.cluster.clone(), object: self.object.clone() }]
            }
            PlaneId::Hosts => Vec::new(),
        }
    }

    fn take(&mut self, seen: &Seen) -> bool {
        let Seen::Manifest { cluster, object, text, at } = seen else { return false };
        let mine = *cluster == self.cluster && *object == self.object;
        if mine {
            self.text.take(text.clone(), *at);
        }
        mine
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        self.page.set(self.lines(look.now), area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        self.text.last().map(|_| look.now + SignedDuration::from_secs(1))
    }

    fn hints(&self) -> &'static [&'static str] {
        &["cycle", "filter", "copy", "back"]
    }
}
