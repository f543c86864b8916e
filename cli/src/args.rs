//! What can be typed: commands, options and their help.
//!
//! Types for clap and nothing else; what a command does stands in `commands`. The words are those of the contract
//! (wit/). Every help text says what happens, what it prints and how it is undone.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sessile::{Durability, Engine, MessageRef, ROLES, Status, WriteOptions};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  id=$(sessile new --title \"Fix the build\")     make a session
  sessile append $id \"Why does it fail?\"        add a message
  sessile show last                             read the newest session
  sessile fork last --at 4                      try another way from message 4
  sessile import claude ~/.claude/projects      bring sessions of Claude Code here

An ID is an id, the beginning of one, or `last` for the session that changed last.
A MESSAGE is the number that `show` prints before it, or its id.";

/// Keep, list, resume, fork and undo the sessions of AI agents
///
/// Sessions are append-only files in one directory, the store. Any number of processes may use it at once, and what
/// was acknowledged is never lost.
#[derive(Debug, Parser)]
#[command(name = "sessile", version, styles = STYLES, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", crate::exit::help()))]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The directory of the store [default: $SESSILE_STORE, else `sessile` in your data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Print JSON: one document, or one per line where messages stream
    #[arg(long, global = true)]
    pub json: bool,
    /// What runs the store: `component`, sandboxed, or `native`, the same code compiled in
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_short_help = true,
        hide_possible_values = true
    )]
    pub engine: EngineName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// Sandboxed: what every language runs
    #[default]
    Component,
    /// Part of this program
    Native,
}

impl EngineName {
    /// The name to give to a program that we start.
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Native => "native",
        }
    }
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Component => Self::Component,
            EngineName::Native => Self::Native,
        }
    }
}

/// What to do. A command without a text here has it at the type of its options.
#[derive(Debug, Subcommand)]
pub enum Command {
    New(New),
    Append(Append),
    Show(Show),
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show what is known of a session
    Info(OneSession),
    Set(Set),
    Rename(Rename),
    Fork(Fork),
    /// Make a fork independent of its parent
    Detach(OneSession),
    /// Rewrite a session's log with all changes merged in
    Compact(OneSession),
    Revert(Revert),
    /// Show again what reverts have hidden
    Unrevert(Unrevert),
    Switch(Switch),
    /// List the branches of a session
    Branches(OneSession),
    /// Move a session to the trash
    Rm(OneSession),
    /// List the trash
    Trash(Trash),
    /// Take a session out of the trash
    Restore(OneSession),
    /// Remove a session that is in the trash, for good
    Purge(OneSession),
    #[command(subcommand)]
    Retention(Retention),
    Search(Search),
    Watch(Watch),
    Usage(Usage),
    Counters(Counters),
    Runs(Runs),
    Call(Call),
    Import(ImportWhat),
    /// Write sessions as the files of other agents
    #[command(subcommand)]
    Export(Export),
    Doctor(Doctor),
    Salvage(Salvage),
    Mcp(Mcp),
    /// Print a script that completes commands and options
    Completions(Completions),
    Demo(Demo),
    /// Append messages and acknowledge each: a process that `demo` starts and kills
    #[command(hide = true)]
    DemoWriter(DemoWriter),
}

/// Serve the store to AI agents over MCP
///
/// The Model Context Protocol over standard input and output. Tools list, search and read sessions; nothing is written
/// unless that is allowed. It ends when its input does.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile mcp                                    read-only
  sessile mcp --allow-write                      a tool that forks sessions, too
  claude mcp add sessile -- sessile mcp          for Claude Code")]
pub struct Mcp {
    /// Offer tools that write, too: forking a session
    #[arg(long)]
    pub allow_write: bool,
}

/// Give a session the title that you choose
///
/// Titles that programs suggest no longer replace it.
#[derive(Args, Debug)]
pub struct Rename {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The title: 1 to 100 characters
    pub title: String,
}

/// Show what would go by a policy, and let it go
///
/// What goes is moved to the trash, where `sessile restore` finds it. Running sessions, those with the tag `pinned`, those with
/// forks, and those that cannot be read stay.
#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Show what would go, why, and how many bytes it has; change nothing
    #[command(after_help = "\
