//! Which rules speak of a text, and where.
//!
//! One pass looks for all rules' keywords at once, one for the shapes of those without; only a rule
//! whose keyword is there is then tried. So an ordinary text costs two passes, and the rules that it
//! gives reason for. Other readings (escapes undone, lines joined, base64) are made only of texts that
//! have them.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::gitleaks::{self, LeftOut};
use crate::hit::{Found, Hit};
use crate::marker::{is_rule_name, markers};
use crate::options::{CustomRule, Options, OptionsError};
use crate::rule::{Action, Normal, Origin, Pattern, Rule};
use crate::{own, unwrap};

/// Rules, ready to be tried.
#[derive(Debug)]
pub struct Screen {
    rules: Vec<Rule>,
    left_out: Vec<LeftOut>,
    keywords: AhoCorasick,
    /// By keyword: the rules that it speaks for.
    spoken_for: Vec<Vec<usize>>,
    /// The shapes of rules without keywords, and which rules they are.
    shapes: RegexSet,
    shaped: Vec<usize>,
    allow: Vec<(Option<String>, Pattern)>,
}

impl Screen {
    /// All rules that are built in, each to redact.
    ///
    /// # Panics
    /// Never: what is built in is tested to be usable.
    #[must_use]
    pub fn built_in() -> Self {
        match Self::new(&Options::default()) {
            Ok(screen) => screen,
            Err(error) => unreachable!("the built-in rules: {error}"),
        }
    }

    /// The rules that are built in, as `options` change and add to them.
    ///
    /// # Errors
    /// When a rule of the options cannot be used, or something is said of a rule that is not there.
    pub fn new(options: &Options) -> Result<Self, OptionsError> {
        let (gitleaks, left_out) = gitleaks::import();
        let mut rules = Vec::new();
        for custom in &options.rules {
            rules.push(client_rule(custom)?);
        }
        rules.extend(own::rules());
        rules.extend(gitleaks);
        for (at, rule) in rules.iter().enumerate() {
            if rules[..at].iter().any(|earlier| earlier.id == rule.id) {
                let id = rule.id.clone();
                return Err(OptionsError::Twice { id });
            }
        }
        let given = options.rules.iter().filter_map(|rule| {
            let action = rule.action?;
            Some((rule.id.as_str(), action))
        });
        let given: Vec<_> = given.collect();
        for rule in &mut rules {
            let of_rule = given.iter().find(|(id, _)| *id == rule.id);
            rule.action = of_rule.map_or(options.action, |(_, action)| *action);
        }
        for (id, action) in &options.actions {
            match rules.iter_mut().find(|rule| rule.id == *id) {
                Some(rule) => rule.action = *action,
                None => return Err(OptionsError::Unknown { id: id.clone() }),
            }
        }
        let mut allow = Vec::new();
        for exception in &options.allow {
            if let Some(id) = &exception.rule
                && !rules.iter().any(|rule| rule.id == *id)
            {
                return Err(OptionsError::Unknown { id: id.clone() });
            }
            let whole = format!("^(?:{})$", exception.pattern);
            allow.push((exception.rule.clone(), pattern("allow", &whole)?));
        }
        Self::of(rules, left_out, allow)
    }

