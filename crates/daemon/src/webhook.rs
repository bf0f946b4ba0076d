//! Delivery of notifications to the operator's webhook: one POST after the
//! other, in the order of their making.
//!
//! The engine keeps a row for each until it hears that it was delivered, and
//! asks again for those that were not, so delivery is at least once. Here the
//! queue, the tries, the wait between them and the answer are bounded.

use crate::data_dir::Problem;
use crate::shell::Facts;
use elastane_engine::Fact;
use elastane_engine::row::Notification;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Notifications that wait; the engine asks again for those beyond.
const QUEUE_MAX: usize = 1_000;

/// Tries of one notification before the next one's turn; a webhook that did
/// not answer gets one until it does again.
const TRIES_MAX: u32 = 4;

/// The wait after the first try; it doubles with each.
const BACKOFF: Duration = Duration::from_secs(1);

/// A try takes at most so long.
const TRY_LIMIT: Duration = Duration::from_secs(5);

/// So much of an answer is read: its status is on the first line.
const ANSWER_MAX: usize = 1_024;

/// Where notifications go: a URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host and port as the URL has them.
    authority: String,
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

impl Target {
    /// Reads `http://host[:port][/path]`.
    ///
    /// # Errors
    /// What is wrong with it, for the command line.
    pub fn parse(url: &str) -> Result<Target, String> {
        if url.starts_with("https://") {
            return Err("https is not supported; a local proxy can add it".to_string());
        }
        let rest = url.strip_prefix("http://").ok_or("must begin with http://")?;
        let fine = |c: char| c.is_ascii_graphic();
        if !rest.chars().all(fine) || rest.contains(['@', '#']) {
            return Err("must be a plain URL without user and fragment".to_string());
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':').filter(|(host, _)| !host.ends_with(':')) {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| "has a port that is not a number".to_string())?)
            }
            Some(_) | None => (authority, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        if host.is_empty() {
            return Err("names no host".to_string());
        }
        Ok(Target { authority: authority.to_string(), host, port, path: path.to_string() })
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect())
    }

    /// Refuses a webhook that is not on this machine, unless the operator wants one.
    pub async fn check(&self, anywhere: bool) -> Result<(), Problem> {
        let addresses = self
            .addresses()
            .await
            .map_err(|err| Problem::because(format!("cannot find the webhook's host {}", self.host), err))?;
        if anywhere || addresses.iter().all(|address| address.ip().is_loopback()) {
            return Ok(());
        }
        Err(Problem::new(format!(
            "the webhook's host {} is not this machine: add --webhook-anywhere to send notifications to it",
            self.host
        )))
    }
}

/// A handle on the delivery; it ends with the daemon.
pub struct Webhook {
    queue: Sender<Arc<Notification>>,
    waiting: Arc<Mutex<BTreeSet<String>>>,
}

impl Webhook {
    /// Starts delivering. Needs the runtime.
    pub fn start(target: Target, anywhere: bool, facts: Facts) -> Webhook {
        let (queue, jobs) = channel(QUEUE_MAX);
        let waiting = Arc::default();
        tokio::spawn(run(target, anywhere, facts, jobs, Arc::clone(&waiting)));
        Webhook { queue, waiting }
    }

    /// Delivers a notification when its turn comes. One that waits already,
    /// or finds the queue full, is left: the engine asks again.
    pub fn deliver(&self, notification: Arc<Notification>) {
        let id = notification.id.clone();
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        if !waiting.contains(&id) && self.queue.try_send(notification).is_ok() {
            waiting.insert(id);
        }
    }
}

async fn run(
    target: Target,
    anywhere: bool,
    facts: Facts,
    mut jobs: Receiver<Arc<Notification>>,
    waiting: Arc<Mutex<BTreeSet<String>>>,
) {
    let mut well = true;
    while let Some(notification) = jobs.recv().await {
        let tries = if well { TRIES_MAX } else { 1 };
        let outcome = attempt(&target, anywhere, &notification, (tries, BACKOFF)).await;
        match &outcome {
            Ok(()) => facts.send(Fact::Notified { id: notification.id.clone() }),
            Err(err) if well => eprintln!("elastane: the webhook did not take a notification: {err}"),
            Err(_) => {}
        }
        well = outcome.is_ok();
        waiting.lock().expect("nobody panics while holding it").remove(&notification.id);
    }
}

