//! Sessions and their facts: making, listing, looking at and changing them.

use anyhow::Result;
use serde::Serialize;
use sessile::{ErrorKind, ListQuery, NewSession, Session, SessionPatch, Status, Store};

use super::Context;
use sessile::operations::sessions::RenameSession;

use crate::args;
use crate::exit::{OK, error};
use crate::opening::find;
use crate::output::{BOLD, Cell, Column, DIM, GOOD, ID, Out, Table};
use crate::output::{ago, bytes, counted, date_time, grouped, now_ms, safe_line};

/// How many sessions a list has where nothing is said.
const LIST_DEFAULT: u64 = 30;
/// A line has to be this wide for a list to tell models.
const MODEL_WIDTH_MIN: usize = 80;
/// How many sessions are asked for at once.
const PAGE: u32 = 1000;
/// The shortest beginning of an id that is shown: a ULID's time, or the first group of a UUID.
const SHORT_ULID_CHARS: usize = 10;
const SHORT_ID_CHARS: usize = 8;

pub fn create(context: &mut Context, args: args::New) -> Result<u8> {
    let new = NewSession {
        id: args.id,
        scope: args.scope,
        title_manual: args.title.is_some(),
        title: args.title,
        agent: args.agent,
        provider: args.provider,
        model: args.model,
        tags: args.tags,
        metadata: args.meta,
        ..NewSession::default()
    };
    let session = context.opening.make()?.create(&new)?;
    print_new(&mut context.out, &session)
}

/// Prints a new session: as its bare id, for `id=$(sessile new)`.
pub fn print_new(out: &mut Out, session: &Session) -> Result<u8> {
    if out.json {
        out.document(session)?;
    } else {
        out.line(&safe_line(&session.id))?;
    }
    Ok(OK)
}

/// Prints what became of a session.
pub fn print_changed(out: &mut Out, session: &Session, what: &str) -> Result<u8> {
    if out.json {
        out.document(session)?;
    } else {
        out.line(&format!("{what} {}", named(session)))?;
    }
    Ok(OK)
}

/// A session in a sentence: its id, and its title where it has one.
pub fn named(session: &Session) -> String {
    let id = safe_line(&session.id);
    let title = session.facts.title.as_deref().map(|title| format!(" ({})", safe_line(title)));
    format!("{ID}{id}{ID:#}{}", title.unwrap_or_default())
}

pub fn list(context: &mut Context, args: &args::Ls) -> Result<u8> {
    let mut store = context.opening.read()?;
    let listed = list_sessions(&mut store, args)?;
    if context.out.json {
        #[derive(Serialize)]
        struct Document<'a> {
            sessions: &'a [Session],
            more: bool,
            sub_sessions_left_out: u64,
        }
        let sessions = &listed.sessions;
        let ListedSessions { more, left_out, .. } = listed;
        context.out.document(&Document { sessions, more, sub_sessions_left_out: left_out })?;
    } else {
        print_sessions(&mut context.out, &listed)?;
    }
    Ok(OK)
}

/// What `ls` has found.
pub struct ListedSessions {
    pub sessions: Vec<Session>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// How many were passed over because they belong to another one.
    pub left_out: u64,
}

