//! Signature Version 4: verifying requests (header and query form) and
//! signing them (IAM User Guide, "Signature Version 4 for API requests").
//!
//! The secret never leaves its owner but for the derivation of a day's key;
//! derived keys are cached by the caller. Signatures are compared in constant
//! time.

use crate::error::ApiError;
use crate::http::{ClientRequest, Headers, HttpRequest};
use crate::identify::{Protocol, ReplyForm};
use crate::limits::{AUTHORIZATION_BYTES_MAX, SIGNED_HEADERS_MAX};
use crate::query::percent_encode;
use crate::time;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};
use zeroize::{Zeroize, Zeroizing};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// How far a request's time may be off, both ways.
pub const SKEW_SECS_MAX: i64 = 15 * 60;

/// Longest validity of a presigned request: seven days.
pub const EXPIRES_SECS_MAX: i64 = 7 * 86_400;

/// Derived keys kept: credentials times regions times services times a day.
const CACHED_KEYS_MAX: usize = 1024;

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The access key id.
    pub access_key_id: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope.
    pub service: String,
}

/// Where secrets are looked up.
pub trait Secrets {
    /// The secret access key of an access key id.
    fn secret(&self, access_key_id: &str) -> Option<&str>;
}

impl Secrets for std::collections::BTreeMap<String, String> {
    fn secret(&self, access_key_id: &str) -> Option<&str> {
        self.get(access_key_id).map(String::as_str)
    }
}

/// Derived signing keys, by scope. Owned by the caller, one a thread or behind
/// its lock; bounded.
#[derive(Debug, Default)]
pub struct KeyCache {
    keys: HashMap<String, CachedKey>,
}

/// What was derived from which secret; neither is shown, and neither stays in
/// memory that is used again.
struct CachedKey {
    secret: String,
    key: [u8; 32],
}

impl fmt::Debug for CachedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedKey(..)")
    }
}

impl Drop for CachedKey {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.key.zeroize();
    }
}

impl KeyCache {
    /// `credential` is `id/date/region/service/aws4_request`.
    fn key(&mut self, credential: &str, scope: &Scope<'_>, secret: &str) -> [u8; 32] {
        if let Some(found) = self.keys.get(credential).filter(|found| found.secret == secret) {
            return found.key;
        }
        let key = derive_key(secret, scope);
        if self.keys.len() >= CACHED_KEYS_MAX {
            self.keys.clear();
        }
        let entry = CachedKey { secret: secret.to_owned(), key };
        self.keys.insert(credential.to_owned(), entry);
        key
    }
}

/// Why a request is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No signature at all.
    Missing,
    /// A signature that lacks a part or has a malformed one.
    Incomplete(String),
    /// The access key id is not known.
    UnknownKey,
    /// The request's time is too far off, or its validity is over.
    Expired(String),
    /// The signature is another one than the secret gives.
    Mismatch(String),
    /// The time of the session token is over.
    TokenExpired,
}

impl AuthError {
    /// The error in the words of the service addressed.
    pub fn into_error(self, form: ReplyForm) -> ApiError {
        let compatible = form.service.is_some_and(|service| service.info().query_compatible);
        let json = matches!(form.protocol, Protocol::Json10 | Protocol::Json11 | Protocol::Cbor) && !compatible;
        let ec2 = form.protocol == Protocol::Ec2;
        match self {
            AuthError::Missing => {
                let code = match form.protocol {
                    Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => "MissingAuthenticationTokenException",
                    _ => "MissingAuthenticationToken",
                };
                ApiError::new(code, "Request is missing Authentication Token").with_status(403)
            }
            AuthError::Incomplete(text) if json => ApiError::new("IncompleteSignatureException", text),
            AuthError::Incomplete(text) => ApiError::new("IncompleteSignature", text),
            AuthError::UnknownKey if ec2 => {
                let text = "AWS was not able to validate the provided access credentials";
                ApiError::new("AuthFailure", text).with_status(401)
            }
            AuthError::UnknownKey => {
                let (code, status) =
                    if json { ("UnrecognizedClientException", 400) } else { ("InvalidClientTokenId", 403) };
                ApiError::new(code, "The security token included in the request is invalid.").with_status(status)
            }
            AuthError::Expired(text) if ec2 => ApiError::new("RequestExpired", text),
            AuthError::TokenExpired if ec2 => ApiError::new("RequestExpired", "Request has expired."),
            AuthError::TokenExpired => {
                let (code, status) = if json { ("ExpiredTokenException", 400) } else { ("ExpiredToken", 403) };
                ApiError::new(code, "The security token included in the request is expired").with_status(status)
            }
            AuthError::Expired(text) | AuthError::Mismatch(text) if json => {
                ApiError::new("InvalidSignatureException", text)
            }
            AuthError::Expired(text) | AuthError::Mismatch(text) => {
                ApiError::new("SignatureDoesNotMatch", text).with_status(403)
            }
        }
    }
}

