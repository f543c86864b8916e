//! The table of a log: documents and sums beside the messages.
//!
//! Counters, key-value state, leases, queue items: what is not a message is an entry of one table, and every change of
//! it is one `change` record. A record changes all that it names or nothing, and the fold decides which: one that was
//! made for another version of the table does not count. So two processes that both saw a lease free agree on who has
//! it. What the entries mean is not known here.
//!
//! Invariant: the same records in the same order give the same table, byte for byte. Sums are kept as text for that
//! reason: the shortest decimal of a double is exact in both directions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::Json;

/// What a log holds besides facts and messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// How many changes of documents there were.
    version: u64,
    /// JSON values other than `null`, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    docs: BTreeMap<String, Json>,
    /// Finite numbers by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sums: BTreeMap<String, Json>,
}

/// A change of a table as a record holds it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Change<'a> {
    /// The version that the table must have.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Documents by key, whole; `null` removes one.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// Numbers to add to sums by name.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// Names of sums that become absent, before anything is added.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<Cow<'a, str>>,
}

/// Why a change does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The table had another version.
    Version,
    /// A sum would be no finite number.
    Overflow,
}

impl Table {
    /// Whether nothing is in it, nor ever was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many changes of documents there were.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The document at `key`, as JSON text.
    pub fn doc(&self, key: &str) -> Option<&str> {
        self.docs.get(key).map(Json::as_str)
    }

    /// All documents whose keys begin with `prefix`, in the order of keys, by the rest of their keys.
    pub fn docs<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let from = self.docs.range::<str, _>((Included(prefix), Unbounded));
        from.map_while(move |(key, doc)| Some((key.strip_prefix(prefix)?, doc.as_str())))
    }

    /// About how many bytes it takes in a log.
    pub fn bytes(&self) -> u64 {
        let bytes = |(key, value): (&String, &Json)| (key.len() + value.as_str().len() + 6) as u64;
        self.docs.iter().chain(&self.sums).map(bytes).sum()
    }

    /// The sum of that name.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.sums.get(name).and_then(|sum| number(sum.as_str()))
    }

    /// All sums whose names begin with `prefix`, in the order of names, by the rest of their names.
    pub fn sums<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Json)> {
        let from = self.sums.range::<str, _>((Included(prefix), Unbounded));
        from.map_while(move |(name, sum)| Some((name.strip_prefix(prefix)?, sum)))
    }

    /// Changes everything that `change` names, or nothing.
    pub fn apply(&mut self, change: &Change<'_>) -> Result<(), Refusal> {
        if change.version.is_some_and(|version| version != self.version) {
            return Err(Refusal::Version);
        }
        let is_reset = |name: &str| change.reset.iter().any(|reset| reset == name);
        let mut sums = Vec::new();
        for (name, by) in &change.add {
            let old = self.sum(name).filter(|_| !is_reset(name)).unwrap_or(0.0);
            let sum = number(by.get()).map(|by| old + by).filter(|sum| sum.is_finite());
            sums.push((name.clone().into_owned(), sum.ok_or(Refusal::Overflow)?));
        }
        self.sums.retain(|name, _| !is_reset(name));
        self.sums.extend(sums.into_iter().map(|(name, sum)| (name, Json::minified(text(sum)))));
        self.version += u64::from(!change.set.is_empty());
        for (key, doc) in &change.set {
            if doc.get() == "null" {
                self.docs.remove(key.as_ref());
            } else {
                self.docs.insert(key.clone().into_owned(), Json::minified(doc.get().to_owned()));
            }
        }
        Ok(())
    }

    /// The change that makes this table's documents and sums of an empty one.
    pub fn as_change(&self) -> Change<'_> {
        Change { set: raw_values(&self.docs), add: raw_values(&self.sums), ..Change::default() }
    }
}

/// JSON by key, as records borrow it.
pub fn raw_values(values: &BTreeMap<String, Json>) -> BTreeMap<Cow<'_, str>, &RawValue> {
    let raw =
        values.iter().map(|(key, value)| Some((key.as_str().into(), crate::log::raw(value.as_str()).ok()?)));
    raw.flatten().collect()
}

/// A finite number, exactly as it is written: the standard library's reading is exact, other parsers' need not be.
pub fn number(text: &str) -> Option<f64> {
    let plain = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// The shortest text that reads as this number again. Integers are written as such.
pub fn text(number: f64) -> String {
    serde_json::to_string(&number)
        .map_or_else(|_| "0".to_owned(), |text| text.strip_suffix(".0").map_or(text.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(table: &mut Table, change: &str) -> Result<(), Refusal> {
        table.apply(&serde_json::from_str(change).unwrap())
    }

    fn sums(table: &Table) -> Vec<(&str, &str)> {
        table.sums("").map(|(name, sum)| (name, sum.as_str())).collect()
    }

    #[test]
    fn a_change_happens_as_a_whole_or_not_at_all() {
        let mut table = Table::default();
        apply(&mut table, r#"{"if":0,"set":{"a":{"x":null},"b":[2]},"add":{"n":1.5}}"#).unwrap();
        let before = table.clone();
        assert_eq!(apply(&mut table, r#"{"if":0,"set":{"b":null},"add":{"n":1}}"#), Err(Refusal::Version));
        assert_eq!(
            apply(&mut table, r#"{"set":{"b":null},"add":{"m":1,"n":1e999}}"#),
            Err(Refusal::Overflow)
        );
        assert_eq!(table, before);
        apply(&mut table, r#"{"if":1,"set":{"b":null},"add":{"n":1}}"#).unwrap();
        assert_eq!((table.doc("a"), table.doc("b"), table.version()), (Some(r#"{"x":null}"#), None, 2));
        assert_eq!(sums(&table), [("n", "2.5")]);
    }

    #[test]
    fn adding_needs_no_version_and_makes_none() {
        let mut table = Table::default();
        apply(&mut table, r#"{"add":{"n":1}}"#).unwrap();
        apply(&mut table, r#"{"if":0,"set":{"a":1}}"#).unwrap();
        apply(&mut table, r#"{"add":{"n":1}}"#).unwrap();
        assert_eq!((table.version(), table.sum("n")), (1, Some(2.0)));
    }

    #[test]
    fn a_table_is_made_again_by_its_own_change_and_by_its_own_json() {
        let mut table = Table::default();
        for number in ["0.1", "0.2", "1e300", "-5e-324", "9007199254740991", "12345.678901234567"] {
            apply(&mut table, &format!(r#"{{"add":{{"sum":{number},"n{number}":{number}}}}}"#)).unwrap();
        }
        apply(&mut table, r#"{"set":{"k/1":{"a":[1.50,"é"]},"__proto__":{}}}"#).unwrap();
        let json = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&json).unwrap(), table);
        let mut again = Table::default();
        again.apply(&table.as_change()).unwrap();
        assert_eq!(again, table);
        assert_eq!(table.docs("k/").collect::<Vec<_>>(), [("1", r#"{"a":[1.50,"é"]}"#)]);
    }

    #[test]
    fn a_reset_sum_begins_anew() {
        let mut table = Table::default();
        apply(&mut table, r#"{"add":{"a":5,"b":7}}"#).unwrap();
        apply(&mut table, r#"{"reset":["a","c"],"add":{"a":1}}"#).unwrap();
        assert_eq!(sums(&table), [("a", "1"), ("b", "7")]);
    }

    #[test]
    fn what_is_no_finite_number_is_none() {
        for bad in ["", "null", "\"1\"", "NaN", "inf", "+1", ".5", "1e999", "true", "[1]"] {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert_eq!(number("-0.5e1"), Some(-5.0));
    }
}
