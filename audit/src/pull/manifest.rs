//! What a pulled folder says of itself: what was asked for, what was drawn, and every file.
//!
//! Nothing in it is signed, so nothing is proven by it: `verify.sh` asks the question again of custody,
//! and draws again. It holds no time and no name of this machine, so that whoever pulls the same again
//! gets the same bytes.

use std::collections::BTreeMap;

use evidence::digest::Sha256;
use serde::Serialize;

use super::choice::{Wanted, Why};
use super::sample::Sample;
use crate::list::{Doubtful, Found, Row, Selection};

/// `manifest.json`.
#[derive(Serialize)]
pub(super) struct Manifest<'a> {
    pub(super) manifest_version: u32,
    pub(super) made_by: &'static str,
    /// `s3://bucket/prefix`, or `folder`.
    pub(super) source: &'a str,
    pub(super) query: &'a Selection,
    pub(super) sample: Option<Drawn<'a>>,
    /// Hosts that the question names and of which something was there.
    pub(super) hosts: Vec<String>,
    pub(super) bundles: Vec<Bundle<'a>>,
    /// What custody lists, and was not there to be pulled.
    pub(super) not_stored: Vec<&'a str>,
    /// What was there and is not evidence, or could not be checked.
    pub(super) doubtful: &'a [Doubtful],
    pub(super) files: Vec<ListedFile<'a>>,
}

#[derive(Serialize)]
pub(super) struct Drawn<'a> {
    /// How anybody draws the same.
    algorithm: &'static str,
    size: usize,
    seed: u64,
    /// So many bundles answer the question.
    population: usize,
    /// Of them, those that no custody bundle covers yet: on the word of this file.
    not_in_custody: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    bundle_id: &'a str,
    sha256: Sha256,
}

#[derive(Serialize)]
pub(super) struct Bundle<'a> {
    path: &'a str,
    sha256: Sha256,
    why: Why,
}

#[derive(Serialize)]
pub(super) struct ListedFile<'a> {
    pub(super) path: &'a str,
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256,
}

impl<'a> Drawn<'a> {
    pub(super) fn new(sample: Sample, rows: &'a [Row]) -> Self {
        let open = rows.iter().filter(|row| row.listed_by.is_none());
        Self {
            algorithm: "the first SIZE of the population in the order of SHA-256(\"SEED:SHA256-OF-THE-BUNDLE\")",
            size: sample.size,
            seed: sample.seed,
            population: rows.len(),
            not_in_custody: open
                .map(|row| Member {
                    bundle_id: &row.entry.bundle_id,
                    sha256: row.entry.sha256,
                })
                .collect(),
        }
    }
}

pub(super) fn bundles(wanted: &BTreeMap<String, Wanted>) -> Vec<Bundle<'_>> {
    let bundles = wanted.iter();
    bundles
        .map(|(path, wanted)| Bundle {
            path,
            sha256: wanted.sha256,
            why: wanted.why,
        })
        .collect()
}

pub(super) fn hosts(found: &Found) -> Vec<String> {
    let names = found.hosts.iter();
    names
        .map(|(client, host)| format!("{client}/{host}"))
        .collect()
}

/// As `sha256sum` writes and reads it, sorted by path.
pub(super) fn sums(files: &[(String, Sha256)]) -> Vec<u8> {
    let mut files: Vec<&(String, Sha256)> = files.iter().collect();
    files.sort();
    let lines = files
        .iter()
        .map(|(path, sha256)| format!("{sha256}  {path}\n"));
    lines.collect::<String>().into_bytes()
}
