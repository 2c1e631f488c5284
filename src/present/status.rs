//! The fleet once, for scripts and for one look: the JSON of `pgdeck status`, and its table.

use jiff::Timestamp;
use serde::Serialize;

use super::{Cell, Tone, cluster, format};
use crate::fault::Fault;
use crate::fleet::cluster::{Member, Role};
use crate::fleet::health::{self, Severity};
use crate::fleet::seen::{Source, SourceState};
use crate::fleet::topology::{self, Lag};
use crate::fleet::{Entry, Fleet};
use crate::id::{ClusterId, PlaneId, Text};

/// The version of the JSON's shape: fields are added within it, never changed.
const SCHEMA: u32 = 1;

/// The fleet at one moment.
#[derive(Debug, Serialize)]
pub struct Status {
    schema: u32,
    at: Timestamp,
    pub sources: Vec<SourceLine>,
    pub clusters: Vec<ClusterLine>,
}

/// How one source stands.
#[derive(Debug, Serialize)]
pub struct SourceLine {
    plane: &'static str,
    context: String,
    /// A kind of object within the plane; none for the plane itself.
    kind: Option<Text>,
    namespace: Option<Text>,
    /// `connecting`, `live`, `polled`, `relisting`, `lost`, `limited`.
    pub state: &'static str,
    pub error: Option<String>,
    pub remedy: Option<String>,
}

/// One cluster.
#[derive(Debug, Serialize)]
pub struct ClusterLine {
    plane: &'static str,
    context: String,
    namespace: Text,
    name: Text,
    health: Severity,
    /// One sentence a verdict, worst first.
    why: Vec<Text>,
    verdicts: Vec<health::Verdict>,
    /// Rules that could not tell because nothing was sampled.
    not_sampled: Vec<&'static str>,
    server_version: Option<String>,
    /// The operator's own word.
    status: Option<Text>,
    ready: Option<usize>,
    desired: Option<usize>,
    primary: Option<Text>,
    stale: bool,
    members: Vec<MemberLine>,
    /// Standbys that stream from a plain host, but are not in the hosts file.
    unlisted: Vec<UnlistedLine>,
}

/// A standby that was found, to be listed.
#[derive(Debug, Serialize)]
struct UnlistedLine {
    application_name: Text,
    client: Option<Text>,
    state: Text,
    lag_bytes: Option<u64>,
}

/// One member.
#[derive(Debug, Serialize)]
struct MemberLine {
    name: Text,
    role: Role,
    state: Text,
    timeline: Option<u32>,
    lag_bytes: Option<u64>,
    /// `sql`, or `patroni` where its own positions are all there is.
    lag_from: Option<&'static str>,
    /// Since SQL, or the plane where nothing was sampled, last told of it.
    age_s: i64,
    sampled: bool,
    error: Option<String>,
    remedy: Option<String>,
}

/// The sources and those clusters of the fleet that `is_meant` picks; planes that never said a word are silent.
pub fn status<'a>(
    fleet: &Fleet,
    planes: impl Iterator<Item = &'a PlaneId>,
    is_meant: impl Fn(&ClusterId) -> bool,
    now: Timestamp,
) -> Status {
    let told = fleet.sources().filter_map(|(source, standing)| source_line(source, &standing.state));
    let silent = planes.filter(|plane| fleet.source(&Source::Plane { plane: (*plane).clone() }).is_none());
    Status {
        schema: SCHEMA,
        at: now,
        sources: told.chain(silent.map(silent_line)).collect(),
        clusters: fleet
            .clusters()
            .filter(|(id, _)| is_meant(id))
            .map(|(id, entry)| cluster_line(id, entry, now))
            .collect(),
    }
}

fn source_line(source: &Source, state: &SourceState) -> Option<SourceLine> {
    let (plane, kind, namespace) = match source {
        Source::Plane { plane } => (plane, None, None),
        Source::Kind { plane, kind, namespace } => (plane, Some(kind.clone()), namespace.clone()),
        // A member's own line tells.
        Source::Instance { .. } | Source::Log { .. } => return None,
    };
    if let (SourceState::Connecting, Source::Plane { plane }) = (state, source) {
        return Some(silent_line(plane));
    }
    let fault = match state {
        SourceState::Connecting | SourceState::Live { .. } | SourceState::Relisting => None,
        SourceState::Lost { why } | SourceState::Limited { why } => Some(why),
    };
    Some(SourceLine {
        plane: plane.kind(),
        context: plane.context().to_owned(),
        kind,
        namespace,
        state: word(state),
        error: fault.map(ToString::to_string),
        remedy: fault.map(Fault::remedy),
    })
}

