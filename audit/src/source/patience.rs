//! How often a store is asked the same question again.
//!
//! The uploader's loop never gives up, since evidence must not be lost. A reader loses nothing: it
//! asks a few times, and what was not answered then could not be checked, and is said to be.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use destination::{Class, Failure};

/// How long to go on asking.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often a question is asked in all.
    pub attempts: usize,
    /// The pause after the first refusal; later ones are longer.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 4,
            pause: Duration::from_millis(250),
        }
    }
}

impl Patience {
    /// Asks until there is an answer, a refusal that asking again would not change, or no patience
    /// left.
    pub(super) async fn ask<T, F>(&self, mut question: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(self.pause)
            .with_max_times(self.attempts.saturating_sub(1))
            .with_jitter()
            .with_jitter_seed(fastrand::u64(..))
            .build();
        loop {
            let failure = match question().await {
                Err(failure) if is_worth_asking_again(&failure) => failure,
                other => return other,
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }
}

/// A refused clock is learnt from the refusal itself.
fn is_worth_asking_again(failure: &Failure) -> bool {
    matches!(
        failure.class,
        Class::Transient | Class::Clock | Class::ConflictRetry
    ) && failure.status != Some(404)
        && failure.code != "LocalWrite"
}
