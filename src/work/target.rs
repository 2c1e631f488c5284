//! How clusters and members are named on the command line, and which ones a name means.
//!
//! `[context//]namespace/cluster[/member]` or `hosts:cluster[/member]`, any shorter form that is unique, or a glob.

use std::collections::BTreeSet;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use crate::id::{ClusterId, PlaneId, Text};

/// A name as it was typed.
#[derive(Debug, Clone)]
pub struct Target {
    text: String,
    place: Place,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Place {
    Anywhere,
    Context(Part),
    Hosts,
}

/// One piece between slashes.
#[derive(Debug, Clone)]
enum Part {
    Exact(String),
    Glob(GlobMatcher),
}

/// A cluster, with its members' names, that a target may mean.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub id: &'a ClusterId,
    pub members: &'a [&'a Text],
}

/// What a target means: a cluster with all its members, or one member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meant {
    pub cluster: ClusterId,
    pub member: Option<Text>,
}

/// Why a target means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(
        "target {text:?} cannot be read: {why}; write [context//]namespace/cluster[/member] or hosts:cluster[/member]"
    )]
    Malformed { text: String, why: String },
    #[error("target {text:?} is ambiguous: it could be {}; write one of them", listed(.candidates))]
    Ambiguous { text: String, candidates: Vec<String> },
    #[error("target {text:?} names nothing that is known; {}", known(.candidates))]
    Unknown { text: String, candidates: Vec<String> },
}

impl Target {
    /// Reads a target.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let malformed = |why: &str| TargetError::Malformed { text: text.into(), why: why.into() };
        let part = |piece: &str| Part::parse(piece).map_err(|why| malformed(&why));
        let (place, rest) = if let Some(rest) = text.strip_prefix("hosts:") {
            (Place::Hosts, rest)
        } else if let Some((context, rest)) = text.split_once("//") {
            (Place::Context(part(context)?), rest)
        } else {
            (Place::Anywhere, text)
        };
        let parts = rest.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        let most = if matches!(place, Place::Hosts) { 2 } else { 3 };
        if parts.len() > most {
            return Err(malformed("it has too many parts"));
        }
        Ok(Target { text: text.into(), place, parts })
    }

    /// What it means among those; a target that is no glob means one thing, or is refused.
    pub fn resolve(&self, among: &[Candidate<'_>]) -> Result<BTreeSet<Meant>, TargetError> {
        let here: Vec<_> = among.iter().filter(|candidate| self.place.is(&candidate.id.plane)).collect();
        let clusters = || here.iter().filter_map(|candidate| self.as_cluster(candidate));
        let members = || here.iter().flat_map(|candidate| self.as_members(candidate));
        // A single word is a cluster's name before it is a member's.
        let mut meant: BTreeSet<Meant> = clusters().collect();
        if meant.is_empty() || self.parts.len() > 1 {
            meant.extend(members());
        }
        match meant.len() {
            0 => Err(TargetError::Unknown { text: self.text.clone(), candidates: self.near(&here, among) }),
            1 => Ok(meant),
            _ if self.is_glob() => Ok(meant),
            _ => Err(TargetError::Ambiguous {
                text: self.text.clone(),
                candidates: meant.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    fn is_glob(&self) -> bool {
        let glob = |part: &Part| matches!(part, Part::Glob(_));
        self.parts.iter().any(glob) || matches!(&self.place, Place::Context(part) if glob(part))
    }

    fn as_cluster(&self, candidate: &Candidate<'_>) -> Option<Meant> {
        let id = candidate.id;
        let means = match &self.parts[..] {
            [cluster] => cluster.is(&id.name),
            [namespace, cluster] => {
                !matches!(self.place, Place::Hosts) && namespace.is(&id.namespace) && cluster.is(&id.name)
            }
            _ => false,
        };
        means.then(|| Meant { cluster: id.clone(), member: None })
    }

    fn as_members<'a>(&'a self, candidate: &'a Candidate<'_>) -> impl Iterator<Item = Meant> + 'a {
        let id = candidate.id;
        let wanted = match &self.parts[..] {
            [member] => Some(member),
            [cluster, member] if cluster.is(&id.name) => Some(member),
            [namespace, cluster, member] if namespace.is(&id.namespace) && cluster.is(&id.name) => Some(member),
            _ => None,
        };
        let named = candidate.members.iter().filter(move |name| wanted.is_some_and(|wanted| wanted.is(name)));
        named.map(|name| Meant { cluster: id.clone(), member: Some(Text::clone(name)) })
    }

    /// A few names to try instead: what looks alike, else whatever there is.
    fn near(&self, here: &[&Candidate<'_>], among: &[Candidate<'_>]) -> Vec<String> {
        let alike = |candidate: &&&Candidate<'_>| {
            self.parts.iter().any(|part| matches!(part, Part::Exact(text) if alike(&candidate.id.name, text)))
        };
        let told = |candidate: &Candidate<'_>| candidate.id.to_string();
        let near: Vec<_> = here.iter().filter(alike).map(|candidate| told(candidate)).take(5).collect();
        if near.is_empty() { among.iter().map(told).take(5).collect() } else { near }
    }
}

impl Place {
    fn is(&self, plane: &PlaneId) -> bool {
        match (self, plane) {
            (Place::Anywhere, _) | (Place::Hosts, PlaneId::Hosts) => true,
            (Place::Context(part), PlaneId::Kubernetes(context)) => part.is(context),
            (Place::Context(_), PlaneId::Hosts) | (Place::Hosts, PlaneId::Kubernetes(_)) => false,
        }
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a part of it is empty".into());
        }
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Part::Exact(text.into()));
        }
        let glob = GlobBuilder::new(text).literal_separator(false).build();
        glob.map(|glob| Part::Glob(glob.compile_matcher())).map_err(|error| error.kind().to_string())
    }

    fn is(&self, name: &str) -> bool {
        match self {
            Part::Exact(text) => text == name,
            Part::Glob(glob) => glob.is_match(name),
        }
    }
}

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            Some(member) => write!(f, "{}/{member}", self.cluster),
            None => write!(f, "{}", self.cluster),
        }
    }
}

