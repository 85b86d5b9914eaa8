//! The map from kinds of event and runbooks to controls: what fits, and what is misapplied.
//!
//! The data are in `map.json`, with a version that every bundle carries beside what was mapped by it.
//! Names may end in `*`; everything that matches counts together, so an entry can only ever make more
//! fit. Of a kind of event and runbook that the map does not know, only the paragraphs that are about one
//! thing alone are judged.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::addition::{Addition, spelled};
use super::{Citation, Criterion};

/// `map.json` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    map_version: u64,
    #[serde(rename = "about")]
    _about: Vec<String>,
    any: Vec<AnyData>,
    only: Vec<OnlyData>,
    event_types: BTreeMap<String, EntryData>,
    runbooks: BTreeMap<String, EntryData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyData {
    hipaa: String,
    means: String,
    #[serde(default)]
    needs_action: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyData {
    hipaa: String,
    means: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryData {
    #[serde(default)]
    hipaa: Vec<String>,
    #[serde(default)]
    soc2: Vec<String>,
}

/// What fits every kind of event.
#[derive(Debug, Clone)]
struct Any {
    citation: Citation,
    means: String,
    needs_action: bool,
}

/// What fits nothing but the entries that name it.
#[derive(Debug, Clone)]
struct Only {
    citation: Citation,
    means: String,
}

/// Which controls fit which kind of event.
#[derive(Debug, Clone)]
pub struct ControlMap {
    version: u64,
    any: Vec<Any>,
    only: Vec<Only>,
    event_types: Vec<Addition>,
    runbooks: Vec<Addition>,
}

/// What an incident is, as far as the map asks.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Such as `backup_failure`.
    pub event_type: &'a str,
    /// Such as `RB-BACKUP-001`.
    pub runbook_id: &'a str,
    /// Some step was executed.
    pub acted: bool,
}

/// The section `controls` of an incident bundle: what the agent read in the citations, and mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedControls {
    /// The version of the map.
    pub map_version: u64,
    /// The citations that the Security Rule has, in one spelling, sorted, each once.
    pub hipaa: Vec<String>,
    /// SOC 2 criteria that the map has for the event type and the runbook, sorted, each once.
    pub soc2: Vec<String>,
}

static BUILT_IN: LazyLock<ControlMap> = LazyLock::new(|| {
    // Part of the program, and read by a test.
    ControlMap::read(include_str!("map.json")).expect("map.json is well formed")
});

impl ControlMap {
    /// The map that comes with this version.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// The built-in map, and what a configuration adds to it.
    #[must_use]
    pub fn with(event_types: &[Addition], runbooks: &[Addition]) -> Self {
        let mut map = BUILT_IN.clone();
        map.event_types.extend_from_slice(event_types);
        map.runbooks.extend_from_slice(runbooks);
        map
    }

    /// Which version of `map.json` it is.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    fn read(json: &str) -> Result<Self, String> {
        let data: Data = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let citation = |text: &str| text.parse().map_err(|_| format!("{text} is no citation"));
        let entries = |data: BTreeMap<String, EntryData>| {
            data.into_iter()
                .map(|(name, entry)| {
                    let controls: Vec<String> = entry.hipaa.into_iter().chain(entry.soc2).collect();
                    let text = format!("{name} = {}", controls.join(", "));
                    text.parse::<Addition>()
                        .map_err(|error| format!("{name}: {error}"))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            version: data.map_version,
            any: data
                .any
                .into_iter()
                .map(|any| {
                    Ok(Any {
                        citation: citation(&any.hipaa)?,
                        means: any.means,
                        needs_action: any.needs_action,
                    })
                })
                .collect::<Result<_, String>>()?,
            only: data
                .only
                .into_iter()
                .map(|only| {
                    Ok(Only {
                        citation: citation(&only.hipaa)?,
                        means: only.means,
                    })
                })
                .collect::<Result<_, String>>()?,
            event_types: entries(data.event_types)?,
            runbooks: entries(data.runbooks)?,
        })
    }

