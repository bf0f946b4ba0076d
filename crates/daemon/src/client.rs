//! A client of our own daemon, for the commands that ask a running one:
//! plain HTTP/1.1 over loopback, signed with the installation's credentials.

use crate::admin::{About, Status};
use crate::auth::OWN_SERVICE;
use crate::clock::wall_ms;
use crate::credentials::Credentials;
use crate::data_dir::{DataDir, Problem};
use elastane_wire::sigv4::Signer;
use elastane_wire::{
    ClientRequest, Input, Operation, Output, ResponseError, client_protocol, decode_response, encode_request,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The file in which a running daemon says where it is.
pub const ABOUT_FILE: &str = "daemon.json";

/// A daemon that takes longer than this to answer is not well.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Answers are bounded: status grows with the installation, not with time.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A running daemon.
pub struct Daemon {
    /// What it said of itself.
    pub about: About,
    /// Its credentials.
    pub credentials: Credentials,
}

impl Daemon {
    /// The daemon of a data directory; an error that says how to start one
    /// when none answers.
    pub fn find(data: &DataDir) -> Result<Daemon, Problem> {
        let about = data.read_json(ABOUT_FILE)?.ok_or_else(|| not_running(data))?;
        let credentials = Credentials::existing(data)?.ok_or_else(|| not_running(data))?;
        let daemon = Daemon { about, credentials };
        daemon.request("GET", "/_elastane/health").map_err(|_| not_running(data))?;
        Ok(daemon)
    }

    /// `127.0.0.1:4566`.
    pub fn address(&self) -> &str {
        self.about.endpoint.trim_start_matches("http://")
    }

    /// Sends a signed request to one of our own paths and returns the answer's body.
    pub fn request(&self, method: &'static str, path: &str) -> Result<Vec<u8>, Problem> {
        self.request_with(method, path, Vec::new())
    }

    /// The same with a body.
    pub fn request_with(&self, method: &'static str, path: &str, body: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let request = ClientRequest { method, target: path.to_string(), headers: Vec::new(), body };
        let (status, body) = self.send(request, OWN_SERVICE)?;
        match status {
            200 => Ok(body),
            _ => Err(Problem::new(format!("{path}: {}", String::from_utf8_lossy(&body).trim()))),
        }
    }

    /// Everything at a glance.
    pub fn status(&self) -> Result<Status, Problem> {
        serde_json::from_slice(&self.request("GET", "/_elastane/status")?)
            .map_err(|err| Problem::because("cannot understand the daemon's status", err))
    }

    /// Asks for an AWS operation as any client does: over its protocol, signed.
    ///
    /// # Errors
    /// The service's code and text, led by the operation's name.
    pub fn call(&self, input: &Input) -> Result<Output, Problem> {
        let operation: Operation = input.operation();
        let protocol = client_protocol(operation.service());
        let request = encode_request(protocol, input);
        let (status, body) = self.send(request, operation.service().info().signing_name)?;
        decode_response(protocol, operation, status, None, &body).map_err(|err| match err {
            ResponseError::Api(err) => Problem::because(operation.name(), err),
            ResponseError::Decode(err) => {
                Problem::because(format!("cannot read the answer of {}", operation.name()), err)
            }
        })
    }

    fn send(&self, mut request: ClientRequest, service: &str) -> Result<(u16, Vec<u8>), Problem> {
        let signer = Signer {
            access_key_id: &self.credentials.access_key,
            secret_access_key: self.credentials.secret_key.expose(),
            session_token: None,
            region: &self.about.region,
            service,
        };
        signer.sign(&mut request, self.address(), wall_ms() / 1000);
        exchange(self.address(), &request)
            .map_err(|err| Problem::because(format!("no answer from {}", self.about.endpoint), err))
    }
}

/// Calls an operation and returns its output as that type:
/// `ask!(daemon, Ec2DescribeImages, ec2::DescribeImagesRequest { .. })`.
macro_rules! ask {
    ($daemon:expr, $operation:ident, $input:expr) => {
        $daemon.call(&elastane_wire::Input::$operation(Box::new($input))).map(|output| match output {
            elastane_wire::Output::$operation(output) => *output,
            _ => unreachable!("an answer is read as the operation that was asked for"),
        })
    };
}
pub(crate) use ask;

fn not_running(data: &DataDir) -> Problem {
    Problem::new(format!("no daemon runs on {}: start one with `elastane up`", data.path().display()))
}

/// One request on a connection of its own; status and body of the answer.
pub fn exchange(address: &str, request: &ClientRequest) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&request.body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    split(&answer).ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

/// Status and body. Our daemon closes the connection after the body, and
/// always gives its length, so there is no chunking to undo.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}
