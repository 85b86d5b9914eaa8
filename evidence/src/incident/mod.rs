//! The drop document: what an executor says happened, read into the body of an incident bundle.
//!
//! Only a required field that is missing or malformed refuses a drop; everything else is kept as
//! it is and, if it looks wrong, becomes a finding. So reading moves values and never changes
//! one: known fields into typed sections, unknown nested fields beside them under `other`, and
//! every other top-level field under `extra`. A header is the agent's to write: a field that
//! bears a header's name lands in `extra` like any unknown one, with a finding.
//!
//! The order: the bytes are read as strict I-JSON first ([`crate::ijson`]), so that nothing below
//! sees two values for one name; then each section is taken from the document, and what remains
//! of the document is `extra`. Nothing can be forgotten on the way, because taking is moving.

mod body;
mod refusal;
mod sealed;
mod section;
mod written_time;

use serde_json::{Map, Value};

pub use body::{
    Action, Artifacts, Execution, IncidentBody, IncidentSection, Outputs, Runbook, StoredFile,
};
pub use refusal::Refusal;
pub use sealed::{Redaction, SealedIncident, Source};
pub use written_time::{NotATime, WrittenTime};

use crate::findings::{Finding, Findings, code};
use crate::ijson::{self, Places};
use section::Section;

/// The most characters an id or another short name may have.
pub const MAX_NAME_CHARS: usize = 256;

/// Names of top-level fields that only the agent writes. In a drop they say nothing about the
/// bundle: they go under `extra` with the finding `header_field_in_drop`.
pub const HEADER_FIELDS: [&str; 21] = [
    "bundle_id",
    "bundle_version",
    "chain",
    "client_id",
    "controls",
    "custody",
    "evidence_bundle_hash",
    "findings",
    "generated_at",
    "host_id",
    "kind",
    "probe",
    "producer",
    "redactions",
    "related_to",
    "reseals",
    "rotation",
    "signatures",
    "source",
    "storage_locations",
    "time",
];

/// Top-level fields that keep their place; all others go under `extra`.
const SECTIONS: [&str; 6] = [
    "incident",
    "runbook",
    "execution",
    "actions_taken",
    "artifacts",
    "outputs",
];

/// The deepest document that can be asked for. A bundle nests it a little deeper, and must be
/// readable itself.
pub const MAX_DOCUMENT_DEPTH: usize = ijson::MAX_DEPTH - 8;

/// What a drop may be at most. Its size in bytes is the caller's to cap, before reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and objects within each other, the document itself being the first; at most
    /// [`MAX_DOCUMENT_DEPTH`].
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 32 }
    }
}

/// A drop that can be sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What goes into the bundle.
    pub body: IncidentBody,
    /// What was noticed while reading. [`crate::findings::consistency`] adds to it.
    pub findings: Vec<Finding>,
}

/// A drop document that was read and not looked into yet, so that it can be screened first.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says, a JSON object. Whoever changes its member names says so by
    /// [`Document::renamed`].
    pub value: Value,
    number_as_text: Places,
    noncharacter: Places,
}

impl Document {
    /// Reads a drop document.
    ///
    /// # Errors
    /// When it is not I-JSON within the limits, or no object.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        let parsed = ijson::read(bytes, limits.max_depth.min(MAX_DOCUMENT_DEPTH))?;
        if !parsed.value.is_object() {
            return Err(Refusal::new(
                "not_an_object",
                "",
                "the document must be a JSON object",
            ));
        }
        Ok(Self {
            value: parsed.value,
            number_as_text: parsed.number_as_text,
            noncharacter: parsed.noncharacter,
        })
    }

    /// What was at the JSON pointer `from` is now at `to`: places noted while reading follow.
    pub fn renamed(&mut self, from: &str, to: &str) {
        for places in [&mut self.number_as_text, &mut self.noncharacter] {
            for pointer in &mut places.pointers {
                ijson::rename(pointer, from, to);
            }
        }
    }

    /// The incident that it tells of.
    ///
    /// # Errors
    /// When a required field is missing or malformed.
    pub fn into_incident(self) -> Result<Incident, Refusal> {
        let mut findings = Findings::default();
        note(
            &mut findings,
            code::NUMBER_AS_TEXT,
            "kept as text: no double holds this number as written",
            self.number_as_text,
        );
        note(
            &mut findings,
            code::NONCHARACTER,
            "holds a Unicode noncharacter",
            self.noncharacter,
        );
        let Value::Object(document) = self.value else {
            return Err(Refusal::new(
                "not_an_object",
                "",
                "the document must be a JSON object",
            ));
        };
        let body = read_body(document, &mut findings)?;
        Ok(Incident {
            body,
            findings: findings.into_vec(),
        })
    }
}

