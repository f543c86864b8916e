//! A plug-in: a component that uses the store of whoever runs it, and adds something of its own.
//!
//! It imports `sessile:store/sessions`, so it knows nothing of files or processes; composed with the store's component
//! it imports what that one imports and nothing else (docs/plug-ins.md).

#![allow(unsafe_code, reason = "the bindings' entry points, which `export!` writes here")]

mod generated;

use generated::exports::example::recap::recap::Guest;
use generated::sessile::store::sessions::{self, OpenOptions, Select, Session};
use generated::sessile::store::types::Error;
use serde_json::Value;

/// How many messages a recap tells of.
const MESSAGES: u32 = 3;
/// How many characters of each.
const CHARACTERS: usize = 80;

struct Recap;

impl Guest for Recap {
    fn recap(id: String) -> Result<String, Error> {
        sessions::open(OpenOptions { read_only: true })?;
        let session = sessions::get(&id)?;
        let page = sessions::read(&id, &Select::Last(MESSAGES))?;
        Ok(paragraph(&session, &spoken(&page.messages)))
    }
}

fn paragraph(session: &Session, spoken: &[String]) -> String {
    let title = session.title.as_deref().unwrap_or(&session.id);
    let messages = if session.message_count == 1 { "message" } else { "messages" };
    let mut recap = format!("\"{title}\" has {} {messages}", session.message_count);
    if let Some(model) = &session.model {
        recap += &format!(" with {model}");
    }
    match spoken {
        [] => recap += ".",
        spoken => recap += &format!(". It ended with {}.", spoken.join(", ")),
    }
    recap
}

/// Who said what, of a page of messages as the store gives it.
fn spoken(messages: &str) -> Vec<String> {
    let messages: Vec<Value> = serde_json::from_str(messages).unwrap_or_default();
    let said = |stored: &Value| {
        let message = &stored["message"];
        let text = message["parts"].as_array()?.iter().find_map(|part| part["text"].as_str())?;
        Some(format!("{}: \u{201c}{}\u{201d}", message["role"].as_str()?, shortened(text)))
    };
    messages.iter().filter_map(said).collect()
}

/// The beginning of a text, in one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

generated::export!(Recap with_types_in generated);
