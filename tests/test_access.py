"""Who may do what, over real requests: users and roles with policies, their keys, and what instances may do. What each
operation needs is in docs/permissions.md."""

import json
import os
import pty
import re
import subprocess
import threading
import uuid

import pytest
from botocore.exceptions import ClientError

from elastane import PROCESS_USER, READY_LIMIT_S, Daemon, until, why_not


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions, on="*", **condition):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": on}
    return {**statement, **({"Condition": condition} if condition else {})}


def deny(*actions, on="*"):
    return {"Effect": "Deny", "Action": list(actions), "Resource": on}


def keys(made):
    secret, token = made["SecretAccessKey"], made.get("SessionToken")
    return {"AccessKeyId": made["AccessKeyId"], "SecretAccessKey": secret, "Token": token}


def refusal(call, **arguments):
    """Code and text of a refusal; fails when there is none."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


class User:
    """A user with an access key, whose policy tests write."""

    def __init__(self, daemon, *statements, **more):
        self.daemon = daemon
        self.name = f"u-{uuid.uuid4().hex[:8]}"
        self.arn = self.iam.create_user(UserName=self.name, **more)["User"]["Arn"]
        self.keys = keys(self.iam.create_access_key(UserName=self.name)["AccessKey"])
        self.may(*statements)

    @property
    def iam(self):
        # The administrator's key is replaced by a test.
        return self.daemon.client("iam")

    def may(self, *statements):
        if statements:
            self.iam.put_user_policy(UserName=self.name, PolicyName="p", PolicyDocument=document(*statements))

    def client(self, service, **more):
        return self.daemon.client(service, credentials=self.keys, **more)


@pytest.fixture(scope="module")
def user(daemon):
    return User(daemon)


@pytest.fixture(scope="module")
def account(daemon):
    return daemon.client("sts").get_caller_identity()["Account"]


def role(daemon, account, *statements, trust=None, **more):
    """A role that the account trusts, unless another trust is named; its ARN."""
    iam, name = daemon.client("iam"), f"r-{uuid.uuid4().hex[:8]}"
    trust = trust or {"Principal": {"AWS": f"arn:aws:iam::{account}:root"}}
    policy = document({"Effect": "Allow", "Action": "sts:AssumeRole", **trust})
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy, **more)["Role"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
    return made["Arn"]


def assumed(daemon, arn, **more):
    sts = daemon.client("sts")
    return keys(sts.assume_role(RoleArn=arn, RoleSessionName="run", **more)["Credentials"])


# For each service: an operation, its arguments, the statement that allows it, and what a refusal says of it.
SAMPLES = [
    ("ec2", "describe_instances", {}, allow("ec2:Describe*"), "ec2:DescribeInstances because"),
    (
        "ec2", "terminate_instances", {"InstanceIds": ["i-00000000000000000"]}, allow("ec2:TerminateInstances"),
        "ec2:TerminateInstances on resource: arn:aws:ec2:us-east-1:{account}:instance/i-00000000000000000 because",
    ),
    ("autoscaling", "describe_auto_scaling_groups", {}, allow("autoscaling:Describe*"), "on resource: *"),
    (
        "autoscaling", "set_desired_capacity", {"AutoScalingGroupName": "web", "DesiredCapacity": 1},
        allow("autoscaling:*", on="arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/web"),
        "autoScalingGroupName/web",
    ),
    ("elbv2", "describe_load_balancers", {}, allow("elasticloadbalancing:Describe*"), "on resource: *"),
    (
        "elbv2", "create_target_group", {"Name": "t", "Protocol": "HTTP", "Port": 80},
        allow("elasticloadbalancing:CreateTargetGroup", on="arn:aws:elasticloadbalancing:*:*:targetgroup/t/*"),
        "targetgroup/t/*",
    ),
    ("cloudwatch", "list_metrics", {}, allow("cloudwatch:List*"), "on resource: *"),
    (
        "cloudwatch", "delete_alarms", {"AlarmNames": ["a"]},
        allow("cloudwatch:DeleteAlarms", on="arn:aws:cloudwatch:*:*:alarm:a"),
        "on resource: arn:aws:cloudwatch:us-east-1:{account}:alarm:a",
    ),
    ("iam", "list_users", {}, allow("iam:List*"), "iam:ListUsers on resource:"),
    (
        "iam", "get_role", {"RoleName": "none"}, allow("iam:GetRole", on="arn:aws:iam::*:role/none"),
        "on resource: arn:aws:iam::{account}:role/none",
    ),
    ("ssm", "list_commands", {}, allow("ssm:ListCommands"), "on resource: *"),
    (
        "ssm", "get_parameter", {"Name": "/app/none"}, allow("ssm:GetParameter", on="arn:aws:ssm:*:*:parameter/app/*"),
        "parameter/app/none",
    ),
    ("acm", "list_certificates", {}, allow("acm:ListCertificates"), "on resource: *"),
    ("kms", "list_keys", {}, allow("kms:ListKeys"), "on resource: *"),
    ("cloudtrail", "lookup_events", {}, allow("cloudtrail:LookupEvents"), "on resource: *"),
    (
        "sts", "get_access_key_info", {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}, allow("sts:GetAccessKeyInfo"),
        "on resource: *",
    ),
]
REFUSALS = {
    "ec2": "UnauthorizedOperation", "acm": "AccessDeniedException", "kms": "AccessDeniedException",
    "ssm": "AccessDeniedException", "cloudtrail": "AccessDeniedException",
}


@pytest.mark.parametrize("service, name, arguments, statement, told", SAMPLES, ids=lambda value: str(value)[:30])
def test_each_service_asks(daemon, account, user, service, name, arguments, statement, told):
    call = getattr(user.client(service), name)
    denied = REFUSALS.get(service, "AccessDenied")
    action = statement["Action"]
    user.may(allow("s3:*"))
    code, text = refusal(call, **arguments)
    assert code == denied and told.format(account=account) in text
    assert f"User: {user.arn} is not authorized to perform: " in text
    assert "because no identity-based policy allows the" in text
    user.may(statement)
    try:
        call(**arguments)
    except ClientError as error:
        # It may do it; whether there is such a thing is the handler's affair.
        assert error.response["Error"]["Code"] != denied
    user.may(statement, deny(*action))
    code, text = refusal(call, **arguments)
    assert code == denied and "with an explicit deny in an identity-based policy" in text


def test_resources_decide(daemon, account, user):
    user.may(allow("iam:*User*", on=f"arn:aws:iam::{account}:user/team/*"), allow("iam:GetUser", on=user.arn))
    iam, name = user.client("iam"), f"u-{uuid.uuid4().hex[:8]}"
    assert refusal(iam.create_user, UserName=name)[0] == "AccessDenied"
    iam.create_user(UserName=name, Path="/team/")
    assert iam.get_user()["User"]["UserName"] == user.name
    code, text = refusal(iam.create_access_key)
    assert code == "AccessDenied" and f"on resource: {user.arn} " in text
    # All resources must be allowed, not one of them.
    user.may(allow("ssm:GetParameters", on="arn:aws:ssm:*:*:parameter/app/*"))
    code, text = refusal(user.client("ssm").get_parameters, Names=["/app/a", "/db/b"])
    assert code == "AccessDeniedException" and "parameter/db/b" in text


def test_tags_decide(daemon, user):
    ec2 = daemon.client("ec2")

    def of_team(team):
        return [{"ResourceType": "vpc", "Tags": [{"Key": "team", "Value": team}]}]

    mine, other = (
        ec2.create_vpc(CidrBlock=block, TagSpecifications=of_team(team))["Vpc"]["VpcId"]
        for block, team in [("10.20.0.0/16", "blue"), ("10.21.0.0/16", "red")]
    )
    user.may(allow("ec2:DeleteVpc", StringEquals={"aws:ResourceTag/Team": "blue"}))
    client = user.client("ec2")
    assert refusal(client.delete_vpc, VpcId=other)[0] == "UnauthorizedOperation"
    # With a dry run too: who may not do it does not learn that it would have worked.
    assert refusal(client.delete_vpc, VpcId=other, DryRun=True)[0] == "UnauthorizedOperation"
    assert refusal(client.delete_vpc, VpcId=mine, DryRun=True)[0] == "DryRunOperation"
    client.delete_vpc(VpcId=mine)
    ec2.delete_vpc(VpcId=other)
    # What is asked to be tagged is asked of CreateTags as well, and of the tags themselves.
    blue = {"CidrBlock": "10.22.0.0/16", "TagSpecifications": of_team("blue")}
    user.may(allow("ec2:CreateVpc"))
    code, text = refusal(client.create_vpc, **blue)
    assert code == "UnauthorizedOperation" and "ec2:CreateTags" in text
    user.may(
        allow("ec2:CreateVpc", StringEquals={"aws:RequestTag/team": "blue"}),
        allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateVpc"}),
    )
    made = client.create_vpc(**blue)["Vpc"]["VpcId"]
    red = {"CidrBlock": "10.23.0.0/16", "TagSpecifications": of_team("red")}
    assert refusal(client.create_vpc, **red)[0] == "UnauthorizedOperation"
    code, text = refusal(client.create_tags, Resources=[made], Tags=[{"Key": "a", "Value": "b"}])
    assert code == "UnauthorizedOperation"
    ec2.delete_vpc(VpcId=made)


def test_conditions_of_the_request(daemon, user):
    client = user.client("ec2")
    for condition, allowed in [
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"StringLike": {"aws:UserAgent": "*Boto3*"}}, True),
        ({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, True),
        ({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}, False),
        ({"StringEquals": {"aws:username": user.name, "aws:PrincipalType": "User"}}, True),
        ({"ArnEquals": {"aws:PrincipalArn": user.arn}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"Null": {"aws:MultiFactorAuthPresent": "true", "aws:TokenIssueTime": "true"}}, True),
    ]:
        user.may({"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*", "Condition": condition})
        if allowed:
            client.describe_vpcs()
        else:
            assert refusal(client.describe_vpcs)[0] == "UnauthorizedOperation", condition


def test_a_boundary_bounds(daemon):
    bounded = User(
        daemon, allow("*"), PermissionsBoundary="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    )
    code, text = refusal(bounded.client("ec2").describe_instances)
    assert code == "UnauthorizedOperation"
    assert text.endswith("because no permissions boundary allows the ec2:DescribeInstances action")
    # What the boundary allows too is done, whether there is such a parameter or not.
    assert refusal(bounded.client("ssm").get_parameter, Name="/none")[0] == "ParameterNotFound"


def test_roles_are_passed_with_permission(daemon, account, user):
    iam = daemon.client("iam")
    arn = role(daemon, account, trust={"Principal": {"Service": "ec2.amazonaws.com"}})
    name = arn.rsplit("/", 1)[1]
    iam.create_instance_profile(InstanceProfileName=name)
    user.may(allow("iam:AddRoleToInstanceProfile"))
    add = {"InstanceProfileName": name, "RoleName": name}
    code, text = refusal(user.client("iam").add_role_to_instance_profile, **add)
    assert code == "AccessDenied" and f"iam:PassRole on resource: {arn} " in text
    user.may(allow("iam:AddRoleToInstanceProfile"), allow("iam:PassRole", on=arn))
    user.client("iam").add_role_to_instance_profile(**add)
    image = daemon.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    user.may(allow("ec2:*"))
    run = {
        "ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "DryRun": True,
        "IamInstanceProfile": {"Name": name},
    }
    code, text = refusal(user.client("ec2").run_instances, **run)
    assert code == "UnauthorizedOperation" and f"iam:PassRole on resource: {arn} " in text
    passing = allow("iam:PassRole", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    user.may(allow("ec2:*"), passing)
    assert refusal(user.client("ec2").run_instances, **run)[0] == "DryRunOperation"
    # The type that is launched is a condition of instances only.
    small = {"StringEqualsIfExists": {"ec2:InstanceType": "t3.nano"}}
    user.may(allow("ec2:*", **small), passing)
    code, text = refusal(user.client("ec2").run_instances, **run)
    assert code == "UnauthorizedOperation" and "ec2:RunInstances on resource: arn:aws:ec2:us-east-1" in text


def test_sessions_of_roles(daemon, account, user):
    arn = role(daemon, account, allow("ec2:DescribeVpcs", "ec2:DescribeSubnets"))
    user.may(allow("ec2:DescribeVpcs"))
    # The account is trusted: the caller's own policies decide.
    code, text = refusal(user.client("sts").assume_role, RoleArn=arn, RoleSessionName="run")
    assert code == "AccessDenied" and f"sts:AssumeRole on resource: {arn}" in text
    user.may(allow("sts:AssumeRole", on=arn))
    session = keys(user.client("sts").assume_role(RoleArn=arn, RoleSessionName="run")["Credentials"])
    client = daemon.client("ec2", credentials=session)
    client.describe_vpcs()
    assert refusal(client.describe_instances)[0] == "UnauthorizedOperation"
    identity = daemon.client("sts", credentials=session).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{account}:assumed-role/{arn.rsplit('/', 1)[1]}/run"
    # A session policy takes away and gives nothing.
    limited = assumed(daemon, arn, Policy=document(allow("ec2:DescribeSubnets", "ec2:DescribeInstances")))
    client = daemon.client("ec2", credentials=limited)
    client.describe_subnets()
    assert refusal(client.describe_instances)[0] == "UnauthorizedOperation"
    code, text = refusal(client.describe_vpcs)
    assert "because no session policy allows the ec2:DescribeVpcs action" in text
    # Without its token, or with another's, a session is nobody's.
    for token in (None, limited["Token"]):
        broken = {**session, "Token": token}
        code, _ = refusal(daemon.client("sts", credentials=broken).get_caller_identity)
        assert code == "InvalidClientTokenId"
    # It ends with its role.
    iam, name = daemon.client("iam"), arn.rsplit("/", 1)[1]
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    assert refusal(daemon.client("sts", credentials=session).get_caller_identity)[0] == "InvalidClientTokenId"


def test_sessions_expire(daemon, account):
    arn = role(daemon, account, allow("*"))
    session = assumed(daemon, arn, DurationSeconds=900)
    sts = daemon.client("sts", credentials=session)
    sts.get_caller_identity()

    def expired():
        try:
            sts.get_caller_identity()
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    # A quarter of an hour of service time.
    assert until(expired, 60, "the session to expire") == "ExpiredToken"
    assert refusal(daemon.client("ec2", credentials=session).describe_vpcs)[0] == "RequestExpired"


def test_a_users_session(daemon, user):
    user.may(allow("*"))
    session = keys(user.client("sts").get_session_token()["Credentials"])
    daemon.client("ec2", credentials=session).describe_vpcs()
    assert refusal(daemon.client("iam", credentials=session).list_users)[0] == "InvalidClientTokenId"
    assert refusal(daemon.client("sts", credentials=session).get_session_token)[0] == "AccessDenied"
    # It may do what its user may, as long as the user may.
    user.may(allow("s3:*"))
    assert refusal(daemon.client("ec2", credentials=session).describe_vpcs)[0] == "UnauthorizedOperation"


def test_encoded_messages(daemon, user):
    user.may(allow("s3:*"))
    instance = "i-00000000000000000"
    _, text = refusal(user.client("ec2").stop_instances, InstanceIds=[instance])
    encoded = text.split("Encoded authorization failure message: ")[1]
    assert user.name not in encoded and refusal(
        user.client("sts").decode_authorization_message, EncodedMessage=encoded
    )[0] == "AccessDenied"
    user.may(allow("sts:DecodeAuthorizationMessage"))
    decoded = user.client("sts").decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    context = json.loads(decoded)["context"]
    assert context["principal"]["arn"] == user.arn and context["action"] == "ec2:StopInstances"
    assert context["resource"].endswith(f":instance/{instance}")
    changed = ("B" if encoded[0] == "A" else "A") + encoded[1:]
    code, _ = refusal(user.client("sts").decode_authorization_message, EncodedMessage=changed)
    assert code == "InvalidAuthorizationMessageException"


def test_encrypted_parameters_need_their_key(daemon, account, user):
    kms, ssm = daemon.client("kms"), daemon.client("ssm")
    key = kms.create_key()["KeyMetadata"]
    parameter = {"Name": "/app/secret", "Value": "hush", "Type": "SecureString", "KeyId": key["KeyId"]}
    user.may(allow("ssm:*"))
    code, text = refusal(user.client("ssm").put_parameter, **parameter)
    assert code == "AccessDeniedException" and f"kms:Encrypt on resource: {key['Arn']} " in text
    ssm.put_parameter(**parameter)
    read = user.client("ssm").get_parameter
    read(Name="/app/secret")
    for name in ("/app/secret", f"arn:aws:ssm:us-east-1:{account}:parameter/app/secret"):
        code, text = refusal(read, Name=name, WithDecryption=True)
        assert code == "AccessDeniedException" and f"kms:Decrypt on resource: {key['Arn']} " in text
    assert refusal(user.client("ssm").get_parameters_by_path, Path="/app", WithDecryption=True)[0] == code
    via = {"StringEquals": {"kms:ViaService": "ssm.us-east-1.amazonaws.com"}}
    user.may(allow("ssm:*"), allow("kms:Decrypt", on=key["Arn"], **via))
    assert read(Name="/app/secret", WithDecryption=True)["Parameter"]["Value"] == "hush"
    # The key may be used through the service, and not directly.
    code, text = refusal(user.client("kms").describe_key, KeyId=key["KeyId"])
    assert code == "AccessDeniedException" and "kms:DescribeKey" in text
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    code, text = refusal(user.client("kms").decrypt, CiphertextBlob=sealed)
    assert code == "AccessDeniedException" and f"kms:Decrypt on resource: {key['Arn']} " in text
    # The key's own policy must allow as well: without the account in it, nothing else helps.
    user.may(allow("*"))
    user.client("kms").decrypt(CiphertextBlob=sealed)
    nobody = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document(nobody))
    code, text = refusal(user.client("kms").decrypt, CiphertextBlob=sealed)
    assert code == "AccessDeniedException" and "because no resource-based policy allows the kms:Decrypt action" in text


def test_keys_that_are_not_good(daemon):
    other = User(daemon, allow("*"))
    key = {"UserName": other.name, "AccessKeyId": other.keys["AccessKeyId"]}
    other.client("ec2").describe_vpcs()
    used = other.iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
    assert used["ServiceName"] == "ec2"
    other.iam.update_access_key(Status="Inactive", **key)
    for service, name, code in [
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("ssm", "list_commands", "UnrecognizedClientException"),
    ]:
        assert refusal(getattr(other.client(service), name))[0] == code, service
    other.iam.update_access_key(Status="Active", **key)
    other.client("ec2").describe_vpcs()
    other.iam.delete_access_key(**key)
    assert refusal(other.client("ec2").describe_vpcs)[0] == "AuthFailure"


def test_instances_may_what_their_role_may(daemon, account):
    from test_imds import credentials, launched

    iam = daemon.client("iam")
    trust = {"Principal": {"Service": "ec2.amazonaws.com"}}
    name = role(daemon, account, allow("ec2:DescribeVpcs"), trust=trust).rsplit("/", 1)[1]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    found = launched(daemon, IamInstanceProfile={"Name": name})
    client = daemon.client("ec2", credentials=credentials(daemon, found, name))
    client.describe_vpcs()
    for call, arguments in [
        (client.describe_instances, {}),
        (client.create_vpc, {"CidrBlock": "10.30.0.0/16"}),
        (client.terminate_instances, {"InstanceIds": [found["InstanceId"]]}),
        (client.run_instances, {"ImageId": found["ImageId"], "MinCount": 1, "MaxCount": 1}),
    ]:
        code, text = refusal(call, **arguments)
        assert code == "UnauthorizedOperation" and f":assumed-role/{name}/{found['InstanceId']}" in text
    assert refusal(
        daemon.client("iam", credentials=credentials(daemon, found, name)).list_users
    )[0] == "AccessDenied"
    # Another policy is in force at once.
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(allow("ec2:DescribeInstances")))
    client.describe_instances()
    assert refusal(client.describe_vpcs)[0] == "UnauthorizedOperation"
    daemon.client("ec2").terminate_instances(InstanceIds=[found["InstanceId"]])


def exported(text):
    return dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))


def signed_with(daemon, made):
    return {"AccessKeyId": made["AWS_ACCESS_KEY_ID"], "SecretAccessKey": made["AWS_SECRET_ACCESS_KEY"], "Token": None}


def test_the_command_makes_keys(daemon):
    name = f"cli-{uuid.uuid4().hex[:8]}"
    made = exported(daemon.run("credentials", "create", name, "--administrator").stdout)
    daemon.client("iam", credentials=signed_with(daemon, made)).list_users()
    listed = json.loads(daemon.run("credentials", "list", "--json").stdout)
    [entry] = [entry for entry in listed if entry["user"] == name]
    assert entry["access_key_id"] == made["AWS_ACCESS_KEY_ID"] and entry["status"] == "Active" and entry["last_used"]
    assert made["AWS_SECRET_ACCESS_KEY"] not in daemon.run("credentials", "list").stdout
    other = exported(daemon.run("credentials", "rotate", made["AWS_ACCESS_KEY_ID"]).stdout)
    daemon.client("iam", credentials=signed_with(daemon, other)).list_users()
    assert refusal(daemon.client("iam", credentials=signed_with(daemon, made)).list_users)[0] == "InvalidClientTokenId"
    daemon.run("credentials", "delete", other["AWS_ACCESS_KEY_ID"])
    assert refusal(daemon.client("iam", credentials=signed_with(daemon, other)).list_users)[0] == "InvalidClientTokenId"
    assert daemon.run("credentials", "delete", daemon.exports["AWS_ACCESS_KEY_ID"], check=False).returncode != 0


def test_the_administrators_key_is_replaced(daemon):
    before, old = dict(daemon.exports), daemon.client("sts")
    made = exported(daemon.run("credentials", "rotate").stdout)
    assert made["AWS_ACCESS_KEY_ID"] != before["AWS_ACCESS_KEY_ID"]
    assert refusal(old.get_caller_identity)[0] == "InvalidClientTokenId"
    daemon.exports = exported(daemon.run("env").stdout)
    assert daemon.exports["AWS_ACCESS_KEY_ID"] == made["AWS_ACCESS_KEY_ID"]
    assert daemon.client("sts").get_caller_identity()["Arn"].endswith(":root")
    assert (daemon.data / "credentials.json").stat().st_mode & 0o777 == 0o600
    daemon.run("status")


def test_a_limited_key_reaches_none_of_our_own_paths(daemon, user):
    """The administrator's paths are the installation's own key's, whatever a user's policy says."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    user.may(allow("*"))
    for path in ("/_elastane/status", "/_elastane/credentials/rotate", "/_elastane/reset"):
        method = "GET" if path.endswith("status") else "POST"
        request = AWSRequest(method=method, url=daemon.url + path)
        signer = Credentials(user.keys["AccessKeyId"], user.keys["SecretAccessKey"])
        SigV4Auth(signer, "elastane", "us-east-1").add_auth(request)
        status, _ = daemon.raw(b"" if method == "POST" else None, dict(request.headers), path, method)
        assert status == 403, path
    assert user.client("sts").get_caller_identity()["Arn"] == user.arn


