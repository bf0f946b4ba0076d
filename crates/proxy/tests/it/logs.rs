//! Access logs as a client of the files sees them (alb.md 10).

use crate::support::*;
use elastane_domain::routing::{Action, LogPlace, Redirect};
use flate2::read::GzDecoder;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A folder that is removed with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("elastane-it-logs-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let (mut folders, mut files) = (vec![self.0.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }

    /// All lines of packed and current files.
    fn lines(&self) -> Vec<String> {
        let read = |path: &PathBuf| {
            let mut text = String::new();
            // A file may be packed between being listed and being read.
            let Ok(mut file) = fs::File::open(path) else { return text };
            let packed = path.extension().is_some_and(|ending| ending == "gz");
            let _ =
                if packed { GzDecoder::new(file).read_to_string(&mut text) } else { file.read_to_string(&mut text) };
            text
        };
        let parts = |path: &&PathBuf| path.extension().is_none_or(|ending| ending != "part");
        let texts: Vec<String> = self.files().iter().filter(parts).map(read).collect();
        texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
    }

    /// Waits until there are so many lines.
    pub fn wait_lines(&self, count: usize) -> Vec<String> {
        let began = Instant::now();
        loop {
            let lines = self.lines();
            if lines.len() >= count {
                return lines;
            }
            assert!(began.elapsed() < PATIENCE, "{lines:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The fields of a line, without quotes.
pub fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => fields.push(String::new()),
            letter => fields.last_mut().unwrap().push(letter),
        }
    }
    fields
}

fn logging(folder: &Path, servers: &[&Server]) -> World {
    let mut world = World::start(1, Some(folder.to_owned()));
    world.balancer.options.access_log = Some(LogPlace { bucket: "bucket".to_owned(), prefix: "web".to_owned() });
    for server in servers {
        world.add(server.address);
    }
    world.apply();
    for server in servers {
        world.wait_healthy(server.address);
    }
    world
}

/// Field `number`, from 1, of each line.
fn column(lines: &[String], number: usize) -> Vec<String> {
    lines.iter().map(|line| fields(line)[number - 1].clone()).collect()
}

/// One line for each request, with what happened to it; packed when the proxy ends.
#[test]
fn alb_10_lines_of_requests() {
    let folder = Folder::new();
    let server = Server::start(|_, head, stream| {
        if head.contains("/closes") {
            return false;
        }
        respond(stream, if head.contains("/missing") { 404 } else { 200 }, "", b"body");
        true
    });
    let mut world = logging(&folder.0, &[&server]);
    let address = world.address();
    let mut client = connect(address);
    for path in ["/?a=b", "/missing"] {
        send(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: www.test:1\r\nUser-Agent: curl/8\r\n\r\n"));
    }
    assert_eq!(get(address, "/closes").status, 502);
    world.group.targets.clear();
    world.apply();
    assert_eq!(get(address, "/none").status, 503);
    let lines = folder.wait_lines(4);
    for line in &lines {
        assert_eq!(fields(line).len(), 34, "{line}");
    }
    assert_eq!(column(&lines, 1), ["http"; 4]);
    assert_eq!(column(&lines, 9), ["200", "404", "502", "503"]);
    assert_eq!(column(&lines, 10), ["200", "404", "-", "-"]);
    let target = server.address.to_string();
    assert_eq!(column(&lines, 5), [&target, &target, &target, "-"]);
    assert_eq!(column(&lines, 26), [&target, &target, &target, "-"]);
    assert_eq!(column(&lines, 27), ["200", "404", "-", "-"]);
    assert_eq!(column(&lines, 14), ["curl/8", "curl/8", "-", "-"]);
    assert_eq!(column(&lines, 17), [GROUP, GROUP, GROUP, "-"]);
    assert_eq!(column(&lines, 21), ["0"; 4]);
    assert_eq!(column(&lines, 23), ["forward"; 4]);
    let port = world.balancer.listeners[0].port;
    assert_eq!(column(&lines, 13)[0], format!("GET http://www.test:{port}/?a=b HTTP/1.1"));
    assert_eq!(fields(&lines[0])[3], client.local_addr().unwrap().to_string());
    assert!(column(&lines, 18)[0].starts_with("Root=1-"), "{}", lines[0]);
    assert_eq!(column(&lines[2..], 6), ["-1", "-1"]);
    assert!(column(&lines[..2], 7).iter().all(|time| time.parse::<f64>().unwrap() >= 0.0));
    let received: usize = fields(&lines[0])[10].parse().unwrap();
    assert_eq!(received, "GET /?a=b HTTP/1.1\r\nHost: www.test:1\r\nUser-Agent: curl/8\r\n\r\n".len());
    assert_eq!(column(&lines, 34), ["127.0.0.1"; 4]);
    drop(world);
    let files = folder.files();
    assert!(files.iter().all(|file| file.extension().is_some_and(|ending| ending == "gz")), "{files:?}");
    let below = folder.0.join("logs/bucket/web/AWSLogs");
    assert!(files.iter().all(|file| file.starts_with(&below)), "{files:?}");
    assert_eq!(folder.lines().len(), 4);
}

/// Requests that no target sees: fixed responses, redirects, bad requests.
#[test]
fn alb_10_lines_without_targets() {
    let folder = Folder::new();
    let mut world = logging(&folder.0, &[]);
    let address = world.address();
    let text = "text/plain".to_owned();
    world.balancer.listeners[0].rules[0].action =
        Action::FixedResponse { status: 418, content_type: text, body: "tea".to_owned() };
    world.apply();
    assert_eq!(get(address, "/fixed").status, 418);
    world.balancer.listeners[0].rules[0].action = Action::Redirect(Redirect {
        status: 301,
        protocol: "HTTPS".to_owned(),
        host: "#{host}".to_owned(),
        port: "443".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
    });
    world.apply();
    assert_eq!(get(address, "/moved").status, 301);
    let mut bad = connect(address);
    bad.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").unwrap();
    assert_eq!(receive(&mut bad).status, 400);
    let lines = folder.wait_lines(3);
    assert_eq!(column(&lines, 9), ["418", "301", "400"]);
    assert_eq!(column(&lines[..2], 23), ["fixed-response", "redirect"]);
    assert_eq!(column(&lines, 24), ["-", "https://x.test:443/moved", "-"]);
    assert_eq!(column(&lines, 5), ["-"; 3]);
    assert_eq!((column(&lines, 28)[2].as_str(), column(&lines, 29)[2].as_str()), ("Severe", "BadContentLength"));
}

/// A WebSocket has one line, when it ends; a client that leaves has one too.
#[test]
fn alb_10_lines_of_tunnels_and_leavers() {
    let folder = Folder::new();
    let (told, heard) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let server = Server::start(move |_, head, stream| {
        if head.contains("Upgrade") || head.contains("upgrade") {
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(switch).unwrap();
            let mut echo = [0; 4];
            stream.read_exact(&mut echo).unwrap();
            stream.write_all(&echo).unwrap();
            return false;
        }
        told.lock().unwrap().send(()).unwrap();
        // The client leaves before an answer.
        let _ = stream.read(&mut [0; 1]);
        false
    });
    let world = logging(&folder.0, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nping").unwrap();
    assert!(read_head(&mut client).unwrap().starts_with("HTTP/1.1 101"));
    let mut echo = [0; 4];
    client.read_exact(&mut echo).unwrap();
    drop(client);
    assert_eq!(column(&folder.wait_lines(1), 1), ["ws"]);
    let mut leaver = connect(world.address());
    leaver.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    heard.recv_timeout(PATIENCE).unwrap();
    drop(leaver);
    let lines = folder.wait_lines(2);
    assert_eq!(column(&lines, 9), ["101", "460"]);
    assert_eq!(column(&lines, 10), ["101", "-"]);
    assert_eq!(column(&lines, 5), [server.address.to_string(), server.address.to_string()]);
}

/// Logs go on and off with the settings, connections stay.
#[test]
fn alb_10_logs_are_switched_live() {
    let folder = Folder::new();
    let server = Server::named("one");
    let mut world = logging(&folder.0, &[&server]);
    let place = world.balancer.options.access_log.take();
    world.apply();
    let mut client = connect(world.address());
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    send(&mut client, &request("/off"));
    world.balancer.options.access_log = place;
    world.apply();
    send(&mut client, &request("/on"));
    drop(world);
    let lines = folder.lines();
    assert!(lines.len() == 1 && lines[0].contains("/on "), "{lines:?}");
}
