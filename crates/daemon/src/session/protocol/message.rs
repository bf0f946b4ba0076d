//! Binary messages (ssm.md 3).

use super::Wrong;
use sha2::{Digest, Sha256};

/// Where the payload's length is: what the field HeaderLength says.
const HEADER_BYTES: usize = 116;
/// Bytes of a message's type, padded with spaces.
const KIND_BYTES: usize = 32;
/// Version of the layout.
const SCHEMA_VERSION: u32 = 1;

/// A message's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From client to server.
    Input,
    /// From server to client.
    Output,
    /// That a message of a stream has arrived.
    Acknowledge,
    /// That the session is over.
    ChannelClosed,
    /// That the sender may go on; nothing is done about it.
    StartPublication,
    /// That the sender should pause; nothing is done about it.
    PausePublication,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Input,
        Kind::Output,
        Kind::Acknowledge,
        Kind::ChannelClosed,
        Kind::StartPublication,
        Kind::PausePublication,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Input => "input_stream_data",
            Kind::Output => "output_stream_data",
            Kind::Acknowledge => "acknowledge",
            Kind::ChannelClosed => "channel_closed",
            Kind::StartPublication => "start_publication",
            Kind::PausePublication => "pause_publication",
        }
    }
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing, or what the message's type says.
    None,
    /// Bytes of the terminal or the connection.
    Output,
    /// The terminal's size.
    Size,
    /// What the server asks of the client.
    HandshakeRequest,
    /// What the client made of it.
    HandshakeResponse,
    /// That the session begins.
    HandshakeComplete,
    /// A word about connections.
    Flag,
    /// Any other.
    Other(u32),
}

impl Content {
    fn number(self) -> u32 {
        match self {
            Content::None => 0,
            Content::Output => 1,
            Content::Size => 3,
            Content::HandshakeRequest => 5,
            Content::HandshakeResponse => 6,
            Content::HandshakeComplete => 7,
            Content::Flag => 10,
            Content::Other(number) => number,
        }
    }

    fn of(number: u32) -> Content {
        match number {
            0 => Content::None,
            1 => Content::Output,
            3 => Content::Size,
            5 => Content::HandshakeRequest,
            6 => Content::HandshakeResponse,
            7 => Content::HandshakeComplete,
            10 => Content::Flag,
            other => Content::Other(other),
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: Kind,
    /// Milliseconds since the Unix epoch; never zero.
    pub created_ms: u64,
    /// Its number in its stream.
    pub sequence: i64,
    /// Bit 0: first of its stream; bit 1: last.
    pub flags: u64,
    /// A UUID's bytes in the order in which they are written.
    pub id: [u8; 16],
    /// What the payload is.
    pub content: Content,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Message {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 4 + self.payload.len());
        out.extend((HEADER_BYTES as u32).to_be_bytes());
        let mut kind = [b' '; KIND_BYTES];
        kind[..self.kind.name().len()].copy_from_slice(self.kind.name().as_bytes());
        out.extend(kind);
        out.extend(SCHEMA_VERSION.to_be_bytes());
        out.extend(self.created_ms.max(1).to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.flags.to_be_bytes());
        // The halves of the UUID are swapped.
        out.extend(&self.id[8..]);
        out.extend(&self.id[..8]);
        out.extend(Sha256::digest(&self.payload));
        out.extend(self.content.number().to_be_bytes());
        out.extend((self.payload.len() as u32).to_be_bytes());
        out.extend(&self.payload);
        out
    }

    /// The message of these bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Message, Wrong> {
        let mut fields = Fields(bytes);
        let header = u32::from_be_bytes(fields.take()?) as usize;
        let kind = fields.take::<KIND_BYTES>()?;
        let name = kind.trim_ascii_end();
        let end = name.iter().rposition(|byte| *byte != 0 && *byte != b' ').map_or(0, |last| last + 1);
        let kind = Kind::ALL.into_iter().find(|known| known.name().as_bytes() == &name[..end]).ok_or(Wrong::Kind)?;
        let _version = fields.take::<4>()?;
        let created_ms = u64::from_be_bytes(fields.take()?);
        let sequence = i64::from_be_bytes(fields.take()?);
        let flags = u64::from_be_bytes(fields.take()?);
        let (second, first): ([u8; 8], [u8; 8]) = (fields.take()?, fields.take()?);
        let digest: [u8; 32] = fields.take()?;
        let content = Content::of(u32::from_be_bytes(fields.take()?));
        // A longer header has fields that nobody knows.
        let unknown = header.checked_sub(HEADER_BYTES).ok_or(Wrong::Header)?;
        fields.skip(unknown)?;
        let length = u32::from_be_bytes(fields.take()?) as usize;
        let payload = fields.0;
        if payload.len() != length {
            return Err(Wrong::Cut);
        }
        let exempt = matches!(kind, Kind::StartPublication | Kind::PausePublication);
        if created_ms == 0 && !exempt {
            return Err(Wrong::Date);
        }
        if !payload.is_empty() && !exempt && Sha256::digest(payload)[..] != digest {
            return Err(Wrong::Digest);
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&first);
        id[8..].copy_from_slice(&second);
        Ok(Message { kind, created_ms, sequence, flags, id, content, payload: payload.to_vec() })
    }
}

