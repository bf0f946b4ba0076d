//! From an HTTP request to an open channel: the upgrade to a WebSocket, and
//! the client's first message, whose token decides. Before that a client has
//! nothing but a place among those that wait.

use super::Sessions;
use super::protocol::Open;
use futures_util::StreamExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The path of channels; the session's id follows (ssm.md 1).
const PATH: &str = "/v1/data-channel/";
/// How long a client may take with its first message.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a message: the longest that the protocol's clients send are some
/// kilobytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes that wait to be written: a client that does not read is left alone
/// before that.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// A connection.
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// How connections are limited.
pub fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .write_buffer_size(0)
}

/// Whether a request is for a channel.
pub fn is_channel(path: &str) -> bool {
    path.starts_with(PATH)
}

/// Answers a request for a channel, and goes on with it in the background.
pub fn upgrade(sessions: &Arc<Sessions>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let id = request.uri().path().trim_start_matches(PATH).to_string();
    let key = match key_of(request.method(), request.headers()) {
        Ok(key) => key,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, why),
    };
    let Some(place) = sessions.place() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many clients open channels\n");
    };
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
    let Ok(accept) = derive_accept_key(key.as_bytes()).parse() else {
        return refusal(StatusCode::BAD_REQUEST, "the key cannot be used\n");
    };
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    let upgraded = hyper::upgrade::on(&mut request);
    let sessions = sessions.clone();
    tokio::spawn(async move {
        // A client that leaves before it has said anything is nobody's affair.
        let Ok(upgraded) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits())).await;
        open(&sessions, &id, Box::new(socket)).await;
        drop(place);
    });
    answer
}

/// Hears a client's first message and gives it its session's channel.
async fn open(sessions: &Arc<Sessions>, id: &str, mut socket: Box<Socket>) {
    let token = tokio::time::timeout(OPEN_LIMIT, first_message(&mut socket)).await;
    let refused = match token {
        Ok(Some(open)) => match sessions.attach(id, &open, socket) {
            Ok(()) => return,
            Err(socket) => socket,
        },
        Ok(None) | Err(_) => socket,
    };
    close(refused, "the token opens no session").await;
}

/// The first message, when it is one that opens a channel; pings before it are answered.
async fn first_message(socket: &mut Socket) -> Option<Open> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return serde_json::from_str(text.as_str()).ok(),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Binary(_) | Message::Close(_) | Message::Frame(_)) | Err(_) => return None,
        }
    }
}

/// Closes a connection, saying why.
async fn close(mut socket: Box<Socket>, why: &'static str) {
    let frame = CloseFrame { code: CloseCode::Policy, reason: Utf8Bytes::from_static(why) };
    // A client that does not take it is left without.
    let _ = tokio::time::timeout(OPEN_LIMIT, socket.close(Some(frame))).await;
}

/// The client's key, of a request that asks for a WebSocket (RFC 6455, 4.2.1).
fn key_of(method: &Method, headers: &HeaderMap) -> Result<String, &'static str> {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if method != Method::GET || !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err("data channels are WebSockets\n");
    }
    if !has(SEC_WEBSOCKET_VERSION, "13") {
        return Err("version 13 of WebSockets is spoken here\n");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    key.map(str::to_string).ok_or("there is no key\n")
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}

/// A seed for ids of messages: they must differ, and need not be secret.
pub fn seed() -> [u8; 16] {
    let mut seed = [0; 16];
    if crate::credentials::random_bytes(&mut seed).is_err() {
        // The time and the process differ from those of other sessions as well.
        seed[..8].copy_from_slice(&crate::clock::wall_ms().to_be_bytes());
        seed[8..12].copy_from_slice(&std::process::id().to_be_bytes());
    }
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (hyper::header::HeaderName::from_static(name), value.parse().expect("a value"))
        };
        lines.iter().map(pair).collect()
    }

    /// Only a complete request for a WebSocket is one.
    #[test]
    fn requests_for_channels() {
        let good = [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(key_of(&Method::GET, &headers(&good)).as_deref(), Ok("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(key_of(&Method::POST, &headers(&good)).is_err());
        for left_out in 0..good.len() {
            let mut lines = good.to_vec();
            lines.remove(left_out);
            assert!(key_of(&Method::GET, &headers(&lines)).is_err(), "without {}", good[left_out].0);
        }
        assert!(is_channel("/v1/data-channel/alice-1") && !is_channel("/v1/other"));
    }
}
