//! What wit-bindgen makes of the contract and of the plug-in's own interface.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::mem_forget,
    clippy::pedantic,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: ["../../wit", "wit"],
    world: "example:recap/plug-in",
    pub_export_macro: true,
    generate_all
});
