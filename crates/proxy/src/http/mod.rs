//! The HTTP/1 engine: bytes in, decisions and bytes out. It knows no
//! sockets, no clocks and no tasks, so it can be tested and fuzzed alone and
//! the reactor under it can change.
//!
//! Framing is strict: whatever two parsers could read in two ways is
//! refused, because a proxy that guesses lets requests be smuggled.

pub mod body;
pub mod desync;
pub mod headers;
pub mod page;
pub mod request;
pub mod response;
pub mod simple;

/// Longest request line (alb.md 6); beyond it 414.
pub const REQUEST_LINE_MAX: usize = 16 * 1024;
/// Longest single request header line (alb.md 6); beyond it 400.
pub const REQUEST_HEADER_MAX: usize = 16 * 1024;
/// Longest sum of all request headers (alb.md 6); beyond it 400.
pub const REQUEST_HEADERS_MAX: usize = 64 * 1024;
/// Longest response head (alb.md 6); beyond it 502.
pub const RESPONSE_HEAD_MAX: usize = 32 * 1024;
/// Most header lines in one head: bounds the parser's table on the stack, and
/// how often a slowly sent head is parsed again.
pub const HEADERS_MAX: usize = 128;

/// What a parser made of the bytes it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head does not end in these bytes.
    Partial,
    /// A head.
    Complete(T),
}

/// A small generator for trace ids: unique, not secret.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that repeats for equal seeds.
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    /// The next number (xorshift64).
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next 128 bits.
    pub fn draw_wide(&mut self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }
}

/// A decimal number as framing headers carry it: digits only.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether a text is a token (RFC 9110 5.6.2).
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The members of a comma-separated list, trimmed, without empty ones.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(|member| member.trim_ascii()).filter(|member| !member.is_empty())
}

/// What the `Connection` headers of one head say.
#[derive(Default)]
struct ConnectionOptions<'a> {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    /// Further header names that end at this hop; almost always empty.
    named: Vec<&'a [u8]>,
}

impl<'a> ConnectionOptions<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Self {
        let mut options = ConnectionOptions::default();
        for header in headers {
            if header.name.len() != 10 || !header.name.eq_ignore_ascii_case("connection") {
                continue;
            }
            options.take(header.value);
        }
        options
    }

    /// Takes the value of one `Connection` header.
    fn take(&mut self, value: &'a [u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.named.push(option);
            }
        }
    }

    /// Whether a header without a meaning for the proxy itself ends here.
    fn names(&self, name: &[u8]) -> bool {
        self.named.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}

/// The lines of a head whose lines all end in CRLF; `None` when one does not.
///
/// The parser below takes a bare LF for a line's end and this proxy must
/// not: the next hop may read on.
struct Lines<'a> {
    head: &'a [u8],
    starts: &'a [httparse::Header<'a>],
}

impl<'a> Lines<'a> {
    fn new(head: &'a [u8], headers: &'a [httparse::Header<'a>]) -> Option<Self> {
        let lines = Lines { head, starts: headers };
        let whole = (0..headers.len()).all(|index| lines.line(index).ends_with(b"\r\n"));
        (whole && lines.first().ends_with(b"\r\n") && head.ends_with(b"\r\n\r\n")).then_some(lines)
    }

    fn start(&self, index: usize) -> usize {
        match self.starts.get(index) {
            Some(header) => header.name.as_ptr() as usize - self.head.as_ptr() as usize,
            None => self.head.len() - 2,
        }
    }

    /// The request or status line with its line end.
    fn first(&self) -> &'a [u8] {
        &self.head[..self.start(0)]
    }

    /// The header line of this index with its line end.
    fn line(&self, index: usize) -> &'a [u8] {
        &self.head[self.start(index)..self.start(index + 1)]
    }
}

/// Appends a number in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the lowest `digits` hexadecimal digits of a number.
pub(crate) fn push_hex(out: &mut Vec<u8>, number: u64, digits: usize) {
    let mut text = [0u8; 16];
    text[..8].copy_from_slice(&eight_digits((number >> 32) as u32));
    text[8..].copy_from_slice(&eight_digits(number as u32));
    out.extend_from_slice(&text[text.len() - digits..]);
}

/// All hexadecimal digits of a number, made side by side in one word.
fn eight_digits(number: u32) -> [u8; 8] {
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in each byte from ten on.
    let letters = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (digits + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod fuzz_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// Hexadecimal digits as `fmt` writes them.
    #[test]
    fn hexadecimals() {
        let mut random = Random::new(7);
        for number in (0..1000).map(|_| random.draw()).chain([0, u64::MAX, 0x0123_4567_89ab_cdef]) {
            let mut out = Vec::new();
            push_hex(&mut out, number, 16);
            push_hex(&mut out, number, 3);
            assert_eq!(String::from_utf8(out), Ok(format!("{number:016x}{:03x}", number & 0xfff)));
        }
    }

    /// Digits only, without overflow.
    #[test]
    fn decimals() {
        for (text, want) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("1 ", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), want, "{text}");
            if let Some(number) = want {
                let mut out = Vec::new();
                push_decimal(&mut out, number);
                assert_eq!(out, text.as_bytes());
            }
        }
    }
}
