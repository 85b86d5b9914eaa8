//! What a screener makes of the corpora, counted: caught, missed, false alarms, by class.

use std::collections::BTreeMap;
use std::ops::Range;

use screen::Screen;

use super::benign::Line;
use super::leak::{leaked, struck_out};
use super::sensitive::{Form, Sample};

/// What a screener says of one line: by which rule, and where.
pub type Alarms = Vec<(String, Range<usize>)>;

/// What our own engine finds.
#[must_use]
pub fn ours(screen: &Screen, text: &str) -> Alarms {
    screen
        .find(text)
        .into_iter()
        .map(|hit| (hit.rule.id.clone(), hit.span))
        .collect()
}

/// Of one class, or of all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// By form: lines caught, and lines there are. Caught is a line of which nothing sensitive can be read any more when
    /// what was found is struck out.
    pub lines: BTreeMap<Form, (usize, usize)>,
    /// Alarms that touch something sensitive.
    pub true_alarms: usize,
    /// Alarms that touch nothing sensitive, by the rules that mostly catch this class.
    pub false_alarms: usize,
    /// Of the plain lines' bytes that are not sensitive: kept, and all.
    pub kept_bytes: (usize, usize),
}

impl Counts {
    /// True alarms of all alarms; `None` without any.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        let all = self.true_alarms + self.false_alarms;
        (all > 0).then(|| self.true_alarms as f64 / all as f64)
    }

    /// Lines caught of those of the forms.
    #[must_use]
    pub fn recall(&self, forms: &[Form]) -> Option<f64> {
        let of_forms = forms.iter().filter_map(|form| self.lines.get(form));
        let (caught, all) = of_forms.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        (all > 0).then(|| caught as f64 / all as f64)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// By class, in the corpus's order.
    pub classes: Vec<(String, Counts)>,
    /// False alarms by rules that catch nothing of any class.
    pub stray_alarms: usize,
    /// Benign lines with an alarm: rule, source, line.
    pub benign_alarms: Vec<(String, String, String)>,
    /// What was not caught, in the corpus's order.
    pub missed: Vec<Sample>,
}

/// Counts what a screener said of each line of both corpora.
///
/// A false alarm counts against the class that its rule catches most of, whatever the rule is called: so no table of
/// ours says which rule of others should have meant what.
///
/// # Panics
/// When there is not one answer for each line.
#[must_use]
pub fn judge(
    samples: &[Sample],
    said_of_samples: &[Alarms],
    lines: &[Line],
    said_of_lines: &[Alarms],
) -> Verdict {
    assert_eq!(
        (samples.len(), lines.len()),
        (said_of_samples.len(), said_of_lines.len())
    );
    let mut verdict = Verdict::default();
    let mut catches: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
    let mut false_by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for (sample, alarms) in samples.iter().zip(said_of_samples) {
        let class = match verdict
            .classes
            .iter()
            .position(|(name, _)| *name == sample.class)
        {
            Some(class) => class,
            None => {
                verdict
                    .classes
                    .push((sample.class.clone(), Counts::default()));
                verdict.classes.len() - 1
            }
        };
        let counts = &mut verdict.classes[class].1;
        for (rule, range) in alarms {
            let overlaps = |span: &Range<usize>| range.start < span.end && span.start < range.end;
            if sample.spans.iter().any(overlaps) {
                counts.true_alarms += 1;
                *catches.entry(rule).or_default().entry(class).or_default() += 1;
            } else {
                *false_by_rule.entry(rule).or_default() += 1;
            }
        }
        let ranges: Vec<_> = alarms.iter().map(|(_, range)| range.clone()).collect();
        let left = struck_out(&sample.text, &ranges);
        let of_form = counts.lines.entry(sample.form).or_default();
        of_form.1 += 1;
        match leaked(&left, &sample.secrets, &sample.around) {
            None => of_form.0 += 1,
            Some(_) => verdict.missed.push(sample.clone()),
        }
        if sample.form == Form::Plain {
            let is_kept = |at: &usize| !ranges.iter().any(|range| range.contains(at));
            let harmless = (0..sample.text.len())
                .filter(|at| !sample.spans.iter().any(|span| span.contains(at)));
            counts.kept_bytes.1 += harmless.clone().count();
            counts.kept_bytes.0 += harmless.filter(is_kept).count();
        }
    }
    for (line, alarms) in lines.iter().zip(said_of_lines) {
        for (rule, _) in alarms {
            *false_by_rule.entry(rule).or_default() += 1;
        }
        if let Some((rule, _)) = alarms.first() {
            verdict
                .benign_alarms
                .push((rule.clone(), line.source.clone(), line.text.clone()));
        }
    }
    for (rule, count) in false_by_rule {
        let most = catches
            .get(rule)
            .and_then(|classes| classes.iter().max_by_key(|(_, count)| **count));
        match most {
            Some((class, _)) => verdict.classes[*class].1.false_alarms += count,
            None => verdict.stray_alarms += count,
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(class: &str, text: &str, secret: &str) -> Sample {
        let at = text.find(secret).unwrap();
        Sample {
            class: class.to_owned(),
            form: Form::Plain,
            text: text.to_owned(),
            spans: std::iter::once(at..at + secret.len()).collect(),
            secrets: vec![secret.to_owned()],
            around: text.replace(secret, ""),
        }
    }

    #[test]
    fn half_a_catch_is_a_miss_and_a_false_alarm_counts_against_its_rules_class() {
        let samples = [
            sample("a", "id 123456789 of 7", "123456789"),
            sample("b", "key abcdefghij", "abcdefghij"),
        ];
        let said = [
            vec![("r".to_owned(), 3..12), ("r".to_owned(), 16..17)],
            vec![("s".to_owned(), 4..6)],
        ];
        let lines = [Line {
            source: "x".to_owned(),
            text: "all well".to_owned(),
        }];
        let verdict = judge(&samples, &said, &lines, &[vec![("q".to_owned(), 0..3)]]);
        let (a, b) = (&verdict.classes[0].1, &verdict.classes[1].1);
        assert_eq!(
            (a.true_alarms, a.false_alarms, a.recall(Form::ALL)),
            (1, 1, Some(1.0))
        );
        assert_eq!((b.precision(), b.recall(Form::ALL)), (Some(1.0), Some(0.0)));
        assert_eq!(a.kept_bytes, (7, 8));
        assert_eq!(
            (
                verdict.stray_alarms,
                verdict.benign_alarms.len(),
                verdict.missed.len()
            ),
            (1, 1, 1)
        );
    }
}
