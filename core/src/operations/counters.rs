//! Named counters of a session or of the whole store. Any number of processes add at once, and the totals are exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Operation, Run, write_options};
use crate::host::{Durability, Host};
use crate::id::check_id;
use crate::json::Json;
use crate::store::{Draft, Store, View, system};
use crate::table::number;
use crate::{Error, Result};

/// Where counters stand in a table.
const PREFIX: &str = "counter/";
/// The most counters of a session or of the store.
const COUNTERS_MAX: usize = 10_000;

/// Adds to counters, all or none. One that is not there begins at 0; counters may go below it.
///
/// Guarantee: every acknowledged addition is in the total exactly once, however many processes add.
/// Errors: `invalid` (a number that is not finite, here or as the sum; nothing was added), `not-found`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddCounters {
    /// The session; absent: the store.
    pub session: Option<String>,
    /// Finite numbers by the names of counters, each 1 to 256 bytes.
    pub add: BTreeMap<String, Json>,
    /// The caller's name for this addition: given again it adds nothing.
    pub op: Option<String>,
    /// How durable it is on return.
    pub durability: Durability,
}

/// Gives the counters. Errors: `not-found`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GetCounters {
    /// The session; absent: the store.
    pub session: Option<String>,
}

/// Makes counters absent, so that they begin at 0 again. Errors: `not-found`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResetCounters {
    /// The session; absent: the store.
    pub session: Option<String>,
    /// Their names; absent: all.
    pub names: Option<Vec<String>>,
}

/// The counters as they are now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// The totals by name.
    pub counters: BTreeMap<String, Json>,
}

impl Operation for AddCounters {
    const NAME: &'static str = "add_counters";
    type Answer = Counters;
}

impl Run for AddCounters {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Counters> {
        for (name, by) in &self.add {
            check_id("name of a counter", name)?;
            if number(by.as_str()).is_none() {
                return Err(Error::invalid(format!(
                    "the counter {name} cannot change by that; give a finite number"
                )));
            }
        }
        let log = log_of(self.session.as_ref())?;
        let options = write_options(self.op.as_ref(), self.durability);
        store.change(&log, &options, &mut |view| {
            let mut draft = Draft::default();
            let new = self.add.keys().filter(|name| view.table.sum(&key(name)).is_none()).count();
            if new > 0 && view.table.sums(PREFIX).count() + new > COUNTERS_MAX {
                return Err(Error::invalid(format!(
                    "there would be more than {COUNTERS_MAX} counters; reset some"
                )));
            }
            for (name, by) in &self.add {
                draft.add(key(name), by.clone());
            }
            Ok((draft, ()))
        })?;
        store.view(&log, |view| Ok(counters(view)))
    }
}

impl Operation for GetCounters {
    const NAME: &'static str = "get_counters";
    type Answer = Counters;
}

impl Run for GetCounters {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Counters> {
        store.view(&log_of(self.session.as_ref())?, |view| Ok(counters(view)))
    }
}

impl Operation for ResetCounters {
    const NAME: &'static str = "reset_counters";
    type Answer = Counters;
}

impl Run for ResetCounters {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Counters> {
        let log = log_of(self.session.as_ref())?;
        store.change(&log, &write_options(None, Durability::Synced), &mut |view| {
            let mut draft = Draft::default();
            let named = |name: &str| {
                self.names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name))
            };
            for (name, _) in view.table.sums(PREFIX).filter(|(name, _)| named(name)) {
                draft.reset(key(name));
            }
            Ok((draft, ()))
        })?;
        store.view(&log, |view| Ok(counters(view)))
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn counters(view: &View<'_>) -> Counters {
    let counters = view.table.sums(PREFIX).map(|(name, sum)| (name.to_owned(), sum.clone()));
    Counters { counters: counters.collect() }
}

/// The log of a session, or that of the store.
pub(super) fn log_of(session: Option<&String>) -> Result<String> {
    match session {
        Some(id) => check_id("session id", id).map(|()| id.clone()),
        None => Ok(system("store", "")),
    }
}
