//! What the tests across processes share.

pub mod cosign;
pub mod sealing;
pub mod tools;
