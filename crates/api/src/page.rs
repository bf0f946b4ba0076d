//! Pages: a token says after which item the next page begins.

use elastane_wire::ApiError;

/// What a page is cut by.
#[derive(Clone, Copy, Debug)]
pub struct Pager<'a> {
    /// The client's token, if it sent one.
    pub token: Option<&'a str>,
    /// At most so many items; `None` for all.
    pub max: Option<usize>,
    /// The error for a token that this service did not make.
    pub bad_token: &'static str,
}

/// Cuts one page out of `items`, which are in the order of `name`; the token
/// is the name of the page's last item, in a form that clients do not read.
/// Items that come or go between two pages do not shift the others.
pub fn page<T>(
    items: Vec<T>,
    pager: Pager<'_>,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let after = pager.token.filter(|token| !token.is_empty()).map(|token| open(token, pager.bad_token)).transpose()?;
    let mut rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| name(item) > *after)).peekable();
    let max = pager.max.unwrap_or(usize::MAX);
    let page: Vec<T> = rest.by_ref().take(max).collect();
    let next = if rest.peek().is_some() { page.last().map(|item| seal(&name(item))) } else { None };
    Ok((page, next))
}

fn seal(name: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(name)
}

fn open(token: &str, bad_token: &'static str) -> Result<String, ApiError> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::new(bad_token, format!("The token '{token}' is invalid")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(items: &[&str], token: Option<&str>, max: usize) -> (Vec<String>, Option<String>) {
        let items = items.iter().map(|item| item.to_string()).collect();
        let pager = Pager { token, max: Some(max), bad_token: "InvalidNextToken" };
        page(items, pager, Clone::clone).expect("a good token")
    }

    /// Pages follow each other without gap or overlap, also when an item of
    /// the first page goes in between; the last page has no token.
    #[test]
    fn pages_follow_each_other() {
        let (first, token) = cut(&["a", "b", "c", "d"], None, 2);
        assert_eq!(first, ["a", "b"]);
        let (second, end) = cut(&["a", "c", "d"], token.as_deref(), 2);
        assert_eq!((second, end), (vec!["c".to_string(), "d".to_string()], None));
    }

    /// A token of our own making only.
    #[test]
    fn foreign_tokens_are_refused() {
        let pager = Pager { token: Some("***"), max: None, bad_token: "InvalidNextToken" };
        let err = page(vec!["a".to_string()], pager, Clone::clone).expect_err("not our token");
        assert_eq!(err.code, "InvalidNextToken");
    }
}
