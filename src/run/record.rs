//! What the journal, and whoever looks at the cluster with kubectl, are told of a run.

use jiff::Timestamp;

use super::{Out, Outcome, Run};
use crate::id::Text;
use crate::work::entry::{Asked, Entry, SCHEMA, What};
use crate::work::order::{Kind, Object, Order};

impl Run {
    pub(super) fn asked(&self, now: Timestamp, patches: bool) -> Entry {
        let (confirm, who, reason) = self.confirmed.clone().unwrap_or_else(|| (String::new(), Text::from(""), None));
        let deal = self.deal.as_ref();
        let asked = Asked {
            who,
            action: self.action,
            cluster: self.aim.cluster.clone(),
            uid: self.aim.uid.clone(),
            member: self.aim.member.clone(),
            primary: self.shown.primary.clone(),
            timeline: self.shown.timeline,
            args: self.aim.args.clone(),
            preflight: deal.map(|deal| deal.lights.clone()).unwrap_or_default(),
            confirm,
            reason,
            undo: deal.map(|deal| deal.undo.clone()).unwrap_or_default(),
            patches,
            despite: self.despite.as_ref().map(|open| open.run.clone()),
        };
        self.entry(now, What::Asked(Box::new(asked)))
    }

    /// The end of the run that was cut off, for the journal.
    pub(super) fn settled(&self, now: Timestamp, how: &str) -> Option<Out> {
        let run = self.takes_back.clone().filter(|_| self.settles)?;
        let evidence = vec!["pgdeck ended before it was taken back".to_owned(), how.to_owned()];
        let what = What::settled(Outcome::Unproven.word(), evidence, None);
        Some(Out::Note(Entry { schema: SCHEMA, at: now, run, what }))
    }

    /// An Event on the CR, where a reason was given.
    pub(super) fn event(&self, now: Timestamp, outcome: Outcome) -> Option<Order> {
        let (_, who, reason) = self.confirmed.as_ref()?;
        let (reason, uid) = (reason.as_ref().filter(|_| self.sent_any)?, self.aim.uid.as_ref()?);
        let cluster = self.aim.cluster.clone();
        let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let name: Text = format!("{}.pgdeck-{}", cluster.name, self.id.to_lowercase()).into();
        let body = serde_json::json!({
            "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "pgdeck", "count": 1,
            "message": format!("{} by {who}: {}; reason: {reason}", self.action, outcome.word()),
            "metadata": {"name": &*name, "namespace": &*cluster.namespace},
            "involvedObject": {"apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "name": &*cluster.name,
                               "namespace": &*cluster.namespace, "uid": &**uid},
            "source": {"component": "pgdeck"}, "firstTimestamp": at, "lastTimestamp": at,
        });
        Some(Order::Create { cluster, object: Object { kind: Kind::Event, name }, body })
    }

    pub(super) fn entry(&self, at: Timestamp, what: What) -> Entry {
        Entry { schema: SCHEMA, at, run: self.id.clone(), what }
    }
}
