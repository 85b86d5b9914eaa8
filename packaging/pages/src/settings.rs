//! evidence.toml(5), made of the commented example, which a test holds against the code.
//!
//! So there is one text about each setting: the one in the file that an operator edits.

use anyhow::{Result, ensure};
use clap_mangen::roff::{Roff, bold, italic, roman};

/// What a line of the example is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Blank,
    Comment(&'a str),
    /// `[section]`, or `[[section]]` for each of a list.
    Section(&'a str),
    Setting {
        key: &'a str,
        value: &'a str,
        /// Commented out: the value is the default.
        default: bool,
    },
}

impl<'a> Line<'a> {
    /// A comment has a space or nothing behind its sign; what is commented out has neither.
    fn of(line: &'a str) -> Self {
        let line = line.trim();
        let (text, default) = match line.strip_prefix('#') {
            Some(text) => (text, true),
            None => (line, false),
        };
        if line.is_empty() {
            Self::Blank
        } else if default && (text.is_empty() || text.starts_with(' ')) {
            Self::Comment(text.trim())
        } else if text.starts_with('[') {
            Self::Section(text)
        } else if let Some((key, value)) = text.split_once(" = ") {
            Self::Setting {
                key,
                value,
                default,
            }
        } else {
            Self::Comment(text)
        }
    }
}

/// The page. A text without settings is refused: it is not the example.
pub(crate) fn page(example: &str, date: &str) -> Result<String> {
    let mut page = Roff::default();
    page.control(
        "TH",
        ["evidence.toml", "5", date, "msp-evidence", "msp-evidence"],
    );
    page.control("SH", ["NAME"]);
    page.text([roman("evidence.toml - configuration of msp-evidence")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic("/etc/msp/evidence.toml")]);
    page.control("br", []);
    page.text([italic("/etc/msp/evidence.d/*.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    let mut said = Vec::new();
    let mut settings = 0_usize;
    for line in example.lines().map(Line::of) {
        match line {
            // What was said stands by itself.
            Line::Blank => paragraph(&mut page, &mut said),
            Line::Comment(text) => said.push(text),
            Line::Section(name) => {
                page.control("SH", [name]);
                paragraph(&mut page, &mut said);
            }
            Line::Setting {
                key,
                value,
                default,
            } => {
                settings += 1;
                page.control("TP", []);
                page.text([bold(key), roman(" = "), roman(value)]);
                if !default {
                    said.push("(An example; it has no default.)");
                } else if said.is_empty() {
                    said.push("See above.");
                }
                lines(&mut page, &mut said);
            }
        }
    }
    paragraph(&mut page, &mut said);
    ensure!(settings > 0, "the example configuration holds no setting");
    page.control("SH", ["FILES"]);
    page.text([
        roman("The commented example that this page is made of is "),
        italic("/usr/share/msp-evidence/evidence.toml"),
        roman("."),
    ]);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(
        "msp-evidence(1), msp-evidence-config(1), msp-evidence-agent(8), msp-evidence-uploader(8)",
    )]);
    Ok(page.render())
}

fn paragraph(page: &mut Roff, said: &mut Vec<&str>) {
    if !said.is_empty() {
        page.control("PP", []);
        lines(page, said);
    }
}

fn lines(page: &mut Roff, said: &mut Vec<&str>) {
    for line in said.drain(..) {
        if line.is_empty() {
            page.control("PP", []);
        } else {
            page.text([roman(line)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../evidence.toml");

    #[test]
    fn every_setting_of_the_example_is_on_the_page() {
        let page = page(EXAMPLE, "2026-11-21").unwrap();
        let mut settings = 0;
        for line in EXAMPLE.lines() {
            let bare = line.strip_prefix('#').unwrap_or(line);
            let Some((key, _)) = bare.split_once(" = ") else {
                continue;
            };
            if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                settings += 1;
                let entry = format!(".TP\n\\fB{key}\\fR = ");
                assert!(page.contains(&entry), "{key} is not on the page");
            }
        }
        assert!(settings > 40, "only {settings} settings were found");
    }

    #[test]
    fn a_comment_is_told_from_a_setting_that_is_commented_out() {
        assert_eq!(Line::of("# a = b"), Line::Comment("a = b"));
        assert_eq!(
            Line::of("#days = 2192"),
            Line::Setting {
                key: "days",
                value: "2192",
                default: true
            }
        );
        assert_eq!(
            Line::of("#[[destination]]"),
            Line::Section("[[destination]]")
        );
        assert_eq!(Line::of("#"), Line::Comment(""));
    }

    #[test]
    fn a_text_without_settings_is_refused() {
        assert!(page("# nothing\n", "2026-11-21").is_err());
    }
}
