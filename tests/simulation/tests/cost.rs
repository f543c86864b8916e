//! What operations cost, counted in calls and bytes of the simulated disk: costs must not grow with history.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise and show figures"
)]

use sessile_core::{
    Durability, ForkOptions, ListQuery, MessageChange, NewSession, OpenOptions, Select, Sessions, Store,
    WriteOptions,
};
use sessile_simulation::sim::{SimDisk, SimHost};

fn open(disk: &SimDisk, process: u64) -> Store<SimHost> {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

/// A message of 2 KiB as JSON.
fn message() -> String {
    let frame = r#"{"role":"user","parts":[{"type":"text","text":""}]}"#.len();
    format!(r#"{{"role":"user","parts":[{{"type":"text","text":"{}"}}]}}"#, "x".repeat(2048 - frame))
}

fn options(durability: Durability) -> WriteOptions {
    WriteOptions { durability, ..WriteOptions::default() }
}

/// A session `s` of so many messages.
fn filled(disk: &SimDisk, count: u64) {
    let mut store = open(disk, 1);
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    let message = format!("[{}]", message());
    for _ in 0..count {
        store.append("s", &message, &options(Durability::Buffered)).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_thousand_messages_write_at_most_a_quarter_more_than_they_are() {
    let disk = SimDisk::default();
    let mut store = open(&disk, 1);
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    store.host_mut().reset_counts();
    let message = message();
    for _ in 0..1000 {
        store.append("s", &format!("[{message}]"), &options(Durability::Synced)).unwrap();
    }
    store.close().unwrap();
    let counts = store.host_mut().counts();
    let ratio = counts.bytes_written as f64 / (1000 * message.len()) as f64;
    println!("cost: {ratio:.3} bytes written per byte of message, {} calls for 1,000 appends", counts.calls);
    assert!(ratio <= 1.25, "{ratio}");
    // One call per append; the catalogue and checkpoints need none of their own beyond a few.
    assert!(counts.calls <= 1010, "{} calls", counts.calls);
}

#[test]
fn streamed_text_writes_little_more_than_itself() {
    let disk = SimDisk::default();
    let mut store = open(&disk, 1);
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    store
        .append(
            "s",
            r#"[{"role":"assistant","parts":[{"type":"text","text":""}]}]"#,
            &options(Durability::Synced),
        )
        .unwrap();
    store.host_mut().reset_counts();
    for _ in 0..200 {
        let change = MessageChange::AddText {
            part: 0,
            text: "a word or two ".repeat(8).chars().take(102).collect(),
            at: None,
        };
        store.update_message("s", &1.into(), &change, &options(Durability::Buffered)).unwrap();
    }
    let counts = store.host_mut().counts();
    let ratio = counts.bytes_written as f64 / (200.0 * 102.0);
    println!("cost: {ratio:.3} bytes written per byte of streamed text, {} bytes read", counts.bytes_read);
    assert!(ratio <= 1.6, "{ratio}");
}

#[test]
fn a_fork_of_ten_thousand_messages_writes_less_than_four_kib() {
    let disk = SimDisk::default();
    filled(&disk, 10_000);
    for at in [None, Some(5000.into())] {
        let mut store = open(&disk, 2 + u64::from(at.is_some()));
        store.host_mut().reset_counts();
        store.fork("s", &ForkOptions { at, ..ForkOptions::default() }).unwrap();
        let counts = store.host_mut().counts();
        println!(
            "cost: a fork at 10,000 messages writes {} bytes and reads {}",
            counts.bytes_written, counts.bytes_read
        );
        assert!(counts.bytes_written < 4096, "{} bytes", counts.bytes_written);
    }
}

#[test]
fn the_last_fifty_of_ten_thousand_messages_are_read_from_the_end() {
    let read = |count: u64| {
        let disk = SimDisk::default();
        filled(&disk, count);
        let mut store = Store::open(SimHost::new(&disk, 2), OpenOptions { read_only: true }).unwrap();
        store.host_mut().reset_counts();
        let page = store.read("s", &Select::Last(50)).unwrap();
        assert!(page.messages.len() > 50 * 2048);
        store.host_mut().counts().bytes_read
    };
    let (short, long) = (read(1000), read(10_000));
    println!("cost: the last 50 messages of 1,000 read {short} bytes, of 10,000 {long}");
    assert!(long < 1 << 20, "{long} bytes");
    assert!(long < short + 128 * 1024, "{short} and {long} bytes");
}

#[test]
fn an_append_costs_the_same_whatever_lies_before() {
    let cost = |count: u64| {
        let disk = SimDisk::default();
        filled(&disk, count);
        let mut store = open(&disk, 2);
        store.host_mut().reset_counts();
        store.append("s", &format!("[{}]", message()), &options(Durability::Synced)).unwrap();
        let counts = store.host_mut().counts();
        (counts.bytes_read, counts.bytes_written)
    };
    let (few, many) = (cost(200), cost(10_000));
    println!(
        "cost: a cold append behind 200 messages reads and writes {few:?} bytes, behind 10,000 {many:?}"
    );
    assert!(many.0 < few.0 + 128 * 1024 && many.1 < few.1 + 4096, "{few:?} {many:?}");
}

#[test]
fn reverts_cost_the_same_whatever_they_hide() {
    let disk = SimDisk::default();
    filled(&disk, 10_000);
    let mut store = open(&disk, 2);
    store.get("s").unwrap();
    store.host_mut().reset_counts();
    store.revert("s", &10.into(), false, &WriteOptions::default()).unwrap();
    store.unrevert("s", &WriteOptions::default()).unwrap();
    assert!(store.host_mut().counts().bytes_written < 2048);
}

#[test]
fn a_list_reads_no_session() {
    let disk = SimDisk::default();
    let mut store = open(&disk, 1);
    for number in 0..1000 {
        store.create(&NewSession { id: Some(format!("session {number}")), ..NewSession::default() }).unwrap();
    }
    store.close().unwrap();
    let mut store = Store::open(SimHost::new(&disk, 2), OpenOptions { read_only: true }).unwrap();
    let catalogue: usize = {
        let disk = disk.disk();
        disk.paths()
            .filter(|path| path.starts_with("catalogue/"))
            .map(|path| disk.bytes(path).unwrap().len())
            .sum()
    };
    store.host_mut().reset_counts();
    let page = store.list(&ListQuery { limit: 20, ..ListQuery::default() }).unwrap();
    assert_eq!(page.sessions.len(), 20);
    let counts = store.host_mut().counts();
    println!(
        "cost: the newest 20 of 1,000 sessions read {} bytes in {} calls",
        counts.bytes_read, counts.calls
    );
    assert!(counts.bytes_read <= catalogue as u64 + 64 * 1024 && counts.calls < 20, "{counts:?}");
}

#[test]
fn the_ten_thousandth_append_of_a_process_is_one_call_like_the_tenth() {
    let disk = SimDisk::default();
    let mut store = open(&disk, 1);
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    let message = format!("[{}]", message());
    let mut costs = Vec::new();
    for _ in 0..10_000 {
        store.host_mut().reset_counts();
        store.append("s", &message, &options(Durability::Synced)).unwrap();
        costs.push(store.host_mut().counts());
    }
    let (tenth, last) = (costs[9].bytes_written, &costs[9000..]);
    // A checkpoint is due with some of them; it is small.
    let most = last.iter().map(|counts| counts.bytes_written).max().unwrap();
    let usual = last.iter().filter(|counts| counts.bytes_written <= tenth + 16).count();
    println!(
        "cost: the 10th append writes {tenth} bytes, {usual} of the last 1,000 the same, the others at most {most}"
    );
    assert!(most <= tenth + 2048 && usual >= 900);
    assert!(last.iter().all(|counts| counts.calls == 1));
}

/// Looking for an operation id for the first time takes the whole log; afterwards the process knows them all.
#[test]
fn named_appends_read_nothing_but_the_first_one_of_a_process() {
    let disk = SimDisk::default();
    filled(&disk, 10_000);
    let mut store = open(&disk, 2);
    let message = format!("[{}]", message());
    let mut read = |op: &str| {
        store.host_mut().reset_counts();
        let options = WriteOptions { op: Some(op.into()), ..WriteOptions::default() };
        store.append("s", &message, &options).unwrap();
        store.host_mut().counts().bytes_read
    };
    let (first, second) = (read("x"), read("y"));
    println!(
        "cost: the first named append behind 10,000 messages reads {first} bytes, the next one {second}"
    );
    assert!(first < 2 * 10_000 * 2048 && second < 4096, "{first} and {second} bytes");
}
