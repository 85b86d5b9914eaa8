//! msp-evidence-uploader
fn main() {}
