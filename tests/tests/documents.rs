//! The documents are tested: a path that ARCHITECTURE.md names exists, a link leads
//! somewhere, a command that is shown parses and its flags are ones the program has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::cosign;
use tests::tools::{ours, workspace_root};

/// Folders of a running installation, which ARCHITECTURE.md names beside those of the tree.
const INSTALLED_FOLDERS: &[&str] = &[
    "drop",
    "outbox",
    "receipts",
    "delivery",
    "quarantine",
    "requests",
];

/// Our programs, whose flags are checked.
const PROGRAMS: &[&str] = &[
    "msp-evidence",
    "msp-evidence-agent",
    "msp-evidence-uploader",
];

/// What else an indented block of shell begins with.
const SHELL_WORDS: &[&str] = &["cargo", "cosign", "git", "python3", "sudo", "systemctl"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README.md, ARCHITECTURE.md, CHANGELOG.md and everything below docs/.
fn documents() -> Vec<PathBuf> {
    let root = workspace_root();
    let mut found: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("docs/ can be listed") {
            let path = entry.expect("docs/ can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What stands between single backticks, outside fenced blocks.
fn backticked(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Whether `word` claims to be a path of this tree: plain characters and a slash, relative,
/// and neither a database nor below a folder that exists only where the product is installed.
fn is_tree_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let first = word.split('/').next().unwrap_or_default();
    word.contains('/')
        && !word.starts_with('/')
        && !word.ends_with(".db")
        && word.chars().all(plain)
        && !INSTALLED_FOLDERS.contains(&first)
}

/// The targets of `[text](target)` that are neither addresses nor anchors.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

/// The blocks of shell in `text`, prompts taken off: fenced ones that say so, and indented
/// ones that begin with a program (other indented blocks are drawings and data).
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().peekable();
    let mut after_blank = true;
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim().strip_prefix("```") {
            let block: String = lines
                .by_ref()
                .take_while(|line| line.trim() != "```")
                .map(without_prompt)
                .collect();
            if ["sh", "bash", "console"].contains(&language) {
                blocks.push(block);
            }
        } else if after_blank && line.starts_with("    ") {
            let mut block = without_prompt(line);
            while let Some(next) = lines.next_if(|line| line.starts_with("    ")) {
                block.push_str(&without_prompt(next));
            }
            let first = block.split_whitespace().next().unwrap_or_default();
            if SHELL_WORDS.contains(&first) || PROGRAMS.contains(&first) || is_tree_path(first) {
                blocks.push(block);
            }
        }
        after_blank = line.trim().is_empty();
    }
    blocks
}

fn without_prompt(line: &str) -> String {
    let line = line.trim();
    format!("{}\n", line.strip_prefix("$ ").unwrap_or(line))
}

/// The commands of a block: lines, continued ones joined, comments dropped.
fn commands(block: &str) -> Vec<String> {
    block
        .replace("\\\n", " ")
        .lines()
        .map(|line| {
            line.split(" #")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

fn is_subcommand(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}

/// What is wrong with a command shown in a document, if anything.
fn complaint(command: &str) -> Option<String> {
    let words: Vec<&str> = command
        .split_whitespace()
        .skip_while(|word| *word == "sudo" || word.contains('='))
        .collect();
    let (&program, arguments) = words.split_first()?;
    if PROGRAMS.contains(&program) {
        return flags_unknown_to(program, arguments);
    }
    if program.contains('/') && is_tree_path(program) && !workspace_root().join(program).is_file() {
        return Some(format!("{program} is not in the tree"));
    }
    None
}

fn flags_unknown_to(program: &str, arguments: &[&str]) -> Option<String> {
    let subcommands = arguments.iter().take_while(|word| is_subcommand(word));
    let output = Command::new(ours(program))
        .args(subcommands)
        .arg("--help")
        .output()
        .expect("our program starts");
    if !output.status.success() {
        return Some(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let help = String::from_utf8_lossy(&output.stdout);
    let known: BTreeSet<&str> = help
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--"))
        .collect();
    arguments
        .iter()
        .take_while(|word| !["|", "&&", ";", ">"].contains(*word))
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split('=').next().unwrap_or(word))
        .find(|flag| !known.contains(flag))
        .map(|flag| format!("{program} has no {flag}"))
}

#[test]
fn every_path_named_in_the_architecture_exists() {
    let root = workspace_root();
    let text = read(&root.join("ARCHITECTURE.md"));
    let named: Vec<&str> = backticked(&text)
        .into_iter()
        .filter(|word| is_tree_path(word))
        .collect();
    assert!(!named.is_empty(), "ARCHITECTURE.md names no path");
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|path| !root.join(path).exists())
        .collect();
    assert!(missing.is_empty(), "not in the tree: {missing:?}");
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = document.parent().expect("a document lies in a folder");
        for target in links(&read(&document)) {
            if !folder.join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_command_shown_parses_and_its_flags_exist() {
    let mut wrong = Vec::new();
    for document in documents() {
        for block in shell_blocks(&read(&document)) {
            let output = Command::new("bash")
                .args(["-n", "-c", &block])
                .output()
                .expect("bash starts");
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                wrong.push(format!("{}: {said}", document.display()));
            }
            for command in commands(&block) {
                if let Some(complaint) = complaint(&command) {
                    wrong.push(format!("{}: `{command}`: {complaint}", document.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_shows_the_two_commands() {
    let shown: Vec<String> = shell_blocks(&read(&workspace_root().join("README.md")))
        .iter()
        .flat_map(|block| commands(block))
        .collect();
    for wanted in ["cargo run --release -p sandbox", "tests/run"] {
        assert!(
            shown.iter().any(|command| command == wanted),
            "README.md does not show `{wanted}`"
        );
    }
}

#[test]
fn auditors_are_told_the_command_that_the_tests_run() {
    let text = read(&workspace_root().join("docs/auditors-cosign.md"));
    let shown: Vec<String> = shell_blocks(&text)
        .iter()
        .flat_map(|block| commands(block))
        .map(|command| command.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for wanted in [cosign::COMMAND, cosign::COMMAND_WITHOUT_ROOT] {
        assert!(
            shown.iter().any(|command| command == wanted),
            "not shown: {wanted}"
        );
    }
    assert!(text.contains(cosign::EMPTY_TRUSTED_ROOT.trim()));
}

#[test]
fn decision_records_are_numbered_without_gap_or_repeat() {
    let mut numbers: Vec<u32> = fs::read_dir(workspace_root().join("docs/decisions"))
        .expect("docs/decisions can be listed")
        .map(|entry| entry.expect("docs/decisions can be listed").file_name())
        .map(|name| name.to_string_lossy()[..4].parse().expect("NNNN-title.md"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
}

#[test]
fn what_is_no_path_of_the_tree_is_left_alone() {
    for word in [
        "/etc/msp/evidence.toml",
        "drop/NAME.json",
        "show --json",
        "{prefix}/x",
        "spool.db",
    ] {
        assert!(!is_tree_path(word), "{word}");
    }
    assert!(is_tree_path("evidence/src/lib.rs"));
}

#[test]
fn a_command_that_is_not_in_the_tree_is_caught() {
    assert_eq!(
        complaint("tests/nothing --fast").as_deref(),
        Some("tests/nothing is not in the tree")
    );
    assert_eq!(complaint("tests/run"), None);
}

#[test]
fn shell_is_found_fenced_and_indented_and_drawings_are_not() {
    let text = "a\n\n    drop -> seal\n\n    cargo run\n    tests/run\n\n```sh\n$ git log\n```\n\n```json\n{}\n```\n";
    assert_eq!(shell_blocks(text), ["cargo run\ntests/run\n", "git log\n"]);
}

#[test]
fn continued_lines_are_one_command_and_comments_none() {
    assert_eq!(
        commands("# first\ncosign \\\n  verify # why\n"),
        ["cosign    verify"]
    );
}