def test_last_uses_outlive_the_daemon(daemon, account, user):
    arn = role(daemon, account, allow("ec2:DescribeVpcs"))
    name = arn.rsplit("/", 1)[1]

    def last():
        iam = daemon.client("iam")
        used = iam.get_access_key_last_used(AccessKeyId=user.keys["AccessKeyId"])["AccessKeyLastUsed"]
        return iam.get_role(RoleName=name)["Role"].get("RoleLastUsed"), used

    assert not last()[0]
    daemon.client("ec2", region="eu-west-1", credentials=assumed(daemon, arn)).describe_vpcs()
    user.client("sts", region="eu-west-1").get_caller_identity()
    of_role, of_key = last()
    assert of_role["Region"] == "eu-west-1" and of_role["LastUsedDate"]
    assert (of_key["Region"], of_key["ServiceName"]) == ("eu-west-1", "sts")
    daemon.stop()
    daemon.start()
    assert last() == (of_role, of_key)
    assert (daemon.data / "key-uses.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def fresh():
    if reason := why_not(PROCESS_USER):
        pytest.skip(reason)
    daemon = Daemon(PROCESS_USER)
    yield daemon
    daemon.destroy()


def started(daemon, stdout, *options):
    """Starts a daemon whose output goes there; it is ended when it is not ready in time."""
    command = daemon.command(
        "up", "--data-dir", str(daemon.data), "--listen", "127.0.0.1:0", "--driver", "process", *options
    )
    with open(daemon.log, "ab") as log:
        daemon.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=log, text=True, cwd=daemon.home,
            env=daemon.environment(), start_new_session=True,
        )
    watchdog = threading.Timer(READY_LIMIT_S, daemon.process.kill)
    watchdog.start()
    return daemon.process, watchdog


