#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sessile_simulation::fuzz::fold(data));
