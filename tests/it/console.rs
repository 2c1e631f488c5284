//! The console in a real terminal: it starts at once, stops and continues, and ends cleanly whatever ends it.

use std::time::Duration;

use rustix::process::Signal;

use crate::tty::Tty;

/// A fleet that nothing answers for: the console must be at hand all the same.
const NOBODY: &[(&str, &str)] = &[("PGHOST", "127.0.0.1"), ("PGPORT", "1")];

fn console() -> Tty {
    let mut tty = Tty::start(&[], NOBODY, (80, 24));
    tty.wait_for("the first picture", |tty| tty.is_alternate() && tty.n_frames() > 0);
    tty
}

/// Everything that was switched on is off again.
#[track_caller]
fn assert_restored(tty: &Tty) {
    let transcript = String::from_utf8_lossy(&tty.transcript);
    for (on, off) in [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h"), ("\x1b[?2004h", "\x1b[?2004l")] {
        let (on, off) = (transcript.rfind(on), transcript.rfind(off));
        assert!(off > on, "not restored: {:?}", &transcript[transcript.len().saturating_sub(200)..]);
    }
    assert_eq!(
        transcript.matches("\x1b[?2026h").count(),
        transcript.matches("\x1b[?2026l").count().min(transcript.matches("\x1b[?2026h").count())
    );
}

#[test]
fn the_first_picture_comes_at_once_though_nobody_answers() {
    let mut tty = Tty::start(&[], NOBODY, (80, 24));
    let waited = tty.wait_for("the first picture", |tty| tty.n_frames() > 0);
    assert!(waited < Duration::from_millis(500), "took {waited:?} (100 ms in a release build)");
}

#[test]
fn it_quits_by_a_key_and_gives_the_terminal_back() {
    let mut tty = console();
    tty.keys("q");
    assert_eq!(tty.wait_exit(Duration::from_secs(3)).exit_code(), 0);
    assert_restored(&tty);
}

/// What the test below starts once more, in a terminal of its own.
const PANICS: &str = "PGDECK_TEST_PANICS";

#[test]
fn a_panic_gives_the_terminal_back_before_its_report() {
    if std::env::var_os(PANICS).is_some() {
        pgdeck::term::install_hooks();
        let _term = pgdeck::term::Term::take().unwrap();
        panic!("the brain broke");
    }
    let test = "console::a_panic_gives_the_terminal_back_before_its_report";
    let program = std::env::current_exe().unwrap();
    let mut tty = Tty::start_program(&program, &["--exact", test, "--nocapture"], &[(PANICS, "1")], (80, 24));
    assert_ne!(tty.wait_exit(Duration::from_secs(10)).exit_code(), 0);
    assert_restored(&tty);
    let transcript = String::from_utf8_lossy(&tty.transcript);
    assert!(transcript.rfind("the brain broke") > transcript.rfind("\x1b[?1049l"), "{transcript:?}");
}

#[test]
fn signals_and_hang_ups_end_it_within_a_second() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut tty = console();
        tty.signal(signal);
        // Within a second; debug builds on a busy machine are given two.
        assert_eq!(tty.wait_exit(Duration::from_secs(2)).exit_code(), 130, "{signal:?}");
        assert_restored(&tty);
    }
    let mut tty = console();
    tty.hang_up();
    tty.wait_exit(Duration::from_secs(2));
}

#[test]
fn ctrl_z_stops_it_and_continuing_draws_everything_again() {
    let mut tty = console();
    tty.keys("\x1a");
    tty.wait_for("the stop", |tty| tty.state() == 'T' && !tty.is_alternate());
    tty.signal(Signal::CONT);
    tty.wait_for("the picture again", |tty| tty.is_alternate() && tty.text().contains("fleet"));
    tty.signal(Signal::TSTP);
    tty.wait_for("the stop", |tty| tty.state() == 'T' && !tty.is_alternate());
    tty.signal(Signal::CONT);
    tty.wait_for("the picture again", |tty| tty.is_alternate() && tty.text().contains("fleet"));
    tty.keys("q");
    assert_eq!(tty.wait_exit(Duration::from_secs(3)).exit_code(), 0);
    assert_restored(&tty);
}

#[test]
fn a_storm_of_sizes_is_survived() {
    let mut tty = console();
    for (columns, rows) in [(40, 100), (24, 80), (10, 20), (2, 5), (1, 1), (300, 80), (81, 25)] {
        tty.resize(columns, rows);
        tty.watch(Duration::from_millis(3));
    }
    tty.keys("q");
    assert_eq!(tty.wait_exit(Duration::from_secs(5)).exit_code(), 0);
}

#[test]
fn at_rest_it_writes_nothing_and_uses_no_processor() {
    let mut tty = console();
    tty.watch(Duration::from_millis(1500));
    let (cpu, written) = (tty.cpu(), tty.transcript.len());
    tty.watch(Duration::from_secs(2));
    let used = tty.cpu().saturating_sub(cpu);
    assert!(used <= Duration::from_millis(50), "used {used:?} in 2 s");
    let grown = tty.transcript.len() - written;
    assert!(grown < 400, "wrote {grown} bytes in 2 s");
}
