//! Policies as IAM evaluates them: pure functions of documents, a request and
//! its context. A document is compiled when it is read; deciding allocates
//! next to nothing. [`select`] finds what policies have to say about an action,
//! [`Selection::decide`] weighs it for a resource; [`decide`] does both. Where
//! AWS leaves a choice it is named at the function that makes it, and in
//! docs/decisions/0026.

mod arn;
mod condition;
mod context;
mod decide;
mod document;
mod evaluation;
mod grammar;
mod index;
mod json;
mod pattern;
mod principal;
mod resource;
mod selection;
mod value;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod table;

pub use context::{Context, Keys};
pub use decide::{Decision, Explanation, Matched, Policies, Request, Source, decide, explain, grant};
pub use document::{Document, Effect, Grammar, Malformed, Position, characters};
pub use index::Action;
pub use principal::{Grant, PrincipalKind, PrincipalName};
pub use selection::{Selection, Settled, select};
