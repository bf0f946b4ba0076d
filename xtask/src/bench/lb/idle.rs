//! Memory of connections that wait for their next request.

use super::cases::{BASE, Contender, Upstream, port};
use super::place::Place;
use crate::stats::Series;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const CONNECTIONS: usize = 5000;
const WARM_UP: usize = 50;
const ROUNDS: usize = 3;
const REQUEST: &[u8] = b"GET /abc HTTP/1.1\r\nHost: example.com\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n";

/// Bytes of our proxy's memory that one such connection takes.
pub fn bytes_a_connection(place: &Place) -> Result<Series, String> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|err| format!("cannot open as many files as allowed: {err}"))?;
    let _upstream = place.upstream(Upstream::Small)?;
    let mut series = Series::default();
    for _ in 0..ROUNDS {
        let process = place.start(&Contender { name: "ours", conf: None, port: BASE + port::SMALL })?;
        (0..WARM_UP).try_for_each(|_| connection().map(drop))?;
        std::thread::sleep(Duration::from_millis(500));
        let before = process.memory();
        let connections = (0..CONNECTIONS).map(|_| connection()).collect::<Result<Vec<_>, _>>()?;
        std::thread::sleep(Duration::from_secs(1));
        series.add((process.memory() - before) / connections.len() as f64);
    }
    Ok(series)
}

/// A connection after its first request.
fn connection() -> Result<TcpStream, String> {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", BASE + port::SMALL))?;
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !answer.ends_with(b"Hello, World!") {
            match stream.read(&mut part)? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
                length => answer.extend_from_slice(&part[..length]),
            }
        }
        Ok(stream)
    };
    ask().map_err(|err| format!("an idle connection: {err}"))
}
