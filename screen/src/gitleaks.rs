//! gitleaks' rules (MIT, `rules/LICENSE.gitleaks`), read from its own file, word for word.
//!
//! The file is never edited: a newer one is put in its place by `rules/update`, and this import says
//! which rules it leaves out, and why. Two things are changed on the way, neither of which changes
//! what is found: the prefix `[\w.-]{0,50}?`, which only stretches the match to the left, goes (see
//! `rule.rs`), and a brace that Go takes for itself is escaped.

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use crate::rule::{Action, Exceptions, Normal, Origin, Pattern, Rule};

/// The version that the rules are of.
pub const GITLEAKS_VERSION: &str = "v8.30.1";

const FILE: &str = include_str!("../rules/gitleaks.toml");
const LAZY_PREFIX: &str = r"[\w.-]{0,50}?";

/// A rule of gitleaks' that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its id.
    pub id: String,
    /// Why.
    pub why: String,
}

#[derive(Deserialize)]
struct File {
    allowlist: RawAllow,
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
struct RawRule {
    id: String,
    description: String,
    regex: Option<String>,
    path: Option<String>,
    #[serde(default)]
    entropy: f64,
    #[serde(default, rename = "secretGroup")]
    secret_group: usize,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    allowlists: Vec<RawAllow>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawAllow {
    condition: String,
    paths: Vec<String>,
    regex_target: String,
    regexes: Vec<String>,
    stopwords: Vec<String>,
}

/// The rules that can be used, and those that cannot.
pub(crate) fn import() -> (Vec<Rule>, Vec<LeftOut>) {
    let (mut rules, mut left_out) = (Vec::new(), Vec::new());
    let file: File = match toml::from_str(FILE) {
        Ok(file) => file,
        Err(error) => {
            // A test reads this very file; without it nothing of gitleaks would be used, and said.
            left_out.push(LeftOut {
                id: "gitleaks.toml".to_owned(),
                why: error.to_string(),
            });
            return (rules, left_out);
        }
    };
    for raw in file.rules {
        let id = raw.id.clone();
        match convert(raw, &file.allowlist) {
            Ok(rule) => rules.push(rule),
            Err(why) => left_out.push(LeftOut { id, why }),
        }
    }
    (rules, left_out)
}

fn convert(raw: RawRule, global: &RawAllow) -> Result<Rule, String> {
    if raw.path.is_some() {
        return Err("looks at files of certain names only".to_owned());
    }
    let Some(regex) = raw.regex else {
        return Err("has no pattern".to_owned());
    };
    let mut exceptions = vec![convert_allow(global)];
    // Which paths do not count is about repositories, and evidence is none.
    exceptions.extend(
        raw.allowlists
            .iter()
            .filter(|allow| allow.paths.is_empty())
            .map(convert_allow),
    );
    Ok(Rule {
        rank: if raw.id == "generic-api-key" { 90 } else { 50 },
        splits: !regex.contains(LAZY_PREFIX),
        id: raw.id,
        description: raw.description,
        origin: Origin::Gitleaks,
        action: Action::Redact,
        pattern: Pattern::new(pattern(&regex)),
        keywords: raw.keywords.iter().map(|k| k.to_lowercase()).collect(),
        secret_group: raw.secret_group,
        entropy: raw.entropy,
        check: None,
        exceptions,
        normal: Normal::Exact,
    })
}

fn convert_allow(raw: &RawAllow) -> Exceptions {
    let patterns = || {
        raw.regexes
            .iter()
            .map(|regex| Pattern::new(pattern(regex)))
            .collect()
    };
    let mut exceptions = Exceptions {
        stopwords: (!raw.stopwords.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .ascii_case_insensitive(true)
                    .build(&raw.stopwords)
                    .ok()
            })
            .flatten(),
        ..Exceptions::default()
    };
    // A list that wants all of its conditions also wants a path, and was left out above.
    debug_assert!(raw.condition.is_empty());
    match raw.regex_target.as_str() {
        "match" => exceptions.matches = patterns(),
        "line" => exceptions.lines = patterns(),
        _ => exceptions.secrets = patterns(),
    }
    exceptions
}

/// Go's pattern as Rust's.
fn pattern(go: &str) -> String {
    let mut rust = go.to_owned();
    for flag in ["(?i)", ""] {
        let prefix = format!("{flag}{LAZY_PREFIX}");
        if let Some(rest) = go.strip_prefix(&prefix) {
            rust = format!("{flag}{}", rest.strip_prefix(LAZY_PREFIX).unwrap_or(rest));
            break;
        }
    }
    let doubled = format!("(?i:{LAZY_PREFIX}");
    if let Some(rest) = rust.strip_prefix(&doubled) {
        rust = format!("(?i:{rest}");
    }
    escape_braces(&rust)
}

/// Escapes each `{` that begins no repetition: Go then takes it for itself.
fn escape_braces(go: &str) -> String {
    let mut out = String::with_capacity(go.len());
    let mut escaped = false;
    for (at, c) in go.char_indices() {
        let begins_repetition = || go[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        let follows_something = !out.is_empty() && !out.ends_with(['(', '|']);
        if c == '{' && !escaped && !(begins_repetition() && follows_something) {
            out.push('\\');
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_used_but_those_that_need_a_file_name() {
        let (rules, left_out) = import();
        assert_eq!(rules.len() + left_out.len(), 222);
        let ids: Vec<_> = left_out.iter().map(|l| l.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "freemius-secret-key",
                "hashicorp-tf-password",
                "kubernetes-secret-yaml",
                "nuget-config-password",
                "pkcs12-file"
            ]
        );
    }

    #[test]
    fn every_pattern_compiles() {
        let (rules, _) = import();
        for rule in rules {
            let all = rule
                .exceptions
                .iter()
                .flat_map(|e| e.secrets.iter().chain(&e.matches).chain(&e.lines));
            for pattern in std::iter::once(&rule.pattern).chain(all) {
                if let Err(error) = Pattern::compiled(pattern.source()) {
                    panic!("{}: {error}", rule.id);
                }
            }
        }
    }

    #[test]
    fn the_lazy_prefix_goes_and_braces_stay_what_they_are_in_go() {
        assert_eq!(pattern(r"(?i)[\w.-]{0,50}?(?:x)a{2}"), "(?i)(?:x)a{2}");
        assert_eq!(pattern(r"^\${(?:a|{\d+})$"), r"^\$\{(?:a|\{\d+})$");
    }
}
