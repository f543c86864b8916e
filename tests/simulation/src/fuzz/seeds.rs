//! What fuzzing begins with: the corpus of the repository in the form of each target. The committed corpora of
//! `fuzz/corpus` have grown out of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sessile_core::Sessions;
use sessile_core::operations::NAMES;

use super::directory::pack;
use super::open;
use super::records::unseal;
use crate::generate::Generator;
use crate::model::{Model, run};
use crate::sim::{Disk, Random, SimDisk};

/// The longest input of a target in bytes; seeds end there too.
pub const INPUT_BYTES_MAX: usize = 4096;

/// All seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = match target {
        "log" => {
            files("stores/v1/files/sessions").iter().map(|bytes| without_first_line(&unseal(bytes))).collect()
        }
        "catalogue" => files("stores/v1/files/catalogue").iter().map(|bytes| unseal(bytes)).collect(),
        "store" => small_stores(),
        "json" => values(),
        "ids" => ids(),
        "import" => transcripts(),
        "operate" => requests(),
        // These are choices and no text: any bytes will do.
        _ => choices(),
    };
    for seed in &mut seeds {
        seed.truncate(INPUT_BYTES_MAX);
    }
    seeds
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The contents of all files below a directory of the corpus, by name.
fn files(below: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(below)];
    while let Some(path) = waiting.pop() {
        if let Ok(entries) = fs::read_dir(&path) {
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
            waiting.sort();
        } else {
            found.push(fs::read(&path).unwrap());
        }
    }
    found
}

fn without_first_line(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes[end..].to_vec()
}

/// What short histories leave on their disks, and each log of the golden store.
fn small_stores() -> Vec<Vec<u8>> {
    let mut stores: Vec<Vec<u8>> = (0..60).map(|seed| pack(&small_store(seed))).collect();
    for directory in ["1", "2", "3", "g", "m", "n", "p", "v", "w", "0"] {
        let mut disk = Disk::default();
        for path in ["sessile.json".to_owned(), format!("sessions/{directory}")] {
            for file in named_files(&root().join("stores/v1/files"), &path) {
                disk.put(&file, fs::read(root().join("stores/v1/files").join(&file)).unwrap());
            }
        }
        stores.push(pack(&disk));
    }
    stores
}

/// The files at a path, or in the directory there.
fn named_files(root: &Path, path: &str) -> Vec<String> {
    match fs::read_dir(root.join(path)) {
        Ok(entries) => {
            entries.map(|entry| format!("{path}/{}", entry.unwrap().file_name().to_string_lossy())).collect()
        }
        Err(_) => vec![path.to_owned()],
    }
}

fn small_store(seed: u64) -> Disk {
    let disk = SimDisk::new(Disk::default());
    let mut store = open(&disk, 1, false).unwrap();
    let (mut generator, mut model) = (Generator::new(seed), Model::default());
    for _ in 0..4 + seed % 8 {
        let op = generator.draw(&model, 3);
        let _ = (model.apply(&op), run(&mut store, &op));
    }
    if seed.is_multiple_of(2) {
        store.close().unwrap();
    }
    disk.disk()
}

fn cases(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// JSON of all kinds: what parsers disagree about, and requests of the corpus.
fn values() -> Vec<Vec<u8>> {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut texts: Vec<String> = [
        r#"{"a":1,"\u0061":2}"#,
        r#""\ud800""#,
        r#""\ud83d\ude00""#,
        "-0.0e-00",
        "1e400",
        "01",
        "[1,]",
        "nul",
        "{\"__proto__\":{}}",
        " {\t\"a\" : [ 1 , true , null , \"x\\n\\u0000\" ]\r\n} ",
        "\"\u{2028}\u{1F600}\"",
        "[[],{}]",
        "\"\u{1}\"",
        "{\"a\":\"{\\\"t\\\": \\\"+\\\"\"}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend([124, 125, 126, 127, 128, 129].map(nested));
    texts.extend(
        requests()
            .iter()
            .map(|request| String::from_utf8_lossy(request).into_owned())
            .filter_map(|text| Some(text.lines().next()?.split_once(' ')?.1.to_owned())),
    );
    texts.into_iter().map(String::into_bytes).collect()
}

fn ids() -> Vec<Vec<u8>> {
    let long = "x".repeat(256);
    let all = [
        "01ARZ3NDEKTSV4RRFFQ69G5FAV\n01arz3ndektsv4rrffq69g5fav\n8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6\nF81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
        "../../x\n/etc/passwd\nC:\\x\n\\\\host\\x\n%2e%2e\na/b\\c:d\ncon\ncom1\nnul.txt\ncom\u{b9}\nx.\nx ",
        "\u{e9}\ne\u{301}\n\u{202e}x\n\u{200b}\n__proto__\nlast\n1\na\na/b",
        "1-a\n5:7\n0\n18446744073709551616\n\u{1}store/\n\u{85}",
        long.as_str(),
    ];
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The beginnings of transcripts, and lines out of their middles.
fn transcripts() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut of = |letter: &str, below: &str| {
        for bytes in files(below) {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let short: Vec<&[u8]> = lines.iter().copied().filter(|line| line.len() < 1500).collect();
            seeds.push([letter.as_bytes(), &bytes].concat());
            for some in short.chunks(6).take(20) {
                seeds.push([letter.as_bytes(), &some.concat()].concat());
            }
        }
    };
    of("c", "transcripts/claude-code");
    of("s", "transcripts/claude-code/daaain__claude-code-log");
    of("n", "transcripts/nanocoder");
    of("w", "transcripts/nomadarch");
    of("o", "transcripts/octocode");
    seeds
}

/// The operations that the cases of the corpus carry out, on a session that is there.
fn requests() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut names: Vec<PathBuf> =
        fs::read_dir(root().join("ops")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for file in names {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for case in cases(&format!("ops/{name}")) {
            let mut text = String::new();
            for step in case["steps"].as_array().into_iter().flatten() {
                let mut args = step["args"].clone();
                if args.get("session").is_some() {
                    args["session"] = "a".into();
                }
                match step["call"].as_str().unwrap_or_default() {
                    "wait" => text.push_str(&format!("@{}\n", args["ms"])),
                    call if NAMES.contains(&call) => text.push_str(&format!("{call} {args}\n")),
                    _ => {}
                }
            }
            if !text.is_empty() {
                seeds.push(text.into_bytes());
            }
        }
    }
    seeds
}

/// Some bytes.
fn choices() -> Vec<Vec<u8>> {
    let bytes = |seed: u64| {
        let mut random = Random::new(seed);
        (0..32 << (seed % 5)).map(|_| random.draw().to_le_bytes()[0]).collect()
    };
    (0..40).map(bytes).collect()
}
