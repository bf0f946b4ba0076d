//! Where a message body ends. Bodies pass through as they are framed; the
//! decoder only walks along, refuses what is not exactly RFC 9112, and hands
//! out the payload for clients that cannot read chunks.

/// Longest chunk extension; nobody sends any, and they are forwarded.
const EXTENSION_MAX: u32 = 1024;
/// Longest trailer section, as for one header of a request.
const TRAILERS_MAX: u32 = 16 * 1024;
/// Most hexadecimal digits of a chunk size: keeps sizes far from overflow.
const SIZE_DIGITS_MAX: u32 = 15;

/// The rest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing (more).
    Empty,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Everything until the sender closes.
    UntilClose,
}

/// A chunked body that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl Body {
    /// A body of a stated length.
    pub const fn of_length(length: u64) -> Body {
        match length {
            0 => Body::Empty,
            length => Body::Length(length),
        }
    }

    /// A chunked body at its beginning.
    pub const fn chunked() -> Body {
        Body::Chunked(Chunked(Step::SizeFirst))
    }

    /// Whether nothing more belongs to it.
    pub fn is_done(&self) -> bool {
        *self == Body::Empty
    }

    /// Takes what belongs to the body from the start of `input`; returns how
    /// many bytes that is. The body is done when it became [`Body::Empty`].
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        self.feed_payload(input, &mut |_| {})
    }

    /// Like [`Body::feed`], and hands the bytes without chunk framing to `payload`.
    pub fn feed_payload(&mut self, input: &[u8], payload: &mut impl FnMut(&[u8])) -> Result<usize, BadChunk> {
        match self {
            Body::Empty => Ok(0),
            Body::UntilClose => {
                payload(input);
                Ok(input.len())
            }
            Body::Length(left) => {
                let taken = take(left, input);
                payload(&input[..taken]);
                if *left == 0 {
                    *self = Body::Empty;
                }
                Ok(taken)
            }
            Body::Chunked(chunked) => {
                let (taken, done) = chunked.feed(input, payload)?;
                if done {
                    *self = Body::Empty;
                }
                Ok(taken)
            }
        }
    }
}

/// Lowers `left` by as much as `input` has; returns that.
fn take(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= taken as u64;
    taken
}

/// A place within a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked(Step);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    SizeFirst,
    Size { size: u64, digits: u32 },
    Extension { size: u64, length: u32 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    TrailerFirst { length: u32 },
    TrailerName { length: u32 },
    TrailerValue { length: u32 },
    TrailerEnd { length: u32 },
    LastEnd,
}

impl Chunked {
    fn feed(&mut self, input: &[u8], payload: &mut impl FnMut(&[u8])) -> Result<(usize, bool), BadChunk> {
        let mut at = 0;
        while at < input.len() {
            if let Step::Data { left } = &mut self.0 {
                let taken = take(left, &input[at..]);
                payload(&input[at..at + taken]);
                at += taken;
                if *left == 0 {
                    self.0 = Step::DataReturn;
                }
                continue;
            }
            let byte = input[at];
            at += 1;
            if self.0 == Step::LastEnd {
                return if byte == b'\n' { Ok((at, true)) } else { Err(BadChunk) };
            }
            self.0 = self.0.next(byte).ok_or(BadChunk)?;
        }
        Ok((at, false))
    }
}

