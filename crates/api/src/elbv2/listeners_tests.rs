//! Listeners of both families: protocols, TLS settings, authentication, attributes.

use super::tests::*;
use crate::testing::{Lab, ask};
use elastane_domain::id::CertificateArn;
use elastane_domain::secret::SecretText;
use elastane_domain::time::Time;
use elastane_engine::row::{Certificate, CertificateMaterial, CertificateOrigin, Listener, Tags};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;

/// A row for a certificate; what is in it does not matter to listeners.
fn certificate(lab: &mut Lab, id: &str) -> String {
    let arn = format!("arn:aws:acm:us-east-1:000000000000:certificate/{id}");
    let material = CertificateMaterial {
        body_pem: "body".to_string(),
        chain_pem: None,
        key_pem: SecretText::new("key".to_string()),
        not_before: Time(0),
        not_after: Time(i64::MAX),
        serial: "01".to_string(),
        subject: "CN=example.com".to_string(),
        issuer: "example.com".to_string(),
        signature_algorithm: "SHA256WITHRSA".to_string(),
    };
    let row = Certificate {
        arn: CertificateArn::from(arn.as_str()),
        origin: CertificateOrigin::Imported,
        domain_name: "example.com".to_string(),
        names: vec!["example.com".to_string()],
        material: Some(material),
        created_at: lab.now,
        imported_at: Some(lab.now),
        issued_at: None,
        token: None,
        validation: None,
        key_algorithm: "RSA_2048".to_string(),
        transparency: None,
        exportable: false,
        exported: false,
        validation_domains: BTreeMap::new(),
        renewed_at: None,
        tags: Tags::new(),
    };
    lab.change(|tx| tx.put(row));
    arn
}

fn certified(arn: &str) -> Vec<wire::Certificate> {
    vec![wire::Certificate { certificate_arn: text(arn), is_default: None }]
}

fn network_balancer(lab: &mut Lab) -> wire::LoadBalancer {
    let input = wire::CreateLoadBalancerInput { r#type: text("network"), ..balancer_input(lab, "flows") };
    ask!(lab, Elbv2CreateLoadBalancer, input).expect("a good load balancer").load_balancers.remove(0)
}

fn group_of(lab: &mut Lab, name: &str, protocol: &str, version: Option<&str>) -> String {
    let protocol_version = version.map(str::to_string);
    let input = wire::CreateTargetGroupInput { protocol: text(protocol), protocol_version, ..group_input(lab, name) };
    let made = ask!(lab, Elbv2CreateTargetGroup, input).expect("a good group").target_groups.remove(0);
    made.target_group_arn.expect("an ARN")
}

fn create(lab: &mut Lab, input: wire::CreateListenerInput) -> Result<wire::Listener, ApiError> {
    ask!(lab, Elbv2CreateListener, input).map(|output| output.listeners.into_iter().next().expect("one"))
}

/// An HTTPS listener needs one certificate, shows the default policy and
/// that clients need none; without TLS nothing of it may be named, and
/// nothing of it stays.
#[test]
fn https_listeners() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    let (first, second) = (certificate(&mut lab, "1"), certificate(&mut lab, "2"));
    let https = |arn: &str| wire::CreateListenerInput {
        protocol: text("HTTPS"),
        certificates: certified(arn),
        ..listener_input(&made, 443, forward(&web))
    };
    let mutual = |mode: &str| Some(wire::MutualAuthenticationAttributes { mode: text(mode), ..Default::default() });
    let plain = || listener_input(&made, 80, forward(&web));
    for (code, input) in [
        ("CertificateNotFound", https("arn:aws:acm:us-east-1:000000000000:certificate/0")),
        ("ValidationError", wire::CreateListenerInput { certificates: Vec::new(), ..https(&first) }),
        ("SSLPolicyNotFound", wire::CreateListenerInput { ssl_policy: text("none"), ..https(&first) }),
        ("ValidationError", wire::CreateListenerInput { alpn_policy: vec!["HTTP2Only".into()], ..https(&first) }),
        ("ValidationError", wire::CreateListenerInput { mutual_authentication: mutual("verify"), ..https(&first) }),
        ("ValidationError", wire::CreateListenerInput { mutual_authentication: mutual("maybe"), ..https(&first) }),
        ("ValidationError", wire::CreateListenerInput { mutual_authentication: mutual("passthrough"), ..plain() }),
        ("ValidationError", wire::CreateListenerInput { certificates: certified(&first), ..plain() }),
        ("ValidationError", wire::CreateListenerInput { ssl_policy: text("ELBSecurityPolicy-2016-08"), ..plain() }),
    ] {
        let shown = format!("{input:?}");
        let err = create(&mut lab, input).expect_err(&shown);
        assert_eq!(err.code, code, "{shown}: {}", err.message);
    }
    let listener = create(&mut lab, https(&first)).expect("a good listener");
    assert_eq!(listener.ssl_policy.as_deref(), Some("ELBSecurityPolicy-2016-08"));
    assert_eq!(listener.certificates, certified(&first));
    assert_eq!(listener.mutual_authentication.as_ref().and_then(|one| one.mode.as_deref()), Some("off"));
    let modify = || wire::ModifyListenerInput { listener_arn: listener.listener_arn.clone(), ..Default::default() };
    let input = wire::ModifyListenerInput { certificates: certified(&second), ..modify() };
    let changed = ask!(lab, Elbv2ModifyListener, input).expect("another certificate").listeners.remove(0);
    assert_eq!((changed.certificates, changed.ssl_policy), (certified(&second), listener.ssl_policy.clone()));
    let input = wire::ModifyListenerInput { protocol: text("HTTP"), ..modify() };
    let changed = ask!(lab, Elbv2ModifyListener, input).expect("without TLS").listeners.remove(0);
    assert!(changed.certificates.is_empty() && changed.ssl_policy.is_none(), "{changed:?}");
    let input = wire::ModifyListenerInput { protocol: text("HTTPS"), ..modify() };
    assert_eq!(ask!(lab, Elbv2ModifyListener, input).expect_err("no certificate").code, "ValidationError");
}

