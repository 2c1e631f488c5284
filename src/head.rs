//! The faces of one brain: the console, and the commands that print and end.

pub mod act;
pub mod audit;
pub mod doctor;
mod gathering;
pub mod headless;
mod log;
mod looks;
mod shell;
pub mod tui;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::app::{Effect, Model, Outcome};
use crate::cli::{Cli, Command, ConfigCommand, Globals};
use crate::config::{self, Config, Problem, Surroundings};
use crate::present::{self, columns};
use crate::runtime::Runtime;
use crate::runtime::{Journal, clock, planes, settle};
use crate::state::Settings;
use crate::theme::Theme;

/// How a command ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, proved, or the condition held.
    Done = 0,
    /// An error of pgdeck itself.
    Broken = 1,
    /// Usage, configuration or plan file.
    Usage = 2,
    /// Refused: by the preflight, by a missing confirmation, or because nothing may be changed.
    Refused = 3,
    /// Forbidden, or not authenticated.
    Forbidden = 4,
    /// Failed.
    Failed = 5,
    /// Sent, and its effect not seen in time.
    Unproven = 6,
    /// Whoever was asked did not answer in time: nothing was sent.
    TimedOut = 7,
    /// The thing is gone.
    Gone = 8,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> i32 {
        self as i32
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Carries out what was typed, but for the sandbox's commands.
pub fn run(globals: &Globals, command: Option<&Command>) -> Exit {
    let around = Surroundings::look();
    if let Some(Command::Completions { shell }) = command {
        clap_complete::generate(*shell, &mut Cli::command(), "pgdeck", &mut io::stdout());
        return Exit::Done;
    }
    let config = match config::load(globals, &around) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    let theme = match looks_fit(&config, &around) {
        Ok(theme) => theme,
        Err(message) => return usage(&message),
    };
    if let Some(Command::Config { command: ConfigCommand::Check }) = command {
        let path = globals.config.as_ref().unwrap_or(&around.config);
        let found = if path.exists() { "nothing is wrong with it" } else { "is not there; the defaults hold" };
        return say(&format!("{}: {found}", path.display()));
    }
    if let Some(path) = &config.kubeconfig {
        shell::KUBECONFIG.get_or_init(|| path.clone());
    }
    let journal = Journal::in_folder(&around.state);
    match command {
        Some(Command::Audit(asked)) => return audit::run(&journal, asked),
        Some(Command::Do(asked)) if asked.list => return act::list(asked),
        _ => {}
    }
    let _log = log::start(&around.state);
    shell::forget_left_over(&around.state);
    let started =
        config::check_anything_to_watch(&config).map_err(|problem| vec![problem]).and_then(|()| planes::open(&config));
    let planes = match started {
        Ok(planes) => planes,
        Err(problems) => return refuse(&problems),
    };
    let runtime = match Runtime::start(planes, config.tunnels) {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&format!("pgdeck cannot start its threads: {error}; are there limits on processes?"));
        }
    };
    match command {
        Some(Command::Status(asked)) => ended(runtime, |runtime| headless::run(runtime, asked)),
        Some(Command::Do(asked)) => ended(runtime, |runtime| act::run(runtime, &config, &journal, asked)),
        Some(Command::Doctor(asked)) => ended(runtime, |runtime| doctor::run(runtime, asked)),
        _ => console(&config, theme, runtime, &journal),
    }
}

/// The theme, if it and the columns that are wanted exist.
fn looks_fit(config: &Config, around: &Surroundings) -> Result<Theme, String> {
    let place = "--theme, or theme in the configuration";
    let theme = looks::theme(config, around).map_err(|message| format!("{place}: {message}"))?;
    columns::chosen(&config.columns)?;
    Ok(theme)
}

fn ended(runtime: Runtime, run: impl FnOnce(&Runtime) -> Exit) -> Exit {
    let exit = run(&runtime);
    runtime.stop();
    exit
}

/// What a write to a terminal that hung up says (EIO).
const GONE: i32 = rustix::io::Errno::IO.raw_os_error();

/// Opens the console.
fn console(config: &Config, theme: Theme, mut runtime: Runtime, journal: &Journal) -> Exit {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return usage("the console needs a terminal for its keys and its picture; use `pgdeck status` in scripts");
    }
    if config.write && config.readonly {
        return usage("--write: --readonly, or readonly in the configuration, allows no change; leave one of them out");
    }
    let settings = Settings {
        ascii: config.ascii,
        protected: [&config.protected[..], &runtime.protected()].concat(),
        columns: config.columns.clone(),
        read_only: config.readonly,
        armed_min: config.armed_min,
        arm_key: Settings::default().arm_key,
        kubeconfig: config.kubeconfig.as_ref().map(|path| path.display().to_string().into()),
        who: act::who(),
        process: std::process::id(),
    };
    let mut model = match Model::new(settings, theme, &config.keys) {
        Ok(model) => model,
        Err(errors) => return usage(&errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    };
    let colors = if config.no_color { tui::Colors::Stripped } else { tui::Colors::Shown };
    let cut_off = settle::all_cut_off(journal, clock::now());
    cut_off.held.iter().for_each(|left| runtime.gate().adopt(left.run.clone()));
    for effect in model.take_up(clock::now(), cut_off) {
        if let Effect::Run(run, outs) = effect {
            runtime.step(run, outs, journal);
        }
    }
    if config.write {
        for effect in model.begin_armed(clock::now(), &runtime.scopes()) {
            if let Effect::Arm(scope, until) = effect {
                runtime.gate().open(scope, until);
            }
        }
    }
    model.state.ledger.note_standing(settle::standing(journal, clock::now()));
    let left = tui::run(&mut model, &mut runtime, journal, colors);
    // Before anything that may take its time: an end by force is near.
    for text in model.state.ledger.last_words() {
        complain(&present::clean(&format!("pgdeck: {text}")));
    }
    runtime.stop();
    if let Err(why) = journal.catch_up() {
        complain(&format!("pgdeck: what became of an order is not in the journal: {why}; the next start looks for it"));
    }
    match left {
        Ok(Outcome::Left) => Exit::Done,
        Ok(Outcome::Interrupted) => Exit::Interrupted,
        // The terminal went away while it was written to, before its hang-up was told.
        Err(error) if matches!(error.raw_os_error(), Some(GONE)) => Exit::Interrupted,
        Err(error) => fail(&format!("the terminal cannot be used: {error}; was it closed?")),
    }
}

fn refuse(problems: &[Problem]) -> Exit {
    for problem in problems {
        complain(&format!("pgdeck: {problem}"));
    }
    Exit::Usage
}

fn usage(message: &str) -> Exit {
    complain(&format!("pgdeck: {message}"));
    Exit::Usage
}

fn fail(message: &str) -> Exit {
    complain(&format!("pgdeck: {message}"));
    Exit::Broken
}

/// Writes to stderr; if that is closed, nobody wants to hear it.
fn complain(message: &str) {
    drop(writeln!(io::stderr(), "{message}"));
}

/// Writes to stdout; a reader that has enough (`| head`) is no error.
fn say(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => fail(&format!("stdout cannot be written: {error}")),
    }
}
