//! Between the types of the contract and those of the core, member by member, as a host sees them.

use sessile_core as core;
use sessile_core::{Error, ErrorKind, Result};

use super::bindings::sessile::store::{filesystem, types};

impl From<core::Durability> for filesystem::Durability {
    fn from(durability: core::Durability) -> Self {
        match durability {
            core::Durability::Buffered => Self::Buffered,
            core::Durability::Synced => Self::Synced,
        }
    }
}

impl From<filesystem::Durability> for core::Durability {
    fn from(durability: filesystem::Durability) -> Self {
        match durability {
            filesystem::Durability::Buffered => Self::Buffered,
            filesystem::Durability::Synced => Self::Synced,
        }
    }
}

impl From<core::FsError> for filesystem::Error {
    fn from(error: core::FsError) -> Self {
        use core::FsErrorKind as Kind;
        let kind = match error.kind {
            Kind::NotFound => filesystem::ErrorKind::NotFound,
            Kind::Exists => filesystem::ErrorKind::Exists,
            Kind::NotText => filesystem::ErrorKind::NotText,
            Kind::Refused => filesystem::ErrorKind::Refused,
            Kind::Unavailable => filesystem::ErrorKind::Unavailable,
            Kind::Closed => filesystem::ErrorKind::Closed,
        };
        Self { kind, message: error.message }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        let kind = match error.kind {
            types::ErrorKind::NotFound => ErrorKind::NotFound,
            types::ErrorKind::Conflict => ErrorKind::Conflict,
            types::ErrorKind::Invalid => ErrorKind::Invalid,
            types::ErrorKind::Unsupported => ErrorKind::Unsupported,
            types::ErrorKind::Damaged => ErrorKind::Damaged,
            types::ErrorKind::Unavailable => ErrorKind::Unavailable,
            types::ErrorKind::Closed => ErrorKind::Closed,
            types::ErrorKind::Internal => ErrorKind::Internal,
        };
        Self::new(kind, error.message)
    }
}

impl From<core::OpenOptions> for types::OpenOptions {
    fn from(options: core::OpenOptions) -> Self {
        Self { read_only: options.read_only }
    }
}

fn status(status: core::Status) -> types::Status {
    match status {
        core::Status::Active => types::Status::Active,
        core::Status::Running => types::Status::Running,
        core::Status::Idle => types::Status::Idle,
        core::Status::Done => types::Status::Done,
        core::Status::Error => types::Status::Error,
        core::Status::Closed => types::Status::Closed,
        core::Status::Interrupted => types::Status::Interrupted,
    }
}

fn core_status(status: types::Status) -> core::Status {
    match status {
        types::Status::Active => core::Status::Active,
        types::Status::Running => core::Status::Running,
        types::Status::Idle => core::Status::Idle,
        types::Status::Done => core::Status::Done,
        types::Status::Error => core::Status::Error,
        types::Status::Closed => core::Status::Closed,
        types::Status::Interrupted => core::Status::Interrupted,
    }
}

impl From<&core::NewSession> for types::NewSession {
    fn from(new: &core::NewSession) -> Self {
        let new = new.clone();
        Self {
            id: new.id,
            scope: new.scope,
            title: new.title,
            title_manual: new.title_manual,
            agent: new.agent,
            provider: new.provider,
            model: new.model,
            status: status(new.status),
            parent: new.parent,
            tags: new.tags,
            metadata: new.metadata,
            created_at: new.created_at,
        }
    }
}

impl From<&core::SessionPatch> for types::SessionPatch {
    fn from(patch: &core::SessionPatch) -> Self {
        let patch = patch.clone();
        Self {
            scope: patch.scope,
            title: patch.title,
            title_manual: patch.title_manual,
            agent: patch.agent,
            provider: patch.provider,
            model: patch.model,
            status: patch.status.map(status),
            tags: patch.tags,
            metadata: patch.metadata,
        }
    }
}

