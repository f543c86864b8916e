//! Every limit of the store, in one place. What exceeds one is refused as `invalid` before anything is written.

use crate::{Error, Result};

/// Longest session id, message id or operation id, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 256;
/// Longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 4096;
/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 1024;
/// Longest agent, provider or model name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most tags of a session.
pub const TAGS_MAX: usize = 64;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// Largest open metadata of a session, in bytes of minified JSON.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Largest message, in bytes of minified JSON.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest input of one append, in bytes of JSON text.
pub const APPEND_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most messages of one append.
pub const APPEND_MESSAGES_MAX: usize = 10_000;
/// Deepest nesting of JSON arrays and objects in a message or in metadata.
pub const JSON_DEPTH_MAX: usize = 128;
/// Most messages of one page.
pub const PAGE_MESSAGES_MAX: u32 = 10_000;
/// A page of messages ends after the message that takes it past this many bytes.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Most sessions of one page of a list.
pub const PAGE_SESSIONS_MAX: u32 = 10_000;
/// The beginning of a message that is searched, in bytes of its text.
pub const SEARCH_BYTES_MAX: usize = 1024 * 1024;
/// Longest query of a search, in bytes.
pub const QUERY_BYTES_MAX: usize = 4096;
/// Most words of a query.
pub const QUERY_WORDS_MAX: usize = 64;
/// Most hits of one page of a search.
pub const PAGE_HITS_MAX: u32 = 1000;
/// Most generations of one session.
pub const GENERATIONS_MAX: u32 = 999_999;
/// Most segments that a fork is made of.
pub const SEGMENTS_MAX: usize = 100_000;

/// A run of this many bytes without a readable record ends a scan: no record is as long, so what is there is not a log.
pub(crate) const DAMAGE_RUN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A checkpoint is due after this many records ...
pub(crate) const CHECK_RECORDS: u64 = 256;
/// ... or this many bytes ...
pub(crate) const CHECK_BYTES: u64 = 64 * 1024;
/// ... but never before this many times its own size, so checkpoints take at most a 16th of a log.
pub(crate) const CHECK_SPACING: u64 = 16;
/// Numbers on disk stay exact in every language: 2^53 - 1.
pub(crate) const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Refuses a number that not every language holds exactly: none can be meant.
pub(crate) fn check_number(what: &str, number: Option<u64>) -> Result<()> {
    match number {
        Some(number) if number > NUMBER_MAX => {
            Err(Error::invalid(format!("{what} of {number}; give a number below 2^53")))
        }
        _ => Ok(()),
    }
}
