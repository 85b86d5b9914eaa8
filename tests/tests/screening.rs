//! What the screening catches and what it leaves alone, on the corpora; and what holds of it for any text.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use evidence::digest::DigestKey;
use proptest::prelude::*;
use screen::{MARKER_START, Screen};
use serde_json::Value;
use tests::screening::SEED;
use tests::screening::benign::{Line, benign};
use tests::screening::judge::{Alarms, judge, ours};
use tests::screening::sensitive::{Sample, sensitive};
use tests::tools::workspace_root;

static SCREEN: LazyLock<Screen> = LazyLock::new(Screen::built_in);
static BENIGN: LazyLock<Vec<Line>> = LazyLock::new(|| benign(SEED));
static SENSITIVE: LazyLock<Vec<Sample>> = LazyLock::new(|| sensitive(SEED));

fn key() -> DigestKey {
    DigestKey::from_bytes([7; 32])
}

/// What is known not to be as it should be (`screen/corpus/known.txt`): `kind`, two names, at most so many lines.
fn known(kind: &str, one: &str, other: &str) -> usize {
    static KNOWN: LazyLock<String> = LazyLock::new(|| {
        std::fs::read_to_string(workspace_root().join("screen/corpus/known.txt")).unwrap()
    });
    let wanted = format!("{kind} {one} {other} ");
    let most = KNOWN.lines().find_map(|line| line.strip_prefix(&wanted));
    most.map_or(0, |most| most.trim().parse().unwrap())
}

#[test]
fn benign_lines_pass_byte_for_byte() {
    let mut changed: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for line in BENIGN.iter() {
        let redacted = SCREEN.redact(&line.text, &key());
        if redacted.text != line.text {
            let rule = redacted.counts.into_keys().next().unwrap();
            changed
                .entry((rule, &line.source))
                .or_default()
                .push(&line.text);
        }
    }
    changed.retain(|(rule, source), lines| lines.len() > known("alarm", rule, source));
    for ((rule, source), lines) in &changed {
        eprintln!("alarm {rule} {source} {}", lines.len());
        eprintln!("# {:?}", lines[0]);
    }
    assert!(
        changed.is_empty(),
        "{} kinds of benign lines are changed",
        changed.len()
    );
}

#[test]
fn sensitive_lines_are_caught_but_for_those_listed_here() {
    let alarms: Vec<Alarms> = SENSITIVE.iter().map(|s| ours(&SCREEN, &s.text)).collect();
    let verdict = judge(&SENSITIVE, &alarms, &[], &[]);
    let mut missed: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for sample in &verdict.missed {
        let of_kind = missed
            .entry((&sample.class, sample.form.name()))
            .or_default();
        of_kind.push(&sample.text);
    }
    missed.retain(|(class, form), lines| lines.len() > known("missed", class, form));
    for ((class, form), lines) in &missed {
        eprintln!("missed {class} {form} {}", lines.len());
        eprintln!("# {:?}", lines[0]);
    }
    assert!(
        missed.is_empty(),
        "{} kinds of lines are missed",
        missed.len()
    );
}

/// Texts of pieces of logs, sensitive and not, of escapes and of anything else.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        (0..BENIGN.len()).prop_map(|n| BENIGN[n].text.clone()),
        (0..SENSITIVE.len()).prop_map(|n| SENSITIVE[n].text.clone()),
        (0..SENSITIVE.len(), 0.0..1.0).prop_map(|(n, share)| {
            let text = &SENSITIVE[n].text;
            // The corpora are ASCII.
            text[(text.len() as f64 * share) as usize..].to_owned()
        }),
        "[ -~]{0,40}",
        "\\PC{0,12}",
        proptest::sample::select(vec![
            "\n",
            "\r\n",
            " ",
            "=",
            ": ",
            "\\n",
            "%0A",
            "\\u00",
            "[redacted:",
            "\"",
            "QUFB",
            "-",
            "password=",
            "ssn "
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The parts of a text between markers.
fn between_markers(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for (n, part) in text.split(MARKER_START).enumerate() {
        // A marker ends at its first bracket: names and tokens have none.
        parts.push(match (n, part.split_once(']')) {
            (0, _) | (_, None) => part,
            (_, Some((_, after))) => after,
        });
    }
    parts
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.values().map(shape).collect(),
        Value::Array(elements) => elements.iter().map(shape).collect(),
        // A number under a label becomes a text.
        Value::String(_) | Value::Number(_) => Value::from("leaf"),
        other => other.clone(),
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop_oneof![
            text(),
            proptest::sample::select(vec!["password", "mrn", "ssn", "note", "value", "name"])
                .prop_map(str::to_owned)
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn screening_twice_equals_once_and_what_does_not_match_is_untouched(text in text()) {
        prop_assume!(!text.contains(MARKER_START));
        let once = SCREEN.redact(&text, &key());
        let twice = SCREEN.redact(&once.text, &key());
        prop_assert_eq!(&twice.text, &once.text);
        prop_assert!(twice.counts.is_empty(), "{:?}", twice.counts);
        if SCREEN.find(&text).is_empty() {
            prop_assert_eq!(&once.text, &text);
        }
        // What stands between markers is in the text, in that order, from its start to its end.
        let parts = between_markers(&once.text);
        let mut at = 0;
        for part in &parts {
            let next = text[at..].find(part);
            prop_assert!(next.is_some(), "{:?} is not in the text behind {}", part, at);
            at += next.unwrap_or(0) + part.len();
        }
        prop_assert!(text.starts_with(parts[0]) && text.ends_with(parts[parts.len() - 1]));
    }

    #[test]
    fn a_documents_structure_stays_and_screening_it_twice_equals_once(document in document()) {
        let mut once = document.clone();
        let first = SCREEN.redact_document(&mut once, &key());
        // Members may be called otherwise, and so stand in another order.
        let sorted = |value: &Value| { let mut text = shape(value).to_string().into_bytes(); text.sort_unstable(); text };
        prop_assert_eq!(sorted(&once), sorted(&document));
        if first.places.is_empty() && first.renamed.is_empty() {
            prop_assert_eq!(&once, &document);
        }
        let mut twice = once.clone();
        let second = SCREEN.redact_document(&mut twice, &key());
        prop_assert_eq!(&twice, &once);
        prop_assert!(second.places.is_empty(), "{:?}", second.places);
    }

    #[test]
    fn a_stream_says_what_the_whole_does_however_it_is_cut(text in text(), piece in 2_usize..200) {
        let key = key();
        let mut stream = SCREEN.stream(&key);
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            stream.push(piece, &mut out);
        }
        stream.finish(&mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), SCREEN.redact(&text, &key).text);
    }
}
