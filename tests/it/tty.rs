//! The real binary in a real pseudo-terminal, and the screen it draws.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program in a terminal.
pub struct Tty {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    output: Receiver<Vec<u8>>,
    hung_up: Arc<AtomicBool>,
    screen: vt100::Parser,
    /// All that was ever written.
    pub transcript: Vec<u8>,
    home: Home,
}

/// A home folder of its own.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Tty {
    /// Starts pgdeck with these arguments and variables in a terminal of that size.
    pub fn start(args: &[&str], vars: &[(&str, &str)], size: (u16, u16)) -> Tty {
        Tty::start_program(env!("CARGO_BIN_EXE_pgdeck").as_ref(), args, vars, size)
    }

    /// Starts another build of pgdeck.
    pub fn start_program(program: &Path, args: &[&str], vars: &[(&str, &str)], (columns, rows): (u16, u16)) -> Tty {
        let pty = native_pty_system().openpty(size(columns, rows)).expect("a pseudo-terminal");
        let home = home();
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        command.env("HOME", &home.0);
        command.env("TERM", "xterm-256color");
        for (name, value) in vars {
            command.env(name, value);
        }
        command.cwd(&home.0);
        let child = pty.slave.spawn_command(command).expect("pgdeck starts");
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().expect("a reader of the terminal");
        let (sender, output) = channel();
        let hung_up = Arc::new(AtomicBool::new(false));
        let ended = hung_up.clone();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..n].to_vec()).is_err() || ended.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let keys = pty.master.take_writer().expect("a writer to the terminal");
        Tty {
            child,
            master: Some(pty.master),
            keys: Some(keys),
            output,
            hung_up,
            screen: vt100::Parser::new(cells(rows), cells(columns), 0),
            transcript: Vec::new(),
            home,
        }
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        let writer = self.keys.as_mut().expect("the terminal is there");
        writer.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Changes the terminal's size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.master.as_ref().expect("the terminal is there").resize(size(columns, rows)).expect("a resize");
        self.screen.screen_mut().set_size(cells(rows), cells(columns));
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the program is there");
    }

    /// The program's process id.
    pub fn pid(&self) -> Pid {
        let pid = self.child.process_id().and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(Pid::from_raw).expect("a process id")
    }

    /// What `/proc` says of the program's state: `T` when it is stopped.
    pub fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?')
    }

    /// Processor time that the program used.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).expect("its stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a stat line").1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// The program's home: its configuration, state and log are below.
    pub fn home(&self) -> &std::path::Path {
        &self.home.0
    }

    /// The text on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Whether the alternate screen is shown.
    pub fn is_alternate(&self) -> bool {
        self.screen.screen().alternate_screen()
    }

    /// How many frames were written whole.
    pub fn n_frames(&self) -> usize {
        let end = b"\x1b[?2026l";
        self.transcript.windows(end.len()).filter(|window| window == end).count()
    }

    /// Closes the terminal, as a lost connection does.
    pub fn hang_up(&mut self) {
        self.hung_up.store(true, Ordering::SeqCst);
        // The reader holds the terminal open until it has read something: make the program paint.
        self.resize(50, 10);
        self.keys = None;
        self.master = None;
    }

    /// Takes in output for that long.
    pub fn watch(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if !self.take_in(left) {
                return;
            }
        }
    }

    /// Waits until the screen is as it should be; fails with the screen otherwise.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, is_so: impl Fn(&Tty) -> bool) -> Duration {
        self.wait_within(PATIENCE, what, is_so)
    }

    /// Moves the cursor down to the row of that name, wherever it stands now.
    #[track_caller]
    pub fn go_to(&mut self, patience: Duration, name: &str) {
        let begun = Instant::now();
        let place = |tty: &Tty| tty.text().lines().position(|line| line.starts_with('>'));
        let is_there = |tty: &Tty| tty.text().lines().any(|line| line.starts_with('>') && line.contains(name));
        while !is_there(self) {
            assert!(begun.elapsed() < patience, "the cursor does not come to {name}; the screen:\n{}", self.text());
            let before = place(self);
            self.keys("j");
            self.wait_within(patience, "the cursor's next row", |tty| place(tty).is_some() && place(tty) != before);
        }
    }

    /// As `wait_for`, with more patience.
    #[track_caller]
    pub fn wait_within(&mut self, patience: Duration, what: &str, is_so: impl Fn(&Tty) -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < patience, "waited in vain for {what}; the screen:\n{}", self.text());
            self.take_in(Duration::from_millis(20));
        }
        begun.elapsed()
    }

    /// Waits until the program ended.
    #[track_caller]
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                while self.take_in(Duration::from_millis(20)) {}
                return status;
            }
            assert!(begun.elapsed() < within, "still runs after {within:?}; the screen:\n{}", self.text());
            self.take_in(Duration::from_millis(5));
        }
    }

    /// Takes in the next piece of output, if any comes in time. False when there will be no more.
    fn take_in(&mut self, wait: Duration) -> bool {
        match self.output.recv_timeout(wait) {
            Ok(bytes) => {
                self.screen.process(&bytes);
                self.transcript.extend(bytes);
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait.min(Duration::from_millis(5)));
                false
            }
        }
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("a terminal has cells")
}

fn home() -> Home {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let home = std::env::temp_dir().join(format!("pgdeck-tty-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a home folder");
    Home(home)
}

/// Asserts that the program wrote no escape sequence but those that move, colour, clear and switch modes.
pub fn assert_only_allowed_escapes(transcript: &[u8]) {
    for (at, _) in transcript.iter().enumerate().filter(|(_, byte)| **byte == 0x1b) {
        let rest = &transcript[at + 1..];
        let parameters = rest.iter().skip(1).take_while(|byte| matches!(byte, b'0'..=b'?')).count();
        let last = rest.get(1 + parameters).copied().unwrap_or(b'm');
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(20)]);
        assert!(
            rest.first() == Some(&b'[') && b"mHABCDGdJKXhl".contains(&last),
            "an escape in the transcript: {shown:?}"
        );
    }
}

#[test]
fn a_foreign_escape_would_be_seen() {
    assert_only_allowed_escapes(b"\x1b[1;32mok\x1b[2J\x1b[?2026h");
    for foreign in ["\x1b]52;c;QUJD\x07", "\x1bP", "\x1b[5n\x1bc"] {
        assert!(std::panic::catch_unwind(|| assert_only_allowed_escapes(foreign.as_bytes())).is_err(), "{foreign:?}");
    }
}
