#![no_main]
use sessile::{ComponentStore, OpenOptions};
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sessile_simulation::fuzz::differential(data, |host| ComponentStore::open(host, OpenOptions::default()));
});
