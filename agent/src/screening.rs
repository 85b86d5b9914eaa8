//! Screening, as the agent uses it: documents, names, artifacts, and whatever it says of drops.
//!
//! What a drop holds goes into the signed bytes only after it went through here, and so does every
//! name and message of a drop that is logged, written beside a quarantined drop or kept in the spool.
//! Equal drops are still recognised, since that is decided by a keyed digest of the raw bytes.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use evidence::digest::DigestKey;
use evidence::ijson::presentable;
use evidence::incident::{Document, Incident, Limits, Redaction, in_bundle};
use host::config::{BinaryArtifacts, ScreeningAction, ScreeningSettings};
use screen::{Action, Allow, CustomRule, Options, OptionsError, Screen};
use zeroize::Zeroizing;

use crate::AgentError;
use crate::folder::Refusal;
use crate::token::printable;

/// The code of a refusal because of what a rule found.
const SCREENED: &str = "screened";
/// Of this the tokens' key is made where it has no file: without it a restart would change tokens.
const DERIVED: &[u8] = b"msp-evidence screening key 1";

/// The rules in use, and what is done about what they cannot look at.
pub(crate) struct Screening {
    /// None where screening is off.
    screen: Option<Screen>,
    key: DigestKey,
    pub(crate) binary: BinaryArtifacts,
}

/// An incident that may be sealed.
pub(crate) struct Screened {
    pub(crate) incident: Incident,
    pub(crate) redactions: Vec<Redaction>,
}

/// The rules that these settings ask for.
///
/// # Errors
/// When a rule cannot be used, or one is named that there is not.
pub fn screen_of(settings: &ScreeningSettings) -> Result<Screen, OptionsError> {
    Screen::new(&options(settings))
}

fn options(settings: &ScreeningSettings) -> Options {
    let action = |action| match action {
        ScreeningAction::Redact => Action::Redact,
        ScreeningAction::Quarantine => Action::Quarantine,
        ScreeningAction::Allow => Action::Allow,
    };
    let lists = [
        (ScreeningAction::Redact, &settings.redact),
        (ScreeningAction::Quarantine, &settings.quarantine),
        (ScreeningAction::Allow, &settings.allow),
    ];
    let rules = settings.rules.iter();
    let exceptions = settings.exceptions.iter();
    Options {
        action: action(settings.action),
        actions: lists
            .into_iter()
            .flat_map(|(of_list, names)| names.iter().map(move |n| (n.clone(), action(of_list))))
            .collect(),
        // Lines without a name and a pattern were refused with the configuration.
        rules: rules
            .filter_map(|line| ScreeningSettings::name_and_pattern(line))
            .map(|(id, pattern)| CustomRule {
                id: id.to_owned(),
                description: "of the configuration".to_owned(),
                pattern: pattern.to_owned(),
                keywords: Vec::new(),
                entropy: 0.0,
                action: None,
            })
            .collect(),
        allow: exceptions
            .filter_map(|line| ScreeningSettings::name_and_pattern(line))
            .map(|(rule, pattern)| Allow {
                rule: (rule != "*").then(|| rule.to_owned()),
                pattern: pattern.to_owned(),
            })
            .collect(),
    }
}

impl Screening {
    /// Makes the rules ready and reads the key of the tokens.
    ///
    /// # Errors
    /// When a rule cannot be used, or the key's file is there and cannot be read.
    pub(crate) fn open(
        settings: &ScreeningSettings,
        digest: &DigestKey,
    ) -> Result<Arc<Self>, AgentError> {
        let screen = if settings.enabled {
            Some(screen_of(settings).map_err(AgentError::Screening)?)
        } else {
            tracing::warn!(
                state = "not_screened",
                "screening is off: patient identifiers and secrets in a drop are sealed as they are"
            );
            None
        };
        let key = match read_key(settings) {
            Ok(Some(key)) => key,
            Ok(None) => {
                if settings.enabled {
                    tracing::warn!(
                        state = "no_screening_key",
                        "{} is not there, so the tokens of markers are made with a key derived from the \
                         digest key: make one of its own with `msp-evidence keys screening`",
                        settings.key.display()
                    );
                }
                DigestKey::from_bytes(*digest.hmac(DERIVED).as_bytes())
            }
            Err(source) => {
                return Err(AgentError::ScreeningKey {
                    path: settings.key.clone(),
                    source,
                });
            }
        };
        Ok(Arc::new(Self {
            screen,
            key,
            binary: settings.binary,
        }))
    }

    /// The rules and the key, unless screening is off.
    pub(crate) fn active(&self) -> Option<(&Screen, &DigestKey)> {
        self.screen.as_ref().map(|screen| (screen, &self.key))
    }

    /// A text about a drop, fit to be logged and kept.
    pub(crate) fn text(&self, text: &str) -> String {
        self.counted(text).0
    }

    /// A name as it goes into the signed bytes, and how often each rule applied to it.
    pub(crate) fn counted(&self, text: &str) -> (String, screen::Counts) {
        match self.active() {
            Some((screen, key)) => {
                let redacted = screen.redact(text, key);
                (redacted.text.into_owned(), redacted.counts)
            }
            None => (text.to_owned(), screen::Counts::new()),
        }
    }

    /// A name as printable ASCII, fit to be logged and kept.
    pub(crate) fn name(&self, name: &OsStr, max: usize) -> String {
        printable(OsStr::new(&self.text(&name.to_string_lossy())), max)
    }

