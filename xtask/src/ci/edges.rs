//! Which crate may use which: the table of docs/architecture.md, and that the
//! asynchronous runtime stays at the edges.

use crate::run::metadata;
use serde_json::Value;

/// For each crate the crates of ours that it may use.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("elastane-domain", &[]),
    ("elastane-wire", &["elastane-domain"]),
    ("elastane-engine", &["elastane-domain"]),
    ("elastane-api", &["elastane-domain", "elastane-engine", "elastane-wire"]),
    ("elastane-host", &["elastane-domain"]),
    ("elastane-proxy", &["elastane-domain"]),
    ("elastane-sim", &["elastane-domain", "elastane-engine", "elastane-api", "elastane-wire"]),
    (
        "elastane-daemon",
        &[
            "elastane-domain",
            "elastane-engine",
            "elastane-api",
            "elastane-wire",
            "elastane-host",
            "elastane-proxy",
            "elastane-sim",
        ],
    ),
    ("xtask", &["elastane-domain", "elastane-engine", "elastane-api", "elastane-wire"]),
];

/// What brings an asynchronous runtime or sockets with it, by the start of the crate's name.
const RUNTIME: [&str; 3] = ["tokio", "hyper", "http-body"];
/// Who may use it.
const RUNTIME_USERS: [&str; 3] = ["elastane-host", "elastane-proxy", "elastane-daemon"];

/// Reads the Cargo files and reports every edge that is not allowed.
pub fn check() -> Result<(), String> {
    super::verdict(&broken(&metadata()?))
}

fn broken(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            problems.push(format!("{name} is not in the table of crates"));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let other = text(&dependency["name"]);
            if !dependency["path"].is_null() && !allowed.contains(&other) {
                problems.push(format!("{name} may not use {other}"));
            }
            if RUNTIME.iter().any(|start| other.starts_with(start)) && !RUNTIME_USERS.contains(&name) {
                problems.push(format!("{name} may not use {other}: the runtime stays in {}", RUNTIME_USERS.join(", ")));
            }
        }
    }
    problems
}

/// A JSON list's items; none when it is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A JSON string; empty when it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The workspace has only the edges that are allowed.
    #[test]
    fn edges_of_this_workspace() {
        assert_eq!(broken(&metadata().unwrap()), Vec::<String>::new());
    }

    /// A forbidden edge, a runtime in the core and an unknown crate are found.
    #[test]
    fn broken_edges_are_found() {
        let got = broken(&json!({"packages": [
            {"name": "elastane-domain", "dependencies": [
                {"name": "elastane-engine", "path": "crates/engine"},
                {"name": "serde", "path": null},
            ]},
            {"name": "elastane-engine", "dependencies": [{"name": "tokio", "path": null}]},
            {"name": "elastane-new", "dependencies": []},
        ]}));
        assert_eq!(got.len(), 3, "{got:?}");
        for (problem, part) in got.iter().zip(["may not use elastane-engine", "may not use tokio", "elastane-new"]) {
            assert!(problem.contains(part), "{problem}");
        }
    }
}
