//! Policies as IAM evaluates them: pure functions of documents, a request and
//! its context.

mod context;
mod decide;
mod document;

pub use context::Context;
pub use decide::{Decision, Policies, Request, Source, decide};
pub use document::{Document, Grammar, Malformed};
