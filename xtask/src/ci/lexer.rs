//! As much of Rust's lexical structure as counting braces needs: comments,
//! string and character literals become blanks, line breaks stay.

/// Returns `source` with the same lines, where every byte of a comment or a
/// literal is a blank.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' | b'b' | b'c' if !continues_word(bytes, at) => prefixed_end(bytes, at).unwrap_or(at),
            b'\'' => character_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            code.push(bytes[at]);
            at += 1;
        } else {
            let end = end.min(bytes.len());
            code.extend(bytes[at..end].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

fn continues_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

/// Whether `byte` may stand in an identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut next) = (1, at + 2);
    while depth > 0 && next < bytes.len() {
        if bytes[next..].starts_with(b"/*") {
            depth += 1;
            next += 2;
        } else if bytes[next..].starts_with(b"*/") {
            depth -= 1;
            next += 2;
        } else {
            next += 1;
        }
    }
    next
}

/// The end of a string whose contents begin at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut next = at;
    while next < bytes.len() {
        match bytes[next] {
            b'\\' => next += 2,
            b'"' => return next + 1,
            _ => next += 1,
        }
    }
    next
}

/// The end of a literal with a prefix (r, b, br, c, cr), if one begins here.
fn prefixed_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = at;
    while next < at + 2 && matches!(bytes.get(next), Some(b'r' | b'b' | b'c')) {
        next += 1;
    }
    if bytes[next - 1] != b'r' {
        return match bytes.get(next) {
            Some(b'"') => Some(string_end(bytes, next + 1)),
            Some(b'\'') => character_end(bytes, next),
            _ => None,
        };
    }
    let hashes = bytes[next..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(next + hashes) != Some(&b'"') {
        return None;
    }
    let body = next + hashes + 1;
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let length = bytes[body..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(bytes.len(), |length| body + length + closing.len()))
}

/// The end of a character literal; `None` when the quote begins a lifetime.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let body = at + 3;
        return bytes.get(body..)?.iter().position(|&byte| byte == b'\'').map(|length| body + length + 1);
    }
    // One character, of at most four bytes, then the closing quote.
    let text = bytes.get(at + 1..bytes.len().min(at + 6))?;
    let width = match text.first()? {
        0..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (text.get(width) == Some(&b'\'')).then_some(at + width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Braces in comments and literals vanish, those of the code stay, and
    /// nothing moves.
    #[test]
    fn only_code_remains() {
        for (source, want) in [
            ("a { // }\n}", "a { }"),
            ("a /* { /* } */ { */ b", "a b"),
            (r#"x("{\"}") {"#, "x( ) {"),
            ("r#\"}\"}\"# }", "}"),
            ("br\"}\" b'}' c\"}\" }", "}"),
            ("'{' '\\'' '\\u{7d}' 'ü' }", "}"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("for_r\"}\"", "for_r"),
        ] {
            let code = code_only(source);
            assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), want, "{source}");
            assert_eq!((code.len(), code.lines().count()), (source.len(), source.lines().count()), "{source}");
        }
    }
}
