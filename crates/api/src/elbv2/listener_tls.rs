//! How listeners speak TLS: certificates, security policies, ALPN and mutual
//! authentication, from and to the API's forms.

use super::{certificates, errors, protocols, ssl_policies, trust_stores};
use elastane_domain::routing::{ClientAuth, Family, Protocol, TlsSettings};
use elastane_domain::tls::DEFAULT_POLICY;
use elastane_engine::View;
use elastane_wire::{ApiError, elbv2 as wire};

/// ALPN policies with the protocols that they offer, the preferred one first
/// (API text of AlpnPolicy).
const ALPN: [(&str, &[&str]); 5] = [
    ("HTTP1Only", &["http/1.1"]),
    ("HTTP2Only", &["h2"]),
    ("HTTP2Optional", &["http/1.1", "h2"]),
    ("HTTP2Preferred", &["h2", "http/1.1"]),
    ("None", &[]),
];

/// What a call says of a listener's security; what it leaves out stays.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Certificates: the default one.
    pub certificates: &'a [wire::Certificate],
    /// SslPolicy.
    pub policy: Option<&'a str>,
    /// AlpnPolicy.
    pub alpn: &'a [String],
    /// MutualAuthentication.
    pub mutual: Option<&'a wire::MutualAuthenticationAttributes>,
}

/// The settings of a listener of `protocol` that had `before`: none for
/// protocols without TLS, for which the call may name none.
///
/// # Errors
/// `ValidationError`, `CertificateNotFound`, `SSLPolicyNotFound`, `TrustStoreNotFound`.
pub fn changed(
    view: &View<'_>,
    protocol: Protocol,
    before: Option<&TlsSettings>,
    given: Given<'_>,
) -> Result<Option<TlsSettings>, ApiError> {
    refuse_foreign(protocol, given)?;
    if !protocols::secure(protocol) {
        return Ok(None);
    }
    let family = protocols::family(protocol);
    if let Some(policy) = given.policy {
        ssl_policies::check(policy, family)?;
    }
    let old = before.map(|tls| tls.policy.as_str());
    Ok(Some(TlsSettings {
        policy: given.policy.or(old).unwrap_or(DEFAULT_POLICY).to_string(),
        certificates: certificate_list(view, protocol, before, given.certificates)?,
        client_auth: client_auth(view, before, given.mutual)?,
        alpn: alpn(before, given.alpn)?,
    }))
}

/// Settings that mean nothing to the protocol are refused. Mutual
/// authentication that is off may be named anywhere.
fn refuse_foreign(protocol: Protocol, given: Given<'_>) -> Result<(), ApiError> {
    let name = protocols::name(protocol);
    let refused = |what: &str| Err(errors::validation(format!("{what} cannot be specified for {name} listeners")));
    if !protocols::secure(protocol) && !given.certificates.is_empty() {
        return refused("Certificates");
    }
    if !protocols::secure(protocol) && given.policy.is_some() {
        return refused("An SSL policy");
    }
    if protocol != Protocol::Tls && !given.alpn.is_empty() {
        return refused("An ALPN policy");
    }
    let mode = given.mutual.and_then(|mutual| mutual.mode.as_deref());
    if protocol != Protocol::Https && mode.is_some_and(|mode| mode != "off") {
        return refused("Mutual authentication");
    }
    Ok(())
}

/// The default certificate, then the others. A new default one takes the
/// place of the old one; the others stay.
fn certificate_list(
    view: &View<'_>,
    protocol: Protocol,
    before: Option<&TlsSettings>,
    given: &[wire::Certificate],
) -> Result<Vec<elastane_domain::id::CertificateArn>, ApiError> {
    let old = before.map(|tls| tls.certificates.as_slice()).unwrap_or_default();
    let name = protocols::name(protocol);
    match given {
        [] if old.is_empty() => {
            Err(errors::validation(format!("A certificate must be specified for {name} listeners")))
        }
        [] => Ok(old.to_vec()),
        [one] => {
            if one.is_default.is_some() {
                return Err(errors::validation("You cannot specify IsDefault for the certificate of a listener"));
            }
            let arn = one.certificate_arn.as_deref().ok_or_else(|| errors::missing("CertificateArn"))?;
            let default = certificates::resolve(view, arn)?;
            let others = old.iter().skip(1).filter(|other| **other != default).cloned();
            Ok(std::iter::once(default.clone()).chain(others).collect())
        }
        [..] => {
            Err(errors::validation("Exactly one certificate must be specified; AddListenerCertificates adds others"))
        }
    }
}

