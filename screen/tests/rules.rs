//! What is found, and what is left alone, on lines as logs have them. All of it is made up.

use evidence::digest::DigestKey;
use screen::{Found, Screen};

fn key() -> DigestKey {
    DigestKey::from_bytes([9; 32])
}

/// A line, what is to be taken out of it, and a rule that may say so.
const SENSITIVE: &[(&str, &str, &str)] = &[
    ("patient ssn 219-09-9999 on file", "219-09-9999", "us-ssn"),
    ("SSN: 219099999", "219099999", "us-ssn-label"),
    ("MRN: 00482913 admitted", "00482913", "mrn"),
    ("chart for MRN A-482913 opened", "A-482913", "mrn"),
    ("GET /Patient?patient_id=PX-77120 200", "PX-77120", "mrn"),
    ("DOB 03/14/1961", "03/14/1961", "date-of-birth"),
    (
        "Date of Birth: March 14, 1961",
        "March 14, 1961",
        "date-of-birth",
    ),
    ("birthDate=1961-03-14", "1961-03-14", "date-of-birth"),
    ("call (212) 555-0147 now", "(212) 555-0147", "phone"),
    ("call 212-555-0147.", "212-555-0147", "phone"),
    ("phone=2125550147", "2125550147", "phone-label"),
    (
        "sms to +44 20 7946 0958 sent",
        "+44 20 7946 0958",
        "phone-international",
    ),
    (
        "to jane.roe@example.org sent",
        "jane.roe@example.org",
        "email",
    ),
    (
        "card 4111 1111 1111 1111 declined",
        "4111 1111 1111 1111",
        "payment-card",
    ),
    ("NPI 1234567893 verified", "1234567893", "npi"),
    ("DEA# AB1234563", "AB1234563", "dea"),
    (
        "mbi 1EG4-TE5-MK73 eligible",
        "1EG4-TE5-MK73",
        "medicare-mbi",
    ),
    ("member id: XYZ123456789", "XYZ123456789", "insurance-id"),
    ("Patient: Roe, Jane discharged", "Roe, Jane", "person-name"),
    ("patient_name=\"Jane Q. Roe\"", "Jane Q. Roe", "person-name"),
    (
        "PID|1||482913^^^H^MR||ROE^JANE||19610314|F",
        "1||482913^^^H^MR||ROE^JANE||19610314|F",
        "hl7-segment",
    ),
    (
        "postgres://app:s3cr3tPa55@db/main",
        "s3cr3tPa55",
        "url-password",
    ),
    (
        "restic --password hunter22 backup",
        "hunter22",
        "password-option",
    ),
    (
        "Server=db;User Id=sa;Password=Tr0ub4dor;",
        "Tr0ub4dor",
        "password",
    ),
    ("export PGPASSWORD=Tr0ub4dor", "Tr0ub4dor", "password"),
    (
        "Authorization: Basic YmFja3VwOmh1bnRlcjI=",
        "YmFja3VwOmh1bnRlcjI=",
        "http-authorization",
    ),
    (
        "key AKIAQ3EGRIZ5PLDUWT4K used",
        "AKIAQ3EGRIZ5PLDUWT4K",
        "aws-access-token",
    ),
    (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ",
        "json-web-token",
    ),
];

const BENIGN: &[&str] = &[
    "2026-11-21T14:06:47.123456Z INFO backup[4711]: 1048576 bytes in 12.3 s",
    "Nov 21 03:00:01 srv-1 systemd[1]: Started getty@tty1.service - Getty on tty1.",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "request_id=550e8400-e29b-41d4-a716-446655440000 took 23ms",
    "kernel 6.1.0-18-amd64, glibc 2.36-9+deb12u4, openssl 3.0.11",
    "from 192.168.100.200 port 50022 to 10.0.0.12:443",
    "1763733607 1763733607123 1763733607123456789",
    "diagnosis codes E11.9, I10, Z79.4 and J45.909",
    "Failed password for root from 203.0.113.7 port 22 ssh2",
    "password authentication: enabled",
    "Access denied for user 'app'@'localhost' (using password: YES)",
    "at org.example.Backup.run(Backup.java:217)",
    "Patient Portal backup finished; Patient Records: ok",
    "rsync backup@nas.example.net:/volume1/evidence done",
    "raft: added member 8e9e05c52164694d, local-member-id: 8e9e05c52164694d",
    "vmstat 2 0 250 300 4000 5125 9981",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b on main",
    "PID 4711 exited with status 0; pid=4711",
];

#[test]
fn what_is_sensitive_is_taken_out_and_nothing_around_it() {
    let screen = Screen::built_in();
    for (line, value, rule) in SENSITIVE {
        let redacted = screen.redact(line, &key());
        let (before, after) = line.split_once(value).unwrap();
        assert!(
            redacted.text.starts_with(before) && redacted.text.ends_with(after),
            "{line:?} became {:?}",
            redacted.text
        );
        assert!(!redacted.text.contains(value), "{line:?}");
        let hits = screen.find(line);
        assert!(
            hits.iter().any(|hit| hit.rule.id == *rule
                && hit.span == (before.len()..before.len() + value.len())),
            "{line:?}: {:?}",
            hits.iter()
                .map(|hit| (&hit.rule.id, &line[hit.span.clone()]))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_is_ordinary_stays_as_it_is() {
    let screen = Screen::built_in();
    for line in BENIGN {
        let redacted = screen.redact(line, &key());
        assert_eq!(redacted.text, *line, "{:?}", redacted.counts);
    }
}

#[test]
fn what_is_wrapped_once_is_found() {
    let screen = Screen::built_in();
    for (text, found) in [
        (r#"{\"ssn\": \"219-09-9999\"}"#, Found::Plain),
        (r"mail jane.roe\u0040example.org", Found::Escaped),
        ("q=jane.roe%40example.org", Found::Escaped),
        ("phone%3D2125550147", Found::Escaped),
        ("data cGF0aWVudCBzc24gMjE5LTA5LTk5OTk= end", Found::Base64),
        ("ssn 219-09-\n    9999", Found::Split),
        ("card 4111 1111\\\n 1111 1111", Found::Split),
    ] {
        let hits = screen.find(text);
        assert!(
            hits.iter().any(|hit| hit.found == found),
            "{text:?}: {hits:?}"
        );
        assert!(
            screen.redact(text, &key()).text.contains("[redacted:"),
            "{text:?}"
        );
    }
}

#[test]
fn screening_twice_is_screening_once() {
    let screen = Screen::built_in();
    let all: Vec<&str> = SENSITIVE.iter().map(|(line, ..)| *line).collect();
    for text in all
        .iter()
        .map(|line| (*line).to_owned())
        .chain([all.join("\n"), all.join(" ")])
    {
        let once = screen.redact(&text, &key()).text.into_owned();
        let twice = screen.redact(&once, &key());
        assert_eq!(twice.text, once);
        assert!(twice.counts.is_empty());
    }
}

#[test]
fn a_private_key_goes_as_a_whole_also_without_its_end() {
    let screen = Screen::built_in();
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt\n".repeat(3);
    for (text, left) in [
        (
            format!(
                "a\n-----BEGIN OPENSSH PRIVATE KEY-----\n{body}-----END OPENSSH PRIVATE KEY-----\nb"
            ),
            "\nb",
        ),
        (format!("a\n-----BEGIN PRIVATE KEY-----\n{body}"), ""),
    ] {
        let text = screen.redact(&text, &key()).text.into_owned();
        assert!(text.starts_with("a\n[redacted:private-key"), "{text}");
        assert!(text.ends_with(&format!("]{left}")), "{text}");
    }
}
