//! Salvage: what can be read of a damaged session, as a new one.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::retention::PINNED;
use super::{Operation, Run};
use crate::api::{Sessions, WriteOptions};
use crate::facts::Session;
use crate::host::Host;
use crate::id::check_id;
use crate::store::{Draft, Store};
use crate::{ErrorKind, Result};

/// Makes a new session of everything that can be read of a damaged one: its messages in order and as they are now, hidden
/// branches and a revert that can be undone included, with its facts and its attachments. `metadata.salvaged` says where
/// it comes from. It has no gaps, needs no other session, and is not in the trash. A session without damage is copied.
///
/// The damaged session is only read. Its queues, counters, usage, runs and operation ids stay with it. Damage to its
/// first record does not matter: then the new session may hold more than readers see of the damaged one. One whose file is
/// not named for it is found by its id.
///
/// Guarantee: on return the new session survives power loss; before, it is wholly there or wholly absent. Salvaging what
/// has not changed gives the same session again, so a retry makes no second copy.
///
/// With `quarantine` the damaged session then goes to the trash with the tag `pinned`, in one record: out of sight, for
/// `restore` to bring back, and no retention policy purges it. No file is moved, because its forks read it where it is.
/// Nothing but `purge` and `purge_scope` ever removes it.
///
/// Errors: `not-found`; `conflict` (there is another session of that id); `invalid` (its readable part is past 256 MiB);
/// `damaged` (nothing of the file can be read).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SalvageSession {
    /// The damaged session.
    pub session: String,
    /// The new session's id; absent: one that follows from what is salvaged.
    #[serde(default)]
    pub id: Option<String>,
    /// Which generation of its log, where the doctor says that readers do not come to it; absent: the one that they read.
    #[serde(default)]
    pub generation: Option<u32>,
    /// Whether the damaged session goes out of sight.
    #[serde(default)]
    pub quarantine: bool,
}

/// What was salvaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Salvaged {
    /// The new session as it is now.
    pub session: Session,
    /// Whether an earlier call has made it.
    pub repeated: bool,
    /// How many messages it was given, hidden ones included.
    pub carried: u64,
    /// Messages that cannot be read, by their numbers in the damaged session.
    pub unreadable: Vec<Range>,
    /// Bytes of the damaged log that hold no record, from the first to the one behind the last.
    pub damage: Vec<Range>,
    /// Whether the damaged session is out of sight. One whose file no reader comes to is in no list anyway, and stays.
    pub quarantined: bool,
}

/// From where to where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The last message, or the byte behind the last.
    pub to: u64,
}

impl Operation for SalvageSession {
    const NAME: &'static str = "salvage_session";
    type Answer = Salvaged;
}

impl Run for SalvageSession {
    fn run<H: Host>(self, store: &mut Store<H>) -> Result<Salvaged> {
        check_id("session id", &self.session)?;
        let salvage = store.salvage(&self.session, self.generation, self.id.as_deref())?;
        let quarantined = self.quarantine && quarantine(store, &self.session)?;
        let ranges =
            |ranges: Vec<(u64, u64)>| ranges.into_iter().map(|(from, to)| Range { from, to }).collect();
        Ok(Salvaged {
            session: salvage.session,
            repeated: salvage.repeated,
            carried: salvage.carried,
            unreadable: ranges(salvage.unreadable),
            damage: ranges(salvage.damage),
            quarantined,
        })
    }
}

/// Puts a session into the trash and keeps retention from it. `false` where no reader comes to its log.
fn quarantine<H: Host>(store: &mut Store<H>, id: &str) -> Result<bool> {
    let quarantined = store.change(id, &WriteOptions::default(), &mut |view| {
        let mut draft = Draft::default();
        let mut tags = view.facts.tags.clone();
        if !tags.iter().any(|tag| tag == PINNED) {
            tags.push(PINNED.to_owned());
        }
        if view.facts.trashed.is_none() || tags != view.facts.tags {
            let trashed = view.facts.trashed.unwrap_or(view.now);
            draft.facts(json!({ "tags": tags, "trashed": trashed }).to_string());
        }
        Ok((draft, ()))
    });
    match quarantined {
        Err(error) if matches!(error.kind, ErrorKind::Damaged | ErrorKind::NotFound) => Ok(false),
        quarantined => {
            quarantined?;
            // Whoever made it so may not have waited for the disk.
            store.sync(id)?;
            Ok(true)
        }
    }
}
