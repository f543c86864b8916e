//! The doctor: looks at everything, changes nothing but what is derived.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Store, queue_of};
use crate::Result;
use crate::catalogue::{from_logs, settled};
use crate::fold::End;
use crate::host::Host;
use crate::id::Name;
use crate::limits::PAGE_SESSIONS_MAX;
use crate::log::Log;
use crate::record::EntryRecord;

/// What the doctor finds. Its JSON is described in docs/format.md, "The report".
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether nothing is wrong.
    healthy: bool,
    sessions: u64,
    trashed: u64,
    messages: u64,
    log_bytes: u64,
    /// Records of types that this version does not know.
    unknown_records: u64,
    /// One entry per log with something to say.
    findings: Vec<Finding>,
    catalogue: CatalogueReport,
    /// What was repaired.
    repaired: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Finding {
    /// `damage`, `unfinished-record`, `unreadable-messages`, `no-beginning`, `wrong-name`, `checkpoint`,
    /// `unfinished-rewrite`, `leftover`, `unreadable`, `marker`.
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    session: String,
    file: String,
    /// Ranges of bytes, or of messages for `unreadable-messages`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<(u64, u64)>,
    what: String,
}

#[derive(Debug, Default, Serialize)]
struct CatalogueReport {
    /// `current`, `stale` or `missing`.
    state: &'static str,
    /// Sessions that it lacks.
    missing: Vec<String>,
    /// Sessions that it has and that are not there.
    extra: Vec<String>,
    /// Sessions of which it says something else than their logs.
    wrong: Vec<String>,
}

/// Findings that are no harm: what nobody has acknowledged, or what awaits its removal.
const HARMLESS: [&str; 3] = ["unfinished-record", "leftover", "unfinished-rewrite"];

impl<H: Host> Store<H> {
    pub(super) fn examine(&mut self, repair: bool) -> Result<String> {
        let mut report = Report::default();
        if let Some(what) = self.marker {
            // Asked for reading alone, or a newer format: then it stays as it is.
            if repair && !self.read_only {
                self.repair_marker()?;
                report.repaired.push("format marker made anew".into());
            } else {
                let (session, file, ranges) = (String::new(), super::MARKER_PATH.to_owned(), Vec::new());
                report.findings.push(Finding { kind: "marker", session, file, ranges, what: what.into() });
            }
        }
        if repair {
            self.writable()?;
        }
        let mut highest: BTreeMap<Name, u32> = BTreeMap::new();
        self.each_log(&mut |_, name, generation, _| {
            highest.insert(name.clone(), generation);
            Ok(())
        })?;
        let mut purged: BTreeSet<String> = BTreeSet::new();
        self.each_log(&mut |store, name, generation, path| {
            let is_highest = highest.get(name) == Some(&generation);
            if let Err(error) = store.examine_log(name, path, is_highest, &mut report, &mut purged) {
                let what = error.message;
                report.findings.push(Finding {
                    kind: "unreadable",
                    session: String::new(),
                    file: path.to_owned(),
                    ranges: Vec::new(),
                    what,
                });
            }
            Ok(())
        })?;
        report.catalogue = self.examine_catalogue()?;
        if repair {
            if report.catalogue.state != "current" {
                let now = self.host.now_ms();
                self.catalogue.rebuild(&mut self.host, now)?;
                report.repaired.push("catalogue rebuilt from the logs".into());
            }
            for id in purged {
                let before = self.generations(&Name::of(&id)?)?.len();
                self.collect_purged(&id)?;
                if self.generations(&Name::of(&id)?)?.is_empty() {
                    self.remove_queues(&id)?;
                }
                if self.generations(&Name::of(&id)?)?.len() < before {
                    report.repaired.push(format!("removed what was left of purged session {id}"));
                }
            }
        }
        let sound = report.findings.iter().all(|finding| HARMLESS.contains(&finding.kind));
        report.healthy = sound && (report.catalogue.state == "current" || repair);
        serde_json::to_string(&report).map_err(|error| crate::Error::internal(error.to_string()))
    }

