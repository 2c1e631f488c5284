//! What is said before the primary's part moves, or a server stops.

use super::*;
use crate::metric::lsn::Lsn;
use crate::metric::vitals::Replay;

fn lights(looked: &[Looked], config: serde_json::Value) -> (Vec<String>, Vec<crate::run::expect::Kept>) {
    let patroni = [patroni(0, config)];
    let (said, kept) = hand_over::lights(looked, view(&patroni).unwrap(), "shop-0", "shop-1");
    (told(said), kept)
}

/// The leader as it should be, but for `change`.
fn leader(change: impl FnOnce(&mut Sample)) -> Looked {
    sampled("shop-0", |sample| {
        sample.leads();
        change(sample);
    })
}

fn sender(name: &str, behind: u64, state: Option<&str>) -> WalSender {
    WalSender {
        replayed: Some(Lsn((1 << 30) - behind)),
        // The leader's clock says 2,000,000 s.
        reply: Some(crate::fleet::health::tests::vitals(false).clock - jiff::SignedDuration::from_secs(3)),
        reference: Some(Lsn(1 << 30)),
        ..crate::metric::replication::tests::sender(name, state)
    }
}

#[test]
fn what_is_as_it_should_be_is_said_too() {
    let senders = vec![sender("shop-1", 512, Some("streaming")), sender("shop-2", 0, Some("streaming"))];
    let all = [leader(|sample| sample.senders = senders), sampled("shop-1", |_| ()), sampled("shop-2", |_| ())];
    let (said, kept) = lights(&all, json!({}));
    let expected = [
        "Green: shop-0 leads on timeline 1 by Patroni's word and its own",
        "Green: synchronous mode is off: commits wait for no standby",
        "Green: shop-1 takes over; running on timeline 1, asynchronous, 512 B behind by the primary's word (3 s ago), replays, \
         lacks no logical slot",
        "Green: shop-2 could take over; running on timeline 1, asynchronous, 0 B behind by the primary's word (3 s ago), \
         replays, lacks no logical slot",
        "Green: no base backup runs from shop-0",
        "Green: no transaction is open on shop-0",
        "Green: shop-0 archives, and 960.0 MiB of WAL are not archived yet",
        "Green: there are no logical slots to lose",
    ];
    assert_eq!(said, expected);
    assert!(kept.is_empty());
}

#[test]
fn each_member_has_its_line_with_what_speaks_against_it() {
    let check = |config: serde_json::Value, change: serde_json::Value, looks: &[Looked], expected: &str| {
        let mut members = json!([
            {"name": "shop-0", "role": "leader", "state": "running", "timeline": 1},
            {"name": "shop-1", "role": "replica", "state": "streaming", "timeline": 1, "lag": 0},
            {"name": "shop-2", "role": "replica", "state": "streaming", "timeline": 1, "lag": 4096},
        ]);
        for (key, value) in change.as_object().unwrap() {
            members[2][key] = value.clone();
        }
        let view = PatroniView::read(&json!({"members": members}), config);
        let said = told(candidates::lights(looks, &view, "shop-1"));
        assert!(said[1].starts_with(expected), "{said:#?}");
    };
    let cannot = |why: &str| format!("shop-2 cannot take over: {why}");
    let all = [leader(|_| ()), sampled("shop-1", |_| ()), sampled("shop-2", |_| ())];
    let by_patroni = "Green: shop-2 could take over; streaming on timeline 1, asynchronous, 4.0 KiB behind by Patroni's word \
                      (at most 7 s ago), replays, lacks no logical slot";
    check(json!({"loop_wait": 7}), json!({}), &all, by_patroni);
    check(
        json!({}),
        json!({"lag": "unknown"}),
        &all,
        "Green: shop-2 could take over; streaming on timeline 1, asynchronous, \
                                                       how far behind is not known",
    );
    check(
        json!({}),
        json!({"tags": {"nofailover": true}}),
        &all,
        &format!("Green: {}", cannot("it is tagged nofailover")),
    );
    check(json!({}), json!({"state": "starting"}), &all, &format!("Amber: {}", cannot("it is starting")));
    let timeline = cannot("it is on timeline 2, the leader on 1");
    check(json!({}), json!({"timeline": 2}), &all, &format!("Amber: {timeline}"));
    let far = cannot("it is 4.0 KiB behind, and Patroni allows 1.0 KiB (maximum_lag_on_failover)");
    check(json!({"maximum_lag_on_failover": 1024}), json!({}), &all, &format!("Amber: {far}"));
    let asynchronous = cannot("it is not synchronous, and synchronous mode allows only those");
    check(json!({"synchronous_mode": true}), json!({}), &all, &format!("Green: {asynchronous}"));
    check(
        json!({"synchronous_mode": true}),
        json!({"role": "sync_standby"}),
        &all,
        "Green: shop-2 could take over; streaming \
                                                                                     on timeline 1, synchronous",
    );
    let (paused, slots) = (|sample: &mut Sample| sample.vitals.replay = Replay::Paused, vec![logical("cdc")]);
    let lacking = [leader(|sample| sample.slots = slots), sampled("shop-1", |_| ()), sampled("shop-2", paused)];
    let said = "Green: shop-2 could take over; streaming on timeline 1, asynchronous, 4.0 KiB behind by Patroni's word (at most \
                10 s ago), its replay is paused: resume it first, lacks the logical slot(s) cdc";
    check(json!({}), json!({}), &lacking, said);
    let silent = [leader(|_| ()), sampled("shop-1", |_| ()), (sample_of("shop-2"), Err(Fault::Cancelled))];
    check(
        json!({}),
        json!({}),
        &silent,
        "Green: shop-2 could take over; streaming on timeline 1, asynchronous, 4.0 KiB behind by \
                                          Patroni's word (at most 10 s ago), whether it replays is not known",
    );
}

