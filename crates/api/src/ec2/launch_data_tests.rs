//! What launches say: kept as it was sent, merged by its rules, refused where
//! no launch could use it.

use super::launch_data::*;
use super::recast;
use super::scene::tag;
use elastane_engine::row::*;
use elastane_wire::ec2 as wire;

type Data = wire::RequestLaunchTemplateData;
type Interface = wire::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest;
type Metadata = wire::LaunchTemplateInstanceMetadataOptionsRequest;

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn full() -> Data {
    Data {
        image_id: text("ami-0e1a57a9e00000001"),
        instance_type: text("t3.micro"),
        key_name: text("key"),
        user_data: text("IyEvYmluL3NoCg=="),
        monitoring: Some(wire::LaunchTemplatesMonitoringRequest { enabled: Some(false), ..Default::default() }),
        placement: Some(wire::LaunchTemplatePlacementRequest {
            availability_zone: text(""),
            group_name: text("spread"),
            tenancy: text("default"),
            ..Default::default()
        }),
        metadata_options: Some(Metadata {
            http_tokens: text("required"),
            http_put_response_hop_limit: Some(2),
            ..Default::default()
        }),
        network_interfaces: vec![Interface {
            associate_public_ip_address: Some(true),
            delete_on_termination: Some(true),
            device_index: Some(0),
            groups: vec!["sg-0123456789abcdef0".to_string()],
            private_ip_addresses: vec![wire::PrivateIpAddressSpecification {
                primary: Some(true),
                private_ip_address: text("172.31.0.20"),
            }],
            ..Default::default()
        }],
        tag_specifications: vec![wire::LaunchTemplateTagSpecificationRequest {
            resource_type: text("instance"),
            tags: vec![tag("Name", "web")],
        }],
        block_device_mappings: vec![device("/dev/xvda", 20)],
        iam_instance_profile: Some(wire::LaunchTemplateIamInstanceProfileSpecificationRequest {
            name: text("web"),
            ..Default::default()
        }),
        instance_market_options: Some(wire::LaunchTemplateInstanceMarketOptionsRequest {
            market_type: text("spot"),
            spot_options: Some(wire::LaunchTemplateSpotMarketOptionsRequest {
                spot_instance_type: text("persistent"),
                instance_interruption_behavior: text("stop"),
                max_price: text("0.01"),
                valid_until: Some(1_767_261_600_000.into()),
                ..Default::default()
            }),
        }),
        private_dns_name_options: Some(wire::LaunchTemplatePrivateDnsNameOptionsRequest {
            hostname_type: text("resource-name"),
            ..Default::default()
        }),
        hibernation_options: Some(wire::LaunchTemplateHibernationOptionsRequest { configured: Some(false) }),
        disable_api_stop: Some(true),
        ..Default::default()
    }
}

fn device(name: &str, size: i32) -> wire::LaunchTemplateBlockDeviceMappingRequest {
    let ebs = wire::LaunchTemplateEbsBlockDeviceRequest { volume_size: Some(size), ..Default::default() };
    wire::LaunchTemplateBlockDeviceMappingRequest { device_name: text(name), ebs: Some(ebs), ..Default::default() }
}

/// What a template says is shown as it was sent, and nothing else.
#[test]
fn terraform_3_template_data_is_shown_as_sent() {
    let said = full();
    let mut expected = wire::ResponseLaunchTemplateData::default();
    recast::recast((&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &said), (&wire::RESPONSE_LAUNCH_TEMPLATE_DATA, &mut expected));
    let data = of_template(&said).expect("all supported");
    assert_eq!(shown(&data), expected);
    assert_eq!(shown(&data).placement.and_then(|placement| placement.availability_zone).as_deref(), Some(""));
    let nothing = of_template(&Data::default()).expect("empty");
    assert_eq!(shown(&nothing), wire::ResponseLaunchTemplateData::default());
}

/// What it means: empty words mean nothing, named words their rows' values.
#[test]
fn what_template_data_means() {
    let data = of_template(&full()).expect("all supported");
    assert_eq!((data.placement.zone, data.placement.group.as_deref()), (None, Some("spread")));
    let primary = &data.interfaces[0];
    assert_eq!((primary.device, primary.primary, primary.public), (0, Some([172, 31, 0, 20].into()), Some(true)));
    assert_eq!((data.profile.as_deref(), data.disable_api_stop), (Some("web"), Some(true)));
    let spot = data.spot.expect("spot");
    assert_eq!(
        (spot.persistent, spot.behavior, spot.price.as_deref()),
        (true, InterruptionBehavior::Stop, Some("0.01"))
    );
    assert_eq!(data.private_dns.resource_name, Some(true));
    let image_id = text("resolve:ssm:/aws/service/debian/release/12/latest/amd64");
    let by_parameter = of_template(&Data { image_id, ..Data::default() }).expect("supported");
    let name = by_parameter.image_parameter.as_deref();
    assert_eq!((by_parameter.image, name), (None, Some("/aws/service/debian/release/12/latest/amd64")));
}

