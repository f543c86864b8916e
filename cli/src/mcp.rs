//! A server for the Model Context Protocol over standard input and output: tools that list, search, read and fork.
//!
//! Read-only unless asked: then the tools that write are there. Whatever is wrong with the arguments of a tool is the
//! tool's answer, so that a model can mend its call.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, ServerInitializeError};
use rmcp::{ServerHandler, ServiceExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sessile::operations::search::{Search, UpdateSearch};
use sessile::{Error, ErrorKind, ForkOptions, ListQuery, MessageRef, Select, Session, Store};

use crate::args;
use crate::commands::Context;
use crate::exit::OK;

/// How many sessions or messages a tool gives where nothing is said, and at most.
const LIMIT_DEFAULT: u32 = 30;
const LIMIT_MAX: u32 = 500;
/// An answer is about as long as this, unless one message alone is longer: a model reads all of it.
const ANSWER_BYTES: usize = 100_000;

const INSTRUCTIONS: &str = "\
Sessions of AI agents in a Sessile store. A session is named by its id, the beginning of its id, or `last` for the one \
that changed last. Messages have numbers from 1. Times are milliseconds since 1970.";

/// Serves until the client closes its side.
pub fn serve(context: &mut Context, args: &args::Mcp) -> Result<u8> {
    let store = if args.allow_write { context.opening.write()? } else { context.opening.read()? };
    let server = Server { store: Mutex::new(store), may_write: args.allow_write };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        match server.serve(rmcp::transport::stdio()).await {
            Ok(running) => {
                running.waiting().await.map(drop).map_err(|cause| anyhow!("the server failed: {cause}"))
            }
            // A client that goes away before it says anything wants nothing.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(cause) => {
                Err(Error::new(ErrorKind::Invalid, format!("the client does not speak MCP: {cause}")).into())
            }
        }
    });
    // A read of standard input that nobody waits for any more must not hold the end up.
    runtime.shutdown_background();
    served.map(|()| OK)
}

struct Server {
    store: Mutex<Store>,
    may_write: bool,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("sessile", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools(self.may_write)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        // Whatever a panic has left: what a store has in memory is a cache of files.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match request.name.as_ref() {
            "list_sessions" => given(arguments).and_then(|args| list(&mut store, args)),
            "search_sessions" => given(arguments).and_then(|args| search(&mut store, args, self.may_write)),
            "read_session" => given(arguments).and_then(|args| read(&mut store, &args)),
            "fork_session" if self.may_write => given(arguments).and_then(|args| fork(&mut store, args)),
            "fork_session" => {
                Err(invalid("this server is read-only; it forks where it is started with --allow-write"))
            }
            other => return Err(ErrorData::invalid_params(format!("there is no tool {other:?}"), None)),
        };
        let text = |text: String| vec![ContentBlock::text(text)];
        Ok(match answer {
            Ok(answer) => CallToolResult::success(text(answer)).into(),
            Err(error) => {
                CallToolResult::error(text(format!("{}: {}", error.kind.name(), error.message))).into()
            }
        })
    }
}

/// The JSON of what a tool answers.
type Answer = sessile::Result<String>;