fn silent_line(plane: &PlaneId) -> SourceLine {
    SourceLine {
        plane: plane.kind(),
        context: plane.context().to_owned(),
        kind: None,
        namespace: None,
        state: "connecting",
        error: Some(format!("{plane} has not answered yet")),
        remedy: Some("wait longer with --timeout, or ask `pgdeck doctor`".into()),
    }
}

fn word(state: &SourceState) -> &'static str {
    match state {
        SourceState::Connecting => "connecting",
        SourceState::Live { polled: false } => "live",
        SourceState::Live { polled: true } => "polled",
        SourceState::Relisting => "relisting",
        SourceState::Lost { .. } => "lost",
        SourceState::Limited { .. } => "limited",
    }
}

fn cluster_line(id: &ClusterId, entry: &Entry, now: Timestamp) -> ClusterLine {
    ClusterLine {
        plane: id.plane.kind(),
        context: id.plane.context().to_owned(),
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        health: entry.health.severity,
        why: entry.health.verdicts.iter().map(health::reason).collect(),
        verdicts: entry.health.verdicts.clone(),
        not_sampled: entry.health.not_sampled.clone(),
        server_version: server_version(entry),
        status: entry.cluster.status.clone(),
        ready: topology::n_ready(entry),
        desired: entry.cluster.n_desired(),
        primary: topology::primary(entry).cloned(),
        stale: entry.stale,
        members: entry.cluster.members.iter().map(|member| member_line(entry, member, now)).collect(),
        unlisted: unlisted(entry),
    }
}

fn unlisted(entry: &Entry) -> Vec<UnlistedLine> {
    let found = topology::tree(entry).into_iter().filter(|node| node.kind == topology::Kind::Unlisted);
    let line = |node: topology::Node| UnlistedLine {
        application_name: node.name,
        client: node.client,
        state: node.state,
        lag_bytes: node.lag.map(|lag| lag.bytes.0),
    };
    found.map(line).collect()
}

/// The version that answers, else the one that was asked for.
fn server_version(entry: &Entry) -> Option<String> {
    let sampled = |name: &Text| Some(entry.instances.get(name)?.vitals.last()?.0.version_text());
    let by_primary = topology::primary(entry).and_then(sampled);
    let by_any = || entry.instances.keys().find_map(sampled);
    by_primary.or_else(by_any).or_else(|| entry.cluster.spec.version.as_ref().map(ToString::to_string))
}

fn member_line(entry: &Entry, member: &Member, now: Timestamp) -> MemberLine {
    let vitals = entry.instances.get(&member.name).map(|instance| &instance.vitals);
    let sampled = vitals.and_then(|vitals| vitals.last());
    let by_sql = sampled.map(|(vitals, _)| if vitals.in_recovery { Role::Standby } else { Role::Primary });
    let fault = vitals.and_then(|vitals| vitals.fault());
    let lag = topology::lag(entry, member);
    MemberLine {
        name: member.name.clone(),
        role: by_sql.unwrap_or_else(|| member.role()),
        state: topology::state(entry, member),
        timeline: sampled
            .and_then(|(vitals, _)| vitals.timeline)
            .or_else(|| member.patroni.as_ref().and_then(|patroni| patroni.timeline)),
        lag_bytes: lag.map(|lag| lag.bytes.0),
        lag_from: lag.map(|lag: Lag| if lag.exact { "sql" } else { "patroni" }),
        age_s: now.duration_since(sampled.map_or(entry.seen, |(_, at)| at)).as_secs().max(0),
        sampled: sampled.is_some(),
        error: fault.map(ToString::to_string),
        remedy: fault.map(Fault::remedy),
    }
}

/// The head of the table.
pub const HEAD: [&str; 9] = ["HEALTH", "CLUSTER", "PG", "READY", "MEMBER", "ROLE", "STATE", "LAG", "WHY"];

impl Status {
    /// Sources and members that do not answer as they should, and standbys that nobody listed, each with its remedy, one a line.
    pub fn troubles(&self) -> Vec<String> {
        let told = |state: &str, error: &Option<String>, remedy: &Option<String>| {
            let error = error.as_ref()?;
            let remedy = remedy.as_deref().unwrap_or_default();
            Some(super::clean(&format!("{state}: {error}; {remedy}")).into_owned())
        };
        let sources = self.sources.iter().filter_map(|source| told(source.state, &source.error, &source.remedy));
        let members = self.clusters.iter().flat_map(|cluster| &cluster.members);
        let members = members.filter_map(|member| told(&member.state, &member.error, &member.remedy));
        let unlisted = self.clusters.iter().flat_map(|cluster| {
            let told = |standby: &UnlistedLine| {
                let (name, cluster) = (&standby.application_name, &cluster.name);
                let from = standby.client.as_deref().unwrap_or("a socket");
                let text = format!(
                    "unlisted: standby {name} at {from} is not in the hosts file; add its address to the hosts of {cluster:?}"
                );
                super::clean(&text).into_owned()
            };
            cluster.unlisted.iter().map(told)
        });
        sources.chain(members).chain(unlisted).collect()
    }

