//! Percent-encoding, query strings and cookies.

/// Encodes all but unreserved characters (RFC 3986, 2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `name=value` pairs as a query string or form.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// The first value of a query parameter, decoded.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })?;
    decode(value)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The value of a cookie.
pub(super) fn cookie<'a>(cookies: &'a [u8], name: &str) -> Option<&'a [u8]> {
    cookies.split(|&byte| byte == b';').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was encoded is decoded; parameters and cookies are found by their whole names.
    #[test]
    fn texts_survive() {
        let text = "a b&c=d/é?%";
        let query = form(&[("other", "1"), ("state", text)]);
        assert_eq!(parameter(&query, "state").as_deref(), Some(text));
        assert_eq!(parameter(&query, "stat"), None);
        assert_eq!(parameter("error", "error").as_deref(), Some(""));
        assert_eq!(parameter("code=%4", "code"), None);
        assert_eq!(parameter("code=%ff", "code"), None);
        let cookies = b"a=1; session-0=x; session-01=y";
        assert_eq!(cookie(cookies, "session-0"), Some(&b"x"[..]));
        assert_eq!(cookie(cookies, "session"), None);
    }
}
