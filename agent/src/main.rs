//! msp-evidence-agent
fn main() {}
