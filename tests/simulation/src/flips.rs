//! Every bit of a store at rest, flipped: what is read afterwards is what was written, or damage is reported.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs, reason = "a testkit")]

use std::collections::BTreeMap;

use serde_json::Value;
use sessile_core::{Error, ErrorKind, Select, Sessions};

use crate::bound::Tally;
use crate::explore::{Base, open};
use crate::sim::{Disk, SimDisk};

/// What a reader gets of one session: its facts, its messages by number, and whether it was told of damage.
#[derive(Clone, Debug, PartialEq)]
struct Reading {
    facts: String,
    messages: BTreeMap<u64, String>,
    is_told: bool,
}

/// A store, and what is read of it.
#[derive(Debug)]
pub struct Flips {
    disk: Disk,
    /// The files and where each begins, as if they were one.
    files: Vec<(String, u64)>,
    bytes: u64,
    sound: BTreeMap<String, Reading>,
}

impl Flips {
    pub fn new(base: &Base) -> Result<Self, String> {
        let (mut files, mut bytes) = (Vec::new(), 0);
        for path in base.disk.paths() {
            files.push((path.to_owned(), bytes));
            bytes += base.disk.bytes(path).map_or(0, <[u8]>::len) as u64;
        }
        let mut sound = BTreeMap::new();
        for id in base.model.sessions() {
            sound.insert(id.to_owned(), read(&base.disk, id).map_err(|error| format!("{id}: {error:?}"))?);
        }
        Ok(Self { disk: base.disk.clone(), files, bytes, sound })
    }

    /// How many bytes the store has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Flips each bit of one byte.
    pub fn byte(&self, place: u64) -> Result<Tally, String> {
        let place = place % self.bytes;
        let file = self.files.partition_point(|(_, start)| *start <= place) - 1;
        let (path, start) = &self.files[file];
        let at = (place - start) as usize;
        for bit in 0..8 {
            let mut disk = self.disk.clone();
            let mut bytes = disk.bytes(path).unwrap_or_default().to_vec();
            bytes[at] ^= 1 << bit;
            disk.put(path, bytes);
            for (id, sound) in &self.sound {
                self.one(&disk, id, sound)
                    .map_err(|error| format!("bit {bit} of byte {at} of {path}: {id}: {error}"))?;
            }
        }
        Ok(Tally::from([("flipped bits".to_owned(), 8)]))
    }

    fn one(&self, disk: &Disk, id: &str, sound: &Reading) -> Result<(), String> {
        let found = match read(disk, id) {
            // Damage, or a marker that names a format of later.
            Err(error) if matches!(error.kind, ErrorKind::Damaged | ErrorKind::Unsupported) => return Ok(()),
            found => found.map_err(|error| format!("{error:?}"))?,
        };
        if found == *sound
            || found.is_told && found.messages.iter().all(|(seq, _)| sound.messages.contains_key(seq))
        {
            return Ok(());
        }
        Err(format!("reads {found:?}, not {sound:?}, and nobody says so"))
    }
}

fn read(disk: &Disk, id: &str) -> Result<Reading, Error> {
    let mut store = open(&SimDisk::new(disk.clone()), 700, true)?;
    let session = store.get(id)?;
    let page = store.read(id, &Select::From { seq: 1, limit: 100 })?;
    let items: Vec<Value> = serde_json::from_str(&page.messages).unwrap_or_default();
    let message = |item: Value| Some((item["seq"].as_u64()?, item.to_string()));
    Ok(Reading {
        facts: format!("{session:?}"),
        messages: items.into_iter().filter_map(message).collect(),
        is_told: !page.damage.is_empty() || !page.unreadable.is_empty(),
    })
}