/// Reads as many pages as it takes.
pub fn list_sessions(store: &mut Store, args: &args::Ls) -> Result<ListedSessions> {
    let limit = match args.limit {
        _ if args.all => u64::MAX,
        Some(limit) => at_least_one("--limit", limit)?,
        None => LIST_DEFAULT,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut query = ListQuery { scope: args.scope.clone(), limit: PAGE, ..ListQuery::default() };
    let mut listed = ListedSessions { sessions: Vec::new(), more: false, left_out: 0 };
    loop {
        let page = store.list(&query)?;
        for session in page.sessions {
            let belongs = session.facts.parent.is_some() && session.facts.fork_point.is_none();
            if listed.sessions.len() >= limit {
                listed.more = true;
                return Ok(listed);
            } else if belongs && !args.all {
                listed.left_out += 1;
            } else {
                listed.sessions.push(session);
            }
        }
        if page.next.is_none() {
            return Ok(listed);
        }
        query.cursor = page.next;
    }
}

/// Prints sessions as a table, and how to see the others.
pub fn print_sessions(out: &mut Out, listed: &ListedSessions) -> Result<()> {
    if listed.sessions.is_empty() && listed.left_out == 0 {
        out.line("no sessions; `sessile new` makes one, `sessile import claude PATH` brings some")?;
        return Ok(());
    }
    let now = now_ms();
    let ids: Vec<&str> = listed.sessions.iter().map(|session| session.id.as_str()).collect();
    let mut columns = vec![
        Column::text("ID"),
        Column::shrinking("TITLE"),
        Column::number("MESSAGES"),
        Column::text("LAST MESSAGE"),
    ];
    // Where there is little room, the titles need it.
    if out.width().is_none_or(|width| width >= MODEL_WIDTH_MIN) {
        columns.push(Column::text("MODEL"));
    }
    let mut table = Table::new(columns);
    for (session, id) in listed.sessions.iter().zip(short_ids(&ids)) {
        let facts = &session.facts;
        let title = match &facts.title {
            Some(title) => Cell::new(safe_line(title)),
            None => Cell::styled("untitled", DIM),
        };
        let last = if session.message_count == 0 { String::new() } else { ago(facts.active, now) };
        table.row(vec![
            Cell::styled(safe_line(id), ID),
            title,
            Cell::new(grouped(session.message_count)),
            Cell::new(last),
            Cell::styled(safe_line(facts.model.as_deref().unwrap_or_default()), DIM),
        ]);
    }
    out.table(&table)?;
    let mut notes = Vec::new();
    if listed.more {
        notes.push("there are more; --limit N or --all shows them".to_owned());
    }
    if listed.left_out > 0 {
        notes.push(format!("{} of sub-agents; --all lists them too", counted(listed.left_out, "session")));
    }
    for note in notes {
        out.line(&format!("{DIM}{note}{DIM:#}"))?;
    }
    Ok(())
}

/// For each id its shortest beginning that none of the others has, but at least a few characters. An id that goes
/// on behind this one with a `/` belongs to it and does not count.
pub fn short_ids<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    let mut sorted: Vec<&str> = ids.to_vec();
    sorted.sort_unstable();
    let shorten = |id: &'a str| {
        let shortest = if id.len() == 26 { SHORT_ULID_CHARS } else { SHORT_ID_CHARS };
        // The ids that share the longest beginning with this one are its neighbours, but for those that belong to it.
        let place = sorted.partition_point(|other| *other < id);
        let belongs = |other: &&&str| {
            other.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let before = place.checked_sub(1).and_then(|place| sorted.get(place));
        let after = sorted.get(place..).unwrap_or_default().iter().find(|other| !belongs(other));
        let shared =
            [before, after].into_iter().flatten().map(|other| shared_chars(id, other)).max().unwrap_or(0);
        let end = id.char_indices().map(|(at, _)| at).nth(shortest.max(shared + 1)).unwrap_or(id.len());
        id.get(..end).unwrap_or(id)
    };
    ids.iter().map(|id| shorten(id)).collect()
}

