//! `elastane demo`.
use crate::data_dir::Problem;
/// How the demo runs.
#[derive(clap::Args, Clone, Debug)]
pub struct Demo {}
/// Runs it.
pub fn run(_demo: &Demo) -> Result<(), Problem> {
    Err(Problem::new("not written yet"))
}
