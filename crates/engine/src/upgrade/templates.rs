//! Launch templates of the first release: their data said what is asked for by
//! our own names only, with the primary interface's members among the others.

use crate::row::*;
use elastane_domain::id::Zone;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The members of the data that today's is without.
#[derive(Deserialize)]
struct Old {
    /// Every version of the first release says it.
    by_interface: bool,
    #[serde(default)]
    associate_public_ip: Option<bool>,
    #[serde(default)]
    interface_delete_on_termination: Option<bool>,
    #[serde(default)]
    zone: Option<Zone>,
}

/// Today's data of a version, from what could be read of it and its stored
/// form; `None` when it is today's already.
pub(super) fn data(read: &LaunchData, stored: &Value) -> Option<LaunchData> {
    let old = Old::deserialize(stored).ok()?;
    let mut data = read.clone();
    data.placement.zone = old.zone;
    if old.by_interface {
        let interface = InterfaceChoice {
            subnet: data.subnet.take(),
            groups: std::mem::take(&mut data.security_groups),
            primary: data.private_ip.take(),
            public: old.associate_public_ip,
            delete_on_termination: old.interface_delete_on_termination,
            ..InterfaceChoice::default()
        };
        data.interfaces.push(interface);
    }
    data.said = said(&data).to_string();
    Some(data)
}

/// Members that were given.
fn given<const N: usize>(members: [(&str, Value); N]) -> Value {
    let absent = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let there = members.into_iter().filter(|(_, value)| !absent(value));
    Value::Object(there.map(|(name, value)| (name.to_string(), value)).collect::<Map<_, _>>())
}

/// The data by the members' names in the API (EC2 API Reference, "RequestLaunchTemplateData").
fn said(data: &LaunchData) -> Value {
    let metadata = &data.metadata;
    let word = |yes: bool| if yes { "enabled" } else { "disabled" };
    let tags = data.tags.iter().map(|(kind, tags)| {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        json!({"ResourceType": kind, "Tags": tags})
    });
    given([
        ("ImageId", json!(data.image)),
        ("InstanceType", json!(data.instance_type)),
        ("KeyName", json!(data.key_name)),
        ("UserData", json!(data.user_data)),
        ("SecurityGroupIds", json!(data.security_groups)),
        ("SecurityGroups", json!(data.security_group_names)),
        ("NetworkInterfaces", data.interfaces.iter().map(interface).collect()),
        ("Placement", given([("AvailabilityZone", json!(data.placement.zone))])),
        ("Monitoring", given([("Enabled", json!(data.monitoring))])),
        ("DisableApiTermination", json!(data.disable_api_termination)),
        (
            "InstanceInitiatedShutdownBehavior",
            json!(data.shutdown_behavior.map(|behavior| match behavior {
                ShutdownBehavior::Stop => "stop",
                ShutdownBehavior::Terminate => "terminate",
            })),
        ),
        ("EbsOptimized", json!(data.ebs_optimized)),
        ("CreditSpecification", given([("CpuCredits", json!(data.cpu_credits))])),
        (
            "MetadataOptions",
            given([
                ("HttpEndpoint", json!(metadata.endpoint.map(word))),
                ("HttpTokens", json!(metadata.tokens_required.map(|yes| if yes { "required" } else { "optional" }))),
                ("HttpPutResponseHopLimit", json!(metadata.hop_limit)),
                ("InstanceMetadataTags", json!(metadata.tags.map(word))),
            ]),
        ),
        ("TagSpecifications", tags.collect()),
        ("BlockDeviceMappings", data.block_devices.iter().map(block_device).collect()),
    ])
}

fn interface(choice: &InterfaceChoice) -> Value {
    given([
        ("DeviceIndex", json!(choice.device)),
        ("SubnetId", json!(choice.subnet)),
        ("Groups", json!(choice.groups)),
        ("PrivateIpAddress", json!(choice.primary)),
        ("AssociatePublicIpAddress", json!(choice.public)),
        ("DeleteOnTermination", json!(choice.delete_on_termination)),
    ])
}

fn block_device(device: &BlockDevice) -> Value {
    let ebs = given([
        ("VolumeSize", json!(device.size_gib)),
        ("VolumeType", json!(device.volume_type)),
        ("DeleteOnTermination", json!(device.delete_on_termination)),
        ("Encrypted", json!(device.encrypted)),
        ("Iops", json!(device.iops)),
        ("Throughput", json!(device.throughput)),
    ]);
    given([("DeviceName", json!(device.device)), ("Ebs", ebs)])
}
