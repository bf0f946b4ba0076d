//! The flow against a provider that is played by a socket on loopback.

use super::*;
use elastane_domain::secret::SecretText;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const SECRET: [u8; 32] = [7; 32];

/// A provider that gives prepared answers, and tells what it was asked.
struct Provider {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<String>,
}

async fn provider(answers: Vec<(u16, String)>) -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (tell, asked) = mpsc::unbounded_channel();
    let mut answers = VecDeque::from(answers);
    tokio::task::spawn_local(async move {
        while let Some((status, body)) = answers.pop_front() {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = Vec::new();
            while !whole(&request) {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = tell.send(String::from_utf8_lossy(&request).into_owned());
            // In chunks, to see that these are understood.
            let (first, rest) = body.split_at(body.len() / 2);
            let mut answer = format!("HTTP/1.1 {status} Well\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in [first, rest].into_iter().filter(|part| !part.is_empty()) {
                answer.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
            }
            answer.push_str("0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Provider { address, asked }
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn action(address: SocketAddr) -> OidcAction {
    OidcAction {
        issuer: "https://id.example".to_owned(),
        authorization_endpoint: "https://id.example/login".to_owned(),
        token_endpoint: format!("http://{address}/token"),
        user_info_endpoint: format!("http://{address}/me"),
        client_id: "shop".to_owned(),
        client_secret: SecretText::new("s&cret".to_owned()),
        session_cookie: "AWSELBAuthSessionCookie".to_owned(),
        scope: "openid email".to_owned(),
        session_timeout_secs: 1000,
        extra_parameters: vec![("prompt".to_owned(), "login".to_owned())],
        on_unauthenticated: OnUnauthenticated::Authenticate,
    }
}

fn request(path: &str, query: Option<&str>, cookies: &str) -> AuthRequest {
    AuthRequest {
        balancer: "arn:lb".to_owned(),
        host: "shop.example:8443".to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        cookies: cookies.as_bytes().to_vec(),
    }
}

async fn visit(oidc: &Oidc, action: &OidcAction, request: &AuthRequest, now: i64) -> Verdict {
    Visit { oidc, action, request, now }.check().await
}

/// Headers of a reply with this status.
fn reply_of(verdict: &Verdict, expected: u16) -> &[(&'static str, String)] {
    match &verdict.answer {
        Answer::Reply { status, headers } if *status == expected => headers,
        other => panic!("{other:?}"),
    }
}

fn header(headers: &[(&'static str, String)], name: &str) -> String {
    headers.iter().find(|(found, _)| *found == name).expect("the header").1.clone()
}

/// What a browser sends back of the cookies that were set.
fn cookies(set: &[(&'static str, String)]) -> String {
    let set = set.iter().filter(|(name, _)| *name == "Set-Cookie");
    let pairs: Vec<&str> = set.filter_map(|(_, value)| value.split(';').next()).collect();
    pairs.join("; ")
}

fn tokens(extra: Value) -> String {
    let mut tokens = json!({ "access_token": "at-1", "token_type": "Bearer" });
    tokens.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    tokens.to_string()
}

fn id_token(claims: Value) -> String {
    use base64::Engine as _;
    format!("e30.{}.", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string()))
}

async fn here<T>(future: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(future).await
}

/// Begins a login: the query and the cookies with which the browser comes back.
async fn begin(oidc: &Oidc, action: &OidcAction, now: i64) -> (String, String) {
    let away = visit(oidc, action, &request("/cart", Some("a=1"), ""), now).await;
    let headers = reply_of(&away, 302);
    let location = header(headers, "Location");
    let state = parameter(location.split_once('?').expect("a query").1, "state").expect("a state");
    (format!("code=c0de&state={state}"), cookies(headers))
}

/// A user logs in, is known from then on by the cookies alone, and must log
/// in again when the session is over.
#[tokio::test]
async fn users_log_in() {
    here(async {
        let id = id_token(json!({ "iss": "https://id.example", "aud": ["shop"], "sub": "ann", "exp": 5000 }));
        let answers = vec![
            (200, tokens(json!({ "id_token": id }))),
            (200, json!({ "sub": "ann", "email": "ann@example" }).to_string()),
        ];
        let mut provider = provider(answers).await;
        let (oidc, action) = (Oidc::new(&SECRET), action(provider.address));
        let away = visit(&oidc, &action, &request("/cart", Some("a=1"), "x=y"), 1000).await;
        let location = header(reply_of(&away, 302), "Location");
        assert!(location.starts_with("https://id.example/login?client_id=shop&"), "{location}");
        let query = location.split_once('?').expect("a query").1;
        let redirect = "https://shop.example:8443/oauth2/idpresponse";
        assert_eq!(parameter(query, "redirect_uri").as_deref(), Some(redirect));
        assert_eq!(parameter(query, "scope").as_deref(), Some("openid email"));
        assert_eq!(parameter(query, "response_type").as_deref(), Some("code"));
        assert_eq!(parameter(query, "prompt").as_deref(), Some("login"));
        let (query, nonce) = begin(&oidc, &action, 1000).await;
        assert_eq!(oidc.callback_for("arn:lb", Some(&query), [&action].into_iter()), Some(0));
        assert_eq!(oidc.callback_for("arn:other", Some(&query), [&action].into_iter()), None);
        let back = visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), &nonce), 1100).await;
        assert_eq!(back.outcome, Outcome::Success);
        let headers = reply_of(&back, 302);
        assert_eq!(header(headers, "Location"), "https://shop.example:8443/cart?a=1");
        let asked = provider.asked.recv().await.expect("asked for tokens");
        assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
        for part in ["grant_type=authorization_code", "code=c0de", "client_id=shop", "client_secret=s%26cret"] {
            assert!(asked.contains(part), "{part} in {asked}");
        }
        let asked = provider.asked.recv().await.expect("asked for claims");
        assert!(
            asked.starts_with("GET /me HTTP/1.1\r\n") && asked.contains("Authorization: Bearer at-1\r\n"),
            "{asked}"
        );
        let session = cookies(headers);
        // Another process of the installation knows the user as well.
        let other = Oidc::new(&SECRET);
        let verdict = visit(&other, &action, &request("/cart", None, &session), 2099).await;
        let Answer::Pass { headers, set_cookies } = &verdict.answer else { panic!("{verdict:?}") };
        assert!(set_cookies.is_empty());
        assert_eq!(header(headers, "x-amzn-oidc-accesstoken"), "at-1");
        assert_eq!(header(headers, "x-amzn-oidc-identity"), "ann");
        let claims = token::claims(&header(headers, "x-amzn-oidc-data")).expect("a token");
        assert_eq!((&claims["email"], &claims["exp"]), (&json!("ann@example"), &json!(2099 + TOKEN_SECS)));
        reply_of(&visit(&other, &action, &request("/cart", None, &session), 2100).await, 302);
    })
    .await;
}

/// What happens without a session is the action's choice.
#[tokio::test]
async fn clients_without_a_session() {
    let oidc = Oidc::new(&SECRET);
    let mut action = action(SocketAddr::from(([127, 0, 0, 1], 9)));
    action.on_unauthenticated = OnUnauthenticated::Deny;
    reply_of(&visit(&oidc, &action, &request("/", None, "AWSELBAuthSessionCookie-0=junk"), 0).await, 401);
    action.on_unauthenticated = OnUnauthenticated::Allow;
    let verdict = visit(&oidc, &action, &request("/", None, ""), 0).await;
    assert_eq!(verdict.answer, Answer::Pass { headers: Vec::new(), set_cookies: Vec::new() });
}

/// Each way in which a login fails has its status.
#[tokio::test]
async fn logins_that_fail() {
    here(async {
        let claims = |size: usize| json!({ "sub": "ann", "note": "x".repeat(size) }).to_string();
        let strange = id_token(json!({ "iss": "https://id.example", "aud": "other", "sub": "ann", "exp": 5000 }));
        let good = || (200, tokens(json!({})));
        let cases: Vec<(Vec<(u16, String)>, u16)> = vec![
            (vec![(400, json!({ "error": "invalid_grant" }).to_string())], 561),
            (vec![(401, "{}".to_owned()), (401, "{}".to_owned())], 561),
            (vec![(200, "junk".to_owned())], 500),
            (vec![good(), (403, "{}".to_owned())], 561),
            (vec![good(), (200, "[]".to_owned())], 500),
            (vec![good(), (200, "{}".to_owned())], 500),
            (vec![good(), (200, claims(11 * 1024))], 500),
            (vec![(200, tokens(json!({ "access_token": "a\r\nb" }))), (200, claims(1))], 500),
            (vec![(200, tokens(json!({ "id_token": strange }))), (200, claims(1))], 500),
            (vec![], 500),
            (vec![(401, "{}".to_owned()), good(), (200, claims(1))], 302),
        ];
        for (number, (answers, status)) in cases.into_iter().enumerate() {
            let (oidc, provider) = (Oidc::new(&SECRET), provider(answers).await);
            let action = action(provider.address);
            // The provider that answers nothing has closed its socket before it is asked.
            tokio::task::yield_now().await;
            let (query, nonce) = begin(&oidc, &action, 1000).await;
            let back = visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), &nonce), 1000).await;
            let Answer::Reply { status: found, .. } = back.answer else { panic!("{back:?}") };
            assert_eq!(found, status, "{number}");
        }
    })
    .await;
}

/// A login belongs to the browser that began it, ends after a quarter of an
/// hour, and is refused when the provider says so.
#[tokio::test]
async fn logins_are_bound() {
    let oidc = Oidc::new(&SECRET);
    let action = action(SocketAddr::from(([127, 0, 0, 1], 9)));
    let (query, nonce) = begin(&oidc, &action, 1000).await;
    reply_of(&visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), ""), 1000).await, 401);
    reply_of(&visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), "AWSALBAuthNonce=no"), 1000).await, 401);
    reply_of(&visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), &nonce), 1000 + LOGIN_SECS).await, 401);
    let denied = format!("error=access_denied&{query}");
    let verdict = visit(&oidc, &action, &request(CALLBACK_PATH, Some(&denied), &nonce), 1000).await;
    reply_of(&verdict, 561);
    assert_eq!(verdict.outcome, Outcome::Failure);
    // A state that nobody here made is no login at all.
    reply_of(&visit(&oidc, &action, &request(CALLBACK_PATH, Some("code=1&state=x"), &nonce), 1000).await, 302);
}

