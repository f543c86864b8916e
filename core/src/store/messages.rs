//! Appending, changing and reading messages.

use super::{Beginning, Cached, Look, Plan, Store, Written};
use crate::api::{Appended, DamagedRange, MessageChange, MessageRef, Page, Select, WriteOptions};
use crate::host::Host;
use crate::id::{Name, parse_ulid, ulid_text};
use crate::json::{self, members, minify, minify_parts};
use crate::limits::{MESSAGE_BYTES_MAX, NUMBER_MAX, PAGE_BYTES, check_number};
use crate::log::{Log, Stored, raw};
use crate::message::{Draft, check_all, check_one, minify_all, own_id};
use crate::planted::{Planted, planted};
use crate::record::{AppendRecord, Record, Segment, Stamp, TextRecord, UpdateRecord};
use crate::{Error, ErrorKind, Result};

impl<H: Host> Store<H> {
    /// Appends behind the visible message `keep` (0: before all) instead of behind the head, and hides in the same step
    /// what lies behind it.
    pub(crate) fn append_behind(
        &mut self,
        id: &str,
        keep: Option<u64>,
        messages: &str,
        options: &WriteOptions,
    ) -> Result<Appended> {
        let minified = minify_all(messages)?;
        let m = check_all(&minified)?;
        let written = self.write(id, options, Look::Cached, &mut |_, cached, stamp| {
            Ok(Plan::Append(AppendRecord { stamp, n: cached.log.state().count, keep, m: m.clone() }))
        })?;
        Ok(Appended {
            seq: written.seq,
            count: written.count,
            head: written.seq + written.count.saturating_sub(1),
            repeated: written.offset.is_none(),
            id: written.id,
            durability: options.durability,
        })
    }

    pub(super) fn change_message(
        &mut self,
        id: &str,
        message: &MessageRef,
        change: &MessageChange,
        options: &WriteOptions,
    ) -> Result<u64> {
        match change {
            MessageChange::AddText { part, text, at } => {
                self.add_text(id, message, (*part, text), *at, options)
            }
            MessageChange::Patch(patch) => {
                let patch = minify(patch)
                    .map_err(|error| Error::invalid(format!("the patch is not acceptable JSON: {error}")))?;
                let names = members(&patch).ok_or_else(|| {
                    Error::invalid("the patch is not a JSON object; give a merge patch (RFC 7396)")
                })?;
                if names.iter().any(|(name, _)| name == "id" || name == "role") {
                    return Err(Error::invalid("the patch changes `id` or `role`; these stay as they are"));
                }
                self.update_stored(id, message, options, &|json| json::merge(json, &patch), &|stamp, m| {
                    Ok(Plan::of(&Record::Update(UpdateRecord {
                        stamp,
                        m,
                        patch: Some(raw(&patch)?),
                        add: Vec::new(),
                    })))
                })
            }
            MessageChange::AddParts(parts) => {
                let parts = minify_parts(parts)
                    .map_err(|error| Error::invalid(format!("the parts are not acceptable JSON: {error}")))?;
                let parts = json::elements(&parts).filter(|parts| !parts.is_empty());
                let parts = parts
                    .ok_or_else(|| Error::invalid("the parts are not a JSON array with at least one part"))?;
                let add = parts.iter().map(|part| raw(part)).collect::<Result<Vec<_>>>()?;
                let added = |json: &str| {
                    let mut draft = Draft::new(json);
                    let nobody = Stamp { id: "".into(), at: 0, b: 0, op: None, head: None };
                    draft.update(&UpdateRecord { stamp: nobody, m: 0, patch: None, add: add.clone() });
                    draft.finish()
                };
                self.update_stored(id, message, options, &added, &|stamp, m| {
                    Ok(Plan::of(&Record::Update(UpdateRecord { stamp, m, patch: None, add: add.clone() })))
                })
            }
        }
    }