impl Incident {
    /// Reads a drop document as it is.
    ///
    /// # Errors
    /// As [`Document::read`] and [`Document::into_incident`].
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        Document::read(bytes, limits)?.into_incident()
    }

    /// The executor's id of the incident.
    #[must_use]
    pub fn incident_id(&self) -> &str {
        self.body.incident_id()
    }
}

fn read_body(
    document: Map<String, Value>,
    findings: &mut Findings,
) -> Result<IncidentBody, Refusal> {
    let mut document = Section::root(document);
    let incident = IncidentSection::read(document.section("incident")?)?;
    let runbook = Runbook::read(document.section("runbook")?)?;
    let execution = Execution::read(document.section("execution")?)?;
    let actions_taken = read_actions(&mut document)?;
    let (artifacts, claimed_files) = match document.optional_section("artifacts")? {
        Some(section) => Artifacts::read(section)?,
        None => (Artifacts::default(), None),
    };
    let outputs = Outputs::read(document.section("outputs")?)?;

    let mut extra = document.into_rest();
    for name in extra
        .keys()
        .filter(|name| HEADER_FIELDS.contains(&name.as_str()))
    {
        findings.add(
            code::HEADER_FIELD_IN_DROP,
            format!("/extra/{name}"),
            "only the agent writes this field; the drop's is kept under extra",
        );
    }
    if let Some(files) = claimed_files {
        // `artifacts` was taken above, so the name is free.
        extra.insert(
            "artifacts".to_owned(),
            Value::Object(Map::from_iter([("files".to_owned(), files)])),
        );
        findings.add(
            code::HEADER_FIELD_IN_DROP,
            "/extra/artifacts/files",
            "only the agent lists stored files; the drop's list is kept under extra",
        );
    }
    Ok(IncidentBody {
        incident,
        runbook,
        execution,
        actions_taken,
        artifacts,
        outputs,
        extra,
    })
}

/// `actions`, or `actions_taken` as finished bundles spell it; one of them.
fn read_actions(document: &mut Section) -> Result<Vec<Action>, Refusal> {
    let name = match (document.has("actions"), document.has("actions_taken")) {
        (true, true) => {
            return Err(Refusal::new(
                "conflicting_fields",
                "/actions_taken",
                "give actions or actions_taken, not both",
            ));
        }
        (false, true) => "actions_taken",
        _ => "actions",
    };
    document
        .sections(name)?
        .into_iter()
        .map(Action::read)
        .collect()
}

fn note(findings: &mut Findings, code: &'static str, message: &'static str, places: Places) {
    let unlisted = places.total - places.pointers.len();
    for pointer in places.pointers {
        findings.add(code, in_bundle(&pointer), message);
    }
    findings.add_unlisted(code, unlisted);
}

/// Where in the bundle that is which is at the JSON pointer `pointer` in the drop.
#[must_use]
pub fn in_bundle(pointer: &str) -> String {
    let path = pointer.strip_prefix('/').unwrap_or(pointer);
    let (section, below) = match path.split_once('/') {
        Some((section, below)) => (section, Some(below)),
        None => (path, None),
    };
    match (section, below) {
        ("actions", Some(below)) => format!("/actions_taken/{below}"),
        ("artifacts", Some(below)) if below == "files" || below.starts_with("files/") => {
            format!("/extra{pointer}")
        }
        (name, _) if SECTIONS.contains(&name) => pointer.to_owned(),
        _ => format!("/extra{pointer}"),
    }
}

#[cfg(test)]
mod tests;
