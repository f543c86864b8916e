//! What wit-bindgen makes of the contract. Its documentation stands in `wit/`.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::mem_forget,
    clippy::pedantic,
    reason = "generated code"
)]

wit_bindgen::generate!({ path: "../wit", world: "store", pub_export_macro: true });