    /// Every entry for this event type or runbook.
    fn entries(&self, about: About<'_>) -> Vec<&Addition> {
        let (event_type, runbook) = (spelled(about.event_type), spelled(about.runbook_id));
        let types = self.event_types.iter();
        let runbooks = self.runbooks.iter();
        types
            .filter(|entry| matches(&entry.name, &event_type))
            .chain(runbooks.filter(|entry| matches(&entry.name, &runbook)))
            .collect()
    }

    /// Whether the map knows this event type or runbook.
    #[must_use]
    pub fn knows(&self, about: About<'_>) -> bool {
        !self.entries(about).is_empty()
    }

    /// Whether a citation fits such an incident.
    ///
    /// # Errors
    /// Why it does not, in words that quote nothing of the incident.
    pub fn fits(&self, citation: &Citation, about: About<'_>) -> Result<(), String> {
        let entries = self.entries(about);
        let mut listed = entries.iter().flat_map(|entry| &entry.hipaa);
        if listed.any(|fitting| touches(citation, fitting)) {
            return Ok(());
        }
        let named = format!("{citation} ({})", citation.title());
        let version = self.version;
        if let Some(only) = self
            .only
            .iter()
            .find(|only| citation.is_within(&only.citation))
        {
            return Err(format!("{named} {} (map {version})", only.means));
        }
        if let Some(any) = self.any.iter().find(|any| touches(citation, &any.citation)) {
            return if any.needs_action && !about.acted {
                Err(format!("{named} {} (map {version})", any.means))
            } else {
                Ok(())
            };
        }
        if entries.is_empty() {
            return Ok(());
        }
        let mut fitting: Vec<&str> = entries
            .iter()
            .flat_map(|entry| entry.hipaa.iter().map(Citation::as_str))
            .collect();
        fitting.sort_unstable();
        fitting.dedup();
        let fitting = if fitting.is_empty() {
            "nothing of the Security Rule".to_owned()
        } else {
            fitting.join(", ")
        };
        Err(format!(
            "{named} is not about such an event; by its type and runbook it is {fitting} (map \
             {version})"
        ))
    }

    /// What is read in the citations and mapped from type and runbook.
    #[must_use]
    pub fn map(&self, cited: &[String], about: About<'_>) -> MappedControls {
        let mut hipaa: Vec<String> = cited
            .iter()
            .filter_map(|text| text.parse::<Citation>().ok())
            .map(|citation| citation.to_string())
            .collect();
        hipaa.sort_unstable();
        hipaa.dedup();
        let mut soc2: Vec<String> = self
            .entries(about)
            .iter()
            .flat_map(|entry| entry.soc2.iter().map(Criterion::to_string))
            .collect();
        soc2.sort_unstable();
        soc2.dedup();
        MappedControls {
            map_version: self.version,
            hipaa,
            soc2,
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |stem| name.starts_with(stem))
}

/// One is the other, or lies within it.
fn touches(a: &Citation, b: &Citation) -> bool {
    a.is_within(b) || b.is_within(a)
}

#[cfg(test)]
mod tests {
    use super::super::CRITERIA;
    use super::*;

    fn about<'a>(event_type: &'a str, runbook_id: &'a str) -> About<'a> {
        About {
            event_type,
            runbook_id,
            acted: true,
        }
    }

    fn fits(citation: &str, event_type: &str) -> bool {
        let map = ControlMap::built_in();
        map.fits(&citation.parse().unwrap(), about(event_type, "none"))
            .is_ok()
    }

