//! Between the types of the contract and those of the core, member by member.

use sessile_core as core;

use crate::generated::sessile::store::{filesystem, types};

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

impl From<filesystem::Error> for core::FsError {
    fn from(error: filesystem::Error) -> Self {
        use core::FsErrorKind as Kind;
        let kind = match error.kind {
            filesystem::ErrorKind::NotFound => Kind::NotFound,
            filesystem::ErrorKind::Exists => Kind::Exists,
            filesystem::ErrorKind::NotText => Kind::NotText,
            filesystem::ErrorKind::Refused => Kind::Refused,
            filesystem::ErrorKind::Unavailable => Kind::Unavailable,
            filesystem::ErrorKind::Closed => Kind::Closed,
        };
        Self::new(kind, error.message)
    }
}

impl From<core::Error> for types::Error {
    fn from(error: core::Error) -> Self {
        let kind = match error.kind {
            core::ErrorKind::NotFound => types::ErrorKind::NotFound,
            core::ErrorKind::Conflict => types::ErrorKind::Conflict,
            core::ErrorKind::Invalid => types::ErrorKind::Invalid,
            core::ErrorKind::Unsupported => types::ErrorKind::Unsupported,
            core::ErrorKind::Damaged => types::ErrorKind::Damaged,
            core::ErrorKind::Unavailable => types::ErrorKind::Unavailable,
            core::ErrorKind::Closed => types::ErrorKind::Closed,
            _ => types::ErrorKind::Internal,
        };
        Self { kind, message: error.message }
    }
}

impl From<types::OpenOptions> for core::OpenOptions {
    fn from(options: types::OpenOptions) -> Self {
        Self { read_only: options.read_only }
    }
}

impl From<types::Status> for core::Status {
    fn from(status: types::Status) -> Self {
        match status {
            types::Status::Active => Self::Active,
            types::Status::Running => Self::Running,
            types::Status::Idle => Self::Idle,
            types::Status::Done => Self::Done,
            types::Status::Error => Self::Error,
            types::Status::Closed => Self::Closed,
            types::Status::Interrupted => Self::Interrupted,
        }
    }
}

impl From<core::Status> for types::Status {
    fn from(status: core::Status) -> Self {
        match status {
            core::Status::Active => Self::Active,
            core::Status::Running => Self::Running,
            core::Status::Idle => Self::Idle,
            core::Status::Done => Self::Done,
            core::Status::Error => Self::Error,
            core::Status::Closed => Self::Closed,
            core::Status::Interrupted => Self::Interrupted,
        }
    }
}

impl From<types::NewSession> for core::NewSession {
    fn from(new: types::NewSession) -> Self {
        Self {
            id: new.id,
            scope: new.scope,
            title: new.title,
            title_manual: new.title_manual,
            agent: new.agent,
            provider: new.provider,
            model: new.model,
            status: new.status.into(),
            parent: new.parent,
            tags: new.tags,
            metadata: new.metadata,
            created_at: new.created_at,
        }
    }
}

impl From<types::SessionPatch> for core::SessionPatch {
    fn from(patch: types::SessionPatch) -> Self {
        Self {
            scope: patch.scope,
            title: patch.title,
            title_manual: patch.title_manual,
            agent: patch.agent,
            provider: patch.provider,
            model: patch.model,
            status: patch.status.map(Into::into),
            tags: patch.tags,
            metadata: patch.metadata,
        }
    }
}

impl From<core::Session> for types::Session {
    fn from(session: core::Session) -> Self {
        let facts = session.facts;
        Self {
            id: session.id,
            scope: facts.scope,
            title: facts.title,
            title_manual: facts.title_manual,
            agent: facts.agent,
            provider: facts.provider,
            model: facts.model,
            status: facts.status.into(),
            parent: facts.parent,
            fork_point: facts.fork_point,
            tags: facts.tags,
            metadata: facts.metadata.map(|metadata| metadata.as_str().to_owned()),
            created_at: facts.created,
            updated_at: facts.updated,
            accessed_at: facts.accessed,
            active_at: facts.active,
            trashed_at: facts.trashed,
            message_count: session.message_count,
            head: session.head,
            can_unrevert: session.can_unrevert,
            generation: session.generation,
            log_bytes: session.log_bytes,
        }
    }
}

impl From<types::WriteOptions> for core::WriteOptions {
    fn from(options: types::WriteOptions) -> Self {
        Self {
            durability: options.durability.into(),
            expect_head: options.expect_head,
            op: options.op,
            at: options.at,
        }
    }
}

impl From<core::Appended> for types::Appended {
    fn from(appended: core::Appended) -> Self {
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

impl From<types::MessageRef> for core::MessageRef {
    fn from(message: types::MessageRef) -> Self {
        match message {
            types::MessageRef::Seq(seq) => Self::Seq(seq),
            types::MessageRef::Id(id) => Self::Id(id),
        }
    }
}

impl From<types::MessageChange> for core::MessageChange {
    fn from(change: types::MessageChange) -> Self {
        match change {
            types::MessageChange::Patch(patch) => Self::Patch(patch),
            types::MessageChange::AddParts(parts) => Self::AddParts(parts),
            types::MessageChange::AddText(added) => {
                Self::AddText { part: added.part, text: added.text, at: added.at }
            }
        }
    }
}

impl From<types::Select> for core::Select {
    fn from(select: types::Select) -> Self {
        match select {
            types::Select::Last(limit) => Self::Last(limit),
            types::Select::From(from) => Self::From { seq: from.seq, limit: from.limit },
            types::Select::Cursor(from) => Self::Cursor { cursor: from.cursor, limit: from.limit },
        }
    }
}

impl From<core::Page> for types::Page {
    fn from(page: core::Page) -> Self {
        let damage = page.damage.into_iter();
        Self {
            messages: page.messages,
            next: page.next,
            unreadable: page.unreadable,
            damage: damage
                .map(|range| types::DamagedRange { session: range.session, from: range.from, to: range.to })
                .collect(),
        }
    }
}

impl From<types::ForkOptions> for core::ForkOptions {
    fn from(options: types::ForkOptions) -> Self {
        Self { at: options.at.map(Into::into), id: options.id, title: options.title }
    }
}

impl From<core::Branch> for types::Branch {
    fn from(branch: core::Branch) -> Self {
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

impl From<types::ListQuery> for core::ListQuery {
    fn from(query: types::ListQuery) -> Self {
        Self { scope: query.scope, trashed: query.trashed, cursor: query.cursor, limit: query.limit }
    }
}

impl From<core::SessionPage> for types::SessionPage {
    fn from(page: core::SessionPage) -> Self {
        Self { sessions: page.sessions.into_iter().map(Into::into).collect(), next: page.next }
    }
}

impl From<core::Rewritten> for types::Rewritten {
    fn from(rewritten: core::Rewritten) -> Self {
        Self {
            generation: rewritten.generation,
            bytes_before: rewritten.bytes_before,
            bytes_after: rewritten.bytes_after,
            old_kept: rewritten.old_kept,
        }
    }
}
