//! Every setting as it counts, with where it comes from: `config show`.

use serde::Serialize;
use serde_json::Value;

use super::file::{SECTIONS, keys_of};
use super::origin::Origin;
use super::{DestinationSettings, Settings};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its path, such as `destination.primary.bucket`.
    pub key: String,
    /// What counts; null when it is not set and has no default. No setting is a secret: files
    /// are named, never read.
    pub value: Value,
    /// Where the value comes from.
    pub origin: Origin,
}

impl Settings {
    /// Every setting, in the order of the shipped example, with the destinations at the end.
    #[must_use]
    pub fn effective(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        // Plain structs of text and numbers always serialise.
        let all = serde_json::to_value(self).unwrap_or_default();
        let retention = serde_json::to_value(&self.retention).unwrap_or_default();
        let mut add = |key: String, value: &Value, origin: Origin| {
            let value = value.clone();
            settings.push(Setting { key, value, origin });
        };
        for key in keys_of("") {
            add((*key).to_owned(), &all[*key], self.origins.of(key));
        }
        for section in SECTIONS {
            let values = match section {
                "retention" => &retention,
                section => &all[section],
            };
            for key in keys_of(section) {
                let path = format!("{section}.{key}");
                let origin = self.origins.of(&path);
                add(path, &values[*key], origin);
            }
        }
        for (index, destination) in self.destinations.iter().enumerate() {
            let values = &all["destinations"][index];
            for key in keys_of("destination") {
                let (path, origin) = self.of_destination(destination, key);
                let field = match *key {
                    "id" => "destination_id",
                    key => key,
                };
                add(path, &values[field], origin);
            }
        }
        settings
    }

    /// A destination that says nothing of its retention has that of `[retention]`.
    fn of_destination(&self, destination: &DestinationSettings, key: &str) -> (String, Origin) {
        let path = format!("destination.{}.{key}", destination.destination_id);
        let inherited = match key {
            "retention_days" => "retention.days",
            "retention_margin_secs" => "retention.margin_secs",
            _ => "",
        };
        let origin = match self.origins.of(&path) {
            Origin::Default => self.origins.of(inherited),
            own => own,
        };
        (path, origin)
    }
}
