//! Operations beside sessions and messages, with a crash at every write: whoever makes the same calls again from the one
//! that was cut off comes to the same store, so nothing acknowledged is lost and nothing counts twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use serde_json::{Value, json};
use sessile_core::{ErrorKind, FsErrorKind, OpenOptions, Result, Sessions, Store};
use sessile_simulation::inject::faults;
use sessile_simulation::sim::{Call, Disk, Fault, Later, SimDisk, SimHost, Stage};

type Sim = Store<SimHost>;

fn open(disk: &SimDisk, process: u64) -> Sim {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

/// Carries out an operation; an error of one of the kinds that a retry meets is no answer.
fn try_operate(store: &mut Sim, name: &str, request: &Value, retried: &[ErrorKind]) -> Result<Option<Value>> {
    match store.operate(name, &request.to_string()) {
        Err(error) if retried.contains(&error.kind) => Ok(None),
        answer => Ok(Some(serde_json::from_str(&answer?).unwrap())),
    }
}

fn operate(store: &mut Sim, name: &str, request: &Value, retried: &[ErrorKind]) -> Option<Value> {
    try_operate(store, name, request, retried).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn call(store: &mut Sim, place: usize) -> bool {
    try_call(store, place).unwrap_or_else(|error| panic!("call {place}: {error}"))
}

/// The calls of the test, each of which may be made again.
fn try_call(store: &mut Sim, place: usize) -> Result<bool> {
    let attached = json!({"attachments": [{"name": "a.png", "data": "AAEC"}]});
    let (name, request): (&str, Value) = match place {
        0 => {
            let new = sessile_core::NewSession { id: Some("s".into()), ..Default::default() };
            return match store.create(&new) {
                Err(error) if error.kind == ErrorKind::Conflict => Ok(true),
                created => created.map(|_| true),
            };
        }
        1 => ("add_counters", json!({"session": "s", "add": {"n": 1}, "op": "count-1"})),
        2 => ("add_counters", json!({"add": {"n": 1, "m": 0.5}, "op": "count-2"})),
        3 => ("add_usage", json!({"session": "s", "amounts": {"input": 5, "cost": 0.25}, "op": "use-1"})),
        4 => (
            "add_usage",
            json!({"session": "s", "amounts": {"input": 7}, "absolute": true, "source": "x", "op": "use-2"}),
        ),
        5 => ("begin_run", json!({"session": "s", "owner": "w", "lease_ms": 60_000})),
        6 => (
            "enqueue",
            json!({"session": "s", "items": [{"id": "i", "kind": "chat", "content": attached, "recurrence": "0 9 * * *"}, {"id": "j", "kind": "chat"}]}),
        ),
        7 => ("next_batch", json!({"session": "s", "worker": "w", "first": true})),
        8 => ("emit", json!({"session": "s", "items": [{"id": "o", "kind": "chat", "in_reply_to": "i"}]})),
        9 => ("ack", json!({"session": "s", "acks": [{"id": "i", "status": "completed"}]})),
        10 => ("sweep", json!({"session": "s"})),
        11 => (
            "record_delivery",
            json!({"session": "s", "item": "o", "status": "delivered", "platform_id": "p"}),
        ),
        12 => ("set_state", json!({"session": "s", "key": "k", "value": {"v": 1}})),
        13 => ("set_routing", json!({"session": "s", "default": {"to": "x"}})),
        14 => ("ask", json!({"session": "s", "id": "q", "content": "?"})),
        15 => ("answer_question", json!({"session": "s", "id": "q", "answer": "!"})),
        16 => {
            let run =
                try_operate(store, "get_run", &json!({"session": "s"}), &[])?.unwrap()["run"]["id"].clone();
            ("end_run", json!({"session": "s", "run": run, "status": "done", "amounts": {"output": 3}}))
        }
        17 => (
            "ingest",
            json!({"session": "s", "events": [{"type": "text", "id": "e", "content": "said"}, {"type": "status", "status": "idle"}]}),
        ),
        18 => ("rename_session", json!({"session": "s", "title": "T"})),
        19 => ("current_session", json!({"scope": "c"})),
        20 => ("set_retention", json!({"policy": {"max_sessions": 9}})),
        21 => ("store_attachments", json!({"session": "s", "content": {"attachments": [{"data": "AAED"}]}})),
        22 => {
            let kinds = [ErrorKind::NotFound, ErrorKind::Conflict];
            let done = |result: Result<()>| match result {
                Err(error) if kinds.contains(&error.kind) => Ok(()),
                result => result,
            };
            done(store.trash("s").map(drop))?;
            return done(store.purge("s")).map(|()| true);
        }
        _ => return Ok(false),
    };
    // A run that was begun is not begun again; a question that was answered is not open any more.
    let retried: &[ErrorKind] = match name {
        "begin_run" => &[ErrorKind::Conflict],
        "answer_question" => &[ErrorKind::NotFound],
        _ => &[],
    };
    try_operate(store, name, &request, retried).map(|_| true)
}

/// How many calls there are before the purge.
const CALLS: usize = 22;

/// What does not depend on when something happened.
fn observe(store: &mut Sim) -> Value {
    let ask = |store: &mut Sim, name: &str, request: Value| operate(store, name, &request, &[]).unwrap();
    let of = json!({"session": "s"});
    let pick = |items: &Value, names: &[&str]| -> Value {
        items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| names.iter().map(|name| item[*name].clone()).collect::<Value>())
            .collect()
    };
    let run = ask(store, "get_run", of.clone());
    let session = store.get("s").unwrap();
    let deliveries = ask(store, "outbound", of.clone());
    json!({
        "counters": [ask(store, "get_counters", json!({})), ask(store, "get_counters", of.clone())],
        "usage": ask(store, "get_usage", json!({"by": "model"})),
        "run": [run["run"]["owner"], run["is_running"], run["run"]["ended_at"].is_null()],
        "inbound": ask(store, "inbound", of.clone())["items"].as_array().unwrap().iter().map(|item| json!([item["kind"], item["status"], item["content"], item["tries"]])).collect::<Value>(),
        "outbound": pick(&deliveries["items"], &["id", "seq", "content"]),
        "delivered": deliveries["items"].as_array().unwrap().iter().map(|item| item["delivery"]["status"].clone()).collect::<Value>(),
        "state": ask(store, "get_state", of.clone()),
        "routing": ask(store, "get_routing", of.clone()),
        "questions": ask(store, "questions", of.clone()),
        "attachments": pick(&ask(store, "list_attachments", of)["attachments"], &["digest", "path", "direction"]),
        "session": [json!(session.facts.title), json!(session.facts.status.name()), json!(session.message_count)],
        "sessions": ask(store, "count_sessions", json!({})),
        "retention": ask(store, "get_retention", json!({})),
    })
}

/// After the purge: what the store keeps of the session.
fn observe_purged(store: &mut Sim) -> Value {
    let ask = |store: &mut Sim, name: &str, request: Value| operate(store, name, &request, &[]).unwrap();
    assert_eq!(store.get("s").unwrap_err().kind, ErrorKind::NotFound);
    let report: Value = serde_json::from_str(&store.doctor(false).unwrap()).unwrap();
    json!({
        "usage": ask(store, "get_usage", json!({"by": "scope"})),
        "sessions": ask(store, "count_sessions", json!({})),
        // A torn write that nobody was told of is named, and does no harm.
        "findings": report["findings"].as_array().unwrap().iter().filter(|finding| !["damage", "unfinished-record"].contains(&finding["kind"].as_str().unwrap())).cloned().collect::<Value>(),
    })
}

/// Makes all calls again from one on, on a disk that a crash has left.
fn go_on(image: &Disk, from: usize, process: u64) -> (Value, Value) {
    let mut store = open(&SimDisk::new(image.clone()), process);
    (from..CALLS).for_each(|place| assert!(call(&mut store, place)));
    // The purge may be what was cut off.
    let before = if from < CALLS { observe(&mut store) } else { Value::Null };
    assert!(call(&mut store, CALLS));
    (before, observe_purged(&mut store))
}

#[test]
fn calls_that_are_made_again_after_a_crash_leave_the_same_store() {
    let disk = SimDisk::new(Disk::default());
    disk.record();
    let mut store = open(&disk, 1);
    // Behind each call, how many writes there were.
    let mut ends = Vec::new();
    let mut expected = Value::Null;
    for place in 0..=CALLS {
        if place == CALLS {
            expected = observe(&mut store);
        }
        assert!(call(&mut store, place), "call {place}");
        ends.push(disk.written());
    }
    let expected = (expected, observe_purged(&mut store));
    let mut states = 0;
    for (place, step) in disk.steps().iter().enumerate() {
        let from = ends.iter().position(|end| place < *end).unwrap_or(CALLS);
        let mut check = |image: &Disk, how: &str| {
            states += 1;
            let found = go_on(image, from, 100 + states);
            let same = (from == CALLS || found.0 == expected.0) && found.1 == expected.1;
            assert!(
                same,
                "{how} at write {place} ({} {}), in call {from}:\n{}\n{}\nexpected\n{}\n{}",
                step.call.name(),
                step.call.path(),
                found.0,
                found.1,
                expected.0,
                expected.1
            );
        };
        let stages = step.call.stages();
        let every = if matches!(step.call, Call::Append(..)) { stages.len().div_ceil(6) } else { 1 };
        for stage in stages.into_iter().step_by(every) {
            let mut disk = step.before.clone();
            let _ = disk.perform(&step.call, stage);
            check(&disk, "killed");
        }
        let mut disk = step.before.clone();
        let _ = disk.perform(&step.call, Stage::Visible);
        let mut nth = 0;
        disk.after_power_loss(step.call.path(), &mut |image| {
            nth += 1;
            if nth % 7 == 1 {
                check(&image.disk, "power lost");
            }
        });
    }
    println!("operations: {states} states after a crash");
    assert!(states > 500, "only {states} states");
}

#[test]
fn a_queue_whose_removal_the_disk_has_forgotten_is_nobodys() {
    let disk = SimDisk::new(Disk::default());
    disk.record();
    let mut store = open(&disk, 1);
    let item = json!({"session": "s", "items": [{"id": "i", "kind": "chat"}]});
    for _ in 0..2 {
        let new = sessile_core::NewSession { id: Some("s".into()), ..Default::default() };
        store.create(&new).unwrap();
        let receipt = operate(&mut store, "enqueue", &item, &[]).unwrap();
        assert_eq!(
            (&receipt["items"][0]["seq"], &receipt["items"][0]["repeated"]),
            (&json!(2), &json!(false))
        );
        store.trash("s").unwrap();
        store.purge("s").unwrap();
        // The queue's log comes back, with its end in it.
        let mut now = disk.disk();
        for step in disk.steps() {
            if matches!(step.call, Call::Remove(_)) && step.call.path().contains("/s-") {
                now.put(step.call.path(), step.before.bytes(step.call.path()).unwrap().to_vec());
            }
        }
        disk.set(now);
        disk.record();
        store = open(&disk, 2);
    }
}

#[test]
fn a_disk_that_is_full_while_a_log_is_rewritten_makes_no_error_of_what_counts() {
    let names: serde_json::Map<String, Value> = (0..200).map(|n| (format!("{n:0>250}"), json!(1))).collect();
    let add = |store: &mut Sim| store.operate("add_counters", &json!({"add": names}).to_string());
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    let before = loop {
        let (before, written) = (disk.disk(), disk.written());
        let answer: Value = serde_json::from_str(&add(&mut store).unwrap()).unwrap();
        if disk.written() > written + 2 {
            break (before, answer);
        }
    };
    let mut rehearsed = open(&SimDisk::new(before.0.clone()), 2);
    rehearsed.host_mut().reset_counts();
    add(&mut rehearsed).unwrap();
    let writes = rehearsed.host_mut().write_calls().to_vec();
    assert!(writes.len() > 2, "{writes:?}");
    for at in &writes[1..] {
        let mut store = open(&SimDisk::new(before.0.clone()), 2);
        store.host_mut().reset_counts();
        let fault = Fault {
            at: *at,
            kind: FsErrorKind::Unavailable,
            stage: Stage::Bytes(0),
            later: Later::WritesFail,
        };
        store.host_mut().set_fault(Some(fault));
        let answer: Value = serde_json::from_str(&add(&mut store).unwrap()).unwrap();
        assert_eq!(answer, before.1, "a fault at call {at}");
    }
}

/// A store with a session that has lost a record in its middle.
fn with_damage() -> Disk {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    let new =
        sessile_core::NewSession { id: Some("s".into()), title: Some("T".into()), ..Default::default() };
    store.create(&new).unwrap();
    for text in ["one", "two", "three"] {
        let message = json!([{"role": "user", "parts": [{"type": "text", "text": text}]}]).to_string();
        store.append("s", &message, &sessile_core::WriteOptions::default()).unwrap();
    }
    store.close().unwrap();
    let mut disk = disk.disk();
    let path = disk.paths().find(|path| path.starts_with("sessions/")).unwrap().to_owned();
    let text = String::from_utf8(disk.bytes(&path).unwrap().to_vec()).unwrap();
    disk.put(&path, text.replacen("two", "tWo", 1).into_bytes());
    disk
}

#[test]
fn a_salvage_that_was_cut_off_is_made_again_without_a_second_copy() {
    let request = json!({"session": "s", "quarantine": true});
    let observe = |disk: &SimDisk, process: u64| {
        let mut store = open(disk, process);
        let answer = operate(&mut store, "salvage_session", &request, &[]).unwrap();
        let ids = |store: &mut Sim, trashed| {
            let query = sessile_core::ListQuery { trashed, ..Default::default() };
            let page = store.list(&query).unwrap();
            page.sessions.into_iter().map(|session| session.id).collect::<Vec<String>>()
        };
        let id = answer["session"]["id"].as_str().unwrap().to_owned();
        let page = store.read(&id, &sessile_core::Select::Last(10)).unwrap().messages;
        let tags = store.get("s").unwrap().facts.tags;
        let (carried, unreadable) = (answer["carried"].clone(), answer["unreadable"].clone());
        json!([id, carried, unreadable, page, tags, ids(&mut store, false), ids(&mut store, true)])
    };
    let base = with_damage();
    let disk = SimDisk::new(base.clone());
    disk.record();
    let expected = observe(&disk, 2);
    assert_eq!((&expected[1], &expected[2]), (&json!(2), &json!([{"from": 2, "to": 2}])));
    assert_eq!(expected[5].as_array().unwrap().len(), 1, "{expected}");
    assert_eq!((&expected[4], &expected[6]), (&json!(["pinned"]), &json!(["s"])));
    let mut states = 0;
    for step in disk.steps() {
        let mut check = |image: &Disk| {
            states += 1;
            let path = base.paths().find(|path| path.starts_with("sessions/")).unwrap();
            assert!(image.bytes(path).unwrap().starts_with(base.bytes(path).unwrap()));
            assert_eq!(observe(&SimDisk::new(image.clone()), 100 + states), expected, "{}", step.call.path());
        };
        for stage in step.call.stages() {
            let mut disk = step.before.clone();
            let _ = disk.perform(&step.call, stage);
            check(&disk);
        }
        let mut disk = step.before.clone();
        let _ = disk.perform(&step.call, Stage::Visible);
        disk.after_power_loss(step.call.path(), &mut |image| check(&image.disk));
    }
    println!("salvage: {states} states after a crash");
    assert!(states > 50, "only {states} states");
}

#[test]
fn retention_purges_no_session_in_quarantine() {
    let disk = SimDisk::new(with_damage());
    let mut store = open(&disk, 2);
    operate(&mut store, "salvage_session", &json!({"session": "s", "quarantine": true}), &[]).unwrap();
    let mut later = disk.disk();
    later.advance(1_000_000_000_000);
    disk.set(later);
    let plan = operate(&mut store, "apply_retention", &json!({"policy": {"grace_ms": 0}}), &[]).unwrap();
    assert_eq!((&plan["purge"], &plan["exempt"][0]["reason"]), (&json!([]), &json!("pinned")), "{plan}");
    assert!(store.get("s").unwrap().facts.trashed.is_some());
    store.restore("s").unwrap();
}

/// Makes all calls with a fault in one of them. What fails is made again: by the same instance where the cause has gone,
/// by a new one where the fault stays or a sync has failed.
fn with_fault(fault: Fault) -> (Value, Value, bool) {
    let disk = SimDisk::new(Disk::default());
    let mut host = SimHost::new(&disk, 1);
    host.set_fault(Some(fault));
    let (mut processes, mut before, mut path) = (1, Value::Null, String::new());
    let mut store = Store::open(host, OpenOptions::default()).unwrap_or_else(|error| {
        assert_ne!(error.kind, ErrorKind::Internal, "{error}");
        open(&disk, 2)
    });
    for place in 0..=CALLS {
        if place == CALLS {
            before = observe(&mut open(&disk, 200));
        }
        let mut failed = false;
        while let Err(error) = try_call(&mut store, place) {
            assert_ne!(error.kind, ErrorKind::Internal, "call {place}: {error}");
            assert!(!failed, "call {place} fails although the cause has gone: {error}");
            store.host_mut().failed_path().clone_into(&mut path);
            if fault.later != Later::Fine || error.kind == ErrorKind::Closed {
                processes += 1;
                store = open(&disk, 1 + processes);
                continue;
            }
            failed = true;
        }
        store.host_mut().failed_path().clone_into(&mut path);
    }
    let mut last = open(&disk, 201);
    // The catalogue never stops a write, so an error that it meets is passed over: the doctor repairs it.
    let doctored = path.starts_with("catalogue");
    if doctored {
        last.doctor(true).unwrap();
    }
    (before, observe_purged(&mut last), doctored)
}

#[test]
fn an_error_of_the_disk_in_an_operation_is_told_and_harms_nothing() {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    for place in 0..CALLS {
        assert!(call(&mut store, place));
    }
    let before = observe(&mut open(&disk, 200));
    assert!(call(&mut store, CALLS));
    let after = observe_purged(&mut open(&disk, 201));
    let (calls, writes) = (store.host_mut().counts().calls, store.host_mut().write_calls().to_vec());
    let (mut runs, mut doctored) = (0, 0);
    for at in 0..calls {
        // That a name is taken is no failure: a caller takes the word for it.
        let faults = faults(at, writes.contains(&at)).into_iter();
        for fault in faults.filter(|fault| fault.kind != FsErrorKind::Exists) {
            let found = with_fault(fault);
            runs += 1;
            doctored += u64::from(found.2);
            if !found.2 {
                assert_eq!(found.0, before, "{fault:?}");
            }
            assert_eq!(found.1, after, "{fault:?}");
        }
    }
    println!(
        "operations: {runs} runs with an error in one of {calls} calls, {doctored} of them in the catalogue"
    );
    assert!(runs > 2000, "only {runs} runs");
}

#[test]
fn a_save_that_was_cut_off_leaves_what_was_or_what_is_wanted() {
    let messages = |texts: &[&str]| -> Value {
        texts.iter().map(|text| json!({"role": "user", "parts": [{"type": "text", "text": text}]})).collect()
    };
    let read = |disk: &Disk| -> Value {
        let mut store = open(&SimDisk::new(disk.clone()), 9);
        let page = store.read("s", &sessile_core::Select::Last(10)).unwrap();
        let stored: Value = serde_json::from_str(&page.messages).unwrap();
        stored.as_array().unwrap().iter().map(|stored| stored["message"].clone()).collect()
    };
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    store.create(&sessile_core::NewSession { id: Some("s".into()), ..Default::default() }).unwrap();
    let (old, wanted) = (messages(&["1", "2", "3"]), messages(&["1", "other", "more"]));
    store.append("s", &old.to_string(), &sessile_core::WriteOptions::default()).unwrap();
    disk.record();
    let request = json!({"session": "s", "messages": wanted, "expect_head": 3});
    assert_eq!(operate(&mut store, "save_session", &request, &[]).unwrap()["hidden"], 2);
    assert_eq!(read(&disk.disk()), wanted);
    let mut found = [0, 0];
    for step in disk.steps() {
        let mut check = |image: &Disk| {
            let there = read(image);
            assert!(there == old || there == wanted, "{there}");
            found[usize::from(there == wanted)] += 1;
        };
        for stage in step.call.stages() {
            let mut disk = step.before.clone();
            let _ = disk.perform(&step.call, stage);
            check(&disk);
        }
        let mut disk = step.before.clone();
        let _ = disk.perform(&step.call, Stage::Visible);
        disk.after_power_loss(step.call.path(), &mut |image| check(&image.disk));
    }
    assert!(found[0] > 100 && found[1] > 1, "{found:?}");
    // What was hidden is another branch.
    let tips: Vec<u64> = store.branches("s").unwrap().iter().map(|branch| branch.tip).collect();
    assert_eq!(tips, [5, 3]);
}
