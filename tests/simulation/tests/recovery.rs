//! Logs as writers, crashes and other people may leave them: what is read of each, and where reading goes on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sessile_core::{
    Durability, ErrorKind, ForkOptions, FsErrorKind, NewSession, OpenOptions, Page, Select, Sessions, Store,
    WriteOptions,
};
use sessile_simulation::fuzz::records;
use sessile_simulation::sim::{Disk, Fault, Later, SimDisk, SimHost, Stage};

const MIB: usize = 1024 * 1024;
const STAMP: &str = r#""id":"01JD0000000000000000000000","at":1,"b":0"#;

fn open(disk: &SimDisk, process: u64) -> Store<SimHost> {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

fn create(store: &mut impl Sessions) {
    store.create(&NewSession { id: Some("a".into()), ..NewSession::default() }).unwrap();
}

fn buffered() -> WriteOptions {
    WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() }
}

fn append(store: &mut impl Sessions, text: &str) {
    let messages = json!([{"role": "user", "parts": [{"type": "text", "text": text}]}]).to_string();
    store.append("a", &messages, &buffered()).unwrap();
}

/// A store with a session of so many messages, which are their numbers.
fn with_messages(count: usize) -> (SimDisk, Store<SimHost>) {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store);
    (1..=count).for_each(|n| append(&mut store, &format!("message {n}.")));
    (disk, store)
}

fn path(disk: &Disk) -> String {
    disk.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned()
}

/// Changes the session's log as somebody from outside would.
fn change(disk: &SimDisk, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let mut changed = disk.disk();
    let path = path(&changed);
    let bytes = change(changed.bytes(&path).unwrap().to_vec());
    changed.put(&path, bytes);
    disk.set(changed);
}

fn spoil(disk: &SimDisk, text: &str) {
    change(disk, |bytes| {
        let text_of = String::from_utf8(bytes).unwrap();
        assert!(text_of.contains(text));
        text_of.replacen(text, &"#".repeat(text.len()), 1).into_bytes()
    });
}

fn add(disk: &SimDisk, more: &[u8]) {
    change(disk, |bytes| [bytes.as_slice(), more].concat());
}

/// A record of the session's log.
fn line(disk: &SimDisk, kind: &str, members: &str) -> String {
    records::line(&path(&disk.disk()), kind, members)
}

