//! Writes the seeds of the fuzz targets: `seeds <directory>` gives `<directory>/<target>/<number>`.

#![allow(clippy::print_stderr, reason = "a program for people")]

use std::path::Path;
use std::process::ExitCode;

use sessile_simulation::fuzz::{TARGETS, seeds};

fn main() -> ExitCode {
    let Some(directory) = std::env::args().nth(1) else {
        eprintln!("usage: seeds <directory>");
        return ExitCode::FAILURE;
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {directory}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    for name in TARGETS.map(|(name, _)| name).into_iter().chain(["component"]) {
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory)?;
        for (number, seed) in seeds::of(name).iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