    #[test]
    fn the_map_is_well_formed_and_every_criterion_is_mapped_from_something() {
        let map = ControlMap::read(include_str!("map.json")).unwrap();
        assert!(map.version() >= 1);
        let entries = map.event_types.iter().chain(&map.runbooks);
        let mapped: Vec<&str> = entries
            .flat_map(|entry| entry.soc2.iter().map(Criterion::as_str))
            .collect();
        for (id, _) in CRITERIA {
            assert!(mapped.contains(&id), "{id}");
        }
        for entry in map.event_types.iter().chain(&map.runbooks) {
            assert_eq!(entry.name, spelled(&entry.name));
            assert!(
                !(entry.hipaa.is_empty() && entry.soc2.is_empty()),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn a_backup_job_is_the_backup_plan_and_not_the_copy_before_equipment_is_moved() {
        for fitting in ["164.308(a)(7)(ii)(A)", "164.308(a)(7)", "164.308"] {
            assert!(fits(fitting, "backup_failure"), "{fitting}");
        }
        let copy = "164.310(d)(2)(iv)".parse().unwrap();
        let map = ControlMap::built_in();
        for event_type in ["backup_failure", "Backup-Failure", "never_heard_of"] {
            let why = map
                .fits(&copy, about(event_type, "RB-BACKUP-001"))
                .unwrap_err();
            assert!(why.contains("before equipment is moved"), "{why}");
        }
        assert!(fits("164.310(d)(2)(iv)", "equipment_move"));
    }

    #[test]
    fn the_record_of_an_action_is_one_only_where_something_was_done() {
        let record = "164.316(b)(1)(ii)".parse().unwrap();
        let map = ControlMap::built_in();
        let acted = about("disk_full", "RB-DISK-004");
        assert_eq!(map.fits(&record, acted), Ok(()));
        let idle = About {
            acted: false,
            ..acted
        };
        let why = map.fits(&record, idle).unwrap_err();
        assert!(why.contains("record of an action"), "{why}");
    }

    #[test]
    fn what_the_map_does_not_know_is_not_judged_but_for_what_is_about_one_thing_alone() {
        assert!(fits("164.312(e)(1)", "never_heard_of"));
        assert!(!fits("164.312(e)(1)", "backup_failure"));
        assert!(!fits("164.314(a)(1)", "never_heard_of"));
        assert!(!ControlMap::built_in().knows(about("never_heard_of", "x")));
        assert!(ControlMap::built_in().knows(about("x", "rb-backup-9")));
    }

    #[test]
    fn a_runbook_alone_tells_what_fits() {
        let map = ControlMap::built_in();
        let encryption = "164.312(e)(2)(ii)".parse().unwrap();
        assert_eq!(
            map.fits(&encryption, about("unheard", "RB-CERT-001")),
            Ok(())
        );
        assert!(
            map.fits(&encryption, about("unheard", "RB-DISK-001"))
                .is_err()
        );
    }

    #[test]
    fn a_configuration_only_ever_adds() {
        let added = ["backup_* = 164.310(d)(2)(iv), CC9.2".parse().unwrap()];
        let runbooks = ["XY-* = 164.312(a)(1)".parse().unwrap()];
        let map = ControlMap::with(&added, &runbooks);
        let backup = about("backup_failure", "XY-1");
        for citation in ["164.310(d)(2)(iv)", "164.308(a)(7)(ii)(A)", "164.312(a)(1)"] {
            assert_eq!(
                map.fits(&citation.parse().unwrap(), backup),
                Ok(()),
                "{citation}"
            );
        }
        let before = ControlMap::built_in().map(&[], backup).soc2;
        let after = map.map(&[], backup).soc2;
        assert!(before.iter().all(|criterion| after.contains(criterion)));
        assert!(after.contains(&"CC9.2".to_owned()) && !before.contains(&"CC9.2".to_owned()));
    }

    #[test]
    fn citations_come_out_in_one_spelling_sorted_and_once_with_the_criteria_beside() {
        let cited = [
            "164.312(b)",
            "45 CFR § 164.308 (a)(7)(ii)(A)",
            "nonsense",
            "164.312(b)",
        ];
        let cited = cited.map(str::to_owned);
        let mapped = ControlMap::built_in().map(&cited, about("backup_failure", "RB-BACKUP-001"));
        assert_eq!(mapped.hipaa, ["164.308(a)(7)(ii)(A)", "164.312(b)"]);
        assert_eq!(mapped.soc2, ["A1.2", "CC7.5"]);
    }
}