fn read(store: &mut impl Sessions, seq: u64, limit: u32) -> Page {
    store.read("a", &Select::From { seq, limit }).unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    let messages: Vec<Value> = serde_json::from_str(&page.messages).unwrap();
    messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

fn doctor(store: &mut impl Sessions) -> Value {
    serde_json::from_str(&store.doctor(false).unwrap()).unwrap()
}

fn salvage(store: &mut Store<SimHost>, request: &Value) -> sessile_core::Result<Value> {
    store
        .operate("salvage_session", &request.to_string())
        .map(|answer| serde_json::from_str(&answer).unwrap())
}

#[test]
fn a_second_beginning_and_an_append_behind_what_is_hidden_do_not_count() {
    let (disk, mut store) = with_messages(3);
    store.revert("a", &1.into(), false, &WriteOptions::default()).unwrap();
    drop(store);
    let facts = r#"{"scope":"other","status":"idle","created":1,"updated":1,"accessed":1,"active":1}"#;
    let beginning =
        format!(r#""v":1,"session":"b","gen":1,"id":"01JD0000000000000000000000","at":1,"facts":{facts}"#);
    add(&disk, line(&disk, "session", &beginning).as_bytes());
    for keep in [2, 9] {
        add(
            &disk,
            line(
                &disk,
                "append",
                &format!(r#"{STAMP},"n":3,"keep":{keep},"m":[{{"role":"user","parts":[]}}]"#),
            )
            .as_bytes(),
        );
    }
    let mut store = open(&disk, 2);
    let session = store.get("a").unwrap();
    assert_eq!((session.facts.scope.as_str(), session.message_count, session.can_unrevert), ("", 1, true));
    assert_eq!(seqs(&read(&mut store, 1, 9)), [1]);
    // Behind what is visible, behind nothing, and behind one that damage has taken, they do.
    for (n, keep, visible) in [(3, 1, vec![1, 4]), (4, 0, vec![5]), (7, 6, vec![5, 8])] {
        add(
            &disk,
            line(
                &disk,
                "append",
                &format!(r#"{STAMP},"n":{n},"keep":{keep},"m":[{{"role":"user","parts":[]}}]"#),
            )
            .as_bytes(),
        );
        assert_eq!(seqs(&read(&mut open(&disk, 3), 1, 9)), visible, "{n} {keep}");
    }
}

#[test]
fn a_checkpoint_tells_what_damage_before_it_has_hidden() {
    let (disk, mut store) = with_messages(700);
    store.revert("a", &650.into(), false, &WriteOptions::default()).unwrap();
    (701..=1400).for_each(|n| append(&mut store, &format!("message {n}.")));
    drop(store);
    // Two messages, and the revert between.
    for gone in ["message 20.", r#"{"t": "head""#, "message 1390."] {
        spoil(&disk, gone);
    }
    let mut store = open(&disk, 2);
    assert_eq!(store.get("a").unwrap().message_count, 1350);
    let page = read(&mut store, 1, 2_000);
    assert_eq!(page.unreadable, [20, 1390]);
    assert_eq!((seqs(&page).len(), page.damage.len()), (1348, 3));
    let tips: Vec<u64> = store.branches("a").unwrap().iter().map(|branch| branch.tip).collect();
    assert_eq!(tips, [1400, 700]);
    append(&mut store, "more");
    assert_eq!(seqs(&read(&mut store, 1399, 9)), [1399, 1400, 1401]);
    let report = doctor(&mut store);
    assert_eq!(report["unreachable"]["messages"], 2, "{report}");
    let salvaged = salvage(&mut store, &json!({"session": "a"})).unwrap();
    assert_eq!(salvaged["carried"], 1399);
    assert_eq!(salvaged["unreadable"], json!([{"from": 20, "to": 20}, {"from": 1390, "to": 1390}]));
}

#[test]
fn records_that_are_larger_than_what_is_read_at_once_are_read() {
    let (disk, mut store) = with_messages(1);
    for n in [3 * MIB, 5 * MIB, MIB / 2, 6 * MIB, 10] {
        append(&mut store, &"x".repeat(n));
    }
    assert_eq!(seqs(&read(&mut store, 1, 9)), [1, 2, 3], "a page ends behind the message that fills it");
    drop(store);
    let mut store = open(&disk, 2);
    assert_eq!(store.get("a").unwrap().message_count, 6);
    assert_eq!(seqs(&read(&mut store, 4, 9)), [4, 5, 6]);
    assert_eq!(doctor(&mut store)["findings"], json!([]));
    let watched = store.operate("changes", &json!({"session": "a"}).to_string()).unwrap();
    assert!(watched.contains("cursor"), "{watched}");
    store.compact("a").unwrap();
    assert_eq!(store.get("a").unwrap().message_count, 6);
    // A torn one of that size waits for its writer, and is damage once something follows.
    let torn = line(
        &disk,
        "append",
        &format!(
            r#"{STAMP},"n":6,"m":[{{"role":"user","parts":[{{"type":"text","text":"{}"}}]}}]"#,
            "x".repeat(3 * MIB)
        ),
    );
    let mut disk_now = disk.disk();
    let log = disk_now.paths().filter(|path| path.starts_with("sessions/")).last().unwrap().to_owned();
    let bytes = [disk_now.bytes(&log).unwrap(), &torn.as_bytes()[..2 * MIB]].concat();
    disk_now.put(&log, bytes);
    let disk = SimDisk::new(disk_now);
    let mut store = open(&disk, 3);
    assert_eq!(store.get("a").unwrap().message_count, 6);
    append(&mut store, "behind");
    assert_eq!(store.get("a").unwrap().message_count, 7);
    let report = doctor(&mut open(&disk, 4));
    let kinds: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert_eq!(kinds, ["damage"], "{report}");
}

#[test]
fn a_log_that_somebody_has_cut_is_read_as_it_is() {
    let (disk, mut store) = with_messages(5);
    let third = {
        let now = disk.disk();
        String::from_utf8(now.bytes(&path(&now)).unwrap().to_vec()).unwrap().find("message 4.").unwrap()
    };
    change(&disk, |bytes| bytes[..third].to_vec());
    assert_eq!(seqs(&read(&mut store, 1, 9)), [1, 2, 3]);
    append(&mut store, "behind");
    assert_eq!(seqs(&read(&mut open(&disk, 2), 1, 9)), [1, 2, 3, 4]);
}

#[test]
fn of_very_many_damaged_ranges_the_first_are_named() {
    let (disk, store) = with_messages(1);
    drop(store);
    let garbage: String =
        (0..1_200).map(|n| format!("garbage {n}\n{}", line(&disk, "wish", "\"a\":1"))).collect();
    add(&disk, garbage.as_bytes());
    let mut store = open(&disk, 2);
    append(&mut store, "behind");
    let page = read(&mut store, 1, 9);
    assert_eq!((seqs(&page), page.damage.len()), (vec![1, 2], 1000));
}

#[test]
fn a_salvage_goes_by_what_is_there() {
    let (disk, mut store) = with_messages(3);
    let big = json!({"big": "x".repeat(64 * 1024 - 20)}).to_string();
    let patch = sessile_core::SessionPatch { metadata: Some(Some(big)), ..Default::default() };
    store.update("a", &patch, &WriteOptions::default()).unwrap();
    let refused = salvage(&mut store, &json!({"session": "a"})).unwrap_err();
    assert!(refused.kind == ErrorKind::Invalid && refused.message.contains("metadata"), "{refused:?}");
    let patch = sessile_core::SessionPatch { metadata: Some(None), ..Default::default() };
    store.update("a", &patch, &WriteOptions::default()).unwrap();
    let run = json!({"session": "a", "owner": "w", "lease_ms": 60_000}).to_string();
    store.operate("begin_run", &run).unwrap();
    spoil(&disk, "message 2.");
    let mut store = open(&disk, 2);
    create_other(&mut store, "taken");
    let taken = salvage(&mut store, &json!({"session": "a", "id": "taken"})).unwrap_err();
    assert_eq!(taken.kind, ErrorKind::Conflict, "{taken:?}");
    assert_eq!(salvage(&mut store, &json!({"session": "none"})).unwrap_err().kind, ErrorKind::NotFound);
    let missing = salvage(&mut store, &json!({"session": "a", "generation": 7})).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound, "{missing:?}");
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    assert_eq!((&salvaged["carried"], &salvaged["repeated"]), (&json!(2), &json!(false)));
    assert_eq!(salvaged["session"]["status"], "active", "nobody is at work on the new one");
    assert_eq!(salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap()["repeated"], true);
    store.trash("a").unwrap();
    store.purge("a").unwrap();
    assert_eq!(salvage(&mut store, &json!({"session": "a"})).unwrap_err().kind, ErrorKind::NotFound);
}

fn create_other(store: &mut impl Sessions, id: &str) {
    store.create(&NewSession { id: Some(id.into()), ..NewSession::default() }).unwrap();
}

#[test]
fn a_log_without_its_beginning_is_salvaged_by_its_name() {
    let (disk, store) = with_messages(400);
    drop(store);
    change(&disk, |bytes| {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        [vec![b'#'; end], bytes[end..].to_vec()].concat()
    });
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "a"})).unwrap();
    let carried = salvaged["carried"].as_u64().unwrap();
    assert_eq!(carried, 400, "{salvaged}");
    let id = salvaged["session"]["id"].as_str().unwrap();
    let page = store.read(id, &Select::Last(1)).unwrap();
    assert!(page.messages.contains("message 400."), "{}", page.messages);
}

