//! Words that may not appear in the tree: hosts of package registries (each
//! machine has its own mirrors) and paths of the machine that the code was
//! written on.

use super::files;
use crate::run::root;
use std::path::Path;

/// In two halves, so that this file does not hold them.
const FORBIDDEN: [(&str, &str); 14] = [
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("registry.npmjs", ".org"),
    ("registry.yarnpkg", ".com"),
    ("proxy.golang", ".org"),
    ("repo1.maven", ".org"),
    ("repo.maven.apache", ".org"),
    ("deb.debian", ".org"),
    ("/work", "/main"),
    ("/work", "/shared"),
    ("/opt", "/wheels"),
    ("/root", "/.pyenv"),
];

/// Searches every text file of the tree.
pub fn check() -> Result<(), String> {
    let words: Vec<String> = FORBIDDEN.iter().map(|(start, end)| format!("{start}{end}")).collect();
    let mut problems = Vec::new();
    for path in files()? {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue;
        };
        problems.extend(found(&path, &text, &words));
    }
    super::verdict(&problems)
}

fn found(path: &Path, text: &str, words: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let hits = words.iter().filter(|word| line.contains(word.as_str()));
        problems.extend(hits.map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hit names file, line and word.
    #[test]
    fn hits_are_located() {
        let words = ["mirror.example".to_owned()];
        let got = found(Path::new("a.txt"), "fine\nfrom mirror.example/x\n", &words);
        assert_eq!(got, ["a.txt:2: mirror.example"]);
    }
}
