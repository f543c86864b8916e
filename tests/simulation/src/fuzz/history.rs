//! Histories of two processes on one store, drawn from the bytes: every answer and every state is the model's.

use sessile_core::{OpenOptions, Store};

use crate::generate::Generator;
use crate::model::{Model, compare, run};
use crate::sim::{Disk, Random, SimDisk, SimHost};

/// The most operations of a history.
const STEPS_MAX: usize = 60;

/// Each operation takes some bytes; behind the last byte the history ends.
pub fn history(data: &[u8]) {
    let disk = SimDisk::new(Disk::default());
    let open = |process| Store::open(SimHost::new(&disk, process), OpenOptions::default()).expect("it opens");
    let mut stores = [open(1), open(2)];
    let mut generator = Generator::fed(Random::fed(data));
    let mut model = Model::default();
    for step in 0..STEPS_MAX as u64 {
        if generator.is_exhausted() {
            break;
        }
        let place = usize::from(generator.below(2) == 1);
        let op = generator.draw(&model, 4);
        let ours = model.apply(&op);
        let theirs = run(&mut stores[place], &op).map(|(answer, _)| answer).map_err(|error| error.kind);
        assert_eq!(theirs, ours, "step {step}: {op:?}");
        match generator.below(8) {
            0 => stores[place] = open(10 + step),
            1 => check(&mut stores[1 - place], &model),
            _ => {}
        }
    }
    let mut reader = Store::open(SimHost::new(&disk, 3), OpenOptions { read_only: true }).expect("it opens");
    let written = disk.written();
    check(&mut reader, &model);
    assert_eq!(disk.written(), written, "reading wrote");
}

fn check(store: &mut Store<SimHost>, model: &Model) {
    if let Err(difference) = compare(store, model) {
        panic!("{difference}");
    }
}