/// Where the log of a session lies.
fn log_of(disk: &Disk, id: &str) -> String {
    let begins = format!("\"session\":\"{id}\"");
    let holds = |path: &&str| String::from_utf8_lossy(disk.bytes(path).unwrap()).contains(&begins);
    disk.paths().find(|path| path.starts_with("sessions/") && holds(path)).unwrap().to_owned()
}

fn put(disk: &SimDisk, path: &str, bytes: Vec<u8>) {
    let mut changed = disk.disk();
    changed.put(path, bytes);
    disk.set(changed);
}

fn bytes(disk: &SimDisk, path: &str) -> Vec<u8> {
    disk.disk().bytes(path).unwrap().to_vec()
}

/// The texts of a session's visible messages.
fn texts(store: &mut impl Sessions, id: &str) -> Vec<String> {
    let page = store.read(id, &Select::From { seq: 1, limit: 1000 }).unwrap();
    let messages: Vec<Value> = serde_json::from_str(&page.messages).unwrap();
    let text = |message: &Value| message["message"]["parts"][0]["text"].as_str().unwrap().to_owned();
    messages.iter().map(text).collect()
}

#[test]
fn a_short_log_without_its_beginning_begins_with_its_first_message() {
    let (disk, store) = with_messages(3);
    drop(store);
    spoil(&disk, r#"{"t": "session""#);
    spoil(&disk, "message 1.");
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    assert_eq!((&salvaged["carried"], &salvaged["unreadable"]), (&json!(2), &json!([{"from": 1, "to": 1}])));
    assert_eq!(texts(&mut store, "new"), ["message 2.", "message 3."]);
    let facts = store.get("new").unwrap().facts;
    assert!(facts.created > 0 && facts.created == facts.active, "{facts:?}");
}

#[test]
fn a_beginning_behind_damage_is_one() {
    let (disk, store) = with_messages(3);
    drop(store);
    change(&disk, |bytes| [b"damage\n", bytes.as_slice()].concat());
    spoil(&disk, "message 2.");
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    assert_eq!(salvaged["carried"], 2);
    let (of, new) = (store.get("a").unwrap().facts, store.get("new").unwrap().facts);
    assert_eq!(of.created, new.created, "its facts are those of its beginning");
}

#[test]
fn a_fork_without_its_beginning_is_salvaged_without_what_it_inherits() {
    let (disk, mut store) = with_messages(2);
    store.fork("a", &ForkOptions { id: Some("fork".into()), ..ForkOptions::default() }).unwrap();
    for n in 1..=300 {
        let messages = json!([{"role": "user", "parts": [{"type": "text", "text": format!("own {n}.")}]}]);
        store.append("fork", &messages.to_string(), &buffered()).unwrap();
    }
    drop(store);
    let place = log_of(&disk.disk(), "fork");
    let mut bytes = bytes(&disk, &place);
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    bytes[..end].fill(b'#');
    put(&disk, &place, bytes);
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "fork", "id": "new"})).unwrap();
    assert_eq!(
        (&salvaged["carried"], &salvaged["unreadable"]),
        (&json!(300), &json!([{"from": 1, "to": 2}]))
    );
    assert_eq!(texts(&mut store, "new")[..2], ["own 1.", "own 2."]);
}

