//! The fleet on a real control plane: the real API server and scheduler, Zalando's operator, real Patroni and Postgres.
//!
//! Brings one up in a network of its own, runs itself inside, and ends it. `PGDECK_SKIP_REAL=1` does without;
//! `cargo test --test real WORD` runs those scenarios whose name holds the word.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is its job")]
#![allow(clippy::print_stderr, reason = "what was seen, and how long it took, is told beside the results")]

mod acting;
mod changes;
mod console;
mod contract;
mod control;
mod failures;
mod habits;
#[path = "../it/http.rs"]
mod http;
mod judged;
mod life;
mod place;
mod slots;
mod traces;
mod traps;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../it/tty.rs"]
mod tty;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use control::Control;
use place::Real;

/// What is played on a real control plane.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    name: &'static str,
    play: fn(&Real),
    /// Whether it takes away what the others need.
    is_alone: bool,
}

const fn scenario(name: &'static str, play: fn(&Real)) -> Scenario {
    Scenario { name, play, is_alone: false }
}

const fn alone(name: &'static str, play: fn(&Real)) -> Scenario {
    Scenario { name, play, is_alone: true }
}

/// The longest first: what is alone waits for all of them.
const SCENARIOS: &[Scenario] = &[
    scenario("backups_are_switched_and_clusters_are_left_alone_and_deleted_by_the_operator", acting::operated),
    scenario("synchronous_replication_goes_on_and_off_and_no_window_holds_a_rolling_update_back", changes::synchronous),
    scenario("of_two_changes_one_is_lost_and_a_cluster_outlives_its_resource_while_the_operator_works", traps::busy),
    scenario("the_sandbox_is_judged_by_the_real_operator", judged::judged),
    scenario("a_cluster_is_created_and_scaled_and_every_member_streams", life::created_and_scaled),
    scenario("a_killed_postgres_comes_back_in_place", failures::postgres_killed),
    scenario("a_killed_patroni_makes_a_failover_that_is_named", failures::patroni_killed),
    scenario("a_cluster_that_the_operator_cannot_make_says_why", failures::not_made),
    scenario("a_pod_that_cannot_be_made_placed_or_pulled_says_why", failures::not_started),
    scenario("a_rolling_update_that_cannot_hand_over_stops_half_way_and_says_so", habits::refused),
    scenario("a_patroni_that_hangs_makes_two_primaries_or_an_overdue_leader", habits::patroni_hangs),
    scenario("a_rolling_update_without_a_synchronous_standby_stops_half_way_and_says_so", habits::unsynced),
    scenario("a_slot_that_patroni_does_not_know_is_warned_of_before_it_is_dropped", slots::unknown),
    scenario("what_patroni_does_by_itself_to_replay_keys_and_slots_is_seen", habits::patronis_own),
    scenario("a_primarys_pod_that_is_deleted_by_hand_hands_over_and_comes_back", habits::pod_deleted),
    scenario("each_user_sees_what_the_rights_allow_and_what_is_missing", console::by_rights),
    scenario("parameters_are_reloaded_and_restarted_for_and_env_rolls_the_pods_over", life::changed),
    scenario("poolers_are_no_members_and_slots_come_and_go_with_the_manifest", changes::poolers_and_slots),
    scenario("what_no_operator_can_make_says_why_or_is_refused", traps::unmakeable),
    scenario("orders_are_carried_out_by_the_operator_and_patroni_and_proved", acting::ordered),
    scenario("a_shell_in_a_pod_is_an_order_that_is_proved_by_its_end", acting::entered),
    scenario("exec_logs_and_names_lead_into_the_pods", life::ways_in),
    scenario("the_contract_of_the_kubernetes_client_holds", contract::holds),
    scenario("what_is_asked_for_reaches_the_scripts_that_became_root", control::handed_on),
    alone("an_operator_that_was_away_catches_up_and_is_missed_meanwhile", life::operator_away),
    alone("a_field_that_the_schema_lacks_is_named_before_and_by_the_server", traps::unknown_field),
    alone("an_api_server_that_was_away_and_forgot_takes_nothing_off_the_screen", failures::api_away),
];

/// So many scenarios are played at once.
const AT_ONCE: usize = 3;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = asked.iter().filter(|word| !word.starts_with('-')).collect();
    let is_asked = |scenario: &&Scenario| words.is_empty() || words.iter().any(|word| scenario.name.contains(&**word));
    let scenarios: Vec<Scenario> = SCENARIOS.iter().filter(is_asked).copied().collect();
    if asked.iter().any(|word| word == "--list") {
        for scenario in &scenarios {
            eprintln!("{}: test", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    if scenarios.is_empty() {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("PGDECK_SKIP_REAL").is_some_and(|value| value == "1") {
        eprintln!("SKIPPED: nothing is tested on a real control plane, by PGDECK_SKIP_REAL=1");
        return ExitCode::SUCCESS;
    }
    match Real::around() {
        Some(real) => play(&real, &scenarios),
        None => Control::up().run_inside(&asked),
    }
}

fn play(real: &Real, scenarios: &[Scenario]) -> ExitCode {
    eprintln!("played on {}", place::versions());
    let failed = Mutex::new(Vec::new());
    let perform = |scenario: &Scenario| {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.play)(real)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        eprintln!("test {} ... {word} ({:.1} s)", scenario.name, begun.elapsed().as_secs_f64());
        if let Err(why) = outcome {
            failed.lock().unwrap().push((scenario.name, traces::words(&*why)));
        }
    };
    let (alone, together): (Vec<_>, Vec<_>) = scenarios.iter().partition(|scenario| scenario.is_alone);
    let waiting = Mutex::new(together.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(scenario) = next else { break };
                    perform(scenario);
                }
            });
        }
    });
    alone.into_iter().for_each(perform);
    let failed = failed.into_inner().unwrap();
    for (name, why) in &failed {
        eprintln!("test {name} FAILED: {why}");
    }
    eprintln!("{} scenarios on a real control plane, {} failed", scenarios.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
