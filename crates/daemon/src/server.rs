//! The main port: AWS requests, our own paths below `/_elastane/`, and
//! connections for load balancers, told apart by their first Host header.

use crate::admin;
use crate::audit::{Draft, Trail};
use crate::auth::Auth;
use crate::clock::wall_ms;
use crate::imports::Imports;
use crate::session::{self, Reached};
use crate::shell::Shell;
use crate::supervisor::Supervisor;
use crate::throttle::Throttle;
use crate::tls::{self, Tls};
use crate::world::RealWorld;
use elastane_api::{Caller, Origin, iam};
use elastane_domain::id::{AccountId, Region};
use elastane_domain::time::Time;
use elastane_engine::row::IAM_REGION;
use elastane_engine::{Scope, Tx};
use elastane_wire::limits::{BODY_BYTES_MAX, HEADERS_BYTES_MAX};
use elastane_wire::{
    ApiError, Headers, HttpRequest, HttpResponse, Identified, Input, Operation, Service, WireError, decode,
    encode_error, encode_response, identify,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections to the main port at one time; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 4_096;

/// A client must have sent its first Host header within this.
const FIRST_HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at a head that arrives in pieces.
const FIRST_HEAD_POLL: Duration = Duration::from_millis(2);

/// So much of the first head is searched for its Host header.
const FIRST_HEAD_BYTES: usize = 8 << 10;

/// Everything that a request is answered from.
pub struct Server {
    /// The engine.
    pub shell: Shell,
    /// Host and data plane.
    pub world: Arc<RealWorld>,
    /// Who may call.
    pub auth: Auth,
    /// Accepts TLS connections.
    pub tls: Tls,
    /// How often each key calls.
    pub throttle: Throttle,
    /// Where calls are written down.
    pub trail: Arc<Trail>,
    /// Numbers requests, so that each has an id of its own.
    pub requests: AtomicU64,
    /// Tells the ids of this run from those of another.
    pub run_id: u64,
    /// Imports of images that are under way.
    pub imports: Imports,
    /// Asked to be let down by `elastane down`.
    pub down: tokio::sync::Notify,
    /// Looks after the data plane's process.
    pub supervisor: Arc<Supervisor>,
    /// Driver, URL and the like, for `elastane status`.
    pub about: admin::About,
}

/// Accepts connections for as long as the daemon runs.
pub async fn serve(server: Arc<Server>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let server = server.clone();
                tokio::spawn(async move {
                    connection(server, stream, peer.ip()).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, or a client that is gone already: neither passes by waiting busily.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(server: Arc<Server>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let first = tokio::time::timeout(FIRST_HEAD_LIMIT, first_look(&stream)).await;
    let origin = |secure| Origin { address: Some(peer.to_canonical()), secure, ..Origin::default() };
    match first {
        Ok(Some(First::Tls)) => {
            let accepting = server.tls.acceptor(Time(wall_ms())).accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(FIRST_HEAD_LIMIT, accepting).await {
                serve_requests(server, stream, origin(true)).await;
            }
        }
        Ok(Some(First::Host(host))) if server.world.host_names.load().contains(&host) => {
            if let Ok(stream) = stream.into_std() {
                // An overloaded data plane has closed the connection.
                let _ = server.world.proxy.serve_connection(stream, &host);
            }
        }
        Ok(Some(First::Host(_))) => serve_requests(server, stream, origin(false)).await,
        Ok(None) | Err(_) => {}
    }
}

async fn serve_requests<S>(server: Arc<Server>, stream: S, origin: Origin)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (server, origin) = (server.clone(), origin.clone());
        async move { Ok::<_, Infallible>(respond(&server, request, origin).await) }
    });
    // How a client's connection ends is the client's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60))
        .max_buf_size(HEADERS_BYTES_MAX + (64 << 10))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// What a connection begins with.
enum First {
    /// A TLS handshake.
    Tls,
    /// A request for this host; empty when it names none.
    Host(String),
}

/// What a connection begins with, with nothing consumed: a handshake, or the
/// host that its first request names, in lower case and without port. `None`
/// when the client left.
async fn first_look(stream: &TcpStream) -> Option<First> {
    let mut buffer = vec![0; FIRST_HEAD_BYTES];
    loop {
        let count = stream.peek(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        let head = &buffer[..count];
        if head[0] == tls::FIRST_BYTE {
            return Some(First::Tls);
        }
        if let Some(host) = host_of(head) {
            return Some(First::Host(host));
        }
        let complete = head.windows(4).any(|window| window == b"\r\n\r\n");
        if complete || count == buffer.len() {
            return Some(First::Host(String::new()));
        }
        tokio::time::sleep(FIRST_HEAD_POLL).await;
    }
}

/// The value of the first complete Host line.
fn host_of(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let whole_lines = &text[..text.rfind("\r\n")?];
    let value = whole_lines.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    })?;
    let name = value.rsplit_once(':').map_or(value, |(name, _)| name);
    Some(name.to_ascii_lowercase())
}

async fn respond(server: &Server, request: Request<Incoming>, origin: Origin) -> Response<Full<Bytes>> {
    if session::is_channel(request.uri().path()) {
        return session::upgrade(&server.world.sessions, request);
    }
    let number = server.requests.fetch_add(1, Ordering::Relaxed);
    let request_id = request_id(server.run_id, number);
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(err) if err.is::<http_body_util::LengthLimitError>() => {
            let error =
                ApiError::new("RequestEntityTooLarge", format!("The request body is over {BODY_BYTES_MAX} bytes"));
            let form = HeaderView(&parts.headers);
            let head = HttpRequest { method: parts.method.as_str(), target, headers: &form, body: &[] };
            return finish(refuse(&head, error.with_status(413), &request_id));
        }
        Err(_) => return finish(plain(400, "the body ended early\n")),
    };
    finish(match route(server, &parts, target, &body, (origin, &request_id)) {
        Routed::Own { granted } => {
            let request = admin::Request { method: parts.method.as_str(), path: parts.uri.path(), body: &body };
            admin::respond(server, request, granted).await
        }
        Routed::Aws(Ok(call)) => answer(server, *call, &request_id).await,
        Routed::Aws(Err(WireError { form, error })) => encode_error(form, &error, &request_id),
    })
}

