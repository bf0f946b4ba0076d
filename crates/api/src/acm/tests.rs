//! Certificates from request to deletion, through the API.

use crate::testing::{Lab, ask};
use elastane_domain::id::{CertificateArn, ListenerArn, LoadBalancerArn, TargetGroupArn};
use elastane_domain::routing::{Action, ClientAuth, TlsSettings};
use elastane_domain::time::Time;
use elastane_engine::authority::{Authority, LeafKey};
use elastane_engine::row::{Certificate, Listener};
use elastane_engine::{Config, Entropy};
use elastane_wire::acm as wire;
use std::sync::Arc;

const START: Time = Time(1_767_225_600_000);

fn lab() -> Lab {
    let authority = Authority::make([3; 32], START).expect("made");
    let config =
        Config { entropy: Some(Entropy::new([7; 32])), authority: Some(Arc::new(authority)), ..Config::default() };
    Lab::with(config)
}

fn request(lab: &mut Lab, name: &str) -> String {
    let input = wire::RequestCertificateRequest {
        domain_name: Some(name.to_string()),
        validation_method: Some("DNS".to_string()),
        key_algorithm: Some("EC_prime256v1".to_string()),
        ..Default::default()
    };
    let output = ask!(lab, AcmRequestCertificate, input).expect("issued");
    output.certificate_arn.expect("an ARN")
}

fn describe(lab: &mut Lab, arn: &str) -> wire::CertificateDetail {
    let input = wire::DescribeCertificateRequest { certificate_arn: Some(arn.to_string()) };
    ask!(lab, AcmDescribeCertificate, input).expect("described").certificate.expect("the certificate")
}

/// Puts it on a listener.
fn show(lab: &mut Lab, arn: &str) {
    let balancer = LoadBalancerArn::from("arn:aws:elasticloadbalancing:us-east-1:0:loadbalancer/app/web/1");
    let action = Action::forward_to(TargetGroupArn::from("arn:aws:elasticloadbalancing:us-east-1:0:targetgroup/t/1"));
    let mut row = Listener::http(ListenerArn::from("arn:a:listener/app/web/1/2"), balancer, 443, action);
    row.tls = Some(TlsSettings {
        policy: "ELBSecurityPolicy-2016-08".to_string(),
        certificates: vec![CertificateArn::from(arn)],
        client_auth: ClientAuth::Off,
        alpn: Vec::new(),
    });
    lab.change(|tx| tx.put(row));
}

