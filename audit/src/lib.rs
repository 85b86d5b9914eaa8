//! Proving evidence again, from a bucket or a folder and public keys: the auditor's side.
//!
//! Trust comes only from the keys that the auditor passes in. Nothing found beside the evidence,
//! such as a copy of a key, is ever believed.
//!
//! An audit collects, then judges. Collecting lists every version and reads it into the [`Ledger`];
//! judging looks at the ledger only, one family of checks after the other, and can be done again.

mod code;
mod collect;
mod finding;
pub mod hold;
mod judge;
mod keyring;
mod ledger;
pub mod list;
mod place;
pub mod pull;
pub mod report;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use code::Code;
pub use collect::{Collected, Collecting, Progress, collect};
pub use finding::{Check, Finding, Level, Subject, Tally, Verdict};
pub use judge::{ExpectedHost, Judging, judge, verdict};
pub use keyring::{KEYRING_FILE, Keyring, KeyringError, PinnedKey};
pub use ledger::{
    Examined, JudgedBy, Ledger, LedgerError, ListedTo, Origin, Read, ReadVersion, Signed, Standing,
    TrustedKey, Unit, VersionToRead,
};
pub use place::{Place, forgotten_prefix};
pub use source::{
    Bucket, Digested, Facts, Fetched, Folder, Listed, Marker, Page, Patience, Source, SourceError,
};
pub use verify::{Checked, Outcome, Reason, Tally as VerifyTally, verify};
