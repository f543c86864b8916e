//! Faults that tests plant in the core, to see that they are found: each is one that some store has had.
//!
//! Without the feature `planted` there are none: [`planted`] is `false` and the compiler removes what asks it. Only
//! `tests/simulation/tests/planted.rs` turns the feature on.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Planted {
    /// What was asked to be synced is not.
    NoSync = 1,
    /// A failed sync is acknowledged, because the record is in the file.
    FailedSyncAcknowledged,
    /// After another error the record is found, and acknowledged without a sync.
    UnknownOutcomeUnsynced,
    /// Reading stops at the first bytes that are no record.
    StopAtDamage,
    /// Bytes that are no record are passed over in silence.
    SilentDamage,
    /// A line of NULs is as good as an empty one.
    NulsAreNothing,
    /// A line is a record, whatever its checksum.
    ChecksumIgnored,
    /// The checksum leaves out the beginning of the record.
    ChecksumWithoutHeader,
    /// What is fused into one line is not taken apart.
    FusedLinesLost,
    /// A record behind a seal counts all the same.
    SealIgnored,
    /// Who has appended does not read back what others have put before it.
    OwnAppendTrusted,
    /// What was read of a session once is good for ever.
    StaleCache,
    /// A fork does not sync what it refers to.
    ForkUnsynced,
    /// A fork sees what its parent becomes later.
    ForkSeesLater,
    /// A rewrite leaves out what a revert has hidden.
    RevertDeletes,
    /// A purge removes what forks need.
    PurgeIgnoresForks,
    /// What the catalogue says of a session is believed without a look at its log.
    CatalogueTrusted,
    /// Who finishes a rewrite overwrites what another has made of it.
    RewriteOverwrites,
    /// A rewrite is made before the disk has the seal.
    SealUnsynced,
    /// Reading finishes a rewrite that somebody has begun.
    ReaderWrites,
    /// Ids that begin alike have one file.
    NamesCollide,
    /// Numbers of messages wrap at 100.
    NumbersWrap,
    /// A repeated operation is carried out again.
    RepeatedAgain,
    /// A batch is written message by message.
    BatchInPieces,
    /// The head that a caller expects is not looked at.
    HeadUnchecked,
    /// Text is added wherever the message ends by then.
    TextAnywhere,
    /// A checkpoint forgets what an unrevert would bring back.
    CheckpointForgetsUndo,
    /// The next page begins one message late.
    PageSkips,
    /// The trash takes appends.
    TrashTakesAppends,
    /// A purge removes the log before the disk knows that it was purged.
    PurgeUnsynced,
    /// A rewritten session keeps none of its operation ids.
    RewriteForgetsOperations,
    /// A record counts in every log, and not only in the one that it was written to.
    RecordsOfOthers,
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a fault in the whole process, or none.
#[cfg(feature = "planted")]
pub fn plant(fault: Option<Planted>) {
    PLANTED.store(fault.map_or(0, |fault| fault as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this fault is planted.
#[cfg(feature = "planted")]
pub(crate) fn planted(fault: Planted) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == fault as u8
}

/// Whether this fault is planted: never.
#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_: Planted) -> bool {
    false
}
