//! The page of what session stores do and where they fail, with the cases of the corpus that show what becomes of it here.
//!
//! `tests/corpus/coverage.json` has the numbers; a case names those that it shows in its `about`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use sessile_tests::hosts::repository;

fn json(file: &str) -> Value {
    let text = fs::read_to_string(repository().join(file)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files of the corpus that hold cases.
fn files() -> Vec<String> {
    let names = fs::read_dir(repository().join("tests/corpus/ops")).unwrap();
    let mut files: Vec<String> =
        names.map(|entry| format!("ops/{}", entry.unwrap().file_name().to_string_lossy())).collect();
    files.push("damaged/cases.json".to_owned());
    files.sort();
    files
}

/// The numbers that a text names, such as `TS4.6` and `BUG3.7`.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', ';', '(', ')']).filter(|word| {
        let digits = word.strip_prefix("TS").or_else(|| word.strip_prefix("BUG"));
        digits.is_some_and(|digits| digits.starts_with(|first: char| first.is_ascii_digit()))
    })
}

/// The cases by the numbers that they name: file and name of each.
fn cases() -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in files() {
        for case in json(&format!("tests/corpus/{file}")).as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            for number in numbers(case["about"].as_str().unwrap_or_default()) {
                found.entry(number.to_owned()).or_default().push((file.clone(), name.to_owned()));
            }
        }
    }
    found
}

/// What shows a number, as a cell of the table.
fn shown(entry: &Value, cases: &[(String, String)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (file, name) in cases {
        let stem = file.trim_start_matches("ops/").trim_end_matches("/cases.json").trim_end_matches(".json");
        lines.push(format!("[{stem}](../tests/corpus/{file}): {name}"));
    }
    for test in entry["test"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!("[`{test}`](../{test})"));
    }
    lines.extend(entry["why"].as_str().map(str::to_owned));
    lines.join("<br>")
}

/// The page, and what is wrong with the table.
fn page() -> (String, Vec<String>) {
    let mut page = String::from(
        "# Coverage\n\nWhat five kinds of session stores do (TS) and where they were found to fail (BUG), each with the cases of the corpus and the tests that show what \
         becomes of it here. This page is made from `tests/corpus`: a case names its numbers, and `coverage.json` says what they mean.\n",
    );
    let mut cases = cases();
    let mut wrong = Vec::new();
    for group in json("tests/corpus/coverage.json").as_array().unwrap() {
        writeln!(
            page,
            "\n## {}\n\n| number | what | cases |\n| --- | --- | --- |",
            group["title"].as_str().unwrap()
        )
        .unwrap();
        for entry in group["numbers"].as_array().unwrap() {
            let number = entry["number"].as_str().unwrap();
            let shows = cases.remove(number).unwrap_or_default();
            let (has_test, has_why) = (entry["test"].is_array(), entry["why"].is_string());
            if shows.is_empty() && !has_test && !has_why {
                wrong.push(format!("{number}: no case names it, and no test or reason is given"));
            }
            if has_why && !shows.is_empty() {
                wrong.push(format!("{number}: cases name it, so there is no reason why none does"));
            }
            for test in entry["test"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !repository().join(test).exists() {
                    wrong.push(format!("{number}: there is no {test}"));
                }
            }
            let what = entry["what"].as_str().unwrap();
            writeln!(page, "| {number} | {what} | {} |", shown(entry, &shows)).unwrap();
        }
    }
    for (number, cases) in cases {
        wrong.push(format!(
            "{number}: `{}` names it, and coverage.json does not have it (or twice)",
            cases[0].1
        ));
    }
    (page, wrong)
}

#[test]
fn every_number_is_shown_and_the_page_says_where() {
    let (page, wrong) = page();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let file = repository().join("docs/coverage.md");
    if std::env::var_os("SESSILE_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page, "docs/coverage.md is not what the corpus says; `cargo xtask bless` makes it anew");
}
