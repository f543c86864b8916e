//! `sessile export` to the formats of coding agents, and to pages for people. What stands in the files is decided by
//! `sessile_formats`.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use sessile::operations::attachments::RestoreAttachments;
use sessile::{ErrorKind, Json, ListQuery, Session};
use sessile_formats::Format;
use sessile_formats::write::{self, Said, Written};

use super::{Export, PAGE, Problem, Summary, print_summary};
use crate::args::ExportInto;
use crate::commands::Context;
use crate::exit::{OK, error};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Format(Format),
    Markdown,
    Html,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Format(format) => format.name(),
            Self::Markdown => "markdown",
            Self::Html => "html",
        }
    }
}

/// Runs `export` to a format of a coding agent.
pub fn run(context: &mut Context, target: Target, args: &ExportInto) -> Result<u8> {
    let mut store = context.opening.read()?;
    let mut export = Export { store: &mut store, staged: Vec::new(), summary: Summary::default() };
    let sessions = export.chosen(target, &args.ids)?;
    if args.output.is_some() && sessions.len() != 1 {
        let message = "a file holds one session; name one, or give --into a directory";
        return Err(error(ErrorKind::Invalid, message));
    }
    for session in &sessions {
        export.summary.session_ids.push(session.id.clone());
        export.note_revert(session);
        for written in export.written(target, session)? {
            for (what, count) in &written.lost {
                let reason = format!("{count} {what} have no place in the format and are not carried over");
                export.summary.problems.push(Problem { session: session.id.clone(), reason });
            }
            export.summary.messages += written.kept + written.made;
            match (&args.into, &args.output) {
                (_, Some(output)) if output.as_path() == Path::new("-") => return print(&written),
                (_, Some(output)) => {
                    let name = output.file_name().map(|name| name.to_string_lossy().into_owned());
                    let directory =
                        output.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
                    export.stage(directory, &name.unwrap_or_default(), &written.text)?;
                }
                (Some(into), None) => export.stage(into, &written.path, &written.text)?,
                (None, None) => return print(&written),
            }
            // A session's sub-agents are files beside its own.
            if args.output.is_some() {
                break;
            }
        }
    }
    let summary = export.finish()?;
    if context.out.json {
        context.out.document(&summary)?;
    } else {
        print_summary(&mut context.out, &summary)?;
    }
    Ok(OK)
}

/// The file itself, byte for byte, for a pipe.
fn print(written: &Written) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    out.write_all(written.text.as_bytes()).and_then(|()| out.flush()).context("cannot print")?;
    Ok(OK)
}

impl Export<'_> {
    /// The sessions that are named, or all that came from the format. Sub-agents go with the session of Claude Code.
    fn chosen(&mut self, target: Target, ids: &[String]) -> Result<Vec<Session>> {
        let mut sessions: Vec<Session> = Vec::new();
        for id in ids {
            let session = self.store.resolve(id, None)?;
            if sessions.iter().all(|known| known.id != session.id) {
                sessions.push(session);
            }
        }
        if ids.is_empty() {
            sessions = self.all(|session| came_from(session, target.name()))?;
            let is_child = |session: &Session| session.id.contains('/') && session.facts.parent.is_some();
            sessions.retain(|session| target != Target::Format(Format::Claude) || !is_child(session));
            // Its session's file has a branch's lines too.
            sessions.retain(|session| !sessile_formats::is_branch(&session.id));
        }
        if sessions.is_empty() {
            let name = target.name();
            let message = format!(
                "no session of the store came from {name}; name those to write, `sessile ls` lists them"
            );
            return Err(error(ErrorKind::NotFound, message));
        }
        sessions.sort_by(|one, other| (one.facts.created, &one.id).cmp(&(other.facts.created, &other.id)));
        Ok(sessions)
    }

    fn all(&mut self, fits: impl Fn(&Session) -> bool) -> Result<Vec<Session>> {
        let mut found = Vec::new();
        let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
        loop {
            let page = self.store.list(&query)?;
            found.extend(page.sessions.into_iter().filter(|session| fits(session)));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok(found);
            }
        }
    }

    fn written(&mut self, target: Target, session: &Session) -> Result<Vec<Written>> {
        let said = self.said(session)?;
        Ok(match target {
            Target::Markdown => vec![write::markdown(session, &said)],
            Target::Html => vec![write::html(session, &said)],
            Target::Format(Format::Claude) => {
                let prefix = format!("{}/", session.id);
                let mut children = Vec::new();
                for child in self.all(|child| child.id.starts_with(&prefix))? {
                    let said = self.said(&child)?;
                    children.push((child, said));
                }
                children.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
                write::write_claude(session, &said, &children)
            }
            Target::Format(format) => write::write(format, session, &said).into_iter().collect(),
        })
    }

    /// All messages, with their files in them.
    fn said(&mut self, session: &Session) -> Result<Vec<Said>> {
        let mut said = Vec::new();
        self.each_message(session, &mut |stored| {
            said.push(Said { at: stored.created_at, json: stored.message.get().to_owned() });
            Ok(())
        })?;
        for one in &mut said {
            if one.json.contains("\"attachment\":") {
                let restore = RestoreAttachments { content: Json::parse(&one.json)? };
                match self.store.run(&restore) {
                    Ok(restored) => one.json = restored.content.as_str().to_owned(),
                    Err(cause) => {
                        self.note(session, &format!("a file of a message is not there: {}", cause.message));
                    }
                }
            }
            if let Some(whole) = sessile_formats::unlift(&one.json) {
                one.json = whole;
            }
        }
        Ok(said)
    }
}

/// Whether an import of the format has made a session.
fn came_from(session: &Session, format: &str) -> bool {
    let metadata = session.facts.metadata.as_ref().map_or("{}", |metadata| metadata.as_str());
    let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    metadata.get("imported").and_then(|imported| imported.get("format")).is_some_and(|name| name == format)
}
