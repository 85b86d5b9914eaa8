//! The alerts that are shipped: each is tested, and each names what to do.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tests::tools::{Tool, find, workspace_root};

pub(crate) fn shipped(name: &str) -> String {
    let path = workspace_root().join("packaging/monitoring").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What follows `key` on each line that has it, without quotes.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix(key))
        .map(str::trim)
        .collect()
}

/// The anchor of a heading, as Markdown's readers make it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[test]
fn every_alert_names_a_section_of_the_operators_manual_that_is_there() {
    let rules = shipped("alerts.yml");
    let manual = fs::read_to_string(workspace_root().join("docs/operations.md")).unwrap();
    let anchors: BTreeSet<String> = manual
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect();
    let (alerts, runbooks) = (values(&rules, "- alert:"), values(&rules, "runbook:"));
    assert_eq!(alerts.len(), runbooks.len(), "each alert has one runbook");
    for (alert, runbook) in alerts.iter().zip(runbooks) {
        let section = runbook.strip_prefix("docs/operations.md#").unwrap();
        assert!(anchors.contains(section), "{alert}: no section {section}");
    }
    assert_eq!(
        anchor("## Reaching a bucket, twice"),
        "reaching-a-bucket-twice"
    );
}

#[test]
fn every_alert_is_shown_to_fire_and_to_be_quiet() {
    let rules = shipped("alerts.yml");
    let tests = shipped("alerts.test.yml");
    for alert in values(&rules, "- alert:") {
        let fires = tests.contains(&format!("- alertname: {alert}\n"));
        assert!(fires, "{alert} never fires in a test");
    }
    // All of them at once on a host where all is well.
    assert!(tests.contains("'ALERTS{alertstate=\"firing\"}', eval_time: 190m, exp_samples: []"));
    let Some(promtool) = find(
        Tool::Promtool,
        "every_alert_is_shown_to_fire_and_to_be_quiet",
    ) else {
        return;
    };
    for (what, file) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        let output = Command::new(&promtool)
            .args([what, "rules", file])
            .current_dir(workspace_root().join("packaging/monitoring"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{what}: {output:?}");
    }
}