Examples:
  sessile retention plan --max-age 30d
  sessile retention plan --max-sessions 100 --each-scope")]
    Plan(Policy),
    /// Move to the trash what the plan shows; purge what is there for longer than --grace
    Apply(Policy),
    /// Keep a policy in the store, for `plan` and `apply` without options, in every language
    Set(Policy),
    /// Show the policy that the store keeps
    Show,
    /// Keep no policy any more
    Unset,
}

#[derive(Args, Debug)]
pub struct Policy {
    /// Sessions that are older go, such as 30d or 12h
    #[arg(long, value_name = "SPAN")]
    pub max_age: Option<String>,
    /// At most so many stay: the newest
    #[arg(long, value_name = "N")]
    pub max_sessions: Option<u64>,
    /// At most so many bytes of logs stay: those of the newest
    #[arg(long, value_name = "BYTES")]
    pub max_bytes: Option<u64>,
    /// By which clock a session is old: when somebody looked at it, or when a message came [default: accessed]
    #[arg(long, value_name = "CLOCK", value_parser = PossibleValuesParser::new(["accessed", "active"]))]
    pub by: Option<String>,
    /// The limits are each scope's
    #[arg(long)]
    pub each_scope: bool,
    /// Purge what is in the trash for longer, such as 7d
    #[arg(long, value_name = "SPAN")]
    pub grace: Option<String>,
    /// With `set`: apply the policy whenever a program opens the store for writing
    #[arg(long)]
    pub on_open: bool,
    /// Only sessions of this scope
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
}

/// Follow what changes, in all sessions or in one
///
/// Prints a line for each change, whichever process makes it, until it is interrupted. With --json each line is
/// `{"change":{...}}`, and behind each batch comes `{"cursor":"..."}`, from which --cursor goes on later without a gap.
#[derive(Args, Debug)]
pub struct Watch {
    /// The session: its id, the beginning of its id, or `last` [default: all]
    pub id: Option<String>,
    /// Begin with everything that has ever happened
    #[arg(long, conflicts_with = "cursor")]
    pub from_start: bool,
    /// Go on where an earlier `watch --json` has ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// Print what there is and end
    #[arg(long)]
    pub once: bool,
}

/// Find messages, and titles of sessions, by their words
///
/// All words must be there, in any form of case and accents; the best come first. The index that makes this fast is brought
/// up to date first: the first time that reads all sessions. It holds nothing that the sessions do not, and can be deleted.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile search disk full
  sessile search '\"no space left\" -docker'      a phrase, and what must not be there
  sessile search 'migrat*' --since 7d --role user
  sessile search src/main.rs --tool read_file")]
pub struct Search {
    /// What to look for: words, "phrases", begin*, -without, role:user, tool:name
    #[arg(required = true, value_name = "QUERY")]
    pub query: Vec<String>,
    /// Only sessions of this scope
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
    /// Only this session: its id, the beginning of its id, or `last`
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Only messages of this role
    #[arg(long, value_parser = PossibleValuesParser::new(ROLES))]
    pub role: Option<String>,
    /// Only messages that call this tool
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Only what came since: a date, a time, or a span before now such as 7d
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only what came before
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// In the trash too
    #[arg(long)]
    pub trashed: bool,
    /// In messages that a revert or another branch hides too
    #[arg(long)]
    pub hidden: bool,
    /// Everywhere: --trashed and --hidden
    #[arg(long)]
    pub all: bool,
    /// At most so many hits [default: 20]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// Go on where an earlier `search --json` has ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// Search with the index as it is, and write nothing
    #[arg(long)]
    pub no_update: bool,
}

/// Show what models have used: tokens and cost
#[derive(Args, Debug)]
pub struct Usage {
    /// The session: its id, the beginning of its id, or `last` [default: all]
    #[arg(conflicts_with = "scope")]
    pub id: Option<String>,
    /// Only sessions of this scope
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
    /// Sum up by this
    #[arg(long, value_name = "WHAT", value_parser = PossibleValuesParser::new(["session", "scope", "model", "day"]))]
    pub by: Option<String>,
}

/// Show counters, of the store or of a session, and add to them
#[derive(Args, Debug)]
pub struct Counters {
    /// The session: its id, the beginning of its id, or `last` [default: the store's own]
    pub id: Option<String>,
    /// Add to a counter first; may be given again
    #[arg(long, value_name = "NAME=NUMBER")]
    pub add: Vec<String>,
    /// Reset a counter first; may be given again
    #[arg(long, value_name = "NAME")]
    pub reset: Vec<String>,
}

