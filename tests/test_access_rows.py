"""A table of policies for each service: every row as a real, signed request, and as a question to the policy simulator.
Both must end as the row says. The rules themselves are tables of crates/domain/src/policy; here they meet real requests'
actions, resources and condition keys."""

import uuid
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from test_access import User, allow, deny, document, keys, role

# Codes of a refusal for want of permission; every other code is a handler's, which was reached.
REFUSALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
ALLOWED, EXPLICIT, IMPLICIT = "allowed", "explicitDeny", "implicitDeny"


@dataclass(frozen=True)
class Probe:
    """A request: what it needs, and how it is made."""

    action: str
    method: str
    arguments: dict
    on: str = "*"


@dataclass(frozen=True)
class Scene:
    """What rows of a service are about: a request on a resource, and one that has a condition key. `unlike` is the ARN of
    another resource of the type; `keyed` is operator, key, a value that the request has and one that it has not."""

    service: str
    probe: Probe
    unlike: str
    conditional: Probe
    keyed: tuple


def of_ec2(daemon, account):
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": "blue"}]}]
    vpc = daemon.client("ec2").create_vpc(CidrBlock="10.77.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    arn = f"arn:aws:ec2:us-east-1:{account}:vpc"
    probe = Probe("ec2:DeleteVpc", "delete_vpc", {"VpcId": vpc, "DryRun": True}, f"{arn}/{vpc}")
    return Scene("ec2", probe, f"{arn}/vpc-0", probe, ("StringEquals", "ec2:ResourceTag/team", "blue", "red"))


def of_autoscaling(daemon, account):
    name = f"rows-{uuid.uuid4().hex[:8]}"
    image = daemon.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    template = {"ImageId": image, "InstanceType": "t3.micro"}
    daemon.client("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=template)
    scaling = daemon.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=1, AvailabilityZones=["us-east-1a"],
        LaunchTemplate={"LaunchTemplateName": name},
    )
    groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    arn = groups[0]["AutoScalingGroupARN"]
    update = {"AutoScalingGroupName": name, "MaxSize": 1}
    probe = Probe("autoscaling:UpdateAutoScalingGroup", "update_auto_scaling_group", update, arn)
    return Scene("autoscaling", probe, f"{arn}-2", probe, ("NumericLessThan", "autoscaling:MaxSize", "2", "1"))


def of_elbv2(daemon, account):
    balancing, name = daemon.client("elbv2"), f"rows-{uuid.uuid4().hex[:8]}"
    made = balancing.create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=default_vpc(daemon), Tags=[{"Key": "team", "Value": "blue"}]
    )
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    try:
        # The first load balancer of an account would need the permission to make this role as well.
        daemon.client("iam").create_service_linked_role(AWSServiceName="elasticloadbalancing.amazonaws.com")
    except ClientError as refused:
        assert refused.response["Error"]["Code"] == "InvalidInput", refused
    change = {"TargetGroupArn": arn, "HealthCheckPath": "/health"}
    probe = Probe("elasticloadbalancing:ModifyTargetGroup", "modify_target_group", change, arn)
    scheme = {"Name": name, "Subnets": ["subnet-0"], "Scheme": "internal"}
    where = f"arn:aws:elasticloadbalancing:us-east-1:{account}:loadbalancer/app/{name}/*"
    create = Probe("elasticloadbalancing:CreateLoadBalancer", "create_load_balancer", scheme, where)
    keyed = ("StringEquals", "elasticloadbalancing:Scheme", "internal", "internet-facing")
    return Scene("elbv2", probe, arn.replace(name, "other"), create, keyed)


