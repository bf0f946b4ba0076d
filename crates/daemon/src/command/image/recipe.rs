//! What `elastane image build` reads: lines of a keyword and a value, then
//! the script, which is the user data of the instance that is captured.

use crate::data_dir::Problem;

/// The type of the instance that an image is built on, when none is named.
const INSTANCE_TYPE: &str = "t3.micro";

/// User data before its encoding (EC2 User Guide, "Run commands at launch").
const SCRIPT_BYTES_MAX: usize = 16_384;

/// A file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The base.
    pub from: String,
    /// The image's name, if the file says one.
    pub name: Option<String>,
    /// Further names.
    pub aliases: Vec<String>,
    /// Its description.
    pub description: String,
    /// The instance type to build on.
    pub instance_type: String,
    /// The script.
    pub script: String,
}

/// Reads a file's text. Errors name the line.
pub fn parse(text: &str) -> Result<Recipe, Problem> {
    let mut recipe = Recipe {
        from: String::new(),
        name: None,
        aliases: Vec::new(),
        description: String::new(),
        instance_type: INSTANCE_TYPE.to_string(),
        script: String::new(),
    };
    let mut rest = text;
    for number in 1.. {
        if rest.starts_with("#!") || rest.starts_with("#cloud-config") {
            recipe.script = rest.to_string();
            break;
        }
        if rest.is_empty() {
            return Err(Problem::new("the file has no script: it begins with a line such as #!/bin/sh"));
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        if value.is_empty() {
            return Err(Problem::new(format!("line {number}: {keyword} has no value")));
        }
        match keyword {
            "FROM" => recipe.from = value.to_string(),
            "NAME" => recipe.name = Some(value.to_string()),
            "ALIAS" => recipe.aliases.extend(value.split_ascii_whitespace().map(str::to_string)),
            "DESCRIPTION" => recipe.description = value.to_string(),
            "TYPE" => recipe.instance_type = value.to_string(),
            other => {
                return Err(Problem::new(format!(
                    "line {number}: {other} is not FROM, NAME, ALIAS, DESCRIPTION or TYPE, and the script has not begun: \
                     it begins with a line such as #!/bin/sh"
                )));
            }
        }
    }
    if recipe.from.is_empty() {
        return Err(Problem::new("the file does not say what to build on: add a line such as FROM host"));
    }
    if recipe.script.len() > SCRIPT_BYTES_MAX {
        return Err(Problem::new(format!(
            "the script has {} bytes; user data has at most {SCRIPT_BYTES_MAX}: fetch the rest from within it",
            recipe.script.len()
        )));
    }
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keywords in any order, comments, and the script as it stands.
    #[test]
    fn good_files() {
        let recipe = parse("# web\nFROM debian-12\n\nALIAS web  www\nNAME web-1\nTYPE t3.small\n#!/bin/sh\nFROM x\n")
            .expect("a good file");
        assert_eq!((recipe.from.as_str(), recipe.name.as_deref()), ("debian-12", Some("web-1")));
        assert_eq!(
            (recipe.aliases, recipe.instance_type),
            (vec!["web".to_string(), "www".to_string()], "t3.small".to_string())
        );
        assert_eq!(recipe.script, "#!/bin/sh\nFROM x\n");
        assert_eq!(parse("FROM host\n#cloud-config\npackages: []").expect("cloud-config").instance_type, INSTANCE_TYPE);
    }

    /// What is wrong is named with its line.
    #[test]
    fn bad_files() {
        let long = format!("FROM host\n#!/bin/sh\n{}", "x".repeat(SCRIPT_BYTES_MAX));
        for (text, want) in [
            ("FROM host\n", "no script"),
            ("", "no script"),
            ("#!/bin/sh\n", "FROM host"),
            ("FROM\n#!/bin/sh\n", "line 1: FROM has no value"),
            ("FROM host\nRUN apt-get update\n#!/bin/sh\n", "line 2: RUN is not"),
            (&long, "at most 16384"),
        ] {
            let err = parse(text).expect_err(want).to_string();
            assert!(err.contains(want), "{err}");
        }
    }
}
