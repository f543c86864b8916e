//! One module per noun: each opens the store as its command needs it, calls one operation and prints the result.

mod branch;
mod check;
mod message;
mod operation;
mod search;
mod session;
mod trash;

use anyhow::Result;
use clap::CommandFactory;
use serde::Serialize;

pub use check::{Health, examine};
pub use message::show_messages;
pub use session::{list_sessions, named, print_sessions};

use sessile_formats::Format;

use crate::args::{Cli, Command, Completions, Export, ExportTo, Import, ImportWhat};
use crate::exit::OK;
use crate::export::formats::Target;
use crate::import::Layout;
use crate::opening::Opening;
use crate::output::Out;
use crate::{demo, export, import, mcp};

/// What every command is given.
pub struct Context {
    pub opening: Opening,
    pub out: Out,
}

/// Runs a command and returns the exit code.
pub fn run(cli: Cli) -> Result<u8> {
    let engine = cli.global.engine;
    let mut context = Context { opening: Opening::of(&cli.global)?, out: Out::stdout(cli.global.json) };
    let result = match cli.command {
        Command::New(args) => session::create(&mut context, args),
        Command::Append(args) => message::append(&mut context, &args),
        Command::Show(args) => message::show(&mut context, &args),
        Command::Ls(args) => session::list(&mut context, &args),
        Command::Info(args) => session::info(&mut context, &args.id),
        Command::Set(args) => session::set(&mut context, args),
        Command::Rename(args) => session::rename(&mut context, args),
        Command::Retention(args) => operation::retention(&mut context, args),
        Command::Search(args) => search::search(&mut context, args),
        Command::Watch(args) => operation::watch(&mut context, args),
        Command::Usage(args) => operation::usage(&mut context, args),
        Command::Counters(args) => operation::counters(&mut context, args),
        Command::Runs(args) => operation::runs(&mut context, args),
        Command::Call(args) => operation::call(&mut context, args),
        Command::Fork(args) => branch::fork(&mut context, args),
        Command::Detach(args) => branch::detach(&mut context, &args.id),
        Command::Compact(args) => branch::compact(&mut context, &args.id),
        Command::Revert(args) => branch::revert(&mut context, &args),
        Command::Unrevert(args) => branch::unrevert(&mut context, &args),
        Command::Switch(args) => branch::switch(&mut context, &args),
        Command::Branches(args) => branch::list(&mut context, &args.id),
        Command::Rm(args) => trash::remove(&mut context, &args.id),
        Command::Trash(args) => trash::list(&mut context, &args),
        Command::Restore(args) => trash::restore(&mut context, &args.id),
        Command::Purge(args) => trash::purge(&mut context, &args.id),
        Command::Import(ImportWhat { format: Some(format), .. }) => import_from(&mut context, &format),
        Command::Import(_) => import::formats::all(&mut context),
        Command::Export(format) => export_to(&mut context, &format),
        Command::Doctor(args) => check::doctor(&mut context, &args),
        Command::Salvage(args) => check::salvage(&mut context, args),
        Command::Mcp(args) => mcp::serve(&mut context, &args),
        Command::Completions(args) => completions(&mut context, &args),
        Command::Demo(args) => demo::run(&mut context, &args, engine),
        Command::DemoWriter(args) => demo::write(&mut context, &args),
    };
    // What was printed before an error comes before the error.
    let flushed = context.out.flush();
    let code = result?;
    flushed?;
    Ok(code)
}

fn import_from(context: &mut Context, format: &Import) -> Result<u8> {
    let run = |context: &mut Context, format, paths: &[_]| import::formats::run(context, format, paths);
    match format {
        Import::Any(args) => run(context, None, &args.paths),
        Import::Codex(args) => run(context, Some(Format::Codex), &args.paths),
        Import::Opencode(args) => run(context, Some(Format::OpenCode), &args.paths),
        Import::Pi(args) => run(context, Some(Format::Pi), &args.paths),
        Import::Goose(args) => run(context, Some(Format::Goose), &args.paths),
        Import::Gemini(args) => run(context, Some(Format::Gemini), &args.paths),
        Import::Qwen(args) => run(context, Some(Format::Qwen), &args.paths),
        Import::Cline(args) => run(context, Some(Format::Cline), &args.paths),
        Import::Claude(args) => import::claude(context, &args.paths),
        Import::Nanocoder(args) => import::layout(context, Layout::Nanocoder, &args.paths),
        Import::Nomadarch(args) => import::layout(context, Layout::NomadArch, &args.paths),
        Import::Octocode(args) => import::layout(context, Layout::Octocode, &args.paths),
        Import::Nanoclaw(args) => import::nanoclaw(context, &args.paths),
    }
}

fn export_to(context: &mut Context, format: &Export) -> Result<u8> {
    let layout = |context: &mut Context, layout, args: &ExportTo| {
        export::run(context, layout, &args.directory, &args.ids)
    };
    match format {
        Export::Claude(args) => export::formats::run(context, Target::Format(Format::Claude), args),
        Export::Codex(args) => export::formats::run(context, Target::Format(Format::Codex), args),
        Export::Opencode(args) => export::formats::run(context, Target::Format(Format::OpenCode), args),
        Export::Pi(args) => export::formats::run(context, Target::Format(Format::Pi), args),
        Export::Markdown(args) => export::formats::run(context, Target::Markdown, args),
        Export::Html(args) => export::formats::run(context, Target::Html, args),
        Export::Nanocoder(args) => layout(context, Layout::Nanocoder, args),
        Export::Nomadarch(args) => layout(context, Layout::NomadArch, args),
        Export::Octocode(args) => layout(context, Layout::Octocode, args),
    }
}

fn completions(context: &mut Context, args: &Completions) -> Result<u8> {
    #[derive(Serialize)]
    struct Script {
        shell: String,
        script: String,
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sessile", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if context.out.json {
        context.out.document(&Script { shell: args.shell.to_string(), script })?;
    } else {
        context.out.line(script.trim_end())?;
    }
    Ok(OK)
}
