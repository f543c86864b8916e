//! Power cuts on real file systems: a loop-mounted ext4 or XFS is shut down under several writers, so that everything
//! that is in memory alone is lost, mounted again, and compared with what the writers were acknowledged.
//!
//! All writers are stopped before the cut, and are seen to be: without that a sync that is under way can return success
//! after the shutdown, which no real power cut does.
//!
//! A harness that cannot lose anything proves nothing: [`control`] has writers whose syncs do nothing, and fails if the
//! comparison finds nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::writers::{Told, Writer, compare, hold};
use super::{count, has_program, must, place, scripts, skipped, without_strace};
use crate::bound::{Bound, Tally};
use crate::hosts::Host;
use crate::sim::Random;

/// The size of the file system's image, which is sparse.
const IMAGE_BYTES: u64 = 400 * 1024 * 1024;
/// So many power cuts happen to one store, before another is begun.
const CUTS_PER_STORE: u64 = 3;
/// How long writers write before the cut, at most, in ms.
const WRITING_MS: u64 = 120;
/// What asks the file system to forget everything that it has not yet written: the request, its flag "flush no log".
const SHUT_DOWN: &str = "import fcntl, os, struct, sys; \
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
/// Where distributions put what makes every sync do nothing.
const EATMYDATA: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/libeatmydata.so",
    "/usr/lib/aarch64-linux-gnu/libeatmydata.so",
    "/usr/lib64/libeatmydata.so",
    "/usr/lib/libeatmydata.so",
];

/// A file system that knows the shutdown request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn format(self, image: &Path) -> Result<(), String> {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        command.args(if self == Self::Ext4 { ["-q", "-F"] } else { ["-q", "-f"] });
        must(command.arg(image))
    }
}

/// Whose syncs do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The library's: `libeatmydata` stands between the program and the system.
    Library,
    /// The disk's: the calls `fsync` and `fdatasync` return success and are not made.
    Disk,
}

/// Whether this process is the superuser's.
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Cuts the power once for each seed, with these writers at work.
///
/// Errors: what was acknowledged and is not there, or is there otherwise; and the seed, which draws the same cuts, though
/// not the same timing.
pub fn run(bound: &mut Bound, file_system: FileSystem, writers: &[Host]) -> Result<Tally, String> {
    let mut disk = match Disk::make(file_system, "power")? {
        Ok(disk) => disk,
        Err(reason) => return Ok(skipped(&reason)),
    };
    let mut tally = Tally::new();
    let mut told = Vec::new();
    while let Some(seed) = bound.next_seed() {
        let cuts = tally.get("power cuts").copied().unwrap_or_default();
        if cuts % CUTS_PER_STORE == 0 {
            told.clear();
            disk.clear()?;
        }
        let faults = cycle(&disk, seed, writers, &[], &mut told)?;
        if !faults.is_empty() {
            let shown: Vec<&str> = faults.iter().take(10).map(String::as_str).collect();
            return Err(format!(
                "cut {seed} on {}: {} faults: {}\nagain: SESSILE_SEED={seed} cargo test --test real a_power_cut",
                file_system.name(),
                faults.len(),
                shown.join("\n")
            ));
        }
        count(&mut tally, "power cuts", 1);
        let last = told.iter().rev().take(writers.len());
        count(&mut tally, "acknowledged appends", last.map(|told| told.acknowledged.len() as u64).sum());
    }
    Ok(tally)
}

/// Cuts the power under writers whose syncs do nothing, and asserts that the comparison finds it.
///
/// Errors: after `cuts` of them nothing was found to be lost.
pub fn control(file_system: FileSystem, lie: Lie, cuts: u64) -> Result<Tally, String> {
    let missing = match lie {
        Lie::Library if library().is_none() => {
            Some("libeatmydata is missing (apt-get install eatmydata)".to_owned())
        }
        Lie::Library => None,
        Lie::Disk => without_strace(),
    };
    if let Some(reason) = missing {
        return Ok(skipped(&reason));
    }
    let mut disk = match Disk::make(file_system, &format!("control-{lie:?}").to_lowercase())? {
        Ok(disk) => disk,
        Err(reason) => return Ok(skipped(&reason)),
    };
    let preload = format!("LD_PRELOAD={}", library().unwrap_or_default());
    let wrap: &[&str] = match lie {
        Lie::Library => &["env", &preload],
        Lie::Disk => &[
            "strace",
            "-D",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            "inject=fsync,fdatasync:retval=0",
        ],
    };
    for seed in 0..cuts {
        disk.clear()?;
        let mut told = Vec::new();
        // What honest writers have left is there: so it is the lie that loses.
        let before = cycle(&disk, seed, &[Host::Rust], &[], &mut told)?;
        if !before.is_empty() {
            return Err(format!("lost before any lie: {before:?}"));
        }
        let faults = cycle(&disk, cuts + seed, &[Host::Rust; 2], wrap, &mut told)?;
        if !faults.is_empty() {
            let mut tally = Tally::new();
            count(&mut tally, "losses found", faults.len() as u64);
            count(&mut tally, "power cuts", seed + 1);
            return Ok(tally);
        }
    }
    Err(format!(
        "{lie:?} on {}: nothing was lost in {cuts} power cuts: the harness does not see losses",
        file_system.name()
    ))
}

