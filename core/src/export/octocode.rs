//! A session as the file of octocode, which holds one.

use super::{Kept, Lost, Overlay, iso_utc};
use crate::facts::Session;
use crate::import::octocode::{COUNTERS, FORMAT, Stats, VERSION};
use crate::json::{self, quote};

pub use crate::import::octocode::{SESSION, STATS};

/// The files of a session, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `session.json`.
    pub session: String,
    /// `stats.json`, where it came with one.
    pub stats: Option<String>,
}

/// Makes the files of a session. Its messages have no place there.
pub fn files(session: &Session, lost: &mut Lost) -> Files {
    let facts = &session.facts;
    let kept = Kept::of(facts.metadata.as_ref(), FORMAT);
    let is_current = kept.is_current(session) && facts.accessed <= kept.updated;
    let stats = Stats::from_metadata(|key| kept.more(key));
    let is_new = kept.more("session").is_none();
    let mut object = Overlay::of(&kept.session);
    object.value("version", true, || VERSION.to_owned());
    object.text("sessionId", Some(&session.id), "", |id| Some(id.to_owned()));
    object.value("createdAt", true, || quote(&iso_utc(facts.created)));
    object.value("lastActiveAt", is_current, || quote(&iso_utc(facts.updated.max(facts.accessed))));
    let zero = || json::object(COUNTERS.map(|name| (name, "0")));
    if let Some(own) = stats.own.or_else(|| is_new.then(zero)) {
        object.set("stats", own);
    }
    if session.message_count > 0 {
        lost.insert("messages", session.message_count);
    }
    Files { session: object.json(), stats: stats.file }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use crate::import::octocode;
    use crate::json::Json;

    fn imported(file: &str, stats: Option<&str>) -> (Files, Vec<String>) {
        let mut import = octocode::session(file.as_bytes(), stats.map(str::as_bytes));
        let told = import.problems.into_iter().map(|problem| problem.what).collect();
        let imported = import.sessions.remove(0);
        let metadata = format!(
            "{{\"imported\":{{\"updated\":9}},{}",
            imported.metadata.unwrap().strip_prefix('{').unwrap()
        );
        let facts = Facts { metadata: Some(Json::parse(&metadata).unwrap()), updated: 9, ..Facts::default() };
        let session = Session {
            id: imported.id,
            facts,
            message_count: 0,
            head: 0,
            can_unrevert: false,
            generation: 1,
            log_bytes: 0,
        };
        (files(&session, &mut Lost::new()), told)
    }

    #[test]
    fn counters_come_back_as_they_are_written() {
        let file = r#"{"version":1,"sessionId":"s","createdAt":"2026-01-02T03:04:05.678Z","lastActiveAt":"2026-01-02T03:04:05.678Z","extra":{"a":null},"stats":{"toolCalls":1.50,"promptCalls":-2,"errors":123456789012345678901234567890,"rateLimits":0,"more":{"x":null}}}"#;
        let stats = r#"{"version":1,"charsSavedByTool":{"a":{"rawChars":1,"none":null}}}"#;
        let (files, told) = imported(file, Some(stats));
        assert_eq!(told, [""; 0]);
        assert_eq!(files, Files { session: file.to_owned(), stats: Some(stats.to_owned()) });
    }

    #[test]
    fn what_is_wrong_with_counters_is_noted_and_kept() {
        let head =
            r#"{"version":1,"sessionId":"s","createdAt":"2026-01-02T03:04:05.678Z","lastActiveAt":"x""#;
        for (stats, back, reasons) in [
            (
                r#","stats":{"toolCalls":null,"promptCalls":1,"errors":1,"rateLimits":1}}"#,
                r#""stats":{"toolCalls":null,"#,
                1,
            ),
            (r#","stats":{"promptCalls":1,"#, r#""stats":{"promptCalls":1}"#, 4),
            (r#","stats":7}"#, r#""stats":7"#, 1),
            ("}", r#""lastActiveAt":"x"}"#, 1),
        ] {
            let (files, told) = imported(&format!("{head}{stats}"), None);
            assert!(files.session.contains(back), "{}", files.session);
            assert_eq!(told.len(), reasons, "{told:?}");
        }
        let (files, told) = imported(&format!("{head}}}"), Some("{\"torn"));
        assert_eq!((files.stats, told.len()), (None, 2));
    }
}