/// List the runs that have not ended
#[derive(Args, Debug)]
pub struct Runs {
    /// Only sessions of this scope
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
    /// Mark those whose process has died as interrupted
    #[arg(long)]
    pub mark: bool,
}

/// Carry out an operation of the store by its name (docs/operations.md)
///
/// Prints its answer as JSON.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile call enqueue '{\"session\":\"s\",\"items\":[{\"kind\":\"chat\",\"content\":\"hello\"}]}'
  sessile call --list")]
pub struct Call {
    /// The operation
    #[arg(required_unless_present = "list")]
    pub name: Option<String>,
    /// Its request, a JSON object, or `-` to read it from standard input [default: {}]
    #[arg(value_name = "JSON | -")]
    pub request: Option<String>,
    /// List the names of all operations
    #[arg(long)]
    pub list: bool,
}

#[derive(Args, Debug)]
pub struct OneSession {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
}

/// Make a session and print its id
#[derive(Args, Debug, Default)]
pub struct New {
    /// Its title, as chosen by you
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Whom it belongs to: a directory, a project, a group
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub scope: String,
    /// Its id, of any form [default: a fresh ULID]
    #[arg(long)]
    pub id: Option<String>,
    /// The agent
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// The model
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The provider of the model
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// A tag; may be given again
    #[arg(long = "tag", value_name = "TEXT")]
    pub tags: Vec<String>,
    /// Anything else, a JSON object
    #[arg(long, value_name = "JSON")]
    pub meta: Option<String>,
}

/// On what condition something changes
#[derive(Args, Clone, Debug, Default)]
pub struct Condition {
    /// Only if this is the number of the last message (0: none)
    #[arg(long, value_name = "N")]
    pub expect_head: Option<u64>,
    /// A name for this operation: repeated with the same name it changes nothing
    #[arg(long, value_name = "ID")]
    pub op: Option<String>,
}

impl Condition {
    /// As the store takes it.
    pub fn options(&self) -> WriteOptions {
        WriteOptions { expect_head: self.expect_head, op: self.op.clone(), ..WriteOptions::default() }
    }
}

/// Append a message, or messages from standard input
///
/// The message is durable when this returns: it survives power loss.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile append last \"Why does it fail?\"
  sessile append last --role assistant -- \"- a missing import\"
  sessile append last \"once\" --op job-17          again with the same --op adds nothing
  jq -c '.[]' messages.json | sessile append last -

A line of standard input is one message:
  {\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"Why does it fail?\"}]}
Lines that are there together are appended together, and each append is acknowledged on the output.
With --op all of standard input is one append.")]
pub struct Append {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The text, or `-` to read messages as JSON lines from standard input
    #[arg(value_name = "TEXT | -")]
    pub text: String,
    /// Who speaks [default: user]
    #[arg(long, value_parser = PossibleValuesParser::new(ROLES))]
    pub role: Option<String>,
    #[command(flatten)]
    pub condition: Condition,
    /// How far the message must have come when this returns
    #[arg(long, value_enum, default_value_t)]
    pub durability: DurabilityName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DurabilityName {
    /// In the operating system: survives the death of this process
    Buffered,
    /// On the disk: survives power loss
    #[default]
    Synced,
}

impl From<DurabilityName> for Durability {
    fn from(name: DurabilityName) -> Self {
        match name {
            DurabilityName::Buffered => Self::Buffered,
            DurabilityName::Synced => Self::Synced,
        }
    }
}

/// Show messages of a session
///
/// Long results of tools are cut, and hidden messages are only counted; --full and --json have everything.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  sessile show last                    the last 20 messages
  sessile show last --last 3 --full
  sessile show last --from 1           all messages
  sessile show last --json | jq -r 'select(.message.role == \"user\") | .message.parts[].text'")]
pub struct Show {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The last N messages [default: 20]
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "limit"])]
    pub last: Option<u64>,
    /// The messages from this number on
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// At most N messages, with --from [default: all]
    #[arg(long, value_name = "N", requires = "from")]
    pub limit: Option<u64>,
    /// Cut nothing and leave nothing out
    #[arg(long)]
    pub full: bool,
}

