//! Real-shaped log lines that hold nothing sensitive: templates written by hand (`screen/corpus/benign/`), filled by
//! chance, and each also as it looks within JSON, in base64 and in a URL.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::filler::fill;
use super::random::Random;
use super::sensitive::percent;
use crate::tools::workspace_root;

/// One line; a stack trace has several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The file of templates that it comes from.
    pub source: String,
    /// What stands in the log.
    pub text: String,
}

/// So often each template is filled: nine times as it is, the rest encoded.
const PLAIN: usize = 9;

/// The benign corpus of a seed: at least 5,000 lines, no two the same.
///
/// # Panics
/// When the templates cannot be read.
#[must_use]
pub fn benign(seed: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for (source, template) in templates() {
        let mut random = Random::new(seed, &template);
        let mut texts: Vec<String> = (0..PLAIN).map(|_| fill(&template, &mut random)).collect();
        let inner = fill(&template, &mut random);
        let time = fill("{iso}", &mut random);
        texts.push(serde_json::json!({"ts": time, "level": "info", "msg": inner}).to_string());
        texts.push(format!(
            "payload={}",
            STANDARD.encode(fill(&template, &mut random))
        ));
        texts.push(format!(
            "GET /log?line={} HTTP/1.1",
            percent(&fill(&template, &mut random))
        ));
        for text in texts {
            if seen.insert(text.clone()) {
                let source = source.clone();
                lines.push(Line { source, text });
            }
        }
    }
    lines
}

fn templates() -> Vec<(String, String)> {
    let folder = workspace_root().join("screen/corpus/benign");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let source = file.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(file).unwrap();
            text.lines()
                .map(|line| (source.clone(), line.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}
