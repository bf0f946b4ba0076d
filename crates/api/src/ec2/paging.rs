//! Pages of the Describe calls: EC2's limits and codes around [`crate::page`].

use super::errors;
use crate::page::{Pager, page};
use elastane_wire::ApiError;
use std::ops::RangeInclusive;

/// MaxResults of most calls (ec2-imds.md 10.2).
pub const USUAL: RangeInclusive<i32> = 5..=1000;

/// Cuts the page that a call asks for out of `items`, which are in the order
/// of `name`. `by_id` says whether the call named its items: such a call has
/// no pages.
///
/// # Errors
/// `InvalidParameterValue` for a MaxResults out of `range`,
/// `InvalidParameterCombination` for one beside ids, `InvalidNextToken` for a
/// token of another make.
pub fn cut<T>(
    items: Vec<T>,
    max: Option<i32>,
    token: Option<&str>,
    (range, by_id): (RangeInclusive<i32>, bool),
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    if let Some(max) = max {
        if by_id {
            return Err(errors::invalid_combination(
                "The parameter maxResults cannot be used with the parameter that lists ids in the same call.",
            ));
        }
        if !range.contains(&max) {
            let message = format!(
                "Value ( {max} ) for parameter maxResults is invalid. Expecting a value from {} to {}.",
                range.start(),
                range.end()
            );
            return Err(errors::invalid_value(message));
        }
    }
    let max = max.and_then(|max| usize::try_from(max).ok());
    page(items, Pager { token, max, bad_token: "InvalidNextToken" }, name)
}