def of_cloudwatch(daemon, account):
    name = f"rows-{uuid.uuid4().hex[:8]}"
    daemon.client("cloudwatch").put_metric_alarm(
        AlarmName=name, MetricName="m", Namespace="app", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    arn = f"arn:aws:cloudwatch:us-east-1:{account}:alarm"
    probe = Probe("cloudwatch:DisableAlarmActions", "disable_alarm_actions", {"AlarmNames": [name]}, f"{arn}:{name}")
    data = {"Namespace": "app", "MetricData": [{"MetricName": "m", "Value": 0}]}
    put = Probe("cloudwatch:PutMetricData", "put_metric_data", data)
    return Scene("cloudwatch", probe, f"{arn}:other", put, ("StringEquals", "cloudwatch:namespace", "app", "db"))


def of_iam(daemon, account):
    name = User(daemon).name
    arn = f"arn:aws:iam::{account}:user"
    probe = Probe("iam:ListUserTags", "list_user_tags", {"UserName": name}, f"{arn}/{name}")
    policy = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    attach = {"UserName": name, "PolicyArn": policy}
    attach = Probe("iam:AttachUserPolicy", "attach_user_policy", attach, f"{arn}/{name}")
    return Scene("iam", probe, f"{arn}/other", attach, ("ArnEquals", "iam:PolicyARN", policy, policy + "2"))


def of_sts(daemon, account):
    arn = role(daemon, account)
    assume = {"RoleArn": arn, "RoleSessionName": "rows", "ExternalId": "blue"}
    probe = Probe("sts:AssumeRole", "assume_role", assume, arn)
    return Scene("sts", probe, f"{arn}-2", probe, ("StringEquals", "sts:ExternalId", "blue", "red"))


def of_ssm(daemon, account):
    name = f"/rows/{uuid.uuid4().hex[:8]}"
    daemon.client("ssm").put_parameter(Name=name, Value="v", Type="String")
    arn = f"arn:aws:ssm:us-east-1:{account}:parameter"
    probe = Probe("ssm:GetParameter", "get_parameter", {"Name": name}, arn + name)
    by_path = {"Path": "/rows", "Recursive": True}
    by_path = Probe("ssm:GetParametersByPath", "get_parameters_by_path", by_path, f"{arn}/rows")
    return Scene("ssm", probe, f"{arn}/rows/other", by_path, ("Bool", "ssm:Recursive", "true", "false"))


def of_kms(daemon, account):
    arn = daemon.client("kms").create_key()["KeyMetadata"]["Arn"]
    encrypt = {"KeyId": arn, "Plaintext": b"x", "EncryptionContext": {"team": "blue"}}
    probe = Probe("kms:Encrypt", "encrypt", encrypt, arn)
    return Scene("kms", probe, f"{arn}2", probe, ("StringEquals", "kms:EncryptionContext:team", "blue", "red"))


def of_acm(daemon, account):
    request = {"DomainName": f"{uuid.uuid4().hex[:8]}.example.com", "ValidationMethod": "DNS"}
    arn = daemon.client("acm").request_certificate(**request)["CertificateArn"]
    probe = Probe("acm:DescribeCertificate", "describe_certificate", {"CertificateArn": arn}, arn)
    new = Probe("acm:RequestCertificate", "request_certificate", request, arn.rsplit("/", 1)[0] + "/*")
    return Scene("acm", probe, f"{arn}2", new, ("StringEquals", "acm:ValidationMethod", "DNS", "EMAIL"))


def of_cloudtrail(daemon, account):
    # It has neither resources nor keys of its own.
    probe = Probe("cloudtrail:LookupEvents", "lookup_events", {"MaxResults": 1})
    trail = f"arn:aws:cloudtrail:us-east-1:{account}:trail/main"
    return Scene("cloudtrail", probe, trail, probe, ("IpAddress", "aws:SourceIp", "127.0.0.0/8", "10.0.0.0/8"))


SCENES = {
    "ec2": of_ec2, "autoscaling": of_autoscaling, "elbv2": of_elbv2, "cloudwatch": of_cloudwatch, "iam": of_iam,
    "sts": of_sts, "ssm": of_ssm, "kms": of_kms, "acm": of_acm, "cloudtrail": of_cloudtrail,
}
SERVICES = list(SCENES)


def default_vpc(daemon):
    found = daemon.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])
    return found["Vpcs"][0]["VpcId"]


def bound(effect, *actions, **more):
    return {"Effect": effect, "Action": list(actions), "Resource": "*", **more}


def under(scene, value):
    operator, key, *_ = scene.keyed
    return {operator: {key: value}}


def prefix(scene):
    return scene.probe.action.split(":")[0]


