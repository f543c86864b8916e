//! Listing and finding sessions.

use super::{Store, missing};
use crate::api::{ListQuery, SessionPage, Sessions};
use crate::catalogue::{Rank, from_logs, session, settled};
use crate::facts::Session;
use crate::host::Host;
use crate::limits::PAGE_SESSIONS_MAX;
use crate::record::EntryRecord;
use crate::{Error, ErrorKind, Result};

impl<H: Host> Store<H> {
    pub(super) fn list_sessions(&mut self, query: &ListQuery) -> Result<SessionPage> {
        let limit = match query.limit {
            0 => 100,
            limit if limit <= PAGE_SESSIONS_MAX => limit as usize,
            limit => {
                return Err(Error::invalid(format!(
                    "a page of {limit} sessions; ask for at most {PAGE_SESSIONS_MAX}"
                )));
            }
        };
        let bad_cursor = || Error::invalid("not a cursor of this store; begin again without one");
        let after = query
            .cursor
            .as_deref()
            .map(|cursor| Rank::from_cursor(cursor).ok_or_else(bad_cursor))
            .transpose()?;
        let scope = query.scope.as_deref();
        let wanted = |entry: &EntryRecord| {
            entry.facts.trashed.is_some() == query.trashed
                && scope.is_none_or(|scope| entry.facts.scope == scope)
        };
        let mut entries = if self.catalogue.load(&mut self.host)? {
            loop {
                let mut entries = Vec::new();
                for (id, known) in self.catalogue.recent() {
                    entries.extend(settled(&mut self.host, id, known)?);
                }
                entries.retain(|entry| {
                    wanted(entry) && after.as_ref().is_none_or(|after| Rank::of(entry) > *after)
                });
                // One more than asked for tells whether there is a next page.
                let Some(bound) = self.catalogue.bound() else {
                    let older =
                        self.catalogue.older(&mut self.host, scope, after.as_ref(), limit + 1, &wanted)?;
                    entries.extend(older);
                    break entries;
                };
                if entries.iter().filter(|entry| entry.facts.updated > bound).count() > limit {
                    break entries;
                }
                if !self.catalogue.widen(&mut self.host)? {
                    break from_logs(&mut self.host)?;
                }
            }
        } else {
            // Without a catalogue the logs tell; the next write makes a new one.
            from_logs(&mut self.host)?
        };
        entries.retain(|entry| wanted(entry) && after.as_ref().is_none_or(|after| Rank::of(entry) > *after));
        entries.sort_by_cached_key(Rank::of);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(|last| Rank::of(last).to_cursor());
        Ok(SessionPage { sessions: entries.iter().map(session).collect(), next })
    }

    /// The session that a list shows in that place, from 1.
    fn by_index(&mut self, text: &str, scope: Option<&str>) -> Result<Option<Session>> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(place) =
            text.parse::<u32>().ok().filter(|place| plain && (1..=PAGE_SESSIONS_MAX).contains(place))
        else {
            return Ok(None);
        };
        let query = ListQuery { scope: scope.map(str::to_owned), limit: place, ..ListQuery::default() };
        let sessions = self.list_sessions(&query)?.sessions;
        Ok(sessions.into_iter().nth(place as usize - 1))
    }

    pub(super) fn resolve_session(&mut self, text: &str, scope: Option<&str>) -> Result<Session> {
        if text.eq_ignore_ascii_case("last") {
            let query = ListQuery { scope: scope.map(str::to_owned), limit: 1, ..ListQuery::default() };
            let newest = self.list_sessions(&query)?.sessions.into_iter().next();
            return newest.ok_or_else(|| Error::not_found("there is no session yet; make one first"));
        }
        match self.get(text) {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            found => return found,
        }
        if let Some(session) = self.by_index(text, scope)? {
            return Ok(session);
        }
        let mut found: Vec<Session> = Vec::new();
        for trashed in [false, true] {
            let mut query = ListQuery { trashed, limit: 1000, ..ListQuery::default() };
            loop {
                let page = self.list_sessions(&query)?;
                found.extend(page.sessions.into_iter().filter(|session| session.id.starts_with(text)));
                if page.next.is_none() {
                    break;
                }
                query.cursor = page.next;
            }
        }
        // Sub-agents of a session are named `<session>/...`: the session itself is meant.
        found.sort_by_key(|session| session.id.len());
        let mut found = found.into_iter();
        let first = found.next().ok_or_else(|| missing(text))?;
        let below = format!("{}/", first.id);
        match found.find(|other| !other.id.starts_with(&below)) {
            Some(other) => Err(Error::conflict(format!(
                "both {} and {} begin so; give more of the id",
                first.id, other.id
            ))),
            None => Ok(first),
        }
    }
}
