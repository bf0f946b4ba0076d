//! Rows of Systems Manager.

mod command;
mod document;
mod parameter;
mod session;

pub use command::*;
pub use document::*;
pub use parameter::*;
pub use session::*;
