//! A component of somebody else's, composed with ours, runs on a real store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sessile::wasmtime::component::{Component, Linker, Val};
use sessile::wasmtime::{Engine, Store};
use sessile::{Access, Imports, Message, NewSession, SystemHost};
use sessile_tests::hosts;

const INTERFACE: &str = "example:recap/recap@0.1.0";

/// A component that `cargo xtask build` has made.
fn component(engine: &Engine, name: &str) -> Component {
    let file = hosts::repository().join("target/plug-in").join(name);
    let bytes =
        fs::read(&file).unwrap_or_else(|_| panic!("no {}; `cargo xtask build` makes it", file.display()));
    Component::new(engine, bytes).unwrap()
}

/// Calls the plug-in, in an instance of its own, on the store below `root`.
fn recap(engine: &Engine, component: &Component, root: &Path, id: &str) -> Result<String, String> {
    let host = SystemHost::open(root, Access::ReadOnly).unwrap();
    let mut linker = Linker::new(engine);
    Imports::add_to_linker(&mut linker, |imports: &mut Imports<SystemHost>| imports).unwrap();
    let mut store = Store::new(engine, Imports::new(host));
    let instance = linker.instantiate(&mut store, component).unwrap();
    let interface = instance.get_export_index(&mut store, None, INTERFACE).unwrap();
    let function = instance.get_export_index(&mut store, Some(&interface), "recap").unwrap();
    let function = instance.get_func(&mut store, function).unwrap();
    let mut results = [Val::Bool(false)];
    function.call(&mut store, &[Val::String(id.into())], &mut results).unwrap();
    let [Val::Result(result)] = results else { panic!("{results:?}") };
    match result {
        Ok(Some(text)) => match *text {
            Val::String(text) => Ok(text),
            other => panic!("{other:?}"),
        },
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_plug_in_reads_the_store_of_its_host_and_imports_nothing_else() {
    let engine = Engine::default();
    let alone = component(&engine, "recap.wasm");
    assert_eq!(imports(&engine, &alone), set(&["sessions", "types"]));
    let composed = component(&engine, "composed.wasm");
    assert_eq!(imports(&engine, &composed), set(&["clock", "entropy", "filesystem", "types"]));

    let root = hosts::fresh("plug-in-store").unwrap();
    let mut store = sessile::Store::open(root.join("store")).unwrap();
    let new = NewSession {
        id: Some("s".into()),
        title: Some("Fix the build".into()),
        model: Some("m-1".into()),
        ..NewSession::default()
    };
    store.create(&new).unwrap();
    let long = Message::assistant("word ".repeat(100));
    let messages =
        [Message::user("Hello"), Message::user("Why does\nit fail?"), long, Message::user("Thanks")];
    store.append_messages("s", &messages).unwrap();
    let words = "word ".repeat(16);
    assert_eq!(
        recap(&engine, &composed, &root.join("store"), "s").unwrap(),
        format!(
            "\"Fix the build\" has 4 messages with m-1. It ended with user: “Why does it fail?”, assistant: “{words}...”, user: “Thanks”."
        )
    );
    // A store that is still open elsewhere is read as it is now.
    store.append_messages("s", &[Message::user("One more")]).unwrap();
    assert!(recap(&engine, &composed, &root.join("store"), "s").unwrap().contains("5 messages"));
    let missing = recap(&engine, &composed, &root.join("store"), "nobody").unwrap_err();
    assert!(missing.contains("not-found"), "{missing}");
}

/// Our interfaces of these names.
fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| format!("sessile:store/{name}@0.1.0")).collect()
}

fn imports(engine: &Engine, component: &Component) -> BTreeSet<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}
