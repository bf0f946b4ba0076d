//! Checks of groups that speak HTTP/2 or gRPC: with prior knowledge in clear
//! text, after ALPN inside TLS.

use super::{Question, USER_AGENT};
use crate::stream::Stream;
use bytes::Bytes;
use elastane_domain::routing::CheckProtocol;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Response};
use std::future::{Future, pending};

/// Bytes of an answer that are read to get to its trailers.
const BODY_MAX: usize = 64 * 1024;
/// An empty message: not compressed, of no length.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// The HTTP status that a target answers.
pub(super) async fn status(stream: Stream, host: &str, question: &Question) -> Option<u16> {
    let request = request(Method::GET, host, question).body(()).ok()?;
    over(stream, |mut sender| async move {
        let (response, _) = sender.send_request(request, true).ok()?;
        Some(response.await.ok()?.status().as_u16())
    })
    .await
}

/// The gRPC status that a target answers: from the trailers, or from the
/// headers when there is nothing else.
pub(super) async fn grpc_status(stream: Stream, host: &str, question: &Question) -> Option<u16> {
    let request = request(Method::POST, host, question).header("content-type", "application/grpc");
    let request = request.header("te", "trailers").body(()).ok()?;
    over(stream, |mut sender| async move {
        let (response, mut body) = sender.send_request(request, false).ok()?;
        body.send_data(Bytes::from_static(EMPTY_MESSAGE), true).ok()?;
        let response = response.await.ok()?;
        if let Some(status) = status_of(response.headers()) {
            return Some(status);
        }
        let instead = of_http(&response);
        let trailers = trailers(response.into_body()).await;
        Some(trailers.as_ref().and_then(status_of).unwrap_or(instead))
    })
    .await
}

fn request(method: Method, host: &str, question: &Question) -> http::request::Builder {
    let scheme = match question.check.protocol {
        CheckProtocol::Https => "https",
        CheckProtocol::Http | CheckProtocol::Tcp => "http",
    };
    let uri = format!("{scheme}://{host}{}", question.check.path);
    Request::builder().method(method).uri(uri).header("user-agent", USER_AGENT)
}

/// Carries out an exchange while the connection is served.
async fn over<R, F>(stream: Stream, exchange: impl FnOnce(SendRequest<Bytes>) -> F) -> Option<R>
where
    F: Future<Output = Option<R>>,
{
    let (sender, connection) = h2::client::handshake(stream).await.ok()?;
    // The exchange itself learns from its streams that the connection is over.
    let serve = async {
        let _ = connection.await;
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        reply = exchange(sender) => reply,
        () = serve => None,
    }
}

async fn trailers(mut body: RecvStream) -> Option<HeaderMap> {
    let mut seen = 0;
    while let Some(data) = body.data().await {
        let length = data.ok()?.len();
        seen += length;
        if seen > BODY_MAX {
            return None;
        }
        let _ = body.flow_control().release_capacity(length);
    }
    body.trailers().await.ok().flatten()
}

fn status_of(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// What an HTTP status means where gRPC's is missing (gRPC's mapping).
fn of_http<B>(response: &Response<B>) -> u16 {
    match response.status().as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}