/// An access token that is over is refreshed without the user's doing, until
/// the session is over or the provider refuses.
#[tokio::test]
async fn sessions_are_refreshed() {
    here(async {
        let me = || (200, json!({ "sub": "ann" }).to_string());
        let answers = vec![
            (200, tokens(json!({ "expires_in": 100, "refresh_token": "rt-1" }))),
            me(),
            (200, tokens(json!({ "access_token": "at-2", "expires_in": 100 }))),
            me(),
            (400, "{}".to_owned()),
        ];
        let mut provider = provider(answers).await;
        let (oidc, action) = (Oidc::new(&SECRET), action(provider.address));
        let (query, nonce) = begin(&oidc, &action, 1000).await;
        let back = visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), &nonce), 1000).await;
        let session = cookies(reply_of(&back, 302));
        let verdict = visit(&oidc, &action, &request("/", None, &session), 1100).await;
        let Answer::Pass { headers, set_cookies } = &verdict.answer else { panic!("{verdict:?}") };
        assert_eq!(header(headers, "x-amzn-oidc-accesstoken"), "at-2");
        assert!(set_cookies[0].contains("Max-Age=900;"), "the session's end stays");
        let _ = (provider.asked.recv().await, provider.asked.recv().await);
        let asked = provider.asked.recv().await.expect("asked for tokens");
        assert!(asked.contains("grant_type=refresh_token&refresh_token=rt-1"), "{asked}");
        let renewed = set_cookies[0].split(';').next().expect("a pair").to_owned();
        reply_of(&visit(&oidc, &action, &request("/", None, &renewed), 1300).await, 302);
    })
    .await;
}

/// Secrets are not sent in the clear to other machines.
#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    let oidc = Oidc::new(&SECRET);
    for endpoint in ["http://192.0.2.1/token", "ftp://127.0.0.1/token", "/token", "http://"] {
        let mut action = action(SocketAddr::from(([127, 0, 0, 1], 9)));
        action.token_endpoint = endpoint.to_owned();
        let (query, nonce) = begin(&oidc, &action, 1000).await;
        reply_of(&visit(&oidc, &action, &request(CALLBACK_PATH, Some(&query), &nonce), 1000).await, 500);
    }
}
