//! Delivery, both ways (ssm.md 5): what is sent is numbered, kept until it is
//! acknowledged, and sent again when that takes too long; what arrives is put
//! in order. It outlives the connection: numbers go on after another one, and
//! what was not acknowledged is sent again.
//!
//! Clients acknowledge a message once and say nothing when it comes again. So
//! one whose acknowledgement was lost, as happens with a connection, would be
//! sent for ever. It counts as delivered when it was sent often enough on one
//! connection to a client that takes messages, and one that was first sent
//! after all of that was acknowledged.

use super::message::{Content, Ids, Kind, Message, uuid_text};
use super::payload::{self, Acknowledge};
use super::{Now, Wrong};
use std::collections::{BTreeMap, VecDeque};

/// Messages that wait for their acknowledgement; whoever sends must wait
/// beyond that. With a kilobyte each that is the session's buffer.
const UNACKNOWLEDGED_MAX: usize = 1_024;
/// Messages that came before their turn (ssm.md 5).
const EARLY_MAX: usize = 10_000;
/// Bytes of them: their number alone is no limit.
const EARLY_BYTES_MAX: usize = 4 << 20;
/// Before anything is known of the peer, a message is sent again after this.
const TIMEOUT_FIRST_MS: f64 = 200.0;
/// And at the latest after this.
const TIMEOUT_MAX_MS: f64 = 1_000.0;
/// What a round trip takes before one was measured.
const ROUND_TRIP_FIRST_MS: f64 = 100.0;
/// The granularity of the clock in the formula of the timeout.
const GRANULARITY_MS: f64 = 10.0;
/// Between two looks at the oldest message.
const LOOK_MS: u64 = 100;
/// Messages that are sent again at one look.
const RESENDS_A_LOOK_MAX: usize = 16;
/// Times that a message is sent again on one connection before it may count
/// as delivered without an acknowledgement.
const RESENDS_ENOUGH: u32 = 5;
/// What was sent that often is sent again at longer and longer intervals, at most this.
const SLOW_MS: u64 = 5_000;
/// A peer that owes acknowledgements and says nothing for so long is gone:
/// clients say something every five minutes (ssm.md 2).
const SILENT_MS: u64 = 330_000;
/// Flags of acknowledgements.
const ACKNOWLEDGE_FLAGS: u64 = 3;
/// Flag of the server's first message.
const FIRST_FLAG: u64 = 1;

/// The peer says nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// A message that waits for its acknowledgement.
#[derive(Debug)]
struct Sent {
    sequence: i64,
    bytes: Vec<u8>,
    at: u64,
    /// Place among what was sent on this connection; `None` when it was not.
    place: Option<u64>,
    /// Times that it was sent again on this connection to a peer that takes messages.
    resends: u32,
    /// Place of the last of them that was needed.
    enough: Option<u64>,
}

impl Sent {
    /// When it is sent again.
    fn due(&self, timeout_ms: u64) -> u64 {
        let slower = self.resends.saturating_sub(RESENDS_ENOUGH - 1).min(16);
        let slow = timeout_ms.saturating_mul(1 << slower).min(SLOW_MS);
        self.at + slow.max(timeout_ms)
    }
}

/// A message that waits for its turn, or to be taken.
#[derive(Debug)]
struct Arrived {
    message: Message,
    acknowledged: bool,
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    own: Kind,
    ids: Ids,
    attached: bool,
    frames: VecDeque<Vec<u8>>,
    next: i64,
    unacknowledged: VecDeque<Sent>,
    round_trip_ms: f64,
    variation_ms: f64,
    timeout_ms: f64,
    looked: u64,
    /// Messages of the stream that went out on this connection.
    sends: u64,
    /// When the peer said something last.
    heard: u64,
    /// Whether the peer takes messages: before that it leaves some aside.
    taking: bool,
    expected: i64,
    arrived: BTreeMap<i64, Arrived>,
    arrived_bytes: usize,
}

