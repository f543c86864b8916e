//! Forks: a new session that begins with the messages of another, without copying one.

use super::messages::numbered;
use super::{ATTEMPTS, Beginning, Cached, Look, Store};
use crate::api::ForkOptions;
use crate::facts::{Facts, NewSession, Session, Status};
use crate::host::Host;
use crate::id::{Name, check_id, ulid, ulid_text};
use crate::limits::{SEGMENTS_MAX, TITLE_BYTES_MAX};
use crate::path::Path;
use crate::planted::{Planted, planted};
use crate::record::Segment;
use crate::{Error, Result};

impl<H: Host> Store<H> {
    pub(super) fn fork_session(&mut self, id: &str, options: &ForkOptions) -> Result<Session> {
        self.writable()?;
        options.id.as_deref().map_or(Ok(()), |id| check_id("session id", id))?;
        for _ in 0..ATTEMPTS {
            self.finish(id)?;
            let (facts, beginning) =
                self.with(id, Look::Fresh, |store, cached| store.plan_fork(cached, id, options))?;
            let child =
                options.id.clone().unwrap_or_else(|| ulid_text(ulid(facts.created, self.host.random())));
            let session = self.begin(Some(child.clone()), facts, beginning)?;
            if self.still_forkable(id, session.message_count > 0)? {
                return Ok(session);
            }
            // The parent was rewritten or purged meanwhile: what the child refers to may go. Nobody knows the child.
            let name = Name::of(&child)?;
            self.cache.remove(&name);
            self.remove_log(&name.log(1))?;
        }
        Err(Error::conflict(format!("session {id} is being rewritten again and again; retry later")))
    }

    /// What a fork begins with, flat: it never refers to a fork.
    fn plan_fork(
        &mut self,
        cached: &mut Cached,
        id: &str,
        options: &ForkOptions,
    ) -> Result<(Facts, Beginning)> {
        let seq = match &options.at {
            Some(at) => self.seq_of(cached, id, at)?,
            None => cached.log.state().path.head(),
        };
        let path = if seq == 0 { Path::default() } else { self.path_to(cached, seq)? };
        let beginning = self.slice(cached, &path)?;
        if beginning.from.len() + beginning.over.len() > SEGMENTS_MAX {
            return Err(Error::invalid(format!(
                "the fork would have {} segments; detach session {id} first",
                beginning.from.len()
            )));
        }
        // A fork is durable, so what it refers to must be.
        if !planted(Planted::ForkUnsynced) {
            self.host.sync(cached.log.path())?;
        }
        let now = self.host.now_ms();
        let parent = cached.log.state().facts.clone();
        let title = options.title.clone().or_else(|| {
            parent
                .title
                .as_ref()
                .map(|title| format!("{title} (fork)"))
                .filter(|title| title.len() <= TITLE_BYTES_MAX)
                .or(parent.title.clone())
        });
        NewSession { title: title.clone(), ..NewSession::default() }.facts(now)?;
        let facts = Facts {
            title,
            title_manual: options.title.is_some(),
            status: Status::Active,
            parent: Some(id.to_owned()),
            fork_point: Some(seq),
            created: now,
            updated: now,
            accessed: now,
            active: parent.active,
            trashed: None,
            ..parent
        };
        Ok((facts, beginning))
    }

    /// Where the messages of `path` lie.
    fn slice(&mut self, cached: &mut Cached, path: &Path) -> Result<Beginning> {
        let inherited = cached.log.state().inherited;
        let beginning = self.beginning(cached)?;
        let theirs = numbered(&beginning.from);
        let own = Segment {
            s: cached.log.state().session.clone(),
            g: cached.log.state().generation,
            a: 0,
            z: 0,
            u: cached.log.end(),
        };
        let mut slices: Vec<Segment> = Vec::new();
        for (from, to) in path.ranges() {
            for (segment, first) in &theirs {
                let (from, to) = ((*from).max(*first), (*to).min(first + (segment.z - segment.a)));
                if from <= to {
                    slices.push(Segment {
                        a: segment.a + (from - first),
                        z: segment.a + (to - first),
                        ..segment.clone()
                    });
                }
            }
            if *to > inherited {
                slices.push(Segment { a: (*from).max(inherited + 1), z: *to, ..own.clone() });
            }
        }
        // Of what it inherits, a path holds a beginning, if anything: those messages have the same numbers in the fork.
        let first = path.ranges().first().filter(|range| range.0 <= inherited);
        let shared = first.map_or(0, |range| range.1.min(inherited));
        let mut over: Vec<Segment> =
            beginning.over.iter().map(|over| Segment { z: over.z.min(shared), ..over.clone() }).collect();
        if cached.log.state().touched {
            over.push(Segment { a: 1, z: shared, ..own });
        }
        over.retain(|over| over.z > 0);
        Ok(Beginning { from: slices, over })
    }

    /// Whether the parent's log is still the one that the child refers to: rewriting and purging first end the log
    /// and then look for children, so one of the two sees the other.
    fn still_forkable(&mut self, id: &str, refers: bool) -> Result<bool> {
        if !refers {
            return Ok(true);
        }
        let name = Name::of(id)?;
        let Some(mut cached) = self.cache.remove(&name) else { return Ok(false) };
        let there = cached.log.refresh(&mut self.host)? && cached.log.state().end.is_none();
        if there {
            self.keep(name, cached);
        }
        Ok(there)
    }
}
