//! Labels of versions.

use super::find;
use crate::Change;
use elastane_engine::row::Parameter;
use elastane_wire::{ApiError, ssm as wire};

/// Labels of one version (Systems Manager User Guide, "Parameter labels").
const LABELS_MAX: usize = 10;

/// Characters of a label.
const LABEL_MAX: usize = 100;

/// Whether a text can be a label: letters, digits, `.`, `-` and `_`, not
/// beginning with a digit, `aws` or `ssm`.
fn is_label(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.bytes().all(fine)
        && !text.starts_with(|letter: char| letter.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
}

/// The number of the version that a call is about; the newest without one.
fn number(row: &Parameter, given: Option<i64>) -> Result<u64, ApiError> {
    let number = match given {
        None => row.versions.keys().next_back().copied(),
        Some(given) => u64::try_from(given).ok().filter(|given| row.versions.contains_key(given)),
    };
    number.ok_or_else(|| {
        let text = format!("Systems Manager could not find version {} of {}.", given.unwrap_or_default(), row.name);
        ApiError::new("ParameterVersionNotFound", text)
    })
}

/// LabelParameterVersion: a label moves from the version that has it.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`,
/// `ParameterVersionLabelLimitExceeded`.
pub fn label_parameter_version(
    change: &mut Change<'_, '_>,
    input: &wire::LabelParameterVersionRequest,
) -> Result<wire::LabelParameterVersionResult, ApiError> {
    let mut row = Parameter::clone(find(&change.view(), &input.name)?);
    let number = number(&row, input.parameter_version)?;
    let (good, bad): (Vec<String>, Vec<String>) = input.labels.iter().cloned().partition(|label| is_label(label));
    for version in row.versions.values_mut() {
        version.labels.retain(|label| !good.contains(label));
    }
    let version = row.versions.get_mut(&number).expect("found above");
    version.labels.extend(good);
    if version.labels.len() > LABELS_MAX {
        let text = format!("A parameter version can have a maximum of {LABELS_MAX} labels.");
        return Err(ApiError::new("ParameterVersionLabelLimitExceeded", text));
    }
    change.put(row);
    Ok(wire::LabelParameterVersionResult { invalid_labels: bad, parameter_version: i64::try_from(number).ok() })
}

/// UnlabelParameterVersion.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`.
pub fn unlabel_parameter_version(
    change: &mut Change<'_, '_>,
    input: &wire::UnlabelParameterVersionRequest,
) -> Result<wire::UnlabelParameterVersionResult, ApiError> {
    let mut row = Parameter::clone(find(&change.view(), &input.name)?);
    let number = number(&row, input.parameter_version)?;
    let version = row.versions.get_mut(&number).expect("found above");
    let (removed_labels, invalid_labels) = input.labels.iter().cloned().partition(|label| version.labels.remove(label));
    change.put(row);
    Ok(wire::UnlabelParameterVersionResult { invalid_labels, removed_labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of labels.
    #[test]
    fn labels() {
        for (text, fine) in [
            ("prod", true),
            ("a.b-c_d", true),
            ("", false),
            ("1st", false),
            ("awsome", false),
            ("SSMx", false),
            ("a b", false),
        ] {
            assert_eq!(is_label(text), fine, "{text}");
        }
        assert!(!is_label(&"x".repeat(LABEL_MAX + 1)));
    }
}