impl Channel {
    /// An end that sends messages of this kind, not connected yet.
    pub fn new(own: Kind, ids: Ids) -> Channel {
        Channel {
            own,
            ids,
            attached: false,
            frames: VecDeque::new(),
            next: 0,
            unacknowledged: VecDeque::new(),
            round_trip_ms: ROUND_TRIP_FIRST_MS,
            variation_ms: 0.0,
            timeout_ms: TIMEOUT_FIRST_MS,
            looked: 0,
            sends: 0,
            heard: 0,
            taking: false,
            expected: 0,
            arrived: BTreeMap::new(),
            arrived_bytes: 0,
        }
    }

    /// There is a connection: what was not acknowledged goes out again.
    pub fn attach(&mut self, now: Now) {
        self.attached = true;
        self.heard = now.millis;
        self.frames.clear();
        self.sends = 0;
        for sent in &mut self.unacknowledged {
            self.sends += 1;
            *sent = Sent {
                sequence: sent.sequence,
                bytes: std::mem::take(&mut sent.bytes),
                at: now.millis,
                place: Some(self.sends),
                resends: 0,
                enough: None,
            };
            self.frames.push_back(sent.bytes.clone());
        }
    }

    /// The peer has said something that is no message.
    pub fn alive(&mut self, now: Now) {
        self.heard = now.millis;
    }

    /// The peer has shown that it takes every message that comes.
    pub fn peer_takes(&mut self) {
        self.taking = true;
    }

    /// The connection is gone.
    pub fn detach(&mut self) {
        self.attached = false;
        self.frames.clear();
    }

    /// Whether `count` more messages may be sent.
    pub fn has_room(&self, count: usize) -> bool {
        self.unacknowledged.len() + count <= UNACKNOWLEDGED_MAX
    }

    /// Whether everything that was sent was acknowledged.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// Whether all that waits for acknowledgements was sent so often on this
    /// connection that only those can be missing.
    pub fn is_sent_enough(&self) -> bool {
        self.attached && self.unacknowledged.iter().all(|sent| sent.enough.is_some())
    }

    /// Sends a payload as the next message of the stream.
    pub fn send(&mut self, now: Now, content: Content, payload: Vec<u8>) {
        let sequence = self.next;
        let flags = if self.own == Kind::Output && sequence == 0 { FIRST_FLAG } else { 0 };
        let bytes = self.message(now, self.own, sequence, flags, content, payload);
        let mut place = None;
        if self.attached {
            self.frames.push_back(bytes.clone());
            self.sends += 1;
            place = Some(self.sends);
        }
        self.next += 1;
        self.unacknowledged.push_back(Sent { sequence, bytes, at: now.millis, place, resends: 0, enough: None });
    }

    /// Sends a message outside the stream, which is not kept.
    pub fn send_once(&mut self, now: Now, kind: Kind, flags: u64, payload: impl FnOnce(&str) -> Vec<u8>) {
        let id = self.ids.draw();
        let payload = payload(&uuid_text(&id));
        let message =
            Message { kind, created_ms: now.wall_ms, sequence: 0, flags, id, content: Content::None, payload };
        if self.attached {
            self.frames.push_back(message.encode());
        }
    }

    fn message(
        &mut self,
        now: Now,
        kind: Kind,
        sequence: i64,
        flags: u64,
        content: Content,
        payload: Vec<u8>,
    ) -> Vec<u8> {
        let id = self.ids.draw();
        Message { kind, created_ms: now.wall_ms, sequence, flags, id, content, payload }.encode()
    }

