//! Reads the list of implemented operations.

/// One service of the list.
pub struct Section {
    /// Rust module of its shapes and its handlers.
    pub module: String,
    /// Prefix of its enum variants.
    pub prefix: String,
    /// Its model: folder and version in botocore's data.
    pub model: String,
    /// Its operations in the order of the list.
    pub operations: Vec<Listed>,
}

/// One operation of the list.
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether it is answered from memory.
    pub read: bool,
}

/// Reads the list; the format is told at its top.
pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || format!("{}:{}: not understood: {line}", super::OPERATIONS, number + 1);
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let [module, prefix, model] = head.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(wrong());
            };
            sections.push(Section {
                module: module.to_owned(),
                prefix: prefix.to_owned(),
                model: model.to_owned(),
                operations: Vec::new(),
            });
            continue;
        }
        let [access, name] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let read = match access {
            "read" => true,
            "write" => false,
            _ => return Err(wrong()),
        };
        let section = sections.last_mut().ok_or_else(wrong)?;
        if section.operations.iter().any(|known| known.name == name) {
            return Err(format!("{} is listed twice: {name}", section.module));
        }
        section.operations.push(Listed { name: name.to_owned(), read });
    }
    Ok(sections)
}
