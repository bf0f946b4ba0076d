//! Chunked framing between the two adapters and the HTTP/1 engine, which has
//! checked it already. Unlike the engine's walk along a body this keeps the
//! trailers.

/// Longest trailer section, as for one header of a request.
const TRAILERS_MAX: usize = 16 * 1024;

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Size(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// The rest of a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    step: Step,
    trailers: Vec<u8>,
}

/// Framing that the engine would not have let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadFraming;

impl Chunks {
    pub(super) fn new() -> Chunks {
        Chunks { step: Step::Size(0), trailers: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// The trailer lines, once it is done.
    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Takes bytes and hands out at most `room` of payload; returns how many
    /// bytes it took: fewer than there are when the room is used up, or at the end.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        mut room: usize,
        mut payload: impl FnMut(&[u8]),
    ) -> Result<usize, BadFraming> {
        let mut at = 0;
        while at < input.len() && self.step != Step::Done {
            if let Step::Data(left) = self.step {
                let take = room.min(input.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                if take == 0 {
                    break;
                }
                payload(&input[at..at + take]);
                at += take;
                room -= take;
                self.step = if left == take as u64 { Step::DataEnd } else { Step::Data(left - take as u64) };
                continue;
            }
            self.byte(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn byte(&mut self, byte: u8) -> Result<(), BadFraming> {
        self.step = match (self.step, byte) {
            (Step::Size(size) | Step::Extension(size), b'\r') => Step::SizeEnd(size),
            (Step::Size(size), b';') => Step::Extension(size),
            (Step::Size(size), byte) => {
                let digit = char::from(byte).to_digit(16).ok_or(BadFraming)?;
                Step::Size(size.checked_mul(16).ok_or(BadFraming)? + u64::from(digit))
            }
            (Step::Extension(size), _) => Step::Extension(size),
            (Step::SizeEnd(0), b'\n') => Step::Trailers,
            (Step::SizeEnd(size), b'\n') => Step::Data(size),
            (Step::DataEnd, b'\r') => Step::DataEnd,
            (Step::DataEnd, b'\n') => Step::Size(0),
            (Step::Trailers, byte) => {
                self.trailers.push(byte);
                match self.trailers.as_slice() {
                    b"\r\n" | [.., b'\r', b'\n', b'\r', b'\n'] => Step::Done,
                    trailers if trailers.len() > TRAILERS_MAX => return Err(BadFraming),
                    _ => Step::Trailers,
                }
            }
            _ => return Err(BadFraming),
        };
        Ok(())
    }
}

/// Bytes of framing around a chunk of at most 16 hexadecimal digits.
pub(super) const FRAMING_BYTES: usize = 20;

/// Appends one chunk; `data` is not empty.
pub(super) fn push(data: &[u8], out: &mut tokio::io::ReadBuf<'_>) {
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut size = data.len();
    while size > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out.put_slice(&digits[at..]);
    out.put_slice(b"\r\n");
    out.put_slice(data);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payload and trailers come out whole, however the bytes and the room
    /// are split.
    #[test]
    fn chunks_table() {
        let input = b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nName: v\r\nOther: w\r\n\r\nGET";
        for (piece, room) in [(1, 1), (3, 2), (7, 100), (1000, 4), (1000, 1000)] {
            let mut chunks = Chunks::new();
            let (mut payload, mut at) = (Vec::new(), 0);
            while !chunks.is_done() {
                let end = (at + piece).min(input.len());
                at += chunks.feed(&input[at..end], room, |bytes| payload.extend_from_slice(bytes)).unwrap();
            }
            assert_eq!(payload, b"hello0123456789");
            assert_eq!(chunks.trailers(), b"Name: v\r\nOther: w\r\n\r\n");
            assert_eq!(&input[at..], b"GET");
        }
    }

    /// An empty body has no trailers; nonsense is refused.
    #[test]
    fn edges() {
        let mut chunks = Chunks::new();
        assert_eq!(chunks.feed(b"0\r\n\r\nx", 10, |_| panic!("no payload")), Ok(5));
        assert_eq!((chunks.is_done(), chunks.trailers()), (true, b"\r\n".as_slice()));
        assert_eq!(Chunks::new().feed(b"x\r\n", 10, |_| {}), Err(BadFraming));
        assert_eq!(Chunks::new().feed(b"1\r\nab", 10, |_| {}), Err(BadFraming));
    }

    /// What is pushed can be fed.
    #[test]
    fn push_and_feed() {
        let mut memory = [0; 64];
        let mut out = tokio::io::ReadBuf::new(&mut memory);
        push(b"sixteen bytes!!!", &mut out);
        assert_eq!(out.filled(), b"10\r\nsixteen bytes!!!\r\n");
        assert!(out.filled().len() - 16 <= FRAMING_BYTES);
    }
}
