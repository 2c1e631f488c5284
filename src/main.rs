//! pgdeck: parse, install hooks, run, end with a code that scripts can read.

use std::process::ExitCode;

use clap::Parser;
use pgdeck::cli::Cli;
use pgdeck::{head, term};

fn main() -> ExitCode {
    let cli = Cli::parse();
    term::install_hooks();
    head::run(&cli.globals, cli.command.as_ref()).into()
}
