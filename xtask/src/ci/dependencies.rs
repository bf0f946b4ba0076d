//! docs/dependencies.md has one row for each third-party package that the
//! Cargo files and the tests' list of Python packages name, and no other.

use super::edges::{list, text};
use crate::python::{BENCH_REQUIREMENTS, CI_REQUIREMENTS, TEST_REQUIREMENTS};
use crate::run::{metadata, root};
use std::collections::BTreeSet;

const PAGE: &str = "docs/dependencies.md";

/// Compares the page with the Cargo files.
pub fn check() -> Result<(), String> {
    let read =
        |path: &str| std::fs::read_to_string(root().join(path)).map_err(|err| format!("cannot read {path}: {err}"));
    let mut used = BTreeSet::new();
    for package in list(&metadata()?["packages"]) {
        let foreign = list(&package["dependencies"]).iter().filter(|dependency| dependency["path"].is_null());
        used.extend(foreign.map(|dependency| text(&dependency["name"]).to_owned()));
    }
    for requirements in [TEST_REQUIREMENTS, BENCH_REQUIREMENTS, CI_REQUIREMENTS] {
        used.extend(asked_for(&read(requirements)?));
    }
    let told = rows(&read(PAGE)?);
    let mut problems: Vec<String> = used.difference(&told).map(|name| format!("`{name}` has no row")).collect();
    problems.extend(told.difference(&used).map(|name| format!("`{name}` is not used")));
    super::verdict(&problems)
}

/// Names in the first column of the page's tables: rows that start with "| `name`".
fn rows(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter_map(|line| line.trim_start().strip_prefix("| `"));
    cells.filter_map(|rest| rest.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

/// The packages above the second comment of a list: those asked for, not what they need in turn.
fn asked_for(requirements: &str) -> BTreeSet<String> {
    let lines = requirements.lines().skip_while(|line| line.starts_with('#'));
    let first = lines.take_while(|line| !line.starts_with('#'));
    first.filter_map(|line| line.split(['=', '[']).next()).map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the first column of table rows names packages.
    #[test]
    fn rows_of_a_page() {
        let page = "# Title\n\n| name | why |\n|---|---|\n| `serde` | rows; see `redb` |\n| `clap` | help |\n\nUses `tokio`.\n";
        assert_eq!(rows(page), BTreeSet::from(["serde".to_owned(), "clap".to_owned()]));
    }

    /// What a package needs in turn stands below a comment and is left out.
    #[test]
    fn packages_asked_for() {
        let got = asked_for("# asked\nboto3==1.0\nmoto[server]==5.0\n# in turn\nsix==1.16\n");
        assert_eq!(got, BTreeSet::from(["boto3".to_owned(), "moto".to_owned()]));
    }
}
