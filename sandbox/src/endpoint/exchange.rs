//! What the layers around one request tell each other: the HTTP layer makes it, the access check
//! fills it in, the operations read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::faults::Action;
use crate::identity::Identity;

/// One request under way. Travels in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) operation: String,
    pub(crate) bucket: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) actions: Vec<Action>,
    /// The request's body as it came over the wire, while it is small: what the digests of XML
    /// requests are checked against. `None` before the first piece; cut off when it grows large.
    pub(crate) small_body: Option<Vec<u8>>,
}

/// The largest request body that is kept for checking its digest; XML requests are smaller.
const SMALL_BODY_BYTES: usize = 1 << 20;

impl Exchange {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a piece of the request's body that was read.
    pub(crate) fn see_body(&self, piece: &Bytes) {
        let mut inner = self.inner();
        let kept = inner.small_body.get_or_insert_default();
        if kept.len() <= SMALL_BODY_BYTES {
            kept.extend_from_slice(piece);
        }
    }

    /// The small body, if all of it was kept.
    pub(crate) fn small_body(&self) -> Option<Vec<u8>> {
        let inner = self.inner();
        let body = inner.small_body.clone().unwrap_or_default();
        (body.len() <= SMALL_BODY_BYTES).then_some(body)
    }

    /// Whether a fault with this action struck.
    pub(crate) fn is_struck_by(&self, action: &Action) -> bool {
        self.inner().actions.contains(action)
    }

    /// The first struck action for which `pick` gives something.
    pub(crate) fn find<T>(&self, pick: impl Fn(&Action) -> Option<T>) -> Option<T> {
        self.inner().actions.iter().find_map(pick)
    }

    /// Whether the caller may do this IAM action.
    pub(crate) fn may(&self, action: &str) -> bool {
        self.inner()
            .identity
            .as_ref()
            .is_some_and(|identity| identity.may(action))
    }
}
