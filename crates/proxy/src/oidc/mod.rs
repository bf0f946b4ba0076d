//! Authentication by an OpenID Connect provider before a rule's action (User
//! Guide, "Authenticate users"): the authorization-code flow.
//!
//! A browser without a session is sent to the provider, comes back to
//! [`CALLBACK_PATH`] with a code, and gets its session as sealed cookies; the
//! load balancer itself keeps nothing. Times are the wall clock's, as the
//! provider, the browser and the targets live by it.
//!
//! [`check`] may talk to the provider, never for longer than [`LOGIN_LIMIT`],
//! and never blocks the thread that it runs on.

mod client;
mod provider;
mod seal;
mod session;
mod text;
mod token;

use client::Client;
use elastane_domain::routing::{OidcAction, OnUnauthenticated};
use provider::{Grant, LoginError, log_in};
use seal::{Sealer, random};
use serde::{Deserialize, Serialize};
use session::Session;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use text::{cookie, form, parameter};
use token::{About, TokenKey};
use tokio::sync::Semaphore;

/// Where providers send browsers back to.
pub(crate) const CALLBACK_PATH: &str = "/oauth2/idpresponse";

/// Holds a login to the browser that began it.
const NONCE_COOKIE: &str = "AWSALBAuthNonce";

/// A user must log in within this (User Guide: 15 minutes), in seconds.
const LOGIN_SECS: i64 = 15 * 60;

/// All that is asked of the provider for one request takes at most this long.
const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// Logins and refreshes at a time; more wait, within [`LOGIN_LIMIT`]. Each has
/// a connection and perhaps a thread that looks a name up.
const LOGINS_MAX: usize = 64;

/// How long a token for targets is valid, in seconds.
const TOKEN_SECS: i64 = 120;

/// Longest path and query that a user is sent back to after the login;
/// longer ones would not fit into the provider's address.
const RETURN_MAX: usize = 2048;

/// What all authentication of an installation needs.
pub(crate) struct Oidc {
    sealer: Sealer,
    key: TokenKey,
    client: Client,
    room: Semaphore,
}

/// A request, as far as authentication looks at it.
pub(crate) struct AuthRequest {
    /// The load balancer's ARN.
    pub(crate) balancer: String,
    /// The host as the client named it, with its port.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// The values of all Cookie headers, with `;` between them.
    pub(crate) cookies: Vec<u8>,
}

/// What becomes of the request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// What went wrong, for the access log.
    pub(crate) reason: Option<&'static str>,
    pub(crate) answer: Answer,
}

/// What happened, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was a session.
    Session,
    /// There was none, and the action says what happens then.
    Anonymous,
    /// A user logged in (`ELBAuthSuccess`).
    Success,
    /// The provider refused (`ELBAuthFailure`).
    Failure,
    /// The provider cannot be reached or makes no sense (`ELBAuthError`).
    Error,
}

/// What is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The rule's action.
    Pass {
        /// Headers for the target; the client's own of these names are dropped.
        headers: Vec<(&'static str, String)>,
        /// Values of Set-Cookie headers for the client.
        set_cookies: Vec<String>,
    },
    /// This, with the status's own page.
    Reply {
        status: u16,
        /// Headers of the answer.
        headers: Vec<(&'static str, String)>,
    },
}

/// What travels through the provider and back.
#[derive(Serialize, Deserialize)]
struct LoginState {
    /// What the browser's cookie must say.
    nonce: String,
    /// Where the user wanted to go: path and query.
    target: String,
    /// Until when (Unix time).
    until: i64,
}

/// The public key that verifies `x-amzn-oidc-data`, as PEM, when `id` is the
/// `kid` that this secret's tokens have.
pub fn public_key(secret: &[u8; 32], id: &str) -> Option<String> {
    let key = TokenKey::new(secret);
    (key.id() == id).then(|| key.public_pem())
}

/// Decides about a request.
pub(crate) async fn check(oidc: &Oidc, action: &OidcAction, request: &AuthRequest) -> Verdict {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let visit = Visit { oidc, action, request, now: i64::try_from(now.as_secs()).unwrap_or(i64::MAX) };
    visit.check().await
}

impl Oidc {
    /// Keys from the installation's secret: all of its proxies have the same.
    pub(crate) fn new(secret: &[u8; 32]) -> Oidc {
        Oidc {
            sealer: Sealer::new(secret),
            key: TokenKey::new(secret),
            client: Client::default(),
            room: Semaphore::new(LOGINS_MAX),
        }
    }

    /// Which of the listener's actions a request to [`CALLBACK_PATH`] answers,
    /// as an index.
    pub(crate) fn callback_for<'a>(
        &self,
        balancer: &str,
        query: Option<&str>,
        mut actions: impl Iterator<Item = &'a OidcAction>,
    ) -> Option<usize> {
        let state = parameter(query?, "state")?;
        actions.position(|action| self.sealer.open(&context("state", balancer, action), state.as_bytes()).is_some())
    }
}

