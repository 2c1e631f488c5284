//! `pgdeck status`: the fleet once, from the same model that the console shows.

use std::collections::BTreeSet;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::gathering::{Gathering, names};
use super::{Exit, fail, say, usage};
use crate::cli::{Output, Status};
use crate::fault::Fault;
use crate::fleet::seen::{Source, SourceState};
use crate::fleet::{Entry, Fleet};
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::present::{self, status};
use crate::runtime::{Runtime, clock};
use crate::work::target::{Candidate, Meant, Target, TargetError};

/// Without a target, members of that many clusters are sampled.
const SAMPLED: usize = 50;
/// Prints the fleet and ends.
pub fn run(runtime: &Runtime, asked: &Status) -> Exit {
    let targets = match asked.targets.iter().map(|text| Target::parse(text)).collect::<Result<Vec<_>, _>>() {
        Ok(targets) => targets,
        Err(error) => return usage(&error.to_string()),
    };
    let mut gathering = Gathering::new(runtime, Duration::from_secs(asked.timeout.into()));
    gathering.objects();
    let meant = match meant_by(&targets, &gathering.fleet) {
        Ok(meant) => meant,
        Err(error) => return not_found(&gathering, &error),
    };
    let sampled = to_sample(&gathering.fleet, &meant, targets.is_empty());
    gathering.samples(&sampled);
    let (fleet, now) = (&gathering.fleet, clock::now());
    let clusters: BTreeSet<_> = meant.into_iter().map(|meant| meant.cluster).collect();
    let is_meant = |id: &ClusterId| targets.is_empty() || clusters.contains(id);
    let status = status::status(fleet, runtime.planes(), is_meant, now);
    let printed = match asked.output {
        Output::Table => say(table(&status).trim_end()),
        Output::Json => as_json(&status),
        Output::Yaml => as_yaml(&status),
    };
    if printed == Exit::Done { verdict(runtime, fleet) } else { printed }
}

fn meant_by(targets: &[Target], fleet: &Fleet) -> Result<BTreeSet<Meant>, TargetError> {
    let members: Vec<(&ClusterId, Vec<&Text>)> = fleet.clusters().map(|(id, entry)| (id, names(entry))).collect();
    let candidates: Vec<_> = members.iter().map(|(id, members)| Candidate { id, members }).collect();
    let mut meant = BTreeSet::new();
    for target in targets {
        meant.extend(target.resolve(&candidates)?);
    }
    Ok(meant)
}

/// The members that are to be sampled.
fn to_sample(fleet: &Fleet, meant: &BTreeSet<Meant>, everything: bool) -> Vec<InstanceId> {
    let all = |id: &ClusterId, entry: &Entry| -> Vec<InstanceId> {
        let instance = |name: &Text| InstanceId { cluster: id.clone(), member: name.clone() };
        names(entry).into_iter().map(instance).collect()
    };
    if everything {
        return fleet.clusters().take(SAMPLED).flat_map(|(id, entry)| all(id, entry)).collect();
    }
    let of = |meant: &Meant| match &meant.member {
        Some(member) => vec![InstanceId { cluster: meant.cluster.clone(), member: member.clone() }],
        None => fleet.get(&meant.cluster).map(|entry| all(&meant.cluster, entry)).unwrap_or_default(),
    };
    meant.iter().flat_map(of).collect()
}

/// Whether a plane tells which clusters there are.
fn is_up(fleet: &Fleet, plane: &PlaneId) -> bool {
    let state = fleet.source(&Source::Plane { plane: plane.clone() }).map(|standing| &standing.state);
    matches!(state, Some(SourceState::Live { .. } | SourceState::Limited { .. } | SourceState::Relisting))
}

/// Whether a plane answers. Plain hosts do if one of them did: their file always does.
fn answered(fleet: &Fleet, plane: &PlaneId) -> bool {
    let has_host = || {
        let of_plane = fleet.clusters().filter(|(id, _)| id.plane == *plane);
        of_plane.flat_map(|(_, entry)| entry.instances.values()).any(|instance| instance.vitals.last().is_some())
    };
    is_up(fleet, plane) && (*plane != PlaneId::Hosts || has_host())
}

/// Whether nothing but logins and rights is in the way.
fn refused(fleet: &Fleet, plane: &PlaneId) -> bool {
    let state = fleet.source(&Source::Plane { plane: plane.clone() }).map(|standing| &standing.state);
    let of_plane = fleet.clusters().filter(|(id, _)| id.plane == *plane);
    let mut faults = of_plane.flat_map(|(_, entry)| entry.instances.values()).map(|instance| instance.vitals.fault());
    let is_refusal = |why: &Fault| matches!(why, Fault::Forbidden { .. } | Fault::AuthExpired { .. });
    match state {
        Some(SourceState::Lost { why }) => is_refusal(why),
        _ => *plane == PlaneId::Hosts && faults.all(|fault| fault.is_some_and(is_refusal)),
    }
}

/// Done if any source answered; else whether the login or the network was in the way.
fn verdict(runtime: &Runtime, fleet: &Fleet) -> Exit {
    if runtime.planes().any(|plane| answered(fleet, plane)) {
        Exit::Done
    } else if runtime.planes().all(|plane| refused(fleet, plane)) {
        Exit::Forbidden
    } else {
        Exit::Failed
    }
}

/// A target that is not known may only be out of reach: then the sources are the problem.
fn not_found(gathering: &Gathering<'_>, error: &TargetError) -> Exit {
    let status = status::status(&gathering.fleet, gathering.runtime.planes(), |_| false, clock::now());
    for line in status.troubles() {
        super::complain(&line);
    }
    let exit = usage(&present::clean(&error.to_string()));
    // No host was asked yet: that their file was read is enough to know their names.
    let is_told = gathering.runtime.planes().any(|plane| is_up(&gathering.fleet, plane));
    if is_told { exit } else { verdict(gathering.runtime, &gathering.fleet) }
}

fn table(status: &status::Status) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(status::HEAD);
    for row in status.rows() {
        table.add_row(row.iter().map(|cell| cell.text.clone().into_owned()));
    }
    for column in [3, 7] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let rows = if status.clusters.is_empty() { "no cluster is known".to_owned() } else { trimmed(&table.to_string()) };
    let lines: Vec<_> = [rows].into_iter().chain(status.troubles()).collect();
    lines.join("\n")
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn as_json(status: &status::Status) -> Exit {
    match serde_json::to_string_pretty(status) {
        Ok(text) => say(&present::escaped(&text)),
        Err(error) => fail(&format!("the fleet cannot be written as JSON: {error}")),
    }
}

fn as_yaml(status: &status::Status) -> Exit {
    let cleaned = serde_json::to_value(status).map(present::cleaned);
    match cleaned
        .map_err(|error| error.to_string())
        .and_then(|value| serde_saphyr::to_string(&value).map_err(|error| error.to_string()))
    {
        Ok(text) => say(text.trim_end()),
        Err(error) => fail(&format!("the fleet cannot be written as YAML: {error}")),
    }
}
