//! Screening a JSON document: every string, number and member name in it.
//!
//! A value says little without its name: `"mrn": "00482913"` is a record number only for its label.
//! So the document is laid out as one text, a line for each leaf with its name and that of what holds
//! it, and the rules look at that; what they find is then taken out of the leaves themselves. Only
//! texts and names change, and a number that stands under a label: it becomes its marker, a text.

use std::collections::BTreeMap;
use std::ops::Range;

use evidence::digest::DigestKey;
use serde_json::{Map, Value};

use crate::engine::Screen;
use crate::marker::marker;
use crate::redact::{Counts, LOOKS, UNSETTLED, merged, on_characters, replace};
use crate::rule::{Action, Rule};

/// A short text, such as an id, stays so: it is taken out as a whole rather than become longer.
const SHORT_TEXT_CHARS: usize = 256;
/// So many places are told by path; what was taken out elsewhere is told by rule alone.
const MAX_PLACES: usize = 500;

/// What was taken out of one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// JSON pointer (RFC 6901) after screening; empty for the rest of the document.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// How often.
    pub count: u64,
}

/// What came of screening a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ScreenedDocument {
    /// What was taken out.
    pub places: Vec<Place>,
    /// Member names that changed, as JSON pointers: from, and to, each to be followed in order.
    pub renamed: Vec<(String, String)>,
    /// The rules for which the whole drop goes to quarantine.
    pub quarantine: Vec<String>,
}

/// What a rule speaks of in a document.
#[derive(Debug, Clone)]
pub struct FoundAt<'s> {
    /// JSON pointer, after screening.
    pub path: String,
    /// The rule.
    pub rule: &'s Rule,
    /// How it had to be read.
    pub found: crate::hit::Found,
    /// How long the value is, in bytes.
    pub length: usize,
}

impl Screen {
    /// Takes out of `document` what the rules say, until they find nothing more.
    pub fn redact_document(&self, document: &mut Value, key: &DigestKey) -> ScreenedDocument {
        let mut screened = ScreenedDocument::default();
        let mut taken: BTreeMap<(String, String), u64> = BTreeMap::new();
        for look in 1..=LOOKS {
            let layout = Layout::of(document);
            let cuts = self.cuts_of(&layout, &mut screened.quarantine);
            if cuts.is_empty() {
                break;
            }
            let mut taking = Taking {
                cuts,
                node: 0,
                key,
                gives_up: look == LOOKS,
                taken: &mut taken,
                renamed: &mut screened.renamed,
            };
            taking.value(document, "");
        }
        screened.places = places(taken);
        screened
    }

    /// What every rule speaks of in `document`, those that leave it alone too, and where. The pointers
    /// are as they would be after screening, so that none reveals a name.
    #[must_use]
    pub fn find_in_document(&self, document: &Value, key: &DigestKey) -> Vec<FoundAt<'_>> {
        let layout = Layout::of(document);
        let mut paths = Vec::with_capacity(layout.nodes);
        self.paths(document, "", key, &mut paths);
        let mut found = Vec::new();
        for hit in self.find_bytes(&layout.text) {
            for part in layout.parts_in(&hit.span) {
                if part.is_number && hit.rule.keywords.is_empty() {
                    continue;
                }
                found.push(FoundAt {
                    path: paths[part.node].clone(),
                    length: hit.span.end.min(part.span.end) - hit.span.start.max(part.span.start),
                    rule: hit.rule,
                    found: hit.found,
                });
            }
        }
        found
    }

    /// The pointer of each node, in the order of the layout.
    fn paths(&self, value: &Value, path: &str, key: &DigestKey, paths: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = below(path, &self.redact(name, key).text);
                    paths.push(path.clone());
                    self.paths(value, &path, key, paths);
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.paths(element, &format!("{path}/{index}"), key, paths);
                }
            }
            Value::String(_) | Value::Number(_) => paths.push(path.to_owned()),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn cuts_of<'s>(&'s self, layout: &Layout, quarantine: &mut Vec<String>) -> Cuts<'s> {
        let hits = self.find_bytes(&layout.text);
        let mut told = Vec::new();
        for hit in hits {
            let parts = layout.parts_in(&hit.span);
            let applies = |part: &Part| !part.is_number || !hit.rule.keywords.is_empty();
            if !parts.iter().any(applies) {
                continue;
            }
            if hit.action() == Action::Quarantine && !quarantine.contains(&hit.rule.id) {
                quarantine.push(hit.rule.id.clone());
            }
            told.push(hit);
        }
        let mut cuts = Cuts::new();
        for (rule, span) in merged(told) {
            for part in layout.parts_in(&span) {
                if part.is_number && rule.keywords.is_empty() {
                    continue;
                }
                let start = span.start.max(part.span.start) - part.span.start;
                let end = span.end.min(part.span.end) - part.span.start;
                cuts.entry(part.node).or_default().push((rule, start..end));
            }
        }
        cuts
    }
}

