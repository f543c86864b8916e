//! The component under wasmtime: the same store as the native core, inside a sandbox.
//!
//! It is given the three imports of the contract and nothing else, a limit of memory and a bound of work per call.
//! After a trap the instance is dropped and the next call makes a fresh one on the same host: what an instance holds
//! is only a cache of the files.

mod bindings {
    #![allow(
        missing_docs,
        unused_qualifications,
        clippy::all,
        clippy::mem_forget,
        clippy::pedantic,
        reason = "generated code"
    )]
    wasmtime::component::bindgen!({ path: "component/wit", world: "store" });
}
mod compiled;
mod convert;

pub use compiled::COMPONENT;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bindings::exports::sessile::store::sessions::Guest;
use bindings::sessile::store::{clock, entropy, filesystem, types};
use sessile_core::{
    Appended, Branch, Error, ErrorKind, ForkOptions, FsError, FsErrorKind, Host, ListQuery, MessageChange,
    MessageRef, NewSession, OpenOptions, Page, Result, Rewritten, Select, Session, SessionPage, SessionPatch,
    Sessions, WriteOptions,
};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// The most memory of an instance, in bytes: as much as the module itself allows.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// The work that one call may do, in fuel: some minutes. A call that needs more is a fault.
const FUEL: u64 = 1 << 40;

/// A store in the component, over any host.
pub struct ComponentStore<H: Host + 'static> {
    options: OpenOptions,
    fuel: u64,
    state: State<H>,
}

enum State<H: Host + 'static> {
    Live(Box<Live<H>>),
    /// After a trap, with the host that the instance has left.
    Dead(H),
    /// While the state changes.
    Between,
}

struct Live<H: Host + 'static> {
    store: wasmtime::Store<Limited<H>>,
    world: bindings::Store,
}

/// What belongs to an instance outside of it.
struct Limited<H> {
    imports: Imports<H>,
    limits: StoreLimits,
}

/// The imports of the component over any host: the interfaces `filesystem`, `clock` and `entropy` of the contract.
///
/// For embedders that run components of their own, with the store composed into them (docs/plug-ins.md): they put one
/// into the data of their `wasmtime::Store`, one for each root, and add it to their linker. [`COMPONENT`] is what they
/// compose with. Limits of memory and of work are theirs to set.
///
/// [`COMPONENT`]: crate::COMPONENT
#[derive(Debug)]
pub struct Imports<H> {
    host: H,
}

impl<H: Host + 'static> Imports<H> {
    /// Imports that are answered by `host`.
    pub fn new(host: H) -> Self {
        Self { host }
    }

    /// Adds the three interfaces to a linker; `imports` finds them in the data of a store.
    ///
    /// Errors: the linker has one of them already.
    pub fn add_to_linker<T: 'static>(
        linker: &mut Linker<T>,
        imports: fn(&mut T) -> &mut Self,
    ) -> wasmtime::Result<()> {
        bindings::Store::add_to_linker::<T, HasSelf<Self>>(linker, imports)
    }

    /// Gives the host back. After a trap it serves the next instance: it knows of failed syncs, an instance does not.
    pub fn into_host(self) -> H {
        self.host
    }
}

impl<H: Host + 'static> std::fmt::Debug for ComponentStore<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentStore").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<H: Host + 'static> ComponentStore<H> {
    /// Opens the store in the host's root, or makes one there.
    ///
    /// Errors: as [`sessile_core::Store::open`]; `internal` where the component cannot be started.
    pub fn open(host: H, options: OpenOptions) -> Result<Self> {
        let live = Live::start(host).map_err(|(error, _)| error)?;
        let mut store = Self { options, fuel: FUEL, state: State::Live(Box::new(live)) };
        store.call(|sessions, store| sessions.call_open(store, options.into()))?;
        Ok(store)
    }

    /// Gives the host back.
    pub fn into_host(self) -> Option<H> {
        match self.state {
            State::Live(live) => Some(live.store.into_data().imports.host),
            State::Dead(host) => Some(host),
            State::Between => None,
        }
    }

    /// How much work the last call has done inside the sandbox, in wasmtime's fuel: about one for each instruction of
    /// the component. The same call on the same files takes as much on every machine. 0 after a trap.
    pub fn fuel_used(&self) -> u64 {
        match &self.state {
            State::Live(live) => self.fuel.saturating_sub(live.store.get_fuel().unwrap_or(self.fuel)),
            State::Dead(_) | State::Between => 0,
        }
    }