/// A UUID in its usual form.
pub fn uuid_text(id: &[u8; 16]) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Version 4 UUIDs in a row: they must differ, and need not be secret.
#[derive(Clone, Debug)]
pub struct Ids {
    seed: [u8; 16],
    made: u64,
}

impl Ids {
    /// The row of a seed.
    pub fn new(seed: [u8; 16]) -> Ids {
        Ids { seed, made: 0 }
    }

    /// The next one.
    pub fn draw(&mut self) -> [u8; 16] {
        self.made += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.made.to_be_bytes()).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }
}

/// Bytes that are taken from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Wrong::Cut)?;
        self.0 = rest;
        Ok(*field)
    }

    fn skip(&mut self, count: usize) -> Result<(), Wrong> {
        self.0 = self.0.get(count..).ok_or(Wrong::Cut)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            kind: Kind::Input,
            created_ms: 1_767_225_600_000,
            sequence: 7,
            flags: 1,
            id: *b"\x01\x02\x03\x04\x05\x06\x07\x08\x11\x12\x13\x14\x15\x16\x17\x18",
            content: Content::Output,
            payload: b"ls\r".to_vec(),
        }
    }

    /// Each field is where the layout says, and the message comes back.
    #[test]
    fn the_layout() {
        let bytes = message().encode();
        assert_eq!(bytes.len(), 120 + 3);
        assert_eq!(bytes[..4], 116u32.to_be_bytes());
        assert_eq!(&bytes[4..36], b"input_stream_data               ");
        assert_eq!(bytes[36..40], 1u32.to_be_bytes());
        assert_eq!(bytes[40..48], 1_767_225_600_000u64.to_be_bytes());
        assert_eq!(bytes[48..56], 7i64.to_be_bytes());
        assert_eq!(bytes[56..64], 1u64.to_be_bytes());
        assert_eq!(&bytes[64..80], b"\x11\x12\x13\x14\x15\x16\x17\x18\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(bytes[80..112], Sha256::digest(b"ls\r")[..]);
        assert_eq!(bytes[112..116], 1u32.to_be_bytes());
        assert_eq!(bytes[116..120], 3u32.to_be_bytes());
        assert_eq!(&bytes[120..], b"ls\r");
        assert_eq!(Message::decode(&bytes), Ok(message()));
        assert_eq!(uuid_text(&message().id), "01020304-0506-0708-1112-131415161718");
    }

    /// Names end with NULs from some, and headers may be longer.
    #[test]
    fn forms_of_others() {
        let mut nul = message().encode();
        nul[4 + "input_stream_data".len()..36].fill(0);
        assert_eq!(Message::decode(&nul), Ok(message()));
        let mut long = message().encode();
        long[..4].copy_from_slice(&120u32.to_be_bytes());
        long.splice(116..116, [9; 4]);
        assert_eq!(Message::decode(&long), Ok(message()));
        let mut pause = Message { kind: Kind::PausePublication, ..message() }.encode();
        pause[40..48].fill(0);
        pause[80..112].fill(0);
        assert!(Message::decode(&pause).is_ok());
    }

    /// Each rule of validation refuses what breaks it, and nothing panics.
    #[test]
    fn what_is_refused() {
        let good = message().encode();
        let with = |at: usize, bytes: &[u8]| {
            let mut broken = good.clone();
            broken[at..at + bytes.len()].copy_from_slice(bytes);
            broken
        };
        for (bytes, wrong) in [
            (with(0, &[0; 4]), Wrong::Header),
            (with(0, &[0xff; 4]), Wrong::Cut),
            (with(4, &[b' '; 32]), Wrong::Kind),
            (with(4, b"x"), Wrong::Kind),
            (with(40, &[0; 8]), Wrong::Date),
            (with(80, &[0; 32]), Wrong::Digest),
            (with(120, b"x"), Wrong::Digest),
            (with(116, &4u32.to_be_bytes()), Wrong::Cut),
        ] {
            assert_eq!(Message::decode(&bytes), Err(wrong));
        }
        for end in 0..good.len() {
            assert!(Message::decode(&good[..end]).is_err());
        }
    }

    /// Ids are UUIDs and differ; the same seed gives the same ones.
    #[test]
    fn ids_differ() {
        let (mut one, mut same) = (Ids::new([1; 16]), Ids::new([1; 16]));
        let (first, second) = (one.draw(), one.draw());
        assert_ne!(first, second);
        assert_eq!(same.draw(), first);
        assert_eq!(uuid_text(&first).as_bytes()[14], b'4');
    }
}