    fn of(
        rules: Vec<Rule>,
        left_out: Vec<LeftOut>,
        allow: Vec<(Option<String>, Pattern)>,
    ) -> Result<Self, OptionsError> {
        let mut words: Vec<&str> = Vec::new();
        let mut spoken_for: Vec<Vec<usize>> = Vec::new();
        let (mut shapes, mut shaped) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            for word in &rule.keywords {
                match words.iter().position(|known| known == word) {
                    Some(known) => spoken_for[known].push(index),
                    None => {
                        words.push(word);
                        spoken_for.push(vec![index]);
                    }
                }
            }
            if rule.keywords.is_empty() {
                shapes.push(rule.pattern.source());
                shaped.push(index);
            }
        }
        let failed = |source: regex::Error| OptionsError::Pattern {
            of: "all rules together".to_owned(),
            source: Box::new(source),
        };
        let shapes = RegexSetBuilder::new(shapes)
            .unicode(false)
            .build()
            .map_err(failed)?;
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&words)
            .map_err(|error| failed(regex::Error::Syntax(error.to_string())))?;
        Ok(Self {
            keywords,
            spoken_for,
            shapes,
            shaped,
            rules,
            left_out,
            allow,
        })
    }

    /// The rules, a client's first.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules of gitleaks' that are not used.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Everything that a rule speaks of in `text`, by where it begins. Hits may overlap.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Hit<'_>> {
        self.find_bytes(text.as_bytes())
    }

    /// The same in bytes that need not be UTF-8.
    #[must_use]
    pub fn find_bytes(&self, text: &[u8]) -> Vec<Hit<'_>> {
        let mut hits = Vec::new();
        let mut add = |rule, span, found| hits.push(Hit { rule, span, found });
        self.plain(text, |rule, span| add(rule, span, Found::Plain));
        if let Some(reading) = unwrap::unescaped(text) {
            self.plain(&reading.bytes, |rule, span| {
                add(rule, reading.place(&span), Found::Escaped);
            });
            self.encoded(&reading.bytes, |rule, span| {
                add(rule, reading.place(&span), Found::Base64);
            });
        }
        self.encoded(text, |rule, span| add(rule, span, Found::Base64));
        for joins in unwrap::Joins::EACH {
            let Some(reading) = unwrap::joined(text, joins) else {
                continue;
            };
            self.plain(&reading.bytes, |rule, span| {
                if rule.splits && reading.is_joined(&span) {
                    add(rule, reading.place(&span), Found::Split);
                }
            });
        }
        if hits.is_empty() {
            return hits;
        }
        let mut hits = outside(&markers(text), hits);
        hits.sort_by(|a, b| {
            (a.span.start, a.rule.rank, a.found).cmp(&(b.span.start, b.rule.rank, b.found))
        });
        hits.dedup_by(|later, earlier| {
            later.span == earlier.span && std::ptr::eq(later.rule, earlier.rule)
        });
        hits
    }

    fn encoded<'s>(&'s self, text: &[u8], mut each: impl FnMut(&'s Rule, Range<usize>)) {
        unwrap::base64_texts(text, |run, decoded| {
            self.plain(&decoded, |rule, _| each(rule, run.clone()));
        });
    }

    /// What the rules find in these very bytes.
    fn plain<'s>(&'s self, text: &[u8], mut each: impl FnMut(&'s Rule, Range<usize>)) {
        let mut wanted = vec![false; self.rules.len()];
        for word in self.keywords.find_overlapping_iter(text) {
            for rule in &self.spoken_for[word.pattern().as_usize()] {
                wanted[*rule] = true;
            }
        }
        for shape in self.shapes.matches(text) {
            wanted[self.shaped[shape]] = true;
        }
        for (rule, _) in self.rules.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            rule.find(text, |span| {
                if !self.is_allowed(rule, &text[span.clone()]) {
                    each(rule, span);
                }
            });
        }
    }

    fn is_allowed(&self, rule: &Rule, value: &[u8]) -> bool {
        self.allow.iter().any(|(of, pattern)| {
            of.as_ref().is_none_or(|of| *of == rule.id) && pattern.regex().is_match(value)
        })
    }
}

fn client_rule(custom: &CustomRule) -> Result<Rule, OptionsError> {
    if !is_rule_name(&custom.id) {
        let id = custom.id.clone();
        return Err(OptionsError::Id { id });
    }
    Ok(Rule {
        id: custom.id.clone(),
        description: custom.description.clone(),
        origin: Origin::Client,
        action: Action::Redact,
        pattern: pattern(&custom.id, &custom.pattern)?,
        keywords: custom.keywords.iter().map(|k| k.to_lowercase()).collect(),
        secret_group: 0,
        entropy: custom.entropy,
        check: None,
        exceptions: Vec::new(),
        normal: Normal::Exact,
        splits: true,
        rank: 0,
    })
}

fn pattern(of: &str, source: &str) -> Result<Pattern, OptionsError> {
    let of = of.to_owned();
    match Pattern::compiled(source) {
        Ok(pattern) if pattern.regex().is_match(b"") => Err(OptionsError::Empty { of }),
        Ok(pattern) => Ok(pattern),
        Err(source) => Err(OptionsError::Pattern {
            of,
            source: Box::new(source),
        }),
    }
}

/// The hits without what lies in a marker: that was taken out before.
fn outside<'s>(markers: &[Range<usize>], hits: Vec<Hit<'s>>) -> Vec<Hit<'s>> {
    if markers.is_empty() {
        return hits;
    }
    let mut out = Vec::with_capacity(hits.len());
    for hit in hits {
        let mut start = hit.span.start;
        let first = markers.partition_point(|marker| marker.end <= start);
        for marker in markers[first..]
            .iter()
            .take_while(|m| m.start < hit.span.end)
        {
            if start < marker.start {
                out.push(Hit {
                    span: start..marker.start,
                    ..hit.clone()
                });
            }
            start = marker.end;
        }
        if start < hit.span.end {
            out.push(Hit {
                span: start..hit.span.end,
                ..hit
            });
        }
    }
    out
}
