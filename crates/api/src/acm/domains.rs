//! Names that certificates are asked for, and what proves that one owns them.

use super::errors;
use elastane_engine::row::Certificate;
use elastane_wire::{ApiError, acm as wire};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Names of one certificate (ACM User Guide, "Quotas": 10 by default).
const NAMES_MAX: usize = 10;

/// Bytes of the first name, which becomes the common name (RFC 5280, upper
/// bound of `ub-common-name`).
const FIRST_NAME_MAX: usize = 64;

/// Who is written to for a domain (ACM User Guide, "Email validation").
const MAILBOXES: [&str; 5] = ["administrator", "hostmaster", "postmaster", "webmaster", "admin"];

/// The names of a request, the first one first, each once.
///
/// # Errors
/// `ValidationException` for what is no domain name,
/// `LimitExceededException` for too many.
pub fn asked(first: &Option<String>, others: &[String]) -> Result<Vec<String>, ApiError> {
    let first = first.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("DomainName"))?;
    if first.len() > FIRST_NAME_MAX {
        return Err(errors::validation(format!("The first domain name can have at most {FIRST_NAME_MAX} bytes.")));
    }
    let mut names: Vec<String> = Vec::new();
    for name in std::iter::once(first).chain(others.iter().map(String::as_str)) {
        if !is_domain(name) {
            return Err(errors::validation(format!("'{name}' is not a valid domain name.")));
        }
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > NAMES_MAX {
        return Err(errors::limit(format!("A certificate can have at most {NAMES_MAX} domain names.")));
    }
    Ok(names)
}

/// Two labels or more of letters, digits and hyphens; the first may be `*`.
fn is_domain(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && rest.contains('.') && rest.split('.').all(label)
}

/// The validation domains of a request.
///
/// # Errors
/// `InvalidDomainValidationOptionsException` for a name that was not asked
/// for, and for a validation domain that is not above it.
pub fn validation_domains(
    names: &[String],
    options: &[wire::DomainValidationOption],
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut domains = BTreeMap::new();
    for option in options {
        let name = option.domain_name.as_deref().unwrap_or_default().to_ascii_lowercase();
        let domain = option.validation_domain.as_deref().unwrap_or_default().to_ascii_lowercase();
        let bare = bare(&name);
        let above = bare == domain || bare.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
        if !names.contains(&name) || !above || !is_domain(&domain) {
            return Err(errors::invalid_validation_domain(&name));
        }
        domains.insert(name, domain);
    }
    Ok(domains)
}

fn bare(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// What DescribeCertificate says of each name's validation. A record is the
/// same for a name and its wildcard, and each time the account asks.
pub fn validations(row: &Certificate, account: &str) -> Vec<wire::DomainValidation> {
    let Some(method) = &row.validation else { return Vec::new() };
    let status = if row.material.is_some() { "SUCCESS" } else { "PENDING_VALIDATION" };
    let describe = |name: &String| {
        let domain = row.validation_domains.get(name).map_or_else(|| bare(name), String::as_str);
        let by_mail = method == "EMAIL";
        let mails = MAILBOXES.iter().filter(|_| by_mail).map(|mailbox| format!("{mailbox}@{domain}"));
        wire::DomainValidation {
            domain_name: Some(name.clone()),
            validation_domain: Some(domain.to_string()),
            validation_method: Some(method.clone()),
            validation_status: Some(status.to_string()),
            validation_emails: mails.collect(),
            resource_record: (!by_mail).then(|| record(bare(name), account)),
            http_redirect: None,
        }
    };
    row.names.iter().map(describe).collect()
}

fn record(name: &str, account: &str) -> wire::ResourceRecord {
    let digest = |what: &str| -> String {
        let digest = Sha256::digest(format!("{what} {account} {name}"));
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    wire::ResourceRecord {
        name: Some(format!("_{}.{name}.", digest("name"))),
        r#type: Some("CNAME".to_string()),
        value: Some(format!("_{}.{}.acm-validations.aws.", digest("value"), &digest("zone")[..10])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes for a domain name.
    #[test]
    fn domain_names_are_checked() {
        let long = format!("{}.com", "a".repeat(64));
        for (name, good) in [
            ("example.com", true),
            ("*.example.com", true),
            ("a-b.example.com", true),
            ("localhost", false),
            ("*.com", false),
            ("a.*.com", false),
            ("-a.com", false),
            ("a_b.com", false),
            ("a..com", false),
            ("", false),
            (long.as_str(), false),
        ] {
            assert_eq!(is_domain(name), good, "{name}");
        }
        let many: Vec<String> = (0..10).map(|number| format!("{number}.example.com")).collect();
        assert_eq!(asked(&Some("example.com".to_string()), &many).expect_err("eleven").code, "LimitExceededException");
        let twice = asked(&Some("Example.com".to_string()), &["example.com".to_string()]).expect("the same");
        assert_eq!(twice, ["example.com"]);
    }

    /// Validation domains are the name or above it.
    #[test]
    fn validation_domains_are_above() {
        let names = ["*.www.example.com".to_string()];
        for (domain, good) in
            [("www.example.com", true), ("example.com", true), ("xample.com", false), ("other.org", false)]
        {
            let option = wire::DomainValidationOption {
                domain_name: Some(names[0].clone()),
                validation_domain: Some(domain.to_string()),
            };
            assert_eq!(validation_domains(&names, &[option]).is_ok(), good, "{domain}");
        }
    }
}
