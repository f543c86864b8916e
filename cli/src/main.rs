//! The program `sessile`: a thin layer over the crate `sessile`.
//!
//! Reads the arguments, runs one command and ends with its exit code. It prints, and decides nothing about stores:
//! whatever it can do, every host can. Reading commands open the store read-only and never make one.

mod args;
mod commands;
mod demo;
mod exit;
mod export;
mod import;
mod mcp;
mod opening;
mod output;
mod transcript;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sessile::ErrorKind;

use args::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let json = cli.global.json;
    match commands::run(cli) {
        Ok(code) => code.into(),
        Err(error) => exit::report(&error, json),
    }
}

/// Prints help where it was asked for, and otherwise what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ExitCode {
    // The arguments could not be understood, so they are looked at as they are.
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if !error.use_stderr() {
        let _ = error.print();
        return exit::OK.into();
    }
    if json {
        let rendered = error.render().to_string();
        // The usage below is for people; `kind` and the first paragraph tell a program enough.
        let paragraph = rendered.split("\n\n").next().unwrap_or(&rendered);
        let message = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        exit::say(ErrorKind::Invalid, message, true);
    } else {
        let _ = error.print();
        let _ = std::io::stderr().flush();
    }
    exit::code(ErrorKind::Invalid).into()
}
