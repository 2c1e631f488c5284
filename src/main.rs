//! pgdeck: parse, install hooks, run, end with a code that scripts can read.

use std::process::ExitCode;

use clap::Parser;
use pgdeck::cli::Cli;
#[cfg(feature = "sandbox")]
use pgdeck::{cli::Command, runtime::playground};
use pgdeck::{head, term};

fn main() -> ExitCode {
    let cli = Cli::parse();
    term::install_hooks();
    #[cfg(feature = "sandbox")]
    match &cli.command {
        Some(Command::Sandbox { command }) => return playground::run(&cli.globals, command).into(),
        Some(Command::Demo(demo)) => return playground::demo(&cli.globals, demo).into(),
        _ => {}
    }
    head::run(&cli.globals, cli.command.as_ref()).into()
}
