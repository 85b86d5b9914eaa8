//! Microsoft Presidio, asked about lines through `screen/corpus/presidio.py`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools::workspace_root;

/// One thing that it found.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its name for the kind of thing.
    pub kind: String,
    /// Where, in bytes; the lines are ASCII, so they are characters, too.
    pub range: Range<usize>,
    /// How sure it is, from 0 to 1.
    pub score: f64,
}

/// What a Python with `presidio-analyzer` finds in each text.
///
/// # Panics
/// When it does not answer, and for a text that is not ASCII.
#[must_use]
pub fn analyze(python: &Path, texts: &[&str]) -> Vec<Vec<Entity>> {
    assert!(texts.iter().all(|text| text.is_ascii()));
    let mut child = Command::new(python)
        .arg(workspace_root().join("screen/corpus/presidio.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<String> = texts
        .iter()
        .map(|text| serde_json::Value::from(*text).to_string())
        .collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(stdin, "{line}").unwrap();
        }
    });
    let answers: Vec<Vec<Entity>> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| {
            let found: Vec<(String, usize, usize, f64)> =
                serde_json::from_str(&line.unwrap()).unwrap();
            found
                .into_iter()
                .map(|(kind, start, end, score)| Entity {
                    kind,
                    range: start..end,
                    score,
                })
                .collect()
        })
        .collect();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.len(), texts.len());
    answers
}
