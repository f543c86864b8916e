//! Messages as values, for callers who do not want to write JSON.
//!
//! The store keeps every member of a message, known here or not; [`StoredMessage::json`] has them all as they came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sessile_core::{Error, ErrorKind, Page, Result};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person.
    User,
    /// A model.
    Assistant,
    /// The host.
    System,
    /// A tool, with results.
    Tool,
}

/// A part of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// What a model thought.
    Thinking {
        /// The text.
        text: String,
    },
    /// Code.
    Code {
        /// The code.
        text: String,
        /// Its language.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// A model calls a tool.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// The arguments, any JSON.
        arguments: Value,
    },
    /// A tool answers.
    ToolResult {
        /// The call's id.
        call_id: String,
        /// The answer, any JSON.
        content: Value,
        /// Whether it failed.
        #[serde(default)]
        is_error: bool,
    },
    /// An image, given as base64, by URL or by path.
    Image {
        /// Its media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// Base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        /// A URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        /// A path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// A file, given as base64, by URL, by path, or only named.
    File {
        /// Its media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        /// A URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        /// A path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// What has no type of its own.
    Opaque {
        /// Any JSON.
        data: Value,
    },
}

/// A message to append.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// `pending`, `streaming`, `completed` or `error`; absent means completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The caller's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Message {
    /// A message with these parts.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, status: None, id: None }
    }

    /// A text from a person.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, vec![Part::Text { text: text.into() }])
    }

    /// A text from a model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, vec![Part::Text { text: text.into() }])
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        // Strings, JSON values and unit variants only: writing them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// All text of the message, a line break between parts.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A message of a session.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredMessage {
    /// Its number, from 1.
    pub seq: u64,
    /// The id that the store gave it.
    pub id: String,
    /// The number of the message before it on its branch; 0 for a first one.
    pub parent: u64,
    /// When it came, in ms.
    pub created_at: u64,
    /// When it last changed, in ms.
    pub updated_at: u64,
    /// The message, byte for byte as it was appended but for whitespace, with its changes applied.
    #[serde(rename = "message")]
    pub json: Box<RawValue>,
}

impl StoredMessage {
    /// The message as a value. Members that [`Message`] has not are in [`StoredMessage::json`] alone.
    ///
    /// Errors: `internal` where the store holds a part that this version does not know.
    pub fn message(&self) -> Result<Message> {
        let mut members: Map<String, Value> = Map::new();
        for (name, raw) in self.members()? {
            let value = match name.as_str() {
                "parts" => parts(raw.get())?,
                _ => serde_json::from_str(raw.get()).map_err(unreadable)?,
            };
            members.insert(name, value);
        }
        Message::deserialize(Value::Object(members)).map_err(unreadable)
    }

    /// What [`Message`] has of the message, as text: other members may be anything.
    fn members(&self) -> Result<impl Iterator<Item = (String, Box<RawValue>)>> {
        let members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(self.json.get()).map_err(unreadable)?;
        let known = ["role", "parts", "status", "id"];
        Ok(members.into_iter().filter(move |(name, _)| known.contains(&name.as_str())))
    }

    /// The messages of a page.
    pub fn parse_page(page: &Page) -> Result<Vec<Self>> {
        serde_json::from_str(&page.messages).map_err(unreadable)
    }
}

/// The parts of a message. The three levels around what they hold are read one by one: a message may have as many levels
/// as serde_json reads, and one more.
fn parts(text: &str) -> Result<Value> {
    let parts: Vec<BTreeMap<String, Box<RawValue>>> = serde_json::from_str(text).map_err(unreadable)?;
    let part = |part: BTreeMap<String, Box<RawValue>>| {
        let member = |(name, raw): (String, Box<RawValue>)| Ok((name, serde_json::from_str(raw.get())?));
        part.into_iter().map(member).collect::<Result<Map<String, Value>, _>>().map(Value::Object)
    };
    parts.into_iter().map(part).collect::<Result<Vec<Value>, _>>().map(Value::Array).map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn unreadable(error: serde_json::Error) -> Error {
    // Only the place: the error's own text could quote content.
    Error::new(
        ErrorKind::Internal,
        format!("a message of the store does not parse at column {}; please report this", error.column()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_as_many_levels_as_a_store_takes_is_a_value() {
        let deep = format!("{}{}", "[".repeat(125), "]".repeat(125));
        let json = format!(r#"{{"role":"user","parts":[{{"type":"opaque","data":{deep}}}]}}"#);
        let json = RawValue::from_string(json).unwrap();
        let stored =
            StoredMessage { seq: 1, id: String::new(), parent: 0, created_at: 0, updated_at: 0, json };
        let message = stored.message().unwrap();
        assert!(matches!(&message.parts[..], [Part::Opaque { data }] if data.is_array()));
    }
}