/// What is to be taken out, by node: leaves and names, numbered in the order of the document.
type Cuts<'s> = BTreeMap<usize, Vec<(&'s Rule, Range<usize>)>>;

/// The document as one text.
#[derive(Default)]
struct Layout {
    text: Vec<u8>,
    parts: Vec<Part>,
    nodes: usize,
}

/// Where a leaf or a name stands in the text.
struct Part {
    span: Range<usize>,
    node: usize,
    is_number: bool,
}

impl Layout {
    fn of(document: &Value) -> Self {
        let mut layout = Self::default();
        layout.value(document, None);
        layout
    }

    /// The parts that a span touches.
    fn parts_in(&self, span: &Range<usize>) -> &[Part] {
        let first = self
            .parts
            .partition_point(|part| part.span.end <= span.start);
        let count = self.parts[first..].partition_point(|part| part.span.start < span.end);
        &self.parts[first..first + count]
    }

    fn put(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn part(&mut self, text: &str, node: usize, is_number: bool) {
        let start = self.text.len();
        self.put(text);
        if !text.is_empty() {
            self.parts.push(Part {
                span: start..self.text.len(),
                node,
                is_number,
            });
        }
    }

    fn node(&mut self) -> usize {
        self.nodes += 1;
        self.nodes - 1
    }

    /// A value that is no member of an object; `label` is the name of what holds it, said before.
    fn value(&mut self, value: &Value, label: Option<&str>) {
        match value {
            Value::Object(members) => self.object(members, label),
            Value::Array(elements) => {
                // A key is broken over lines that follow each other.
                let is_block = elements
                    .iter()
                    .any(|e| e.as_str().is_some_and(|text| text.contains("-----BEGIN")));
                let label = if is_block { None } else { label };
                for element in elements {
                    self.value(element, label);
                }
            }
            leaf => {
                if let Some((text, is_number)) = shown(leaf) {
                    let node = self.node();
                    self.put("\"");
                    if let Some(name) = label {
                        self.put(name);
                        self.put("\": \"");
                    }
                    self.part(&text, node, is_number);
                    self.put("\"\n");
                }
            }
        }
    }

    fn object(&mut self, members: &Map<String, Value>, holder: Option<&str>) {
        let mut named = None;
        for (name, value) in members {
            let node = self.node();
            self.put("\"");
            if let Some(holder) = holder {
                self.put(holder);
                self.put(".");
            }
            self.part(name, node, false);
            self.put("\": ");
            match shown(value) {
                Some((text, is_number)) => {
                    let node = self.node();
                    self.put("\"");
                    self.part(&text, node, is_number);
                    self.put("\"\n");
                    if matches!(name.as_str(), "value" | "val") {
                        named = Some((node, text, is_number));
                    }
                }
                None => {
                    self.put("\n");
                    if value.is_object() || value.is_array() {
                        self.value(value, Some(name));
                    }
                }
            }
        }
        // `{"name": "password", "value": "…"}` says what `{"password": "…"}` does.
        if let Some((node, text, is_number)) = named
            && let Some(name) = ["name", "key", "label", "field"]
                .iter()
                .find_map(|name| members.get(*name)?.as_str())
        {
            self.put("\"");
            self.put(name);
            self.put("\": \"");
            self.part(&text, node, is_number);
            self.put("\"\n");
        }
    }
}

/// A leaf's text, and whether it is a number.
fn shown(leaf: &Value) -> Option<(std::borrow::Cow<'_, str>, bool)> {
    match leaf {
        Value::String(text) => Some((text.as_str().into(), false)),
        Value::Number(number) => Some((number.to_string().into(), true)),
        _ => None,
    }
}

/// Taking the cuts out of the document, in the order in which it was laid out.
struct Taking<'t, 's> {
    cuts: Cuts<'s>,
    node: usize,
    key: &'t DigestKey,
    gives_up: bool,
    taken: &'t mut BTreeMap<(String, String), u64>,
    renamed: &'t mut Vec<(String, String)>,
}

impl Taking<'_, '_> {
    fn value(&mut self, value: &mut Value, path: &str) {
        match value {
            Value::Object(members) => {
                for (name, mut value) in std::mem::take(members) {
                    let (name, path) = self.name(name, members, path);
                    self.value(&mut value, &path);
                    members.insert(name, value);
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter_mut().enumerate() {
                    self.value(element, &format!("{path}/{index}"));
                }
            }
            Value::String(text) => {
                if let Some(new) = self.text(text, path) {
                    *value = Value::String(new);
                }
            }
            Value::Number(number) => {
                if let Some(new) = self.text(&number.to_string(), path) {
                    *value = Value::String(new);
                }
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// A member's name after screening, and its pointer. Two names may have differed in nothing but what
    /// was taken out of them; neither may take the other's place.
    fn name(&mut self, name: String, others: &Map<String, Value>, path: &str) -> (String, String) {
        let mut counts = Counts::new();
        let new = self.cut(&name, &mut counts);
        let wanted = new.as_ref().unwrap_or(&name);
        let mut unique = wanted.clone();
        let mut n = 1;
        while others.contains_key(&unique) {
            n += 1;
            unique = format!("{wanted}#{n}");
        }
        let to = below(path, &unique);
        if unique != name {
            self.note(&to, counts);
            self.renamed.push((below(path, &name), to.clone()));
        }
        (unique, to)
    }

    fn text(&mut self, text: &str, path: &str) -> Option<String> {
        let mut counts = Counts::new();
        let new = self.cut(text, &mut counts)?;
        self.note(path, counts);
        Some(new)
    }

    /// The next node's text without what is to be taken out of it, if anything is.
    fn cut(&mut self, text: &str, counts: &mut Counts) -> Option<String> {
        let cuts = self.cuts.remove(&self.node);
        self.node += 1;
        let cuts = cuts?;
        let whole = |rule: &str, counts: &mut Counts| {
            *counts = Counts::from([(rule.to_owned(), 1)]);
            marker(self.key, rule, text.as_bytes())
        };
        if self.gives_up {
            return Some(whole(UNSETTLED, counts));
        }
        let rule = cuts[0].0;
        let cuts = apart(text, cuts);
        let new = replace(text.as_bytes(), cuts.into_iter(), self.key, counts);
        // Whole characters were cut, and markers are ASCII.
        let new = String::from_utf8_lossy(&new).into_owned();
        let is_longer = new.chars().count() > SHORT_TEXT_CHARS;
        if is_longer && text.chars().count() <= SHORT_TEXT_CHARS {
            return Some(whole(&rule.id, counts));
        }
        Some(new)
    }

    fn note(&mut self, path: &str, counts: Counts) {
        for (rule, count) in counts {
            *self.taken.entry((path.to_owned(), rule)).or_default() += count;
        }
    }
}

fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Cuts of one text, in order and apart: a value may stand in the layout twice.
fn apart<'s>(text: &str, mut cuts: Vec<(&'s Rule, Range<usize>)>) -> Vec<(&'s Rule, Range<usize>)> {
    for (_, span) in &mut cuts {
        *span = on_characters(text, span.clone());
    }
    cuts.sort_by_key(|(rule, span)| (span.start, rule.rank));
    let mut apart: Vec<(&Rule, Range<usize>)> = Vec::with_capacity(cuts.len());
    for (rule, span) in cuts {
        match apart.last_mut() {
            Some((_, last)) if span.start < last.end => last.end = last.end.max(span.end),
            _ => apart.push((rule, span)),
        }
    }
    apart
}

fn places(taken: BTreeMap<(String, String), u64>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut elsewhere = Counts::new();
    for ((path, rule), count) in taken {
        if places.len() < MAX_PLACES {
            places.push(Place { path, rule, count });
        } else {
            *elsewhere.entry(rule).or_default() += count;
        }
    }
    places.extend(elsewhere.into_iter().map(|(rule, count)| Place {
        path: String::new(),
        rule,
        count,
    }));
    places
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn screened(mut document: Value) -> (Value, ScreenedDocument) {
        let key = DigestKey::from_bytes([3; 32]);
        let screened = Screen::built_in().redact_document(&mut document, &key);
        let mut again = document.clone();
        let second = Screen::built_in().redact_document(&mut again, &key);
        assert_eq!(again, document, "screening twice is screening once");
        assert!(second.places.is_empty());
        (document, screened)
    }

    fn rules(screened: &ScreenedDocument) -> Vec<(&str, &str, u64)> {
        screened
            .places
            .iter()
            .map(|p| (p.path.as_str(), p.rule.as_str(), p.count))
            .collect()
    }

    #[test]
    fn a_value_is_found_by_the_name_it_stands_under() {
        let (document, screened) = screened(json!({
            "mrn": "00482913",
            "patient": {"id": 482913, "name": "Jane Roe"},
            "env": [{"name": "DB_PASSWORD", "value": "swordfish"}],
            "size_bytes": 482_913,
        }));
        assert_eq!(
            rules(&screened),
            [
                ("/env/0/value", "password-label", 1),
                ("/mrn", "mrn", 1),
                ("/patient/id", "mrn", 1),
                ("/patient/name", "person-name", 1),
            ]
        );
        assert_eq!(document["size_bytes"], json!(482_913));
        for at in ["/mrn", "/patient/id", "/patient/name", "/env/0/value"] {
            let text = document.pointer(at).unwrap().as_str().unwrap();
            assert!(
                text.starts_with("[redacted:") && text.ends_with(']'),
                "{at}"
            );
        }
    }

    #[test]
    fn a_name_is_screened_and_no_path_reveals_it() {
        let (document, screened) = screened(json!({
            "details": {"call jane.roe@example.org": {"x": "ssn 219-09-9999"}}
        }));
        let said = format!("{document} {:?}", screened.places);
        assert!(!said.contains("jane") && !said.contains("219-09"), "{said}");
        assert_eq!(screened.renamed.len(), 1);
        let (from, to) = &screened.renamed[0];
        assert_eq!(from, "/details/call jane.roe@example.org");
        assert!(screened.places.iter().all(|p| p.path.starts_with(to)));
        assert!(document.pointer(&format!("{to}/x")).is_some());
    }

    #[test]
    fn a_private_key_over_several_elements_goes_with_each_of_its_lines() {
        let line = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt";
        let (document, _) = screened(json!({"pem": [
            "-----BEGIN PRIVATE KEY-----", line, line, "-----END PRIVATE KEY-----", "after"
        ]}));
        let said = document.to_string();
        assert!(!said.contains("b3Blbn") && said.contains("after"), "{said}");
        assert_eq!(document["pem"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn a_short_text_does_not_become_a_long_one() {
        let phones = ["212-555-0147"; 12].join(" ");
        let (document, screened) = screened(json!({ "id": phones }));
        assert!(document["id"].as_str().unwrap().len() < 64);
        assert_eq!(rules(&screened), [("/id", "phone", 1)]);
    }
}
