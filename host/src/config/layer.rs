//! One file laid over what was read before it: setting by setting, the later one wins.
//!
//! Every key is taken by itself, so one that is unknown or of the wrong type does not hide the
//! next. Only text that is not TOML ends it: then nothing is known of what the file says.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::environment;
use super::file::{ConfigFile, DestinationSection, NotSet, SECTIONS, keys_of};
use super::origin::{Origin, Origins};

/// What is known after some files and the environment were read.
pub(super) struct Layers {
    pub(super) file: ConfigFile,
    pub(super) origins: Origins,
    pub(super) problems: Vec<ConfigError>,
    /// Settings that were given and not understood.
    pub(super) refused: BTreeSet<String>,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    /// Nothing yet; `main` is the configuration file.
    pub(super) fn new(main: &Path) -> Self {
        Self {
            file: ConfigFile::default(),
            origins: Origins::new(main),
            problems: Vec::new(),
            refused: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    /// Lays a file's text over what there is.
    pub(super) fn lay(&mut self, text: &str, path: &Path) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let source = Source { text, path };
        if !errors.is_empty() {
            self.problems.extend(errors.iter().map(|error| {
                let start = error.span().map_or(0, |span| span.start);
                source.error(start, error.message(), EXAMPLE, true)
            }));
            return;
        }
        let before = self.problems.len();
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let (start, name) = (key.span().start, key.get_ref().to_string());
            match (name.as_str(), value.get_ref()) {
                ("destination", DeValue::Array(_)) => self.destinations(value, &source),
                ("destination", _) => {
                    self.refused.insert(name);
                    let remedy = "write [[destination]], in two brackets, for each of them";
                    self.push(source.error(start, "it is not a list of sections", remedy, false));
                }
                (section, DeValue::Table(_)) if SECTIONS.contains(&section) => {
                    for (key, value) in entries_of(value) {
                        let set = |file: &mut ConfigFile, key: &str, value| {
                            file.set_toml(section, key, value)
                        };
                        self.setting(section, section, key, value, &source, set);
                    }
                }
                (section, _) if SECTIONS.contains(&section) => {
                    let remedy = format!("write [{section}] on a line of its own");
                    self.push(source.error(start, "it is not a section", &remedy, false));
                }
                _ => self.setting("", "", key, value, &source, |file, key, value| {
                    file.set_toml("", key, value)
                }),
            }
        }
        self.problems[before..].sort_by_key(|problem| match problem {
            ConfigError::Syntax { line, .. } => *line,
            _ => 0,
        });
    }

    /// The list of destinations as a whole: arrays are replaced.
    fn destinations(&mut self, list: Spanned<DeValue<'_>>, source: &Source<'_>) {
        let DeValue::Array(list) = list.into_inner() else {
            return;
        };
        let ids = |file: &ConfigFile| -> Vec<String> {
            file.destination
                .iter()
                .filter_map(|d| d.id.clone())
                .collect()
        };
        let before = ids(&self.file);
        self.file.destination.clear();
        self.origins.forget_destinations();
        self.refused.retain(|key| !key.starts_with("destination"));
        for (index, section) in list.into_iter().enumerate() {
            let start = section.span().start;
            let entries = entries_of(section);
            let id = entries
                .iter()
                .find(|(key, _)| key.get_ref() == "id")
                .and_then(|(_, value)| value.get_ref().as_str())
                .filter(|id| !id.is_empty());
            let prefix = match id {
                Some(id) => format!("destination.{id}"),
                None => format!("destination[{index}]"),
            };
            self.file.destination.push(DestinationSection::default());
            self.origins.set(prefix.clone(), source.origin(start));
            for (key, value) in entries {
                let set = |file: &mut ConfigFile, key: &str, value| {
                    // The one just pushed.
                    match file.destination.last_mut() {
                        Some(section) => section.set_toml(key, value),
                        None => Ok(()),
                    }
                };
                self.setting("destination", &prefix, key, value, source, set);
            }
        }
        let after = ids(&self.file);
        for id in before.iter().filter(|id| !after.contains(id)) {
            self.warnings.push(format!(
                "{} replaces the list of destinations, and {id:?}, of a file before it, is not in \
                 its list; name every destination in the last file that names any",
                source.path.display()
            ));
        }
    }