    /// The incident that a drop's document tells of, without what must not be sealed.
    pub(crate) fn incident(&self, bytes: &[u8], limits: &Limits) -> Result<Screened, Refusal> {
        let mut document =
            Document::read(bytes, limits).map_err(|refusal| self.refusal(&refusal))?;
        let mut redactions = Vec::new();
        if let Some((screen, key)) = self.active() {
            let screened = screen.redact_document(&mut document.value, key);
            if !screened.quarantine.is_empty() {
                return Err(quarantined(&screened.quarantine));
            }
            for (from, to) in &screened.renamed {
                document.renamed(from, to);
            }
            redactions = screened
                .places
                .into_iter()
                .map(|place| Redaction {
                    path: presentable(&in_bundle(&place.path)),
                    rule: place.rule,
                    count: place.count,
                })
                .collect();
        }
        let incident = document
            .into_incident()
            .map_err(|refusal| self.refusal(&refusal))?;
        Ok(Screened {
            incident,
            redactions,
        })
    }

    /// What is said of a document that cannot be sealed: a path has names in it.
    fn refusal(&self, refusal: &evidence::incident::Refusal) -> Refusal {
        let path = match (self.active(), refusal.path.strip_suffix('…')) {
            // A name that was cut may be a part of what a rule would have found.
            (Some(_), Some(cut)) => cut.rsplit_once('/').map_or("", |(above, _)| above),
            _ => &refusal.path,
        };
        Refusal {
            code: refusal.code.to_string(),
            path: self.text(path),
            message: self.text(&refusal.message),
        }
    }
}

/// Why a drop goes to quarantine in which something was found that is never sealed: only by which
/// rules.
pub(crate) fn quarantined(rules: &[String]) -> Refusal {
    Refusal::new(
        SCREENED,
        format!(
            "screening found what is not to be sealed, by these rules: {}",
            rules.join(", ")
        ),
    )
}

fn read_key(
    settings: &ScreeningSettings,
) -> Result<Option<DigestKey>, Box<dyn std::error::Error + Send + Sync>> {
    match fs::read_to_string(&settings.key).map(Zeroizing::new) {
        Ok(text) => Ok(Some(DigestKey::from_hex(text.trim())?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn settings() -> ScreeningSettings {
        ScreeningSettings {
            enabled: true,
            action: ScreeningAction::Redact,
            redact: Vec::new(),
            quarantine: Vec::new(),
            allow: Vec::new(),
            rules: Vec::new(),
            exceptions: Vec::new(),
            binary: BinaryArtifacts::Allow,
            key: "/nonexistent/screening.key".into(),
        }
    }

    fn opened(settings: &ScreeningSettings) -> Result<Arc<Screening>, AgentError> {
        Screening::open(settings, &DigestKey::from_bytes([4; 32]))
    }

    /// With the rules that are built in.
    pub(crate) fn built_in() -> Arc<Screening> {
        opened(&settings()).unwrap()
    }

    #[test]
    fn a_name_that_is_shown_is_screened_and_printable() {
        let shown = built_in().name(
            OsStr::new("MRN-00482913 jane.roe@example.org\u{7}.json"),
            160,
        );
        assert!(
            !shown.contains("00482913") && !shown.contains("jane"),
            "{shown}"
        );
        assert!(
            shown.starts_with("MRN-_redacted_mrn_") && shown.ends_with("_.json"),
            "{shown}"
        );
    }

    #[test]
    fn a_refusal_reveals_neither_a_name_nor_a_part_of_one() {
        let screening = built_in();
        let limits = Limits::default();
        let long = "x".repeat(185);
        for text in [
            r#"{"a":{"call 212-555-0147":{"x":1,"x":2}}}"#.to_owned(),
            format!(r#"{{"{long} 212-555-0147":{{"x":1,"x":2}}}}"#),
        ] {
            let Err(refusal) = screening.incident(text.as_bytes(), &limits) else {
                panic!("{text} has a name twice");
            };
            assert_eq!(refusal.code, "duplicate_key");
            assert!(!refusal.path.contains("212-5"), "{refusal:?}");
        }
    }

    #[test]
    fn what_the_settings_say_is_what_the_rules_do() {
        let mut set = settings();
        set.allow = vec!["email".to_owned()];
        set.quarantine = vec!["us-ssn".to_owned()];
        set.rules = vec![r"clinic = \bCL-(\d{7})\b".to_owned()];
        set.exceptions = vec![r"* = 212-555-0147".to_owned()];
        let screening = opened(&set).unwrap();
        let text = screening.text("a@example.org CL-1234567 212-555-0147 212-555-0148");
        assert!(
            text.starts_with("a@example.org CL-[redacted:clinic:"),
            "{text}"
        );
        assert!(text.contains("] 212-555-0147 [redacted:phone:"), "{text}");
        let limits = Limits::default();
        let Err(refusal) = screening.incident(br#"{"x": "ssn 219-09-9999"}"#, &limits) else {
            panic!("it asks for quarantine");
        };
        assert_eq!(refusal.code, "screened");
        assert!(refusal.message.ends_with(": us-ssn") && refusal.path.is_empty());
        set.allow = vec!["no-such-rule".to_owned()];
        assert!(matches!(opened(&set), Err(AgentError::Screening(_))));
        set.enabled = false;
        assert_eq!(opened(&set).unwrap().text("219-09-9999"), "219-09-9999");
    }

    #[test]
    fn without_its_file_the_key_is_the_same_at_every_start() {
        let name = "ssn 219-09-9999";
        assert_eq!(built_in().text(name), built_in().text(name));
        let other = Screening::open(&settings(), &DigestKey::from_bytes([5; 32])).unwrap();
        assert_ne!(built_in().text(name), other.text(name));
    }
}