fn incomplete(text: &str) -> AuthError {
    AuthError::Incomplete(text.to_owned())
}

/// `date/region/service` of a credential.
#[derive(Debug)]
struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

/// What a request claims, from its header or its query.
struct Claim<'a> {
    access_key_id: &'a str,
    /// The whole credential: the cache's key.
    credential: &'a str,
    scope: Scope<'a>,
    signed_headers: &'a str,
    signature: &'a str,
    /// `20260101T100000Z`.
    date: Cow<'a, str>,
    /// Validity of a presigned request.
    expires_secs: Option<i64>,
}

fn split_credential(credential: &str) -> Option<(&str, Scope<'_>)> {
    let mut parts = credential.rsplitn(5, '/');
    let terminator = parts.next()?;
    let (service, region, date, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let good = terminator == TERMINATOR && !id.is_empty() && date.len() == 8;
    good.then_some((id, Scope { date, region, service }))
}

/// The access key id that a request names, verified or not: what `--auth off`
/// and logs go by.
pub fn claimed_key(request: &HttpRequest<'_>) -> Option<Principal> {
    let query;
    let claim = match header_claim(request) {
        Ok(Some(claim)) => claim,
        _ => {
            query = QueryClaim::read(request.query());
            query.claim().ok()??
        }
    };
    Some(principal(&claim))
}

/// The session token that comes with a request, in its header or, presigned,
/// in its query.
pub fn session_token<'a>(request: &HttpRequest<'a>) -> Option<Cow<'a, str>> {
    const NAME: &str = "x-amz-security-token";
    if let Some(token) = request.headers.first(NAME) {
        return Some(Cow::Borrowed(token));
    }
    let mut parameters = QueryClaim::read(request.query()).parameters.into_iter();
    parameters.find(|(key, _)| key.eq_ignore_ascii_case(NAME)).map(|(_, token)| Cow::Owned(token))
}

fn principal(claim: &Claim<'_>) -> Principal {
    Principal {
        access_key_id: claim.access_key_id.to_owned(),
        region: claim.scope.region.to_owned(),
        service: claim.scope.service.to_owned(),
    }
}

/// Verifies a request. `now_secs` is wall time; `signing_name` is what the
/// scope must name, if given ([`crate::operation::ServiceInfo::signing_name`]).
///
/// # Errors
/// See [`AuthError`]; nothing about the request may be trusted then.
pub fn verify(
    request: &HttpRequest<'_>,
    now_secs: i64,
    signing_name: Option<&str>,
    secrets: &dyn Secrets,
    cache: &mut KeyCache,
) -> Result<Principal, AuthError> {
    let query;
    let (claim, presigned) = match header_claim(request)? {
        Some(claim) => (claim, false),
        None => {
            query = QueryClaim::read(request.query());
            (query.claim()?.ok_or(AuthError::Missing)?, true)
        }
    };
    check_time(&claim, now_secs)?;
    let secret = secrets.secret(claim.access_key_id).ok_or(AuthError::UnknownKey)?;
    if let Some(name) = signing_name.filter(|name| *name != claim.scope.service) {
        return Err(AuthError::Mismatch(format!("Credential should be scoped to correct service: '{name}'.")));
    }
    let names: Vec<&str> = claim.signed_headers.split(';').collect();
    if names.len() > SIGNED_HEADERS_MAX {
        return Err(incomplete("Too many signed headers."));
    }
    if !names.contains(&"host") {
        return Err(AuthError::Mismatch("'Host' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    let hash = payload_hash(request, presigned)?;
    let key = cache.key(claim.credential, &claim.scope, secret);
    let canonical = canonical_request(request.method, request.target, &names, request.headers, &hash);
    let expected = signature(&key, &claim.date, &claim.scope, &canonical);
    if !same(expected.as_bytes(), claim.signature.as_bytes()) {
        let text = "The request signature we calculated does not match the signature you provided. \
                    Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
        return Err(AuthError::Mismatch(text.to_owned()));
    }
    Ok(principal(&claim))
}

fn header_claim<'a>(request: &HttpRequest<'a>) -> Result<Option<Claim<'a>>, AuthError> {
    let Some(header) = request.headers.first("authorization") else {
        return Ok(None);
    };
    if header.len() > AUTHORIZATION_BYTES_MAX {
        return Err(incomplete("The Authorization header is too long."));
    }
    let Some(rest) = header.trim().strip_prefix(ALGORITHM) else {
        return Err(incomplete("Authorization header requires the algorithm AWS4-HMAC-SHA256."));
    };
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        match part.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {
                return Err(incomplete(
                    "Authorization header has a part that is not Credential, SignedHeaders or Signature.",
                ));
            }
        }
    }
    let credential = credential.ok_or_else(|| incomplete("Authorization header requires 'Credential' parameter."))?;
    let signature = signature.ok_or_else(|| incomplete("Authorization header requires 'Signature' parameter."))?;
    let signed_headers =
        signed_headers.ok_or_else(|| incomplete("Authorization header requires 'SignedHeaders' parameter."))?;
    let (access_key_id, scope) = split_credential(credential)
        .ok_or_else(|| incomplete("Credential must have the form id/date/region/service/aws4_request."))?;
    let date = request_date(request)?;
    Ok(Some(Claim { access_key_id, credential, scope, signed_headers, signature, date, expires_secs: None }))
}

