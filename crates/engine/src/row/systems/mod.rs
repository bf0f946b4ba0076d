//! Rows of Systems Manager.

mod command;
mod parameter;
mod session;

pub use command::*;
pub use parameter::*;
pub use session::*;
