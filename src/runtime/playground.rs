//! The sandbox's commands: what was typed becomes what the sandbox is asked for.

use std::io::Write as _;
use std::path::Path;

use crate::cli::{Fleet, Globals, Regime, Report, Sandbox};
use crate::head::Exit;
use crate::sandbox::{Error, Options, command, crowd, fleet};

/// Carries out `pgdeck sandbox …`.
pub fn run(globals: &Globals, asked: &Sandbox) -> Exit {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match threads {
        Ok(threads) => threads.block_on(carry_out(globals, asked)),
        Err(error) => Err(Error::failed("pgdeck cannot start its threads", error)),
    };
    match done {
        Ok(exit) => exit,
        Err(error) => {
            // If stderr is closed, nobody wants to hear it.
            drop(writeln!(std::io::stderr(), "pgdeck: {error}"));
            Exit::Broken
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
        Sandbox::Node { base } => {
            log();
            command::node(globals.kubeconfig.as_deref(), base).await?;
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
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
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