#[test]
fn what_holds_up_the_one_that_takes_over_is_amber_and_a_paused_replay_red() {
    let chosen = |looked: &[Looked]| lights(looked, json!({})).0.remove(2);
    let far = leader(|sample| sample.senders = vec![sender("shop-1", 64 << 20, Some("streaming"))]);
    assert!(chosen(&[far, sampled("shop-1", |_| ())]).starts_with("Amber: shop-1 takes over; running on timeline 1"));
    let unknown = chosen(&[leader(|_| ()), (sample_of("shop-1"), Err(Fault::Cancelled))]);
    assert!(unknown.starts_with("Amber") && unknown.contains("its slots are not known"), "{unknown}");
    let paused = sampled("shop-1", |sample| sample.vitals.replay = Replay::Paused);
    says(&lights(&[leader(|_| ()), paused], json!({})).0, "Red: replay is paused on shop-1");
    let old = sampled("shop-0", |_| ());
    says(
        &lights(&[old, sampled("shop-1", |_| ())], json!({})).0,
        "Red: shop-0 leads on timeline 1 by Patroni's word, and calls",
    );
    let (said, _) = lights(&[], json!({"synchronous_mode": true, "synchronous_mode_strict": true}));
    says(&said, "Amber: shop-0 leads on timeline 1 by Patroni's word; its own was not asked for");
    says(&said, "Amber: synchronous mode is strict, and no standby is synchronous: commits wait for one");
    says(&said, "Amber: slots, transactions and backups of shop-0 are not known");
}

#[test]
fn base_backups_and_transactions_are_none_only_where_that_is_known() {
    let stops = |change: fn(&mut Sample)| {
        let looked = [leader(change)];
        told(hand_over::stops(&answers::sampled(&looked)[0]))
    };
    let streamed = stops(|sample| sample.senders = vec![sender("pg_basebackup", 0, Some("backup"))]);
    assert_eq!(streamed[0], "Amber: 1 base backup(s) run from shop-0: they break off");
    let begun = stops(|sample| sample.backends = vec![backend(1, "SELECT * FROM pg_backup_start($1, $2)", None)]);
    assert_eq!(begun[0], streamed[0]);
    let hidden = stops(|sample| sample.senders = vec![sender("", 0, None)]);
    assert_eq!(hidden[0], "Amber: whether a base backup runs from shop-0 is hidden: needs pg_monitor");
    let hidden = stops(|sample| sample.backends = vec![backend(1, "<insufficient privilege>", None)]);
    assert_eq!(hidden[1], "Amber: how long transactions on shop-0 are open is hidden: needs pg_monitor");

    let open = stops(|sample| sample.backends = vec![backend(1, "select 1", Some(2.0)), backend(2, "", None)]);
    assert_eq!(open[1], "Green: no transaction on shop-0 is open for more than 300 s (1 open, the oldest for 2 s)");
    let long = stops(|sample| sample.backends = [900.0, 400.0, 1.0].map(|age| backend(1, "", Some(age))).to_vec());
    assert_eq!(
        long[1],
        "Amber: 2 transaction(s) on shop-0 are open for more than 300 s, the oldest for 900 s: rolled back"
    );
    let prepared = stops(|sample| sample.vitals.oldest_transaction = Some(7200.0));
    assert_eq!(prepared[1], "Amber: a prepared transaction on shop-0 is open for 7200 s: it stays");

    let silent = [(sample_of("shop-0"), Err(Fault::Cancelled))];
    let said = told(hand_over::stops(&answers::sampled(&silent)[0]));
    assert!(
        said.len() == 1 && said[0].starts_with("Amber: base backups, transactions and archiving of shop-0"),
        "{said:?}"
    );
}

#[test]
fn a_rolling_update_that_nobody_could_take_over_in_is_amber() {
    let rolls = |config: serde_json::Value| {
        let slots = vec![logical("cdc")];
        told(hand_over::rolls(&[
            patroni(0, config),
            leader(|sample| sample.slots = slots),
            (sample_of("shop-1"), Err(Fault::Cancelled)),
        ]))
    };
    let said = rolls(json!({}));
    says(&said, "Green: shop-1 could take over from the primary");
    says(&said, "Amber: Patroni does not know the slots cdc of shop-0, and may drop them when a pod is made anew");
    says(&said, "Amber: slots of shop-1 are not known");
    says(
        &rolls(json!({"synchronous_mode": true})),
        "Amber: no member could take over: the rolling update would stop half-way",
    );
    says(&told(hand_over::rolls(&[])), "Amber: whether a member could take over is not known");
}

