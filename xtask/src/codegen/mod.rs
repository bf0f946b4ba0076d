//! Generates the wire crate's shapes, its dispatch and the coverage page from
//! the public service models, for the operations named in one list, and the
//! page of permissions from the authoriser's table.
//!
//! Documentation text of the models is dropped. The result is checked in;
//! `check` compares it with what would be generated.

mod coverage;
mod dispatch;
mod list;
mod model;
mod names;
mod permissions;
mod shapes;

use crate::fetch;
use std::path::Path;

/// The list of operations, below the workspace's root.
pub const OPERATIONS: &str = "crates/wire/operations.txt";

const GENERATED: &str = "crates/wire/src/generated";
const COVERAGE: &str = "docs/coverage.md";
const PERMISSIONS: &str = "docs/permissions.md";

/// Writes the generated files or, with `check`, compares them.
///
/// # Errors
/// When a model cannot be fetched or understood, when a listed operation is
/// not in its model, and with `check` when a file differs.
pub fn run(check: bool) -> Result<(), String> {
    let root = fetch::workspace_root()?;
    let sections = list::parse(&read(&root.join(OPERATIONS))?)?;
    let names: Vec<String> = sections.iter().map(|section| section.model.clone()).collect();
    let folder = fetch::service_models(&names)?;
    let mut services = Vec::new();
    for section in sections {
        let text = read(&folder.join(format!("{}.json", section.model)))?;
        services.push(model::Service::load(section, &text)?);
    }
    let mut files = vec![(format!("{GENERATED}/mod.rs"), dispatch::module_file(&services))];
    for service in &services {
        files.push((format!("{GENERATED}/{}.rs", service.section.module), shapes::emit(service)?));
    }
    files.push((format!("{GENERATED}/operations.rs"), dispatch::emit(&services)?));
    files.push((COVERAGE.to_owned(), coverage::emit(&services)));
    let table = read(&root.join(permissions::TABLE))?;
    let page = permissions::emit(&table).map_err(|err| format!("{}: {err}", permissions::TABLE))?;
    files.push((PERMISSIONS.to_owned(), page));
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = root.join(&name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            stale.push(name);
        } else {
            write(&path, &text)?;
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not as generated (run `cargo xtask codegen`): {}", stale.join(", ")))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|err| format!("cannot read {}: {err}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|err| format!("cannot create {}: {err}", folder.display()))?;
    }
    std::fs::write(path, text).map_err(|err| format!("cannot write {}: {err}", path.display()))
}