    fn examine_log(
        &mut self,
        name: &Name,
        path: &str,
        is_highest: bool,
        report: &mut Report,
        purged: &mut BTreeSet<String>,
    ) -> Result<()> {
        let quick = Log::load(&mut self.host, path, None)?;
        let mut log = Log::load(&mut self.host, path, None)?;
        log.index_whole(&mut self.host)?;
        let state = log.state().clone();
        let mut find = |kind, ranges: Vec<(u64, u64)>, what: String| {
            report.findings.push(Finding {
                kind,
                // The id of a log of the store's own is nobody's session.
                session: if name.is_system() { String::new() } else { state.session.clone() },
                file: path.to_owned(),
                ranges,
                what,
            });
        };
        if !log.damage().is_empty() {
            let ranges: Vec<(u64, u64)> =
                log.damage().iter().map(|damage| (damage.from, damage.to)).collect();
            let bytes: u64 = ranges.iter().map(|(from, to)| to - from).sum();
            find(
                "damage",
                ranges,
                format!("{bytes} bytes hold no record; everything around them is readable"),
            );
        }
        if log.size() > log.end() {
            find(
                "unfinished-record",
                vec![(log.end(), log.size())],
                "a write that was not finished and never acknowledged".into(),
            );
        }
        if !state.begun() {
            find("no-beginning", Vec::new(), "no readable first record says whose log this is".into());
            return Ok(());
        }
        if Name::of(&state.session).ok().as_ref() != Some(name) {
            find(
                "wrong-name",
                Vec::new(),
                "the file is not named for its session; give it back its name".into(),
            );
        }
        // The same state from the end and from the beginning: checkpoints tell the truth.
        let comparable = |log: &Log| crate::fold::State { records: 0, ..log.state().clone() };
        if comparable(&quick) != comparable(&log) {
            find(
                "checkpoint",
                Vec::new(),
                "the fold from the last checkpoint differs from the whole fold".into(),
            );
        }
        report.unknown_records += state.unknown;
        report.log_bytes += log.size();
        match state.end {
            Some(End::Purged) => {
                find("leftover", Vec::new(), "purged; kept while a fork needs it".into());
                purged.insert(state.session.clone());
                return Ok(());
            }
            Some(End::Sealed(_)) if is_highest => {
                find("unfinished-rewrite", Vec::new(), "the next write finishes the rewrite".into());
            }
            Some(End::Sealed(_)) => {
                find("leftover", Vec::new(), "rewritten; kept while a fork needs it".into());
                return Ok(());
            }
            None => {}
        }
        if name.is_system() {
            if let Some(session) = queue_of(&state.session)
                && self.generations(&Name::of(session)?)?.is_empty()
            {
                find("leftover", Vec::new(), "the queue of a session that was purged".into());
                purged.insert(session.to_owned());
            }
            return Ok(());
        }
        report.sessions += 1;
        report.trashed += u64::from(state.facts.trashed.is_some());
        report.messages += state.path.len();
        let unreadable = self.unreadable(log)?;
        if !unreadable.is_empty() {
            report.findings.push(Finding {
                kind: "unreadable-messages",
                session: state.session,
                file: path.to_owned(),
                what: format!(
                    "{} messages cannot be read",
                    unreadable.iter().map(|(from, to)| to - from + 1).sum::<u64>()
                ),
                ranges: unreadable,
            });
        }
        Ok(())
    }

    /// The numbers of messages that cannot be read, hidden ones included.
    fn unreadable(&mut self, log: Log) -> Result<Vec<(u64, u64)>> {
        let count = log.state().count;
        let mut cached = super::Cached::new(log);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut from = 1;
        while from <= count {
            let to = count.min(from + 999);
            let read: BTreeSet<u64> = self
                .stored(&mut cached, &[(from, to)], usize::MAX)?
                .iter()
                .map(|stored| stored.seq)
                .collect();
            for seq in (from..=to).filter(|seq| !read.contains(seq)) {
                match ranges.last_mut() {
                    Some(last) if last.1 + 1 == seq => last.1 = seq,
                    _ => ranges.push((seq, seq)),
                }
            }
            from = to + 1;
        }
        Ok(ranges)
    }

    fn examine_catalogue(&mut self) -> Result<CatalogueReport> {
        let mut report = CatalogueReport { state: "current", ..CatalogueReport::default() };
        if !self.catalogue.load(&mut self.host)? {
            report.state = "missing";
            return Ok(report);
        }
        let known =
            self.catalogue.older(&mut self.host, None, None, PAGE_SESSIONS_MAX as usize * 1000, &|_| true)?;
        let mut listed: BTreeMap<String, EntryRecord> =
            known.into_iter().map(|entry| (entry.session.clone(), entry)).collect();
        for (id, known) in self.catalogue.recent() {
            if let Some(entry) = settled(&mut self.host, id, known)? {
                listed.insert(id.clone(), entry);
            }
        }
        for true_entry in from_logs(&mut self.host)? {
            match listed.remove(&true_entry.session) {
                None => report.missing.push(true_entry.session),
                Some(entry) => {
                    let plain = EntryRecord { writers: BTreeMap::new(), done: None, ..entry };
                    report.wrong.extend((plain != true_entry).then_some(true_entry.session));
                }
            }
        }
        report.extra = listed.into_keys().collect();
        if !(report.missing.is_empty() && report.extra.is_empty() && report.wrong.is_empty()) {
            report.state = "stale";
        }
        Ok(report)
    }
}
