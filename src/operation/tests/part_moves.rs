//! Who takes over, who has to follow, and which switchover is taken back.

use super::*;
use crate::operation::succession::{CANCEL_SWITCHOVER, FAILOVER, SWITCHOVER};
use crate::run::expect::Expect;
use crate::work::patroni::Scheduled;

#[test]
fn a_switchover_takes_the_best_candidate_or_says_why_not() {
    let consider = |args: &[(&str, &str)], config| (SWITCHOVER.consider)(&aim(args), &[patroni(0, config)]);
    let deal = consider(&[], json!({})).unwrap();
    assert_eq!(deal.steps[0].order.body().unwrap(), &json!({"leader": "shop-0", "candidate": "shop-1"}));
    let refused = consider(&[("to", "shop-0")], json!({})).unwrap_err();
    assert_eq!(refused, "shop-0 cannot take over: it leads already");
    assert!(consider(&[("to", "shop-9")], json!({})).unwrap_err().contains("there are shop-0, shop-1, shop-2"));
    assert!(consider(&[], json!({"synchronous_mode": true})).unwrap_err().contains("not synchronous"));
    assert!(consider(&[("at", "tomorrow")], json!({})).unwrap_err().contains("write it like"));
    let scheduled = consider(&[("at", "2026-11-25T03:00:00+00:00")], json!({})).unwrap();
    assert!(scheduled.undo.contains("switchover-cancel"));
}

#[test]
fn a_switchover_is_cancelled_only_if_it_is_the_one_that_is_meant() {
    let mut looked = patroni(0, json!({}));
    let Ok(Answer::Patroni(view)) = &mut looked.1 else { unreachable!() };
    view.switchover = Some(Scheduled { at: "2026-11-25T04:00:00+01:00".into(), from: None, to: None });
    let cancel = |args: &[(&str, &str)]| (CANCEL_SWITCHOVER.consider)(&aim(args), &[looked.clone()]);
    assert!(cancel(&[]).is_ok() && cancel(&[("at", "2026-11-25T03:00+00:00")]).is_ok());
    let refused = cancel(&[("at", "2026-11-25T03:30+00:00")]).unwrap_err();
    assert!(refused.contains("is for 2026-11-25T04:00:00+01:00, not for 2026-11-25T03:30+00:00"), "{refused}");
}

#[test]
fn whoever_led_has_to_follow_after_a_switchover_in_whatever_state_it_is_now() {
    let followed_by = |state: &str| {
        let mut looked = patroni(0, json!({}));
        let Ok(Answer::Patroni(view)) = &mut looked.1 else { unreachable!() };
        view.members[0].state = state.into();
        let deal = (SWITCHOVER.consider)(&aim(&[]), &[looked]).unwrap();
        let Expect::Leader { followers, .. } = &deal.steps[0].expect else { panic!("{deal:?}") };
        followers.iter().any(|name| **name == *"shop-0")
    };
    assert!(followed_by("running") && followed_by("starting") && followed_by("restarting"));
}

#[test]
fn a_failover_names_what_is_at_risk_and_must_be_typed() {
    let consider = |to: &str, config| (FAILOVER.consider)(&aim(&[("to", to)]), &[patroni(0, config)]);
    let deal = consider("shop-2", json!({"synchronous_mode": true})).unwrap();
    let said: Vec<&str> = deal.lights.iter().map(|light| &*light.text).collect();
    assert!(deal.by_name && said.iter().any(|text| text.contains("2 B behind")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("commits that were confirmed")), "{said:?}");
    assert_eq!(deal.steps[0].order.body().unwrap(), &json!({"candidate": "shop-2"}));
    assert!(consider("shop-0", json!({})).unwrap_err().contains("leads already"));
}

#[test]
fn a_switchover_leaves_something_only_when_it_is_for_later() {
    let leaves = |id: &str, args: &[(&str, &str)]| operation(id).unwrap().leaves(&aim(args).args);
    assert!(leaves("switchover", &[("at", "2099-01-01T00:00:00Z")]) && !leaves("switchover", &[("to", "shop-1")]));
    assert!(leaves("patroni-pause", &[]) && !leaves("restart", &[]));
}
