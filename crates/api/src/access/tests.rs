//! What callers may do: the table against the operations, resources of
//! requests, and decisions about real requests of every service.

use super::table::table;
use super::*;
use crate::testing::Lab;
use crate::{NoWorld, Origin, RoleSession};
use elastane_domain::id::Region;
use elastane_domain::time::Time;
use elastane_engine::Scope;
use elastane_engine::row::*;
use std::collections::BTreeMap;

const ACCOUNT: &str = "000000000000";

/// A request from the JSON of its members.
fn input(operation: Operation, members: &str) -> Input {
    let mut input = Input::empty(operation);
    elastane_wire::from_json(operation.info().input, members, input.record_mut()).expect("members of the operation");
    input
}

/// The operation of a service by its name.
fn operation(name: &str) -> Operation {
    let (service, name) = name.split_once(':').unwrap();
    let is = |operation: &Operation| {
        operation.name() == name && super::action(*operation).starts_with(&format!("{service}:"))
    };
    Operation::all().find(is).unwrap_or_else(|| panic!("no operation {service}:{name}"))
}

/// A lab whose account has a user, a role in a profile, and rows to name.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let created_at = Time(0);
    let role = Role {
        name: "app".to_string(),
        id: "AROAAPP".to_string(),
        path: "/svc/".to_string(),
        description: None,
        trust_policy: PolicyText::new("{}"),
        session_secs_max: 3600,
        created_at,
        tags: Tags::from([("team".to_string(), "blue".to_string())]),
        permissions: Permissions::default(),
        boundary: None,
    };
    let profile = InstanceProfile {
        name: "app".to_string(),
        id: "AIPA".to_string(),
        path: "/".to_string(),
        role: Some("app".to_string()),
        created_at,
        tags: Tags::new(),
    };
    identity(&mut lab, |tx| {
        tx.put(role);
        tx.put(profile);
        tx.put(user(Permissions::default()));
    });
    lab
}

fn user(permissions: Permissions) -> User {
    User {
        name: "ann".to_string(),
        id: "AIDAANN".to_string(),
        path: "/team/".to_string(),
        created_at: Time(0),
        tags: Tags::from([("team".to_string(), "blue".to_string())]),
        permissions,
        boundary: None,
        groups: Default::default(),
    }
}