fn request_date<'a>(request: &HttpRequest<'a>) -> Result<Cow<'a, str>, AuthError> {
    if let Some(date) = request.headers.first("x-amz-date") {
        return Ok(Cow::Borrowed(date));
    }
    let date = request.headers.first("date").and_then(time::parse);
    date.map(|date| Cow::Owned(time::compact(date.0.div_euclid(1000)))).ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })
}

/// The decoded parameters of a presigned request.
struct QueryClaim {
    parameters: Vec<(String, String)>,
}

impl QueryClaim {
    fn read(query: &str) -> QueryClaim {
        let parameters = query
            .split('&')
            .filter(|pair| pair.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("x-amz-")))
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (percent_decode(key), percent_decode(value)))
            .collect();
        QueryClaim { parameters }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn claim(&self) -> Result<Option<Claim<'_>>, AuthError> {
        if self.get("X-Amz-Algorithm").is_none() && self.get("X-Amz-Signature").is_none() {
            return Ok(None);
        }
        let need = |name: &str| {
            self.get(name)
                .ok_or_else(|| AuthError::Incomplete(format!("AWS query-string parameters must include '{name}'.")))
        };
        if need("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete("X-Amz-Algorithm must be AWS4-HMAC-SHA256."));
        }
        let credential = need("X-Amz-Credential")?;
        let (access_key_id, scope) = split_credential(credential)
            .ok_or_else(|| incomplete("X-Amz-Credential must have the form id/date/region/service/aws4_request."))?;
        let expires = need("X-Amz-Expires")?.parse().ok().filter(|secs| (1..=EXPIRES_SECS_MAX).contains(secs));
        let expires_secs = expires.ok_or_else(|| incomplete("X-Amz-Expires must be between 1 and 604800 seconds."))?;
        Ok(Some(Claim {
            access_key_id,
            credential,
            scope,
            signed_headers: need("X-Amz-SignedHeaders")?,
            signature: need("X-Amz-Signature")?,
            date: Cow::Borrowed(need("X-Amz-Date")?),
            expires_secs: Some(expires_secs),
        }))
    }
}

fn check_time(claim: &Claim<'_>, now_secs: i64) -> Result<(), AuthError> {
    let date = &claim.date;
    let at = (date.len() == 16).then(|| time::parse(date)).flatten();
    let at = at.ok_or_else(|| incomplete("The date must be in the form 20260101T000000Z."))?.0 / 1000;
    if date.get(..8) != Some(claim.scope.date) {
        return Err(AuthError::Mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.".to_owned(),
        ));
    }
    let last = at + claim.expires_secs.unwrap_or(SKEW_SECS_MAX);
    if now_secs > last {
        let text = format!(
            "Signature expired: {date} is now earlier than {} ({} - 15 min.)",
            time::compact(now_secs - SKEW_SECS_MAX),
            time::compact(now_secs)
        );
        return Err(AuthError::Expired(text));
    }
    if at > now_secs + SKEW_SECS_MAX {
        let text = format!(
            "Signature not yet current: {date} is still later than {} ({} + 15 min.)",
            time::compact(now_secs + SKEW_SECS_MAX),
            time::compact(now_secs)
        );
        return Err(AuthError::Expired(text));
    }
    Ok(())
}

/// The hash that the signature covers. A hash that the client states must be
/// the body's; unsigned and streamed payloads belong to S3 only.
fn payload_hash(request: &HttpRequest<'_>, presigned: bool) -> Result<String, AuthError> {
    let actual = hex(&Sha256::digest(request.body));
    match request.headers.first("x-amz-content-sha256").filter(|_| !presigned) {
        None => Ok(actual),
        Some(stated) if same(stated.as_bytes(), actual.as_bytes()) => Ok(actual),
        Some(stated) if stated.starts_with("UNSIGNED-PAYLOAD") || stated.starts_with("STREAMING-") => {
            Err(AuthError::Mismatch("This service does not accept unsigned or streamed payloads.".to_owned()))
        }
        Some(_) => {
            Err(AuthError::Mismatch("The value of x-amz-content-sha256 is not the hash of the body.".to_owned()))
        }
    }
}

