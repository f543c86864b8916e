//! Files whose lines make a tree: each names the one that it follows, and the last line is the leaf.
//!
//! All messages stand in one session, in the order of the file; those that do not lead to the leaf were left, and are
//! hidden there. So the file comes back as it was. Every branch that was left is a session besides: a fork of the first at
//! the message where the two part, so that it costs its own messages alone and can be gone on with.

use std::collections::{BTreeMap, BTreeSet};

use sessile_core::import::{Import, ImportedMessage, ImportedSession, Place};

use super::{HIDDEN, hide};

/// What stands in the ids of branches, between that of the session and that of the branch's last message.
pub(crate) const BRANCH: &str = "/branch-";
/// So many branches of a file become sessions, ...
const BRANCHES_MAX: usize = 64;
/// ... and they begin with so many bytes of messages at most.
const BRANCHES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What follows what.
#[derive(Default)]
pub(crate) struct Tree {
    parents: BTreeMap<String, Option<String>>,
    leaf: Option<String>,
}

impl Tree {
    /// Adds the next line of the file. Of lines with the same id the first one says where it stands.
    pub fn add(&mut self, id: String, parent: Option<String>) {
        self.parents.entry(id.clone()).or_insert(parent);
        self.leaf = Some(id);
    }

    /// Hides what does not lead to the leaf in the session that was read last, and adds the branches that it is of.
    pub fn part(&self, import: &mut Import) {
        let Some(session) = import.sessions.last_mut() else { return };
        let path = self.path(self.leaf.as_deref());
        let tips = self.tips(session, &path);
        let (mut branches, mut bytes) = (Vec::new(), 0);
        for tip in &tips {
            let branch = self.branch(session, tip, &path);
            bytes += branch.messages.iter().map(|message| message.json.len()).sum::<usize>();
            if branches.len() == BRANCHES_MAX || bytes > BRANCHES_BYTES_MAX {
                let what = format!(
                    "{} branches were left, of which {} become sessions; the others are hidden messages",
                    tips.len(),
                    branches.len()
                );
                import.note(Place::default(), &what);
                break;
            }
            branches.push(branch);
        }
        if let Some(session) = import.sessions.last_mut() {
            session.messages.iter_mut().filter(|message| self.is_left(message, &path)).for_each(leave);
        }
        import.sessions.extend(branches);
    }

    /// The lines that lead to one, itself included.
    fn path<'a>(&'a self, tip: Option<&'a str>) -> BTreeSet<&'a str> {
        let mut path = BTreeSet::new();
        let mut next = tip;
        while let Some(id) = next.filter(|id| path.insert(*id)) {
            next = self.parents.get(id).and_then(Option::as_deref);
        }
        path
    }

    fn is_left(&self, message: &ImportedMessage, path: &BTreeSet<&str>) -> bool {
        let id = id_of(message);
        self.parents.contains_key(id) && !path.contains(id)
    }

    /// The last messages of the branches that were left, the newest first.
    fn tips(&self, session: &ImportedSession, path: &BTreeSet<&str>) -> Vec<String> {
        let left: Vec<&str> = session
            .messages
            .iter()
            .filter(|message| self.is_left(message, path) && !is_hidden(message))
            .map(id_of)
            .collect();
        let is_message: BTreeSet<&str> = left.iter().copied().collect();
        let mut has_more: BTreeSet<&str> = BTreeSet::new();
        for id in &left {
            let mut seen = BTreeSet::new();
            let mut next = self.parents.get(*id).and_then(Option::as_deref);
            while let Some(above) = next.filter(|above| !path.contains(above) && seen.insert(*above)) {
                if is_message.contains(above) {
                    has_more.insert(above);
                    break;
                }
                next = self.parents.get(above).and_then(Option::as_deref);
            }
        }
        let mut tips: Vec<&str> = left.into_iter().filter(|id| !has_more.contains(id)).collect();
        tips.reverse();
        let mut seen = BTreeSet::new();
        tips.into_iter().filter(|tip| seen.insert(*tip)).map(str::to_owned).collect()
    }

    /// The session of a branch. It shares what stands in the file up to the last message that both have.
    fn branch(&self, session: &ImportedSession, tip: &str, path: &BTreeSet<&str>) -> ImportedSession {
        let own = self.path(Some(tip));
        let is_both =
            |message: &ImportedMessage| path.contains(id_of(message)) && own.contains(id_of(message));
        let shared = session.messages.iter().rposition(is_both).map_or(0, |last| last + 1);
        let (before, behind) = session.messages.split_at_checked(shared).unwrap_or_default();
        let mut messages = before.to_vec();
        messages.iter_mut().filter(|message| self.is_left(message, &own)).for_each(leave);
        messages.extend(behind.iter().filter(|message| own.contains(id_of(message))).cloned());
        let times = || messages.iter().skip(shared).filter_map(|message| message.created_ms);
        ImportedSession {
            id: format!("{}{BRANCH}{tip}", session.id),
            parent: Some(session.id.clone()),
            created_ms: times().min().or(session.created_ms),
            updated_ms: times().max().or(session.updated_ms),
            messages,
            shared,
            // What the answers have used and what is no message is the file's, which is the session's.
            usage: Vec::new(),
            extra: Vec::new(),
            ..session.clone()
        }
    }
}

/// The line's own id: those that are repeated have a number behind it.
fn id_of(message: &ImportedMessage) -> &str {
    message.key.split('#').next().unwrap_or_default()
}

fn is_hidden(message: &ImportedMessage) -> bool {
    message.json.ends_with(",\"hidden\":true}") || message.json.contains(",\"hidden\":true,\"source\":")
}

fn leave(message: &mut ImportedMessage) {
    hide(message, HIDDEN);
}
