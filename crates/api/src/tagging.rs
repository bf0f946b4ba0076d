//! Tags as most services take them: up to fifty, with keys that are not AWS's
//! own. Each service has its own words for what is wrong.

use elastane_engine::row::Tags;

/// Tags of one resource (AWS General Reference, "Tagging AWS resources").
pub const TAGS_MAX: usize = 50;

/// Why tags cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A key that is empty or begins with `aws:`, in a sentence.
    Key(String),
    /// More than [`TAGS_MAX`].
    TooMany,
}

/// `tags` on top of those that are there.
///
/// # Errors
/// The first key that is not allowed; too many in the end.
pub fn added<'a>(
    found: &Tags,
    tags: impl IntoIterator<Item = (&'a Option<String>, &'a Option<String>)>,
) -> Result<Tags, Fault> {
    let mut found = found.clone();
    for (key, value) in tags {
        let key = key.clone().unwrap_or_default();
        if key.is_empty() || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Fault::Key(format!("The tag key '{key}' is not allowed.")));
        }
        found.insert(key, value.clone().unwrap_or_default());
    }
    if found.len() > TAGS_MAX { Err(Fault::TooMany) } else { Ok(found) }
}