/// List sessions, the one that changed last first
///
/// Sessions that belong to another one, as those of sub-agents do, are only counted unless --all is given.
#[derive(Args, Debug, Default)]
pub struct Ls {
    /// Only sessions of this scope
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
    /// At most N sessions [default: 30]
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub limit: Option<u64>,
    /// Every session, those of sub-agents too
    #[arg(long)]
    pub all: bool,
}

/// Change what is known of a session
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile set last --title \"Fix the build\" --tag ci --tag rust
  sessile set last --status done --model \"\"
  sessile set last --meta '{\"branch\":\"main\",\"draft\":null}'     a null takes a member away")]
pub struct Set {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The title; it counts as chosen by you
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Take the title away
    #[arg(long, conflicts_with = "title")]
    pub no_title: bool,
    /// Whom it belongs to
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
    /// The agent; empty takes it away
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// The model; empty takes it away
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The provider of the model; empty takes it away
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// What the session is doing
    #[arg(long, value_parser = PossibleValuesParser::new(Status::ALL.map(Status::name)))]
    pub status: Option<String>,
    /// A tag; those given replace all tags, a single empty one takes all away
    #[arg(long = "tag", value_name = "TEXT")]
    pub tags: Vec<String>,
    /// A merge patch (RFC 7396) of the metadata; `null` takes all away
    #[arg(long, value_name = "PATCH")]
    pub meta: Option<String>,
    #[command(flatten)]
    pub condition: Condition,
}

/// Make a session that begins with another's messages, and print its id
///
/// No message is copied. Neither session ever sees what the other does later.
#[derive(Args, Debug, Default)]
pub struct Fork {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The last message that the fork begins with [default: the last one]
    #[arg(long, value_name = "MESSAGE", value_parser = message_ref)]
    pub at: Option<MessageRef>,
    /// Its title [default: the parent's with " (fork)"]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Its id [default: a fresh ULID]
    #[arg(long = "id", value_name = "ID")]
    pub new_id: Option<String>,
}

/// Hide all messages behind one
///
/// Nothing is removed: `unrevert` shows them again until the next append, `branches` and `switch` find them later.
#[derive(Args, Debug)]
pub struct Revert {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The message that becomes the last one
    #[arg(long, value_name = "MESSAGE", value_parser = message_ref)]
    pub to: MessageRef,
    /// Hide that message too
    #[arg(long)]
    pub inclusive: bool,
    #[command(flatten)]
    pub condition: Condition,
}

#[derive(Args, Debug)]
pub struct Unrevert {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    #[command(flatten)]
    pub condition: Condition,
}

/// Go to any message of any branch
///
/// It becomes the last visible message. `branches` lists where there is to go.
#[derive(Args, Debug)]
pub struct Switch {
    /// The session: its id, the beginning of its id, or `last`
    pub id: String,
    /// The message that becomes the last one
    #[arg(long, value_name = "MESSAGE", value_parser = message_ref)]
    pub to: MessageRef,
    #[command(flatten)]
    pub condition: Condition,
}