    /// One row a member; the cluster's own facts stand in its first row.
    pub fn rows(&self) -> Vec<[Cell; 9]> {
        self.clusters.iter().flat_map(ClusterLine::rows).collect()
    }
}

impl ClusterLine {
    fn rows(&self) -> Vec<[Cell; 9]> {
        let blank = || Cell::new("", Tone::Normal);
        let place = match self.plane {
            "hosts" => format!("hosts:{}", self.name),
            _ => format!("{}//{}/{}", self.context, self.namespace, self.name),
        };
        let why = if self.why.is_empty() { "" } else { &*self.why[0] };
        let own = || {
            let desired = self.desired.map_or_else(|| "–".to_owned(), |desired| desired.to_string());
            [
                cluster::health(self.health),
                Cell::outside(&place, Tone::Accent),
                self.server_version.as_deref().map_or_else(Cell::unknown, |text| Cell::outside(text, Tone::Normal)),
                Cell::own(
                    format!("{}/{desired}", self.ready.map_or_else(|| "–".to_owned(), |ready| ready.to_string())),
                    Tone::Normal,
                ),
            ]
        };
        let member = |member: &MemberLine| {
            let lag = member.lag_bytes.map(|bytes| {
                let exact = if member.lag_from == Some("sql") { "" } else { "~" };
                Cell::own(format!("{exact}{}", format::bytes(crate::metric::lsn::Bytes(bytes))), Tone::Normal)
            });
            let leads = self.primary.as_ref() == Some(&member.name);
            let lag = if leads || member.role == Role::Primary { Some(blank()) } else { lag };
            [
                Cell::outside(&member.name, Tone::Normal),
                // Whoever leads a standby cluster is a standby by SQL.
                Cell::new(
                    if leads && member.role == Role::Standby { "standby leader" } else { member.role.word() },
                    Tone::Normal,
                ),
                Cell::outside(&member.state, Tone::Normal),
                lag.unwrap_or_else(Cell::unknown),
            ]
        };
        let mut rows: Vec<[Cell; 9]> = Vec::new();
        let members: Vec<[Cell; 4]> = match &self.members[..] {
            [] => vec![std::array::from_fn(|_| Cell::unknown())],
            members => members.iter().map(member).collect(),
        };
        for (idx, [name, role, state, lag]) in members.into_iter().enumerate() {
            let [health, place, version, ready] = if idx == 0 { own() } else { std::array::from_fn(|_| blank()) };
            let why = if idx == 0 { Cell::outside(why, Tone::Normal) } else { blank() };
            rows.push([health, place, version, ready, name, role, state, lag, why]);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::cluster::{Cluster, Origin};
    use crate::fleet::seen::Seen;

    #[test]
    fn the_json_has_the_promised_shape() {
        let at = Timestamp::UNIX_EPOCH;
        let plane = PlaneId::Kubernetes("prod".into());
        let id = ClusterId { plane: plane.clone(), namespace: "orders".into(), name: "acid-shop".into() };
        let mut fleet = Fleet::default();
        fleet.apply(Seen::Cluster { cluster: Box::new(Cluster::named(id, Origin::Resource)), at }, at);
        let state = SourceState::Lost { why: Fault::Unreachable { what: "prod".into(), why: "refused".into() } };
        fleet.apply(Seen::Source { source: Source::Plane { plane: plane.clone() }, state, at }, at);

        let status = status(&fleet, [&plane, &PlaneId::Hosts].into_iter(), |_| true, at);
        let json = serde_json::to_value(&status).unwrap();

        assert_eq!(json["schema"], 1);
        let source = &json["sources"][0];
        assert_eq!(
            (&source["plane"], &source["context"], &source["state"]),
            (&"kubernetes".into(), &"prod".into(), &"lost".into())
        );
        assert_eq!(source["error"], "prod cannot be reached: refused");
        assert_eq!(json["sources"][1]["state"], "connecting");
        let cluster = &json["clusters"][0];
        assert_eq!((&cluster["namespace"], &cluster["name"]), (&"orders".into(), &"acid-shop".into()));
        assert!(cluster["health"].is_string() && cluster["why"].is_array() && cluster["members"].is_array());
        assert_eq!(status.rows().len(), 1);
    }
}
