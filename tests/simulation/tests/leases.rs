//! Leases that end while their owner is still at work: whoever comes, and however the calls fall among each other, a session
//! has one run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

use serde_json::{Value, json};
use sessile_core::{Error, ErrorKind, NewSession, OpenOptions, Result, Sessions, Store};
use sessile_simulation::sim::{Disk, Random, SimDisk, SimHost, Turns};

type Sim = Store<SimHost>;

const LEASE_MS: u64 = 5_000;

fn open(disk: &SimDisk, process: u64) -> Sim {
    Store::open(SimHost::new(disk, process), OpenOptions::default()).unwrap()
}

fn operate(store: &mut Sim, name: &str, request: &Value) -> Result<Value> {
    let answer = store.operate(name, &request.to_string())?;
    Ok(serde_json::from_str(&answer).unwrap())
}

fn begin(store: &mut Sim, owner: &str) -> Result<Value> {
    operate(store, "begin_run", &json!({"session": "s", "owner": owner, "lease_ms": LEASE_MS}))
}

/// A session whose run has a lease that has ended, and the run's id.
fn with_an_ended_lease() -> (Disk, String) {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1);
    store.create(&NewSession { id: Some("s".into()), ..NewSession::default() }).unwrap();
    let run = begin(&mut store, "first").unwrap()["run"]["id"].as_str().unwrap().to_owned();
    store.close().unwrap();
    let mut disk = disk.disk();
    disk.advance(LEASE_MS + 1);
    (disk, run)
}

/// Orders of calls that are tried.
const ORDERS: u64 = 2_000;
/// More than both make.
const CALLS: usize = 60;

/// Lets two processes act at once in random orders of their calls, and shows what both were told and how the run stands
/// then.
fn race(
    base: &Disk,
    one: &(dyn Fn(&mut Sim) -> Result<Value> + Sync),
    other: &(dyn Fn(&mut Sim) -> Result<Value> + Sync),
    check: &dyn Fn(Result<Value>, Result<Value>, Value),
) {
    for seed in 0..ORDERS {
        let mut random = Random::new(seed);
        let order: Vec<u64> = (0..CALLS).map(|_| 1 + random.below(2)).collect();
        let disk = SimDisk::new(base.clone());
        let (mut first, mut second) = (open(&disk, 1), open(&disk, 2));
        // Both know the session as it was.
        first.get("s").unwrap();
        second.get("s").unwrap();
        let turns = Turns::new(&[1, 2], order);
        first.host_mut().take_turns(Some(turns.clone()));
        second.host_mut().take_turns(Some(turns.clone()));
        let (told, other_told) = std::thread::scope(|scope| {
            let acting = scope.spawn(|| {
                let told = other(&mut second);
                turns.finish(2);
                told
            });
            let told = one(&mut first);
            turns.finish(1);
            (told, acting.join().unwrap())
        });
        let now = operate(&mut open(&disk, 3), "get_run", &json!({"session": "s"})).unwrap();
        check(told, other_told, now);
    }
}

fn is_conflict(told: &Result<Value>) -> bool {
    matches!(told, Err(Error { kind: ErrorKind::Conflict, .. }))
}

#[test]
fn an_owner_that_renews_too_late_and_one_that_takes_over_are_never_both_told_that_they_run() {
    let (base, run) = with_an_ended_lease();
    let renew = |store: &mut Sim| {
        operate(store, "renew_run", &json!({"session": "s", "run": run, "lease_ms": LEASE_MS}))
    };
    let won = std::cell::Cell::new([0_u64, 0]);
    race(&base, &renew, &|store| begin(store, "second"), &|renewed, begun, now| {
        assert_eq!(now["is_running"], true, "{renewed:?} {begun:?}");
        let owner = &now["run"]["owner"];
        let mut wins = won.get();
        match (&renewed, &begun) {
            (Ok(_), refused) if is_conflict(refused) => assert_eq!(owner, "first"),
            (refused, Ok(_)) if is_conflict(refused) => assert_eq!(owner, "second"),
            _ => panic!("{renewed:?} and {begun:?}"),
        }
        wins[usize::from(begun.is_ok())] += 1;
        won.set(wins);
    });
    println!("leases: {ORDERS} orders, renewed {} times, taken over {} times", won.get()[0], won.get()[1]);
    assert!(won.get().iter().all(|wins| *wins > ORDERS / 10), "{won:?}");
}

#[test]
fn of_two_that_take_over_at_once_one_runs() {
    let (base, _) = with_an_ended_lease();
    race(&base, &|store| begin(store, "second"), &|store| begin(store, "third"), &|one, other, now| {
        let owner = match (&one, &other) {
            (Ok(_), refused) if is_conflict(refused) => "second",
            (refused, Ok(_)) if is_conflict(refused) => "third",
            _ => panic!("{one:?} and {other:?}"),
        };
        assert_eq!((&now["run"]["owner"], &now["is_running"]), (&json!(owner), &json!(true)));
    });
}

#[test]
fn an_owner_that_ends_too_late_ends_nobody_elses_run() {
    let (base, run) = with_an_ended_lease();
    let end = |store: &mut Sim| {
        let amounts = json!({"output": 3});
        operate(store, "end_run", &json!({"session": "s", "run": run, "status": "done", "amounts": amounts}))
    };
    race(&base, &end, &|store| begin(store, "second"), &|ended, begun, now| {
        begun.unwrap();
        assert!(ended.is_ok() || is_conflict(&ended), "{ended:?}");
        assert_eq!((&now["run"]["owner"], &now["is_running"]), (&json!("second"), &json!(true)));
    });
}
