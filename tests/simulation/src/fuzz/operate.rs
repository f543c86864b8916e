//! Any requests to any operation, in any order, on a store with sessions.

use sessile_core::operations::NAMES;
use sessile_core::{Json, Sessions};

use super::catalogue::four;
use super::{doctor, open, typed};
use crate::sim::SimDisk;

/// The most operations of one input.
const OPERATIONS_MAX: usize = 24;

/// Each line is the name of an operation, a space and its request. A line that begins with `@` says when it is by then.
pub fn operate(data: &[u8]) {
    let disk = SimDisk::new(four().0.clone());
    let mut store = open(&disk, 5, false).expect("it opens");
    let text = String::from_utf8_lossy(data);
    for line in text.split('\n').take(OPERATIONS_MAX) {
        if let Some(ms) = line.strip_prefix('@').and_then(|ms| ms.parse::<u32>().ok()) {
            let mut later = disk.disk();
            later.advance(u64::from(ms));
            disk.set(later);
            continue;
        }
        let (name, request) = line.split_once(' ').unwrap_or((line, "{}"));
        if let Some(answer) = typed(store.operate(name, request)) {
            assert!(NAMES.contains(&name), "there is no operation {name}");
            Json::parse(&answer).expect("an answer is strict JSON");
        }
    }
    typed(store.close());
    // Whatever was asked for, the store is sound and its logs say what they should.
    let mut reader = open(&disk, 6, true).expect("it opens");
    let report = doctor(&mut reader, false).expect("a report");
    assert_eq!(report["healthy"], true, "{report}");
}
