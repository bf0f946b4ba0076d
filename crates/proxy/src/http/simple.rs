//! HTTP/0.9, of which only the simplest request is known (RFC 1945 4.1): `GET`,
//! a path, and a line's end. The answer is a body and nothing else. It is read
//! as the request of HTTP/1.0 that it stands for; who carries it out leaves
//! the answer's head out and closes.

/// What must follow the request line for it to be one of HTTP/1.0.
const REST: &[u8] = b" HTTP/1.0\r\n\r\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A request of HTTP/0.9: a line of so many bytes, with its end.
    Line(usize),
    /// One whose end may be about to come.
    Partial,
    /// Something else.
    Other,
}

/// Looks at what was found to be no request of HTTP/1, nor the beginning of one.
pub fn look(input: &[u8]) -> Look {
    const START: usize = "GET ".len();
    let is_printable = |byte: &u8| byte.is_ascii_graphic();
    let Some(rest) = input.strip_prefix(b"GET ").filter(|rest| rest.first() == Some(&b'/')) else { return Look::Other };
    let Some(end) = rest.iter().position(|byte| !is_printable(byte)) else { return Look::Other };
    match rest[end..] {
        [b'\n', ..] => Look::Line(START + end + 1),
        [b'\r', b'\n', ..] => Look::Line(START + end + 2),
        [b'\r'] => Look::Partial,
        _ => Look::Other,
    }
}

/// The request of HTTP/1.0 that a line stands for.
pub fn as_http10(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    [line.strip_suffix(b"\r").unwrap_or(line), REST].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines without a version are requests, whatever follows them; what is
    /// neither that nor could become it is not.
    #[test]
    fn alb_6_lines_of_http_0_9() {
        for (input, want) in [
            ("GET /a?b=c\r\n", Look::Line(12)),
            ("GET /\n", Look::Line(6)),
            ("GET /\r\nHost: x\r\n\r\n", Look::Line(7)),
            ("GET /a\r", Look::Partial),
            ("GET /a\rb", Look::Other),
            ("GET /a \r\n", Look::Other),
            ("GET /a HTTP/1.1\r\n", Look::Other),
            ("GET /\u{e9}\r\n", Look::Other),
            ("GET a\r\n", Look::Other),
            ("GET http://a/\r\n", Look::Other),
            ("get /\r\n", Look::Other),
            ("POST /\r\n", Look::Other),
            ("GET \r\n", Look::Other),
            ("GE", Look::Other),
        ] {
            assert_eq!(look(input.as_bytes()), want, "{input:?}");
            // What is decided stays so, however the bytes come.
            if want != Look::Partial {
                assert_eq!(look([input, "x"].concat().as_bytes()), want, "{input:?}");
            }
        }
        assert_eq!(as_http10(b"GET /a?b=c\r\n"), b"GET /a?b=c HTTP/1.0\r\n\r\n");
        assert_eq!(as_http10(b"GET /\n"), b"GET / HTTP/1.0\r\n\r\n");
    }
}
