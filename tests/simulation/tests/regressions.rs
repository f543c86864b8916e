//! Faults that the simulations have found in the core, each in its shortest form.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use sessile_core::{
    Durability, ErrorKind, ForkOptions, Fs, FsErrorKind, ListQuery, MessageChange, NewSession, OpenOptions,
    Page, Select, Sessions, Store, WriteOptions,
};
use sessile_simulation::fuzz::records::{seal, unseal};
use sessile_simulation::sim::{Disk, Fault, Later, SimDisk, SimHost, Stage, Turns};

const HELLO: &str = r#"[{"role":"user","parts":[{"type":"text","text":"hello"}]}]"#;

fn open(disk: &SimDisk, process: u64) -> Store<SimHost> {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

fn create(store: &mut impl Sessions, id: &str) {
    store.create(&NewSession { id: Some(id.into()), ..NewSession::default() }).unwrap();
}

fn append(store: &mut impl Sessions, id: &str, options: &WriteOptions) {
    store.append(id, HELLO, options).unwrap();
}

fn named(op: &str) -> WriteOptions {
    WriteOptions { op: Some(op.into()), ..WriteOptions::default() }
}

fn fork(store: &mut impl Sessions, id: &str, child: &str) {
    store.fork(id, &ForkOptions { id: Some(child.into()), ..ForkOptions::default() }).unwrap();
}

fn add_text(text: &str) -> MessageChange {
    MessageChange::AddText { part: 0, text: text.into(), at: None }
}

fn read(store: &mut impl Sessions, id: &str) -> Page {
    store.read(id, &Select::From { seq: 1, limit: 100 }).unwrap()
}

#[test]
fn a_named_append_follows_a_session_that_another_process_has_compacted() {
    let disk = SimDisk::new(Disk::default());
    let (mut one, mut other) = (open(&disk, 1), open(&disk, 2));
    create(&mut one, "a");
    append(&mut one, "a", &WriteOptions::default());
    other.compact("a").unwrap();
    append(&mut one, "a", &named("x"));
}

#[test]
fn a_text_follows_a_session_that_another_process_has_compacted() {
    let disk = SimDisk::new(Disk::default());
    let (mut one, mut other) = (open(&disk, 1), open(&disk, 2));
    create(&mut one, "a");
    append(&mut one, "a", &WriteOptions::default());
    other.compact("a").unwrap();
    one.update_message("a", &1.into(), &add_text("x"), &WriteOptions::default()).unwrap();
}

#[test]
fn a_session_in_the_trash_takes_no_text() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    store.trash("a").unwrap();
    assert!(store.update_message("a", &1.into(), &add_text("x"), &WriteOptions::default()).is_err());
}

#[test]
fn a_revert_that_hides_nothing_can_be_undone_after_a_compaction() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    let reverted = store.revert("a", &1.into(), false, &WriteOptions::default()).unwrap();
    store.compact("a").unwrap();
    assert_eq!(store.get("a").unwrap().can_unrevert, reverted.can_unrevert);
}

#[test]
fn a_fork_of_a_fork_has_its_changes_of_inherited_messages() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    fork(&mut store, "a", "b");
    store.update_message("b", &1.into(), &add_text(" there"), &WriteOptions::default()).unwrap();
    fork(&mut store, "b", "c");
    assert_eq!(
        read(&mut store, "c").messages.contains("hello there"),
        read(&mut store, "b").messages.contains("hello there")
    );
}

#[test]
fn a_purged_session_stays_unlisted_when_another_process_that_used_it_closes() {
    let disk = SimDisk::new(Disk::default());
    let (mut one, mut other) = (open(&disk, 1), open(&disk, 2));
    create(&mut one, "a");
    append(&mut other, "a", &WriteOptions::default());
    one.trash("a").unwrap();
    one.purge("a").unwrap();
    other.close().unwrap();
    for trashed in [false, true] {
        let query = ListQuery { trashed, ..ListQuery::default() };
        assert_eq!(open(&disk, 3).list(&query).unwrap().sessions, []);
    }
}

/// A process is killed between the write and the sync of a named append. Another one repeats it.
#[test]
fn a_repeated_operation_is_durable_before_it_is_acknowledged() {
    let disk = SimDisk::new(Disk::default());
    let mut one = open(&disk, 1);
    create(&mut one, "a");
    append(&mut one, "a", &WriteOptions { durability: Durability::Buffered, ..named("x") });
    let mut other = open(&disk, 2);
    append(&mut other, "a", &named("x"));
    disk.disk().after_power_loss("", &mut |image| {
        let mut store = open(&SimDisk::new(image.disk), 3);
        assert!(read(&mut store, "a").messages.contains("hello"));
    });
}

