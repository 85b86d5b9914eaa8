//! A clinic in a box: an S3 endpoint with real Object Lock rules, in this process.
//!
//! The product's tests and its demo need a store that refuses what S3 refuses: COMPLIANCE that
//! cannot be shortened, versions under delete markers, conditional writes that race, checksums
//! that are checked. This is one, on `s3s`, in memory or in a folder, with faults that a test can
//! script. It must pass the same conformance suite as every other store.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sandbox::{Action, Fault, Sandbox, SandboxOptions};
//!
//! let sandbox = Sandbox::start(SandboxOptions::with_bucket("evidence")).await?;
//! let endpoint = sandbox.endpoint(); // http://127.0.0.1:PORT, path-style, any region
//! let access_key = &sandbox.credentials().access_key;
//!
//! sandbox.faults().add(Fault::on("PutObject", Action::DropAfterCommit).nth(3));
//! sandbox.clock().set_offset_secs(3600); // Date, skew and retention follow
//! // … drive a client …
//! assert_eq!(sandbox.hits("PutObject"), 3);
//! let versions = sandbox.store().versions("evidence", "key"); // bytes' hash, lock, checksum
//! sandbox.shutdown().await?;
//! # Ok(()) }
//! ```
//!
//! [`Sandbox::log`] has every request and its outcome and lets a test await them
//! ([`RequestLog::wait_until`]); [`Sandbox::identities`] takes permissions away;
//! [`Store::tamper_bytes`] and its like do damage behind the API. `s3s` logs every S3 error at
//! level ERROR: filter `s3s=off` where refusals are expected.

mod clock;
mod endpoint;
mod faults;
mod identity;
mod request_log;
mod roles;
mod s3;
mod store;

pub use clock::Clock;
pub use endpoint::{BucketOptions, Sandbox, SandboxError, SandboxOptions};
pub use faults::{Action, Fault, FaultId, Faults, Script};
pub use identity::{Identities, Identity};
pub use request_log::{Count, Outcome, Request, RequestLog};
pub use roles::{Asked, CONTAINER_PATH, ROLE, RoleServices};
pub use store::{
    Algorithm, BucketSettings, Checksum, DefaultRule, Headers, Kind, Lock, Mode, NULL_VERSION,
    Part, Period, Refusal, Retention, Store, Upload, Version, Versioning, checksum_of, md5_of,
    sha256_hex,
};
