//! Requests: what an operator's command asks of the agent, and what the agent answers.
//!
//! The agent is the only writer of spool.db, so the command asks it the way everything is handed
//! over here: by a file renamed into a folder. `requests/` belongs to the agent's user, mode 0700,
//! so whoever can put a file there could as well be the agent; still it is parsed as strictly as a
//! receipt. A request's id is recorded with what was done, in one transaction, so that a crash
//! repeats nothing.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::is_safe_name;
use crate::bundle::BundleId;
use crate::digest::Sha256;

/// No host has more destinations.
const MAX_DESTINATIONS: usize = 100;
/// A reason in an operator's own words is not longer, in bytes.
pub const REASON_MAX_BYTES: usize = 1000;

/// What an operator asks the agent to do. Applied exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Always 1.
    pub request_version: u32,
    /// A ULID; also the file name, before [`super::REQUEST_SUFFIX`].
    pub request_id: String,
    /// What is to be done.
    pub action: Action,
    /// Who asks, as the command saw it.
    pub requested_by: Requester,
    /// When, by the host's clock.
    pub requested_at: Timestamp,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// End all deliveries to a destination, for ever.
    Retire {
        /// The destination.
        destination_id: String,
        /// Why, in the operator's words; attested in custody.
        reason: String,
    },
    /// Order what was sealed before a destination was added for that destination too.
    Backfill {
        /// The destination.
        destination_id: String,
        /// Only what was sealed on this UTC day or later.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        since: Option<Date>,
    },
    /// Seal a bundle again under a new name, since other bytes were found under its key.
    Reseal {
        /// Its chain: after a lost spool another bundle may have the same name.
        chain_id: String,
        /// The bundle.
        bundle_id: String,
        /// Where its key is taken: its deliveries end there.
        destinations: Vec<String>,
        /// Why, in the operator's words.
        reason: String,
    },
    /// Sign with the next key from now on.
    Rotate {
        /// Fingerprint of the key that lies ready beside the one in use.
        to_key_id: String,
        /// Why, in the operator's words.
        reason: String,
        /// Who wants it, if that is to be said otherwise than by who asks.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<String>,
    },
    /// Seal a probe: a bundle that attests nothing and shows that the way to the stores works.
    Probe {
        /// Why, in the operator's words.
        reason: String,
    },
}

impl Action {
    /// The name used in JSON, SQL and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Retire { .. } => "retire",
            Self::Backfill { .. } => "backfill",
            Self::Reseal { .. } => "reseal",
            Self::Rotate { .. } => "rotate",
            Self::Probe { .. } => "probe",
        }
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    /// The command's real user id.
    pub uid: u32,
    /// `SUDO_USER`, where the command ran under sudo: whose login it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sudo_user: Option<String>,
}

impl std::fmt::Display for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.sudo_user {
            Some(name) => write!(f, "uid {} (sudo by {name})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// What the agent answers; the asking command removes the file once it has read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Always 1.
    pub answer_version: u32,
    /// The request; also the file name, before [`super::ANSWER_SUFFIX`].
    pub request_id: String,
    /// Whether it was done. When not, nothing was changed.
    pub ok: bool,
    /// In words, for the operator.
    pub message: String,
    /// The same for scripts; the keys depend on the request's kind.
    pub details: Map<String, Value>,
}

/// Why a file is not a valid request or answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON of the expected form.
    #[error("it is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("version {0} is not known to this version; upgrade the agent")]
    Version(u32),
    /// An id that is not a ULID.
    #[error("the request's id is not a ULID")]
    Id,
    /// A field that cannot be meant.
    #[error("{field} {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Request {
    /// The bytes of the request file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        file_bytes(self)
    }

    /// Parses and checks a request file.
    ///
    /// # Errors
    /// When the bytes are not a request of version 1, or a field cannot be meant.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let request: Self = serde_json::from_slice(bytes)?;
        if request.request_version != 1 {
            return Err(RequestError::Version(request.request_version));
        }
        if !is_request_id(&request.request_id) {
            return Err(RequestError::Id);
        }
        match &request.action {
            Action::Retire {
                destination_id,
                reason,
            } => {
                check_destination(destination_id)?;
                check_text("reason", reason)?;
            }
            Action::Backfill { destination_id, .. } => check_destination(destination_id)?,
            Action::Probe { reason } => check_text("reason", reason)?,
            Action::Rotate {
                to_key_id,
                reason,
                by,
            } => {
                let digest = to_key_id.strip_prefix("sha256:");
                if digest.is_none_or(|digest| digest.parse::<Sha256>().is_err()) {
                    return Err(RequestError::Field {
                        field: "to_key_id",
                        problem: "is not the fingerprint of a key",
                    });
                }
                check_text("reason", reason)?;
                by.iter().try_for_each(|by| check_text("by", by))?;
            }
            Action::Reseal {
                chain_id,
                bundle_id,
                destinations,
                reason,
            } => {
                if !is_safe_name(chain_id) {
                    return Err(RequestError::Field {
                        field: "chain_id",
                        problem: "is not the id of a chain",
                    });
                }
                if bundle_id.parse::<BundleId>().is_err() {
                    return Err(RequestError::Field {
                        field: "bundle_id",
                        problem: "is not the name of a bundle",
                    });
                }
                if destinations.is_empty() || destinations.len() > MAX_DESTINATIONS {
                    return Err(RequestError::Field {
                        field: "destinations",
                        problem: "names none, or too many",
                    });
                }
                destinations
                    .iter()
                    .try_for_each(|id| check_destination(id))?;
                check_text("reason", reason)?;
            }
        }
        if let Some(name) = &request.requested_by.sudo_user {
            check_text("requested_by.sudo_user", name)?;
        }
        Ok(request)
    }
}

