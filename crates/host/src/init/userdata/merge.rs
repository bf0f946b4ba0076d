//! Merging of cloud-configs as cloud-init documents it. Without a say of the
//! later part, its keys replace those of the earlier parts whole; a part can
//! ask for another way with `merge_how`, `merge_type` or a header.

use serde_json::{Map, Value};

/// Lists nested deeper than this are replaced, not merged.
const DEPTH_MAX: usize = 32;

/// How one kind of value is merged: the options in parentheses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    dict: Option<Vec<String>>,
    list: Option<Vec<String>>,
    text: Option<Vec<String>>,
}

/// Merges `part` into what was there before. `header` is the part's merge
/// type header. Removes the part's own words about merging.
pub fn merged(
    before: Map<String, Value>,
    mut part: Map<String, Value>,
    header: Option<&str>,
) -> Result<Map<String, Value>, String> {
    let how = part.remove("merge_how");
    let kind = part.remove("merge_type");
    let rules = match (how.or(kind).filter(|value| !value.is_null()), header) {
        (Some(value), _) => Rules::of_value(&value)?,
        (None, Some(header)) => Rules::of_text(header)?,
        (None, None) => Rules::of_text("dict(replace)+list()+str()")?,
    };
    match rules.merge(Value::Object(before), Value::Object(part), 0) {
        Value::Object(merged) => Ok(merged),
        _ => Err("the merging rules do not keep a mapping".to_owned()),
    }
}

impl Rules {
    fn of_value(value: &Value) -> Result<Rules, String> {
        if let Some(text) = value.as_str() {
            return Rules::of_text(text);
        }
        let mut rules = Rules::default();
        for entry in value.as_array().ok_or("merge_how is neither a text nor a list")? {
            let name = entry["name"].as_str().ok_or("an entry of merge_how has no name")?;
            let settings = entry["settings"].as_array().into_iter().flatten();
            rules.set(name, settings.filter_map(Value::as_str).map(str::to_owned).collect())?;
        }
        Ok(rules)
    }

    fn of_text(text: &str) -> Result<Rules, String> {
        let mut rules = Rules::default();
        for piece in text.split('+').map(str::trim).filter(|piece| !piece.is_empty()) {
            let (name, rest) =
                piece.split_once('(').ok_or_else(|| format!("the merge type {piece:?} has no parentheses"))?;
            let options = rest.trim_end_matches(')').split(',').map(|option| option.trim().to_owned());
            rules.set(name.trim(), options.filter(|option| !option.is_empty()).collect())?;
        }
        Ok(rules)
    }

    fn set(&mut self, name: &str, options: Vec<String>) -> Result<(), String> {
        match name {
            "dict" => self.dict = Some(options),
            "list" => self.list = Some(options),
            "str" => self.text = Some(options),
            other => return Err(format!("the merge type {other:?} is unknown")),
        }
        Ok(())
    }

    fn merge(&self, before: Value, part: Value, depth: usize) -> Value {
        let has = |options: &Option<Vec<String>>, name: &str| {
            options.as_ref().is_some_and(|options| options.iter().any(|option| option == name))
        };
        if depth > DEPTH_MAX {
            return part;
        }
        match (before, part) {
            (Value::Object(before), Value::Object(part)) if self.dict.is_some() => self.dicts(before, part, depth),
            (Value::Array(before), Value::Array(part)) if self.list.is_some() => {
                if has(&self.list, "append") {
                    Value::Array(before.into_iter().chain(part).collect())
                } else if has(&self.list, "prepend") {
                    Value::Array(part.into_iter().chain(before).collect())
                } else if has(&self.list, "no_replace") {
                    self.by_place(before, part, depth)
                } else {
                    Value::Array(part)
                }
            }
            (Value::String(before), Value::String(part)) if has(&self.text, "append") => Value::String(before + &part),
            (_, part) => part,
        }
    }

    fn dicts(&self, mut before: Map<String, Value>, part: Map<String, Value>, depth: usize) -> Value {
        let options = self.dict.as_deref().unwrap_or_default();
        let has = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
        for (key, value) in part {
            let Some(old) = before.remove(&key) else {
                before.insert(key, value);
                continue;
            };
            if value.is_null() && has(&["allow_delete"]) {
                continue;
            }
            let recurse = match &value {
                _ if has(&["replace"]) => None,
                Value::Object(_) => Some(true),
                Value::Array(_) => Some(has(&["recurse_list", "recurse_array"])),
                Value::String(_) => Some(has(&["recurse_str"])),
                Value::Null | Value::Bool(_) | Value::Number(_) => Some(false),
            };
            let new = match recurse {
                None => value,
                Some(true) => self.merge(old, value, depth + 1),
                Some(false) => old,
            };
            before.insert(key, new);
        }
        Value::Object(before)
    }

    /// Entries at the same place are merged if the rules recurse, else the
    /// earlier ones stay.
    fn by_place(&self, before: Vec<Value>, part: Vec<Value>, depth: usize) -> Value {
        let options = self.list.as_deref().unwrap_or_default();
        let has = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
        let mut part = part.into_iter();
        let mut result: Vec<Value> = Vec::new();
        for old in before {
            let merges = match &old {
                Value::Object(_) => has(&["recurse_dict"]),
                Value::Array(_) => has(&["recurse_list", "recurse_array"]),
                Value::String(_) => has(&["recurse_str"]),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            };
            result.push(match part.next() {
                Some(new) if merges => self.merge(old, new, depth + 1),
                _ => old,
            });
        }
        result.extend(part);
        Value::Array(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// cloud-init's default, and the ways that parts ask for.
    #[test]
    fn ways() {
        let before = json!({"runcmd": ["a"], "users": [{"name": "x"}], "deep": {"a": 1, "b": 1}, "text": "one"});
        for (part, header, want) in [
            (
                json!({"runcmd": ["b"], "deep": {"b": 2}, "new": 1}),
                None,
                json!({"runcmd": ["b"], "users": [{"name": "x"}], "deep": {"b": 2}, "text": "one", "new": 1}),
            ),
            (
                json!({"merge_how": "list(append)+dict(no_replace, recurse_list)+str()", "runcmd": ["b"], "deep": {"b": 2, "c": 3}, "text": "two"}),
                None,
                json!({"runcmd": ["a", "b"], "users": [{"name": "x"}], "deep": {"a": 1, "b": 1, "c": 3}, "text": "one"}),
            ),
            (
                json!({"runcmd": ["b"], "text": "two"}),
                Some("list(prepend)+dict(recurse_array,recurse_str)+str(append)"),
                json!({"runcmd": ["b", "a"], "users": [{"name": "x"}], "deep": {"a": 1, "b": 1}, "text": "onetwo"}),
            ),
            (
                json!({"merge_how": [{"name": "list", "settings": ["append"]}, {"name": "dict", "settings": ["recurse_list", "allow_delete"]}], "runcmd": ["b"], "deep": null}),
                None,
                json!({"runcmd": ["a", "b"], "users": [{"name": "x"}], "text": "one"}),
            ),
        ] {
            let got = merged(map(before.clone()), map(part.clone()), header);
            assert_eq!(got.map(Value::Object), Ok(want), "{part}");
        }
    }

    /// Words about merging that are not understood are refused.
    #[test]
    fn faults() {
        for (how, want) in [
            (json!("set()"), "the merge type \"set\" is unknown"),
            (json!("list"), "the merge type \"list\" has no parentheses"),
            (json!(5), "merge_how is neither a text nor a list"),
        ] {
            assert_eq!(merged(Map::new(), map(json!({"merge_how": how})), None).unwrap_err(), want);
        }
    }
}
