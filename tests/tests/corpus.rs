//! The committed fuzz corpora, in every ordinary test run: what was hostile once stays harmless,
//! also where there is no libFuzzer. The checks are the targets' own.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tests::tools::workspace_root;

#[allow(unreachable_pub, reason = "to the targets it is a library")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// A corpus stays small: it is for regressions, the campaign's own is in target/.
const MOST_FILES: usize = 100;
const LARGEST_BYTES: u64 = 64 << 10;

fn files(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs `holds` over the corpus of `target`, and fails with the names of the files over which it
/// panics.
fn replay(target: &str, holds: fn(&[u8])) {
    let folder = workspace_root().join("fuzz/corpus").join(target);
    let corpus = files(&folder);
    assert!(
        (24..=MOST_FILES).contains(&corpus.len()),
        "{} inputs for {target}",
        corpus.len()
    );
    let mut failed = Vec::new();
    for path in &corpus {
        let input = fs::read(path).unwrap();
        assert!(
            input.len() as u64 <= LARGEST_BYTES,
            "{} is large; minimise it",
            path.display()
        );
        if catch_unwind(AssertUnwindSafe(|| holds(&input))).is_err() {
            failed.push(path);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_corpus_of_the_drop_reader_holds() {
    replay("drop_reader", fuzz::drop_reader::holds);
    for kind in ["valid", "malformed"] {
        for path in files(&workspace_root().join("tests/fixtures/drops").join(kind)) {
            fuzz::drop_reader::holds(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn the_corpus_of_the_bundle_verifier_holds() {
    replay("bundle_verifier", fuzz::bundle_verifier::holds);
}

#[test]
fn the_corpus_of_orders_holds() {
    replay("orders", fuzz::orders::holds);
}

#[test]
fn the_corpus_of_notices_holds() {
    replay("notices", fuzz::notices::holds);
}

#[test]
fn the_corpus_of_receipts_holds() {
    replay("receipts", fuzz::receipts::holds);
}

#[test]
fn the_corpus_of_requests_holds() {
    replay("requests", fuzz::requests::holds);
}

#[test]
fn the_corpus_of_sightings_holds() {
    replay("sightings", fuzz::sightings::holds);
}

#[test]
fn the_corpus_of_standings_holds() {
    replay("standings", fuzz::standings::holds);
}

#[test]
fn the_corpus_of_locations_holds() {
    replay("locations", fuzz::locations::holds);
}

#[test]
fn the_corpus_of_configurations_holds() {
    replay("config", fuzz::config::holds);
}

#[test]
fn the_corpus_of_key_files_holds() {
    replay("key_file", fuzz::key_file::holds);
}

#[test]
fn every_corpus_is_replayed_here_and_every_target_has_one() {
    let names = |folder: &str| -> Vec<String> {
        files(&workspace_root().join("fuzz").join(folder))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let targets = names("fuzz_targets");
    assert_eq!(names("corpus"), targets);
    let here = include_str!("corpus.rs");
    for target in targets {
        assert!(here.contains(&format!("replay(\"{target}\"")), "{target}");
    }
}

#[test]
fn the_targets_are_built_with_the_dependencies_that_are_shipped() {
    let versions = |lock: &str| -> BTreeMap<String, Vec<String>> {
        let text = fs::read_to_string(workspace_root().join(lock)).unwrap();
        let mut of = BTreeMap::<String, Vec<String>>::new();
        for package in text.split("[[package]]").skip(1) {
            let field = |name: &str| {
                let line = package.lines().find(|l| l.starts_with(name)).unwrap();
                line.split('"').nth(1).unwrap().to_owned()
            };
            of.entry(field("name")).or_default().push(field("version"));
        }
        of
    };
    let shipped = versions("Cargo.lock");
    for (name, fuzzed) in versions("fuzz/Cargo.lock") {
        let Some(shipped) = shipped.get(&name) else {
            continue;
        };
        for version in fuzzed {
            assert!(
                shipped.contains(&version),
                "fuzz/Cargo.lock has {name} {version}, Cargo.lock has {shipped:?}: copy Cargo.lock \
                 to fuzz/ and run cargo metadata there"
            );
        }
    }
}