impl Answer {
    /// The bytes of the answer file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        file_bytes(self)
    }

    /// Parses an answer file.
    ///
    /// # Errors
    /// When the bytes are not an answer of version 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let answer: Self = serde_json::from_slice(bytes)?;
        if answer.answer_version != 1 {
            return Err(RequestError::Version(answer.answer_version));
        }
        Ok(answer)
    }
}

/// Whether `id` has the form of a ULID: 26 letters and digits.
#[must_use]
pub fn is_request_id(id: &str) -> bool {
    id.len() == 26 && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn file_bytes(value: &impl Serialize) -> Vec<u8> {
    // Plain structs of text, numbers and maps with text keys always serialise.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn check_destination(id: &str) -> Result<(), RequestError> {
    if is_safe_name(id) {
        return Ok(());
    }
    Err(RequestError::Field {
        field: "destination_id",
        problem: "is not the id of a destination",
    })
}

/// One line of an operator's words: it ends up in logs, on terminals and in custody.
fn check_text(field: &'static str, text: &str) -> Result<(), RequestError> {
    let problem = if super::is_line(text) {
        return Ok(());
    } else if text.trim().is_empty() {
        "is empty"
    } else if text.len() > REASON_MAX_BYTES {
        "is longer than 1000 bytes"
    } else {
        "has control characters, or marks that turn text round; write one plain line"
    };
    Err(RequestError::Field { field, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            request_version: 1,
            request_id: "01JDA0000000000000000000AB".to_owned(),
            action: Action::Retire {
                destination_id: "old".to_owned(),
                reason: "the contract ended".to_owned(),
            },
            requested_by: Requester {
                uid: 0,
                sudo_user: Some("mia".to_owned()),
            },
            requested_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let request = request();
        assert_eq!(Request::parse(&request.to_bytes()).unwrap(), request);
        let answer = Answer {
            answer_version: 1,
            request_id: request.request_id,
            ok: true,
            message: "done".to_owned(),
            details: Map::new(),
        };
        assert_eq!(Answer::parse(&answer.to_bytes()).unwrap(), answer);
    }

    #[test]
    fn what_is_not_exactly_a_request_is_refused() {
        let text = String::from_utf8(request().to_bytes()).unwrap();
        for (from, to) in [
            ("\"request_version\":1", "\"request_version\":2"),
            ("01JDA0000000000000000000AB", "../01JDA000000000000000000"),
            ("\"kind\":\"retire\"", "\"kind\":\"unretire\""),
            ("\"reason\"", "\"more\":1,\"reason\""),
            ("\"reason\"", "\"reason\":\"x\",\"reason\""),
            ("\"uid\":0", "\"uid\":0,\"more\":1"),
            (
                "\"destination_id\":\"old\"",
                "\"destination_id\":\"../old\"",
            ),
            ("the contract ended", ""),
            ("the contract ended", "two\\nlines"),
            ("the contract ended", "turned \u{202e}round"),
            ("the contract ended", &"x".repeat(1001)),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert!(Request::parse(changed.as_bytes()).is_err(), "{to}");
        }
    }

    fn parse(action: Action) -> Result<Request, RequestError> {
        let request = Request {
            action,
            ..request()
        };
        let parsed = Request::parse(&request.to_bytes());
        if let Ok(parsed) = &parsed {
            assert_eq!(*parsed, request);
        }
        parsed
    }

    #[test]
    fn a_reason_may_have_a_thousand_bytes() {
        let longest = Action::Retire {
            destination_id: "old".to_owned(),
            reason: "x".repeat(REASON_MAX_BYTES),
        };
        assert!(parse(longest).is_ok());
    }

    #[test]
    fn a_line_that_is_none_is_refused_with_what_is_wrong_with_it() {
        let said = |text: &str| check_text("reason", text).unwrap_err().to_string();
        assert!(said(" ").contains("is empty"));
        assert!(said(&"x".repeat(REASON_MAX_BYTES + 1)).contains("is longer than 1000 bytes"));
        let longest = format!("{}\n", "x".repeat(REASON_MAX_BYTES - 1));
        assert!(said(&longest).contains("has control characters"));
    }

    #[test]
    fn what_is_backfilled_is_a_destination() {
        let backfill = |id: &str| {
            parse(Action::Backfill {
                destination_id: id.to_owned(),
                since: None,
            })
        };
        assert!(backfill("new").is_ok());
        assert!(backfill("../new").is_err());
    }

    #[test]
    fn what_is_resealed_is_a_bundle_of_a_chain_at_some_destinations() {
        let reseal = |chain_id: &str, bundle_id: &str, destinations: Vec<&str>| {
            parse(Action::Reseal {
                chain_id: chain_id.to_owned(),
                bundle_id: bundle_id.to_owned(),
                destinations: destinations.into_iter().map(str::to_owned).collect(),
                reason: "other bytes are stored there".to_owned(),
            })
        };
        let (chain, bundle) = ("01JDA0000000000000000000CH", "EB-20261121-0001");
        assert!(reseal(chain, bundle, vec!["main"]).is_ok());
        assert!(reseal(chain, bundle, vec!["main"; MAX_DESTINATIONS]).is_ok());
        for refused in [
            reseal("a/b", bundle, vec!["main"]),
            reseal(chain, "EB-20261121-1", vec!["main"]),
            reseal(chain, bundle, vec![]),
            reseal(chain, bundle, vec!["main"; MAX_DESTINATIONS + 1]),
            reseal(chain, bundle, vec!["main", "../x"]),
        ] {
            assert!(
                matches!(refused, Err(RequestError::Field { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_probe_says_in_one_line_why_it_is_sealed() {
        let probe = |reason: &str| Action::Probe {
            reason: reason.to_owned(),
        };
        assert!(parse(probe("set-up")).is_ok());
        assert!(parse(probe("")).is_err());
        assert!(parse(probe("two\nlines")).is_err());
    }

    #[test]
    fn what_is_rotated_to_is_named_by_a_fingerprint() {
        let rotate = |to_key_id: &str, by: Option<&str>| Action::Rotate {
            to_key_id: to_key_id.to_owned(),
            reason: "yearly".to_owned(),
            by: by.map(str::to_owned),
        };
        let id = Sha256::of(b"a key").prefixed();
        assert!(parse(rotate(&id, None)).is_ok());
        assert!(parse(rotate(&id, Some("mia"))).is_ok());
        assert!(parse(rotate(&id, Some("two\nlines"))).is_err());
        assert!(
            parse(rotate(&id[7..], None)).is_err(),
            "without its algorithm"
        );
        assert!(parse(rotate("sha256:5a", None)).is_err());
    }

    #[test]
    fn an_answer_of_another_version_is_refused() {
        let answer = Answer {
            answer_version: 2,
            request_id: request().request_id,
            ok: true,
            message: "done".to_owned(),
            details: Map::new(),
        };
        assert!(matches!(
            Answer::parse(&answer.to_bytes()),
            Err(RequestError::Version(2))
        ));
    }

    #[test]
    fn an_action_has_one_name_in_json_and_elsewhere() {
        let action = request().action;
        let json = serde_json::to_value(&action).unwrap();
        assert_eq!(json["kind"], action.as_str());
    }

    #[test]
    fn who_asked_is_told_with_whose_login_it_was() {
        let requester = request().requested_by;
        assert_eq!(requester.to_string(), "uid 0 (sudo by mia)");
        let requester = Requester {
            uid: 7,
            sudo_user: None,
        };
        assert_eq!(requester.to_string(), "uid 7");
    }

    #[test]
    fn a_request_id_is_26_letters_and_digits() {
        assert!(is_request_id("01JDA0000000000000000000AB"));
        for id in [
            "",
            "01JDA0000000000000000000A",
            "01JDA0000000000000000000ABC",
            "01JDA00000000000000000/0AB",
        ] {
            assert!(!is_request_id(id), "{id}");
        }
    }
}
