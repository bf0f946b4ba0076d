//! Rust names for the models' names.

/// Words that cannot be field or function names as they are.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "continue", "do", "dyn", "else", "enum", "extern", "final", "fn",
    "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "override", "priv", "pub", "ref",
    "return", "static", "struct", "trait", "true", "false", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// `TargetGroupARNs` as `target_group_arns`.
pub fn snake(name: &str) -> String {
    // A plural of an abbreviation is one word, as in `AlarmARNs`.
    let chars: Vec<char> = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut out = String::new();
    for (index, &c) in chars.iter().enumerate() {
        let next = chars.get(index + 1).copied();
        let after_lower = index > 0 && !chars[index - 1].is_ascii_uppercase();
        let plural_end = next == Some('s') && index + 2 == chars.len();
        let starts_word = next.is_some_and(|next| next.is_ascii_lowercase()) && !plural_end;
        if c.is_ascii_uppercase() && index > 0 && (after_lower || starts_word) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A field's name: snake case, raw when it is a keyword.
pub fn field(name: &str) -> String {
    let name = snake(name);
    if KEYWORDS.contains(&name.as_str()) {
        return format!("r#{name}");
    }
    name
}

/// A constant's name.
pub fn constant(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// A type's name: the model's, with an upper-case first letter.
pub fn type_name(name: &str) -> String {
    capitalized(&name.replace('_', ""))
}

/// The text with an upper-case first letter.
pub fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}