    /// Takes in what arrived. A message that is neither of the stream nor an
    /// acknowledgement is returned.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn receive(&mut self, now: Now, bytes: &[u8]) -> Result<Option<Message>, Wrong> {
        self.heard = now.millis;
        let message = Message::decode(bytes)?;
        match (message.kind, self.own) {
            (Kind::Acknowledge, _) => {
                let told: Acknowledge = payload::read(&message.payload)?;
                self.acknowledged(now, told.acknowledged_message_sequence_number);
            }
            (Kind::Input, Kind::Output) | (Kind::Output, Kind::Input) => self.arrive(now, message),
            _ => return Ok(Some(message)),
        }
        Ok(None)
    }

    fn acknowledged(&mut self, now: Now, sequence: i64) {
        let Some(at) = self.unacknowledged.iter().position(|sent| sent.sequence == sequence) else { return };
        let Some(sent) = self.unacknowledged.remove(at) else { return };
        let measured = now.millis.saturating_sub(sent.at) as f64;
        self.variation_ms = 0.75 * self.variation_ms + 0.25 * (self.round_trip_ms - measured).abs();
        self.round_trip_ms = 0.875 * self.round_trip_ms + 0.125 * measured;
        self.timeout_ms = (self.round_trip_ms + (4.0 * self.variation_ms).max(GRANULARITY_MS)).min(TIMEOUT_MAX_MS);
        // One that was sent again may be acknowledged for its first time.
        let Some(place) = sent.place.filter(|_| sent.resends == 0) else { return };
        self.unacknowledged.retain(|other| other.enough.is_none_or(|enough| enough > place));
    }

    fn arrive(&mut self, now: Now, message: Message) {
        let sequence = message.sequence;
        if sequence < self.expected {
            return self.acknowledge(now, &message);
        }
        if let Some(known) = self.arrived.get(&sequence) {
            if known.acknowledged {
                self.acknowledge(now, &message);
            }
            return;
        }
        let early = sequence > self.expected;
        let full = self.arrived.len() >= EARLY_MAX || self.arrived_bytes + message.payload.len() > EARLY_BYTES_MAX;
        if early && full {
            // Not acknowledged: it comes again when there is room.
            return;
        }
        if early {
            self.acknowledge(now, &message);
        }
        self.arrived_bytes += message.payload.len();
        self.arrived.insert(sequence, Arrived { message, acknowledged: early });
    }

    fn acknowledge(&mut self, now: Now, message: &Message) {
        let told = Acknowledge {
            acknowledged_message_type: message.kind.name().to_string(),
            acknowledged_message_id: uuid_text(&message.id),
            acknowledged_message_sequence_number: message.sequence,
            is_sequential_message: true,
        };
        self.send_once(now, Kind::Acknowledge, ACKNOWLEDGE_FLAGS, |_| payload::write(&told));
    }

    /// The message whose turn it is, if it is there.
    pub fn front(&self) -> Option<&Message> {
        self.arrived.get(&self.expected).map(|arrived| &arrived.message)
    }

    /// Takes the message whose turn it is, which is acknowledged now if it was not.
    pub fn accept(&mut self, now: Now) -> Option<Message> {
        let Arrived { message, acknowledged } = self.arrived.remove(&self.expected)?;
        if !acknowledged {
            self.acknowledge(now, &message);
        }
        self.arrived_bytes -= message.payload.len();
        self.expected += 1;
        Some(message)
    }

    /// Sends messages again whose time has come, the oldest first.
    ///
    /// # Errors
    /// When the peer says nothing any more.
    pub fn look(&mut self, now: Now) -> Result<(), Silent> {
        if !self.attached || self.due().is_none_or(|due| now.millis < due) {
            return Ok(());
        }
        if now.millis >= self.heard + SILENT_MS {
            return Err(Silent);
        }
        self.looked = now.millis;
        let timeout_ms = self.timeout_ms as u64;
        let overdue = self.unacknowledged.iter_mut().filter(|sent| sent.due(timeout_ms) <= now.millis);
        for sent in overdue.take(RESENDS_A_LOOK_MAX) {
            self.sends += 1;
            sent.at = now.millis;
            if self.taking {
                sent.resends += 1;
                if sent.resends == RESENDS_ENOUGH {
                    sent.enough = Some(self.sends);
                }
            }
            self.frames.push_back(sent.bytes.clone());
        }
        Ok(())
    }

    /// When to [`Channel::look`] next.
    pub fn due(&self) -> Option<u64> {
        let timeout_ms = self.timeout_ms as u64;
        let due = self.unacknowledged.iter().filter(|_| self.attached).map(|sent| sent.due(timeout_ms)).min()?;
        Some(due.max(self.looked + LOOK_MS))
    }

    /// The next frame to send.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        self.frames.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now { millis, wall_ms: 1_767_225_600_000 + millis }
    }

    fn ends() -> (Channel, Channel) {
        let end = |kind, seed| {
            let mut end = Channel::new(kind, Ids::new([seed; 16]));
            end.attach(at(0));
            end
        };
        (end(Kind::Output, 1), end(Kind::Input, 2))
    }

    fn frames(end: &mut Channel) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| end.frame()).collect()
    }

    fn send(end: &mut Channel, now: Now, text: &str) -> Vec<u8> {
        end.send(now, Content::Output, text.as_bytes().to_vec());
        end.frame().expect("it is connected")
    }

    /// Only the server's first message is flagged.
    #[test]
    fn the_first_message_is_flagged() {
        let (mut server, mut client) = ends();
        let flags = |bytes: Vec<u8>| Message::decode(&bytes).unwrap().flags;
        assert_eq!([flags(send(&mut server, at(1), "a")), flags(send(&mut server, at(1), "b"))], [1, 0]);
        assert_eq!(flags(send(&mut client, at(1), "a")), 0);
    }

    /// A message is acknowledged when it is taken; one that came early at
    /// once; one that was taken before again, without being taken twice.
    #[test]
    fn acknowledgements() {
        let (mut server, mut client) = ends();
        let [a, b, c] = ["a", "b", "c"].map(|text| send(&mut client, at(1), text));
        server.receive(at(2), &b).unwrap();
        assert_eq!((server.front().is_none(), frames(&mut server).len()), (true, 1));
        server.receive(at(2), &a).unwrap();
        assert_eq!(frames(&mut server).len(), 0, "nobody has taken it");
        server.receive(at(2), &a).unwrap();
        assert_eq!(frames(&mut server).len(), 0, "nor is it acknowledged when it comes again");
        let taken: Vec<Vec<u8>> = std::iter::from_fn(|| server.accept(at(3))).map(|m| m.payload).collect();
        assert_eq!(taken, [b"a", b"b"]);
        let told = frames(&mut server);
        assert_eq!(told.len(), 1);
        let told: Acknowledge = payload::read(&Message::decode(&told[0]).unwrap().payload).unwrap();
        assert_eq!(told.acknowledged_message_type, "input_stream_data");
        assert_eq!(told.acknowledged_message_id, uuid_text(&Message::decode(&a).unwrap().id));
        assert_eq!((told.acknowledged_message_sequence_number, told.is_sequential_message), (0, true));
        server.receive(at(4), &a).unwrap();
        assert_eq!((server.front().is_none(), frames(&mut server).len()), (true, 1));
        server.receive(at(4), &c).unwrap();
        assert_eq!(server.accept(at(4)).map(|m| m.sequence), Some(2));
    }

    /// The timeout follows the formula: 200 ms at first, then from what
    /// acknowledgements took, a second at most.
    #[test]
    fn the_timeout() {
        let (mut server, _) = ends();
        assert_eq!(server.timeout_ms as u64, 200);
        for (took, timeout) in [(100, 110), (20, 170), (20, 211), (5_000, 1_000)] {
            server.send(at(0), Content::Output, Vec::new());
            server.acknowledged(at(took), server.next - 1);
            assert_eq!(server.timeout_ms as u64, timeout, "after {took}");
        }
    }

    /// Messages are sent again when their time has come, not before, at most
    /// every 100 ms, and not to a peer that is gone.
    #[test]
    fn resending() {
        let (mut server, _) = ends();
        let first = send(&mut server, at(0), "a");
        let second = send(&mut server, at(50), "b");
        assert_eq!(server.due(), Some(200));
        server.look(at(199)).unwrap();
        assert_eq!(frames(&mut server).len(), 0);
        server.look(at(200)).unwrap();
        assert_eq!((frames(&mut server), server.due()), (vec![first], Some(300)));
        server.look(at(300)).unwrap();
        assert_eq!(frames(&mut server), [second]);
        server.alive(at(1_000));
        let mut now = 300;
        while server.look(at(now)).is_ok() {
            now = server.due().expect("two messages wait");
        }
        assert!((1_000 + SILENT_MS..1_000 + SILENT_MS + 1_000).contains(&now), "{now}");
        let many = frames(&mut server).len() as u64;
        assert!(many > SILENT_MS / 1_000, "{many}: a peer that takes nothing yet is asked every second at least");
    }

    /// A message whose acknowledgement was lost counts as delivered when it
    /// was sent often enough and a later one was acknowledged; not before, and
    /// not while the peer may be leaving it aside.
    #[test]
    fn lost_acknowledgements() {
        for taking in [false, true] {
            let (mut server, _) = ends();
            send(&mut server, at(0), "lost");
            if taking {
                server.peer_takes();
            }
            let mut now = 0;
            for round in 0..20 {
                send(&mut server, at(now), "later");
                server.acknowledged(at(now + 1), server.next - 1);
                let gone = taking && round >= 5;
                assert_eq!(server.is_settled(), gone, "round {round}, taking {taking}");
                now = server.due().unwrap_or(now);
                server.look(at(now)).unwrap();
            }
        }
    }

    /// What is known to be delivered needs no more room, and what is slow is not sent in haste.
    #[test]
    fn slower_and_slower() {
        let (mut server, _) = ends();
        server.peer_takes();
        send(&mut server, at(0), "a");
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let due = server.due().expect("a message waits");
            pauses.push(due - now);
            now = due;
            server.look(at(now)).unwrap();
        }
        assert_eq!(pauses, [200, 200, 200, 200, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    }

    /// After another connection the numbers go on, and what was not
    /// acknowledged comes again, in order.
    #[test]
    fn another_connection() {
        let (mut server, mut client) = ends();
        let a = send(&mut server, at(0), "a");
        client.receive(at(1), &a).unwrap();
        client.accept(at(1));
        server.detach();
        client.detach();
        server.send(at(2), Content::Output, b"b".to_vec());
        assert_eq!((server.frame(), server.due()), (None, None));
        server.attach(at(3));
        client.attach(at(3));
        for frame in frames(&mut server) {
            client.receive(at(4), &frame).unwrap();
        }
        assert_eq!(client.accept(at(4)).map(|m| m.payload), Some(b"b".to_vec()));
        for frame in frames(&mut client) {
            server.receive(at(5), &frame).unwrap();
        }
        assert!(server.is_settled());
    }

    /// What comes early is bounded, by number and by size; beyond that it is
    /// not acknowledged, and its turn is still its turn.
    #[test]
    fn early_messages_are_bounded() {
        let (mut server, mut client) = ends();
        let first = send(&mut client, at(0), "a");
        for _ in 0..EARLY_MAX {
            let frame = send(&mut client, at(0), "b");
            server.receive(at(0), &frame).unwrap();
        }
        assert_eq!(frames(&mut server).len(), EARLY_MAX);
        let late = send(&mut client, at(0), "c");
        server.receive(at(0), &late).unwrap();
        assert_eq!((frames(&mut server).len(), server.arrived.len()), (0, EARLY_MAX));
        server.receive(at(0), &first).unwrap();
        assert!(server.front().is_some());
    }

    /// Room is what is not waiting for acknowledgements.
    #[test]
    fn room() {
        let (mut server, _) = ends();
        assert!(server.has_room(UNACKNOWLEDGED_MAX) && !server.has_room(UNACKNOWLEDGED_MAX + 1));
        server.send(at(0), Content::Output, Vec::new());
        assert!(!server.has_room(UNACKNOWLEDGED_MAX));
        server.acknowledged(at(0), 0);
        assert!(server.has_room(UNACKNOWLEDGED_MAX));
    }
}
