//! The evidence bundle, version 1: one kind of thing for everything the product attests.
//!
//! Header and body are kept apart. [`Draft::seal`] is the only way from a body to signed bytes,
//! [`VerifiedBundle::verify`] the only way from bytes to a payload that may be believed. Once
//! signed, bytes never change: what is stored, chained and verified is exactly what was signed.

mod artifact;
mod draft;
mod header;
mod id;
mod location;
mod verified;

pub use artifact::{artifact_path, safe_name};
pub use draft::{Draft, SealError, SealedBundle};
pub use header::{
    BUNDLE_VERSION, Began, ChainLink, ChainPosition, ChainStart, Header, Kind, Missing, Producer,
    Related, Reseals, SignatureRef, TimeSource,
};
pub(crate) use header::{micros, micros_or_null};
pub use id::{BundleId, NotABundleId, object_path};
pub use location::{
    Ended, LocationState, Locations, OBJECT_LOCK_MODE, ObjectLocation, PlannedLocation,
    StorageLocation,
};
pub use verified::{VerifiedBundle, VerifyError};

/// No bundle is larger: the uploader stores one in a single request of at most 64 MB. A drop that
/// would become longer, indented, is quarantined.
pub const BUNDLE_MAX_BYTES: u64 = 60 << 20;
