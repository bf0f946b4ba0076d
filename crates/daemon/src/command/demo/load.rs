//! The customers: an open-loop load generator over HTTP/1.1 keep-alive.
//!
//! Requests are due at times that follow from the rate alone. Their latency
//! counts from when they were due, so that a slow answer is not hidden by the
//! requests that it kept from being sent.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Customers at one time. At the demo's highest rate a handful is busy; the
/// rest covers seconds of stalling.
const CUSTOMERS: usize = 48;
/// A request unanswered for this long has failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// A connection that rested longer is not used again: the load balancer may
/// be closing it, since its idle time passes faster too.
const REST_LIMIT: Duration = Duration::from_millis(400);
/// Requests that are further behind their time than this are given up and
/// counted as not sent.
const BEHIND_LIMIT: Duration = Duration::from_secs(5);
/// Samples kept; three times what the demo sends when service time does not
/// run faster, when it takes longest.
const SAMPLES_MAX: usize = 500_000;
/// The shop's pages are small.
const BODY_MAX: usize = 64 << 10;
/// Header lines of one answer.
const HEADERS_MAX: usize = 100;

/// Where the load balancer is reached.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where to connect.
    pub address: SocketAddr,
    /// Its host name.
    pub host: String,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered with 200 by this instance.
    Served(String),
    /// Answered with another status.
    Status(u16),
    /// No connection.
    Refused,
    /// The connection ended before the answer was whole.
    Broken,
    /// No answer in time.
    TimedOut,
}

impl Outcome {
    /// Whether a customer saw the page.
    pub fn is_served(&self) -> bool {
        matches!(self, Outcome::Served(_))
    }