/// RunInstances says the same in its own shape.
#[test]
fn a_call_says_what_a_template_says() {
    let mut call = wire::RunInstancesRequest::default();
    recast::recast((&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &full()), (&wire::RUN_INSTANCES_REQUEST, &mut call));
    let of_call = Said::by_call(&call).and_then(|said| said.read()).expect("supported");
    let of_template = LaunchData { said: String::new(), ..of_template(&full()).expect("supported") };
    assert_eq!(of_call, of_template);
}

/// Members of the call replace those of the template; metadata options go one
/// by one, devices by name, tags by resource type; interfaces and
/// instance-level networks exclude each other.
#[test]
fn ec2_7_rules_5_and_6_overlay() {
    let over = Data {
        instance_type: text("m5.large"),
        metadata_options: Some(Metadata { http_put_response_hop_limit: Some(3), ..Default::default() }),
        tag_specifications: vec![wire::LaunchTemplateTagSpecificationRequest {
            resource_type: text("volume"),
            tags: vec![],
        }],
        block_device_mappings: vec![device("/dev/xvda", 30), device("/dev/sdb", 1)],
        ..Default::default()
    };
    let merged = overlay(&full(), over.clone());
    assert_eq!(merged.block_device_mappings, over.block_device_mappings);
    let kinds: Vec<_> = merged.tag_specifications.iter().filter_map(|one| one.resource_type.as_deref()).collect();
    assert_eq!(kinds, ["instance", "volume"]);
    let metadata = merged.metadata_options.expect("both say some");
    assert_eq!((metadata.http_put_response_hop_limit, metadata.http_tokens.as_deref()), (Some(3), Some("required")));
    assert_eq!((merged.instance_type.as_deref(), &merged.image_id), (Some("m5.large"), &full().image_id));
    assert_eq!(merged.network_interfaces, full().network_interfaces);
    let by_id = Data { security_group_ids: vec!["sg-0123456789abcdef1".into()], ..Default::default() };
    let by_name = Data { security_groups: vec!["web".into()], ..Default::default() };
    assert_eq!(overlay(&by_id, by_name.clone()), by_name);
    for said in [
        Said { subnet: text("subnet-01234567"), ..Said::default() }.over(&full()),
        Said { private_ip: Some([172, 31, 0, 9].into()), ..Said::default() }.over(&full()),
        Said { data: by_id.clone(), ..Said::default() }.over(&full()),
        Said { data: full(), ..Said::default() }.over(&by_id),
    ] {
        assert_eq!(said.read().expect_err("both").code, "InvalidParameterCombination");
    }
}

/// Values that no launch could use are refused when the template is made.
#[test]
fn unusable_template_data_is_refused() {
    let none = Data::default;
    let metadata = |options| Data { metadata_options: Some(options), ..none() };
    let interfaces = |interfaces| Data { network_interfaces: interfaces, ..none() };
    let market = |kind: &str, behavior: &str| Data {
        instance_market_options: Some(wire::LaunchTemplateInstanceMarketOptionsRequest {
            market_type: text("spot"),
            spot_options: Some(wire::LaunchTemplateSpotMarketOptionsRequest {
                spot_instance_type: text(kind),
                instance_interruption_behavior: text(behavior),
                ..Default::default()
            }),
        }),
        ..none()
    };
    let hibernation = Some(wire::LaunchTemplateHibernationOptionsRequest { configured: Some(true) });
    let enclave = Some(wire::LaunchTemplateEnclaveOptionsRequest { enabled: Some(true) });
    let tenancy = |word: &str| wire::LaunchTemplatePlacementRequest { tenancy: text(word), ..Default::default() };
    let profile = wire::LaunchTemplateIamInstanceProfileSpecificationRequest { name: text("a"), arn: text("b") };
    for (code, data) in [
        ("InvalidUserData.Malformed", Data { user_data: text("%"), ..none() }),
        ("InvalidParameterValue", metadata(Metadata { http_tokens: text("maybe"), ..Default::default() })),
        ("InvalidParameterValue", metadata(Metadata { http_put_response_hop_limit: Some(65), ..Default::default() })),
        ("UnsupportedOperation", metadata(Metadata { http_protocol_ipv6: text("enabled"), ..Default::default() })),
        ("InvalidParameterValue", interfaces(vec![Interface::default(), Interface::default()])),
        ("UnsupportedOperation", interfaces(vec![Interface { ipv6_address_count: Some(1), ..Default::default() }])),
        ("InvalidParameterValue", market("sometimes", "terminate")),
        ("InvalidParameterCombination", market("one-time", "stop")),
        ("UnsupportedOperation", market("persistent", "hibernate")),
        ("UnsupportedOperation", Data { hibernation_options: hibernation, ..none() }),
        ("UnsupportedOperation", Data { enclave_options: enclave, ..none() }),
        ("UnsupportedOperation", Data { placement: Some(tenancy("dedicated")), ..none() }),
        ("InvalidParameterCombination", Data { iam_instance_profile: Some(profile), ..none() }),
        ("UnsupportedOperation", Data { kernel_id: text("aki-1"), ..none() }),
    ] {
        assert_eq!(of_template(&data).expect_err(code).code, code, "{data:?}");
    }
}