    /// Calls the component, in a fresh instance where the last one has trapped.
    fn call<T>(
        &mut self,
        act: impl FnOnce(&Guest, &mut wasmtime::Store<Limited<H>>) -> wasmtime::Result<Result<T, types::Error>>,
    ) -> Result<T> {
        self.revive()?;
        let State::Live(live) = &mut self.state else {
            return Err(Error::new(
                ErrorKind::Internal,
                "the component could not be started; open the store again",
            ));
        };
        match live.run(self.fuel, act) {
            Ok(result) => result.map_err(Into::into),
            Err(trap) => {
                if let State::Live(live) = std::mem::replace(&mut self.state, State::Between) {
                    self.state = State::Dead(live.store.into_data().imports.host);
                }
                let message = format!(
                    "the component has trapped ({trap}); nothing acknowledged is lost, please report this"
                );
                Err(Error::new(ErrorKind::Internal, message))
            }
        }
    }

    fn revive(&mut self) -> Result<()> {
        let host = match std::mem::replace(&mut self.state, State::Between) {
            State::Dead(host) => host,
            other => {
                self.state = other;
                return Ok(());
            }
        };
        match Live::start(host) {
            Ok(mut live) => {
                let options = self.options;
                let opened = live.run(self.fuel, |sessions, store| sessions.call_open(store, options.into()));
                self.state = State::Live(Box::new(live));
                opened.map_err(|trap| Error::new(ErrorKind::Internal, trap.to_string()))?.map_err(Into::into)
            }
            Err((error, host)) => {
                self.state = State::Dead(host);
                Err(error)
            }
        }
    }
}

impl<H: Host + 'static> Live<H> {
    fn start(host: H) -> Result<Self, (Error, H)> {
        let fault = |error: wasmtime::Error| {
            Error::new(ErrorKind::Internal, format!("the component cannot be started: {error:#}"))
        };
        let (engine, component) = match compiled::component() {
            Ok(compiled) => compiled,
            Err(error) => return Err((fault(error), host)),
        };
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY_BYTES_MAX).build();
        let mut store = wasmtime::Store::new(engine, Limited { imports: Imports::new(host), limits });
        store.limiter(|limited| &mut limited.limits);
        let started = || {
            let mut linker = Linker::new(engine);
            Imports::add_to_linker(&mut linker, |limited: &mut Limited<H>| &mut limited.imports)?;
            store.set_fuel(FUEL)?;
            bindings::Store::instantiate(&mut store, component, &linker)
        };
        match { started }() {
            Ok(world) => Ok(Self { store, world }),
            Err(error) => Err((fault(error), store.into_data().imports.host)),
        }
    }

    fn run<T>(
        &mut self,
        fuel: u64,
        act: impl FnOnce(&Guest, &mut wasmtime::Store<Limited<H>>) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        self.store.set_fuel(fuel)?;
        act(self.world.sessile_store_sessions(), &mut self.store)
    }
}

impl<H: Host + 'static> filesystem::Host for Imports<H> {
    fn append(
        &mut self,
        path: String,
        data: String,
        durability: filesystem::Durability,
    ) -> Result<u64, filesystem::Error> {
        self.host.append(&path, &data, durability.into()).map_err(Into::into)
    }

    fn create(&mut self, path: String, data: String) -> Result<(), filesystem::Error> {
        self.host.create(&path, &data).map_err(Into::into)
    }

    fn create_base64(&mut self, path: String, data: String) -> Result<(), filesystem::Error> {
        let refused = |_| FsError::new(FsErrorKind::Refused, format!("`{path}` is not given in base64"));
        let data = BASE64.decode(data).map_err(refused)?;
        self.host.create_bytes(&path, &data).map_err(Into::into)
    }

    fn replace(&mut self, path: String, data: String) -> Result<(), filesystem::Error> {
        self.host.replace(&path, &data).map_err(Into::into)
    }

    fn read_text(
        &mut self,
        path: String,
        offset: u64,
        limit: u32,
    ) -> Result<filesystem::Text, filesystem::Error> {
        let text = self.host.read_text(&path, offset, limit)?;
        Ok(filesystem::Text { start: text.start, data: text.data })
    }

    fn read_bytes(&mut self, path: String, offset: u64, limit: u32) -> Result<Vec<u8>, filesystem::Error> {
        self.host.read_bytes(&path, offset, limit).map_err(Into::into)
    }

    fn stat(&mut self, path: String) -> Result<u64, filesystem::Error> {
        self.host.stat(&path).map_err(Into::into)
    }

    fn list_files(
        &mut self,
        directory: String,
        after: String,
        limit: u32,
    ) -> Result<Vec<filesystem::Entry>, filesystem::Error> {
        let files = self.host.list(&directory, &after, limit)?;
        Ok(files.into_iter().map(|file| filesystem::Entry { name: file.name, size: file.size }).collect())
    }

    fn remove(&mut self, path: String) -> Result<(), filesystem::Error> {
        self.host.remove(&path).map_err(Into::into)
    }

    fn sync(&mut self, path: String) -> Result<(), filesystem::Error> {
        self.host.sync(&path).map_err(Into::into)
    }
}