#[test]
fn what_ends_in_messages_that_cannot_be_read_is_salvaged_up_to_them() {
    let (disk, store) = with_messages(300);
    drop(store);
    // The last thing that is there is a checkpoint, right behind a message that is damaged.
    change(&disk, |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let check = lines.iter().rposition(|line| line.starts_with(r#"{"t": "check""#)).unwrap();
        [&lines[..check - 1].concat(), "damage\n", lines[check]].concat().into_bytes()
    });
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    let carried = salvaged["carried"].as_u64().unwrap();
    assert_eq!(salvaged["unreadable"], json!([{"from": carried + 1, "to": carried + 1}]));
    assert_eq!(texts(&mut store, "new").last().unwrap(), &format!("message {carried}."));
}

#[test]
fn a_long_session_is_salvaged_as_a_whole() {
    let (disk, store) = with_messages(4_500);
    drop(store);
    spoil(&disk, "message 30.");
    let mut store = open(&disk, 2);
    let report = doctor(&mut store);
    assert_eq!(report["unreachable"]["messages"], 1, "{}", report["findings"]);
    let salvaged = salvage(&mut store, &json!({"session": "a"})).unwrap();
    assert_eq!(
        (&salvaged["carried"], &salvaged["unreadable"]),
        (&json!(4_499), &json!([{"from": 30, "to": 30}]))
    );
}

#[test]
fn another_salvage_under_the_same_id_is_refused() {
    let (disk, store) = with_messages(3);
    drop(store);
    spoil(&disk, "message 2.");
    let mut store = open(&disk, 2);
    let request = json!({"session": "a", "id": "new"});
    salvage(&mut store, &request).unwrap();
    spoil(&disk, "message 3.");
    // Now it is another session that would be salvaged, and the old copy holds what that lacks.
    let mut store = open(&disk, 3);
    let refused = salvage(&mut store, &request).unwrap_err();
    assert!(
        refused.kind == ErrorKind::Conflict && refused.message.contains("not salvaged of this"),
        "{refused:?}"
    );
    assert_eq!(texts(&mut store, "new"), ["message 1.", "message 3."]);
}

#[test]
fn an_id_whose_session_is_purged_and_still_needed_is_not_given_to_what_is_salvaged() {
    let (disk, store) = with_messages(3);
    drop(store);
    spoil(&disk, "message 2.");
    let mut store = open(&disk, 2);
    let request = json!({"session": "a", "id": "new"});
    salvage(&mut store, &request).unwrap();
    store.fork("new", &ForkOptions { id: Some("fork".into()), ..ForkOptions::default() }).unwrap();
    store.trash("new").unwrap();
    store.purge("new").unwrap();
    let refused = salvage(&mut store, &request).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused:?}");
    assert_eq!(texts(&mut store, "fork"), ["message 1.", "message 3."]);
    // Nobody needs it any more.
    store.trash("fork").unwrap();
    store.purge("fork").unwrap();
    assert_eq!(salvage(&mut store, &request).unwrap()["repeated"], false);
}