fn client_auth(
    view: &View<'_>,
    before: Option<&TlsSettings>,
    given: Option<&wire::MutualAuthenticationAttributes>,
) -> Result<ClientAuth, ApiError> {
    let Some(given) = given else {
        return Ok(before.map_or(ClientAuth::Off, |tls| tls.client_auth.clone()));
    };
    let mode = given.mode.as_deref().unwrap_or("off");
    let advertise = match given.advertise_trust_store_ca_names.as_deref() {
        None | Some("off") => false,
        Some("on") => true,
        Some(other) => {
            return Err(errors::validation(format!("AdvertiseTrustStoreCaNames '{other}' must be one of '[on,off]'")));
        }
    };
    let store = given.trust_store_arn.as_deref().filter(|arn| !arn.is_empty());
    let ignore_expiry = given.ignore_client_certificate_expiry == Some(true);
    match mode {
        "off" | "passthrough" if store.is_some() || advertise || ignore_expiry => {
            let message = format!("A trust store and its settings need the mode 'verify' and not '{mode}'");
            Err(errors::validation(message))
        }
        "off" => Ok(ClientAuth::Off),
        "passthrough" => Ok(ClientAuth::Passthrough),
        "verify" => {
            let arn = store.ok_or_else(|| errors::validation("A trust store ARN must be specified for verify mode"))?;
            let trust_store = trust_stores::resolve(view.tables, arn)?;
            Ok(ClientAuth::Verify { trust_store, ignore_expiry, advertise })
        }
        other => {
            let message = format!("Mutual authentication mode '{other}' must be one of '[off,passthrough,verify]'");
            Err(errors::validation(message))
        }
    }
}

fn alpn(before: Option<&TlsSettings>, given: &[String]) -> Result<Vec<String>, ApiError> {
    let name = match given {
        [] => return Ok(before.map(|tls| tls.alpn.clone()).unwrap_or_default()),
        [name] => name,
        [..] => return Err(errors::validation("Exactly one ALPN policy can be specified")),
    };
    let known = ALPN.into_iter().find(|(known, _)| known == name);
    let (_, protocols) = known.ok_or_else(|| {
        let known: Vec<&str> = ALPN.into_iter().map(|(name, _)| name).collect();
        errors::validation(format!("The ALPN policy '{name}' must be one of '[{}]'", known.join(",")))
    })?;
    Ok(protocols.iter().map(ToString::to_string).collect())
}

/// Fills in what a listener shows of its settings: the default certificate only.
pub fn show(listener: &mut wire::Listener, protocol: Protocol, tls: &TlsSettings) {
    let default = tls.certificates.first();
    listener.ssl_policy = Some(tls.policy.clone());
    listener.certificates = default
        .map(|arn| wire::Certificate { certificate_arn: Some(arn.to_string()), is_default: None })
        .into_iter()
        .collect();
    match protocols::family(protocol) {
        Family::Application => listener.mutual_authentication = Some(shown_auth(&tls.client_auth)),
        Family::Network => {
            let policy = ALPN
                .into_iter()
                .find(|(_, protocols)| tls.alpn.iter().map(String::as_str).eq(protocols.iter().copied()));
            listener.alpn_policy = policy.map(|(name, _)| name.to_string()).into_iter().collect();
        }
    }
}

fn shown_auth(auth: &ClientAuth) -> wire::MutualAuthenticationAttributes {
    let mode = |mode: &str| Some(mode.to_string());
    match auth {
        ClientAuth::Off => wire::MutualAuthenticationAttributes { mode: mode("off"), ..Default::default() },
        ClientAuth::Passthrough => {
            wire::MutualAuthenticationAttributes { mode: mode("passthrough"), ..Default::default() }
        }
        ClientAuth::Verify { trust_store, ignore_expiry, advertise } => wire::MutualAuthenticationAttributes {
            mode: mode("verify"),
            trust_store_arn: Some(trust_store.to_string()),
            ignore_client_certificate_expiry: Some(*ignore_expiry),
            advertise_trust_store_ca_names: Some(if *advertise { "on" } else { "off" }.to_string()),
            trust_store_association_status: Some("active".to_string()),
        },
    }
}
