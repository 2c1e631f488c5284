//! Sessions: that one, or those that hold it up, and never another one with the same pid.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// It began at the second that is its pid, and its query a second later.
fn blocked(pid: i32, by: &[i32], state: &str) -> Backend {
    let (started, query_started) = (Some(at(pid.into())), Some(at(i64::from(pid) + 1)));
    let state = Some(state.into());
    Backend { blocked_by: by.to_vec(), started, query_started, state, ..backend(pid, "secret", Some(f64::from(pid))) }
}

fn consider(id: &str, whom: &str, pid: i32, backends: Vec<Backend>) -> Result<Deal, String> {
    let pid = pid.to_string();
    let aim = Aim { member: Some("shop-0".into()), ..aim(&[("pid", &pid), ("whom", whom)]) };
    let looked = [sampled("shop-0", |sample| sample.backends = backends)];
    (operation(id).unwrap().consider)(&aim, &looked)
}

fn orders(deal: &Deal) -> Vec<String> {
    deal.steps.iter().map(|step| step.order.title()).collect()
}

/// 5 waits for 3 and 4; 4 waits for 2; 3 and 2 wait for nobody.
fn tree() -> Vec<Backend> {
    vec![
        blocked(1, &[], "active"),
        blocked(2, &[], "active"),
        blocked(3, &[], "idle in transaction"),
        blocked(4, &[2], "active"),
        blocked(5, &[3, 4], "active"),
    ]
}

#[test]
fn the_sessions_that_hold_one_up_in_the_end_are_ended_and_listed() {
    let deal = consider("terminate", "blockers", 5, tree()).unwrap();
    let terminate = |pid: i32| {
        format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid = {pid} and backend_start = '{}' on shop-0",
            at(pid.into())
        )
    };
    assert_eq!(orders(&deal), [terminate(2), terminate(3)]);
    let said = told(deal.lights);
    says(
        &said,
        "Green: 5 of web on shop (checkout), active for 2 s, transaction 5 s old, query begun at 1970-01-01 00:00:06 UTC \
                 waits, in the end for 2, 3",
    );
    says(
        &said,
        "Green: 3 of web on shop (checkout), idle in transaction for 2 s, transaction 3 s old, query begun at \
                 1970-01-01 00:00:04 UTC",
    );
    says(&said, "Green: 1 other(s) wait for 2");
    says(&said, "Amber: the transaction of 3, 3 s old, is rolled back");
    assert!(!said.iter().any(|line| line.contains("secret")), "{said:?}");
    assert_eq!(deal.downtime, "those 2 clients alone");
}

#[test]
fn a_cancel_leaves_out_who_runs_no_query_and_says_so() {
    let deal = consider("cancel", "blockers", 5, tree()).unwrap();
    assert_eq!((deal.steps.len(), orders(&deal)[0].contains("pid = 2 and")), (1, true));
    says(&told(deal.lights), "Amber: backend 3 is idle in transaction: it runs no query that could be cancelled");
    let idle =
        consider("cancel", "blockers", 2, vec![blocked(2, &[3], "active"), blocked(3, &[], "idle in transaction")]);
    assert!(idle.unwrap_err().ends_with("could be cancelled; terminate ends a session"));
}

#[test]
fn without_a_blocker_there_is_nothing_to_end() {
    let refused = |pid: i32, backends: Vec<Backend>| consider("terminate", "blockers", pid, backends).unwrap_err();
    assert_eq!(refused(1, tree()), "backend 1 waits for no lock: nobody holds it up");
    assert_eq!(refused(9, tree()), "backend 9 is gone");
    let hidden = Backend { state: None, ..blocked(1, &[], "") };
    assert!(refused(1, vec![hidden]).contains("is hidden: needs pg_monitor"));
    let circle = vec![blocked(1, &[2], "active"), blocked(2, &[1], "active")];
    assert!(refused(1, circle).contains("wait for each other"));
    assert!(refused(1, vec![blocked(1, &[0], "active")]).contains("ROLLBACK PREPARED"));
    assert!(refused(1, vec![blocked(1, &[7], "active")]).contains("backend 7 held it up, and is gone by now"));
    let whom = consider("terminate", "others", 5, tree()).unwrap_err();
    assert_eq!(whom, "\"others\" is neither itself nor blockers");
}

/// A pid that is another backend's by the second look is another order: it is not sent.
#[test]
fn a_pid_that_was_given_to_another_backend_is_another_order() {
    let before = consider("terminate", "itself", 2, tree()).unwrap();
    let again = Backend { started: Some(at(999)), ..blocked(2, &[], "active") };
    let after = consider("terminate", "itself", 2, vec![again]).unwrap();
    assert_ne!(before.steps, after.steps);
    assert!(orders(&before)[0].contains(&format!("backend_start = '{}'", at(2))));
}
