//! What of a message is searched.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::{elements, members};
use crate::limits::SEARCH_BYTES_MAX;
use crate::message::ROLES;

/// The text of a message, piece by piece.
#[derive(Debug, Default)]
pub struct Text<'a> {
    /// The place of its role in [`ROLES`] and 1; 0 for a title.
    pub role: u8,
    /// The tools that it calls.
    pub tools: Vec<String>,
    /// Pieces that phrases do not cross.
    pub fields: Vec<Cow<'a, str>>,
}

impl<'a> Text<'a> {
    /// The text of a title.
    pub fn of_title(title: &'a str) -> Self {
        Self { fields: vec![Cow::Borrowed(title)], ..Self::default() }
    }

    /// The text of a stored message: what is said, thought, called and answered, names and paths of files. What is opaque
    /// or encoded is no text.
    pub fn of_message(json: &'a str) -> Self {
        let mut text = Self::default();
        let Some(message) = members(json) else { return text };
        for (name, value) in message {
            match name.as_ref() {
                "role" => {
                    let role = ROLES.iter().position(|role| value.get(1..value.len() - 1) == Some(*role));
                    text.role = role.and_then(|role| u8::try_from(role + 1).ok()).unwrap_or(0);
                }
                "parts" => elements(value).unwrap_or_default().into_iter().for_each(|part| text.take(part)),
                _ => {}
            }
        }
        text.cut();
        text
    }

    fn take(&mut self, part: &'a str) {
        let Some(members) = members(part) else { return };
        let kind = members.iter().find(|(name, _)| name == "type").map_or("", |(_, kind)| *kind);
        let wanted: &[&str] = match kind {
            "\"text\"" | "\"thinking\"" | "\"code\"" => &["text"],
            "\"tool_call\"" => &["name", "arguments"],
            "\"tool_result\"" => &["name", "content"],
            "\"image\"" | "\"file\"" => &["name", "path"],
            _ => &[],
        };
        let before = self.fields.len();
        for wanted in wanted {
            let Some((_, value)) = members.iter().find(|(name, _)| name == wanted) else { continue };
            let mut json = serde_json::Deserializer::from_str(value);
            // What is too deep for it is no text that anybody reads.
            let _ = Strings(&mut self.fields).deserialize(&mut json);
            if *wanted == "name" && kind.starts_with("\"tool") {
                self.tools.extend(self.fields.get(before).map(|name| name.clone().into_owned()));
            }
        }
    }

    /// Ends where there is more than is searched.
    fn cut(&mut self) {
        let mut left = SEARCH_BYTES_MAX;
        self.fields.retain_mut(|field| {
            let has_room = left > 0;
            if field.len() > left {
                let to = (0..=left).rev().find(|at| field.is_char_boundary(*at)).unwrap_or(0);
                *field = Cow::Owned(field.get(..to).unwrap_or_default().to_owned());
                left = 0;
            } else {
                left -= field.len();
            }
            has_room
        });
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.fields.iter().map(|field| field.len()).sum()
    }
}

/// Collects the strings and numbers in a value; names of members and encoded data are none.
struct Strings<'b, 'a>(&'b mut Vec<Cow<'a, str>>);

impl<'a> DeserializeSeed<'a> for Strings<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Strings<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.0.push(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.push(Cow::Owned(number.to_string()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.push(Cow::Owned(number.to_string()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.0.push(Cow::Owned(number.to_string()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strings(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'a, str>>()? {
            if matches!(name.as_ref(), "data" | "type" | "signature") {
                members.next_value::<IgnoredAny>()?;
            } else {
                members.next_value_seed(Strings(self.0))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_called_and_answered_is_text() {
        let text = Text::of_message(
            r#"{"role":"assistant","parts":[{"type":"text","text":"a\n\"b\""},{"type":"tool_call","id":"c1","name":"read_file","arguments":{"path":"src/main.rs","line":7,"deep":[{"x":"y"}],"ok":true}},{"type":"tool_result","call_id":"c1","content":[{"type":"text","text":"found"},{"type":"image","data":"QUJD"}]},{"type":"image","name":"p.png","data":"QUJD"},{"type":"opaque","data":"hidden"}]}"#,
        );
        assert_eq!(text.fields, ["a\n\"b\"", "read_file", "src/main.rs", "7", "y", "found", "p.png"]);
        assert_eq!((text.role, text.tools), (2, vec!["read_file".to_owned()]));
    }

    #[test]
    fn too_much_text_is_cut_between_characters() {
        let long = "é".repeat(SEARCH_BYTES_MAX);
        let json = format!(
            r#"{{"role":"user","parts":[{{"type":"text","text":"a{long}"}},{{"type":"text","text":"b"}}]}}"#
        );
        let text = Text::of_message(&json);
        assert_eq!((text.fields.len(), text.bytes()), (1, SEARCH_BYTES_MAX - 1));
    }

    #[test]
    fn what_is_no_message_has_no_text() {
        for bad in ["", "[]", "{\"parts\":7,\"role\":\"\"}", "{\"role\":1,\"parts\":[7]}"] {
            assert_eq!(Text::of_message(bad).fields.len(), 0);
        }
    }
}
