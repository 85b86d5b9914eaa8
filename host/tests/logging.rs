//! Logging as a reader of stderr meets it. A subscriber is for a whole process, so the process is
//! this test binary itself, started again.

use std::process::Command;

use host::config::{LogFormat, LogSettings};

const ROLE: &str = "HOST_LOGGING_TEST_FORMAT";

fn lines(format: &str, filter: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "speaks_when_started_as_the_program",
            "--nocapture",
        ])
        .env(ROLE, format)
        .env("HOST_LOGGING_TEST_FILTER", filter)
        // Left over from a parent's journal: stderr is a pipe here, so it must not be believed.
        .env("JOURNAL_STREAM", "1:1")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn speaks_when_started_as_the_program() {
    let Ok(format) = std::env::var(ROLE) else {
        return;
    };
    let format = if format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Auto
    };
    let filter = std::env::var("HOST_LOGGING_TEST_FILTER").unwrap();
    host::logging::init(&LogSettings { filter, format }, "test-program").unwrap();
    tracing::info!(bundle = "EB-20260101-0001", attempt = 2, "confirmed");
    tracing::debug!("detail");
    assert!(
        host::logging::init(
            &LogSettings {
                filter: "info".into(),
                format
            },
            "x"
        )
        .is_err()
    );
}

#[test]
fn json_lines_carry_the_fields_at_the_top() {
    let text = lines("json", "info");
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(all[0]).unwrap();
    assert_eq!(line["bundle"], "EB-20260101-0001");
    assert_eq!(line["attempt"], 2);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "confirmed");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn auto_is_for_people_when_stderr_is_not_the_journal() {
    let text = lines("auto", "info");
    assert!(
        text.contains("confirmed") && text.contains("bundle=\"EB-20260101-0001\""),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours into a pipe: {text}");
    assert!(!text.contains("detail"), "{text}");
}

#[test]
fn the_filter_decides_what_is_said() {
    assert!(lines("auto", "debug").contains("detail"));
    assert_eq!(lines("auto", "warn"), "");
}
