//! A client that speaks HTTP/2 inside TLS, and what it got.

use crate::certificates::Offer;
use crate::support::{PATIENCE, World};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{PingPong, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode, request};
use rustls::pki_types::ServerName;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddrV4;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Runs the client's side of a test; it ends or fails within the patience.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(PATIENCE, work).await.expect("it ends") };
    tokio::task::LocalSet::new().block_on(&runtime, limited)
}

/// A response with its body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A connection of a client.
#[derive(Clone)]
pub struct Client {
    pub send: SendRequest<Bytes>,
    pub pings: Rc<Cell<Option<PingPong>>>,
    closed: Rc<tokio::sync::Notify>,
}

impl Client {
    pub async fn connect(world: &World) -> Client {
        Client::open(world.address()).await
    }

    pub async fn open(address: SocketAddrV4) -> Client {
        let config = Offer { alpn: &[b"h2"], ..Offer::default() }.config();
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TlsConnector::from(config).connect(ServerName::try_from("a.test").unwrap(), stream).await.unwrap();
        let (send, mut connection) = h2::client::handshake(stream).await.unwrap();
        let pings = Rc::new(Cell::new(connection.ping_pong()));
        let closed = Rc::new(tokio::sync::Notify::new());
        let ended = closed.clone();
        tokio::task::spawn_local(async move {
            // Each request is told how the connection ended.
            let _ = connection.await;
            ended.notify_one();
        });
        Client { send, pings, closed }
    }

    /// Waits until the connection is over.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    /// A request that is answered.
    pub async fn ask(&self, request: request::Builder, body: &[u8]) -> Answer {
        self.try_ask(request, body).await.unwrap()
    }

    /// Sends a request and reads the response at the same time.
    pub async fn try_ask(&self, request: request::Builder, body: &[u8]) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone();
        poll_fn(|context| send.poll_ready(context)).await?;
        let (response, stream) = send.send_request(request.body(()).unwrap(), body.is_empty())?;
        if !body.is_empty() {
            let body = Bytes::copy_from_slice(body);
            // A server that answers early may not want the rest.
            tokio::task::spawn_local(async move { upload(stream, body).await });
        }
        collect(response.await?).await
    }
}

/// Sends a body as the window allows; `None` if it was not wanted.
pub async fn upload(mut stream: SendStream<Bytes>, mut body: Bytes) -> Option<()> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        let piece = body.split_to(room.min(body.len()));
        let is_end = body.is_empty();
        stream.send_data(piece, is_end).ok()?;
    }
    Some(())
}

/// Reads a response to its end.
pub async fn collect(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status, headers: parts.headers, body, trailers })
}

/// A GET request without a body.
pub fn get_request(path: &str) -> Request<()> {
    Request::get(format!("https://a.test{path}")).body(()).unwrap()
}