#[test]
fn a_session_whose_file_has_another_name_is_found() {
    let (disk, mut store) = with_messages(2);
    create_other(&mut store, "b");
    drop(store);
    let (a, b) = (log_of(&disk.disk(), "a"), log_of(&disk.disk(), "b"));
    let (log_a, log_b) = (bytes(&disk, &a), bytes(&disk, &b));
    // Each in place of the other, once more, and in a file of the store's own.
    put(&disk, &a, log_b);
    put(&disk, &b, log_a.clone());
    put(&disk, "sessions/0/s-00000000000000000000000000-000001.jsonl", b"damage\n".to_vec());
    put(&disk, "sessions/z/h-zzzzzzzzzzzzzzzzzzzzzzzzzz-000001.jsonl", log_a);
    let mut store = open(&disk, 2);
    let error = store.get("a").unwrap_err();
    assert_eq!((error.kind, error.message.contains("doctor")), (ErrorKind::Damaged, true), "{error}");
    // The doctor reads each by the name that its records state, and says that it has lost it.
    let report = doctor(&mut store);
    let strays: BTreeSet<(&str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["kind"] == "wrong-name")
        .map(|finding| (finding["file"].as_str().unwrap(), finding["session"].as_str().unwrap()))
        .collect();
    let nowhere = "sessions/z/h-zzzzzzzzzzzzzzzzzzzzzzzzzz-000001.jsonl";
    assert_eq!(strays, BTreeSet::from([(a.as_str(), "b"), (b.as_str(), "a"), (nowhere, "a")]), "{report}");
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    assert_eq!(salvaged["carried"], 2);
    assert_eq!(texts(&mut store, "new"), ["message 1.", "message 2."]);
    assert_eq!(salvage(&mut store, &json!({"session": "c"})).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn a_log_that_is_none_any_more_hides_no_session_that_is_looked_for() {
    let (disk, store) = with_messages(2);
    drop(store);
    let a = log_of(&disk.disk(), "a");
    let log = bytes(&disk, &a);
    let mut none = disk.disk();
    none.remove_below(&a);
    disk.set(none);
    put(&disk, "sessions/0/h-00000000000000000000000000-000001.jsonl", vec![0; 65 * MIB]);
    put(&disk, "sessions/z/h-zzzzzzzzzzzzzzzzzzzzzzzzzz-000001.jsonl", log);
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    assert_eq!(salvaged["carried"], 2);
}

#[test]
fn of_two_generations_the_one_that_readers_come_to_is_salvaged() {
    let (disk, mut store) = with_messages(3);
    store.fork("a", &ForkOptions { id: Some("fork".into()), ..ForkOptions::default() }).unwrap();
    store.compact("a").unwrap();
    append(&mut store, "message 4.");
    drop(store);
    let second = log_of(&disk.disk(), "a").replace("-000001", "-000002");
    let text = String::from_utf8(bytes(&disk, &second)).unwrap().replacen("message 2.", "##########", 1);
    put(&disk, &second, text.into_bytes());
    let mut store = open(&disk, 2);
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "new"})).unwrap();
    assert_eq!(texts(&mut store, "new"), ["message 1.", "message 3.", "message 4."]);
    assert_eq!(salvaged["unreadable"], json!([{"from": 2, "to": 2}]));
    // Without the second one the first is the last: its rewrite is not finished, and readers read it.
    let mut cut = disk.disk();
    cut.remove_below(&second);
    let mut store = open(&SimDisk::new(cut), 3);
    let salvaged = salvage(&mut store, &json!({"session": "a", "id": "newer"})).unwrap();
    assert_eq!((&salvaged["carried"], &salvaged["unreadable"]), (&json!(3), &json!([])));
}