    /// What went wrong, in the words of a summary.
    pub fn cause(&self) -> String {
        match self {
            Outcome::Served(_) => "served".to_string(),
            Outcome::Status(status) => format!("answered {status}"),
            Outcome::Refused => "connection refused".to_string(),
            Outcome::Broken => "connection broken".to_string(),
            Outcome::TimedOut => format!("no answer in {} s", ANSWER_LIMIT.as_secs()),
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was due.
    pub due: Instant,
    /// When it was over.
    pub end: Instant,
    /// What came of it.
    pub outcome: Outcome,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Which instance made it.
    pub served_by: String,
    /// Its text.
    pub body: String,
}

struct Schedule {
    rate: f64,
    next: Instant,
    not_sent: usize,
}

struct Shared {
    door: Door,
    schedule: Mutex<Schedule>,
    changed: Condvar,
    samples: Mutex<Vec<Sample>>,
    stop: AtomicBool,
}

/// The customers. They stop and are waited for when this is dropped.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Customers who wait for a rate.
    pub fn start(door: Door) -> std::io::Result<Load> {
        let schedule = Mutex::new(Schedule { rate: 0.0, next: Instant::now(), not_sent: 0 });
        let shared = Arc::new(Shared {
            door,
            schedule,
            changed: Condvar::new(),
            samples: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut load = Load { shared: shared.clone(), threads: Vec::new() };
        for _ in 0..CUSTOMERS {
            let shared = shared.clone();
            load.threads
                .push(std::thread::Builder::new().name("customer".to_string()).spawn(move || customer(&shared))?);
        }
        Ok(load)
    }

    /// Requests a second from now on.
    pub fn set_rate(&self, rate: f64) {
        let mut schedule = lock(&self.shared.schedule);
        if schedule.rate == 0.0 {
            schedule.next = Instant::now();
        }
        schedule.rate = rate.max(0.0);
        drop(schedule);
        self.shared.changed.notify_all();
    }

    /// Everything that is over, in the order in which it ended.
    pub fn samples(&self) -> Vec<Sample> {
        lock(&self.shared.samples).clone()
    }

    /// Those that ended since `from`.
    pub fn since(&self, from: Instant) -> Vec<Sample> {
        let samples = lock(&self.shared.samples);
        let mut recent: Vec<Sample> = samples.iter().rev().take_while(|one| one.end >= from).cloned().collect();
        recent.reverse();
        recent
    }

    /// Requests that the customers were too late to send.
    pub fn not_sent(&self) -> usize {
        lock(&self.shared.schedule).not_sent
    }

    /// Ends all customers, each after the request that it is at.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A customer that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn customer(shared: &Shared) {
    let mut connection = None;
    while let Some(due) = next_due(shared) {
        let outcome = match visit(&shared.door, &mut connection) {
            Ok(page) if page.status == 200 => Outcome::Served(page.served_by),
            Ok(page) => Outcome::Status(page.status),
            Err(outcome) => outcome,
        };
        let mut samples = lock(&shared.samples);
        if samples.len() < SAMPLES_MAX {
            samples.push(Sample { due, end: Instant::now(), outcome });
        }
    }
}

/// Waits for the next request's time and takes it; `None` at the end.
fn next_due(shared: &Shared) -> Option<Instant> {
    let mut schedule = lock(&shared.schedule);
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return None;
        }
        let now = Instant::now();
        let wait = if schedule.rate <= 0.0 {
            Duration::from_millis(200)
        } else if now.saturating_duration_since(schedule.next) > BEHIND_LIMIT {
            let behind = now.saturating_duration_since(schedule.next).as_secs_f64();
            schedule.not_sent += (behind * schedule.rate) as usize;
            schedule.next = now;
            Duration::ZERO
        } else {
            schedule.next.saturating_duration_since(now)
        };
        if wait.is_zero() {
            let due = schedule.next;
            schedule.next = due + Duration::from_secs_f64(1.0 / schedule.rate);
            return Some(due);
        }
        schedule = shared.changed.wait_timeout(schedule, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// A kept connection and when it was last used.
type Kept = Option<(BufReader<TcpStream>, Instant)>;

/// One request, on the kept connection if it is fresh.
fn visit(door: &Door, kept: &mut Kept) -> Result<Page, Outcome> {
    let fresh = kept.take().filter(|(_, used)| used.elapsed() < REST_LIMIT).map(|(stream, _)| stream);
    let mut stream = match fresh {
        Some(stream) => stream,
        None => connect(door)?,
    };
    let (page, keep) = get(&mut stream, &door.host).map_err(|err| match err.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Outcome::TimedOut,
        _ => Outcome::Broken,
    })?;
    *kept = keep.then(|| (stream, Instant::now()));
    Ok(page)
}

/// Gets the page once, on a connection of its own.
pub fn get_once(door: &Door) -> Result<Page, Outcome> {
    visit(door, &mut None)
}

fn connect(door: &Door) -> Result<BufReader<TcpStream>, Outcome> {
    let stream = TcpStream::connect_timeout(&door.address, ANSWER_LIMIT).map_err(|_| Outcome::Refused)?;
    let set = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(ANSWER_LIMIT)))
        .and_then(|()| stream.set_write_timeout(Some(ANSWER_LIMIT)));
    set.map_err(|_| Outcome::Refused)?;
    Ok(BufReader::new(stream))
}

/// The page, and whether the connection can be used again.
fn get(stream: &mut BufReader<TcpStream>, host: &str) -> std::io::Result<(Page, bool)> {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: elastane-demo\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    read_answer(stream)
}

/// Reads an answer that has a length; nobody here sends chunks.
fn read_answer(stream: &mut impl BufRead) -> std::io::Result<(Page, bool)> {
    let malformed = || std::io::Error::new(ErrorKind::InvalidData, "not an answer with a length");
    let mut line = String::new();
    if stream.by_ref().take(BODY_MAX as u64).read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|word| word.trim().parse().ok()).ok_or_else(malformed)?;
    let (mut length, mut served_by, mut keep) = (None, String::new(), true);
    for _ in 0..HEADERS_MAX {
        line.clear();
        stream.by_ref().take(BODY_MAX as u64).read_line(&mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { return Err(malformed()) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok(),
            "connection" => keep = !value.trim().eq_ignore_ascii_case("close"),
            super::shop::SERVED_BY => served_by = value.trim().to_string(),
            _ => {}
        }
    }
    let length = length.filter(|length| *length <= BODY_MAX).ok_or_else(malformed)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((Page { status, served_by, body: String::from_utf8_lossy(&body).into_owned() }, keep))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are read to their end, and no further; what is cut short is an error.
    #[test]
    fn answers() {
        let bytes = b"HTTP/1.1 200 OK\r\nX-Served-By: i-1\r\nContent-Length: 3\r\n\r\nhi\nHTTP/1.1 502 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let mut stream = BufReader::new(&bytes[..]);
        let (page, keep) = read_answer(&mut stream).unwrap();
        assert_eq!((page.status, page.served_by.as_str(), page.body.as_str(), keep), (200, "i-1", "hi\n", true));
        let (page, keep) = read_answer(&mut stream).unwrap();
        assert_eq!((page.status, keep), (502, false));
        assert!(read_answer(&mut stream).is_err());
        assert!(read_answer(&mut &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"[..]).is_err());
    }
}