/// The catalogue must not know more of a session than the disk has kept of its log.
#[test]
fn a_list_after_power_loss_tells_what_the_logs_hold() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions { durability: Durability::Buffered, ..WriteOptions::default() });
    store.close().unwrap();
    disk.disk().after_power_loss("", &mut |image| {
        let mut store = open(&SimDisk::new(image.disk), 2);
        let listed = store.list(&ListQuery::default()).unwrap().sessions;
        assert_eq!(listed, [store.get("a").unwrap()]);
    });
}

/// A contract that is kept to the letter: a text ends at a character's end, so the rest of one that was cut is never
/// returned as text.
#[test]
fn a_character_that_was_cut_off_at_the_end_of_a_log_hides_nothing() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    let mut torn = disk.disk();
    let path = torn.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
    torn.put(
        &path,
        [torn.bytes(&path).unwrap(), "{\"t\": \"+\",\"m\":1,\"x\":\"é".as_bytes().split_last().unwrap().1]
            .concat(),
    );
    let mut store = open(&SimDisk::new(torn), 2);
    assert!(read(&mut store, "a").messages.contains("hello"));
}

#[test]
fn messages_that_cannot_be_read_are_no_branches() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    for _ in 0..4 {
        append(&mut store, "a", &WriteOptions::default());
    }
    let mut damaged = disk.disk();
    let path = damaged.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
    let mut lines: Vec<Vec<u8>> =
        damaged.bytes(&path).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for line in &mut lines[2..4] {
        line.fill(0);
    }
    damaged.put(&path, lines.concat());
    let mut store = open(&SimDisk::new(damaged), 2);
    assert_eq!(read(&mut store, "a").unreadable, [2, 3]);
    assert_eq!(store.branches("a").unwrap().len(), 1);
}

/// A process is killed between the write and the sync of a seal. Another one finishes the rewrite and goes on in the
/// new generation; then the power fails and the seal is lost.
#[test]
fn a_rewrite_that_another_process_finishes_is_durable_from_its_seal_on() {
    let disk = SimDisk::new(Disk::default());
    let mut one = open(&disk, 1);
    create(&mut one, "a");
    append(&mut one, "a", &WriteOptions::default());
    disk.record();
    let _ = one.compact("a");
    let steps = disk.steps();
    let seal = steps
        .iter()
        .find(|step| step.call.name() == "append" && step.call.path().starts_with("sessions/"))
        .unwrap();
    let mut killed = seal.before.clone();
    killed.perform(&seal.call, Stage::Visible).unwrap();
    let disk = SimDisk::new(killed);
    append(&mut open(&disk, 2), "a", &WriteOptions::default());
    disk.disk().after_power_loss("", &mut |image| {
        let page = read(&mut open(&SimDisk::new(image.disk), 3), "a");
        assert_eq!(page.messages.matches("hello").count(), 2);
    });
}

/// A process is killed while it makes the store, after others can see the marker and before its entry is durable.
#[test]
fn a_store_that_was_written_to_is_there_after_power_loss() {
    let disk = SimDisk::new(Disk::default());
    disk.record();
    open(&disk, 1);
    let steps = disk.steps();
    let marker = steps.last().unwrap();
    let mut killed = marker.before.clone();
    killed.perform(&marker.call, Stage::Visible).unwrap();
    let disk = SimDisk::new(killed);
    create(&mut open(&disk, 2), "a");
    disk.disk().after_power_loss("", &mut |image| {
        let host = SimHost::new(&SimDisk::new(image.disk), 3);
        let mut store = Store::open(host, OpenOptions { read_only: true }).unwrap();
        assert_eq!(store.list(&ListQuery::default()).unwrap().sessions.len(), 1);
    });
}

#[test]
fn a_repeated_operation_follows_a_session_that_another_process_has_compacted_or_purged() {
    let disk = SimDisk::new(Disk::default());
    let (mut one, mut other) = (open(&disk, 1), open(&disk, 2));
    create(&mut one, "a");
    append(&mut one, "a", &named("x"));
    other.compact("a").unwrap();
    assert!(one.append("a", HELLO, &named("x")).unwrap().repeated);
    other.trash("a").unwrap();
    other.purge("a").unwrap();
    let repeated = one.append("a", HELLO, &WriteOptions { durability: Durability::Buffered, ..named("x") });
    assert_eq!(repeated.unwrap_err().kind, ErrorKind::NotFound);
}

