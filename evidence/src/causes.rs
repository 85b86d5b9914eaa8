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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Told {
        said: &'static str,
        #[source]
        below: Option<Box<Told>>,
    }

    #[test]
    fn every_cause_is_told_once_from_the_outside_in() {
        let told = |said, below: Option<Told>| Told {
            said,
            below: below.map(Box::new),
        };
        let error = told("outer", Some(told("inner", Some(told("innermost", None)))));
        assert_eq!(causes(&error), "outer: inner: innermost");
        assert_eq!(causes(&told("alone", None)), "alone");
    }
}