fn answer(value: &impl Serialize) -> Answer {
    serde_json::to_string(value).map_err(|cause| Error::new(ErrorKind::Internal, format!("no JSON: {cause}")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Reads the arguments of a tool. A member that it has not is a typing mistake.
fn given<Args: for<'de> Deserialize<'de>>(arguments: Value) -> sessile::Result<Args> {
    serde_json::from_value(arguments).map_err(|cause| invalid(format!("the arguments are wrong: {cause}")))
}

fn limit_of(limit: Option<u32>) -> sessile::Result<u32> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        limit => Err(invalid(format!("`limit` is {limit}; it must be 1 to {LIMIT_MAX}"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArgs {
    scope: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

fn list(store: &mut Store, ListArgs { scope, cursor, limit }: ListArgs) -> Answer {
    let page = store.list(&ListQuery { scope, trashed: false, cursor, limit: limit_of(limit)? })?;
    answer(&json!({ "sessions": page.sessions.iter().map(about).collect::<Vec<_>>(), "next": page.next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArgs {
    query: String,
    scope: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Finds messages by their words, the best first. A server that may write brings the index up to date before.
fn search(store: &mut Store, args: SearchArgs, may_write: bool) -> Answer {
    let limit = Some(limit_of(args.limit)?);
    // A search goes on without what could not be added, and says so.
    while may_write && store.run(&UpdateSearch::default()).is_ok_and(|updated| updated.more) {}
    let SearchArgs { query, scope, cursor, .. } = args;
    let found = store.run(&Search { query, scope, cursor, limit, ..Search::default() })?;
    let hits = found.hits.iter().map(|hit| {
        let also: Vec<&str> = hit.also.iter().map(|place| place.session_id.as_str()).collect();
        let mut shown = json!({
            "session": hit.session_id,
            "title": hit.title,
            "seq": hit.seq,
            "role": hit.role,
            "created_at": hit.created_at,
            "text": hit.snippet,
        });
        if let (false, Some(members)) = (also.is_empty(), shown.as_object_mut()) {
            members.insert("also".into(), json!(also));
        }
        shown
    });
    let mut shown = json!({ "found": hits.collect::<Vec<_>>(), "next": found.next });
    if let (true, Some(members)) = (found.behind.sessions > 0, shown.as_object_mut()) {
        let left = format!(
            "{} sessions were not searched wholly: the index is behind; `sessile search` brings it up to date",
            found.behind.sessions
        );
        members.insert("incomplete".into(), left.into());
    }
    answer(&shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadArgs {
    session: String,
    from: Option<u64>,
    limit: Option<u32>,
}

/// Reads the newest messages, or those from a number on; not more than a model wants at once.
fn read(store: &mut Store, args: &ReadArgs) -> Answer {
    let session = store.resolve(&args.session, None)?;
    let limit = limit_of(args.limit)?;
    let select = match args.from {
        Some(0) => return Err(invalid("`from` is 0; messages have numbers from 1")),
        Some(seq) => Select::From { seq, limit },
        None => Select::Last(limit),
    };
    let page = store.read(&session.id, &select)?;
    let messages: Vec<&RawValue> = parsed(&page.messages)?;
    let sizes = messages.iter().map(|message| message.get().len());
    // The newest are what a reader of the end wants, the first what one wants who goes on from a number.
    let fits = if args.from.is_none() { fitting(sizes.rev()) } else { fitting(sizes) };
    let is_given = |place: &usize| match args.from {
        None => *place >= messages.len() - fits,
        Some(_) => *place < fits,
    };
    let seqs = messages.iter().map(|message| parsed::<Stored>(message.get()).map(|stored| stored.seq));
    let seqs = seqs.collect::<sessile::Result<Vec<u64>>>()?;
    let given: Vec<usize> = (0..messages.len()).filter(is_given).collect();
    let last = given.last().and_then(|place| seqs.get(*place));
    let is_more = args.from.is_some() && (fits < messages.len() || page.next.is_some());
    answer(&Messages {
        session: about(&session),
        first: given.first().and_then(|place| seqs.get(*place)).copied(),
        next: last.filter(|_| is_more).map(|seq| seq + 1),
        unreadable: page.unreadable,
        messages: given.iter().filter_map(|place| messages.get(*place).copied()).collect(),
    })
}

/// What is told of messages: they themselves byte for byte as they are stored.
#[derive(Serialize)]
struct Messages<'a> {
    session: Value,
    first: Option<u64>,
    next: Option<u64>,
    unreadable: Vec<u64>,
    messages: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
}

/// How many of these an answer has room for: one at least.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let taken = sizes.enumerate().take_while(|(place, size)| {
        bytes += size;
        *place == 0 || bytes <= ANSWER_BYTES
    });
    taken.count()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForkArgs {
    session: String,
    at: Option<u64>,
    title: Option<String>,
}

fn fork(store: &mut Store, args: ForkArgs) -> Answer {
    let parent = store.resolve(&args.session, None)?;
    let options = ForkOptions { at: args.at.map(MessageRef::Seq), id: None, title: args.title };
    answer(&json!({ "session": about(&store.fork(&parent.id, &options)?) }))
}

/// What the store gives, as values.
fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> sessile::Result<T> {
    serde_json::from_str(text)
        .map_err(|cause| Error::new(ErrorKind::Internal, format!("not the JSON that it should be: {cause}")))
}

/// What a model needs to know of a session.
fn about(session: &Session) -> Value {
    let Session { id, facts, message_count, head, .. } = session;
    json!({
        "id": id,
        "title": facts.title,
        "scope": facts.scope,
        "agent": facts.agent,
        "model": facts.model,
        "status": facts.status.name(),
        "parent": facts.parent,
        "fork_point": facts.fork_point,
        "tags": facts.tags,
        "messages": message_count,
        "head": head,
        "created_at": facts.created,
        "updated_at": facts.updated,
    })
}

fn tools(may_write: bool) -> Vec<Tool> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT });
    let text = |description: &str| json!({ "type": "string", "description": description });
    let session = text("The session: its id, the beginning of its id, or `last`.");
    let scope = text("Only sessions of this scope, such as a directory or a project.");
    let cursor = text("Where an earlier answer ended: its `next`.");
    let number = |description: &str| json!({ "type": "integer", "minimum": 1, "description": description });
    let reads = || ToolAnnotations::new().read_only(true).open_world(false);
    let mut tools = vec![
        tool(
            "list_sessions",
            "Lists sessions, newest change first, without their messages.",
            &[],
            json!({ "scope": scope, "cursor": cursor, "limit": limit }),
        )
        .with_annotations(reads()),
        tool(
            "search_sessions",
            "Finds messages and titles by their words, the best first, with the text around. All words must be there; \
             \"a phrase\", begin*, -without, role:user and tool:name narrow it down. Without `seq` the title was found.",
            &["query"],
            json!({ "query": text("The words."), "scope": scope, "cursor": cursor, "limit": limit }),
        )
        .with_annotations(reads()),
        tool(
            "read_session",
            "Reads messages of a session: the newest, or from a number on. `next` is the number to go on from, `first` \
             the first that was given.",
            &["session"],
            json!({ "session": session, "from": number("The first message."), "limit": limit }),
        )
        .with_annotations(reads()),
    ];
    if may_write {
        tools.push(
            tool(
                "fork_session",
                "Makes a new session that begins with the messages of another. The other stays as it is.",
                &["session"],
                json!({
                    "session": session,
                    "at": number("The last message that the fork begins with; left out: all."),
                    "title": text("Its title."),
                }),
            )
            .with_annotations(ToolAnnotations::new().read_only(false).destructive(false).open_world(false)),
        );
    }
    tools
}

fn tool(name: &'static str, description: &'static str, required: &[&str], properties: Value) -> Tool {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties);
    schema.insert("required".into(), json!(required));
    schema.insert("additionalProperties".into(), false.into());
    Tool::new(name, description, schema)
}