fn library() -> Option<&'static str> {
    EATMYDATA.into_iter().find(|library| Path::new(library).exists())
}

/// Lets writers write for a moment, cuts the power, and compares.
fn cycle(
    disk: &Disk,
    seed: u64,
    writers: &[Host],
    wrap: &[&str],
    told: &mut Vec<Told>,
) -> Result<Vec<String>, String> {
    let mut random = Random::new(seed);
    let store = disk.mount.join("store");
    let mut running = Vec::new();
    for (number, host) in writers.iter().enumerate() {
        running.push(Writer::start(*host, &store, &disk.place, &format!("w{number}-{seed}"), wrap)?);
    }
    for writer in &mut running {
        writer.wait_for("its first acknowledgement", |told| !told.acknowledged.is_empty())?;
    }
    std::thread::sleep(Duration::from_millis(random.below(WRITING_MS)));
    let stopped: Result<(), String> = running.iter().try_for_each(|writer| stop(writer.id()));
    let cut = stopped.and_then(|()| disk.shut_down());
    told.extend(running.into_iter().map(Writer::kill));
    cut?;
    disk.mount_again()?;
    if !store.exists() {
        return Ok(vec!["the store is gone".into()]);
    }
    let held = match hold(&store) {
        Ok(held) => held,
        Err(what) => return Ok(vec![what]),
    };
    let mut faults = compare(told, &held);
    // What was not acknowledged may be torn in any way.
    let findings = scripts::doctor(&store, &["damage"])?;
    faults.extend(findings.iter().map(|finding| format!("the doctor finds {finding}")));
    Ok(faults)
}

/// Stops a process, and waits until it is seen to be stopped: nothing it does can end well after the cut.
fn stop(id: u32) -> Result<(), String> {
    let status = format!("/proc/{id}/status");
    must(Command::new("sh").args(["-c", &format!("kill -STOP {id}")]))?;
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(&status).map_err(|error| format!("writer {id} has ended: {error}"))?;
        let state = text.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default().trim();
        // A traced process stops for its tracer.
        if state.starts_with('T') || state.starts_with('t') {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("writer {id} does not stop: {state}"));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A file system in a file.
struct Disk {
    place: PathBuf,
    mount: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Makes and mounts one, or says why this machine cannot.
    ///
    /// Errors: those of files.
    fn make(file_system: FileSystem, name: &str) -> Result<Result<Self, String>, String> {
        if !cfg!(target_os = "linux") || !is_root() {
            return Ok(Err("power cuts need loop mounts, and those need root on Linux".into()));
        }
        let maker = format!("mkfs.{}", file_system.name());
        if !has_program(&maker) {
            let package = if file_system == FileSystem::Ext4 { "e2fsprogs" } else { "xfsprogs" };
            return Ok(Err(format!("{maker} is missing: install it (apt-get install {package})")));
        }
        if !has_program("python3") {
            return Ok(Err("python3 is missing, which asks for the shutdown".into()));
        }
        let place = place_for(file_system, name)?;
        let disk = Self { mount: place.join("mount"), image: place.join("image"), place };
        fs::create_dir_all(&disk.mount).map_err(|error| error.to_string())?;
        let image = fs::File::create(&disk.image).map_err(|error| error.to_string())?;
        image.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        file_system.format(&disk.image)?;
        Ok(match disk.mount_once() {
            Ok(()) => Ok(disk),
            Err(reason) => Err(format!("a loop mount of {} fails here: {reason}", file_system.name())),
        })
    }

    fn mount_once(&self) -> Result<(), String> {
        must(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))?;
        must(Command::new("sync").arg("-f").arg(&self.mount))
    }

    fn shut_down(&self) -> Result<(), String> {
        must(Command::new("python3").args(["-c", SHUT_DOWN]).arg(&self.mount))
    }

    /// Unmounts what is left and mounts it: the file system recovers from its journal.
    fn mount_again(&self) -> Result<(), String> {
        must(Command::new("umount").arg(&self.mount))?;
        self.mount_once()
    }

    /// Removes the store and what writers have written down.
    fn clear(&mut self) -> Result<(), String> {
        fs::remove_dir_all(self.mount.join("store")).ok();
        for file in fs::read_dir(&self.place).map_err(|error| error.to_string())?.flatten() {
            if file.path().extension().is_some_and(|extension| extension == "jsonl" || extension == "err") {
                fs::remove_file(file.path()).ok();
            }
        }
        must(Command::new("sync").arg("-f").arg(&self.mount))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let lazily = Command::new("umount").arg("--lazy").arg(&self.mount).stderr(Stdio::null()).status();
        drop(lazily);
        fs::remove_file(&self.image).ok();
    }
}

/// The place of a disk; what an earlier run that was killed has left mounted there is unmounted.
fn place_for(file_system: FileSystem, name: &str) -> Result<PathBuf, String> {
    let name = format!("{name}-{}", file_system.name());
    let mount = crate::hosts::repository().join("target/real").join(&name).join("mount");
    drop(Command::new("umount").arg("--lazy").arg(mount).stderr(Stdio::null()).status());
    place(&name)
}
