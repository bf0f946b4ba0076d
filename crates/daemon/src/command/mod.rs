//! The subcommands.

pub mod ca;
pub mod chaos;
pub mod demo;
pub mod deploy;
pub mod doctor;
pub mod down;
pub mod env;
pub mod image;
pub mod lb;
pub mod proxy;
pub mod reset;
pub mod sim;
pub mod status;
pub mod up;
