//! The sandbox's commands: what was typed becomes what the sandbox is asked for.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Demo, Fleet, Globals, Regime, Report, Sandbox};
use crate::head::Exit;
use crate::sandbox::{Error, Options, command, crowd, fleet};

/// Carries out `pgdeck sandbox …`.
pub fn run(globals: &Globals, asked: &Sandbox) -> Exit {
    block_on(carry_out(globals, asked))
}

fn block_on(work: impl Future<Output = Result<Exit, Error>>) -> Exit {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match threads {
        Ok(threads) => threads.block_on(work),
        Err(error) => Err(Error::failed("pgdeck cannot start its threads", error)),
    };
    done.unwrap_or_else(|error| {
        complain(&error.to_string());
        Exit::Broken
    })
}

/// Writes to stderr; if that is closed, nobody wants to hear it.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "pgdeck: {text}"));
}

/// Carries out `pgdeck demo`: a sandbox, and the ordinary console on it in a process of its own, so that the sandbox ends
/// however the console does.
pub fn demo(globals: &Globals, asked: &Demo) -> Exit {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        complain("the demo opens a console, which needs a terminal; `pgdeck sandbox up` does without");
        return Exit::Usage;
    }
    block_on(async {
        let is_ours = !command::is_up(&asked.name)?;
        if is_ours {
            complain("starting a small fleet of real Postgres on this machine ...");
            let fleet = fleet_of(asked.fleet);
            let options =
                Options { name: asked.name.clone(), fleet, crowd: asked.crowd, regime: crowd::Regime::Heartbeat };
            command::detach(&asked.name, &command::supervisor(&options))?;
        }
        let exit = console(globals, &asked.name).await;
        if is_ours && !asked.keep {
            complain("ending the sandbox, and whatever was ordered in it ...");
            command::down(&asked.name)?;
        } else {
            complain(&format!("the sandbox stays up; end it with: pgdeck sandbox down --name {}", asked.name));
        }
        exit
    })
}

/// Opens the console on a sandbox and waits for its end; what asks us to end is handed on to it.
async fn console(globals: &Globals, name: &str) -> Result<Exit, Error> {
    let failed = |error: std::io::Error| Error::failed("the console cannot be opened", error);
    let mut console = tokio::process::Command::new(std::env::current_exe().map_err(failed)?);
    console.envs(command::variables(name)?).kill_on_drop(true);
    // Whatever the user's configuration says of contexts and namespaces is about another fleet.
    console.args(["--all-namespaces", "--context", &command::context(name)?]);
    console.args(globals.theme.iter().flat_map(|theme| ["--theme", theme]));
    console.args(globals.ascii.then_some("--ascii"));
    console.args(globals.readonly.then_some("--readonly"));
    console.args(globals.write.then_some("--write"));
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    // The terminal sends these to the console as well.
    let _interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let _hung_up = signal(SignalKind::hangup()).map_err(failed)?;
    let mut console = console.spawn().map_err(failed)?;
    let pid = console.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    loop {
        // Both are cancel-safe: they only wait.
        tokio::select! {
            ended = console.wait() => {
                return Ok(match ended.map_err(failed)?.code() {
                    Some(0) => Exit::Done,
                    Some(1) => Exit::Broken,
                    Some(2) => Exit::Usage,
                    _ => Exit::Interrupted,
                });
            }
            _ = terminated.recv() => {
                if let Some(pid) = pid {
                    // It may have ended just now; then there is nothing to hand on.
                    kill_process(pid, Signal::TERM).ok();
                }
            }
        }
    }
}

async fn carry_out(globals: &Globals, asked: &Sandbox) -> Result<Exit, Error> {
    match asked {
        Sandbox::Up { name, detach, fleet, crowd, regime } => {
            let (fleet, regime) = (fleet_of(*fleet), regime_of(*regime));
            let options = Options { name: name.clone(), fleet, crowd: *crowd, regime };
            if *detach {
                command::detach(name, &command::supervisor(&options))?;
            } else {
                log();
                command::up(options, say).await?;
            }
        }
        Sandbox::Down { name } => {
            if !command::down(name)? {
                say(&format!("the sandbox {name} is not up"));
            }
        }
        Sandbox::Status { name, output } => {
            let status = command::status(name).await?;
            say(&match output {
                Report::Json => serde_json::to_string_pretty(&status).unwrap_or_default(),
                Report::Text => status.to_string().trim_end().to_string(),
            });
        }
        Sandbox::Env { name } => say(command::env(name)?.trim_end()),
        Sandbox::Rate { name, per_second } => command::rate(name, *per_second)?,
        Sandbox::Node { base, names } => {
            log();
            command::node(globals.kubeconfig.as_deref(), base, names.as_deref()).await?;
        }
        Sandbox::Crowd { n, regime } => {
            let kubeconfig: Option<&Path> = globals.kubeconfig.as_deref();
            command::crowd(kubeconfig, *n, regime_of(*regime), say).await?;
        }
    }
    Ok(Exit::Done)
}

/// A supervisor's log is its stderr, which `--detach` leads into a file.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new("warn,pgdeck=info,kube_client=off"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // Set already means that somebody else listens.
    let _ = subscriber.try_init();
}

/// A line for whoever reads; a closed pipe is no error.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn fleet_of(asked: Fleet) -> fleet::Fleet {
    match asked {
        Fleet::Default => fleet::Fleet::Default,
        Fleet::Small => fleet::Fleet::Small,
        Fleet::None => fleet::Fleet::None,
    }
}

fn regime_of(asked: Regime) -> crowd::Regime {
    match asked {
        Regime::Silent => crowd::Regime::Silent,
        Regime::Heartbeat => crowd::Regime::Heartbeat,
        Regime::Churn => crowd::Regime::Churn,
        Regime::Both => crowd::Regime::Both,
    }
}
