//! What bounds the component besides its host: the maximum of memory that the module itself declares.
//!
//! Its imports are a golden list in the host's own tests, fuel and a lower limit of memory too.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::time::Instant;

use sessile::{COMPONENT, Engine, ErrorKind, NewSession, OpenOptions, Store};

/// 1 GiB, in pages of 64 KiB.
const PAGES_MAX: u64 = (1 << 30) >> 16;
const MODULE: u8 = 1;
const MEMORY: u8 = 5;

/// Splits a section off: its id, its content, and what follows.
fn section(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let mut rest = &bytes[1..];
    let size = usize::try_from(number(&mut rest)).unwrap();
    (bytes[0], &rest[..size], &rest[size..])
}

/// Takes a number in LEB128.
fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The sections of a kind, of a module or a component.
fn sections(binary: &[u8], wanted: u8) -> Vec<&[u8]> {
    assert_eq!(&binary[..4], b"\0asm");
    let (mut rest, mut found) = (&binary[8..], Vec::new());
    while !rest.is_empty() {
        let (id, content, behind) = section(rest);
        found.extend((id == wanted).then_some(content));
        rest = behind;
    }
    found
}

#[test]
fn every_memory_of_the_component_has_a_maximum() {
    let mut memories = 0;
    for module in sections(COMPONENT, MODULE) {
        for mut content in sections(module, MEMORY) {
            for _ in 0..number(&mut content) {
                let flags = number(&mut content);
                let least = number(&mut content);
                assert_eq!(flags & 1, 1, "a memory without a maximum: JavaScript hosts can set none");
                let most = number(&mut content);
                assert!(least < most && most <= PAGES_MAX, "a memory of {least} to {most} pages");
                memories += 1;
            }
        }
    }
    assert_eq!(memories, 1);
    println!("sandbox: one memory of at most {PAGES_MAX} pages");
}

/// More than the module may ever have, with the limits that users get.
#[test]
fn what_does_not_fit_into_the_sandbox_is_an_error_and_no_crash() {
    let root =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sandbox-{}", std::process::id()));
    let mut store = Store::open_with(&root, OpenOptions::default(), Engine::Component).unwrap();
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    let large = "x".repeat(400 << 20);
    let new = NewSession {
        title: Some(large.clone()),
        agent: Some(large.clone()),
        model: Some(large),
        ..NewSession::default()
    };
    let begun = Instant::now();
    let error = store.create(&new).unwrap_err();
    println!("sandbox: 1.2 GiB of arguments are refused after {} ms", begun.elapsed().as_millis());
    assert_eq!(error.kind, ErrorKind::Internal, "{error}");
    assert_eq!(store.get("s").unwrap().id, "s");
    drop(store);
    assert_eq!(Store::open(&root).unwrap().get("s").unwrap().id, "s");
    std::fs::remove_dir_all(root).unwrap();
}
