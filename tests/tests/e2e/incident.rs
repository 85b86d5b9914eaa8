//! The synthetic incident of all these tests.

pub(crate) use tests::incident::document;
