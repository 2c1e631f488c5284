//! `pgdeck doctor`: what works, what does not, and what would help.

use std::time::Duration;

use serde::Serialize;

use super::gathering::{Gathering, names};
use super::{Exit, fail, say};
use crate::cli::{Doctor, Report};
use crate::fault::Fault;
use crate::fleet::seen::{Source, SourceState};
use crate::fleet::{Fleet, topology};
use crate::id::{ClusterId, InstanceId, PlaneId};
use crate::present;
use crate::runtime::{Runtime, clock};
use crate::work::probe::{Answer, Probe, Right, Versions};

/// How long sources may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The row of the operator's version.
const OPERATOR_VERSION: &str = "operator version";

/// Everything that was examined.
#[derive(Debug, Serialize)]
struct Findings {
    schema: u32,
    at: jiff::Timestamp,
    planes: Vec<PlaneFindings>,
    instances: Vec<Reach>,
}

#[derive(Debug, Serialize)]
struct PlaneFindings {
    plane: &'static str,
    context: String,
    checks: Vec<Check>,
}

/// One thing that was examined.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    ok: bool,
    /// What was found.
    found: String,
    remedy: Option<String>,
    /// The login or a right is in the way.
    #[serde(skip)]
    forbidden: bool,
}

/// One instance of a cluster.
#[derive(Debug, Serialize)]
struct Reach {
    cluster: String,
    #[serde(flatten)]
    check: Check,
}

/// Examines everything, prints it, and ends.
pub fn run(runtime: &Runtime, asked: &Doctor) -> Exit {
    let mut gathering = Gathering::new(runtime, PATIENCE);
    gathering.objects();
    let fleet = &gathering.fleet;
    let findings = Findings {
        schema: 1,
        at: clock::now(),
        planes: runtime.planes().map(|plane| examine(runtime, fleet, plane)).collect(),
        instances: reach(runtime, fleet),
    };
    let printed = match asked.output {
        Report::Text => say(&text(&findings)),
        Report::Json => match serde_json::to_string_pretty(&findings) {
            Ok(json) => say(&present::escaped(&json)),
            Err(error) => fail(&format!("the findings cannot be written as JSON: {error}")),
        },
    };
    if printed == Exit::Done { verdict(&findings) } else { printed }
}

fn examine(runtime: &Runtime, fleet: &Fleet, plane: &PlaneId) -> PlaneFindings {
    let mut checks = vec![standing(fleet, plane)];
    checks.extend(limits(fleet, plane));
    if matches!(plane, PlaneId::Kubernetes(_)) {
        let probes = vec![Probe::Versions(plane.clone()), Probe::Rights { plane: plane.clone(), namespace: None }];
        for (probe, answer) in runtime.ask(probes) {
            match answer {
                Ok(Answer::Versions(versions)) => checks.extend(version_checks(&versions)),
                Ok(Answer::Rights(rights)) => checks.extend(rights.iter().map(right_check)),
                Ok(_) => {}
                Err(fault) => {
                    let asked = if matches!(probe, Probe::Versions(_)) { "versions" } else { "rights" };
                    checks.push(Check::failed(asked.into(), &fault));
                }
            }
        }
    }
    PlaneFindings { plane: plane.kind(), context: plane.context().to_owned(), checks }
}

/// Whether the plane itself answers.
fn standing(fleet: &Fleet, plane: &PlaneId) -> Check {
    let what = if *plane == PlaneId::Hosts { "hosts" } else { "API server" };
    let n_clusters = fleet.clusters().filter(|(id, _)| id.plane == *plane).count();
    match fleet.source(&Source::Plane { plane: plane.clone() }).map(|standing| &standing.state) {
        Some(SourceState::Live { .. } | SourceState::Relisting) => {
            Check::passed(what, format!("answers; {n_clusters} clusters"))
        }
        Some(SourceState::Lost { why } | SourceState::Limited { why }) => Check::failed(what.into(), why),
        Some(SourceState::Connecting) | None => {
            Check::failed(what.into(), &Fault::TimedOut { what: plane.to_string(), after: PATIENCE })
        }
    }
}

/// Kinds of object that are missing or only polled.
fn limits<'a>(fleet: &'a Fleet, plane: &'a PlaneId) -> impl Iterator<Item = Check> + 'a {
    fleet.sources().filter_map(move |(source, standing)| {
        let Source::Kind { plane: of, kind, namespace } = source else { return None };
        let place = namespace.as_ref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
        match &standing.state {
            _ if of != plane => None,
            SourceState::Lost { why } | SourceState::Limited { why } => {
                Some(Check::failed(format!("{kind}{place}"), why))
            }
            SourceState::Live { polled: true } => Some(Check {
                what: format!("{kind}{place}"),
                ok: false,
                found: "watching is forbidden: listed every 30 s".into(),
                remedy: Some(format!("ask for watch {kind}")),
                forbidden: true,
            }),
            SourceState::Live { polled: false } | SourceState::Connecting | SourceState::Relisting => None,
        }
    })
}