    fn update_stored(
        &mut self,
        id: &str,
        message: &MessageRef,
        options: &WriteOptions,
        changed: &dyn Fn(&str) -> String,
        make: &dyn Fn(Stamp<'static>, u64) -> Result<Plan<'static>>,
    ) -> Result<u64> {
        self.write(id, options, Look::Fresh, &mut |store, cached, stamp| {
            let stored = store.one(cached, id, message)?;
            check_one(&changed(&stored.json)).map_err(|error| {
                Error::invalid(format!("the changed message would be no message: {}", error.message))
            })?;
            make(stamp, stored.seq)
        })?;
        Ok(0)
    }

    fn add_text(
        &mut self,
        id: &str,
        message: &MessageRef,
        (part, text): (u64, &str),
        at: Option<u64>,
        options: &WriteOptions,
    ) -> Result<u64> {
        if options.op.is_some() || options.expect_head.is_some() {
            return Err(Error::invalid(
                "added text takes no operation id and no expected head; give `at`, which makes a retry harmless",
            ));
        }
        check_number("a length", at)?;
        let mut place = (0, 0);
        let mut written = None;
        for _ in 0..super::ATTEMPTS {
            let done = self.write(id, options, Look::Cached, &mut |store, cached, _| {
                let (seq, len) = store.text_len(cached, id, message, part)?;
                if at.is_some_and(|at| at != len) {
                    return Err(Error::conflict(format!("the text of part {part} of message {seq} has {len} bytes; read it and add what is missing")));
                }
                if len + text.len() as u64 > MESSAGE_BYTES_MAX as u64 {
                    return Err(Error::invalid(format!("the message would have more than {MESSAGE_BYTES_MAX} bytes; begin another")));
                }
                place = (seq, len);
                Ok(Plan::of(&Record::Text(TextRecord { m: seq, p: part, o: len, x: text.into() })))
            })?;
            let len = place.1 + text.len() as u64;
            if self.text_counts(id, place.0, part, len, &done)? {
                written = Some(len);
                break;
            }
            if at.is_some() {
                break;
            }
        }
        written.ok_or_else(|| {
            Error::conflict(format!(
                "another writer adds to message {} of session {id}; read it and decide",
                place.0
            ))
        })
    }

    /// The number of a message and the length of a part's text.
    fn text_len(
        &mut self,
        cached: &mut Cached,
        id: &str,
        message: &MessageRef,
        part: u64,
    ) -> Result<(u64, u64)> {
        if let (MessageRef::Seq(seq), Some((known, known_part, len, end))) = (message, cached.growing)
            && (known, known_part, end) == (*seq, part, cached.log.end())
        {
            return Ok((*seq, len));
        }
        cached.log.refresh(&mut self.host)?;
        let stored = self.one(cached, id, message)?;
        let len = Draft::new(&stored.json).text_len(part);
        let len = len.ok_or_else(|| Error::invalid(format!("message {} has no part {part} with text; add to a text part, or begin one right behind the last", stored.seq)))?;
        Ok((stored.seq, len))
    }

    /// Whether added text got the place that it was written for.
    fn text_counts(&mut self, id: &str, seq: u64, part: u64, len: u64, written: &Written) -> Result<bool> {
        self.with(id, Look::Cached, |store, cached| {
            let Some(offset) = written.offset.filter(|_| !written.alone) else {
                cached.growing = Some((seq, part, len, cached.log.end()));
                return Ok(true);
            };
            cached.growing = None;
            let stored = store.original(cached, seq)?;
            cached.log.text_applied(&mut store.host, stored, offset)
        })
    }

    /// The number of a message.
    pub(super) fn seq_of(&mut self, cached: &mut Cached, id: &str, message: &MessageRef) -> Result<u64> {
        let missing = || Error::not_found(format!("no such message in session {id}; show lists them"));
        match message {
            MessageRef::Seq(seq) if (1..=cached.log.state().count).contains(seq) => Ok(*seq),
            MessageRef::Seq(seq) => {
                check_number("the number of a message", Some(*seq))?;
                Err(missing())
            }
            MessageRef::Id(text) => {
                // Recent messages first: they are what people refer to.
                let recent = cached.log.state().path.last(64).first().map_or(0, |range| range.0 - 1);
                for floor in [recent, 0] {
                    cached.log.index_from(&mut self.host, floor)?;
                    if let Some(seq) = parse_ulid(text).and_then(|ulid| cached.log.find_ulid(ulid)) {
                        return Ok(seq);
                    }
                    let count = cached.log.state().count;
                    let stored = self.stored(cached, &[(floor + 1, count)], usize::MAX)?;
                    let fits = |stored: &&Stored| {
                        ulid_text(stored.id) == *text || own_id(&stored.json).as_deref() == Some(text)
                    };
                    if let Some(stored) = stored.iter().rev().find(fits) {
                        return Ok(stored.seq);
                    }
                }
                Err(missing())
            }
        }
    }

    fn one(&mut self, cached: &mut Cached, id: &str, message: &MessageRef) -> Result<Stored> {
        let seq = self.seq_of(cached, id, message)?;
        let stored = self.stored(cached, &[(seq, seq)], usize::MAX)?.pop();
        stored.ok_or_else(|| {
            Error::damaged(format!("message {seq} of session {id} cannot be read; run doctor"))
        })
    }

    /// A message by its number, also a hidden one, with its changes. `None` where it cannot be read.
    pub(crate) fn message_at(&mut self, id: &str, seq: u64) -> Result<Option<String>> {
        self.with(id, Look::Fresh, |store, cached| {
            Ok(store.stored(cached, &[(seq, seq)], usize::MAX)?.pop().map(|stored| stored.json))
        })
    }

    /// Reads messages by number, inherited ones too. Those that cannot be read are left out.
    pub(crate) fn stored(
        &mut self,
        cached: &mut Cached,
        ranges: &[(u64, u64)],
        bytes_max: usize,
    ) -> Result<Vec<Stored>> {
        let Some(lowest) = ranges.first().map(|range| range.0) else { return Ok(Vec::new()) };
        cached.log.index_from(&mut self.host, lowest.saturating_sub(1))?;
        let inherited = cached.log.state().inherited;
        let mut all = self.inherited(cached, ranges, bytes_max)?;
        cached.log.change(&mut self.host, &mut all, u64::MAX)?;
        let taken: usize = all.iter().map(|stored| stored.json.len()).sum();
        if taken >= bytes_max {
            return Ok(all);
        }
        let own: Vec<(u64, u64)> = ranges
            .iter()
            .filter(|(_, to)| *to > inherited)
            .map(|(from, to)| ((*from).max(inherited + 1), *to))
            .collect();
        all.extend(cached.log.messages(&mut self.host, &own, bytes_max - taken)?);
        Ok(all)
    }

    /// A message as it was before this session's own changes.
    fn original(&mut self, cached: &mut Cached, seq: u64) -> Result<Stored> {
        cached.log.index_from(&mut self.host, seq.saturating_sub(1))?;
        let mut stored = self.inherited(cached, &[(seq, seq)], usize::MAX)?;
        stored.extend(cached.log.originals(&mut self.host, &[(seq, seq)])?);
        stored.pop().ok_or_else(|| Error::damaged(format!("message {seq} cannot be read; run doctor")))
    }

    /// The inherited messages of `ranges`, as they were at the time of the fork.
    fn inherited(
        &mut self,
        cached: &mut Cached,
        ranges: &[(u64, u64)],
        bytes_max: usize,
    ) -> Result<Vec<Stored>> {
        let inherited = cached.log.state().inherited;
        let mut all: Vec<Stored> = Vec::new();
        if ranges.first().is_none_or(|(from, _)| *from > inherited) {
            return Ok(all);
        }
        let mut bytes = 0;
        let beginning = self.beginning(cached)?;
        for (segment, first) in numbered(&beginning.from) {
            for (from, to) in ranges {
                let (from, to) = ((*from).max(first), (*to).min(first + (segment.z - segment.a)));
                if from > to || bytes >= bytes_max {
                    continue;
                }
                let theirs = (segment.a + (from - first), segment.a + (to - first));
                let read = self.segment_messages(&segment, theirs, bytes_max - bytes, cached.is_copied)?;
                bytes += read.iter().map(|stored| stored.json.len()).sum::<usize>();
                all.extend(read.into_iter().map(|stored| {
                    let seq = first + (stored.seq - segment.a);
                    Stored { seq, parent: seq - 1, ..stored }
                }));
            }
        }
        for over in &beginning.over {
            if let Some(mut log) = self.parent_log(over, cached.is_copied)? {
                log.index_from(&mut self.host, 0)?;
                log.change(&mut self.host, &mut all, over.z)?;
            }
        }
        Ok(all)
    }

    /// The numbers of the inherited messages that can be read.
    pub(super) fn readable_inherited(&mut self, cached: &mut Cached) -> Result<Vec<(u64, u64)>> {
        let beginning = self.beginning(cached)?;
        let mut readable = Vec::new();
        for (segment, first) in numbered(&beginning.from) {
            if let Some(mut log) = self.parent_log(&segment, cached.is_copied)? {
                log.index_from(&mut self.host, segment.a - 1)?;
                let ranges = log.readable(segment.a, segment.z).into_iter();
                readable.extend(ranges.map(|(from, to)| (first + from - segment.a, first + to - segment.a)));
            }
        }
        Ok(readable)
    }

    fn segment_messages(
        &mut self,
        segment: &Segment,
        range: (u64, u64),
        bytes_max: usize,
        is_copied: bool,
    ) -> Result<Vec<Stored>> {
        let Some(mut log) = self.parent_log(segment, is_copied)? else { return Ok(Vec::new()) };
        log.index_from(&mut self.host, range.0 - 1)?;
        log.messages(&mut self.host, &[range], bytes_max)
    }

    /// The log of a segment as it was at the time of the fork; `None` where it is gone. One that is no log any more
    /// makes its messages unreadable, not the fork; who writes anew what he reads is told.
    fn parent_log(&mut self, segment: &Segment, is_copied: bool) -> Result<Option<Log>> {
        let until = Some(segment.u).filter(|_| !planted(Planted::ForkSeesLater));
        match Log::load(&mut self.host, &Name::of(&segment.s)?.log(segment.g), until) {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind == ErrorKind::Damaged && !is_copied => Ok(None),
            log => log.map(Some),
        }
    }

    /// What a session begins with.
    pub(crate) fn beginning(&mut self, cached: &mut Cached) -> Result<Beginning> {
        if cached.log.state().inherited == 0 {
            return Ok(Beginning::default());
        }
        if let Some(beginning) = &cached.beginning {
            return Ok(beginning.clone());
        }
        let path = cached.log.path();
        let beginning = self.read_beginning(path)?;
        let beginning = beginning
            .ok_or_else(|| Error::damaged(format!("the beginning of {path} cannot be read; run doctor")))?;
        let sound = |segment: &Segment| {
            segment.a > 0 && segment.a <= segment.z && segment.z <= NUMBER_MAX && segment.g > 0
        };
        if !beginning.from.iter().chain(&beginning.over).all(sound) {
            return Err(Error::damaged(format!(
                "the beginning of {path} names no sound segments; run doctor"
            )));
        }
        cached.beginning = Some(beginning.clone());
        Ok(beginning)
    }

    pub(super) fn read_page(&mut self, id: &str, select: &Select) -> Result<Page> {
        select.check()?;
        let bad_cursor = || Error::invalid("not a cursor of this store; begin again without one");
        let limit = u64::from(select.limit());
        let look = if let Select::Last(_) = select { Look::Last(limit) } else { Look::Fresh };
        self.with(id, look, |store, cached| {
            let path = cached.log.state().path.clone();
            let ranges = match select {
                Select::Last(_) => path.last(limit),
                Select::From { seq, .. } => path.from(*seq, limit),
                Select::Cursor { cursor, .. } => path.from(cursor.parse().map_err(|_| bad_cursor())?, limit),
            };
            let stored = store.stored(cached, &ranges, PAGE_BYTES)?;
            // A page that was cut short by its bytes goes on behind what it holds.
            let full = stored.iter().map(|stored| stored.json.len()).sum::<usize>() >= PAGE_BYTES;
            let wanted_last = ranges.last().map_or(0, |range| range.1);
            let last =
                if full { stored.last().map_or(wanted_last, |stored| stored.seq) } else { wanted_last };
            let read: std::collections::HashSet<u64> = stored.iter().map(|stored| stored.seq).collect();
            let wanted = ranges.iter().flat_map(|(from, to)| *from..=*to);
            let unreadable = wanted.filter(|seq| *seq <= last && !read.contains(seq)).collect();
            let next = path
                .from(last + if planted(Planted::PageSkips) { 2 } else { 1 }, 1)
                .first()
                .map(|range| range.0.to_string())
                .filter(|_| !ranges.is_empty());
            let damage = cached.log.damage().iter().map(|damage| DamagedRange {
                session: id.to_owned(),
                from: damage.from,
                to: damage.to,
            });
            Ok(Page { messages: page_json(&stored), next, unreadable, damage: damage.collect() })
        })
    }
}

/// Segments with the number that their first message has in the fork.
pub(crate) fn numbered(segments: &[Segment]) -> Vec<(Segment, u64)> {
    let mut first = 1;
    let number = |segment: &Segment| {
        let numbered = (segment.clone(), first);
        first += segment.z - segment.a + 1;
        numbered
    };
    segments.iter().map(number).collect()
}

fn page_json(stored: &[Stored]) -> String {
    let mut out = String::with_capacity(stored.iter().map(|stored| stored.json.len() + 128).sum());
    out.push('[');
    for stored in stored {
        if out.len() > 1 {
            out.push(',');
        }
        let Stored { seq, parent, created_at, updated_at, .. } = stored;
        let id = ulid_text(stored.id);
        out.push_str(&format!(
            "{{\"seq\":{seq},\"id\":\"{id}\",\"parent\":{parent},\"created_at\":{created_at},\"updated_at\":{updated_at},\"message\":"
        ));
        out.push_str(&stored.json);
        out.push('}');
    }
    out.push(']');
    out
}