#[test]
fn more_than_can_be_written_at_once_is_not_salvaged() {
    let (disk, mut store) = with_messages(0);
    append(&mut store, &"x".repeat(15 * MIB));
    drop(store);
    let parent = path(&disk.disk());
    let end = bytes(&disk, &parent).len();
    // A fork that inherits the same message so often that they are too many together.
    let segment = format!(r#"{{"s":"a","g":1,"a":1,"z":1,"u":{end}}}"#);
    let facts = r#"{"scope":"","status":"idle","created":1,"updated":1,"accessed":1,"active":1}"#;
    let mut store = open(&disk, 2);
    create_other(&mut store, "huge");
    drop(store);
    let path = log_of(&disk.disk(), "huge");
    let fork = records::line(
        &path,
        "session",
        &format!(
            r#""v":1,"session":"huge","gen":1,"id":"01JD0000000000000000000000","at":1,"facts":{facts},"from":[{}]"#,
            vec![segment; 18].join(",")
        ),
    );
    put(&disk, &path, fork.into_bytes());
    let mut store = open(&disk, 3);
    assert_eq!(store.get("huge").unwrap().message_count, 18);
    let before: Vec<String> = disk.disk().paths().map(str::to_owned).collect();
    let refused = salvage(&mut store, &json!({"session": "huge"})).unwrap_err();
    assert!(refused.kind == ErrorKind::Invalid && refused.message.contains("too large"), "{refused:?}");
    assert_eq!(disk.disk().paths().collect::<Vec<_>>(), before, "nothing was written");
}

#[test]
fn a_salvage_that_the_disk_fails_is_made_again_without_a_second_copy() {
    let (disk, mut store) = with_messages(2);
    store.fork("a", &ForkOptions { id: Some("fork".into()), ..ForkOptions::default() }).unwrap();
    create_other(&mut store, "b");
    drop(store);
    // A fork that lies in the file of another session, so that all logs are looked through.
    let (fork, b) = (log_of(&disk.disk(), "fork"), log_of(&disk.disk(), "b"));
    let log = bytes(&disk, &fork);
    put(&disk, &b, log);
    let mut cut = disk.disk();
    cut.remove_below(&fork);
    let request = json!({"session": "fork", "id": "new"});
    let calls = {
        let mut store = open(&SimDisk::new(cut.clone()), 2);
        store.host_mut().reset_counts();
        salvage(&mut store, &request).unwrap();
        store.host_mut().counts().calls
    };
    assert!(calls > 40, "only {calls} calls");
    let (mut failed, mut repeated) = (0, 0);
    for at in 0..calls {
        for (kind, stage) in
            [(FsErrorKind::Unavailable, Stage::Bytes(0)), (FsErrorKind::Exists, Stage::Durable)]
        {
            let disk = SimDisk::new(cut.clone());
            let mut store = open(&disk, 2);
            store.host_mut().reset_counts();
            store.host_mut().set_fault(Some(Fault { at, kind, stage, later: Later::Fine }));
            let first = salvage(&mut store, &request);
            failed += u64::from(first.is_err());
            // Somebody else made the same file at the same moment.
            repeated += u64::from(first.is_ok_and(|answer| answer["repeated"] == true));
            store.host_mut().set_fault(None);
            salvage(&mut store, &request).unwrap();
            assert_eq!(texts(&mut store, "new"), ["message 1.", "message 2."], "{at} {kind:?}");
            assert_eq!(disk.disk().paths().filter(|path| path.starts_with("sessions/")).count(), 3);
        }
    }
    // Nor where the copy is there, and cannot be read for a moment.
    let disk = SimDisk::new(cut);
    let mut store = open(&disk, 2);
    salvage(&mut store, &request).unwrap();
    for at in 0..calls {
        store.host_mut().reset_counts();
        let (kind, stage) = (FsErrorKind::Unavailable, Stage::Bytes(0));
        store.host_mut().set_fault(Some(Fault { at, kind, stage, later: Later::Fine }));
        match salvage(&mut store, &request) {
            Ok(answer) => assert_eq!(answer["repeated"], true, "{at}"),
            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{at}"),
        }
    }
    assert!(failed > calls / 2 && repeated > 0, "{failed} {repeated}");
}
