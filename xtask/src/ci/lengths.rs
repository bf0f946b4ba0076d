//! A function fits on a screen and a file holds one idea. Files of other
//! makes that are written by hand (Python, JavaScript, shell) have the same
//! limit as Rust's; generated files have none.
//!
//! What is longer all the same stands in `xtask/length-allow.txt` as
//! `path lines` or `path::function lines`. An entry says the exact length, so
//! that it can only shrink: what grew is an error, what shrank must be entered.

use super::files;
use super::lexer::{code_only, is_word};
use crate::run::root;
use std::collections::BTreeMap;
use std::path::Path;

/// A function fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;
/// More than one idea hardly fits below it.
const FILE_LINES_MAX: usize = 800;
const ALLOW_FILE: &str = "xtask/length-allow.txt";
/// Files of which a machine is the author.
const GENERATED: [&str; 2] = ["crates/wire/src/generated/", "Cargo.lock"];
const HAND_WRITTEN: [&str; 5] = ["rs", "py", "js", "ts", "sh"];

/// Measures every hand-written file.
pub fn check() -> Result<(), String> {
    let mut long = BTreeMap::new();
    for path in files()? {
        let shown = path.display().to_string();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if !HAND_WRITTEN.contains(&kind) || GENERATED.iter().any(|start| shown.starts_with(start)) {
            continue;
        }
        let source =
            std::fs::read_to_string(root().join(&path)).map_err(|err| format!("cannot read {shown}: {err}"))?;
        long.extend(too_long(&path, &source));
    }
    let allowed = std::fs::read_to_string(root().join(ALLOW_FILE)).unwrap_or_default();
    super::verdict(&compare(&long, &entries(&allowed)?))
}

/// What is over its limit in one file, with its length.
fn too_long(path: &Path, source: &str) -> BTreeMap<String, usize> {
    let mut long = BTreeMap::new();
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        long.insert(path.display().to_string(), lines);
    }
    if path.extension().is_some_and(|kind| kind == "rs") {
        for (name, lines) in functions(source).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX) {
            let longest = long.entry(format!("{}::{name}", path.display())).or_insert(0);
            *longest = lines.max(*longest);
        }
    }
    long
}

fn entries(text: &str) -> Result<BTreeMap<String, usize>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let entry = line.rsplit_once(' ').and_then(|(name, lines)| Some((name.to_owned(), lines.parse().ok()?)));
            entry.ok_or_else(|| format!("{ALLOW_FILE}: {line:?} is not `name lines`"))
        })
        .collect()
}

fn compare(long: &BTreeMap<String, usize>, allowed: &BTreeMap<String, usize>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, &lines) in long {
        match allowed.get(name) {
            None => problems.push(format!("{name} has {lines} lines")),
            Some(&entered) if lines > entered => problems.push(format!("{name} grew from {entered} to {lines} lines")),
            Some(&entered) if lines < entered => problems.push(format!("{name} shrank: enter {lines} in {ALLOW_FILE}")),
            Some(_) => {}
        }
    }
    let done = allowed.keys().filter(|name| !long.contains_key(*name));
    problems.extend(done.map(|name| format!("{name} is short enough: take it out of {ALLOW_FILE}")));
    problems
}

/// Every function with a body, by name, with the number of lines from `fn` to
/// the closing brace.
fn functions(source: &str) -> Vec<(String, usize)> {
    let code = code_only(source);
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = code[at..].find("fn ") {
        let start = at + offset;
        at = start + 3;
        if start > 0 && is_word(bytes[start - 1]) {
            continue;
        }
        let name: String = code[at..].trim_start().bytes().take_while(|&b| is_word(b)).map(char::from).collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(bytes, at) {
            let lines = code[start..end].matches('\n').count() + 1;
            found.push((name, lines));
        }
    }
    found
}

/// The index of the brace that closes the first block after `at`; `None` for a
/// declaration without a body.
fn body_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (index, &byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' if braces == 0 => brackets += 1,
            b')' | b']' if braces == 0 => brackets = brackets.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' if brackets == 0 => braces += 1,
            b'}' if braces == 1 => return Some(index),
            b'}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines are counted from `fn` to the closing brace, nested functions and
    /// methods included; declarations and types have no body.
    #[test]
    fn functions_are_measured() {
        let source = "\
trait T { fn none(&self, x: [u8; 2]); }
const F: fn (u8) -> u8 = g;
fn one() {}
impl X {
    pub fn three(&self) -> &'static str {
        \"}\" // }
    }
    fn outer(
        x: u8,
    ) {
        fn inner() {
        }
    }
}
";
        let got = functions(source);
        let want = [("one", 1), ("three", 3), ("outer", 6), ("inner", 2)];
        assert_eq!(got, want.map(|(name, lines)| (name.to_owned(), lines)));
    }

    /// Entries may shrink and vanish, not grow or appear.
    #[test]
    fn entries_only_shrink() {
        let map = |pairs: &[(&str, usize)]| -> BTreeMap<String, usize> {
            pairs.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect()
        };
        let allowed = map(&[("a.rs", 900), ("b.rs", 900), ("c.rs::f", 90)]);
        for (long, want) in [
            (map(&[("a.rs", 900), ("b.rs", 900), ("c.rs::f", 90)]), ""),
            (map(&[("a.rs", 901), ("b.rs", 900), ("c.rs::f", 90)]), "a.rs grew from 900 to 901 lines"),
            (map(&[("a.rs", 900), ("b.rs", 850), ("c.rs::f", 90)]), "b.rs shrank: enter 850 in xtask/length-allow.txt"),
            (map(&[("a.rs", 900), ("b.rs", 900)]), "c.rs::f is short enough: take it out of xtask/length-allow.txt"),
            (map(&[("a.rs", 900), ("b.rs", 900), ("c.rs::f", 90), ("d.rs", 801)]), "d.rs has 801 lines"),
        ] {
            assert_eq!(compare(&long, &allowed).join("; "), want);
        }
    }

    /// Both limits are applied, and a long function is named with its file.
    #[test]
    fn limits_are_applied() {
        let source = format!("fn long() {{\n{}}}\n", "    x();\n".repeat(70));
        let got = too_long(Path::new("a.rs"), &source);
        assert_eq!(got.into_iter().collect::<Vec<_>>(), [("a.rs::long".to_owned(), 72)]);
        let got = too_long(Path::new("a.py"), &"x\n".repeat(801));
        assert_eq!(got.into_iter().collect::<Vec<_>>(), [("a.py".to_owned(), 801)]);
    }
}
