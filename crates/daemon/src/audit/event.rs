//! Calls as CloudTrail writes them (CloudTrail User Guide, "CloudTrail record
//! contents").

use super::members::members;
use crate::session::protocol::uuid_text;
use elastane_api::cloudtrail::Recorded;
use elastane_api::{Caller, Principal};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, Input, Operation, Output};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The version of CloudTrail's format that is followed.
const VERSION: &str = "1.11";

/// Error texts and User-Agents are cut at so many characters.
const TEXT_MAX: usize = 1_024;

/// A call that is being carried out, as far as it is known before the answer.
pub struct Draft {
    at: Time,
    region: String,
    operation: Operation,
    caller: Caller,
    request: Option<Value>,
    request_id: String,
}

impl Draft {
    /// What is asked, and by whom.
    pub fn new(at: Time, region: &str, caller: &Caller, input: &Input, request_id: &str) -> Draft {
        let operation = input.operation();
        let request = members(operation.info().input, input.record());
        let (region, request_id) = (region.to_string(), request_id.to_string());
        Draft { at, region, operation, caller: caller.clone(), request, request_id }
    }

    /// The event, with its place in the trail still to be given.
    pub(super) fn finish(self, outcome: Result<&Output, &ApiError>) -> Recorded {
        let info = self.operation.info();
        let source = format!("{}.amazonaws.com", self.operation.service().info().signing_name);
        let id = event_id(&self.request_id);
        // Answers of reads are not in the trail (as in CloudTrail): they can be had again.
        let response = outcome.ok().filter(|_| !info.read).and_then(|output| members(info.output, output.record()));
        let mut event = json!({
            "eventVersion": VERSION,
            "userIdentity": identity(&self.caller),
            "eventTime": self.at.iso_seconds(),
            "eventSource": source,
            "eventName": info.name,
            "awsRegion": self.region,
            "sourceIPAddress": self.caller.origin.address.map_or("elastane".to_string(), |address| address.to_string()),
            "userAgent": short(&self.caller.origin.user_agent),
            "requestParameters": self.request,
            "responseElements": response,
            "requestID": self.request_id,
            "eventID": id,
            "readOnly": info.read,
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": self.caller.account.as_str(),
            "eventCategory": "Management",
        });
        if let Err(error) = outcome {
            event["errorCode"] = Value::from(error.code.as_ref());
            event["errorMessage"] = Value::from(short(&error.message));
        }
        let resources = resources(&event);
        Recorded {
            number: 0,
            place: format!("{}/{}", self.caller.account, self.region),
            id,
            name: info.name.to_string(),
            source,
            at: self.at,
            read_only: info.read,
            user: user_name(&self.caller),
            access_key: self.caller.access_key.clone(),
            resources,
            event: event.to_string(),
        }
    }
}

/// `userIdentity` (CloudTrail User Guide, "CloudTrail userIdentity element").
fn identity(caller: &Caller) -> Value {
    let mut identity = json!({
        "principalId": caller.user_id,
        "arn": caller.arn,
        "accountId": caller.account.as_str(),
        "accessKeyId": caller.access_key,
    });
    match &caller.principal {
        Principal::Root => identity["type"] = Value::from("Root"),
        Principal::User(name) => {
            identity["type"] = Value::from("IAMUser");
            identity["userName"] = Value::from(name.as_str());
        }
        Principal::Role(session) => {
            identity["type"] = Value::from("AssumedRole");
            let id = caller.user_id.split(':').next().unwrap_or_default();
            identity["sessionContext"] = json!({ "sessionIssuer": {
                "type": "Role",
                "principalId": id,
                "arn": format!("arn:aws:iam::{}:role/{}", caller.account, session.role),
                "accountId": caller.account.as_str(),
                "userName": session.role,
            }});
            if session.instance.is_some() {
                identity["sessionContext"]["ec2RoleDelivery"] = Value::from("2.0");
            }
        }
    }
    identity
}

fn user_name(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Root => "root".to_string(),
        Principal::User(name) => name.clone(),
        Principal::Role(session) => session.name.clone(),
    }
}

