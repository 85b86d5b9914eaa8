//! Settings from the environment: `MSP_EVIDENCE_` and the setting's path in capitals.
//!
//! `MSP_EVIDENCE_CLIENT_ID`, `MSP_EVIDENCE_SIGNING__PASSWORD_FILE`, and for a destination by its
//! id `MSP_EVIDENCE_DESTINATION__PRIMARY__BUCKET`. A variable with our prefix that names nothing
//! is refused like an unknown key: a misspelt retention must not pass in silence.

use std::collections::BTreeMap;

use super::ConfigError;
use super::file::{ConfigFile, DestinationSection, NotSet};
use super::layer::{Layers, may_be_secret};
use super::origin::Origin;

/// Every variable of ours starts so.
pub const PREFIX: &str = "MSP_EVIDENCE_";
/// The path of the configuration file itself; not a setting inside it.
pub const CONFIG_PATH_VARIABLE: &str = "MSP_EVIDENCE_CONFIG";

/// Lays the environment over the files.
pub(super) fn apply(layers: &mut Layers, env: &[(String, String)]) {
    // Sorted, so that the outcome and the order of problems do not depend on the environment's.
    let variables: BTreeMap<String, String> = env
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && name != CONFIG_PATH_VARIABLE)
        .cloned()
        .collect();
    add_new_destinations(&mut layers.file, &variables);
    for (variable, value) in variables {
        match set(&mut layers.file, &variable[PREFIX.len()..], &value) {
            Ok(setting) => {
                layers.refused.remove(&setting);
                layers.origins.set(setting, Origin::Variable(variable));
            }
            Err(problem) => {
                let value = if may_be_secret(&variable) {
                    "(hidden)".to_owned()
                } else {
                    format!("{value:?}")
                };
                layers.problems.push(ConfigError::Variable {
                    variable,
                    value,
                    problem,
                });
            }
        }
    }
}

/// Variables of AWS's tools that would redirect every bucket at once, and the setting that does it
/// for one. They are not followed: evidence goes where the signed plan says.
const NOT_FOLLOWED: [(&str, &str); 5] = [
    ("AWS_ENDPOINT_URL", "endpoint"),
    ("AWS_ENDPOINT_URL_S3", "endpoint"),
    ("AWS_USE_FIPS_ENDPOINT", "use_fips"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "use_dual_stack"),
    ("AWS_CA_BUNDLE", "ca_file"),
];

/// What an operator who set one of them must know.
pub(super) fn not_followed(env: &[(String, String)]) -> Vec<String> {
    NOT_FOLLOWED
        .iter()
        .filter(|(variable, _)| {
            env.iter()
                .any(|(name, value)| name == variable && !value.is_empty())
        })
        .map(|(variable, setting)| {
            format!(
                "environment variable {variable} has no effect on where evidence goes; set \
                 {setting} in the [[destination]] that it is meant for"
            )
        })
        .collect()
}

/// How a destination's id is written inside a variable's name.
pub(super) fn id_in_variable(id: &str) -> String {
    id.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// A variable `…DESTINATION__X__ID` makes a destination that the file does not have.
fn add_new_destinations(file: &mut ConfigFile, variables: &BTreeMap<String, String>) {
    for (name, id) in variables {
        let parts: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        let ["DESTINATION", spelled, "ID"] = parts[..] else {
            continue;
        };
        if id_in_variable(id) == spelled && find(file, spelled).is_none() {
            let id = Some(id.clone());
            file.destination.push(DestinationSection {
                id,
                ..DestinationSection::default()
            });
        }
    }
}

fn find<'f>(file: &'f mut ConfigFile, spelled: &str) -> Option<&'f mut DestinationSection> {
    file.destination.iter_mut().find(|d| {
        d.id.as_deref()
            .is_some_and(|id| id_in_variable(id) == spelled)
    })
}

/// Sets one setting and returns its path, or says what is wrong.
fn set(file: &mut ConfigFile, name: &str, value: &str) -> Result<String, String> {
    let parts: Vec<&str> = name.split("__").collect();
    let lower = |part: &str| part.to_ascii_lowercase();
    let (path, result) = match parts[..] {
        [key] => (lower(key), file.set("", &lower(key), value)),
        ["DESTINATION", spelled, key] => {
            let Some(destination) = find(file, spelled) else {
                return Err(format!(
                    "there is no destination whose id is spelled {spelled}, and no {PREFIX}\
                     DESTINATION__{spelled}__ID to make one"
                ));
            };
            let id = destination.id.clone().unwrap_or_default();
            if key == "ID" && value != id {
                return Err(format!("the destination is called {id:?}"));
            }
            (
                format!("destination.{id}.{}", lower(key)),
                destination.set(&lower(key), value),
            )
        }
        [section, key] => {
            let (section, key) = (lower(section), lower(key));
            let result = match section.as_str() {
                // One that bears no name is none of ours.
                "" => Err(NotSet::UnknownKey),
                section => file.set(section, &key, value),
            };
            (format!("{section}.{key}"), result)
        }
        _ => return Err("it names no setting".to_owned()),
    };
    match result {
        Ok(()) => Ok(path),
        Err(NotSet::UnknownKey) => Err(format!("there is no setting {path}")),
        Err(NotSet::Expected(expected)) => Err(format!("{path} must be {expected}")),
    }
}