/// The same settings on the same port are the same listener.
#[test]
fn listeners_are_created_once() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    let first = listener(&mut lab, &made, 80, &web);
    assert_eq!(listener(&mut lab, &made, 80, &web), first);
    assert_eq!(lab.rows::<Listener>().len(), 1);
}

/// Which protocols a family's listeners have, and which groups they forward to.
#[test]
fn alb_13_protocols_that_go_together() {
    let mut lab = Lab::new();
    let (shop, flows) = (balancer(&mut lab, "shop"), network_balancer(&mut lab));
    let cert = certificate(&mut lab, "1");
    let group = |lab: &mut Lab, name: &str, protocol: &str| group_of(lab, name, protocol, None);
    let groups: Vec<String> = ["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP"]
        .iter()
        .map(|protocol| group(&mut lab, &protocol.replace('_', "-"), protocol))
        .collect();
    for (balancer, protocol, code, taken) in [
        (&shop, "HTTP", "IncompatibleProtocols", vec![0, 1]),
        (&shop, "HTTPS", "IncompatibleProtocols", vec![0, 1]),
        (&shop, "TCP", "UnsupportedProtocol", vec![]),
        (&flows, "HTTP", "UnsupportedProtocol", vec![]),
        (&flows, "TCP", "IncompatibleProtocols", vec![2, 5]),
        (&flows, "TLS", "IncompatibleProtocols", vec![2, 3]),
        (&flows, "UDP", "IncompatibleProtocols", vec![4, 5]),
        (&flows, "TCP_UDP", "IncompatibleProtocols", vec![5]),
        (&flows, "GENEVE", "ValidationError", vec![]),
    ] {
        for (n, group) in groups.iter().enumerate() {
            let secure = matches!(protocol, "HTTPS" | "TLS");
            let input = wire::CreateListenerInput {
                protocol: text(protocol),
                certificates: if secure { certified(&cert) } else { Vec::new() },
                ..listener_input(balancer, 1000, forward(group))
            };
            let result = create(&mut lab, input);
            match result {
                Ok(made) => {
                    assert!(taken.contains(&n), "{protocol} to {group}");
                    let delete = wire::DeleteListenerInput { listener_arn: made.listener_arn };
                    ask!(lab, Elbv2DeleteListener, delete).expect("it is there");
                }
                Err(err) => assert_eq!((err.code.as_ref(), taken.contains(&n)), (code, false), "{protocol} {group}"),
            }
        }
    }
}