# Each row: what it is called; the statements of the identity's policy; how it ends; and the kind of policy that a refusal
# names. The rows below `LIMITED` have a second policy, which is a boundary for a user and a session's for a role.
ROWS = [
    ("the action", lambda s: [allow(s.probe.action)], ALLOWED),
    ("the service", lambda s: [allow(f"{prefix(s)}:*")], ALLOWED),
    ("letters of any case", lambda s: [allow(s.probe.action.upper())], ALLOWED),
    ("a letter left open", lambda s: [allow(s.probe.action[:-1] + "?")], ALLOWED),
    ("no statement of it", lambda s: [allow("s3:*")], IMPLICIT),
    ("a longer action", lambda s: [allow(s.probe.action + "s")], IMPLICIT),
    ("denied", lambda s: [allow("*"), deny(s.probe.action)], EXPLICIT),
    ("the service denied", lambda s: [allow(s.probe.action), deny(f"{prefix(s)}:*")], EXPLICIT),
    ("all others denied", lambda s: [allow("*"), {"Effect": "Deny", "NotAction": s.probe.action, "Resource": "*"}], ALLOWED),
    ("all but it", lambda s: [{"Effect": "Allow", "NotAction": s.probe.action, "Resource": "*"}], IMPLICIT),
    ("on the resource", lambda s: [allow(s.probe.action, on=s.probe.on)], ALLOWED),
    ("on another", lambda s: [allow(s.probe.action, on=s.unlike)], IMPLICIT),
    ("on several", lambda s: [allow(s.probe.action, on=[s.unlike, s.probe.on])], ALLOWED),
    ("denied on it", lambda s: [allow("*"), deny(s.probe.action, on=s.probe.on)], EXPLICIT),
    ("denied on another", lambda s: [allow("*"), deny(s.probe.action, on=s.unlike)], ALLOWED),
    ("not on another", lambda s: [{"Effect": "Allow", "Action": s.probe.action, "NotResource": s.unlike}], ALLOWED),
    ("the key has the value", lambda s: [allow(s.conditional.action, **under(s, s.keyed[2]))], ALLOWED),
    ("the key has another", lambda s: [allow(s.conditional.action, **under(s, s.keyed[3]))], IMPLICIT),
    ("denied for the value", lambda s: [allow("*"), bound("Deny", "*", Condition=under(s, s.keyed[2]))], EXPLICIT),
    ("not denied for another", lambda s: [allow("*"), bound("Deny", "*", Condition=under(s, s.keyed[3]))], ALLOWED),
    ("the key is there", lambda s: [allow(s.conditional.action, Null={s.keyed[1]: "false"})], ALLOWED),
]
CONDITIONAL = {name for name, _, _ in ROWS[16:]}
LIMITED = [
    ("within the limit", lambda s: [allow("*")], lambda s: [allow(s.probe.action)], ALLOWED),
    ("within it on the resource", lambda s: [allow("*")], lambda s: [allow(s.probe.action, on=s.probe.on)], ALLOWED),
    ("beyond the limit", lambda s: [allow("*")], lambda s: [allow("s3:*")], IMPLICIT),
    ("beyond it on the resource", lambda s: [allow("*")], lambda s: [allow("*", on=s.unlike)], IMPLICIT),
    ("the limit denies", lambda s: [allow("*")], lambda s: [allow("*"), deny(s.probe.action)], EXPLICIT),
    ("a limit gives nothing", lambda s: [allow("s3:*")], lambda s: [allow("*")], IMPLICIT),
]
# Which policy a refusal of a row of LIMITED blames.
BLAMED = {"beyond the limit", "beyond it on the resource", "the limit denies"}


@pytest.fixture(scope="module")
def account(daemon):
    return daemon.client("sts").get_caller_identity()["Account"]


@pytest.fixture(scope="module")
def iam(daemon):
    return daemon.client("iam")


@pytest.fixture(scope="module")
def sts(daemon):
    return daemon.client("sts")


@pytest.fixture(scope="module")
def user(daemon):
    return User(daemon)


@pytest.fixture(scope="module")
def clients(user):
    """The user's clients, by service."""
    return {service: user.client(service) for service in SERVICES}