/// Whether one begins or ends with the other, or both begin alike.
fn alike(name: &str, text: &str) -> bool {
    let same = name.chars().zip(text.chars()).take_while(|(one, other)| one == other).count();
    name.contains(text) || text.contains(name) || same >= 3
}

fn listed(candidates: &[String]) -> String {
    const MOST: usize = 10;
    let told = candidates.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match candidates.len().saturating_sub(MOST) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

fn known(candidates: &[String]) -> String {
    if candidates.is_empty() {
        "no cluster is known at all: `pgdeck doctor` tells why".into()
    } else {
        format!("did you mean {}?", listed(candidates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubernetes(context: &str, namespace: &str, name: &str) -> ClusterId {
        ClusterId { plane: PlaneId::Kubernetes(context.into()), namespace: namespace.into(), name: name.into() }
    }

    /// What a target means in a small fleet, as text.
    fn check(text: &str, expected: Result<&[&str], &str>) {
        let eks = "arn:aws:eks:eu-1:1:cluster/prod";
        let fleet = [
            (kubernetes(eks, "orders", "acid-shop"), vec!["acid-shop-0", "acid-shop-1"]),
            (kubernetes("staging", "orders", "acid-shop"), vec!["acid-shop-0"]),
            (kubernetes("staging", "billing", "acid-pay"), vec!["acid-pay-0"]),
            (ClusterId { plane: PlaneId::Hosts, namespace: "".into(), name: "oldprod".into() }, vec!["10.0.0.5:5432"]),
        ];
        let members: Vec<Vec<Text>> =
            fleet.iter().map(|(_, names)| names.iter().map(|name| Text::from(*name)).collect()).collect();
        let members: Vec<Vec<&Text>> = members.iter().map(|names| names.iter().collect()).collect();
        let candidates: Vec<_> =
            fleet.iter().zip(&members).map(|((id, _), members)| Candidate { id, members }).collect();
        let found = Target::parse(text).and_then(|target| target.resolve(&candidates));
        match (found, expected) {
            (Ok(meant), Ok(expected)) => {
                let meant: Vec<_> = meant.iter().map(ToString::to_string).collect();
                assert_eq!(meant, expected, "{text}");
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_whole_form_means_one() {
        let eks = "arn:aws:eks:eu-1:1:cluster/prod//orders/acid-shop";
        check(eks, Ok(&[eks]));
        check("staging//orders/acid-shop/acid-shop-0", Ok(&["staging//orders/acid-shop/acid-shop-0"]));
        check("hosts:oldprod", Ok(&["hosts:oldprod"]));
        check("hosts:oldprod/10.0.0.5:5432", Ok(&["hosts:oldprod/10.0.0.5:5432"]));
    }

    #[test]
    fn a_shorter_form_means_one_or_lists_the_candidates() {
        check("acid-pay", Ok(&["staging//billing/acid-pay"]));
        check("billing/acid-pay", Ok(&["staging//billing/acid-pay"]));
        check("acid-pay/acid-pay-0", Ok(&["staging//billing/acid-pay/acid-pay-0"]));
        check("acid-pay-0", Ok(&["staging//billing/acid-pay/acid-pay-0"]));
        check("staging//acid-shop", Ok(&["staging//orders/acid-shop"]));
        check("oldprod", Ok(&["hosts:oldprod"]));
        check("acid-shop", Err("prod//orders/acid-shop, staging//orders/acid-shop"));
        check("orders/acid-shop", Err("is ambiguous"));
    }

    #[test]
    fn a_glob_means_all_it_matches() {
        check("staging//*", Ok(&["staging//billing/acid-pay", "staging//orders/acid-shop"]));
        check("acid-p*", Ok(&["staging//billing/acid-pay"]));
        check(
            "*//orders/acid-shop",
            Ok(&["arn:aws:eks:eu-1:1:cluster/prod//orders/acid-shop", "staging//orders/acid-shop"]),
        );
        check("hosts:*", Ok(&["hosts:oldprod"]));
        check("staging//orders/*/*-0", Ok(&["staging//orders/acid-shop/acid-shop-0"]));
        check("zzz*", Err("names nothing"));
    }

    #[test]
    fn what_cannot_be_read_or_found_says_what_to_write() {
        check("", Err("a part of it is empty"));
        check("a/b/c/d", Err("too many parts"));
        check("hosts:a/b/c", Err("too many parts"));
        check("a[", Err("cannot be read"));
        check("acid-shoo", Err("did you mean"));
        check("nowhere//acid-shop", Err("names nothing"));
    }
}