    /// One key of a section, whose settings' paths begin with `prefix`.
    fn setting<'i>(
        &mut self,
        section: &str,
        prefix: &str,
        key: Spanned<std::borrow::Cow<'i, str>>,
        value: Spanned<DeValue<'i>>,
        source: &Source<'_>,
        set: impl FnOnce(&mut ConfigFile, &str, Spanned<DeValue<'i>>) -> Result<(), NotSet>,
    ) {
        let start = key.span().start;
        let name = key.into_inner();
        let path = match prefix {
            "" => name.to_string(),
            prefix => format!("{prefix}.{name}"),
        };
        match set(&mut self.file, &name, value) {
            Ok(()) => {
                self.refused.remove(&path);
                self.origins.set(path, source.origin(start));
            }
            Err(NotSet::UnknownKey) => {
                let problem = format!("unknown field `{name}`");
                let remedy = remedy_of_unknown(section, &name);
                self.push(source.error(start, &problem, &remedy, false));
            }
            Err(NotSet::Expected(expected)) => {
                let problem = format!("{path} must be {expected}");
                self.push(source.error(start, &problem, EXAMPLE, false));
                self.origins.set(path.clone(), source.origin(start));
                self.refused.insert(path);
            }
        }
    }

    fn push(&mut self, problem: ConfigError) {
        self.problems.push(problem);
    }

    /// Lays the environment over all files.
    pub(super) fn lay_environment(&mut self, env: &[(String, String)]) {
        self.warnings.extend(environment::not_followed(env));
        environment::apply(self, env);
    }
}

const EXAMPLE: &str = "correct the line; the example evidence.toml shows each key with its type";

/// In the order in which they are written.
fn entries_of<'i>(
    table: Spanned<DeValue<'i>>,
) -> Vec<(Spanned<std::borrow::Cow<'i, str>>, Spanned<DeValue<'i>>)> {
    let DeValue::Table(table) = table.into_inner() else {
        return Vec::new();
    };
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn remedy_of_unknown(section: &str, name: &str) -> String {
    let elsewhere = std::iter::once("")
        .chain(SECTIONS)
        .chain(["destination"])
        .find(|other| *other != section && keys_of(other).contains(&name));
    match elsewhere {
        Some("") => "move it to the top, above the first section".to_owned(),
        Some("destination") => "move it below [[destination]]".to_owned(),
        Some(other) => format!("move it below [{other}]"),
        None => format!(
            "correct the spelling, or remove it; {} has {}",
            match section {
                "" => "the top".to_owned(),
                "destination" => "[[destination]]".to_owned(),
                section => format!("[{section}]"),
            },
            keys_of(section).join(", ")
        ),
    }
}

/// Whether what is called so may be a secret, which is never shown.
pub(super) fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let path = name.ends_with("_file") || name.ends_with("key_id");
    !path
        && [
            "passw",
            "secret",
            "token",
            "credential",
            "access_key",
            "private",
        ]
        .iter()
        .any(|word| name.contains(word))
}

/// A file that is being read, for messages.
struct Source<'s> {
    text: &'s str,
    path: &'s Path,
}

impl Source<'_> {
    fn line(&self, start: usize) -> usize {
        let start = self.text.floor_char_boundary(start);
        self.text[..start].matches('\n').count() + 1
    }

    fn origin(&self, start: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: self.line(start),
        }
    }

    fn error(&self, start: usize, problem: &str, remedy: &str, is_unparsed: bool) -> ConfigError {
        let line = self.line(start);
        let excerpt = self.text.lines().nth(line - 1).unwrap_or_default().trim();
        let excerpt = match excerpt.split_once('=') {
            Some((name, _)) if may_be_secret(name.trim()) => format!("{} = (hidden)", name.trim()),
            _ => excerpt.to_owned(),
        };
        ConfigError::Syntax {
            path: self.path.to_owned(),
            line,
            excerpt,
            problem: problem.trim().replace('\n', " "),
            remedy: remedy.to_owned(),
            is_unparsed,
        }
    }
}