#[derive(Args, Debug, Default)]
pub struct Trash {
    /// At most N sessions [default: all]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// Bring sessions of other agents here
#[derive(Args, Debug)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  sessile import --all                          what every agent has in its usual place
  sessile import any ~/backup                   whatever the files there are
  sessile import codex ~/.codex/sessions")]
pub struct ImportWhat {
    /// Look for the sessions of every agent in its usual place, and take what is new
    #[arg(long)]
    pub all: bool,
    #[command(subcommand)]
    pub format: Option<Import>,
}

#[derive(Debug, Subcommand)]
pub enum Import {
    /// Import sessions of whatever agents the files are of
    ///
    /// Files are told by what is in them. Importing again adds only what is new. What cannot be read is reported with
    /// its file and line, and everything around it is taken.
    Any(ImportPaths),
    /// Import rollouts of Codex (.jsonl, .jsonl.zst)
    Codex(ImportPaths),
    /// Import sessions of OpenCode: its database, exported documents, or its older tree of files
    Opencode(ImportPaths),
    /// Import sessions of pi
    Pi(ImportPaths),
    /// Import sessions of goose: its database, exported documents, or its older files
    Goose(ImportPaths),
    /// Import sessions of gemini-cli
    Gemini(ImportPaths),
    /// Import sessions of qwen-code
    Qwen(ImportPaths),
    /// Import conversations of cline
    Cline(ImportPaths),
    /// Import sessions of Claude Code
    ///
    /// Importing again adds only what is new. A line that cannot be read is reported, and everything around it is
    /// taken. Lines that are no messages are kept too, with the messages (`source.extra`).
    #[command(after_help = "\
Examples:
  sessile import claude ~/.claude/projects
  sessile import claude session.jsonl other-directory")]
    Claude(ImportClaude),
    /// Import sessions of nanocoder
    ///
    /// Importing again adds only what is new. What cannot be read, and what the index and the files disagree about, is
    /// reported, and everything around it is taken. What has no field here is kept in the metadata and in the messages
    /// (`source`), so that `export nanocoder` gives the files back.
    #[command(after_help = "\
Examples:
  sessile import nanocoder ~/.local/share/nanocoder/sessions
  sessile import nanocoder 0b0f8a5e-0000-4000-8000-000000000001.json")]
    Nanocoder(ImportPaths),
    /// Import sessions of NomadArch
    ///
    /// Takes workspaces: the scope of a session is the name of its workspace's directory. Forks become forks, a session
    /// with a revert is reverted. Importing again adds only what is new, and brings messages up to date that have
    /// changed since. What cannot be read is reported, and everything around it is taken. `export nomadarch` gives the
    /// files back.
    #[command(after_help = "\
Examples:
  sessile import nomadarch ~/data                        every <workspace>/sessions.json
  sessile import nomadarch ~/data/my-workspace")]
    Nomadarch(ImportPaths),
    /// Import the session of octocode
    ///
    /// Its counters are kept in the metadata (`octocode`); importing again brings them up to date. A session that has
    /// replaced another there is another one here, so that no totals are lost. `export octocode` gives the files back.
    #[command(after_help = "\
Examples:
  sessile import octocode ~/.octocode
  sessile import octocode session.json")]
    Octocode(ImportPaths),
    /// Import sessions of nanoclaw
    ///
    /// Takes the SQLite pairs of sessions (inbound.db and outbound.db). What was said becomes messages, what waits becomes
    /// items of the queues, and state, routing and destinations are kept. Copies are read: the files stay as they are.
    /// Importing again adds only what is new.
    #[command(after_help = "\
Examples:
  sessile import nanoclaw ~/nanoclaw/data/v2-sessions")]
    Nanoclaw(ImportPaths),
}

#[derive(Args, Debug)]
pub struct ImportPaths {
    /// Files, or the directories that they lie in
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Export {
    /// Write sessions as files of Claude Code, sub-agents beside them
    ///
    /// A session that came from there gives its own lines back, and behind them what has come since. Every other one is
    /// written anew, and what the format has no place for is reported. A file that says the same already is left alone;
    /// where one says something else nothing is written at all.
    #[command(after_help = "\
Examples:
  sessile export claude last --into ~/.claude      where Claude Code finds it
  sessile export claude --into backup              all sessions that came from Claude Code")]
    Claude(ExportInto),
    /// Write sessions as rollouts of Codex
    ///
    /// As `export claude` does.
    #[command(after_help = "\
Examples:
  sessile export codex last --into ~/.codex        where Codex finds it")]
    Codex(ExportInto),
    /// Write sessions as documents that `opencode import` takes
    ///
    /// As `export claude` does.
    #[command(after_help = "\
Examples:
  sessile export opencode last -o session.json && opencode import session.json")]
    Opencode(ExportInto),
    /// Write sessions as files of pi
    ///
    /// As `export claude` does.
    #[command(after_help = "\
Examples:
  sessile export pi last --into ~/.pi/agent        where pi finds it")]
    Pi(ExportInto),
    /// Write sessions as Markdown
    Markdown(ExportInto),
    /// Write sessions as pages of HTML that need nothing else
    Html(ExportInto),
    /// Write sessions as files of nanocoder
    ///
    /// Makes a file for each session, and the index. A file that says the same already is left alone; where one says
    /// something else nothing is written at all. What has no place in the files is reported.
    #[command(after_help = "\
Examples:
  sessile export nanocoder sessions          all sessions that came from nanocoder
  sessile export nanocoder sessions last     any session")]
    Nanocoder(ExportTo),
    /// Write sessions as workspaces of NomadArch
    ///
    /// Makes a file <workspace>/sessions.json for each scope. Messages that a revert hides are not written. A file that
    /// says the same already is left alone; where one says something else nothing is written at all. What has no place
    /// in the files is reported.
    #[command(after_help = "\
Examples:
  sessile export nomadarch data          all sessions that came from NomadArch
  sessile export nomadarch data last     any session")]
    Nomadarch(ExportTo),
    /// Write a session as the files of octocode
    ///
    /// A directory holds one session: the one that is named, else the one that was active last. A file that says the
    /// same already is left alone; where one says something else nothing is written at all.
    #[command(after_help = "\
Examples:
  sessile export octocode home           the session of octocode that was active last
  sessile export octocode home 5f3a")]
    Octocode(ExportTo),
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("place").required(true))]
pub struct ExportInto {
    /// Sessions: ids, beginnings of ids, or `last` [default: all that came from there]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// The agent's directory: files get the places in it where the agent looks for them
    #[arg(long, value_name = "DIR", group = "place")]
    pub into: Option<PathBuf>,
    /// A file for one session, `-` for standard output
    #[arg(long, short, value_name = "FILE", group = "place")]
    pub output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ExportTo {
    /// The directory to write into; made where there is none
    #[arg(value_name = "PATH")]
    pub directory: PathBuf,
    /// Sessions: ids, beginnings of ids, or `last` [default: all that came from there]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

#[derive(Args, Debug)]
pub struct ImportClaude {
    /// Session files, or directories to look through for *.jsonl
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Check the whole store
///
/// Reads every log and compares what was derived from them; without --repair nothing is written. Ends with exit code 0
/// where the store is healthy, 5 where something is wrong, and 6 where something could not be looked at.
#[derive(Args, Debug, Default)]
pub struct Doctor {
    /// Rebuild what is derived, and remove what rewrites and purges have left; nothing else is touched
    #[arg(long)]
    pub repair: bool,
}

/// Make a new session of what can be read of a damaged one
///
/// The new session has every readable message, all branches, the facts and the attachments. The damaged one is only read.
/// Doing it again gives the same session.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile doctor                       names damaged sessions
  sessile salvage 5f3a --quarantine    and the damaged one goes out of sight")]
pub struct Salvage {
    /// The session: its id, as `sessile doctor` shows it, or what `sessile ls` shows of it
    pub id: String,
    /// The id of the new session [default: one that follows from what is salvaged]
    #[arg(long, value_name = "ID")]
    pub new_id: Option<String>,
    /// Which generation of its log, where readers do not come to it [default: the one that they read]
    #[arg(long, value_name = "N")]
    pub generation: Option<u32>,
    /// Move the damaged session to the trash, where no retention policy purges it
    #[arg(long)]
    pub quarantine: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sessile completions bash > ~/.local/share/bash-completion/completions/sessile
  sessile completions zsh > ~/.zfunc/_sessile
  sessile completions fish > ~/.config/fish/completions/sessile.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Show the store at work in a temporary directory
///
/// Imports sessions, lists, forks, reverts, writes from two processes at once, kills a third in the middle of its
/// work and checks that every acknowledged message is there. Ends with exit code 1 if one is not.
#[derive(Args, Debug)]
pub struct Demo {
    /// A directory with sessions of Claude Code [default: a small made-up one]
    #[arg(value_name = "CORPUS_DIR")]
    pub corpus: Option<PathBuf>,
    /// Keep the temporary directory
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args, Debug)]
pub struct DemoWriter {
    pub store: PathBuf,
    pub id: String,
    pub prefix: String,
    pub count: u64,
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers return results")]
fn message_ref(text: &str) -> Result<MessageRef, std::convert::Infallible> {
    Ok(text.parse().map_or_else(|_| MessageRef::from(text), MessageRef::Seq))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_message_is_a_number_or_an_id() {
        assert_eq!(message_ref("12"), Ok(MessageRef::Seq(12)));
        assert_eq!(message_ref("01JC"), Ok(MessageRef::Id("01JC".into())));
    }
}