/// Whose a request is.
enum Routed {
    /// Ours; `granted` when the installation's credentials signed it.
    Own { granted: bool },
    /// AWS's, or what is wrong with it.
    Aws(Result<Box<Prepared>, WireError>),
}

fn route(server: &Server, parts: &Parts, target: &str, body: &[u8], from: (Origin, &str)) -> Routed {
    let headers = HeaderView(&parts.headers);
    let request = HttpRequest { method: parts.method.as_str(), target, headers: &headers, body };
    if request.path().starts_with("/_elastane/") {
        return Routed::Own { granted: server.auth.check_own(&request) };
    }
    Routed::Aws(prepare(server, &request, from).map(Box::new))
}

/// An AWS request that may be carried out.
struct Prepared {
    identified: Identified,
    scope: Scope,
    caller: Caller,
    input: Input,
    draft: Draft,
    reached: Reached,
}

/// What is asked, by whom, from where, and under which request id.
fn prepare(
    server: &Server,
    request: &HttpRequest<'_>,
    (origin, request_id): (Origin, &str),
) -> Result<Prepared, WireError> {
    let identified = identify(request)?;
    let form = identified.reply_form();
    let wire_error = |error| WireError { form, error };
    let granted = server.auth.check(request, form).map_err(wire_error)?;
    let user_agent = request.headers.first("user-agent").unwrap_or_default().to_string();
    let caller =
        Caller { origin: Origin { user_agent, region: Some(granted.region.clone()), ..origin }, ..granted.caller };
    server.throttle.check(&caller, identified.service(), Instant::now()).map_err(wire_error)?;
    let input = decode(&identified, request)?;
    let region = match identified.service() {
        Service::Iam => elastane_api::GLOBAL_REGION,
        _ => granted.region.as_str(),
    };
    let draft = Draft::new(server.shell.clock().now(), region, &caller, &input, request_id);
    let scope = elastane_api::scope_of(identified.operation, caller.account.clone(), granted.region);
    let host = request.headers.first("host").map(str::to_string);
    let reached = Reached { secure: caller.origin.secure, host };
    Ok(Prepared { identified, scope, caller, input, draft, reached })
}

