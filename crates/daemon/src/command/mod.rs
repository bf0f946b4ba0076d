//! The subcommands.

pub mod demo;
pub mod doctor;
pub mod down;
pub mod env;
pub mod reset;
pub mod sim;
pub mod status;
pub mod up;
