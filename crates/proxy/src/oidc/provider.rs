//! What is asked of a provider, and what of its answers is believed.

use super::client::{AskError, Client, Question};
use super::session::Session;
use super::text::{encode, form};
use super::token;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::routing::OidcAction;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Most bytes of a user's claims (alb.md 9: more is answered with 500).
const CLAIMS_MAX: usize = 11 * 1024;

/// Why a user is not logged in.
#[derive(Debug)]
pub(super) enum LoginError {
    /// The provider refused the code or token.
    Grant,
    /// The token endpoint could not be asked.
    TokenRequest(AskError),
    /// The token endpoint's answer breaks the rules.
    TokenResponse,
    /// The ID token is not for this user and client, or over.
    IdToken,
    /// The user info endpoint could not be asked.
    ClaimsRequest(AskError),
    /// The provider did not give the claims.
    ClaimsRefused,
    /// The claims break the rules.
    ClaimsResponse,
    /// The claims are too long.
    ClaimsTooLong,
    /// The provider took too long.
    Timeout,
}

impl LoginError {
    /// Whether it was the provider's decision.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            LoginError::Grant | LoginError::ClaimsRefused => true,
            LoginError::TokenRequest(_)
            | LoginError::TokenResponse
            | LoginError::IdToken
            | LoginError::ClaimsRequest(_)
            | LoginError::ClaimsResponse
            | LoginError::ClaimsTooLong
            | LoginError::Timeout => false,
        }
    }

    /// The access log's `error_reason` (User Guide, "Access logs", "Error reason codes").
    pub(super) fn reason(&self) -> &'static str {
        match self {
            LoginError::Grant => "AuthInvalidGrantError",
            LoginError::TokenRequest(_) => "AuthTokenEpRequestFailed",
            LoginError::TokenResponse => "AuthInvalidTokenResponse",
            LoginError::IdToken => "AuthInvalidIdToken",
            LoginError::ClaimsRequest(_) | LoginError::ClaimsRefused => "AuthUserinfoEpRequestFailed",
            LoginError::ClaimsResponse => "AuthInvalidUserinfoResponse",
            LoginError::ClaimsTooLong => "AuthUserinfoResponseSizeExceeded",
            LoginError::Timeout => "AuthTokenEpRequestTimeout",
        }
    }
}

impl std::fmt::Display for LoginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for LoginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoginError::TokenRequest(err) | LoginError::ClaimsRequest(err) => Some(err),
            LoginError::Grant
            | LoginError::TokenResponse
            | LoginError::IdToken
            | LoginError::ClaimsRefused
            | LoginError::ClaimsResponse
            | LoginError::ClaimsTooLong
            | LoginError::Timeout => None,
        }
    }
}

/// The token endpoint's answer.
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<i64>,
}

/// How tokens are asked for.
pub(super) enum Grant<'a> {
    /// With the code that the user's browser brought, and the address it was sent to.
    Code { code: &'a str, redirect: &'a str },
    /// With the refresh token of a session.
    Refresh(&'a str),
}

/// Tokens and claims, as a session that ends at `until`.
pub(super) async fn log_in(
    client: &Client,
    action: &OidcAction,
    grant: &Grant<'_>,
    (now, until): (i64, i64),
) -> Result<Session, LoginError> {
    let tokens = tokens(client, action, grant).await?;
    if !is_visible(&tokens.access_token) {
        return Err(LoginError::TokenResponse);
    }
    let question = Question {
        endpoint: &action.user_info_endpoint,
        authorization: Some(format!("Bearer {}", tokens.access_token)),
        form: None,
    };
    let response = client.ask(&question).await.map_err(LoginError::ClaimsRequest)?;
    if response.status != 200 {
        return Err(LoginError::ClaimsRefused);
    }
    if response.body.len() > CLAIMS_MAX {
        return Err(LoginError::ClaimsTooLong);
    }
    let claims: Map<String, Value> = serde_json::from_slice(&response.body).map_err(|_| LoginError::ClaimsResponse)?;
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    if !is_visible(subject) {
        return Err(LoginError::ClaimsResponse);
    }
    if let Some(id_token) = &tokens.id_token {
        check_id_token(action, id_token, subject, now)?;
    }
    let refreshed = match grant {
        Grant::Code { .. } => None,
        Grant::Refresh(token) => Some((*token).to_owned()),
    };
    Ok(Session {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token.or(refreshed),
        access_until: tokens.expires_in.map(|seconds| now.saturating_add(seconds)),
        claims,
        until,
    })
}

/// The client shows its secret in the form; providers that want it in the
/// header say so with 401 (RFC 6749, 2.3.1).
async fn tokens(client: &Client, action: &OidcAction, grant: &Grant<'_>) -> Result<Tokens, LoginError> {
    let mut fields = match grant {
        Grant::Code { code, redirect } => {
            vec![("grant_type", "authorization_code"), ("code", *code), ("redirect_uri", *redirect)]
        }
        Grant::Refresh(token) => vec![("grant_type", "refresh_token"), ("refresh_token", *token)],
    };
    let bare = form(&fields);
    fields.extend([("client_id", action.client_id.as_str()), ("client_secret", action.client_secret.expose())]);
    let mut question = Question { endpoint: &action.token_endpoint, authorization: None, form: Some(form(&fields)) };
    let mut response = client.ask(&question).await.map_err(LoginError::TokenRequest)?;
    if response.status == 401 {
        let credentials = format!("{}:{}", encode(&action.client_id), encode(action.client_secret.expose()));
        question.authorization = Some(format!("Basic {}", STANDARD.encode(credentials)));
        question.form = Some(bare);
        response = client.ask(&question).await.map_err(LoginError::TokenRequest)?;
    }
    if response.status != 200 {
        return Err(LoginError::Grant);
    }
    serde_json::from_slice(&response.body).map_err(|_| LoginError::TokenResponse)
}

/// OpenID Connect Core 3.1.3.7 and 5.3.2: the ID token is for us, from the
/// provider, of the same user, and has not ended.
fn check_id_token(action: &OidcAction, id_token: &str, subject: &str, now: i64) -> Result<(), LoginError> {
    let wrong = Err(LoginError::IdToken);
    let Some(claims) = token::claims(id_token) else { return wrong };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let for_us = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == action.client_id,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience.as_str() == Some(&action.client_id)),
        Some(_) | None => false,
    };
    let alive = claims.get("exp").and_then(Value::as_i64).is_some_and(|end| now < end);
    if text("iss") == Some(&action.issuer) && text("sub") == Some(subject) && for_us && alive { Ok(()) } else { wrong }
}

/// Whether a text may be a header's value as it is.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}