/// Lets the first call fail that writes to a path beginning with `path`.
fn open_with_fault(
    disk: &SimDisk,
    process: u64,
    path: &str,
    stage: Stage,
    act: impl Fn(&mut Store<SimHost>),
) -> Store<SimHost> {
    // A first run, on a copy, tells which call that is.
    let copy = SimDisk::new(disk.disk());
    copy.record();
    let mut store = open(&copy, process);
    store.host_mut().reset_counts();
    act(&mut store);
    let steps = copy.steps();
    let place = steps.iter().position(|step| step.call.path().starts_with(path)).unwrap();
    let at = store.host_mut().write_calls()[place];
    let mut store = open(disk, process);
    store.host_mut().reset_counts();
    let fault = Fault { at, kind: FsErrorKind::Unavailable, stage, later: Later::Fine };
    store.host_mut().set_fault(Some(fault));
    act(&mut store);
    store
}

#[test]
fn a_session_is_listed_though_the_catalogue_could_not_be_written_for_a_moment() {
    let disk = SimDisk::new(Disk::default());
    open(&disk, 1);
    let mut store = open_with_fault(&disk, 2, "catalogue", Stage::Bytes(0), |store| create(store, "a"));
    store.close().unwrap();
    assert_eq!(open(&disk, 3).list(&ListQuery::default()).unwrap().sessions.len(), 1);
}

#[test]
fn a_list_after_power_loss_does_not_count_what_a_failed_append_has_left() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    store.close().unwrap();
    let mut store = open_with_fault(&disk, 2, "sessions", Stage::Bytes(1), |store| {
        let _ = store.update_message("a", &1.into(), &add_text("x"), &WriteOptions::default());
    });
    store.close().unwrap();
    disk.disk().after_power_loss("", &mut |image| {
        let mut store = open(&SimDisk::new(image.disk), 3);
        let listed = store.list(&ListQuery::default()).unwrap().sessions;
        assert_eq!(listed, [store.get("a").unwrap()]);
    });
}

/// By mistake of a host, or because somebody has put a file there.
#[test]
fn a_generation_is_not_removed_before_the_next_one_can_be_read() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    let mut spoiled = disk.disk();
    let path =
        spoiled.paths().find(|path| path.starts_with("sessions/")).unwrap().replace("000001", "000002");
    spoiled.put(&path, b"somebody's file\n".to_vec());
    disk.set(spoiled);
    let _ = open(&disk, 2).compact("a");
    let logs: Vec<String> = disk.disk().paths().map(str::to_owned).collect();
    assert!(logs.contains(&path.replace("000002", "000001")), "{logs:?}");
}

#[test]
fn an_id_is_free_again_when_a_purge_was_cut_off() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    store.trash("a").unwrap();
    disk.record();
    store.purge("a").unwrap();
    let steps = disk.steps();
    let record = steps.iter().position(|step| step.call.path().starts_with("sessions/")).unwrap();
    let mut store = open(&SimDisk::new(steps[record + 1].before.clone()), 2);
    assert_eq!(store.get("a").unwrap_err().kind, ErrorKind::NotFound);
    create(&mut store, "a");
}

#[test]
fn a_fork_whose_messages_cannot_be_read_is_not_forked_without_them() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    disk.record();
    fork(&mut store, "a", "b");
    append(&mut store, "b", &WriteOptions::default());
    let parent =
        disk.steps()[0].before.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
    SimHost::new(&disk, 9).remove(&parent).unwrap();
    let mut store = open(&disk, 2);
    assert_eq!(read(&mut store, "b").unreadable, [1]);
    let forked = store.fork("b", &ForkOptions { id: Some("c".into()), ..ForkOptions::default() });
    assert!(forked.is_err() || read(&mut store, "c").unreadable == [1], "{forked:?}");
}

/// Makes what stands at the first `text` of the session's only log unreadable.
fn spoil(disk: &SimDisk, text: &str) {
    let mut spoiled = disk.disk();
    let path = spoiled.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
    let bytes = String::from_utf8(spoiled.bytes(&path).unwrap().to_vec()).unwrap();
    assert!(bytes.contains(text), "{bytes}");
    spoiled.put(&path, bytes.replacen(text, &"#".repeat(text.len()), 1).into_bytes());
    disk.set(spoiled);
}