/// A network load balancer's listener forwards to one group, has no rules,
/// and shows its ALPN policy.
#[test]
fn alb_13_listeners_forward_only() {
    let mut lab = Lab::new();
    let flows = network_balancer(&mut lab);
    let (tcp, cert) = (group_of(&mut lab, "tcp", "TCP", None), certificate(&mut lab, "1"));
    let config = wire::FixedResponseActionConfig { status_code: text("200"), ..Default::default() };
    let fixed = vec![wire::Action {
        r#type: text("fixed-response"),
        fixed_response_config: Some(config),
        ..Default::default()
    }];
    let tls = |alpn: &str, actions: Vec<wire::Action>| wire::CreateListenerInput {
        protocol: text("TLS"),
        certificates: certified(&cert),
        alpn_policy: vec![alpn.to_string()],
        ..listener_input(&flows, 443, actions)
    };
    assert_eq!(create(&mut lab, tls("HTTP2Only", fixed)).expect_err("no answers").code, "InvalidLoadBalancerAction");
    assert_eq!(create(&mut lab, tls("HTTP3", forward(&tcp))).expect_err("no policy").code, "ValidationError");
    let made = create(&mut lab, tls("HTTP2Preferred", forward(&tcp))).expect("a good listener");
    assert_eq!((made.alpn_policy, made.mutual_authentication), (vec!["HTTP2Preferred".to_string()], None));
    assert_eq!(lab.rows::<Listener>()[0].tls.as_ref().expect("TLS").alpn, ["h2", "http/1.1"]);
    let condition = wire::RuleCondition { field: text("path-pattern"), values: vec!["/".into()], ..Default::default() };
    let rule = wire::CreateRuleInput {
        listener_arn: made.listener_arn,
        priority: Some(1),
        conditions: vec![condition],
        actions: forward(&tcp),
        ..Default::default()
    };
    assert_eq!(ask!(lab, Elbv2CreateRule, rule).expect_err("no rules").code, "OperationNotPermitted");
}

/// Groups of HTTP/2 and gRPC are for HTTPS listeners (alb.md 8).
#[test]
fn alb_8_versions_need_https() {
    let mut lab = Lab::new();
    let (shop, cert) = (balancer(&mut lab, "shop"), certificate(&mut lab, "1"));
    for (n, version) in ["HTTP2", "GRPC"].into_iter().enumerate() {
        let group = group_of(&mut lab, version, "HTTP", Some(version));
        let err = create(&mut lab, listener_input(&shop, 80, forward(&group))).expect_err("HTTP");
        assert_eq!(err.code, "InvalidConfigurationRequest");
        let https = wire::CreateListenerInput {
            protocol: text("HTTPS"),
            certificates: certified(&cert),
            ..listener_input(&shop, 443 + n as i32, forward(&group))
        };
        let made = create(&mut lab, https).expect("a good listener");
        let modify =
            wire::ModifyListenerInput { listener_arn: made.listener_arn, protocol: text("HTTP"), ..Default::default() };
        let err = ask!(lab, Elbv2ModifyListener, modify).expect_err("its action needs HTTPS");
        assert_eq!(err.code, "InvalidConfigurationRequest");
    }
}

/// OIDC: HTTPS only, before the last action, defaults shown, the secret
/// never; a change can keep it.
#[test]
fn alb_2_authentication() {
    let mut lab = Lab::new();
    let (shop, web, cert) = (balancer(&mut lab, "shop"), group(&mut lab, "web"), certificate(&mut lab, "1"));
    let config = || wire::AuthenticateOidcActionConfig {
        issuer: text("https://login.example.com"),
        authorization_endpoint: text("https://login.example.com/authorize"),
        token_endpoint: text("https://login.example.com/token"),
        user_info_endpoint: text("https://login.example.com/user"),
        client_id: text("shop"),
        client_secret: text("hush"),
        ..Default::default()
    };
    let actions = |config: wire::AuthenticateOidcActionConfig| {
        let mut last = forward(&web).remove(0);
        last.order = Some(20);
        let first = wire::Action {
            r#type: text("authenticate-oidc"),
            order: Some(10),
            authenticate_oidc_config: Some(config),
            ..Default::default()
        };
        // The list is not in the order of the actions.
        vec![last, first]
    };
    let https = |actions| wire::CreateListenerInput {
        protocol: text("HTTPS"),
        certificates: certified(&cert),
        ..listener_input(&shop, 443, actions)
    };
    let err = create(&mut lab, listener_input(&shop, 80, actions(config()))).expect_err("HTTP");
    assert_eq!(err.code, "InvalidLoadBalancerAction");
    let without = |change: fn(&mut wire::AuthenticateOidcActionConfig)| {
        let mut config = config();
        change(&mut config);
        actions(config)
    };
    for (why, bad) in [
        ("no secret", without(|one| one.client_secret = None)),
        ("no secret to keep", without(|one| (one.client_secret, one.use_existing_client_secret) = (None, Some(true)))),
        ("a session too long", without(|one| one.session_timeout = Some(604_801))),
        ("no URL", without(|one| one.token_endpoint = text("login"))),
        ("no such answer", without(|one| one.on_unauthenticated_request = text("shrug"))),
    ] {
        assert_eq!(create(&mut lab, https(bad)).expect_err(why).code, "ValidationError", "{why}");
    }
    let alone = vec![actions(config()).remove(1)];
    assert_eq!(create(&mut lab, https(alone)).expect_err("nothing after it").code, "InvalidLoadBalancerAction");
    let made = create(&mut lab, https(actions(config()))).expect("a good listener");
    let orders: Vec<Option<i32>> = made.default_actions.iter().map(|action| action.order).collect();
    assert_eq!(orders, [Some(10), Some(20)]);
    let shown = made.default_actions[0].authenticate_oidc_config.clone().expect("the first one");
    assert_eq!(shown.client_secret, None);
    assert_eq!(
        (shown.session_cookie_name.as_deref(), shown.scope.as_deref(), shown.session_timeout),
        (Some("AWSELBAuthSessionCookie"), Some("openid"), Some(604_800))
    );
    let keep = without(|one| {
        (one.client_secret, one.use_existing_client_secret) = (None, Some(true));
        one.on_unauthenticated_request = text("deny");
    });
    let modify =
        wire::ModifyListenerInput { listener_arn: made.listener_arn, default_actions: keep, ..Default::default() };
    ask!(lab, Elbv2ModifyListener, modify).expect("it keeps its secret");
    let row = &lab.rows::<Listener>()[0];
    assert_eq!(row.authenticate.as_ref().expect("still there").client_secret, SecretText::new("hush".to_string()));
}

