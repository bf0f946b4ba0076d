//! One attachment as the data plane's process sees it: orders are carried out
//! in the order in which they come; facts go out from a thread of their own.

use super::estate;
use super::frame::{Receiver, send};
use super::link::{GREETING_LIMIT, SEND_LIMIT};
use super::message::{Greeting, Order, PROTOCOL, Role, Word};
use super::place::{Post, is_own};
use super::server::Core;
use crate::registry::Counters;
use elastane_domain::routing::ProxyFact;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Attachments at a time: a daemon, a successor, a few visitors.
const SESSIONS_MAX: usize = 16;
/// Facts that are taken from the book at a time.
const FACTS_AT_ONCE: usize = 256;
/// Pause after a failed accept, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts attachments for as long as the process lives.
pub(super) fn listen(core: &Arc<Core>, post: &Post) -> io::Result<()> {
    let listener = post.listener.try_clone()?;
    let core = core.clone();
    let sessions = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        loop {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            };
            if !is_own(&stream) || sessions.load(Ordering::Relaxed) >= SESSIONS_MAX {
                continue;
            }
            sessions.fetch_add(1, Ordering::Relaxed);
            let (core, counted) = (core.clone(), sessions.clone());
            let session = move || {
                // However it ends, the other side sees the end of the stream.
                let _ = serve(&core, &stream);
                let _ = stream.shutdown(Shutdown::Both);
                counted.fetch_sub(1, Ordering::Relaxed);
            };
            if std::thread::Builder::new().name("session".to_owned()).spawn(session).is_err() {
                sessions.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::Builder::new().name("sessions".to_owned()).spawn(accept)?;
    Ok(())
}

/// The sending side, shared by answers and facts.
type Sender = Arc<Mutex<UnixStream>>;

fn say(sender: &Sender, word: &Word) -> io::Result<()> {
    send(&mut sender.lock().unwrap_or_else(PoisonError::into_inner), word, &[])
}

fn serve(core: &Arc<Core>, stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(GREETING_LIMIT))?;
    stream.set_write_timeout(Some(SEND_LIMIT))?;
    let mut receiver = Receiver::new(stream.try_clone()?);
    let Some((greeting, _)) = receiver.next::<Greeting>()? else { return Ok(()) };
    let mut sending = stream.try_clone()?;
    send(&mut sending, &core.hello, &[])?;
    if greeting.protocol != PROTOCOL && greeting.role != Role::Visitor {
        return Ok(());
    }
    stream.set_read_timeout(None)?;
    let sender: Sender = Arc::new(Mutex::new(sending));
    let attachment = match greeting.role {
        Role::Daemon => core.claim(stream.try_clone()?),
        Role::Successor | Role::Visitor => 0,
    };
    if greeting.role != Role::Visitor {
        let (core, sender, role) = (core.clone(), sender.clone(), greeting.role);
        let tell = move || drop(tell_facts(&core, &sender, role));
        std::thread::Builder::new().name("facts".to_owned()).spawn(tell)?;
    }
    if greeting.role == Role::Successor {
        core.successor_attached();
    }
    let reader = core.batches().reader();
    let mut session = Session { core, sender, role: greeting.role, attachment, reader };
    let ended = session.carry_out_all(&mut receiver);
    core.batches().take_back(reader);
    match greeting.role {
        Role::Daemon => core.unclaim(attachment),
        Role::Successor => core.orphaned(),
        Role::Visitor => {}
    }
    ended
}

struct Session<'a> {
    core: &'a Arc<Core>,
    sender: Sender,
    role: Role,
    attachment: u64,
    /// Its number among those who ask for counters.
    reader: u64,
}

impl Session<'_> {
    fn carry_out_all(&mut self, receiver: &mut Receiver) -> io::Result<()> {
        while let Some((order, mut descriptors)) = receiver.next::<Order>()? {
            match order {
                Order::Clock(clock) => self.core.set_clock(clock),
                Order::Route(snapshot) => self.core.route(self.attachment, snapshot),
                Order::Serve { host } => {
                    let client = descriptors.pop().ok_or(io::ErrorKind::InvalidData)?;
                    // An overloaded proxy has closed it and counted it.
                    let _ = self.core.proxy().serve_connection(TcpStream::from(client), &host);
                }
                Order::Collect { request } => {
                    let (batch, counters) = self.core.collect(self.reader);
                    say(&self.sender, &Word::Counters { request, batch, counters })?;
                }
                Order::Collected { batch } => self.core.batches().safe(batch),
                Order::Prometheus { request } => {
                    let text = self.core.proxy().prometheus();
                    say(&self.sender, &Word::Prometheus { request, text })?;
                }
                Order::Ping { number } => say(&self.sender, &Word::Pong { number })?,
                Order::HandOver => {
                    let (listeners, estate) = (self.core.proxy().hand_over(), self.core.estate());
                    let mut stream = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
                    estate::give(&mut stream, listeners, estate)?;
                }
                Order::Retire if self.role == Role::Successor => {
                    self.core.retire();
                    // From here on the successor's snapshots count.
                    self.attachment = self.core.adopt_successor();
                }
                Order::Retire => return Err(io::ErrorKind::InvalidData.into()),
                Order::Stop => {
                    self.core.end();
                    if self.role == Role::Visitor {
                        // The visitor waits for the end of the process.
                        std::thread::sleep(GREETING_LIMIT);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What there is to tell.
enum News {
    Facts(Vec<(u64, ProxyFact)>),
    Superseded,
    Last(Vec<(u64, Counters)>),
}

/// Tells what is so now, then what becomes so.
fn tell_facts(core: &Arc<Core>, sender: &Sender, role: Role) -> io::Result<()> {
    let mut position = 0;
    loop {
        match next_news(core, role, position) {
            News::Facts(facts) => {
                for (at, fact) in facts {
                    say(sender, &Word::Fact(fact))?;
                    position = at;
                }
            }
            News::Superseded => return say(sender, &Word::Superseded),
            News::Last(words) => {
                let mut words = words.into_iter();
                return words
                    .try_for_each(|(batch, counters)| say(sender, &Word::Counters { request: 0, batch, counters }));
            }
        }
    }
}

fn next_news(core: &Core, role: Role, position: u64) -> News {
    let mut notes = core.notes();
    loop {
        if role == Role::Daemon && notes.superseded {
            return News::Superseded;
        }
        if notes.book.has_after(position) {
            return News::Facts(notes.book.after(position, FACTS_AT_ONCE));
        }
        if let Some(words) = &notes.last
            && role == Role::Successor
        {
            return News::Last(words.clone());
        }
        notes = core.news.wait(notes).unwrap_or_else(PoisonError::into_inner);
    }
}
