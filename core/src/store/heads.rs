//! Revert, unrevert, switch, branches: where the head is.

use std::collections::{BTreeSet, HashSet};

use super::{Cached, Look, Plan, Store};
use crate::api::{Branch, MessageRef, WriteOptions};
use crate::facts::Session;
use crate::host::Host;
use crate::id::ulid_text;
use crate::log::Chain;
use crate::path::Path;
use crate::record::{HeadRecord, Record, Stamp, Why};
use crate::{Error, Result};

impl<H: Host> Store<H> {
    pub(super) fn revert_to(
        &mut self,
        id: &str,
        to: &MessageRef,
        inclusive: bool,
        options: &WriteOptions,
    ) -> Result<Session> {
        self.write(id, options, Look::Fresh, &mut |store, cached, stamp| {
            let seq = store.seq_of(cached, id, to)?;
            let path = &cached.log.state().path;
            if !path.contains(seq) {
                return Err(Error::conflict(format!(
                    "message {seq} of session {id} is not visible; switch goes to other branches"
                )));
            }
            let keep = if inclusive { path.before(seq) } else { seq };
            Ok(head(stamp, Why::Revert, keep, Vec::new()))
        })?;
        self.with(id, Look::Cached, |store, cached| Ok(store.session(cached)))
    }

    pub(super) fn undo_revert(&mut self, id: &str, options: &WriteOptions) -> Result<Session> {
        self.write(id, options, Look::Fresh, &mut |_, cached, stamp| {
            if cached.log.state().undo.is_none() && stamp.op.is_none() {
                return Err(Error::conflict(format!(
                    "session {id} has no revert to undo: an append commits it; branches shows what was hidden"
                )));
            }
            Ok(head(stamp, Why::Unrevert, 0, Vec::new()))
        })?;
        self.with(id, Look::Cached, |store, cached| Ok(store.session(cached)))
    }

    pub(super) fn switch_to(&mut self, id: &str, to: &MessageRef, options: &WriteOptions) -> Result<Session> {
        self.write(id, options, Look::Fresh, &mut |store, cached, stamp| {
            let seq = store.seq_of(cached, id, to)?;
            let target = store.path_to(cached, seq)?;
            let (keep, add) = target.since(&cached.log.state().path);
            Ok(head(stamp, Why::Branch, keep, add))
        })?;
        self.with(id, Look::Cached, |store, cached| Ok(store.session(cached)))
    }

    /// The path from the first message to `seq`, on whatever branch it is.
    pub(super) fn path_to(&mut self, cached: &mut Cached, seq: u64) -> Result<Path> {
        let mut visible = cached.log.state().path.clone();
        if visible.cut(seq) {
            return Ok(visible);
        }
        cached.log.index_from(&mut self.host, 0)?;
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut at = seq;
        while at > cached.log.state().inherited {
            let chain = cached.log.chain(at).filter(|chain| chain.parent < chain.first);
            let Chain { first, parent, .. } = chain.unwrap_or(Chain { first: at, last: at, parent: at - 1 });
            match ranges.last_mut() {
                Some(range) if range.0 == at + 1 => range.0 = first,
                _ => ranges.push((first, at)),
            }
            at = parent;
        }
        if at > 0 {
            ranges.push((1, at));
        }
        ranges.reverse();
        Path::new(ranges).ok_or_else(|| Error::internal("a branch does not ascend; please report this"))
    }

    pub(super) fn list_branches(&mut self, id: &str) -> Result<Vec<Branch>> {
        self.with(id, Look::Fresh, |store, cached| {
            cached.log.index_from(&mut store.host, 0)?;
            let inherited = cached.log.state().inherited;
            let visible = cached.log.state().path.clone();
            let parents: HashSet<u64> = cached.log.chains().map(|chain| chain.parent).collect();
            let mut tips: BTreeSet<u64> =
                cached.log.chains().map(|chain| chain.last).filter(|seq| !parents.contains(seq)).collect();
            if inherited > 0 && !parents.contains(&inherited) {
                tips.insert(inherited);
            }
            // The head may lie in the middle of a branch that a revert has hidden.
            tips.extend((visible.head() > 0).then_some(visible.head()));
            let mut branches = Vec::new();
            for tip in tips {
                let path = store.path_to(cached, tip)?;
                let stored = store.stored(cached, &[(tip, tip)], usize::MAX)?;
                let (created_at, id) = stored
                    .first()
                    .map_or((0, String::new()), |stored| (stored.created_at, ulid_text(stored.id)));
                let (shared, _) = path.since(&visible);
                branches.push(Branch {
                    tip,
                    id,
                    message_count: path.len(),
                    shared,
                    created_at,
                    current: tip == visible.head(),
                });
            }
            branches.sort_by_key(|branch| (!branch.current, std::cmp::Reverse(branch.tip)));
            Ok(branches)
        })
    }
}

fn head(stamp: Stamp<'static>, why: Why, keep: u64, add: Vec<(u64, u64)>) -> Plan<'static> {
    Plan::of(&Record::Head(HeadRecord { stamp, why, keep, add, note: None }))
}
