//! Why a question could not be put to the store at all.

use super::body::BodyError;
use crate::delivery::DeliveryError;

/// Nothing was learnt of the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    /// The file is not there, cannot be read, or is not what the order names.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The file is not what it was when it was looked at as a whole.
    #[error("the file changed while it was being sent")]
    Changed,
    /// The daemon stops; everything that is needed to go on is written down.
    #[error("the daemon stops")]
    Stopped,
    /// delivery.db could not be read or written.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}