/// What sealed texts are bound to: another action's are not taken.
fn context(purpose: &str, balancer: &str, action: &OidcAction) -> String {
    format!("{purpose} {balancer} {} {} {}", action.issuer, action.client_id, action.session_cookie)
}

/// One request on its way.
struct Visit<'a> {
    oidc: &'a Oidc,
    action: &'a OidcAction,
    request: &'a AuthRequest,
    now: i64,
}

impl Visit<'_> {
    async fn check(&self) -> Verdict {
        if self.request.path == CALLBACK_PATH
            && let Some(state) = self.state()
        {
            return self.come_back(&state).await;
        }
        let context = self.context("session");
        let (cookies, name) = (&self.request.cookies, &self.action.session_cookie);
        match session::open(&self.oidc.sealer, &context, name, cookies, self.now) {
            Some(session) => self.go_on(session).await,
            None => self.without_session(),
        }
    }

    fn context(&self, purpose: &str) -> String {
        context(purpose, &self.request.balancer, self.action)
    }

    /// The state of a login that was begun here.
    fn state(&self) -> Option<LoginState> {
        let state = parameter(self.request.query.as_deref()?, "state")?;
        let plain = self.oidc.sealer.open(&self.context("state"), state.as_bytes())?;
        serde_json::from_slice(&plain).ok()
    }

    fn redirect_uri(&self) -> String {
        format!("https://{}{CALLBACK_PATH}", self.request.host)
    }

    /// A session: refreshed, when its access token is over and can be.
    async fn go_on(&self, session: Session) -> Verdict {
        let over = session.access_until.is_some_and(|until| until <= self.now);
        let (true, Some(refresh)) = (over, session.refresh_token.as_deref()) else {
            return self.pass(&session, Vec::new());
        };
        match self.log_in(&Grant::Refresh(refresh), session.until).await {
            Ok(renewed) => match self.cookies(&renewed) {
                Some(set_cookies) => self.pass(&renewed, set_cookies),
                None => failed(Outcome::Error, 500, LoginError::ClaimsTooLong.reason()),
            },
            Err(_) => self.without_session(),
        }
    }

    fn pass(&self, session: &Session, set_cookies: Vec<String>) -> Verdict {
        let about = About {
            issuer: &self.action.issuer,
            client: &self.action.client_id,
            signer: &self.request.balancer,
            expires: self.now + TOKEN_SECS,
        };
        let headers = vec![
            ("x-amzn-oidc-accesstoken", session.access_token.clone()),
            ("x-amzn-oidc-identity", session.subject().to_owned()),
            ("x-amzn-oidc-data", self.oidc.key.token(&about, &session.claims)),
        ];
        Verdict { outcome: Outcome::Session, reason: None, answer: Answer::Pass { headers, set_cookies } }
    }

    fn without_session(&self) -> Verdict {
        match self.action.on_unauthenticated {
            OnUnauthenticated::Deny => reply(Outcome::Anonymous, 401, Vec::new()),
            OnUnauthenticated::Allow => {
                let answer = Answer::Pass { headers: Vec::new(), set_cookies: Vec::new() };
                Verdict { outcome: Outcome::Anonymous, reason: None, answer }
            }
            OnUnauthenticated::Authenticate => self.send_away(),
        }
    }

    /// To the provider.
    fn send_away(&self) -> Verdict {
        let request = self.request;
        let target = match &request.query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        };
        let target = if target.len() > RETURN_MAX || request.path == CALLBACK_PATH { "/".to_owned() } else { target };
        let nonce: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let state = LoginState { nonce: nonce.clone(), target, until: self.now + LOGIN_SECS };
        let state = serde_json::to_vec(&state).expect("plain data has a JSON form");
        let state = self.oidc.sealer.seal(&self.context("state"), &state);
        let redirect = self.redirect_uri();
        let mut pairs = vec![
            ("client_id", self.action.client_id.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("response_type", "code"),
            ("scope", self.action.scope.as_str()),
            ("state", state.as_str()),
        ];
        pairs.extend(self.action.extra_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let endpoint = &self.action.authorization_endpoint;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let nonce = format!("{NONCE_COOKIE}={nonce}; Max-Age={LOGIN_SECS}; Path=/; Secure; HttpOnly; SameSite=None");
        let headers = vec![("Location", format!("{endpoint}{joint}{}", form(&pairs))), ("Set-Cookie", nonce)];
        reply(Outcome::Anonymous, 302, uncached(headers))
    }

    /// Back from the provider.
    async fn come_back(&self, state: &LoginState) -> Verdict {
        let query = self.request.query.as_deref().unwrap_or_default();
        let mine = cookie(&self.request.cookies, NONCE_COOKIE) == Some(state.nonce.as_bytes());
        if !mine || state.until <= self.now {
            return failed(Outcome::Failure, 401, "AuthInvalidStateParam");
        }
        let code = match (parameter(query, "error"), parameter(query, "code")) {
            (None, Some(code)) => code,
            (Some(_), _) => return failed(Outcome::Failure, 561, LoginError::Grant.reason()),
            (None, None) => return failed(Outcome::Failure, 561, "AuthMissingCodeParam"),
        };
        let redirect = self.redirect_uri();
        let until = self.now + i64::from(self.action.session_timeout_secs);
        match self.log_in(&Grant::Code { code: &code, redirect: &redirect }, until).await {
            Ok(session) => match self.cookies(&session) {
                Some(set_cookies) => {
                    let mut headers = vec![("Location", format!("https://{}{}", self.request.host, state.target))];
                    headers.extend(set_cookies.into_iter().map(|value| ("Set-Cookie", value)));
                    headers.push(("Set-Cookie", format!("{NONCE_COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly")));
                    reply(Outcome::Success, 302, uncached(headers))
                }
                None => failed(Outcome::Error, 500, LoginError::ClaimsTooLong.reason()),
            },
            Err(err) if err.is_refusal() => failed(Outcome::Failure, 561, err.reason()),
            Err(err) => failed(Outcome::Error, 500, err.reason()),
        }
    }

    async fn log_in(&self, grant: &Grant<'_>, until: i64) -> Result<Session, LoginError> {
        let asking = async {
            // Nobody closes it, so there is always a permit in the end.
            let _permit = self.oidc.room.acquire().await;
            log_in(&self.oidc.client, self.action, grant, (self.now, until)).await
        };
        let limited = tokio::time::timeout(LOGIN_LIMIT, asking).await;
        limited.unwrap_or(Err(LoginError::Timeout))
    }

    fn cookies(&self, session: &Session) -> Option<Vec<String>> {
        let name = &self.action.session_cookie;
        session::cookies(&self.oidc.sealer, &self.context("session"), name, session, self.now)
    }
}

fn reply(outcome: Outcome, status: u16, headers: Vec<(&'static str, String)>) -> Verdict {
    Verdict { outcome, reason: None, answer: Answer::Reply { status, headers } }
}

fn failed(outcome: Outcome, status: u16, reason: &'static str) -> Verdict {
    Verdict { reason: Some(reason), ..reply(outcome, status, Vec::new()) }
}

/// Answers that carry sessions must not be kept by anybody between.
fn uncached(mut headers: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    headers.push(("Cache-Control", "no-cache, no-store".to_owned()));
    headers
}

#[cfg(test)]
mod tests;