/// Tries so often, with a wait in between that doubles.
async fn attempt(
    target: &Target,
    anywhere: bool,
    notification: &Notification,
    (tries, mut wait): (u32, Duration),
) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for number in 0..tries {
        if number > 0 {
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        match tokio::time::timeout(TRY_LIMIT, post(target, anywhere, notification)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(err)) => last = err,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
}

/// One POST on a connection of its own; fine when the answer is a 2xx. The
/// address is looked up and checked each time, as a name can move.
async fn post(target: &Target, anywhere: bool, notification: &Notification) -> io::Result<()> {
    let addresses = target.addresses().await?;
    let allowed = |address: &&SocketAddr| anywhere || address.ip().is_loopback();
    let address = addresses.iter().find(allowed).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request(target, notification).as_bytes()).await?;
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    match status(&answer) {
        Some(code) if (200..300).contains(&code) => Ok(()),
        Some(code) => Err(io::Error::other(format!("it answered {code}"))),
        None => Err(io::Error::other("its answer is not HTTP")),
    }
}

fn request(target: &Target, notification: &Notification) -> String {
    let Target { authority, path, .. } = target;
    let Notification { id, topic, body, .. } = notification;
    let topic = topic.as_ref().map_or_else(String::new, |arn| {
        format!("x-amz-sns-message-type: Notification\r\nx-amz-sns-topic-arn: {arn}\r\n")
    });
    format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: elastane\r\nContent-Type: application/json\r\n\
         X-Elastane-Notification: {id}\r\n{topic}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The code of `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|byte| *byte == b'\n').next()?).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::time::Time;
    use tokio::net::TcpListener;

    fn notification(topic: Option<&str>) -> Notification {
        let topic = topic.map(str::to_string);
        Notification { id: "n-1".to_string(), created_at: Time(0), topic, body: "{\"a\":1}".to_string() }
    }

    /// URLs that can be posted to, and those that cannot.
    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/hook?a=b", Some(("127.0.0.1", 8080, "/hook?a=b"))),
            ("http://localhost", Some(("localhost", 80, "/"))),
            ("http://[::1]:9/x", Some(("::1", 9, "/x"))),
            ("http://[::1]/x", Some(("::1", 80, "/x"))),
            ("https://localhost/", None),
            ("localhost:80", None),
            ("http://", None),
            ("http://user@localhost/", None),
            ("http://localhost:port/", None),
            ("http://localhost/a b", None),
            ("http://localhost/\r\nX: y", None),
        ] {
            let found = Target::parse(url);
            let parts = found.as_ref().ok().map(|t| (t.host.as_str(), t.port, t.path.as_str()));
            assert_eq!(parts, expected, "{url}");
        }
    }

    /// A refusal and a broken connection are tried again, then the webhook has the whole notification.
    #[tokio::test]
    async fn autoscaling_16_delivery_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            let mut heard = String::new();
            for answer in ["HTTP/1.1 503 Busy\r\n\r\n", "", "HTTP/1.1 204 No Content\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"{\"a\":1}") {
                    stream.read_buf(&mut bytes).await.expect("a request");
                }
                heard = String::from_utf8(bytes).expect("text");
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            }
            heard
        });
        let target = Target::parse(&format!("http://127.0.0.1:{port}/hook")).expect("a URL");
        let topic = notification(Some("arn:aws:sns:us-east-1:000000000000:t"));
        attempt(&target, false, &topic, (TRIES_MAX, Duration::ZERO)).await.expect("the third try");
        let heard = server.await.expect("it ran");
        assert!(heard.starts_with("POST /hook HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("x-amz-sns-topic-arn: arn:aws:sns:us-east-1:000000000000:t\r\n"), "{heard}");
        assert!(
            attempt(&target, false, &notification(None), (1, Duration::ZERO)).await.is_err(),
            "nobody listens any more"
        );
    }
}