fn version_checks(versions: &Versions) -> Vec<Check> {
    let crd_remedy = "install the operator's CRD, or ask for get customresourcedefinitions";
    let rows = [
        ("API server version", &versions.server, "check that the context names a Kubernetes API server"),
        ("CRD postgresqls.acid.zalan.do", &versions.crd, crd_remedy),
        (
            OPERATOR_VERSION,
            &versions.operator,
            "ask for list deployments in the operator's namespace; nothing depends on it",
        ),
        (
            "operator configuration",
            &versions.configuration,
            "ask for get operatorconfigurations; its defaults are assumed",
        ),
    ];
    let check = |(what, value, remedy): (&str, &Option<crate::id::Text>, &str)| match value {
        Some(value) => Check::passed(what, value.to_string()),
        None => Check {
            what: what.into(),
            // Nothing depends on the operator's own version.
            ok: what == OPERATOR_VERSION,
            found: "not known".into(),
            remedy: Some(remedy.into()),
            forbidden: false,
        },
    };
    rows.into_iter().map(check).collect()
}

fn right_check(right: &Right) -> Check {
    let what = format!("{} ({})", right.feature, right.right);
    match &right.allowed {
        Ok(true) => Check::passed(&what, "allowed".into()),
        Ok(false) => Check {
            what,
            ok: false,
            found: "forbidden".into(),
            remedy: Some(format!("ask for {}", right.right)),
            forbidden: true,
        },
        Err(fault) => Check::failed(what, fault),
    }
}

/// One instance of each cluster: the primary, where one is known.
fn reach(runtime: &Runtime, fleet: &Fleet) -> Vec<Reach> {
    let one = fleet.clusters().filter_map(|(id, entry)| {
        let member = topology::primary(entry).or_else(|| names(entry).first().copied());
        Some(InstanceId { cluster: id.clone(), member: member?.clone() })
    });
    let empty = fleet.clusters().filter(|(_, entry)| entry.cluster.members.is_empty());
    let empty: Vec<_> = empty.map(|(id, _)| Reach { cluster: id.to_string(), check: no_member() }).collect();
    let probes = one.map(Probe::Reach).collect();
    let answered = runtime.ask(probes).into_iter().filter_map(|(probe, answer)| {
        let Probe::Reach(instance) = probe else { return None };
        Some(Reach { cluster: cluster_of(&instance.cluster), check: reached(&instance, answer) })
    });
    answered.chain(empty).collect()
}

fn cluster_of(id: &ClusterId) -> String {
    id.to_string()
}

fn no_member() -> Check {
    Check {
        what: "Postgres".into(),
        ok: false,
        found: "has no member".into(),
        remedy: Some("look at its pods and at the operator's log".into()),
        forbidden: false,
    }
}

fn reached(instance: &InstanceId, answer: Result<Answer, Fault>) -> Check {
    let what = instance.member.to_string();
    match answer {
        Ok(Answer::Reached { version, primary, tls }) => {
            let role = if primary { "primary" } else { "standby" };
            let over = if tls { "over TLS" } else { "without TLS, as asked" };
            Check::passed(&what, format!("{role}, Postgres {}.{}, {over}", version / 10_000, version % 10_000))
        }
        Ok(_) => Check { what, ok: false, found: "answered something else".into(), remedy: None, forbidden: false },
        Err(fault) => Check::failed(what, &fault),
    }
}

impl Check {
    fn passed(what: &str, found: String) -> Self {
        Check { what: what.into(), ok: true, found, remedy: None, forbidden: false }
    }

    fn failed(what: String, fault: &Fault) -> Self {
        let forbidden = matches!(fault, Fault::Forbidden { .. } | Fault::AuthExpired { .. });
        Check { what, ok: false, found: fault.to_string(), remedy: Some(fault.remedy()), forbidden }
    }

    fn line(&self) -> String {
        let mark = if self.ok { "ok " } else { "NOT" };
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
        present::clean(&format!("  {mark}  {}: {}{remedy}", self.what, self.found)).into_owned()
    }
}

fn text(findings: &Findings) -> String {
    let mut lines = Vec::new();
    for plane in &findings.planes {
        lines.push(present::clean(&format!("{} ({})", plane.context, plane.plane)).into_owned());
        lines.extend(plane.checks.iter().map(Check::line));
    }
    let mut cluster = "";
    for instance in &findings.instances {
        if instance.cluster != cluster {
            cluster = &instance.cluster;
            lines.push(present::clean(cluster).into_owned());
        }
        lines.push(instance.check.line());
    }
    lines.join("\n")
}

/// Done if nothing is wrong; else whether only logins and rights are.
fn verdict(findings: &Findings) -> Exit {
    let checks = findings.planes.iter().flat_map(|plane| &plane.checks);
    let wrong: Vec<_> =
        checks.chain(findings.instances.iter().map(|instance| &instance.check)).filter(|check| !check.ok).collect();
    match &wrong[..] {
        [] => Exit::Done,
        wrong if wrong.iter().all(|check| check.forbidden) => Exit::Forbidden,
        _ => Exit::Failed,
    }
}