/// Changes rows of the account as a whole.
fn identity(lab: &mut Lab, change: impl FnOnce(&mut elastane_engine::Tx<'_>)) {
    let scope = Scope::new(ACCOUNT, IAM_REGION);
    let done: Result<(), ()> = lab.engine.transact(&scope, lab.now, |tx| {
        change(tx);
        Ok(())
    });
    done.expect("the change cannot fail");
}

/// The user of [`lab`].
fn ann(lab: &Lab) -> Caller {
    Caller {
        arn: format!("arn:aws:iam::{ACCOUNT}:user/team/ann"),
        user_id: "AIDAANN".to_string(),
        principal: Principal::User("ann".to_string()),
        ..lab.caller.clone()
    }
}

/// The view that an operation runs in.
fn view_of<'a>(lab: &'a Lab, operation: Operation, scopes: &'a [Scope; 2]) -> View<'a> {
    let scope = crate::scope_of(operation, ACCOUNT.into(), "us-east-1".into());
    let scope = scopes.iter().find(|known| **known == scope).expect("one of two");
    lab.engine.view(scope, lab.now).expect("the scope is there")
}

fn scopes() -> [Scope; 2] {
    [Scope::new(ACCOUNT, "us-east-1"), Scope::new(ACCOUNT, IAM_REGION)]
}

/// Every operation is in the table, and the table reads: members, keys and
/// words that it names exist.
#[test]
fn the_table_covers_every_operation() {
    let missing: Vec<&str> = Operation::all().filter(|one| !table().knows(*one)).map(Operation::name).collect();
    assert!(missing.is_empty(), "not in access/table.txt: {missing:?}");
}

/// Each check is about something, and types' ARNs are ARNs with an id.
#[test]
fn the_table_makes_sense() {
    for operation in Operation::all() {
        for check in table().checks(operation) {
            assert!(!check.resources.is_empty(), "{}: {} names no resources", operation.name(), check.action);
        }
    }
    for kind in table().services.iter().flat_map(|service| &service.kinds) {
        assert!(kind.arn.starts_with("arn:aws:") && kind.arn.ends_with("{id}"), "{}", kind.arn);
    }
}

/// The resources that requests name, as ARNs.
#[test]
fn resources_of_requests() {
    let lab = lab();
    let scopes = scopes();
    let ec2 = |rest: &str| format!("arn:aws:ec2:us-east-1:{ACCOUNT}:{rest}");
    let iam = |rest: &str| format!("arn:aws:iam::{ACCOUNT}:{rest}");
    for (name, members, want) in [
        ("ec2:TerminateInstances", r#"{"InstanceIds":["i-1","i-2"]}"#, vec![ec2("instance/i-1"), ec2("instance/i-2")]),
        ("ec2:DescribeInstances", r#"{"InstanceIds":["i-1"]}"#, vec!["*".to_string()]),
        ("ec2:DeregisterImage", r#"{"ImageId":"ami-1"}"#, vec!["arn:aws:ec2:us-east-1::image/ami-1".to_string()]),
        ("ec2:CreateSubnet", r#"{"VpcId":"vpc-1"}"#, vec![ec2("subnet/*"), ec2("vpc/vpc-1")]),
        ("ec2:CreateTags", r#"{"Resources":["vol-1","sg-1"]}"#, vec![ec2("volume/vol-1"), ec2("security-group/sg-1")]),
        ("ec2:AssociateRouteTable", r#"{"RouteTableId":"rtb-1"}"#, vec![ec2("route-table/rtb-1")]),
        ("iam:GetRole", r#"{"RoleName":"app"}"#, vec![iam("role/svc/app")]),
        ("iam:GetRole", r#"{"RoleName":"none"}"#, vec![iam("role/none")]),
        ("iam:CreateUser", r#"{"UserName":"bob","Path":"/x/"}"#, vec![iam("user/x/bob")]),
        ("iam:CreateAccessKey", "{}", vec![iam("user/team/ann")]),
        (
            "iam:GetPolicy",
            r#"{"PolicyArn":"arn:aws:iam::aws:policy/P"}"#,
            vec!["arn:aws:iam::aws:policy/P".to_string()],
        ),
        ("iam:CreateServiceLinkedRole", r#"{"AWSServiceName":"a.b"}"#, vec![iam("role/aws-service-role/a.b/*")]),
        (
            "autoscaling:DeleteAutoScalingGroup",
            r#"{"AutoScalingGroupName":"web"}"#,
            vec![format!("arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/web")],
        ),
        (
            "elasticloadbalancing:CreateLoadBalancer",
            r#"{"Name":"shop","Type":"network"}"#,
            vec![format!("arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:loadbalancer/net/shop/*")],
        ),
        (
            "cloudwatch:DeleteAlarms",
            r#"{"AlarmNames":["a"]}"#,
            vec![format!("arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:a")],
        ),
        (
            "ssm:GetParameter",
            r#"{"Name":"/app/key:3"}"#,
            vec![format!("arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/key")],
        ),
        (
            "ssm:GetParameter",
            r#"{"Name":"arn:aws:ssm:us-east-1:000000000000:parameter//app/key"}"#,
            vec![format!("arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/key")],
        ),
        ("ssm:StartSession", r#"{"Target":"i-1"}"#, vec![ec2("instance/i-1")]),
        (
            "ssm:SendCommand",
            r#"{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-1"]}"#,
            vec!["arn:aws:ssm:us-east-1::document/AWS-RunShellScript".to_string(), ec2("instance/i-1")],
        ),
    ] {
        let operation = operation(name);
        let (input, caller) = (input(operation, members), ann(&lab));
        let asked = Asked::new(&view_of(&lab, operation, &scopes), &caller, &input);
        let got: Vec<String> =
            super::resources::of(&table().checks(operation)[0], &asked).into_iter().map(|one| one.arn).collect();
        assert_eq!(got, want, "{name} {members}");
    }
}

/// What one user may do with one policy.
struct Case {
    statement: &'static str,
    operation: &'static str,
    members: &'static str,
    want: Result<(), &'static str>,
}

const RUN: &str = r#"{"ImageId":"ami-0e1a57a9e00000001","InstanceType":"t3.micro","MinCount":1,"MaxCount":1}"#;
const RUN_TAGGED: &str = r#"{"ImageId":"ami-0e1a57a9e00000001","InstanceType":"t3.micro","MinCount":1,"MaxCount":1,
    "TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"Team","Value":"blue"}]}]}"#;
const RUN_AS: &str = r#"{"ImageId":"ami-0e1a57a9e00000001","InstanceType":"t3.micro","MinCount":1,"MaxCount":1,
    "IamInstanceProfile":{"Name":"app"}}"#;

const SEND_REFERRING: &str = r#"{"DocumentName":"AWS-RunShellScript","Targets":[{"Key":"tag:no","Values":["one"]}],
    "Parameters":{"commands":["echo {{ssm:/app/url:2}}"]}}"#;

/// Requests of each service with one policy: allowed, implicitly and
/// explicitly denied, by resource, tag, and the keys of the request.
const CASES: &[Case] = &[
    case(r#""Action":"*","Resource":"*""#, "ec2:RunInstances", RUN, Ok(())),
    case(r#""Action":"ec2:Describe*","Resource":"*""#, "ec2:DescribeInstances", "{}", Ok(())),
    case(
        r#""Action":"ec2:Describe*","Resource":"*""#,
        "ec2:RunInstances",
        RUN,
        Err(
            "ec2:RunInstances on resource: arn:aws:ec2:us-east-1:000000000000:instance/* because no identity-based policy allows",
        ),
    ),
    case(
        r#""Action":"ec2:RunInstances","Resource":"*","Condition":{"StringEquals":{"ec2:InstanceType":"t3.micro"}}"#,
        "ec2:RunInstances",
        RUN,
        Err("volume/*"),
    ),
    case(
        r#""Action":"ec2:RunInstances","Resource":"*","Condition":{"StringEqualsIfExists":{"ec2:InstanceType":"t3.micro"}}"#,
        "ec2:RunInstances",
        RUN,
        Ok(()),
    ),
    case(r#""Action":"ec2:RunInstances","Resource":"*""#, "ec2:RunInstances", RUN_TAGGED, Err("ec2:CreateTags")),
    case(r#""Action":["ec2:RunInstances","ec2:CreateTags"],"Resource":"*""#, "ec2:RunInstances", RUN_TAGGED, Ok(())),
    case(
        r#""Action":"ec2:*","Resource":"*""#,
        "ec2:RunInstances",
        RUN_AS,
        Err("iam:PassRole on resource: arn:aws:iam::000000000000:role/svc/app"),
    ),
    case(r#""Action":["ec2:*","iam:PassRole"],"Resource":"*""#, "ec2:RunInstances", RUN_AS, Ok(())),
    case(
        r#""Action":["ec2:*","iam:PassRole"],"Resource":"*","Condition":{"StringEqualsIfExists":{"iam:PassedToService":"ec2.amazonaws.com"}}"#,
        "ec2:RunInstances",
        RUN_AS,
        Ok(()),
    ),
    case(
        r#""Action":["ec2:*","iam:PassRole"],"Resource":"*","Condition":{"StringEqualsIfExists":{"iam:PassedToService":"ecs.amazonaws.com"}}"#,
        "ec2:RunInstances",
        RUN_AS,
        Err("iam:PassRole"),
    ),
    case(
        r#""Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:PrincipalTag/team}/${aws:username}""#,
        "iam:GetUser",
        "{}",
        Err("iam:GetUser on resource: arn:aws:iam::000000000000:user/team/ann"),
    ),
    case(
        r#""Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/team/${aws:username}""#,
        "iam:GetUser",
        "{}",
        Ok(()),
    ),
    case(
        r#""Action":"iam:*","Resource":"arn:aws:iam::*:role/*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"${aws:PrincipalTag/team}"}}"#,
        "iam:GetRole",
        r#"{"RoleName":"app"}"#,
        Ok(()),
    ),
    case(
        r#""Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}"#,
        "iam:GetRole",
        r#"{"RoleName":"app"}"#,
        Err("iam:GetRole"),
    ),
    case(
        r#""Action":"iam:AttachRolePolicy","Resource":"*","Condition":{"ArnLike":{"iam:PolicyARN":"arn:aws:iam::aws:policy/job-function/*"}}"#,
        "iam:AttachRolePolicy",
        r#"{"RoleName":"app","PolicyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#,
        Err("iam:AttachRolePolicy"),
    ),
    case(
        r#""Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"arn:aws:iam::aws:policy/ReadOnlyAccess"}}"#,
        "iam:CreateUser",
        r#"{"UserName":"bob","PermissionsBoundary":"arn:aws:iam::aws:policy/ReadOnlyAccess"}"#,
        Ok(()),
    ),
    case(
        r#""Action":"autoscaling:*","Resource":"*""#,
        "autoscaling:CreateLaunchConfiguration",
        r#"{"LaunchConfigurationName":"l","IamInstanceProfile":"app"}"#,
        Err("iam:PassRole on resource: arn:aws:iam::000000000000:role/svc/app"),
    ),
    case(
        r#""Action":"autoscaling:*","Resource":"*""#,
        "autoscaling:CreateAutoScalingGroup",
        r#"{"AutoScalingGroupName":"g","MinSize":0,"MaxSize":1,"LaunchTemplate":{"LaunchTemplateName":"t"}}"#,
        Err("ec2:RunInstances on resource:"),
    ),
    case(
        r#""Action":"autoscaling:*","Resource":"*""#,
        "autoscaling:TerminateInstanceInAutoScalingGroup",
        r#"{"InstanceId":"i-1","ShouldDecrementDesiredCapacity":false}"#,
        Ok(()),
    ),
    case(
        r#""Action":"autoscaling:*","Resource":"*","Condition":{"NumericLessThanEqualsIfExists":{"autoscaling:MaxSize":"4"}}"#,
        "autoscaling:UpdateAutoScalingGroup",
        r#"{"AutoScalingGroupName":"web","MaxSize":5}"#,
        Err("autoscaling:UpdateAutoScalingGroup"),
    ),
    case(
        r#""Action":"autoscaling:*","Resource":"arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/web*""#,
        "autoscaling:SetDesiredCapacity",
        r#"{"AutoScalingGroupName":"web-1","DesiredCapacity":1}"#,
        Ok(()),
    ),
    case(
        r#""Action":"autoscaling:*","Resource":"arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/web*""#,
        "autoscaling:SetDesiredCapacity",
        r#"{"AutoScalingGroupName":"db","DesiredCapacity":1}"#,
        Err("autoScalingGroupName/db"),
    ),
    case(
        r#""Action":"elasticloadbalancing:CreateTargetGroup","Resource":"*""#,
        "elasticloadbalancing:CreateTargetGroup",
        r#"{"Name":"t","Tags":[{"Key":"a","Value":"b"}]}"#,
        Err("elasticloadbalancing:AddTags"),
    ),
    case(
        r#""Action":"cloudwatch:PutMetricData","Resource":"*","Condition":{"StringEquals":{"cloudwatch:namespace":"App"}}"#,
        "cloudwatch:PutMetricData",
        r#"{"Namespace":"App"}"#,
        Ok(()),
    ),
    case(
        r#""Action":"cloudwatch:PutMetricData","Resource":"*","Condition":{"StringEquals":{"cloudwatch:namespace":"App"}}"#,
        "cloudwatch:PutMetricData",
        r#"{"Namespace":"Other"}"#,
        Err("cloudwatch:PutMetricData"),
    ),
    case(
        r#""Action":"ssm:GetParameter*","Resource":"arn:aws:ssm:*:*:parameter/app/*""#,
        "ssm:GetParameters",
        r#"{"Names":["/app/a","/db/b"]}"#,
        Err("parameter/db/b"),
    ),
    case(r#""Action":"ssm:SendCommand","Resource":"*""#, "ssm:SendCommand", SEND_REFERRING, Err("ssm:GetParameters")),
    case(
        r#""Action":"ssm:*","Resource":["arn:aws:ssm:*:*:document/*","arn:aws:ssm:*:*:parameter/app/*"]"#,
        "ssm:SendCommand",
        SEND_REFERRING,
        Ok(()),
    ),
    case(
        r#""Action":"ssm:PutParameter","Resource":"*","Condition":{"StringEquals":{"ssm:Overwrite":"false"}}"#,
        "ssm:PutParameter",
        r#"{"Name":"/a","Overwrite":true}"#,
        Err("ssm:PutParameter"),
    ),
    case(
        r#""Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:App":"x"}}"#,
        "kms:Encrypt",
        r#"{"KeyId":"k","EncryptionContext":{"App":"x"}}"#,
        Ok(()),
    ),
    case(r#""Action":"acm:ListCertificates","Resource":"*""#, "acm:ListCertificates", "{}", Ok(())),
    case(
        r#""Action":"acm:ListCertificates","Resource":"*""#,
        "acm:GetCertificate",
        r#"{"CertificateArn":"arn:aws:acm:us-east-1:000000000000:certificate/1"}"#,
        Err("acm:GetCertificate on resource: arn:aws:acm:us-east-1:000000000000:certificate/1"),
    ),
    case(
        r#""Action":"s3:*","Resource":"*""#,
        "cloudtrail:LookupEvents",
        "{}",
        Err("cloudtrail:LookupEvents on resource: *"),
    ),
    case(r#""Action":"s3:*","Resource":"*""#, "sts:GetCallerIdentity", "{}", Ok(())),
    case(
        r#""Action":"ec2:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}"#,
        "ec2:DescribeInstances",
        "{}",
        Err("ec2:DescribeInstances because no identity-based policy allows the ec2:DescribeInstances action"),
    ),
    case(
        r#""Action":"ec2:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
        "ec2:DescribeInstances",
        "{}",
        Ok(()),
    ),
    case(
        r#""Action":"ec2:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}"#,
        "ec2:DescribeInstances",
        "{}",
        Err("ec2:DescribeInstances"),
    ),
    case(
        r#""Action":"ec2:CreateTags","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}"#,
        "ec2:CreateTags",
        r#"{"Resources":["vpc-1"],"Tags":[{"Key":"Team","Value":"x"},{"Key":"Cost","Value":"1"}]}"#,
        Err("ec2:CreateTags"),
    ),
];

const fn case(
    statement: &'static str,
    operation: &'static str,
    members: &'static str,
    want: Result<(), &'static str>,
) -> Case {
    Case { statement, operation, members, want }
}

fn allowing(statements: &[&str]) -> Permissions {
    let texts: Vec<String> = statements.iter().map(|text| format!(r#"{{"Effect":"Allow",{text}}}"#)).collect();
    documents(&[&texts.join(",")])
}

fn documents(statements: &[&str]) -> Permissions {
    let document = |text: &&str| PolicyText::new(format!(r#"{{"Version":"2012-10-17","Statement":[{text}]}}"#));
    let inline: BTreeMap<String, PolicyText> =
        statements.iter().enumerate().map(|(index, text)| (index.to_string(), document(text))).collect();
    Permissions { inline, ..Permissions::default() }
}

fn asked(lab: &Lab, caller: &Caller, name: &str, members: &str) -> Result<(), ApiError> {
    let operation = operation(name);
    permit(&view_of(lab, operation, &scopes()), caller, &NoWorld, &input(operation, members))
}

#[test]
fn decisions() {
    for Case { statement, operation, members, want } in CASES {
        let mut lab = lab();
        identity(&mut lab, |tx| tx.put(user(allowing(&[statement]))));
        let mut caller = ann(&lab);
        caller.origin.address = Some("10.1.2.3".parse().unwrap());
        let got = asked(&lab, &caller, operation, members);
        match (want, &got) {
            (Ok(()), Ok(())) => {}
            (Err(part), Err(err)) if err.message.contains(part) => {}
            _ => panic!("{operation} with {statement}: {got:?}, not {want:?}"),
        }
    }
}

/// What limits a caller besides what it may do: an explicit denial, the
/// boundary, session policies; each refusal says which it was.
#[test]
fn limits() {
    let all = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let denied =
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ec2:Describe*","Resource":"*"}"#;
    let mut lab = lab();
    identity(&mut lab, |tx| tx.put(user(documents(&[denied]))));
    let err = asked(&lab, &ann(&lab), "ec2:DescribeInstances", "{}").unwrap_err();
    assert!(err.message.ends_with("with an explicit deny in an identity-based policy"), "{err}");
    assert_eq!((err.code.as_ref(), err.status), ("UnauthorizedOperation", 403));

    let boundary = Some("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore".to_string());
    identity(&mut lab, |tx| tx.put(User { boundary, ..user(documents(&[all])) }));
    let err = asked(&lab, &ann(&lab), "ec2:DescribeInstances", "{}").unwrap_err();
    assert!(err.message.ends_with("because no permissions boundary allows the ec2:DescribeInstances action"), "{err}");

    identity(&mut lab, |tx| {
        let role = tx.get::<Role>("app").unwrap();
        tx.put(Role { permissions: documents(&[all]), ..Role::clone(&role) });
    });
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}"#;
    let session = |policies| RoleSession {
        role: "app".to_string(),
        name: "s".to_string(),
        policies,
        tags: Tags::new(),
        instance: None,
    };
    let caller = |policies| Caller { principal: Principal::Role(session(policies)), ..ann(&lab) };
    asked(&lab, &caller(Vec::new()), "ec2:DescribeInstances", "{}").unwrap();
    let limited = caller(vec![PolicyText::new(policy)]);
    asked(&lab, &limited, "iam:ListUsers", "{}").unwrap();
    let err = asked(&lab, &limited, "ec2:DescribeInstances", "{}").unwrap_err();
    assert!(err.message.ends_with("because no session policy allows the ec2:DescribeInstances action"), "{err}");
}

/// The region of a request: of IAM the one that it has for all, of STS that
/// of the endpoint which the request was signed for.
#[test]
fn regions_of_global_services() {
    let mut lab = lab();
    let policy = r#"{"Effect":"Allow","Action":["iam:ListUsers","sts:DecodeAuthorizationMessage"],"Resource":"*",
        "Condition":{"StringEquals":{"aws:RequestedRegion":"REGION"}}}"#;
    for (operation, members, signed, want) in [
        ("iam:ListUsers", "{}", Some("eu-west-1"), "us-east-1"),
        ("sts:DecodeAuthorizationMessage", r#"{"EncodedMessage":"x"}"#, Some("eu-west-1"), "eu-west-1"),
        ("sts:DecodeAuthorizationMessage", r#"{"EncodedMessage":"x"}"#, Some("us-east-1"), "us-east-1"),
        ("sts:DecodeAuthorizationMessage", r#"{"EncodedMessage":"x"}"#, None, "us-east-1"),
    ] {
        let region = signed.map(Region::from);
        let caller = ann(&lab);
        let caller = Caller { origin: Origin { region, ..caller.origin.clone() }, ..caller };
        for region in ["us-east-1", "eu-west-1"] {
            identity(&mut lab, |tx| tx.put(user(documents(&[&policy.replace("REGION", region)]))));
            let got = asked(&lab, &caller, operation, members);
            assert_eq!(got.is_ok(), region == want, "{operation} signed for {signed:?}, {region} allowed");
        }
    }
}

/// The first use of a service that has a role of its own needs the permission
/// to make the role, and only the first.
#[test]
fn first_use_of_services() {
    let group = r#"{"AutoScalingGroupName":"g","MinSize":0,"MaxSize":1,"LaunchConfigurationName":"l"}"#;
    for (operation, members, service, role, code) in [
        (
            "autoscaling:CreateAutoScalingGroup",
            group,
            "autoscaling.amazonaws.com",
            "AWSServiceRoleForAutoScaling",
            "AccessDenied",
        ),
        (
            "elasticloadbalancing:CreateLoadBalancer",
            r#"{"Name":"shop"}"#,
            "elasticloadbalancing.amazonaws.com",
            "AWSServiceRoleForElasticLoadBalancing",
            "AccessDenied",
        ),
        (
            "ec2:RequestSpotInstances",
            "{}",
            "spot.amazonaws.com",
            "AWSServiceRoleForEC2Spot",
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        ),
    ] {
        let mut lab = lab();
        let own = r#""Action":["autoscaling:*","elasticloadbalancing:*","ec2:*"],"Resource":"*""#;
        let make = format!(
            r#""Action":"iam:CreateServiceLinkedRole","Resource":"arn:aws:iam::*:role/aws-service-role/{service}/{role}",
                "Condition":{{"StringLike":{{"iam:AWSServiceName":"{service}"}}}}"#
        );
        identity(&mut lab, |tx| tx.put(user(allowing(&[own]))));
        let err = asked(&lab, &ann(&lab), operation, members).unwrap_err();
        let wanted = format!(
            "iam:CreateServiceLinkedRole on resource: arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/{role}"
        );
        assert!(err.message.contains(&wanted), "{operation}: {err}");
        assert_eq!(err.code, code, "{operation}");

        identity(&mut lab, |tx| tx.put(user(allowing(&[own, &make]))));
        asked(&lab, &ann(&lab), operation, members).unwrap();

        identity(&mut lab, |tx| {
            tx.put(user(allowing(&[own])));
            crate::iam::ensure_linked_role(tx, service);
        });
        asked(&lab, &ann(&lab), operation, members).unwrap();
    }
}

/// A key's own policy finds the condition keys that it alone asks for.
#[test]
fn conditions_of_key_policies() {
    let mut lab = lab();
    identity(&mut lab, |tx| tx.put(user(allowing(&[r#""Action":"kms:*","Resource":"*""#]))));
    for (name, want) in [("ann", true), ("bob", false)] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"*"}},"Action":"kms:*",
                "Resource":"*","Condition":{{"StringEquals":{{"aws:username":"{name}"}}}}}}}}"#
        );
        let key = EncryptionKey {
            id: "k".to_string(),
            description: String::new(),
            service: None,
            enabled: true,
            deletion: None,
            rotation: None,
            policy: PolicyText::new(policy),
            materials: Vec::new(),
            created_at: Time(0),
            tags: Tags::new(),
        };
        let done: Result<(), ()> = lab.engine.transact(&Scope::new(ACCOUNT, "us-east-1"), lab.now, |tx| {
            tx.put(key);
            Ok(())
        });
        done.expect("the change cannot fail");
        assert_eq!(asked(&lab, &ann(&lab), "kms:DescribeKey", r#"{"KeyId":"k"}"#).is_ok(), want, "{name}");
    }
}

/// EC2's refusals of what has resources carry a message that says what was
/// asked; it can be read again by the world that sealed it alone.
#[test]
fn encoded_messages() {
    let lab = lab();
    let err = asked(&lab, &ann(&lab), "ec2:TerminateInstances", r#"{"InstanceIds":["i-1"]}"#).unwrap_err();
    let (_, encoded) = err.message.split_once(". Encoded authorization failure message: ").expect("a message");
    let text = decode_message(&NoWorld, encoded).expect("sealed here");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["context"]["action"], "ec2:TerminateInstances");
    assert_eq!(value["context"]["principal"]["id"], "AIDAANN");
    assert_eq!(value["context"]["resource"], format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1"));
    assert_eq!(decode_message(&NoWorld, "no message of ours"), None);
}

/// The root is asked for nothing; what needs no permission is open to all, and
/// sessions of GetSessionToken reach neither IAM nor another session.
#[test]
fn who_is_asked() {
    let lab = lab();
    asked(&lab, &lab.caller, "ec2:TerminateInstances", r#"{"InstanceIds":["i-1"]}"#).unwrap();
    asked(&lab, &ann(&lab), "sts:GetCallerIdentity", "{}").unwrap();
    asked(&lab, &ann(&lab), "sts:GetSessionToken", "{}").unwrap();
    let session = Caller { issued_at: Some(Time(0)), ..lab.caller.clone() };
    for (name, code) in [
        ("iam:ListUsers", Some("InvalidClientTokenId")),
        ("sts:GetSessionToken", Some("AccessDenied")),
        ("sts:DecodeAuthorizationMessage", Some("AccessDenied")),
        ("sts:GetCallerIdentity", None),
        ("ec2:DescribeInstances", None),
    ] {
        let members = if name.ends_with("Message") { r#"{"EncodedMessage":"x"}"# } else { "{}" };
        let got = asked(&lab, &session, name, members);
        assert_eq!(got.err().map(|err| err.code.into_owned()).as_deref(), code, "{name}");
    }
}
