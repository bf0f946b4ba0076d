"""Scenario S2, its security lines, in their order: what the instances' role may not do from inside, credentials that
rotate, no SSH, a shell through Session Manager instead, and all of it in the trail. Steps build on each other. The
policies are those of the scenario's document."""

import base64
import json
import socket
import threading
from datetime import datetime
from types import SimpleNamespace

import pytest

import elastane
from elastane import BUSY, until
from session_client import ShellSession
from test_access import User, document
from test_s2_network import ASK, CONNECT, HOST, NOT_ANSWERED, TIERS, TOKEN, TRUST, inside, python, step  # noqa: F401

SETUPS = [elastane.SANDBOX_ROOT]
# Credentials rotate every five hours; the steps after that are taken at the pace of people.
TIME_SCALE = 600
PEOPLE = ["--time-scale", "1"]
LIMIT_S = 20 * BUSY
CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
APPLICATION = "#!/bin/sh\nmkdir -p /srv/www && cd /srv/www && echo ok > health && exec python3 -m http.server {port}\n"
# What people who connect need, as the document has it.
OPERATORS = {
    "Effect": "Allow", "Action": ["ssm:StartSession", "ssm:TerminateSession"],
    "Resource": ["arn:aws:ec2:*:*:instance/*", "arn:aws:ssm:*:*:session/${aws:username}-*"],
}
# A signed request with the role's credentials of this moment, as any program in the instance can make it.
CALL = TOKEN + """C=$(curl -sf -H "X-aws-ec2-metadata-token: $T" \
http://169.254.169.254/latest/meta-data/iam/security-credentials/app)
field() {{ printf %s "$C" | sed -n "s/.*\\"$1\\" *: *\\"\\([^\\"]*\\)\\".*/\\1/p"; }}
curl -s -w '\\n%{{http_code}}' --aws-sigv4 'aws:amz:us-east-1:{service}' \
--user "$(field AccessKeyId):$(field SecretAccessKey)" -H "X-Amz-Security-Token: $(field Token)" {more} {url}/
"""
# Services of the query protocol, and their versions.
VERSIONS = {
    "ec2": "2016-11-15", "autoscaling": "2011-01-01", "elasticloadbalancing": "2015-12-01", "iam": "2010-05-08",
}
CREATIONS = [
    ("ec2", "RunInstances", "ImageId=ami-0e1a57a9e00000001&MinCount=1&MaxCount=1"),
    ("ec2", "CreateSecurityGroup", "GroupName=mine&GroupDescription=mine"),
    ("ec2", "TerminateInstances", "InstanceId.1={instance}"),
    ("autoscaling", "CreateAutoScalingGroup", "AutoScalingGroupName=mine&MinSize=1&MaxSize=9&InstanceId={instance}"),
    ("elasticloadbalancing", "CreateLoadBalancer", "Name=mine&Subnets.member.1=subnet-0"),
    ("iam", "CreateUser", "UserName=mine"),
    ("iam", "AttachRolePolicy", "RoleName=app&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess"),
]