async fn answer(server: &Server, call: Prepared, request_id: &str) -> HttpResponse {
    let Prepared { identified, scope, caller, input, draft, reached } = call;
    let account = scope.account.clone();
    let outcome = server.shell.call(scope, caller, input, server.world.as_ref()).await;
    if outcome.is_ok() {
        make_linked_role(&server.shell, identified.operation, account).await;
    }
    server.trail.record(draft, outcome.as_ref());
    match outcome {
        Ok(mut output) => {
            session::complete(&mut output, &reached, server.about.endpoint.rsplit('/').next().unwrap_or_default());
            encode_response(identified.protocol, &output, request_id)
        }
        Err(error) => encode_error(identified.reply_form(), &error, request_id),
    }
}

/// Makes the role of a service that is used for the first time. It is made at
/// the next such call when the daemon ends before.
async fn make_linked_role(shell: &Shell, operation: Operation, account: AccountId) {
    let Some(service) = iam::linked_service(operation) else { return };
    let scope = Scope { account, region: Region::from(IAM_REGION) };
    let there = {
        let engine = shell.engine();
        engine.view(&scope, shell.clock().now()).is_some_and(|view| iam::has_linked_role(&view, service))
    };
    if !there {
        let make = move |tx: &mut Tx<'_>| {
            iam::ensure_linked_role(tx, service);
            Ok(String::new())
        };
        // A daemon that stops makes it another time.
        let _ = shell.change(scope, make).await;
    }
}

/// A refusal in the form that the request's head asks for.
fn refuse(head: &HttpRequest<'_>, error: ApiError, request_id: &str) -> HttpResponse {
    let form = match identify(head) {
        Ok(identified) => identified.reply_form(),
        Err(err) => err.form,
    };
    encode_error(form, &error, request_id)
}

/// A version 4 UUID's form over the run and the request's number.
fn request_id(run: u64, number: u64) -> String {
    let low = number & 0xffff_ffff_ffff;
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{low:012x}",
        run >> 32,
        run >> 16 & 0xffff,
        run & 0xfff,
        number >> 48 & 0xfff
    )
}

/// A plain text answer.
pub fn plain(status: u16, text: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("content-type", "text/plain; charset=utf-8".into())],
        body: text.as_bytes().to_vec(),
    }
}

fn finish(response: HttpResponse) -> Response<Full<Bytes>> {
    let mut built = Response::builder().status(response.status);
    for (name, value) in &response.headers {
        built = built.header(*name, value.as_ref());
    }
    let fallback = || Response::new(Full::new(Bytes::from_static(b"a header could not be sent\n")));
    built.body(Full::new(Bytes::from(response.body))).unwrap_or_else(|_| fallback())
}

/// hyper's headers as `wire` reads them.
struct HeaderView<'a>(&'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&str)) {
        for value in self.0.get_all(name) {
            if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
                visit(text);
            }
        }
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Host header is found once its line is complete, whatever its case;
    /// the port is not part of it.
    #[test]
    fn hosts_of_heads() {
        for (head, host) in [
            ("GET / HTTP/1.1\r\nHost: Shop.elb.localhost:4566\r\n\r\n", Some("shop.elb.localhost")),
            ("GET / HTTP/1.1\r\nAccept: */*\r\nhOST: a\r\n", Some("a")),
            ("GET / HTTP/1.1\r\nHost: shop.elb.loc", None),
            ("GET / HTTP/1.1\r\nX: Host: b\r\n\r\n", None),
        ] {
            assert_eq!(host_of(head.as_bytes()).as_deref(), host, "{head:?}");
        }
    }

    /// Request ids are UUIDs and differ.
    #[test]
    fn request_ids_differ() {
        let (a, b) = (request_id(7, 1), request_id(7, 2));
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
    }
}
