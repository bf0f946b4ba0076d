//! The text of the table: sections, types of resources and operations, as the
//! head of `table.txt` explains them. No dependencies and no knowledge of
//! operations, since the generator of docs/permissions.md reads the same text.

/// A service.
pub struct Section<'a> {
    /// Its Rust module.
    pub module: &'a str,
    /// What stands before the colon of its actions.
    pub prefix: &'a str,
    /// Condition keys of all its actions.
    pub keys: Vec<Key<'a>>,
    /// Its types of resources.
    pub types: Vec<Type<'a>>,
    /// Its operations.
    pub operations: Vec<Needs<'a>>,
}

/// A type of resources.
pub struct Type<'a> {
    /// Its name: `instance`.
    pub name: &'a str,
    /// Its ARN, with `{region}`, `{account}` and `{id}`.
    pub arn: &'a str,
    /// Condition keys that resources of the type bring.
    pub keys: Vec<Key<'a>>,
}

/// What an operation needs.
pub struct Needs<'a> {
    /// Its name.
    pub operation: &'a str,
    /// The actions that must be allowed, its own first; none when it needs no permission.
    pub checks: Vec<Check<'a>>,
}

/// An action that must be allowed.
pub struct Check<'a> {
    /// `RunInstances`; with a service's prefix when it is another's.
    pub action: &'a str,
    /// Members that make it necessary; always, without.
    pub when: Option<&'a str>,
    /// The resources that it must be allowed on.
    pub resources: Vec<Resources<'a>>,
    /// The condition keys that it brings.
    pub keys: Vec<Key<'a>>,
}

/// Resources of a type; any type when it is `any`, no resource when it is `*`.
pub struct Resources<'a> {
    /// The type's name.
    pub kind: &'a str,
    /// Whether there may be none.
    pub optional: bool,
    /// `*`, members, or `@word`.
    pub source: &'a str,
}

/// A condition key.
pub struct Key<'a> {
    /// Its name; `/*` at the end stands for a part that varies.
    pub name: &'a str,
    /// Members that hold its values, or `'value'`.
    pub source: Option<&'a str>,
}

/// Reads the table.
///
/// # Errors
/// The line that is not understood, and why.
pub fn read(text: &str) -> Result<Vec<Section<'_>>, String> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut shorthands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let (module, prefix) = head.split_once(' ').ok_or_else(|| wrong("a section has a module and a prefix"))?;
            shorthands.clear();
            sections.push(Section { module, prefix, keys: Vec::new(), types: Vec::new(), operations: Vec::new() });
            continue;
        }
        let section = sections.last_mut().ok_or_else(|| wrong("not in a section"))?;
        let (word, rest) = line.split_once(' ').ok_or_else(|| wrong("nothing said"))?;
        let tokens = expanded(rest, &shorthands).ok_or_else(|| wrong("an unknown shorthand"))?;
        match (word, &tokens[..]) {
            ("let", [name, tokens @ ..]) => shorthands.push((name, tokens.to_vec())),
            ("keys", tokens) => section.keys = keys(tokens).ok_or_else(|| wrong("no condition key"))?,
            ("type", [name, arn, tokens @ ..]) => {
                let keys = keys(tokens).ok_or_else(|| wrong("no condition key"))?;
                section.types.push(Type { name, arn, keys });
            }
            (operation, tokens) => {
                let checks = checks(operation, tokens).ok_or_else(|| wrong("no token of an operation"))?;
                section.operations.push(Needs { operation, checks });
            }
        }
    }
    Ok(sections)
}

/// The tokens of a line, with those that shorthands stand for.
fn expanded<'a>(rest: &'a str, shorthands: &[(&str, Vec<&'a str>)]) -> Option<Vec<&'a str>> {
    let mut tokens = Vec::new();
    for token in rest.split_whitespace() {
        match token.strip_prefix('%') {
            None => tokens.push(token),
            Some(name) => tokens.extend_from_slice(&shorthands.iter().find(|(known, _)| *known == name)?.1),
        }
    }
    Some(tokens)
}

fn keys<'a>(tokens: &[&'a str]) -> Option<Vec<Key<'a>>> {
    tokens.iter().map(|token| key(token)).collect()
}

/// A token with a colon before any equals sign.
fn key(token: &str) -> Option<Key<'_>> {
    let (name, source) = match token.split_once('=') {
        Some((name, source)) => (name, Some(source)),
        None => (token, None),
    };
    name.contains(':').then_some(Key { name, source })
}

/// What an operation's tokens say.
fn checks<'a>(operation: &'a str, tokens: &[&'a str]) -> Option<Vec<Check<'a>>> {
    if tokens == ["-"] {
        return Some(Vec::new());
    }
    let mut checks = Vec::new();
    for (index, part) in tokens.split(|token| *token == "+").enumerate() {
        let (head, tokens) = match index {
            0 => (operation, part),
            _ => (*part.first()?, &part[1..]),
        };
        let (action, when) = match head.split_once('?') {
            Some((action, when)) => (action, Some(when)),
            None => (head, None),
        };
        let mut check = Check { action, when, resources: Vec::new(), keys: Vec::new() };
        for token in tokens {
            match key(token) {
                Some(key) => check.keys.push(key),
                None => check.resources.push(resources(token)?),
            }
        }
        checks.push(check);
    }
    Some(checks)
}

fn resources(token: &str) -> Option<Resources<'_>> {
    if token == "*" {
        return Some(Resources { kind: "*", optional: false, source: "*" });
    }
    let (kind, source) = token.split_once('=')?;
    let (kind, optional) = match kind.strip_suffix('?') {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    Some(Resources { kind, optional, source })
}
