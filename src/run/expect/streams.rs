//! Which standbys stream from a primary: by its own `pg_stat_replication`, else by Patroni's word; and whose word it is.

use super::{Judged, when};
use crate::fault::Fault;
use crate::fleet::cluster::{Member, Role};
use crate::id::InstanceId;
use crate::metric::replication::WalSender;
use crate::metric::{Rows, SurveyId};
use crate::run::Looked;
use crate::work::patroni::{PatroniView, Peer};
use crate::work::probe::{Answer, Probe};

/// A standby that should stream.
pub(super) struct Standby<'a> {
    pub name: &'a str,
    pub word: Word<'a>,
}

/// What Patroni says of it.
pub(super) enum Word<'a> {
    Follows,
    /// It runs, and an old Patroni does not tell more.
    Runs,
    /// It is told to stream from another standby.
    From(&'a str),
    /// It replays what was archived, and does not stream.
    FromArchive,
    /// What it does instead.
    Otherwise(String),
}

/// Why the primary's own word is not to be had.
pub(super) enum Silence {
    /// A right is missing: asking again does not help.
    Hidden(String),
    /// It may answer in a moment.
    NoAnswer(String),
}

/// Asks a primary who streams from it, after these.
pub(super) fn probe(primary: &InstanceId, also: &[SurveyId]) -> Probe {
    let surveys = also.iter().copied().chain([SurveyId::Replication]).collect();
    Probe::Sample { instance: primary.clone(), surveys }
}

/// The rows of one survey in the answer of whoever was sampled.
pub(super) fn rows(asked: Option<&Looked>, survey: SurveyId) -> Result<&Rows, Silence> {
    let sample = match asked {
        Some((_, Ok(Answer::Sample(sample)))) => sample,
        Some((_, Err(fault))) => return Err(Silence::of(fault)),
        Some(_) | None => return Err(Silence::NoAnswer("it was not asked".into())),
    };
    match sample.iter().find(|(asked, _)| *asked == survey) {
        Some((_, Ok(rows))) => Ok(rows),
        Some((_, Err(fault))) => Err(Silence::of(fault)),
        None => Err(Silence::NoAnswer("it was not asked".into())),
    }
}