def said_until_ready(process, watchdog):
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ready:"):
            break
    watchdog.cancel()
    assert said[-1].startswith("Ready:"), said
    return "".join(said)


def test_the_first_key_is_shown_once_and_on_a_terminal_only(fresh):
    """A log never has it; whoever starts the first daemon at a terminal sees it."""
    main, side = pty.openpty()
    _, watchdog = started(fresh, side)
    os.close(side)
    told = b""
    while b"Ready:" not in told:
        told += os.read(main, 4096)
    watchdog.cancel()
    stored = json.loads((fresh.data / "credentials.json").read_text())
    assert stored["secret_key"].encode() in told and stored["access_key"].encode() in told
    assert (fresh.data / "credentials.json").stat().st_mode & 0o777 == 0o600
    fresh.stop()
    os.close(main)
    assert stored["secret_key"] not in said_until_ready(*started(fresh, subprocess.PIPE))


def test_without_authentication_it_stays_on_this_machine(fresh):
    done = fresh.run("up", "--listen", "0.0.0.0:0", "--expose", "--auth", "off", "--driver", "process", check=False)
    assert done.returncode != 0 and "--auth off is for loopback addresses only" in done.stderr
    assert "WARNING: --auth off" in said_until_ready(*started(fresh, subprocess.PIPE, "--auth", "off"))
