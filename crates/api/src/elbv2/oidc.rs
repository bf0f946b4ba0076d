//! The action `authenticate-oidc`, from and to the API's form. The client's
//! secret is kept and never shown.

use super::errors;
use elastane_domain::routing::{OidcAction, OnUnauthenticated};
use elastane_domain::secret::SecretText;
use elastane_wire::{ApiError, elbv2 as wire};

/// `SessionCookieName` when none is named (API, AuthenticateOidcActionConfig).
const SESSION_COOKIE: &str = "AWSELBAuthSessionCookie";

/// `Scope` when none is named.
const SCOPE: &str = "openid";

/// Longest session, and the one of actions that name none: seven days in seconds.
const SESSION_SECS_MAX: u32 = 604_800;

/// Parameters that can be added to the authorization request (API text of
/// AuthenticationRequestExtraParams).
const EXTRA_PARAMETERS_MAX: usize = 10;

/// Longest of the action's texts: they become header lines and cookies.
const TEXT_MAX: usize = 2048;

/// The action, checked. `before` is the one that it takes the place of, whose
/// secret `UseExistingClientSecret` keeps.
pub fn checked(
    config: &wire::AuthenticateOidcActionConfig,
    before: Option<&OidcAction>,
) -> Result<OidcAction, ApiError> {
    let timeout = config.session_timeout.unwrap_or(i64::from(SESSION_SECS_MAX));
    let session_timeout_secs = u32::try_from(timeout).ok().filter(|secs| (1..=SESSION_SECS_MAX).contains(secs));
    let parameters = &config.authentication_request_extra_params;
    if parameters.len() > EXTRA_PARAMETERS_MAX {
        let message = format!("An OIDC action can have at most {EXTRA_PARAMETERS_MAX} extra parameters");
        return Err(errors::validation(message));
    }
    Ok(OidcAction {
        issuer: url("Issuer", &config.issuer)?,
        authorization_endpoint: url("AuthorizationEndpoint", &config.authorization_endpoint)?,
        token_endpoint: url("TokenEndpoint", &config.token_endpoint)?,
        user_info_endpoint: url("UserInfoEndpoint", &config.user_info_endpoint)?,
        client_id: text("ClientId", &config.client_id)?,
        client_secret: secret(config, before)?,
        session_cookie: cookie_name(config.session_cookie_name.as_deref().unwrap_or(SESSION_COOKIE))?,
        scope: config.scope.clone().filter(|scope| !scope.is_empty()).unwrap_or_else(|| SCOPE.to_string()),
        session_timeout_secs: session_timeout_secs.ok_or_else(|| {
            errors::validation(format!("The session timeout '{timeout}' must be between 1 and {SESSION_SECS_MAX}"))
        })?,
        extra_parameters: parameters.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        on_unauthenticated: match config.on_unauthenticated_request.as_deref() {
            None | Some("authenticate") => OnUnauthenticated::Authenticate,
            Some("allow") => OnUnauthenticated::Allow,
            Some("deny") => OnUnauthenticated::Deny,
            Some(other) => {
                let message = format!("OnUnauthenticatedRequest '{other}' must be one of '[deny,allow,authenticate]'");
                return Err(errors::validation(message));
            }
        },
    })
}

fn secret(config: &wire::AuthenticateOidcActionConfig, before: Option<&OidcAction>) -> Result<SecretText, ApiError> {
    let existing = config.use_existing_client_secret == Some(true);
    match (config.client_secret.as_deref().filter(|text| !text.is_empty()), existing) {
        (Some(_), true) => {
            Err(errors::validation("ClientSecret cannot be specified when UseExistingClientSecret is true"))
        }
        (Some(text), false) => Ok(SecretText::new(text.to_string())),
        (None, true) => before
            .map(|action| action.client_secret.clone())
            .ok_or_else(|| errors::validation("UseExistingClientSecret needs an action that has a client secret")),
        (None, false) => Err(errors::missing("AuthenticateOidcConfig.ClientSecret")),
    }
}

fn text(member: &str, given: &Option<String>) -> Result<String, ApiError> {
    let text = given.as_deref().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| errors::missing(&format!("AuthenticateOidcConfig.{member}")))?;
    if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        let message = format!("{member} must have at most {TEXT_MAX} characters, none of them a control character");
        return Err(errors::validation(message));
    }
    Ok(text.to_string())
}

/// An endpoint. AWS takes `https` only; `http` is taken as well for providers
/// on this machine, which have no certificate that anybody trusts.
fn url(member: &str, given: &Option<String>) -> Result<String, ApiError> {
    let text = text(member, given)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || text.contains(' ') {
        return Err(errors::validation(format!("{member} '{text}' must be a full URL that begins with https://")));
    }
    Ok(text)
}

/// A name that a cookie can have.
fn cookie_name(name: &str) -> Result<String, ApiError> {
    let separators = "()<>@,;:\\\"/[]?={} \t";
    if name.is_empty() || name.len() > 128 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(errors::validation(format!("The session cookie name '{name}' is not valid")));
    }
    if name.contains(|c| separators.contains(c)) {
        return Err(errors::validation(format!("The session cookie name '{name}' is not valid")));
    }
    Ok(name.to_string())
}

/// The action as it is shown: without its secret.
pub fn shown(action: &OidcAction) -> wire::AuthenticateOidcActionConfig {
    let some = |text: &String| Some(text.clone());
    wire::AuthenticateOidcActionConfig {
        authentication_request_extra_params: action.extra_parameters.iter().cloned().collect(),
        authorization_endpoint: some(&action.authorization_endpoint),
        client_id: some(&action.client_id),
        client_secret: None,
        issuer: some(&action.issuer),
        on_unauthenticated_request: Some(
            match action.on_unauthenticated {
                OnUnauthenticated::Deny => "deny",
                OnUnauthenticated::Allow => "allow",
                OnUnauthenticated::Authenticate => "authenticate",
            }
            .to_string(),
        ),
        scope: some(&action.scope),
        session_cookie_name: some(&action.session_cookie),
        session_timeout: Some(i64::from(action.session_timeout_secs)),
        token_endpoint: some(&action.token_endpoint),
        use_existing_client_secret: None,
        user_info_endpoint: some(&action.user_info_endpoint),
    }
}