/// Attributes of a listener's protocol with their defaults and ranges.
#[test]
fn alb_7_3_listener_attributes() {
    let mut lab = Lab::new();
    let (shop, web, cert) = (balancer(&mut lab, "shop"), group(&mut lab, "web"), certificate(&mut lab, "1"));
    let flows = network_balancer(&mut lab);
    let (tcp, udp) = (group_of(&mut lab, "tcp", "TCP", None), group_of(&mut lab, "udp", "UDP", None));
    let mut made = |balancer: &wire::LoadBalancer, protocol: &str, port: i32, group: &str| {
        let certificates = if protocol == "HTTPS" { certified(&cert) } else { Vec::new() };
        let input = wire::CreateListenerInput {
            protocol: text(protocol),
            certificates,
            ..listener_input(balancer, port, forward(group))
        };
        create(&mut lab, input).expect("a good listener").listener_arn
    };
    let http = made(&shop, "HTTP", 80, &web);
    let https = made(&shop, "HTTPS", 443, &web);
    let (tcp, udp) = (made(&flows, "TCP", 80, &tcp), made(&flows, "UDP", 53, &udp));
    for (arn, count) in [(&http, 11), (&https, 19), (&tcp, 1), (&udp, 0)] {
        let input = wire::DescribeListenerAttributesInput { listener_arn: arn.clone() };
        let found = ask!(lab, Elbv2DescribeListenerAttributes, input).expect("a listener").attributes;
        assert_eq!(found.len(), count, "{arn:?}");
    }
    for (arn, key, value, refused) in [
        (&http, "routing.http.response.server.enabled", "false", ""),
        (&http, "routing.http.response.server.enabled", "maybe", "is not valid"),
        (&http, "routing.http.response.x_frame_options.header_value", "DENY", ""),
        (&http, "routing.http.response.x_frame_options.header_value", "PERHAPS", "is not valid"),
        (&http, "routing.http.response.content_security_policy.header_value", "a\r\nb", "is not valid"),
        (&http, "routing.http.response.access_control_max_age.header_value", "86400", ""),
        (&http, "routing.http.request.x_amzn_tls_version.header_name", "X", "is not recognized"),
        (&http, "tcp.idle_timeout.seconds", "350", "is not recognized"),
        (&https, "routing.http.request.x_amzn_tls_version.header_name", "X-Tls", ""),
        (&https, "routing.http.request.x_amzn_tls_version.header_name", "X Tls", "is not valid"),
        (&tcp, "tcp.idle_timeout.seconds", "6000", ""),
        (&tcp, "tcp.idle_timeout.seconds", "59", "is not valid"),
    ] {
        let attribute = wire::ListenerAttribute { key: text(key), value: text(value) };
        let input =
            wire::ModifyListenerAttributesInput { listener_arn: arn.clone(), attributes: vec![attribute.clone()] };
        match ask!(lab, Elbv2ModifyListenerAttributes, input) {
            Ok(answer) => assert!(refused.is_empty() && answer.attributes.contains(&attribute), "{key} {value}"),
            Err(err) => {
                assert!(!refused.is_empty() && err.message.contains(refused), "{key} {value}: {err}");
                assert_eq!(err.code, "ValidationError");
            }
        }
    }
}
