//! The bundle's JSON Schema, compiled in.
//!
//! It is the half of the format that other tools can check. It fails closed: should it not
//! compile, no document follows it. It never fetches anything: it refers to nothing outside
//! itself.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::ijson::presentable;

/// `evidence-bundle-v1.schema.json`, JSON Schema draft 2020-12.
pub const BUNDLE_V1: &str = include_str!("../../schema/evidence-bundle-v1.schema.json");

static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
    let schema = serde_json::from_str(BUNDLE_V1).ok()?;
    jsonschema::draft202012::new(&schema).ok()
});

/// How a document departs from the schema, without a word of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at {path:?}")]
pub struct SchemaError {
    /// JSON pointer of the value at fault, made presentable; empty for the whole document.
    pub path: String,
    /// The rule that it breaks.
    pub message: String,
}

/// Checks a whole bundle.
///
/// # Errors
/// The first departure from the schema.
pub fn validate(document: &Value) -> Result<(), SchemaError> {
    let Some(validator) = VALIDATOR.as_ref() else {
        return Err(SchemaError {
            path: String::new(),
            message: "the built-in schema does not compile, so nothing follows it".to_owned(),
        });
    };
    // jsonschema's own message quotes the value; the path of the rule says as much.
    validator.validate(document).map_err(|error| SchemaError {
        path: presentable(&error.instance_path().to_string()),
        message: format!("does not follow the schema's rule {}", error.schema_path()),
    })
}

#[cfg(test)]
mod tests;