/// An id of UUID's form that follows from the request's.
fn event_id(request_id: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(request_id.as_bytes()).into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    // Version 4, and the variant of RFC 9562.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    uuid_text(&id)
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// Members that name a resource, and the type that CloudTrail gives it.
const NAMES: [(&str, &str); 20] = [
    ("instanceId", "AWS::EC2::Instance"),
    ("instanceIds", "AWS::EC2::Instance"),
    ("imageId", "AWS::EC2::Ami"),
    ("vpcId", "AWS::EC2::VPC"),
    ("subnetId", "AWS::EC2::Subnet"),
    ("groupId", "AWS::EC2::SecurityGroup"),
    ("launchTemplateName", "AWS::EC2::LaunchTemplate"),
    ("keyName", "AWS::EC2::KeyPair"),
    ("autoScalingGroupName", "AWS::AutoScaling::AutoScalingGroup"),
    ("loadBalancerArn", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    ("targetGroupArn", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ("listenerArn", "AWS::ElasticLoadBalancingV2::Listener"),
    ("alarmName", "AWS::CloudWatch::Alarm"),
    ("userName", "AWS::IAM::User"),
    ("roleName", "AWS::IAM::Role"),
    ("policyArn", "AWS::IAM::Policy"),
    ("accessKeyId", "AWS::IAM::AccessKey"),
    ("keyId", "AWS::KMS::Key"),
    ("target", "AWS::EC2::Instance"),
    ("roleArn", "AWS::IAM::Role"),
];

/// Resources of one event.
const RESOURCES_MAX: usize = 100;

/// What an event's request and answer name: types and names.
pub(super) fn resources(event: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    named(&event["requestParameters"], &mut found);
    named(&event["responseElements"], &mut found);
    found
}

/// Collects what a part names, wherever in it.
fn named(part: &Value, found: &mut Vec<(String, String)>) {
    match part {
        Value::Object(members) => {
            for (name, value) in members {
                let kind = NAMES.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
                match (kind, value) {
                    (Some(kind), Value::String(text)) => add(kind, text, found),
                    (Some(kind), Value::Array(texts)) => {
                        texts.iter().filter_map(Value::as_str).for_each(|text| add(kind, text, found));
                    }
                    _ => named(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| named(value, found)),
        _ => {}
    }
}

fn add(kind: &str, name: &str, found: &mut Vec<(String, String)>) {
    let one = (kind.to_string(), name.to_string());
    if found.len() < RESOURCES_MAX && !found.contains(&one) {
        found.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_api::RoleSession;
    use elastane_wire::ec2;

    fn input() -> Input {
        let instance_ids = vec!["i-1".to_string(), "i-2".to_string()];
        Input::Ec2TerminateInstances(Box::new(ec2::TerminateInstancesRequest { instance_ids, ..Default::default() }))
    }

    fn event(caller: &Caller, outcome: Result<&Output, &ApiError>) -> (Recorded, Value) {
        let recorded = Draft::new(Time(1_767_225_600_000), "eu-west-1", caller, &input(), "r-1").finish(outcome);
        let value = serde_json::from_str(&recorded.event).expect("JSON");
        (recorded, value)
    }

    /// Who, what, where, with what; the fields that a reader of CloudTrail looks for.
    #[test]
    fn a_refused_call() {
        let caller = Caller::root(&"000000000000".into(), "AKIA1");
        let refused = ApiError::new("InvalidInstanceID.NotFound", "The instance IDs 'i-1, i-2' do not exist");
        let (recorded, value) = event(&caller, Err(&refused));
        assert_eq!(recorded.place, "000000000000/eu-west-1");
        assert_eq!((recorded.name.as_str(), recorded.source.as_str()), ("TerminateInstances", "ec2.amazonaws.com"));
        assert_eq!((recorded.user.as_str(), recorded.read_only), ("root", false));
        let instance = |id: &str| ("AWS::EC2::Instance".to_string(), id.to_string());
        assert_eq!(recorded.resources, [instance("i-1"), instance("i-2")]);
        assert_eq!(value["userIdentity"]["type"], "Root");
        assert_eq!(value["eventTime"], "2026-01-01T00:00:00Z");
        assert_eq!(value["errorCode"], "InvalidInstanceID.NotFound");
        assert_eq!(value["requestParameters"]["instanceIds"], json!(["i-1", "i-2"]));
        assert_eq!(recorded.id.len(), 36);
    }

    /// A role's session says whose it is; an answer to a write is shown.
    #[test]
    fn a_session_and_an_answer() {
        let session = RoleSession {
            role: "web".to_string(),
            name: "i-9".to_string(),
            policies: Vec::new(),
            tags: Default::default(),
            instance: Some("i-9".into()),
        };
        let caller = Caller {
            principal: Principal::Role(session),
            user_id: "AROA1:i-9".to_string(),
            ..Caller::root(&"000000000000".into(), "ASIA1")
        };
        let answer = ec2::TerminateInstancesResult {
            terminating_instances: vec![ec2::InstanceStateChange {
                instance_id: Some("i-1".to_string()),
                ..Default::default()
            }],
        };
        let (recorded, value) = event(&caller, Ok(&Output::Ec2TerminateInstances(Box::new(answer))));
        assert_eq!(recorded.user, "i-9");
        assert_eq!(value["userIdentity"]["sessionContext"]["sessionIssuer"]["userName"], "web");
        assert_eq!(value["userIdentity"]["sessionContext"]["sessionIssuer"]["principalId"], "AROA1");
        assert_eq!(value["responseElements"]["terminatingInstances"][0]["instanceId"], "i-1");
        assert!(value.get("errorCode").is_none());
    }
}
