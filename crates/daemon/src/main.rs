//! The binary `elastane`.
fn main() {}
