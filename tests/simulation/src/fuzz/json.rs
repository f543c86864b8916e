//! Any text as JSON: the core and serde_json agree on what is acceptable, and what was accepted comes back.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use sessile_core::{Json, NewSession, Select, Sessions, WriteOptions, limits};

use super::{check_error, of_page, open};
use crate::sim::{Disk, SimDisk};

/// The bytes are one JSON text; what is not UTF-8 cannot be given to the store.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let depth = depth(text);
    let is_fine = depth <= limits::JSON_DEPTH_MAX && is_acceptable(text);
    let parsed = Json::parse(text);
    assert_eq!(parsed.is_ok(), is_fine, "{parsed:?}");
    let Ok(parsed) = parsed else { return };
    assert_eq!(parsed.as_str(), without_space(text), "only space outside of strings goes");
    assert_eq!(Json::parse(parsed.as_str()).as_ref(), Ok(&parsed));
    keep(text, parsed.as_str(), depth);
}

/// What the policy allows, by serde_json: its grammar, no lone surrogates, no key twice. Texts are split level by
/// level, so that its own limit of levels does not count.
fn is_acceptable(text: &str) -> bool {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return false };
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)
            .is_ok_and(|elements| elements.iter().all(|element| is_acceptable(element.get()))),
        Some(b'{') => serde_json::from_str::<Members<'_>>(text).is_ok_and(|members| {
            !members.twice && members.values.iter().all(|value| is_acceptable(value.get()))
        }),
        Some(b'"') => serde_json::from_str::<String>(text).is_ok(),
        _ => true,
    }
}

/// The members of an object, and whether a key was there twice.
struct Members<'a> {
    values: Vec<&'a RawValue>,
    twice: bool,
}

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut keys, mut members) = (BTreeSet::new(), Members { values: Vec::new(), twice: false });
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    members.twice |= !keys.insert(key);
                    members.values.push(value);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The deepest nesting of brackets outside of strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    outside(text, |byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    });
    deepest
}

/// Visits the bytes outside of strings.
fn outside(text: &str, mut visit: impl FnMut(u8)) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if !in_string => visit(byte),
            _ => {}
        }
    }
}

fn without_space(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |char: &char| {
        match char {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => return false,
            _ => {}
        }
        true
    };
    text.chars().filter(keep).collect()
}

/// Gives the text to a store as content and as metadata, and reads it back in another process.
fn keep(text: &str, minified: &str, depth: usize) {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1, false).expect("a new store");
    let is_object = minified.starts_with('{');
    let metadata = is_object.then(|| text.to_owned());
    let new = NewSession { id: Some("a".to_owned()), metadata, ..NewSession::default() };
    match store.create(&new) {
        Ok(session) => {
            assert_eq!(session.facts.metadata.as_ref().map(Json::as_str), is_object.then_some(minified));
        }
        Err(error) => {
            check_error(&error);
            assert!(minified.len() > limits::METADATA_BYTES_MAX, "{error}");
            return;
        }
    }
    let message = format!(r#"[{{"role":"user","parts":[{{"type":"opaque","data":{text}}}]}}]"#);
    let appended = store.append("a", &message, &WriteOptions::default());
    assert_eq!(appended.is_ok(), depth + 3 <= limits::JSON_DEPTH_MAX, "{appended:?}");
    if appended.is_err() {
        return;
    }
    let mut reader = open(&disk, 2, true).expect("the store");
    let page = reader.read("a", &Select::Last(1)).expect("the message");
    let message = format!(r#"{{"role":"user","parts":[{{"type":"opaque","data":{minified}}}]}}"#);
    assert_eq!(of_page(&page), [(1, message)]);
    let session = reader.get("a").expect("the session");
    assert_eq!(session.facts.metadata.as_ref().map(Json::as_str), is_object.then_some(minified));
}