fn shared_chars(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

pub fn info(context: &mut Context, id: &str) -> Result<u8> {
    let mut store = context.opening.read()?;
    let session = find(&mut store, id)?;
    if context.out.json {
        context.out.document(&session)?;
    } else {
        print_facts(&mut context.out, &session)?;
    }
    Ok(OK)
}

fn print_facts(out: &mut Out, session: &Session) -> Result<()> {
    let now = now_ms();
    let facts = &session.facts;
    let time = |ms: u64| Some(format!("{}  {DIM}{}{DIM:#}", date_time(ms), ago(ms, now)));
    let text = |text: &Option<String>| text.as_deref().map(safe_line);
    let title = facts.title.as_ref().map(|title| {
        let chosen =
            if facts.title_manual { format!("  {DIM}chosen by a person{DIM:#}") } else { String::new() };
        format!("{BOLD}{}{BOLD:#}{chosen}", safe_line(title))
    });
    let parent = facts.parent.as_deref().map(|parent| match facts.fork_point {
        Some(at) => format!("{ID}{}{ID:#}  {DIM}fork behind message {at}{DIM:#}", safe_line(parent)),
        None => format!("{ID}{}{ID:#}", safe_line(parent)),
    });
    let head = (session.head > 0)
        .then(|| format!("{}, the last one is {}", grouped(session.message_count), session.head));
    let status = if facts.status == Status::Running {
        format!("{GOOD}running{GOOD:#}")
    } else {
        facts.status.name().into()
    };
    let tags = (!facts.tags.is_empty()).then(|| safe_line(&facts.tags.join(", ")));
    let rows: [(&str, Option<String>); 18] = [
        ("id", Some(format!("{ID}{}{ID:#}", safe_line(&session.id)))),
        ("title", title),
        ("scope", Some(safe_line(&facts.scope)).filter(|scope| !scope.is_empty())),
        ("agent", text(&facts.agent)),
        ("model", text(&facts.model)),
        ("provider", text(&facts.provider)),
        ("status", Some(status)),
        ("tags", tags),
        ("parent", parent),
        ("messages", head.or_else(|| Some("none".into()))),
        (
            "undo",
            session.can_unrevert.then(|| "`sessile unrevert` shows again what a revert has hidden".into()),
        ),
        ("created", time(facts.created)),
        ("updated", time(facts.updated)),
        ("accessed", time(facts.accessed)),
        ("active", time(facts.active)),
        ("trashed", facts.trashed.and_then(time)),
        ("log", Some(format!("{}, generation {}", bytes(session.log_bytes), session.generation))),
        ("metadata", facts.metadata.as_ref().map(|json| safe_line(json.as_str()))),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            out.line(&format!("{DIM}{name:<9}{DIM:#} {value}"))?;
        }
    }
    Ok(())
}

pub fn set(context: &mut Context, args: args::Set) -> Result<u8> {
    let optional = |value: Option<String>| value.map(|value| Some(value).filter(|value| !value.is_empty()));
    let title = if args.no_title { Some(None) } else { args.title.map(Some) };
    let is_cleared = args.tags.iter().all(String::is_empty);
    let tags = (!args.tags.is_empty()).then(|| if is_cleared { Vec::new() } else { args.tags });
    let status = args.status.as_deref().map(Status::parse).transpose()?;
    let patch = SessionPatch {
        scope: args.scope,
        title_manual: title.as_ref().map(Option::is_some),
        title,
        agent: optional(args.agent),
        provider: optional(args.provider),
        model: optional(args.model),
        status,
        tags,
        metadata: args.meta.map(|patch| Some(patch).filter(|patch| patch.trim() != "null")),
    };
    let mut store = context.opening.write()?;
    let id = find(&mut store, &args.id)?.id;
    let session = store.update(&id, &patch, &args.condition.options())?;
    if context.out.json {
        context.out.document(&session)?;
    } else {
        print_facts(&mut context.out, &session)?;
    }
    Ok(OK)
}

/// Refuses a number of messages or sessions that would ask for nothing.
pub fn at_least_one(option: &str, value: u64) -> Result<u64> {
    if value == 0 {
        return Err(error(ErrorKind::Invalid, format!("{option} is 0; give 1 or more")));
    }
    Ok(value)
}

pub fn rename(context: &mut Context, args: args::Rename) -> Result<u8> {
    let mut store = context.opening.write()?;
    let session = find(&mut store, &args.id)?.id;
    let renamed = store.run(&RenameSession { session, title: args.title })?.session;
    print_changed(&mut context.out, &renamed, "renamed:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_are_unique_beginnings() {
        let ids = [
            "01JCAAAAAAAAAAAAAAAAAAAAAA",
            "01JCAAAAAAAAAAAABAAAAAAAAA",
            "x",
            "4d5611e5-241a",
            "4d5611e5-241a/agent-1",
        ];
        let short = short_ids(&ids);
        assert_eq!(short, ["01JCAAAAAAAAAAAAA", "01JCAAAAAAAAAAAAB", "x", "4d5611e5", "4d5611e5-241a/"]);
    }

    #[test]
    fn short_ids_never_end_inside_a_character() {
        assert_eq!(short_ids(&["日本語日本語日本語日本語"]), ["日本語日本語日本"]);
    }
}