/// A session as the core has it. Fails only where the component gives metadata that is no JSON.
pub(super) fn session(session: types::Session) -> Result<core::Session> {
    let unsound = |_| {
        Error::new(ErrorKind::Internal, "the component gives metadata that is no JSON; please report this")
    };
    let metadata = session.metadata.as_deref().map(core::Json::parse).transpose().map_err(unsound)?;
    Ok(core::Session {
        id: session.id,
        facts: core::Facts {
            scope: session.scope,
            title: session.title,
            title_manual: session.title_manual,
            agent: session.agent,
            provider: session.provider,
            model: session.model,
            status: core_status(session.status),
            parent: session.parent,
            fork_point: session.fork_point,
            tags: session.tags,
            metadata,
            created: session.created_at,
            updated: session.updated_at,
            accessed: session.accessed_at,
            active: session.active_at,
            trashed: session.trashed_at,
        },
        message_count: session.message_count,
        head: session.head,
        can_unrevert: session.can_unrevert,
        generation: session.generation,
        log_bytes: session.log_bytes,
    })
}

impl From<&core::WriteOptions> for types::WriteOptions {
    fn from(options: &core::WriteOptions) -> Self {
        Self {
            durability: options.durability.into(),
            expect_head: options.expect_head,
            op: options.op.clone(),
            at: options.at,
        }
    }
}

impl From<types::Appended> for core::Appended {
    fn from(appended: types::Appended) -> Self {
        Self {
            seq: appended.seq,
            count: appended.count,
            id: appended.id,
            head: appended.head,
            repeated: appended.repeated,
            durability: appended.durability.into(),
        }
    }
}

impl From<&core::MessageRef> for types::MessageRef {
    fn from(message: &core::MessageRef) -> Self {
        match message {
            core::MessageRef::Seq(seq) => Self::Seq(*seq),
            core::MessageRef::Id(id) => Self::Id(id.clone()),
        }
    }
}

impl From<&core::MessageChange> for types::MessageChange {
    fn from(change: &core::MessageChange) -> Self {
        match change.clone() {
            core::MessageChange::Patch(patch) => Self::Patch(patch),
            core::MessageChange::AddParts(parts) => Self::AddParts(parts),
            core::MessageChange::AddText { part, text, at } => {
                Self::AddText(types::AddedText { part, text, at })
            }
        }
    }
}

impl From<&core::Select> for types::Select {
    fn from(select: &core::Select) -> Self {
        match select.clone() {
            core::Select::Last(limit) => Self::Last(limit),
            core::Select::From { seq, limit } => Self::From(types::FromSeq { seq, limit }),
            core::Select::Cursor { cursor, limit } => Self::Cursor(types::FromCursor { cursor, limit }),
        }
    }
}

impl From<types::Page> for core::Page {
    fn from(page: types::Page) -> Self {
        let damage = page.damage.into_iter();
        Self {
            messages: page.messages,
            next: page.next,
            unreadable: page.unreadable,
            damage: damage
                .map(|range| core::DamagedRange { session: range.session, from: range.from, to: range.to })
                .collect(),
        }
    }
}

impl From<&core::ForkOptions> for types::ForkOptions {
    fn from(options: &core::ForkOptions) -> Self {
        Self { at: options.at.as_ref().map(Into::into), id: options.id.clone(), title: options.title.clone() }
    }
}

impl From<types::Branch> for core::Branch {
    fn from(branch: types::Branch) -> Self {
        Self {
            tip: branch.tip,
            id: branch.id,
            message_count: branch.message_count,
            shared: branch.shared,
            created_at: branch.created_at,
            current: branch.current,
        }
    }
}

impl From<&core::ListQuery> for types::ListQuery {
    fn from(query: &core::ListQuery) -> Self {
        let query = query.clone();
        Self { scope: query.scope, trashed: query.trashed, cursor: query.cursor, limit: query.limit }
    }
}

impl From<types::Rewritten> for core::Rewritten {
    fn from(rewritten: types::Rewritten) -> Self {
        Self {
            generation: rewritten.generation,
            bytes_before: rewritten.bytes_before,
            bytes_after: rewritten.bytes_after,
            old_kept: rewritten.old_kept,
        }
    }
}