#[test]
fn a_hidden_branch_keeps_its_tip_beside_messages_that_cannot_be_read() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    append(&mut store, "a", &WriteOptions::default());
    store.revert("a", &1.into(), false, &WriteOptions::default()).unwrap();
    append(&mut store, "a", &named("third"));
    append(&mut store, "a", &WriteOptions::default());
    spoil(&disk, "third");
    let mut store = open(&disk, 2);
    assert_eq!(read(&mut store, "a").unreadable, [3]);
    let tips: Vec<u64> = store.branches("a").unwrap().iter().map(|branch| branch.tip).collect();
    assert_eq!(tips, [4, 2]);
}

/// A power cut can take a buffered append and leave the seal behind it.
#[test]
fn a_sealed_log_with_unreadable_messages_is_finished_with_their_numbers_taken() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &named("first"));
    append(&mut store, "a", &WriteOptions::default());
    disk.record();
    store.compact("a").unwrap();
    let sealed = disk.steps().into_iter().rfind(|step| step.call.path().ends_with("000002.jsonl")).unwrap();
    let disk = SimDisk::new(sealed.before);
    spoil(&disk, "first");
    let mut store = open(&disk, 2);
    assert_eq!(store.append("a", HELLO, &WriteOptions::default()).unwrap().seq, 3);
    let page = read(&mut store, "a");
    assert_eq!(page.unreadable, [1]);
    assert!(
        page.messages.contains("\"seq\":2,") && page.messages.contains("\"seq\":3,"),
        "{}",
        page.messages
    );
}

#[test]
fn a_request_whose_members_stand_by_their_places_is_refused() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    for request in ["[]", r#"["a","title"]"#, "null", r#""a""#, ""] {
        let refused = store.operate("rename_session", request).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{request}");
    }
    assert_eq!(store.get("a").unwrap().facts.title, None);
}

#[test]
fn a_fork_of_a_branch_that_begins_anew_takes_no_changes_of_messages_that_it_does_not_hold() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    fork(&mut store, "a", "b");
    // The inherited message is changed, and hidden as a whole.
    store.update_message("b", &1.into(), &add_text(" there"), &WriteOptions::default()).unwrap();
    store.revert("b", &1.into(), true, &WriteOptions::default()).unwrap();
    append(&mut store, "b", &WriteOptions::default());
    fork(&mut store, "b", "c");
    let messages = read(&mut store, "c").messages;
    assert!(messages.contains(r#""text":"hello""#), "{messages}");
}

#[test]
fn who_finds_a_session_in_the_trash_is_told_of_that_one_though_another_restores_it_at_once() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    store.trash("a").unwrap();
    let turns = Turns::new(&[1, 2], [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    let mut other = open(&disk, 2);
    store.host_mut().take_turns(Some(turns.clone()));
    other.host_mut().take_turns(Some(turns.clone()));
    let told = std::thread::scope(|scope| {
        let restoring = scope.spawn(|| {
            other.restore("a").unwrap();
            turns.finish(2);
        });
        let told = store.trash("a").unwrap();
        turns.finish(1);
        restoring.join().unwrap();
        told
    });
    assert!(told.facts.trashed.is_some(), "{told:?}");
}

/// A log that could not be read just once was left out of the list without a word, and of a catalogue that was made
/// meanwhile for good.
#[test]
fn a_log_that_cannot_be_read_for_a_moment_is_not_left_out() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    let fault = |at| Fault { at, kind: FsErrorKind::Unavailable, stage: Stage::Bytes(0), later: Later::Fine };
    let listed = |store: &mut Store<SimHost>| {
        let listed = store.list(&ListQuery::default());
        listed.map(|page| page.sessions.iter().any(|session| session.id == "a"))
    };
    let without_catalogue = {
        let mut disk = disk.disk();
        disk.remove_below("catalogue/");
        disk
    };
    for at in 0..40 {
        for image in [disk.disk(), without_catalogue.clone()] {
            let disk = SimDisk::new(image);
            let mut other = open(&disk, 2);
            other.host_mut().reset_counts();
            other.host_mut().set_fault(Some(fault(at)));
            match listed(&mut other) {
                Ok(is_there) => assert!(is_there, "a fault at call {at}: the list has not the session"),
                Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "a fault at call {at}"),
            }
            let mut other = open(&disk, 3);
            other.host_mut().reset_counts();
            other.host_mut().set_fault(Some(fault(at)));
            let _ = other.create(&NewSession { id: Some("b".into()), ..NewSession::default() });
            assert!(listed(&mut open(&disk, 4)).unwrap(), "a fault at call {at}: nobody lists the session");
        }
    }
}