/// Whether they stream from that primary, which was sampled.
pub(super) fn from(primary: &str, standbys: &[Standby<'_>], asked: Option<&Looked>) -> Judged {
    match senders(asked) {
        Ok(senders) => by_its_own_word(primary, standbys, senders),
        Err(Silence::Hidden(why)) => by_patroni(standbys, &why),
        Err(Silence::NoAnswer(why)) => match by_patroni(standbys, &why) {
            Judged::Proved(said) => Judged::Nearly(said),
            judged => judged,
        },
    }
}

fn senders(asked: Option<&Looked>) -> Result<&[WalSender], Silence> {
    match rows(asked, SurveyId::Replication)? {
        Rows::Replication(senders) if senders.iter().any(|sender| sender.state.is_none()) => {
            Err(Silence::Hidden("pg_stat_replication is hidden: needs pg_monitor".into()))
        }
        Rows::Replication(senders) => Ok(senders),
        _ => Err(Silence::NoAnswer("something else was answered".into())),
    }
}

fn by_its_own_word(primary: &str, standbys: &[Standby<'_>], senders: &[WalSender]) -> Judged {
    // Patroni gives each standby its own name as application_name; logical consumers stream too.
    let streams = |name: &str| {
        let mut its = senders.iter().filter(|sender| !sender.logical && *sender.application_name == *name);
        its.any(|sender| sender.state.as_deref() == Some("streaming"))
    };
    let n = standbys.iter().filter(|standby| streams(standby.name)).count();
    let mut said = vec![format!("{n} of {} standbys stream from {primary} (pg_stat_replication)", standbys.len())];
    let (mut is_missing, mut is_late) = (false, false);
    for Standby { name, word } in standbys {
        said.push(match (streams(name), word) {
            (true, Word::Follows | Word::Runs | Word::From(_)) => continue,
            // What comes next goes by Patroni's word, which is a round old at most.
            (true, Word::FromArchive) => {
                is_late = true;
                format!("Patroni still says that {name} is in archive recovery")
            }
            (true, Word::Otherwise(what)) => {
                is_late = true;
                format!("Patroni still says that {name} {what}")
            }
            (false, Word::From(other)) => format!("{name} streams from {other} by Patroni's word"),
            // It may have been so before, and stay so.
            (false, Word::FromArchive) => {
                is_late = true;
                format!("{name} is in archive recovery by Patroni's word")
            }
            (false, Word::Follows | Word::Runs) => {
                is_missing = true;
                format!("{name} does not")
            }
            (false, Word::Otherwise(what)) => {
                is_missing = true;
                format!("{name} {what} by Patroni's word")
            }
        });
    }
    let said = said.join("; ");
    match (is_missing, is_late) {
        (true, _) => Judged::NotYet(said),
        (false, true) => Judged::Nearly(said),
        (false, false) => Judged::Proved(said),
    }
}

fn by_patroni(standbys: &[Standby<'_>], why: &str) -> Judged {
    let missing: Vec<String> = standbys
        .iter()
        .filter_map(|Standby { name, word }| match word {
            Word::Follows | Word::From(_) | Word::FromArchive => None,
            Word::Runs => Some(format!("; {name} runs, and its Patroni does not tell whether it streams")),
            Word::Otherwise(what) => Some(format!("; {name} {what}")),
        })
        .collect();
    let n = standbys.len() - missing.len();
    let said = format!("{n} of {} standbys follow by Patroni's word alone ({why}){}", standbys.len(), missing.concat());
    when(missing.is_empty(), said)
}

impl Silence {
    fn of(fault: &Fault) -> Silence {
        match fault {
            Fault::Forbidden { .. } | Fault::AuthExpired { .. } => Silence::Hidden(fault.to_string()),
            fault => Silence::NoAnswer(fault.to_string()),
        }
    }
}

impl<'a> Standby<'a> {
    /// By what Patroni lists. Whoever is not listed any more has not come back.
    pub fn listed(name: &'a str, view: &'a PatroniView, leader: &Peer) -> Standby<'a> {
        let word = match view.peer(name) {
            None => Word::Otherwise("is not there".into()),
            Some(peer) if !peer.is_running() => Word::Otherwise(format!("is {}", peer.state)),
            Some(peer) if peer.timeline != leader.timeline => Word::Otherwise(match peer.timeline {
                Some(timeline) => format!("is on timeline {timeline}"),
                None => "is on an unknown timeline".into(),
            }),
            Some(Peer { replicates_from: Some(other), .. }) if *other != leader.name => Word::From(other),
            Some(peer) if &*peer.state == "in archive recovery" => Word::FromArchive,
            Some(_) => Word::Follows,
        };
        Standby { name, word }
    }

    /// By what Patroni writes to the pods; none of the one that leads. Before 3.1 it calls a standby running that waits for WAL
    /// which is gone: that is not to follow.
    pub fn annotated(member: &'a Member) -> Option<Standby<'a>> {
        let patroni = member.patroni.as_ref();
        let word = match patroni {
            Some(patroni) if patroni.role == Role::Primary => return None,
            Some(patroni) if patroni.replication_state.as_deref() == Some("streaming") => {
                patroni.tags.get("replicatefrom").map_or(Word::Follows, |other| Word::From(other))
            }
            Some(patroni) if patroni.replication_state.is_none() && &*patroni.state == "running" => Word::Runs,
            Some(patroni) => {
                let state = patroni.replication_state.as_ref().unwrap_or(&patroni.state);
                Word::Otherwise(format!("is {state}"))
            }
            None => Word::Otherwise("has said nothing".into()),
        };
        Some(Standby { name: &member.name, word })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::metric::replication::tests::sender;

    /// What a primary answers to the question who streams from it.
    pub fn asked(senders: Result<&[(&str, Option<&str>)], Fault>) -> Looked {
        let cluster =
            crate::id::ClusterId { plane: crate::id::PlaneId::Hosts, namespace: "".into(), name: "shop".into() };
        let rows = senders.map(|senders| {
            let senders = senders.iter().map(|(name, state)| sender(name, *state));
            Rows::Replication(senders.collect())
        });
        (probe(&InstanceId::whoever_leads(&cluster), &[]), Ok(Answer::Sample(vec![(SurveyId::Replication, rows)])))
    }

    fn check(standbys: &[(&'static str, Word<'static>)], senders: Result<&[(&str, Option<&str>)], Fault>) -> Judged {
        let word = |word: &Word<'static>| match word {
            Word::Follows => Word::Follows,
            Word::Runs => Word::Runs,
            Word::From(other) => Word::From(other),
            Word::FromArchive => Word::FromArchive,
            Word::Otherwise(what) => Word::Otherwise(what.clone()),
        };
        let standbys: Vec<Standby<'_>> =
            standbys.iter().map(|(name, said)| Standby { name, word: word(said) }).collect();
        from("shop-1", &standbys, Some(&asked(senders)))
    }

    const STREAMS: Option<&str> = Some("streaming");

    #[test]
    fn the_primary_names_who_streams_and_patroni_is_not_believed_against_it() {
        let both = [("shop-0", Word::Follows), ("shop-2", Word::Follows)];
        assert_eq!(
            check(&both, Ok(&[("shop-2", STREAMS), ("shop-0", STREAMS), ("cdc", STREAMS)])),
            Judged::Proved("2 of 2 standbys stream from shop-1 (pg_stat_replication)".into())
        );
        assert_eq!(
            check(&both, Ok(&[("shop-2", STREAMS), ("shop-0", Some("catchup"))])),
            Judged::NotYet("1 of 2 standbys stream from shop-1 (pg_stat_replication); shop-0 does not".into())
        );
        let starts = [("shop-0", Word::Otherwise("is starting".into()))];
        assert_eq!(
            check(&starts, Ok(&[])),
            Judged::NotYet(
                "0 of 1 standbys stream from shop-1 (pg_stat_replication); shop-0 is starting by Patroni's word".into()
            )
        );
        // The next order would find it starting.
        let told =
            "1 of 1 standbys stream from shop-1 (pg_stat_replication); Patroni still says that shop-0 is starting";
        assert_eq!(check(&starts, Ok(&[("shop-0", STREAMS)])), Judged::Nearly(told.into()));
        let runs = [("shop-0", Word::Runs)];
        assert!(matches!(check(&runs, Ok(&[("shop-0", STREAMS)])), Judged::Proved(_)));
        assert!(matches!(check(&runs, Ok(&[("", None)])), Judged::NotYet(said) if said.contains("does not tell")));
    }

    #[test]
    fn one_that_streams_from_another_or_from_the_archive_is_told() {
        let cascades = [("shop-0", Word::Follows), ("shop-2", Word::From("shop-0"))];
        let told =
            "1 of 2 standbys stream from shop-1 (pg_stat_replication); shop-2 streams from shop-0 by Patroni's word";
        assert_eq!(check(&cascades, Ok(&[("shop-0", STREAMS)])), Judged::Proved(told.into()));
        let archive = [("shop-0", Word::FromArchive)];
        assert!(matches!(check(&archive, Ok(&[])), Judged::Nearly(said) if said.contains("in archive recovery")));
    }

    #[test]
    fn without_sql_it_is_patronis_word_and_says_so() {
        let (follows, starts) = ([("shop-0", Word::Follows)], [("shop-0", Word::Otherwise("is starting".into()))]);
        let told = "1 of 1 standbys follow by Patroni's word alone (pg_stat_replication is hidden: needs pg_monitor)";
        assert_eq!(check(&follows, Ok(&[("", None)])), Judged::Proved(told.into()));
        let forbidden = || Fault::Forbidden { what: "it".into(), needs: "create pods/portforward".into() };
        assert!(matches!(check(&follows, Err(forbidden())), Judged::Proved(said) if said.contains("word alone (")));
        assert!(
            matches!(check(&starts, Err(forbidden())), Judged::NotYet(said) if said.ends_with("shop-0 is starting"))
        );
        // It may answer in a moment: for a while it is asked again.
        let lost = || Fault::Unreachable { what: "it".into(), why: "refused".into() };
        assert!(matches!(check(&follows, Err(lost())), Judged::Nearly(said) if said.contains("word alone (")));
        assert!(matches!(check(&starts, Err(lost())), Judged::NotYet(_)));
    }
}