#[test]
fn a_backlog_of_the_archiver_is_said_before_a_primary_stops() {
    let said = |failed: bool, written: u64| {
        let archiver = crate::metric::archiver::tests::archiver(failed, "000000010000000000000003");
        let looked = [leader(|sample| (sample.archiver, sample.vitals.written) = (archiver, Some(Lsn(written))))];
        told(vec![hand_over::archive(&answers::sampled(&looked)[0])]).remove(0)
    };
    let end = 4 << 24;
    assert_eq!(said(false, end + (48 << 20)), "Green: shop-0 archives, and 48.0 MiB of WAL are not archived yet");
    assert!(said(false, end + (2 << 30)).starts_with("Amber: 2.0 GiB of WAL of shop-0 are not archived yet"));
    assert!(said(true, end).starts_with("Amber: archiving fails on shop-0, and 0 B of WAL wait"));
    let off = [leader(|sample| sample.archiver.command = "/bin/true".into())];
    let said = hand_over::archive(&answers::sampled(&off)[0]);
    assert_eq!(told(vec![said]), ["Green: shop-0 archives no WAL: there is none to wait for"]);
}

#[test]
fn where_each_logical_slot_is_and_what_becomes_of_it_is_said_before() {
    let with = |slots: &[&str]| {
        let slots: Vec<Slot> = slots.iter().map(|name| logical(name)).collect();
        move |sample: &mut Sample| sample.slots = slots
    };
    let old = leader(|sample| sample.slots = vec![Slot { active: true, ..logical("cdc") }, logical("audit")]);
    let silent = (sample_of("shop-3"), Err(Fault::Cancelled));
    let all = [old, sampled("shop-1", with(&["audit"])), sampled("shop-2", with(&["cdc", "stray"])), silent];
    let (said, kept) = lights(&all, json!({}));
    let place = "(on shop-0, shop-2; missing on shop-1; not known on shop-3)";
    says(&said, &format!("Amber: shop-1 lacks the logical slot cdc, read now: its consumer loses its place {place}"));
    says(
        &said,
        "Green: shop-1 has the logical slot audit, which nobody reads now (on shop-0, shop-1; missing on shop-2;",
    );
    says(
        &said,
        "Amber: shop-1 lacks the logical slot stray, which nobody reads now: its consumer loses its place (on shop-2;",
    );
    says(&said, "Patroni does not know the slots cdc, audit of shop-0");
    let flags: Vec<(&str, bool, bool)> = kept.iter().map(|kept| (&*kept.name, kept.read, kept.lost)).collect();
    assert_eq!(flags, [("audit", false, false), ("cdc", true, true), ("stray", false, true)]);

    // What Patroni keeps comes along by itself.
    let (said, kept) = lights(&all, json!({"slots": {"cdc": {}}}));
    says(
        &said,
        "Amber: shop-1 does not have the logical slot cdc yet, read now: Patroni restarts its Postgres to copy it",
    );
    assert!(!kept[1].lost);

    let unknown = [(sample_of("shop-0"), Err(Fault::Cancelled)), sampled("shop-1", with(&["audit"]))];
    let (said, _) = lights(&unknown, json!({}));
    says(&said, "Amber: which logical slots shop-0 has is not known");
    says(&said, "Green: shop-1 has the logical slot audit");
}

#[test]
fn a_failover_waits_for_no_leader_that_is_silent_and_names_who_has_more() {
    let consider = |looks: Vec<Looked>| {
        let looked = [vec![patroni(0, json!({}))], looks].concat();
        (succession::FAILOVER.consider)(&aim(&[("to", "shop-1")]), &looked).unwrap()
    };
    let followers = |deal: &Deal| match &deal.steps[0].expect {
        crate::run::expect::Expect::Leader { followers, .. } => followers.join(" "),
        other => panic!("{other:?}"),
    };
    let more = sampled("shop-2", |sample| sample.vitals.received = Some(Lsn((1 << 30) + 4096)));
    let silent = consider(vec![(sample_of("shop-0"), Err(Fault::Cancelled)), sampled("shop-1", |_| ()), more]);
    assert_eq!(followers(&silent), "shop-1 shop-2");
    let said = told(silent.lights);
    says(&said, "Amber: shop-0 leads by Patroni's last word, and does not answer: it is not waited for");
    says(&said, "Amber: shop-2 has received 4.0 KiB more than shop-1: less is lost with it");

    let answers = consider(vec![leader(|_| ()), sampled("shop-1", |_| ()), sampled("shop-2", |_| ())]);
    assert_eq!(followers(&answers), "shop-0 shop-1 shop-2");
    let said = told(answers.lights);
    says(&said, "Amber: shop-0 leads, and answers: a switchover would lose nothing");
    says(&said, "Green: shop-1 has received up to 0/40000000, and no standby that answers has more");
}
