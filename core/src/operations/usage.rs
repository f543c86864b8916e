//! The ledger of what models have used: tokens by kind and cost, by session, scope, model and day.
//!
//! Sums stand beside the messages, so a revert or a rewrite does not change them, a fork begins with none, and what a
//! purged session has used stays counted. What is not known is counted as unknown and never as 0.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Operation, Run, all_sessions, write_options};
use crate::host::{Durability, Host};
use crate::id::check_id;
use crate::json::Json;
use crate::limits::NUMBER_MAX;
use crate::store::{Draft, PURGED_USAGE, Store, USAGE, View, system};
use crate::table::{number, text};
use crate::{Error, Result};

/// What is counted, in the order of [`Amounts`].
const KINDS: [&str; 5] = ["input", "output", "cache_read", "cache_write", "cost"];

/// Amounts: tokens and money. `null` and absent: not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Tokens that the model was given.
    pub input: Option<Json>,
    /// Tokens that it gave.
    pub output: Option<Json>,
    /// Tokens read from a cache.
    pub cache_read: Option<Json>,
    /// Tokens written to a cache.
    pub cache_write: Option<Json>,
    /// Money, in the caller's currency.
    pub cost: Option<Json>,
}

impl Amounts {
    fn by_kind(&self) -> impl Iterator<Item = (&'static str, Option<&Json>)> {
        let amounts = [&self.input, &self.output, &self.cache_read, &self.cache_write, &self.cost];
        KINDS.into_iter().zip(amounts.map(Option::as_ref))
    }

    fn set(&mut self, kind: &str, amount: Json) {
        match kind {
            "input" => self.input = Some(amount),
            "output" => self.output = Some(amount),
            "cache_read" => self.cache_read = Some(amount),
            "cache_write" => self.cache_write = Some(amount),
            _ => self.cost = Some(amount),
        }
    }

    /// Refuses what is no finite number.
    pub(super) fn check(&self) -> Result<()> {
        let bad =
            self.by_kind().find(|(_, amount)| amount.is_some_and(|amount| number(amount.as_str()).is_none()));
        bad.map_or(Ok(()), |(kind, _)| {
            Err(Error::invalid(format!(
                "the usage's {kind} is no finite number; give one, or null where it is not known"
            )))
        })
    }
}

/// Enters what a turn has used, or with `absolute` what a source has used in all: then the difference to what it has
/// said before is entered.
///
/// Guarantee: every acknowledged entry is in the totals exactly once. Errors: `invalid` (not finite; `absolute` without
/// a source), `not-found`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddUsage {
    /// The session.
    pub session: String,
    /// The model; absent: the session's.
    #[serde(default)]
    pub model: Option<String>,
    /// How much.
    pub amounts: Amounts,
    /// Whether the amounts are all that `source` has used so far.
    #[serde(default)]
    pub absolute: bool,
    /// Who counts, for `absolute`: 1 to 256 bytes.
    #[serde(default)]
    pub source: Option<String>,
    /// When; absent: now. Says which day (UTC) it belongs to.
    #[serde(default)]
    pub used_at: Option<u64>,
    /// The caller's name for this entry: given again it adds nothing.
    #[serde(default)]
    pub op: Option<String>,
    /// How durable it is on return.
    #[serde(default)]
    pub durability: Durability,
}

/// Sums up usage: of a session, of a scope, or of the whole store with what purged sessions have used. A store's sum looks
/// at the end of every session's log.
///
/// Errors: `not-found`, `invalid` (a session and a scope).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GetUsage {
    /// Of this session.
    pub session: Option<String>,
    /// Of all sessions of this scope.
    pub scope: Option<String>,
    /// What to group by.
    pub by: Option<GroupBy>,
}

/// What usage is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// The session; purged ones have no id any more: `null`.
    Session,
    /// The scope.
    Scope,
    /// The model.
    Model,
    /// The day, `2026-01-31`, in UTC.
    Day,
}

/// Sums of usage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Everything.
    pub total: Totals,
    /// By what was asked for, in the order of the keys.
    pub groups: Vec<Group>,
}

/// A group of usage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The session, scope, model or day.
    pub key: Option<String>,
    /// Its sums.
    pub total: Totals,
}

/// Sums: absent where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The sums of what is known.
    pub amounts: Amounts,
    /// How many entries there were.
    pub entries: Option<Json>,
    /// How many of them did not say, by kind.
    pub counters: BTreeMap<String, Json>,
}

impl Operation for AddUsage {
    const NAME: &'static str = "add_usage";
    type Answer = Usage;
}

impl Run for AddUsage {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Usage> {
        check_id("session id", &self.session)?;
        self.amounts.check()?;
        if let Some(source) = &self.source {
            check_id("source", source)?;
        }
        if self.absolute && self.source.is_none() {
            return Err(Error::invalid("absolute amounts need a source; say who counts"));
        }
        if let Some(model) = &self.model {
            check_id("model", model)?;
        }
        let options = write_options(self.op.as_ref(), self.durability);
        store.change(&self.session, &options, &mut |view| {
            let mut draft = Draft::default();
            let day = day(self.used_at.unwrap_or(view.now))?;
            let model = self.model.as_ref().or(view.facts.model.as_ref()).map_or("", String::as_str);
            let source =
                self.source.as_ref().filter(|_| self.absolute).map(|source| format!("usage-source/{source}"));
            enter(&mut draft, view, &day, model, &self.amounts, source.as_deref())?;
            Ok((draft, ()))
        })?;
        GetUsage { session: Some(self.session), ..GetUsage::default() }.run(store)
    }
}