impl Step {
    /// The step after one byte of framing; `None` if it may not be there.
    fn next(self, byte: u8) -> Option<Step> {
        match (self, byte) {
            (Step::SizeFirst, byte) => Some(Step::Size { size: hex(byte)?, digits: 1 }),
            (Step::Size { size, .. }, b'\r') => Some(Step::SizeEnd { size }),
            (Step::Size { size, .. }, b';') => Some(Step::Extension { size, length: 0 }),
            (Step::Size { size, digits }, byte) if digits < SIZE_DIGITS_MAX => {
                Some(Step::Size { size: size * 16 + hex(byte)?, digits: digits + 1 })
            }
            (Step::Extension { size, .. }, b'\r') => Some(Step::SizeEnd { size }),
            (Step::Extension { size, length }, byte) if is_text(byte) && length < EXTENSION_MAX => {
                Some(Step::Extension { size, length: length + 1 })
            }
            (Step::SizeEnd { size: 0 }, b'\n') => Some(Step::TrailerFirst { length: 0 }),
            (Step::SizeEnd { size }, b'\n') => Some(Step::Data { left: size }),
            (Step::DataReturn, b'\r') => Some(Step::DataEnd),
            (Step::DataEnd, b'\n') => Some(Step::SizeFirst),
            (Step::TrailerFirst { .. }, b'\r') => Some(Step::LastEnd),
            (Step::TrailerFirst { length } | Step::TrailerName { length }, byte)
                if super::is_token_byte(byte) && length < TRAILERS_MAX =>
            {
                Some(Step::TrailerName { length: length + 1 })
            }
            (Step::TrailerName { length }, b':') => Some(Step::TrailerValue { length: length + 1 }),
            (Step::TrailerValue { length }, b'\r') => Some(Step::TrailerEnd { length }),
            (Step::TrailerValue { length }, byte) if is_text(byte) && length < TRAILERS_MAX => {
                Some(Step::TrailerValue { length: length + 1 })
            }
            (Step::TrailerEnd { length }, b'\n') => Some(Step::TrailerFirst { length }),
            _ => None,
        }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Random;

    /// Feeds pieces of at most `step` bytes; the payload, the bytes used and whether it ended.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        let mut body = Body::chunked();
        let (mut payload, mut used) = (Vec::new(), 0);
        for piece in input.chunks(step) {
            used += body.feed_payload(piece, &mut |bytes| payload.extend_from_slice(bytes))?;
        }
        Ok((payload, used, body.is_done()))
    }

    /// Chunked bodies, good and bad, whole and byte by byte.
    #[test]
    fn chunked_table() {
        for (input, want) in [
            ("0\r\n\r\n", Some(("", true))),
            ("5\r\nhello\r\n0\r\n\r\nGET", Some(("hello", true))),
            ("A;x=\"y\"\r\n0123456789\r\n0\r\nName: v\r\n\r\n", Some(("0123456789", true))),
            ("5\r\nhel", Some(("hel", false))),
            ("000000000000005\r\nhello\r\n", Some(("hello", false))),
            ("0000000000000005\r\nhello\r\n", None),
            ("5\nhello\r\n0\r\n\r\n", None),
            ("5\r\nhello\n0\r\n\r\n", None),
            ("5\r\nhelloX\r\n", None),
            (" 5\r\n", None),
            ("5 \r\n", None),
            ("+5\r\n", None),
            ("0x5\r\n", None),
            ("\r\n", None),
            (";x\r\n", None),
            ("5\r\r\nhello", None),
            ("0\r\n folded\r\n\r\n", None),
            ("0\r\nnocolon\r\n\r\n", None),
            ("0\r\n\rX", None),
            ("5;a\nb\r\n", None),
        ] {
            let want = want.map(|(payload, done)| (payload.as_bytes().to_vec(), done));
            for step in [1, 2, 7, 4096] {
                let got = decode(input.as_bytes(), step).ok().map(|(payload, _, done)| (payload, done));
                assert_eq!(got, want, "{input:?} in steps of {step}");
            }
        }
    }

    /// Extensions and trailers have limits.
    #[test]
    fn chunked_limits() {
        let long = "x".repeat(20_000);
        assert_eq!(decode(format!("5;{long}\r\n").as_bytes(), 4096), Err(BadChunk));
        assert_eq!(decode(format!("0\r\na: {long}\r\n\r\n").as_bytes(), 4096), Err(BadChunk));
    }

    /// Random bytes from the alphabet of framing never panic, and the pieces
    /// they arrive in make no difference (seeded, bounded).
    #[test]
    fn chunked_fuzz() {
        let alphabet = b"0159aAfF\r\n;: x";
        let mut random = Random::new(7);
        for _ in 0..4000 {
            let length = random.draw() % 48;
            let input: Vec<u8> = (0..length)
                .flat_map(|_| match random.draw() % 6 {
                    0 => b"\r\n".to_vec(),
                    1 => b"1\r\nx\r\n".to_vec(),
                    _ => vec![alphabet[(random.draw() % alphabet.len() as u64) as usize]],
                })
                .collect();
            assert_eq!(decode(&input, 1), decode(&input, 4096), "{input:?}");
        }
    }

    /// A stated length takes exactly its bytes.
    #[test]
    fn length_table() {
        let mut body = Body::of_length(5);
        assert_eq!(body.feed(b"abc"), Ok(3));
        assert_eq!(body.feed(b"defg"), Ok(2));
        assert!(body.is_done());
        assert_eq!(body.feed(b"x"), Ok(0));
        assert!(Body::of_length(0).is_done());
    }
}
