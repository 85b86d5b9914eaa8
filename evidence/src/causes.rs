//! An error told whole: our errors' Display omits its source, so whoever prints one adds the chain.

use std::error::Error;

/// The error and everything below it, in one line: `outer: inner: innermost`.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}