/// Equality whose time depends on the length only.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn canonical_request(method: &str, target: &str, names: &[&str], headers: &dyn Headers, hash: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut out = String::with_capacity(1024);
    out.push_str(method);
    out.push('\n');
    canonical_path(&mut out, path);
    out.push('\n');
    canonical_query(&mut out, query);
    out.push('\n');
    for name in names {
        out.push_str(name);
        out.push(':');
        let mut first = true;
        headers.each(name, &mut |value| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            let mut words = value.split(' ').filter(|word| !word.is_empty());
            out.push_str(words.next().unwrap_or_default().trim());
            for word in words {
                out.push(' ');
                out.push_str(word.trim());
            }
        });
        out.push('\n');
    }
    out.push('\n');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(';');
        }
        out.push_str(name);
    }
    out.push('\n');
    out.push_str(hash);
    out
}

/// The path as sent, normalised and encoded once more (all services but S3).
fn canonical_path(out: &mut String, path: &str) {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    for part in &parts {
        out.push('/');
        percent_encode(out, part);
    }
    if parts.is_empty() || path.ends_with('/') {
        out.push('/');
    }
}

fn canonical_query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let encoded = |text: &str| {
        let mut out = String::new();
        percent_encode_bytes(&mut out, &percent_decode_bytes(text));
        out
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (encoded(key), encoded(value)))
        .filter(|(key, _)| key != "X-Amz-Signature")
        .collect();
    pairs.sort();
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        out.extend([key, "=", value.as_str()]);
    }
}

fn percent_encode_bytes(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        percent_encode(out, chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn percent_decode(text: &str) -> String {
    String::from_utf8_lossy(&percent_decode_bytes(text)).into_owned()
}

/// Lenient: what is no escape stays as it is.
fn percent_decode_bytes(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |index: usize| bytes.get(index).and_then(|&byte| char::from(byte).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn derive_key(secret: &str, scope: &Scope<'_>) -> [u8; 32] {
    let start = Zeroizing::new(format!("AWS4{secret}"));
    [scope.date, scope.region, scope.service, TERMINATOR]
        .iter()
        .fold(None, |key: Option<[u8; 32]>, part| {
            let key = key.as_ref().map_or(start.as_bytes(), |key| &key[..]);
            Some(hmac(key, part.as_bytes()))
        })
        .expect("a scope has parts")
}

fn signature(key: &[u8], date: &str, scope: &Scope<'_>, canonical: &str) -> String {
    let text = format!(
        "{ALGORITHM}\n{date}\n{}/{}/{}/{TERMINATOR}\n{}",
        scope.date,
        scope.region,
        scope.service,
        hex(&Sha256::digest(canonical))
    );
    hex(&hmac(key, text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// What a client signs with.
#[derive(Clone)]
pub struct Signer<'a> {
    /// Access key id.
    pub access_key_id: &'a str,
    /// Secret access key.
    pub secret_access_key: &'a str,
    /// Session token of temporary credentials.
    pub session_token: Option<&'a str>,
    /// Region of the scope.
    pub region: &'a str,
    /// Service of the scope ([`crate::operation::ServiceInfo::signing_name`]).
    pub service: &'a str,
}

/// Secret and token are not shown.
impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Signer<'_> {
    /// Adds `host`, `x-amz-date`, the session token and `authorization` to a
    /// request. `now_secs` is wall time.
    pub fn sign(&self, request: &mut ClientRequest, host: &str, now_secs: i64) {
        request.headers.push(("host", host.to_owned()));
        request.headers.push(("x-amz-date", time::compact(now_secs)));
        if let Some(token) = self.session_token {
            request.headers.push(("x-amz-security-token", token.to_owned()));
        }
        let value = self.authorization(request, now_secs);
        request.headers.push(("authorization", value));
    }

    fn authorization(&self, request: &ClientRequest, now_secs: i64) -> String {
        let date = time::compact(now_secs);
        let scope = Scope { date: &date[..8], region: self.region, service: self.service };
        let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        let hash = hex(&Sha256::digest(&request.body));
        let canonical = canonical_request(request.method, &request.target, &names, &request.headers, &hash);
        let key = derive_key(self.secret_access_key, &scope);
        format!(
            "{ALGORITHM} Credential={}/{}/{}/{}/{TERMINATOR}, SignedHeaders={}, Signature={}",
            self.access_key_id,
            scope.date,
            scope.region,
            scope.service,
            names.join(";"),
            signature(&key, &date, &scope, &canonical)
        )
    }
}

#[cfg(test)]
mod tests;