@pytest.fixture(scope="module")
def actor(daemon, account):
    """A role whose sessions are limited by policies."""
    return role(daemon, account)


@pytest.fixture(scope="module")
def scenes(daemon, account):
    """The scene of a service, made when it is first asked for."""
    made = {}

    def scene(service):
        if service not in made:
            made[service] = SCENES[service](daemon, account)
        return made[service]

    return scene


def outcome(client, probe):
    """How a request ends: allowed, or the refusal's kind and the policy that it names."""
    try:
        getattr(client, probe.method)(**probe.arguments)
    except ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code in REFUSALS:
            assert f"is not authorized to perform: {probe.action}" in text, text
            return (EXPLICIT if "with an explicit deny in " in text else IMPLICIT), text
    return ALLOWED, ""


def question(scene, probe, conditional):
    """What the simulator is told of a request."""
    asked = {"ActionNames": [probe.action], "ResourceArns": [probe.on]}
    if conditional:
        operator, key, value, _ = scene.keyed
        # What the key holds, which is not what the condition compares it with.
        value = {"NumericLessThan": "1", "IpAddress": "127.0.0.1"}.get(operator, value)
        kind = {"NumericLessThan": "numeric", "IpAddress": "ip", "Bool": "boolean"}.get(operator, "string")
        asked["ContextEntries"] = [{"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [value]}]
    return asked


def simulated(answer):
    [result] = answer["EvaluationResults"]
    return result["EvalDecision"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name, statements, want", ROWS, ids=[row[0] for row in ROWS])
def test_a_users_policy(iam, user, clients, scenes, service, name, statements, want):
    scene = scenes(service)
    conditional = name in CONDITIONAL
    probe = scene.conditional if conditional else scene.probe
    iam.put_user_policy(UserName=user.name, PolicyName="p", PolicyDocument=document(*statements(scene)))
    told = simulated(iam.simulate_principal_policy(PolicySourceArn=user.arn, **question(scene, probe, conditional)))
    got, text = outcome(clients[service], probe)
    assert (got, told) == (want, want), text
    if text:
        assert "identity-based policy" in text and f"User: {user.arn} " in text


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name, statements, limit, want", LIMITED, ids=[row[0] for row in LIMITED])
def test_a_users_boundary(iam, user, clients, scenes, service, name, statements, limit, want):
    scene = scenes(service)
    iam.put_user_policy(UserName=user.name, PolicyName="p", PolicyDocument=document(*statements(scene)))
    policy = iam.create_policy(PolicyName=f"b-{uuid.uuid4().hex[:8]}", PolicyDocument=document(*limit(scene)))
    arn = policy["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=arn)
    try:
        told = simulated(iam.simulate_principal_policy(PolicySourceArn=user.arn, **question(scene, scene.probe, False)))
        got, text = outcome(clients[service], scene.probe)
    finally:
        iam.delete_user_permissions_boundary(UserName=user.name)
        iam.delete_policy(PolicyArn=arn)
    assert (got, told) == (want, want), text
    if text:
        assert ("permissions boundary" if name in BLAMED else "identity-based policy") in text


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name, statements, limit, want", LIMITED, ids=[row[0] for row in LIMITED])
def test_a_roles_session(daemon, iam, sts, actor, scenes, service, name, statements, limit, want):
    scene = scenes(service)
    given, taken = document(*statements(scene)), document(*limit(scene))
    iam.put_role_policy(RoleName=actor.rsplit("/", 1)[1], PolicyName="p", PolicyDocument=given)
    session = sts.assume_role(RoleArn=actor, RoleSessionName="rows", Policy=taken)["Credentials"]
    # The simulator knows no sessions; a boundary takes away as a session's policy does.
    told = simulated(iam.simulate_custom_policy(
        PolicyInputList=[given], PermissionsBoundaryPolicyInputList=[taken], **question(scene, scene.probe, False)
    ))
    got, text = outcome(daemon.client(service, credentials=keys(session)), scene.probe)
    assert (got, told) == (want, want), text
    if text:
        assert ("session policy" if name in BLAMED else "identity-based policy") in text
