//! The component: the core behind the interfaces of `wit/`.
//!
//! The only crate that knows wit-bindgen. It converts types in both directions and decides nothing; a line here that
//! is not a conversion belongs into the core.

#![allow(unsafe_code, reason = "the bindings' entry points, which `export!` writes here")]

mod convert;
mod generated;

use std::cell::RefCell;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use generated::exports::sessile::store::sessions as contract;
use generated::sessile::store::{clock, entropy, filesystem, types};
use sessile_core::{Error, ErrorKind, Fs, FsError, Result, Sessions, Store, Text};

/// What the host gives, as the core wants it.
#[derive(Debug)]
struct Imports;

impl Fs for Imports {
    fn append(
        &mut self,
        path: &str,
        data: &str,
        durability: sessile_core::Durability,
    ) -> Result<u64, FsError> {
        filesystem::append(path, data, durability.into()).map_err(Into::into)
    }

    fn create(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        filesystem::create(path, data).map_err(Into::into)
    }

    fn create_bytes(&mut self, path: &str, data: &[u8]) -> Result<(), FsError> {
        filesystem::create_base64(path, &BASE64.encode(data)).map_err(Into::into)
    }

    fn replace(&mut self, path: &str, data: &str) -> Result<(), FsError> {
        filesystem::replace(path, data).map_err(Into::into)
    }

    fn read_text(&mut self, path: &str, offset: u64, limit: u32) -> Result<Text, FsError> {
        let text = filesystem::read_text(path, offset, limit)?;
        Ok(Text { start: text.start, data: text.data })
    }

    fn read_bytes(&mut self, path: &str, offset: u64, limit: u32) -> Result<Vec<u8>, FsError> {
        filesystem::read_bytes(path, offset, limit).map_err(Into::into)
    }

    fn stat(&mut self, path: &str) -> Result<u64, FsError> {
        filesystem::stat(path).map_err(Into::into)
    }

    fn list(
        &mut self,
        directory: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<sessile_core::DirEntry>, FsError> {
        let files = filesystem::list_files(directory, after, limit)?;
        Ok(files
            .into_iter()
            .map(|file| sessile_core::DirEntry { name: file.name, size: file.size })
            .collect())
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        filesystem::remove(path).map_err(Into::into)
    }

    fn sync(&mut self, path: &str) -> Result<(), FsError> {
        filesystem::sync(path).map_err(Into::into)
    }
}

impl sessile_core::Clock for Imports {
    fn now_ms(&mut self) -> u64 {
        clock::now_ms()
    }
}

impl sessile_core::Entropy for Imports {
    fn random(&mut self) -> u128 {
        let (high, low) = entropy::random();
        u128::from(high) << 64 | u128::from(low)
    }
}

thread_local! {
    /// The store of this instance.
    static STORE: RefCell<Option<Store<Imports>>> = const { RefCell::new(None) };
}

/// Runs `act` on the open store.
fn store<T>(act: impl FnOnce(&mut Store<Imports>) -> Result<T>) -> Result<T, types::Error> {
    let run = |store: &RefCell<Option<Store<Imports>>>| match store.borrow_mut().as_mut() {
        Some(store) => act(store),
        None => Err(Error::new(ErrorKind::Closed, "the store is not open; call open first")),
    };
    STORE.with(run).map_err(Into::into)
}

struct Component;

impl contract::Guest for Component {
    fn open(options: types::OpenOptions) -> Result<(), types::Error> {
        let opened = Store::open(Imports, options.into())?;
        STORE.with(|store| *store.borrow_mut() = Some(opened));
        Ok(())
    }

    fn create(new: types::NewSession) -> Result<types::Session, types::Error> {
        store(|store| store.create(&new.into())).map(Into::into)
    }

    fn get(id: String) -> Result<types::Session, types::Error> {
        store(|store| store.get(&id)).map(Into::into)
    }

    fn update(
        id: String,
        patch: types::SessionPatch,
        options: types::WriteOptions,
    ) -> Result<types::Session, types::Error> {
        store(|store| store.update(&id, &patch.into(), &options.into())).map(Into::into)
    }

    fn touch(id: String) -> Result<types::Session, types::Error> {
        store(|store| store.touch(&id)).map(Into::into)
    }

    fn trash(id: String) -> Result<types::Session, types::Error> {
        store(|store| store.trash(&id)).map(Into::into)
    }

    fn restore(id: String) -> Result<types::Session, types::Error> {
        store(|store| store.restore(&id)).map(Into::into)
    }

    fn purge(id: String) -> Result<(), types::Error> {
        store(|store| store.purge(&id))
    }

    fn append(
        id: String,
        messages: String,
        options: types::WriteOptions,
    ) -> Result<types::Appended, types::Error> {
        store(|store| store.append(&id, &messages, &options.into())).map(Into::into)
    }

    fn update_message(
        id: String,
        message: types::MessageRef,
        change: types::MessageChange,
        options: types::WriteOptions,
    ) -> Result<u64, types::Error> {
        store(|store| store.update_message(&id, &message.into(), &change.into(), &options.into()))
    }

    fn sync(id: String) -> Result<(), types::Error> {
        store(|store| store.sync(&id))
    }

    fn read(id: String, select: types::Select) -> Result<types::Page, types::Error> {
        store(|store| store.read(&id, &select.into())).map(Into::into)
    }

    fn fork(id: String, options: types::ForkOptions) -> Result<types::Session, types::Error> {
        store(|store| store.fork(&id, &options.into())).map(Into::into)
    }

    fn detach(id: String) -> Result<types::Rewritten, types::Error> {
        store(|store| store.detach(&id)).map(Into::into)
    }

    fn compact(id: String) -> Result<types::Rewritten, types::Error> {
        store(|store| store.compact(&id)).map(Into::into)
    }

    fn revert(
        id: String,
        to: types::MessageRef,
        inclusive: bool,
        options: types::WriteOptions,
    ) -> Result<types::Session, types::Error> {
        store(|store| store.revert(&id, &to.into(), inclusive, &options.into())).map(Into::into)
    }

    fn unrevert(id: String, options: types::WriteOptions) -> Result<types::Session, types::Error> {
        store(|store| store.unrevert(&id, &options.into())).map(Into::into)
    }

    fn switch(
        id: String,
        to: types::MessageRef,
        options: types::WriteOptions,
    ) -> Result<types::Session, types::Error> {
        store(|store| store.switch(&id, &to.into(), &options.into())).map(Into::into)
    }

    fn branches(id: String) -> Result<Vec<types::Branch>, types::Error> {
        store(|store| store.branches(&id)).map(|branches| branches.into_iter().map(Into::into).collect())
    }

    fn list_sessions(query: types::ListQuery) -> Result<types::SessionPage, types::Error> {
        store(|store| store.list(&query.into())).map(Into::into)
    }

    fn resolve(text: String, scope: Option<String>) -> Result<types::Session, types::Error> {
        store(|store| store.resolve(&text, scope.as_deref())).map(Into::into)
    }

    fn doctor(repair: bool) -> Result<String, types::Error> {
        store(|store| store.doctor(repair))
    }

    fn operate(name: String, request: String) -> Result<String, types::Error> {
        store(|store| store.operate(&name, &request))
    }

    fn close() -> Result<(), types::Error> {
        store(Sessions::close)
    }
}

generated::export!(Component with_types_in generated);