/// A fork kept the sealed generation, and the catalogue had an entry of it with the size that it ended with.
#[test]
fn a_list_takes_no_sealed_generation_for_the_session() {
    let disk = SimDisk::new(Disk::default());
    let (mut one, mut other) = (open(&disk, 1), open(&disk, 2));
    create(&mut one, "a");
    append(&mut one, "a", &WriteOptions::default());
    fork(&mut one, "a", "b");
    append(&mut other, "a", &WriteOptions::default());
    disk.record();
    one.compact("a").unwrap();
    let next = disk.steps().into_iter().rfind(|step| step.call.path().ends_with("000002.jsonl")).unwrap();
    disk.set(next.before);
    // Another looks at the session between its seal and the next generation, and closes.
    other.get("a").unwrap();
    other.close().unwrap();
    // Who writes next finishes the rewrite, and is killed.
    append(&mut open(&disk, 3), "a", &WriteOptions::default());
    let page = open(&disk, 4).list(&ListQuery::default()).unwrap();
    let listed = page.sessions.iter().find(|session| session.id == "a").unwrap();
    assert_eq!((listed.generation, listed.message_count), (2, 3));
}

/// Only somebody who writes the files can make such a record. What it claims costs nothing.
#[test]
fn a_number_that_no_message_has_takes_no_memory_and_no_time() {
    const HUGE: u64 = (1 << 53) - 9;
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    create(&mut store, "a");
    append(&mut store, "a", &WriteOptions::default());
    append(&mut store, "a", &WriteOptions::default());
    fork(&mut store, "a", "child");
    let mut claimed = disk.disk();
    let logs: Vec<String> =
        claimed.paths().filter(|path| path.starts_with("sessions/")).map(str::to_owned).collect();
    for path in logs {
        let text = String::from_utf8(unseal(claimed.bytes(&path).unwrap())).unwrap();
        let changed = text.replacen("\"n\":1,", &format!("\"n\":{HUGE},"), 1);
        let changed = changed.replacen("\"z\":2,", &format!("\"z\":{HUGE},"), 1);
        assert_ne!(text, changed);
        claimed.put(&path, seal(&path, changed.as_bytes()));
    }
    let mut store = open(&SimDisk::new(claimed), 2);
    for (id, readable) in [("a", 2), ("child", 1)] {
        assert_eq!(store.get(id).unwrap().message_count, HUGE + u64::from(id == "a"), "{id}");
        let first = read(&mut store, id);
        assert_eq!((first.messages.matches("hello").count(), first.unreadable.len()), (1, 99), "{id}");
        assert_eq!(store.branches(id).unwrap().len(), 1, "{id}");
        append(&mut store, id, &named("more"));
        let request = format!("{{\"session\":\"{id}\"}}");
        let salvage: serde_json::Value =
            serde_json::from_str(&store.operate("salvage_session", &request).unwrap()).unwrap();
        assert_eq!(salvage["carried"], readable + 1, "{id}");
        assert_eq!(store.compact(id).unwrap_err().kind, ErrorKind::Damaged, "{id}");
    }
    let report = store.doctor(false).unwrap();
    assert_eq!(report.matches("unreadable-messages").count(), 2, "{report}");
}

#[test]
fn a_session_is_found_among_more_generations_than_are_asked_for_at_once() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    for id in ["a", "b"] {
        create(&mut store, id);
    }
    // A fork of each keeps them all.
    for generation in 1..=7 {
        append(&mut store, "a", &WriteOptions::default());
        fork(&mut store, "a", &format!("fork {generation}"));
        store.compact("a").unwrap();
        assert_eq!(read(&mut open(&disk, 1 + generation), "a").messages, read(&mut store, "a").messages);
    }
    append(&mut store, "a", &WriteOptions::default());
    assert_eq!(open(&disk, 9).get("a").unwrap().message_count, 8);
    assert_eq!(open(&disk, 9).get("a").unwrap().generation, 8);
}