/// A requested certificate is issued at once, with what Terraform waits for.
#[test]
fn requested_certificates_are_issued() {
    let mut lab = lab();
    let arn = request(&mut lab, "www.example.com");
    let detail = describe(&mut lab, &arn);
    assert_eq!(detail.status.as_deref(), Some("ISSUED"));
    assert_eq!(detail.r#type.as_deref(), Some("AMAZON_ISSUED"));
    assert_eq!(detail.subject_alternative_names, ["www.example.com"]);
    assert_eq!(detail.renewal_eligibility.as_deref(), Some("INELIGIBLE"));
    let validation = &detail.domain_validation_options[0];
    assert_eq!(validation.validation_status.as_deref(), Some("SUCCESS"));
    let record = validation.resource_record.as_ref().expect("a record");
    assert!(record.name.as_ref().is_some_and(|name| name.ends_with(".www.example.com.")), "{record:?}");
    assert_eq!(detail.key_usages[0].name.as_deref(), Some("DIGITAL_SIGNATURE"));
    show(&mut lab, &arn);
    let detail = describe(&mut lab, &arn);
    assert_eq!(detail.in_use_by.len(), 1);
    assert_eq!(detail.renewal_eligibility.as_deref(), Some("ELIGIBLE"));
    let delete = wire::DeleteCertificateRequest { certificate_arn: Some(arn) };
    assert_eq!(ask!(lab, AcmDeleteCertificate, delete).expect_err("in use").code, "ResourceInUseException");
}

/// The same token and names give the same certificate for an hour.
#[test]
fn requests_are_idempotent() {
    let mut lab = lab();
    let request = |lab: &mut Lab, name: &str, token: &str| {
        let input = wire::RequestCertificateRequest {
            domain_name: Some(name.to_string()),
            idempotency_token: Some(token.to_string()),
            key_algorithm: Some("EC_prime256v1".to_string()),
            ..Default::default()
        };
        ask!(lab, AcmRequestCertificate, input).expect("issued").certificate_arn.expect("an ARN")
    };
    let first = request(&mut lab, "a.example.com", "t");
    assert_eq!(request(&mut lab, "a.example.com", "t"), first);
    assert_ne!(request(&mut lab, "b.example.com", "t"), first);
    assert_ne!(request(&mut lab, "a.example.com", "u"), first);
    lab.pass(3600);
    assert_ne!(request(&mut lab, "a.example.com", "t"), first);
}

/// A certificate that somebody uses is renewed 60 days before its end, under
/// its ARN; one that nobody uses ends.
#[test]
fn certificates_are_renewed_in_time() {
    let mut lab = lab();
    let (used, unused) = (request(&mut lab, "used.example.com"), request(&mut lab, "unused.example.com"));
    lab.change(|tx| tx.update(&used, |row: &mut Certificate| row.exported = true));
    let before = describe(&mut lab, &used);
    lab.pass((395 - 60) * 86_400 - 1);
    assert_eq!(describe(&mut lab, &used).serial, before.serial);
    lab.pass(1);
    let after = describe(&mut lab, &used);
    assert_ne!(after.serial, before.serial);
    assert!(after.not_after > before.not_after);
    let summary = after.renewal_summary.expect("it was renewed");
    assert_eq!(summary.renewal_status.as_deref(), Some("SUCCESS"));
    lab.pass(61 * 86_400);
    assert_eq!(describe(&mut lab, &used).status.as_deref(), Some("ISSUED"));
    assert_eq!(describe(&mut lab, &unused).status.as_deref(), Some("EXPIRED"));
}

/// An imported certificate is replaced under its ARN, by one with the same
/// kind of key, and is never renewed.
#[test]
fn imports_replace_in_place() {
    let mut lab = lab();
    let authority = Authority::make([5; 32], START).expect("made");
    let import = |lab: &mut Lab, kind: LeafKey, seed: u8, arn: Option<String>| {
        let made = authority.issue(&["i.example.com".to_string()], kind, [seed; 32], START).expect("issued");
        let input = wire::ImportCertificateRequest {
            certificate: Some(made.body_pem.into_bytes()),
            private_key: Some(made.key_pem.expose().as_bytes().to_vec()),
            certificate_chain: made.chain_pem.map(String::into_bytes),
            certificate_arn: arn,
            tags: Vec::new(),
        };
        ask!(lab, AcmImportCertificate, input).map(|output| output.certificate_arn.expect("an ARN"))
    };
    let arn = import(&mut lab, LeafKey::P256, 1, None).expect("imported");
    let before = describe(&mut lab, &arn);
    assert_eq!(before.r#type.as_deref(), Some("IMPORTED"));
    assert_eq!(before.renewal_eligibility.as_deref(), Some("INELIGIBLE"));
    assert_eq!(import(&mut lab, LeafKey::P256, 2, Some(arn.clone())), Ok(arn.clone()));
    let after = describe(&mut lab, &arn);
    assert_ne!(after.serial, before.serial);
    assert_eq!(after.created_at, before.created_at);
    let other_key = import(&mut lab, LeafKey::P384, 3, Some(arn.clone())).expect_err("another kind of key");
    assert_eq!(other_key.code, "ValidationException");
    let unknown = import(&mut lab, LeafKey::P256, 3, Some(arn.replace("certificate/", "certificate/0")));
    assert_eq!(unknown.expect_err("unknown").code, "ResourceNotFoundException");
    lab.change(|tx| tx.delete::<Certificate>(&arn));
    let get = wire::GetCertificateRequest { certificate_arn: Some(arn) };
    assert_eq!(ask!(lab, AcmGetCertificate, get).expect_err("gone").code, "ResourceNotFoundException");
}

/// Only certificates that may be exported are, with an encrypted key.
#[test]
fn exports_are_encrypted() {
    let mut lab = lab();
    let arn = request(&mut lab, "x.example.com");
    let export = |lab: &mut Lab| {
        let input = wire::ExportCertificateRequest {
            certificate_arn: Some(arn.clone()),
            passphrase: Some(b"open sesame".to_vec()),
        };
        ask!(lab, AcmExportCertificate, input)
    };
    assert_eq!(export(&mut lab).expect_err("not exportable").code, "ValidationException");
    let options = wire::CertificateOptions { export: Some("ENABLED".to_string()), ..Default::default() };
    let update = wire::UpdateCertificateOptionsRequest { certificate_arn: Some(arn.clone()), options: Some(options) };
    ask!(lab, AcmUpdateCertificateOptions, update).expect("updated");
    let key = export(&mut lab).expect("exported").private_key.expect("a key");
    use rsa::pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
    let (label, document) = SecretDocument::from_pem(&key).expect("PEM");
    assert_eq!(label, "ENCRYPTED PRIVATE KEY");
    let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).expect("PKCS #8");
    assert!(encrypted.decrypt("wrong").is_err());
    assert!(encrypted.decrypt("open sesame").is_ok());
    assert_eq!(describe(&mut lab, &arn).renewal_eligibility.as_deref(), Some("ELIGIBLE"));
}

/// What a list holds, and how its pages follow each other.
#[test]
fn lists_are_filtered_and_paged() {
    let mut lab = lab();
    let arns: Vec<String> = (0..3).map(|number| request(&mut lab, &format!("{number}.example.com"))).collect();
    let list =
        |lab: &mut Lab, input: wire::ListCertificatesRequest| ask!(lab, AcmListCertificates, input).expect("listed");
    assert!(list(&mut lab, Default::default()).certificate_summary_list.is_empty(), "RSA only by default");
    let includes = wire::Filters { key_types: vec!["EC_prime256v1".to_string()], ..Default::default() };
    let input = wire::ListCertificatesRequest { includes: Some(includes), max_items: Some(2), ..Default::default() };
    let first = list(&mut lab, input.clone());
    assert_eq!(first.certificate_summary_list.len(), 2);
    let second = list(&mut lab, wire::ListCertificatesRequest { next_token: first.next_token, ..input.clone() });
    let mut found: Vec<String> = [first.certificate_summary_list, second.certificate_summary_list]
        .into_iter()
        .flatten()
        .filter_map(|summary| summary.certificate_arn)
        .collect();
    found.sort();
    let mut expected = arns;
    expected.sort();
    assert_eq!((found, second.next_token), (expected, None));
    let expired = wire::ListCertificatesRequest { certificate_statuses: vec!["EXPIRED".to_string()], ..input };
    assert!(list(&mut lab, expired).certificate_summary_list.is_empty());
}