impl<H: Host + 'static> types::Host for Imports<H> {}

impl<H: Host + 'static> clock::Host for Imports<H> {
    fn now_ms(&mut self) -> u64 {
        self.host.now_ms()
    }
}

impl<H: Host + 'static> entropy::Host for Imports<H> {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
    fn random(&mut self) -> (u64, u64) {
        let bits = self.host.random();
        ((bits >> 64) as u64, bits as u64)
    }
}

impl<H: Host + 'static> Sessions for ComponentStore<H> {
    fn create(&mut self, new: &NewSession) -> Result<Session> {
        self.call(|sessions, store| sessions.call_create(store, &new.into())).and_then(convert::session)
    }

    fn get(&mut self, id: &str) -> Result<Session> {
        self.call(|sessions, store| sessions.call_get(store, id)).and_then(convert::session)
    }

    fn update(&mut self, id: &str, patch: &SessionPatch, options: &WriteOptions) -> Result<Session> {
        self.call(|sessions, store| sessions.call_update(store, id, &patch.into(), &options.into()))
            .and_then(convert::session)
    }

    fn touch(&mut self, id: &str) -> Result<Session> {
        self.call(|sessions, store| sessions.call_touch(store, id)).and_then(convert::session)
    }

    fn trash(&mut self, id: &str) -> Result<Session> {
        self.call(|sessions, store| sessions.call_trash(store, id)).and_then(convert::session)
    }

    fn restore(&mut self, id: &str) -> Result<Session> {
        self.call(|sessions, store| sessions.call_restore(store, id)).and_then(convert::session)
    }

    fn purge(&mut self, id: &str) -> Result<()> {
        self.call(|sessions, store| sessions.call_purge(store, id))
    }

    fn append(&mut self, id: &str, messages: &str, options: &WriteOptions) -> Result<Appended> {
        self.call(|sessions, store| sessions.call_append(store, id, messages, &options.into()))
            .map(Into::into)
    }

    fn update_message(
        &mut self,
        id: &str,
        message: &MessageRef,
        change: &MessageChange,
        options: &WriteOptions,
    ) -> Result<u64> {
        self.call(|sessions, store| {
            sessions.call_update_message(store, id, &message.into(), &change.into(), &options.into())
        })
    }

    fn sync(&mut self, id: &str) -> Result<()> {
        self.call(|sessions, store| sessions.call_sync(store, id))
    }

    fn read(&mut self, id: &str, select: &Select) -> Result<Page> {
        self.call(|sessions, store| sessions.call_read(store, id, &select.into())).map(Into::into)
    }

    fn fork(&mut self, id: &str, options: &ForkOptions) -> Result<Session> {
        self.call(|sessions, store| sessions.call_fork(store, id, &options.into())).and_then(convert::session)
    }

    fn detach(&mut self, id: &str) -> Result<Rewritten> {
        self.call(|sessions, store| sessions.call_detach(store, id)).map(Into::into)
    }

    fn compact(&mut self, id: &str) -> Result<Rewritten> {
        self.call(|sessions, store| sessions.call_compact(store, id)).map(Into::into)
    }

    fn revert(
        &mut self,
        id: &str,
        to: &MessageRef,
        inclusive: bool,
        options: &WriteOptions,
    ) -> Result<Session> {
        let reverted = self
            .call(|sessions, store| sessions.call_revert(store, id, &to.into(), inclusive, &options.into()));
        reverted.and_then(convert::session)
    }

    fn unrevert(&mut self, id: &str, options: &WriteOptions) -> Result<Session> {
        self.call(|sessions, store| sessions.call_unrevert(store, id, &options.into()))
            .and_then(convert::session)
    }

    fn switch(&mut self, id: &str, to: &MessageRef, options: &WriteOptions) -> Result<Session> {
        self.call(|sessions, store| sessions.call_switch(store, id, &to.into(), &options.into()))
            .and_then(convert::session)
    }

    fn branches(&mut self, id: &str) -> Result<Vec<Branch>> {
        let branches = self.call(|sessions, store| sessions.call_branches(store, id))?;
        Ok(branches.into_iter().map(Into::into).collect())
    }

    fn list(&mut self, query: &ListQuery) -> Result<SessionPage> {
        let page = self.call(|sessions, store| sessions.call_list_sessions(store, &query.into()))?;
        let sessions = page.sessions.into_iter().map(convert::session).collect::<Result<_>>()?;
        Ok(SessionPage { sessions, next: page.next })
    }

    fn resolve(&mut self, text: &str, scope: Option<&str>) -> Result<Session> {
        self.call(|sessions, store| sessions.call_resolve(store, text, scope)).and_then(convert::session)
    }

    fn doctor(&mut self, repair: bool) -> Result<String> {
        self.call(|sessions, store| sessions.call_doctor(store, repair))
    }

    fn operate(&mut self, name: &str, request: &str) -> Result<String> {
        self.call(|sessions, store| sessions.call_operate(store, name, request))
    }

    fn close(&mut self) -> Result<()> {
        self.call(|sessions, store| sessions.call_close(store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, SystemHost};

    fn directory(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("sessile-component-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&directory).ok();
        directory
    }

    fn open(name: &str) -> ComponentStore<SystemHost> {
        ComponentStore::open(
            SystemHost::open(&directory(name), Access::ReadWrite).unwrap(),
            OpenOptions::default(),
        )
        .unwrap()
    }

    const HELLO: &str = r#"[{"role":"user","parts":[{"type":"text","text":"hello"}]}]"#;

    #[test]
    fn the_component_imports_nothing_but_the_contract() {
        let (engine, component) = compiled::component().unwrap();
        let mut imports: Vec<String> =
            component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect();
        imports.sort();
        let golden =
            ["clock", "entropy", "filesystem", "types"].map(|name| format!("sessile:store/{name}@0.1.0"));
        assert_eq!(imports, golden);
    }

    #[test]
    fn a_trap_costs_an_instance_and_nothing_else() {
        let mut store = open("trap");
        store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
        store.append("s", HELLO, &WriteOptions::default()).unwrap();
        // So little work that a call cannot finish: it traps in the middle.
        store.fuel = 20_000;
        let error = store.append("s", HELLO, &WriteOptions::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(error.message.contains("trapped"), "{error}");
        store.fuel = FUEL;
        assert_eq!(store.get("s").unwrap().message_count, 1);
        assert_eq!(store.append("s", HELLO, &WriteOptions::default()).unwrap().seq, 2);
        std::fs::remove_dir_all(directory("trap")).ok();
    }

    #[test]
    fn memory_has_a_limit() {
        let mut store = open("memory");
        store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
        let State::Live(live) = &mut store.state else { panic!("not live") };
        live.store.data_mut().limits = StoreLimitsBuilder::new().memory_size(2 << 20).build();
        let large =
            format!(r#"[{{"role":"user","parts":[{{"type":"text","text":"{}"}}]}}]"#, "x".repeat(8 << 20));
        assert_eq!(
            store.append("s", &large, &WriteOptions::default()).unwrap_err().kind,
            ErrorKind::Internal
        );
        assert_eq!(store.append("s", &large, &WriteOptions::default()).unwrap().seq, 1);
        std::fs::remove_dir_all(directory("memory")).ok();
    }

    #[test]
    fn a_failed_sync_stays_closed_over_a_trap() {
        // The host lives on when the instance is replaced, and with it what it knows of failed syncs.
        let mut store = open("closed");
        store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
        store.fuel = 10;
        assert!(store.get("s").is_err());
        store.fuel = FUEL;
        assert!(matches!(store.state, State::Dead(_)));
        assert!(store.get("s").is_ok());
        std::fs::remove_dir_all(directory("closed")).ok();
    }
}
