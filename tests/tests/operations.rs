//! The page of all operations, made from their declarations in the core: what each takes, gives and guarantees.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use sessile::operations::NAMES;
use sessile_tests::hosts::repository;

/// A struct or an enumeration with its documentation.
struct Shape {
    about: String,
    is_enum: bool,
    /// Of a struct its members, of an enumeration its values.
    members: Vec<Member>,
}

struct Member {
    name: String,
    /// Of a value: none.
    kind: String,
    about: String,
    is_optional: bool,
}

/// An operation: its name in the contract, its request and its answer.
struct Declared {
    name: String,
    request: String,
    answer: String,
}

/// One file of the core: a kind of operations.
#[derive(Default)]
struct Module {
    about: String,
    shapes: Vec<(String, Shape)>,
    operations: Vec<Declared>,
}

fn parse(source: &str) -> Module {
    let mut module = Module::default();
    let (mut docs, mut inside): (Vec<String>, Option<(String, Shape)>) = (Vec::new(), None);
    let (mut request, mut has_default, mut all_default) = (String::new(), false, false);
    for line in source.lines().take_while(|line| *line != "#[cfg(test)]") {
        let line = line.trim();
        if let Some(about) = line.strip_prefix("//!") {
            module.about += about.trim_start();
            module.about.push('\n');
        } else if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.strip_prefix(' ').unwrap_or(doc).to_owned());
        } else if let Some(name) = line.strip_prefix("impl Operation for ") {
            request = name.trim_end_matches(" {").to_owned();
        } else if let Some(name) = line.strip_prefix("const NAME: &'static str = ") {
            let name = name.trim_matches(|letter| letter == '"' || letter == ';').to_owned();
            module.operations.push(Declared { name, request: request.clone(), answer: String::new() });
        } else if let Some(answer) = line.strip_prefix("type Answer = ") {
            module.operations.last_mut().unwrap().answer = answer.trim_end_matches(';').to_owned();
        } else if line.starts_with("#[serde(default") {
            (has_default, all_default) = (true, all_default || inside.is_none());
        } else if let Some(rest) = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))
        {
            let name = rest.trim_end_matches(['{', '}', ' ']).to_owned();
            let about = std::mem::take(&mut docs).join("\n");
            let shape = Shape { about, is_enum: line.starts_with("pub enum"), members: Vec::new() };
            if rest.ends_with("{}") {
                module.shapes.push((name, shape));
            } else {
                inside = Some((name, shape));
            }
        } else if line == "}" {
            module.shapes.extend(inside.take());
            docs.clear();
            (has_default, all_default) = (false, false);
        } else if let Some((_, shape)) = &mut inside {
            let member = line.strip_prefix("pub ").unwrap_or(line);
            if !docs.is_empty() && !line.starts_with('#') {
                let about = std::mem::take(&mut docs).join(" ");
                let member = member.trim_end_matches(',');
                let (name, kind) = member.split_once(": ").unwrap_or((member, ""));
                let is_optional = has_default || all_default || kind.starts_with("Option<");
                has_default = false;
                let (name, kind) = (name.to_owned(), kind.to_owned());
                shape.members.push(Member { name, kind, about, is_optional });
            }
        } else if !line.starts_with('#') {
            docs.clear();
        }
    }
    module
}

/// A type of the core in the words of JSON.
fn kind(rust: &str) -> String {
    let inner = |prefix: &str| rust.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(inner) = inner("Option<") {
        return kind(inner);
    }
    if let Some(inner) = inner("Vec<") {
        return format!("list of {}", kind(inner));
    }
    if let Some(inner) = inner("BTreeMap<String, ") {
        return format!("object of {}", kind(inner));
    }
    match rust {
        "String" => "text".into(),
        "u64" | "u32" => "whole number".into(),
        "bool" => "flag".into(),
        "Json" => "any JSON".into(),
        "Durability" => "`synced` (default) or `buffered`".into(),
        "Status" => "a session's status".into(),
        "Session" => "session, as `get` gives it".into(),
        other => format!("[{other}](#{})", other.to_lowercase()),
    }
}

/// Documentation without the links of rustdoc.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("[`") {
        plain += &rest[..at];
        rest = &rest[at + 1..];
        let end = rest.find(']').unwrap();
        plain += &rest[..end];
        rest = &rest[end + 1..];
    }
    plain + rest
}

fn members(page: &mut String, shape: &Shape) {
    if shape.members.is_empty() {
        return;
    }
    page.push_str(if shape.is_enum {
        "| value | |\n| --- | --- |\n"
    } else {
        "| member | | |\n| --- | --- | --- |\n"
    });
    for Member { name, kind: rust, about, is_optional } in &shape.members {
        let about = plain(about).replace('|', "\\|");
        if shape.is_enum {
            writeln!(page, "| `{}` | {about} |", snake(name)).unwrap();
        } else {
            let optional = if *is_optional { ", may be absent" } else { "" };
            writeln!(page, "| `{name}` | {}{optional} | {about} |", kind(rust)).unwrap();
        }
    }
    page.push('\n');
}

/// The name of a value as JSON has it.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn page() -> (String, Vec<String>) {
    let mut page = String::from(
        "# Operations\n\nWhat a store does besides sessions and messages. This page is made from the declarations in `core/src/operations`.\n\n\
         In the component an operation is `operate(name, request)`, with request and answer as JSON objects of these members; in Rust it is a struct for `Store::run`, \
         in Node a method with its name in camel case and one object of options, in Python a method with keyword arguments; on the command line `sessile call NAME JSON`. \
         What is absent in a request has its default, a member that is not listed is refused, and times are milliseconds since 1970 (`Date` or number in Node, `datetime` in Python).\n\n",
    );
    let folder = repository().join("core/src/operations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut names = Vec::new();
    for file in files {
        let module = parse(&fs::read_to_string(&file).unwrap());
        if module.operations.is_empty() {
            continue;
        }
        let shapes: BTreeMap<&str, &Shape> =
            module.shapes.iter().map(|(name, shape)| (name.as_str(), shape)).collect();
        writeln!(page, "## {}\n\n{}", file.file_stem().unwrap().to_string_lossy(), plain(&module.about))
            .unwrap();
        for operation in &module.operations {
            let request = shapes[operation.request.as_str()];
            writeln!(page, "### `{}`\n\n{}\n", operation.name, plain(&request.about)).unwrap();
            members(&mut page, request);
            writeln!(page, "It gives {}.\n", kind(&operation.answer)).unwrap();
            names.push(operation.name.clone());
        }
        let requests: Vec<&str> =
            module.operations.iter().map(|operation| operation.request.as_str()).collect();
        for (name, shape) in module.shapes.iter().filter(|(name, _)| !requests.contains(&name.as_str())) {
            writeln!(page, "#### {name}\n\n{}\n", plain(&shape.about)).unwrap();
            members(&mut page, shape);
        }
    }
    (page, names)
}

#[test]
fn the_page_of_operations_is_what_the_core_declares() {
    let (page, mut names) = page();
    let mut known: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    names.sort();
    known.sort();
    assert_eq!(names, known);
    let file = repository().join("docs/operations.md");
    if std::env::var_os("SESSILE_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == page,
        "docs/operations.md is not what the core declares; `cargo xtask bless` makes it anew"
    );
}
