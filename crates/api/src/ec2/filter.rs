//! Filters of the Describe calls (EC2 User Guide, "Filter your resources"):
//! values of one filter are alternatives, all filters must hold, `*`, `?` and
//! `\` work as in [`elastane_domain::wildcard`].
//!
//! A noun lists the names that it can answer and gives the values of one of
//! its rows for a name; `tag:<key>` and `tag-key` are answered here for all.

use super::errors;
use elastane_domain::wildcard;
use elastane_engine::row::Tags;
use elastane_wire::{ApiError, ec2 as wire};

/// Filters a call may have (EC2 API Reference, "Filter").
pub const FILTERS_MAX: usize = 50;

/// Values a filter may have, likewise.
pub const VALUES_MAX: usize = 200;

/// Characters a name or value may have, likewise.
pub const TEXT_MAX: usize = 255;

/// Filters whose names and sizes were checked.
#[derive(Debug)]
pub struct Filters<'a>(Vec<Prepared<'a>>);

#[derive(Debug)]
struct Prepared<'a> {
    name: &'a str,
    values: Vec<Pattern<'a>>,
}

#[derive(Debug)]
struct Pattern<'a> {
    text: &'a str,
    wild: bool,
}

impl Pattern<'_> {
    fn matches(&self, value: &str) -> bool {
        if self.wild { wildcard::matches(self.text, value) } else { self.text == value }
    }
}

impl<'a> Filters<'a> {
    /// Checks filters against the names that the noun answers, tags aside.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a name that is not among `names`,
    /// `FilterLimitExceeded` beyond EC2's limits, `MissingParameter` for a
    /// filter without a name or values.
    pub fn new(filters: &'a [wire::Filter], names: &[&str]) -> Result<Filters<'a>, ApiError> {
        if filters.len() > FILTERS_MAX {
            return Err(over(format!("At most {FILTERS_MAX} filters are allowed, found {}", filters.len())));
        }
        filters
            .iter()
            .enumerate()
            .map(|(index, filter)| prepare(index + 1, filter, names))
            .collect::<Result<_, _>>()
            .map(Filters)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The filter of that name if it has exactly one value without wildcards:
    /// lets a noun look a row up instead of walking all.
    pub fn exact(&self, name: &str) -> Option<&'a str> {
        let filter = self.0.iter().find(|filter| filter.name == name)?;
        match filter.values.as_slice() {
            [Pattern { text, wild: false }] => Some(text),
            _ => None,
        }
    }

    /// Whether a row passes. `values(name, emit)` emits each value that the
    /// row has for a name; a row without one does not match it.
    pub fn accept(&self, tags: &Tags, values: impl Fn(&str, &mut dyn FnMut(&str))) -> bool {
        let value_of = |key: &str| tags.get(key).map(String::as_str);
        let keys = |emit: &mut dyn FnMut(&str)| tags.keys().for_each(|key| emit(key));
        self.all_hold(value_of, keys, values)
    }

    /// [`Filters::accept`] for a row that is a tag itself.
    pub fn accept_row(&self, tag: (&str, &str), values: impl Fn(&str, &mut dyn FnMut(&str))) -> bool {
        self.all_hold(|key| (key == tag.0).then_some(tag.1), |emit| emit(tag.0), values)
    }

    fn all_hold<'t>(
        &self,
        value_of: impl Fn(&str) -> Option<&'t str>,
        keys: impl Fn(&mut dyn FnMut(&str)),
        values: impl Fn(&str, &mut dyn FnMut(&str)),
    ) -> bool {
        self.0.iter().all(|filter| {
            let mut found = false;
            let mut emit = |value: &str| found = found || filter.values.iter().any(|pattern| pattern.matches(value));
            if let Some(key) = filter.name.strip_prefix("tag:") {
                value_of(key).into_iter().for_each(emit);
            } else if filter.name == "tag-key" {
                keys(&mut emit);
            } else {
                values(filter.name, &mut emit);
            }
            found
        })
    }
}

fn prepare<'a>(number: usize, filter: &'a wire::Filter, names: &[&str]) -> Result<Prepared<'a>, ApiError> {
    let name = filter.name.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| errors::missing(&format!("Filter.{number}.Name")))?;
    if filter.values.is_empty() {
        return Err(errors::missing(&format!("Filter.{number}.Value")));
    }
    if filter.values.len() > VALUES_MAX {
        return Err(over(format!("At most {VALUES_MAX} values are allowed for the filter '{name}'")));
    }
    if filter.values.iter().map(String::as_str).chain([name]).any(|text| text.chars().count() > TEXT_MAX) {
        return Err(over(format!("Names and values of filters have at most {TEXT_MAX} characters")));
    }
    let known =
        name == "tag-key" || name.strip_prefix("tag:").is_some_and(|key| !key.is_empty()) || names.contains(&name);
    if !known {
        return Err(errors::invalid_value(format!("The filter '{name}' is invalid")));
    }
    let pattern = |text: &'a String| Pattern { text, wild: text.contains(['*', '?', '\\']) };
    Ok(Prepared { name, values: filter.values.iter().map(pattern).collect() })
}

fn over(message: String) -> ApiError {
    ApiError::new("FilterLimitExceeded", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(name: &str, values: &[&str]) -> wire::Filter {
        wire::Filter { name: Some(name.to_string()), values: values.iter().map(|value| value.to_string()).collect() }
    }

    fn accepted(filters: &[wire::Filter]) -> bool {
        let tags = Tags::from([("Name".to_string(), "web-1".to_string()), ("Owner".to_string(), String::new())]);
        Filters::new(filters, &["color", "size"]).expect("good filters").accept(&tags, |name, emit| {
            if name == "color" {
                ["red", "green"].into_iter().for_each(emit);
            }
        })
    }

    /// OR within a filter, AND between filters, any value of many, wildcards, tags.
    #[test]
    fn ec2_10_3_filters() {
        for (filters, expected) in [
            (vec![], true),
            (vec![filter("color", &["blue", "green"])], true),
            (vec![filter("color", &["r?d"])], true),
            (vec![filter("color", &["Red"])], false),
            (vec![filter("size", &["*"])], false),
            (vec![filter("color", &["red"]), filter("tag:Name", &["web-*"])], true),
            (vec![filter("color", &["red"]), filter("tag:Name", &["db-*"])], false),
            (vec![filter("tag:Owner", &[""])], true),
            (vec![filter("tag:Team", &["*"])], false),
            (vec![filter("tag-key", &["Own*"])], true),
        ] {
            assert_eq!(accepted(&filters), expected, "{filters:?}");
        }
    }

    /// Names, numbers and lengths are limited.
    #[test]
    fn ec2_10_3_filters_are_checked() {
        let long = "x".repeat(TEXT_MAX + 1);
        let many: Vec<&str> = vec!["a"; VALUES_MAX + 1];
        for (filters, code) in [
            (vec![filter("weight", &["1"])], "InvalidParameterValue"),
            (vec![filter("tag:", &["1"])], "InvalidParameterValue"),
            (vec![filter("color", &[])], "MissingParameter"),
            (vec![filter("color", &[&long])], "FilterLimitExceeded"),
            (vec![filter("color", &many)], "FilterLimitExceeded"),
            (vec![filter("color", &["red"]); FILTERS_MAX + 1], "FilterLimitExceeded"),
        ] {
            let err = Filters::new(&filters, &["color"]).expect_err(code);
            assert_eq!(err.code, code);
        }
        let unknown = [filter("weight", &["1"])];
        assert_eq!(Filters::new(&unknown, &[]).expect_err("unknown").message, "The filter 'weight' is invalid");
    }
}