/// Enters amounts. With a source they are absolute, and what it has said last stands there.
pub(super) fn enter(
    draft: &mut Draft,
    view: &View<'_>,
    day: &str,
    model: &str,
    amounts: &Amounts,
    source: Option<&str>,
) -> Result<()> {
    let before: Amounts = source.and_then(|source| view.get(source)).unwrap_or_default();
    let mut said = before.clone();
    for ((kind, amount), (_, old)) in amounts.by_kind().zip(before.by_kind()) {
        match amount {
            Some(amount) => {
                let old = old.and_then(|old| number(old.as_str())).unwrap_or(0.0);
                let by = number(amount.as_str()).unwrap_or(0.0) - old;
                let sum = format!("{USAGE}{day}/{kind}/{model}");
                // Nothing that is known is something else than nothing known.
                if by != 0.0 || source.is_none() || view.table.sum(&sum).is_none() {
                    draft.add(sum, Json::minified(text(by)));
                }
                said.set(kind, amount.clone());
            }
            // Whoever says all from time to time has not forgotten what he leaves out.
            None if source.is_some() => {}
            None => draft.add(format!("{USAGE}{day}/unknown-{kind}/{model}"), Json::minified("1".to_owned())),
        }
    }
    draft.add(format!("{USAGE}{day}/entries/{model}"), Json::minified("1".to_owned()));
    if let Some(source) = source
        && said != before
    {
        draft.put(source, &said)?;
    }
    Ok(())
}

/// The day of a time, in UTC.
pub(super) fn day(at: u64) -> Result<String> {
    let bad = || Error::invalid("the time is past the year 9999; give milliseconds since 1970");
    let at = i64::try_from(at.min(NUMBER_MAX)).map_err(|_| bad())?;
    Timestamp::from_millisecond(at).map(|at| at.strftime("%Y-%m-%d").to_string()).map_err(|_| bad())
}

impl Operation for GetUsage {
    const NAME: &'static str = "get_usage";
    type Answer = Usage;
}

impl Run for GetUsage {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Usage> {
        let mut sums = Sums { by: self.by, total: BTreeMap::new(), groups: BTreeMap::new() };
        match (&self.session, &self.scope) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("usage of a session or of a scope; name one of them"));
            }
            (Some(id), None) => {
                check_id("session id", id)?;
                store.view(id, |view| {
                    sums.take(view, USAGE, Some(id), Some(&view.facts.scope));
                    Ok(())
                })?;
            }
            (None, scope) => {
                for trashed in [false, true] {
                    for session in all_sessions(store, scope.as_deref(), trashed)? {
                        let (id, scope) = (session.id, session.facts.scope);
                        let seen = store.view(&id, |view| {
                            sums.take(view, USAGE, Some(&id), Some(&scope));
                            Ok(())
                        });
                        match seen {
                            // Purged since it was listed: what it has used is with the store's.
                            Err(error) if error.kind == crate::ErrorKind::NotFound => {}
                            seen => seen?,
                        }
                    }
                }
                store.view(&system("store", ""), |view| {
                    let purged: Vec<String> =
                        view.table.sums(PURGED_USAGE).map(|(name, _)| name.to_owned()).collect();
                    for of in purged
                        .iter()
                        .filter_map(|name| name.split_once('\u{1}'))
                        .map(|(of, _)| of)
                        .collect::<std::collections::BTreeSet<_>>()
                    {
                        if scope.as_ref().is_none_or(|scope| scope == of) {
                            sums.take(view, &format!("{PURGED_USAGE}{of}\u{1}"), None, Some(of));
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(sums.into_usage())
    }
}

/// Sums while they are added up: by the names of what is counted.
struct Sums {
    by: Option<GroupBy>,
    total: BTreeMap<String, f64>,
    groups: BTreeMap<Option<String>, BTreeMap<String, f64>>,
}

impl Sums {
    fn take(&mut self, view: &View<'_>, prefix: &str, session: Option<&str>, scope: Option<&str>) {
        for (name, sum) in view.table.sums(prefix) {
            let mut names = name.splitn(3, '/');
            let (Some(day), Some(kind), Some(model)) = (names.next(), names.next(), names.next()) else {
                continue;
            };
            let sum = number(sum.as_str()).unwrap_or(0.0);
            *self.total.entry(kind.to_owned()).or_default() += sum;
            let key = match self.by {
                None => continue,
                Some(GroupBy::Session) => session,
                Some(GroupBy::Scope) => scope,
                Some(GroupBy::Model) => Some(model).filter(|model| !model.is_empty()),
                Some(GroupBy::Day) => Some(day),
            };
            let group = self.groups.entry(key.map(str::to_owned)).or_default();
            *group.entry(kind.to_owned()).or_default() += sum;
        }
    }

    fn into_usage(self) -> Usage {
        let groups = self.groups.iter().map(|(key, sums)| Group { key: key.clone(), total: totals(sums) });
        Usage { total: totals(&self.total), groups: groups.collect() }
    }
}

fn totals(sums: &BTreeMap<String, f64>) -> Totals {
    let json = |sum: &f64| Json::minified(text(*sum));
    let mut totals = Totals { entries: sums.get("entries").map(json), ..Totals::default() };
    for (name, sum) in sums {
        match name.strip_prefix("unknown-") {
            Some(kind) => drop(totals.counters.insert(kind.to_owned(), json(sum))),
            None if KINDS.contains(&name.as_str()) => totals.amounts.set(name, json(sum)),
            None => {}
        }
    }
    totals
}
