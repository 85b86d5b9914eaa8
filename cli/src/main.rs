//! msp-evidence
fn main() {}
