//! The terminal itself: taken when the console starts, given back whatever happens.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::style::ResetColor;
use crossterm::terminal::{
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use rustix::process::Signal;

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The thread that draws: a panic there ends the console, a panic elsewhere must not touch the screen.
static OWNER: OnceLock<ThreadId> = OnceLock::new();

/// Holds the terminal in raw mode and on the alternate screen; dropping it gives the terminal back.
#[derive(Debug)]
pub struct Term(());

impl Term {
    /// Takes the terminal.
    pub fn take() -> io::Result<Self> {
        OWNER.get_or_init(|| thread::current().id());
        enter()?;
        Ok(Term(()))
    }

    /// Takes it again after somebody else had it: the shell, after `fg`.
    pub fn retake(&self) -> io::Result<()> {
        disable_raw_mode()?;
        enter()
    }

    /// Gives it to a program that we start; [`Term::retake`] takes it again.
    pub fn lend(&self) {
        give_back();
    }

    /// Gives it back and stops this job, as ctrl-z does. Returns when the job is continued, or a little before it stops:
    /// draw nothing until SIGCONT came.
    pub fn suspend(&self) -> io::Result<()> {
        give_back();
        rustix::process::kill_current_process_group(Signal::STOP).map_err(io::Error::from)
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide)
}

/// Gives the terminal back, if it is ours. The terminal may be gone: then there is nothing to give back.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut stdout = io::stdout();
    let restored = queue!(stdout, EndSynchronizedUpdate, ResetColor, DisableBracketedPaste, Show, LeaveAlternateScreen)
        .and_then(|()| stdout.flush())
        .and(disable_raw_mode());
    if let Err(error) = restored {
        tracing::debug!(%error, "the terminal could not be restored");
    }
}

/// Gives back the modes alone, without writing: for an end while the terminal takes no output.
pub fn give_back_modes() {
    TAKEN.store(false, Ordering::SeqCst);
    if let Err(error) = disable_raw_mode() {
        tracing::debug!(%error, "the terminal could not be restored");
    }
}

/// Makes panics readable: the screen is restored before the report. A panic of a background task goes to the log alone.
pub fn install_hooks() {
    let (panic_hook, error_hook) = color_eyre::config::HookBuilder::default().display_env_section(false).into_hooks();
    if let Err(error) = error_hook.install() {
        tracing::warn!(%error, "error reports stay plain");
    }
    std::panic::set_hook(Box::new(move |info| {
        let owner = OWNER.get().copied();
        let report = panic_hook.panic_report(info);
        if TAKEN.load(Ordering::SeqCst) && owner.is_some_and(|owner| owner != thread::current().id()) {
            tracing::error!("{report}");
            return;
        }
        give_back();
        // The last words; if stderr is gone too, there is nobody to tell.
        drop(writeln!(io::stderr(), "{report}"));
    }));
}