class Gate:
    """Where instances reach the API, as an operator may let them: a port of this machine as they see it."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.listening = socket.create_server((HOST, 0))
        self.url = f"http://{HOST}:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            host, port = self.daemon.url.removeprefix("http://").split(":")
            server = socket.create_connection((host, int(port)))
            for one, other in [(client, server), (server, client)]:
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


@pytest.fixture(scope="module")
def run():
    run = SimpleNamespace(broken=None, gate=None)
    yield run
    if run.gate:
        run.gate.close()


def test_1_two_tiers_with_a_role(daemon, run):
    ec2, iam = daemon.client("ec2"), daemon.client("iam")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="app", PolicyArn=CORE)
    iam.create_instance_profile(InstanceProfileName="app")
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    daemon.client("ssm").put_parameter(Name="/shop/greeting", Value="welcome", Type="String")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    edge = ec2.create_security_group(GroupName="edge", Description="HTTP")["GroupId"]
    run.tiers, run.groups = {}, {}
    for tier, port in TIERS.items():
        group = ec2.create_security_group(GroupName=tier, Description=tier)["GroupId"]
        source = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": edge}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=source)
        user_data = base64.b64encode(APPLICATION.format(port=port).encode()).decode()
        made = ec2.run_instances(
            ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SecurityGroupIds=[group],
            IamInstanceProfile={"Name": "app"}, UserData=user_data,
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        )["Instances"][0]
        run.tiers[tier], run.groups[tier] = made, group
    run.neighbour = ec2.run_instances(ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1)["Instances"][0]
    for instance in [*run.tiers.values(), run.neighbour]:
        until(lambda: daemon.instances()[instance["InstanceId"]]["state"] == "running", 60, "the instance to run")
    run.gate = Gate(daemon)


def test_2_creating_from_inside_is_denied(daemon, run):
    before = everything(daemon)
    backend = run.tiers["backend"]["InstanceId"]
    # What the role's policy has is done.
    status, answer = parameter(daemon, run, backend)
    assert status == 200 and json.loads(answer)["Parameter"]["Value"] == "welcome"
    for service, action, members in CREATIONS:
        data = f"Action={action}&Version={VERSIONS[service]}&{members.format(instance=backend)}"
        status, answer = call(daemon, run, backend, service, f"-d '{data}'")
        assert status == 403, answer
        assert f"assumed-role/app/{backend} is not authorized to perform: {service}:{action}" in answer
        assert "because no identity-based policy allows" in answer
    put = json.dumps({"Name": "/shop/greeting", "Value": "gone", "Type": "String", "Overwrite": True})
    status, answer = call(daemon, run, backend, "ssm", target("PutParameter", put))
    assert status == 400 and "AccessDeniedException" in answer and "ssm:PutParameter" in answer
    assert everything(daemon) == before


def test_3_credentials_rotate_before_they_expire(daemon, run):
    backend = run.tiers["backend"]["InstanceId"]
    read = lambda: json.loads(inside(daemon, backend, TOKEN + ASK + "iam/security-credentials/app"))
    first = read()
    following = lambda: (got := read())["AccessKeyId"] != first["AccessKeyId"] and got
    second = until(following, 90, "other credentials", poll_s=0.5)
    at = lambda text: datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    assert (at(first["Expiration"]) - at(second["LastUpdated"])).total_seconds() >= 300
    # Whoever reads them when they are needed notices nothing.
    status, answer = parameter(daemon, run, backend)
    assert status == 200, answer
    sts = daemon.client("sts", credentials=second)
    assert sts.get_caller_identity()["Arn"].endswith(f":assumed-role/app/{backend}")


def test_4_there_is_no_ssh(daemon, run):
    # The rest is at the pace of people, and of what a new daemon finds.
    daemon.stop()
    daemon.options = PEOPLE
    daemon.start()
    ec2 = daemon.client("ec2")
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": list(run.groups.values())}])
    inward = [rule for rule in rules["SecurityGroupRules"] if not rule["IsEgress"]]
    opened = sorted((rule["FromPort"], rule["ToPort"]) for rule in inward)
    assert opened == [(port, port) for port in sorted(TIERS.values())]
    for instance in run.tiers.values():
        listening = "awk '$2 ~ /:0016$/' /proc/net/tcp /proc/net/tcp6"
        assert until(lambda: command(daemon, instance["InstanceId"], listening), 60, "the agent")[0] == ""
        assert "KeyName" not in instance
        connect = python(CONNECT.format(address=instance["PrivateIpAddress"], port=22, limit=2))
        assert until(lambda: command(daemon, run.neighbour["InstanceId"], connect), 60, "the agent")[0] == NOT_ANSWERED


def test_5_a_shell_through_session_manager(daemon, run):
    run.operator = User(daemon, OPERATORS)
    ssm, backend = run.operator.client("ssm"), run.tiers["backend"]["InstanceId"]
    started = ssm.start_session(Target=backend, Reason="the shop is slow")
    run.session = started["SessionId"]
    assert run.session.startswith(f"{run.operator.name}-")
    with ShellSession.open(started, ssm=ssm, limit_s=LIMIT_S) as session:
        session.send(f"curl -s localhost:{TIERS['backend']}/health; echo st''ill $?\n".encode())
        assert "ok" in session.read_until("still 0", LIMIT_S)
        session.send(b"exit\n")
        session.ended(LIMIT_S)
    ssm.terminate_session(SessionId=run.session)
    # Other people's sessions are not theirs to end, and they may do nothing else.
    other = daemon.client("ssm").start_session(Target=backend)["SessionId"]
    script = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["id"]}}
    for refused, arguments in [
        (ssm.terminate_session, {"SessionId": other}), (ssm.send_command, {"InstanceIds": [backend], **script}),
    ]:
        with pytest.raises(ssm.exceptions.ClientError, match="AccessDeniedException"):
            refused(**arguments)
    daemon.client("ssm").terminate_session(SessionId=other)
    log = (daemon.data / "sessions" / f"{run.session}.log").read_bytes()
    assert b"the shop is slow" in log and b"still 0" in log


def test_6_all_of_it_is_in_the_trail(daemon, run):
    backend = run.tiers["backend"]["InstanceId"]
    for service, action, _ in CREATIONS:
        [refused] = [one for one in events(daemon, action) if one["userIdentity"]["type"] == "AssumedRole"]
        assert refused["userIdentity"]["arn"].endswith(f":assumed-role/app/{backend}")
        assert refused["errorCode"] in ("AccessDenied", "UnauthorizedOperation") and refused["responseElements"] is None
        assert refused["eventSource"] == f"{service}.amazonaws.com" and refused["userAgent"].startswith("curl/")
    mine = [one for one in events(daemon, "StartSession") if one["userIdentity"].get("userName") == run.operator.name]
    assert [one["requestParameters"]["target"] for one in mine] == [backend]
    assert mine[0]["requestParameters"]["reason"] == "the shop is slow"
    assert mine[0]["responseElements"]["sessionId"] == run.session
    assert "tokenValue" not in mine[0]["responseElements"] or "HIDDEN" in mine[0]["responseElements"]["tokenValue"]
    ended = [one for one in events(daemon, "TerminateSession") if one["userIdentity"].get("userName") == run.operator.name]
    assert {one["requestParameters"]["sessionId"]: one.get("errorCode") for one in ended}[run.session] is None
    assert "AccessDeniedException" in {one.get("errorCode") for one in ended}
    # Secrets of all that are not in it, and nothing of it was changed.
    whole = b"".join(path.read_bytes() for path in (daemon.data / "audit").glob("trail-*.log"))
    assert run.operator.keys["SecretAccessKey"].encode() not in whole and b"curl -s localhost" not in whole
    last = daemon.run("audit", "verify").stdout.split("last hash: ")[1].strip()
    daemon.client("sts").get_caller_identity()
    daemon.run("audit", "verify", "--expect", last)


def call(daemon, run, instance, service, more):
    """A request from inside an instance: status and answer."""
    said = inside(daemon, instance, CALL.format(service=service, more=more, url=run.gate.url))
    answer, _, status = said.rpartition("\n")
    return int(status), answer


def target(operation, body):
    """Options of a request of Systems Manager."""
    kind = "application/x-amz-json-1.1"
    return f"-H 'X-Amz-Target: AmazonSSM.{operation}' -H 'Content-Type: {kind}' -d '{body}'"


def parameter(daemon, run, instance):
    return call(daemon, run, instance, "ssm", target("GetParameter", '{"Name":"/shop/greeting"}'))


def command(daemon, instance, script):
    """What a script says in an instance, in a list; nothing while no agent takes commands."""
    ssm = daemon.client("ssm")
    told = ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [instance]}])
    if [one["PingStatus"] for one in told["InstanceInformationList"]] != ["Online"]:
        return None
    return [inside(daemon, instance, script)]


def everything(daemon):
    """What there is of all that an instance might make."""
    ec2, scaling = daemon.client("ec2"), daemon.client("autoscaling")
    instances = [one for found in ec2.describe_instances()["Reservations"] for one in found["Instances"]]
    return (
        sorted((one["InstanceId"], one["State"]["Name"]) for one in instances),
        sorted(one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]),
        scaling.describe_auto_scaling_groups()["AutoScalingGroups"],
        daemon.client("elbv2").describe_load_balancers()["LoadBalancers"],
        [one["UserName"] for one in daemon.client("iam").list_users()["Users"]],
        daemon.client("iam").list_attached_role_policies(RoleName="app")["AttachedPolicies"],
        daemon.client("ssm").get_parameter(Name="/shop/greeting")["Parameter"]["Version"],
    )


def events(daemon, name):
    """The events of a name, the newest first."""
    asked = [{"AttributeKey": "EventName", "AttributeValue": name}]
    found = daemon.client("cloudtrail").lookup_events(LookupAttributes=asked)
    return [json.loads(one["CloudTrailEvent"]) for one in found["Events"]]
