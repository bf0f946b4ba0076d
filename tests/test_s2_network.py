"""Scenario S2, its network and metadata lines: two tiers in private subnets of two zones behind one load balancer, which
tells them apart by path. Only
the load balancer gets to them; they get out through a NAT gateway alone; a zone fails. Steps build on each other."""

import base64
import json
import urllib.parse
import urllib.request
from types import SimpleNamespace

import pytest

import elastane
from elastane import until
from load import Load

SETUPS = [elastane.SANDBOX_ROOT]
TIME_SCALE = 60
TIERS = {"backend": 8000, "frontend": 3000}
# What leads to each tier: a rule of the one listener, and its default.
PATHS = {"backend": "/api/", "frontend": "/"}
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})
APPLICATION = """#!/bin/sh
mkdir -p /srv/www/api && cd /srv/www
echo {tier} > index.html; echo {tier} > api/index.html; echo ok > health
exec python3 -m http.server {port}
"""
CONNECT = "import socket; s = socket.socket(); s.settimeout({limit}); print(s.connect_ex(({address!r}, {port})))"
# From inside, a packet that is filtered is not answered: EAGAIN is what a socket with a time limit says then.
NOT_ANSWERED = "11"
# This machine as instances see it: the internet, as far as there is one.
HOST = "198.18.0.1"
TOKEN = 'T=$(curl -sf -X PUT http://169.254.169.254/latest/api/token -H "X-aws-ec2-metadata-token-ttl-seconds: 60")\n'
ASK = 'curl -sf -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/meta-data/'


@pytest.fixture(scope="module")
def run():
    return SimpleNamespace(broken=None)


@pytest.fixture(autouse=True)
def step(daemon, run, request):
    if run.broken:
        pytest.skip(f"{run.broken} failed before")
    run.broken = request.node.name
    yield
    if getattr(request.node, "passed", False):
        run.broken = None


def test_1_a_network_of_two_zones(daemon, run):
    ec2 = daemon.client("ec2")
    region = daemon.exports["AWS_DEFAULT_REGION"]
    run.zones = [f"{region}a", f"{region}b"]
    run.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=run.vpc)
    subnet = lambda third, zone: ec2.create_subnet(
        VpcId=run.vpc, CidrBlock=f"10.0.{third}.0/24", AvailabilityZone=zone
    )["Subnet"]["SubnetId"]
    run.public = [subnet(third, zone) for third, zone in zip((0, 1), run.zones)]
    run.private = [subnet(third, zone) for third, zone in zip((10, 11), run.zones)]
    address = ec2.allocate_address(Domain="vpc")
    run.nat_ip = address["PublicIp"]
    nat = ec2.create_nat_gateway(SubnetId=run.public[0], AllocationId=address["AllocationId"])["NatGateway"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat["NatGatewayId"]], WaiterConfig={"Delay": 1})
    run.tables = {}
    for name, subnets, target in [
        ("public", run.public, {"GatewayId": gateway}),
        ("private", run.private, {"NatGatewayId": nat["NatGatewayId"]}),
    ]:
        table = ec2.create_route_table(VpcId=run.vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
        for one in subnets:
            ec2.associate_route_table(RouteTableId=table, SubnetId=one)
        run.tables[name] = table


def test_2_groups_behind_one_load_balancer(daemon, run):
    ec2, elb, iam = daemon.client("ec2"), daemon.client("elbv2"), daemon.client("iam")
    edge = ec2.create_security_group(GroupName="edge", Description="HTTP", VpcId=run.vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=edge, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="app")
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    run.balancer = elb.create_load_balancer(Name="web", Subnets=run.public, SecurityGroups=[edge])["LoadBalancers"][0]
    run.groups = {}
    for tier, port in TIERS.items():
        group = ec2.create_security_group(GroupName=tier, Description=tier, VpcId=run.vpc)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": edge}]}],
        )
        run.groups[tier] = SimpleNamespace(group=group, target_group=make_tier(daemon, run, tier, port, group))
    front = elb.create_listener(
        LoadBalancerArn=run.balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": run.groups["frontend"].target_group}],
    )["Listeners"][0]["ListenerArn"]
    elb.create_rule(
        ListenerArn=front, Priority=10, Actions=[{"Type": "forward", "TargetGroupArn": run.groups["backend"].target_group}],
        Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*"]}}],
    )
    for tier, port in TIERS.items():
        until(lambda: len(healthy(elb, run.groups[tier].target_group)) == 2, 90, f"two healthy {tier}s")
        assert page(daemon, run, tier) == tier


def make_tier(daemon, run, tier, port, group):
    ec2, elb, autoscaling = daemon.client("ec2"), daemon.client("elbv2"), daemon.client("autoscaling")
    target_group = elb.create_target_group(
        Name=tier, Protocol="HTTP", Port=port, VpcId=run.vpc, HealthCheckPath="/health",
        HealthCheckIntervalSeconds=10, HealthyThresholdCount=2, UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName=tier,
        LaunchTemplateData={
            "ImageId": image, "InstanceType": "t3.small", "SecurityGroupIds": [group],
            "IamInstanceProfile": {"Name": "app"},
            "MetadataOptions": {
                "HttpTokens": "required", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "enabled",
            },
            "UserData": encoded(APPLICATION.format(tier=tier, port=port)),
        },
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=tier, LaunchTemplate={"LaunchTemplateName": tier, "Version": "$Latest"},
        MinSize=2, MaxSize=4, VPCZoneIdentifier=",".join(run.private), TargetGroupARNs=[target_group],
        HealthCheckType="ELB", HealthCheckGracePeriod=300,
        Tags=[{"Key": "Tier", "Value": tier, "PropagateAtLaunch": True}],
    )
    return target_group


def test_3_instances_are_spread_over_both_zones_without_public_addresses(daemon, run):
    for tier in TIERS:
        placed = lambda: sorted(instance["Placement"]["AvailabilityZone"] for instance in members(daemon, tier))
        until(lambda: placed() == run.zones, 60, lambda: f"one {tier} in each zone: {placed()}")
        found = members(daemon, tier)
        assert all("PublicIpAddress" not in instance for instance in found)
        assert {instance["PrivateIpAddress"].rsplit(".", 1)[0] for instance in found} == {"10.0.10", "10.0.11"}


def test_4_a_neighbour_is_dropped_and_there_is_no_port_22(daemon, run):
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    neighbour = ec2.run_instances(
        ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=run.private[0]
    )["Instances"][0]["InstanceId"]
    until(lambda: daemon.instances().get(neighbour, {}).get("state") == "running", 30, "the neighbour to run")
    backend = members(daemon, "backend")[0]["PrivateIpAddress"]
    for port in (TIERS["backend"], 22):
        assert inside(daemon, neighbour, python(CONNECT.format(address=backend, port=port, limit=2))) == NOT_ANSWERED
    # What is allowed gets through at once, and what is forbidden again does not.
    own = ec2.describe_instances(InstanceIds=[neighbour])["Reservations"][0]["Instances"][0]["SecurityGroups"][0]
    rule = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "UserIdGroupPairs": [{"GroupId": own["GroupId"]}]}
    ec2.authorize_security_group_ingress(GroupId=run.groups["backend"].group, IpPermissions=[rule])
    connect = python(CONNECT.format(address=backend, port=8000, limit=2))
    until(lambda: inside(daemon, neighbour, connect) == "0", 10, "the rule to let the neighbour in")
    ec2.revoke_security_group_ingress(GroupId=run.groups["backend"].group, IpPermissions=[rule])
    until(lambda: inside(daemon, neighbour, connect) == NOT_ANSWERED, 10, "the rule to be gone")
    run.neighbour = neighbour


def test_5_the_way_out_is_the_nat_gateway(daemon, run):
    outside = elastane.Listener(HOST)
    try:
        connect = python(CONNECT.format(address=outside.address, port=outside.port, limit=2))
        backend = members(daemon, "backend")[0]["InstanceId"]
        until(lambda: inside(daemon, backend, connect) == "0", 10, "the way out")
        until(outside.peers, 10, "somebody to come out")
        assert outside.peers() == {run.nat_ip}
        ec2 = daemon.client("ec2")
        ec2.delete_route(RouteTableId=run.tables["private"], DestinationCidrBlock="0.0.0.0/0")
        until(lambda: inside(daemon, backend, connect) != "0", 10, "no way out without a route")
    finally:
        outside.close()


def test_6_metadata_wants_tokens_and_knows_tags_and_the_role(daemon, run):
    instance = members(daemon, "backend")[0]["InstanceId"]
    status = "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    assert inside(daemon, instance, status) == "401"
    assert inside(daemon, instance, TOKEN + ASK + "tags/instance/Tier") == "backend"
    assert inside(daemon, instance, TOKEN + ASK + "iam/security-credentials/") == "app"
    read = lambda: json.loads(inside(daemon, instance, TOKEN + ASK + "iam/security-credentials/app"))
    first = read()
    assert first["Code"] == "Success" and first["AccessKeyId"].startswith("ASIA")
    # Six hours are six minutes on this clock: they are renewed well before that.
    identity = daemon.client("sts", credentials=first).get_caller_identity()
    assert identity["Arn"].endswith(f":assumed-role/app/{instance}")
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        daemon.client("ec2", credentials=first).run_instances(ImageId="ami-0e1a57a9e00000001", MinCount=1, MaxCount=1)


def test_7_a_zone_fails_and_the_other_serves_on(daemon, run):
    elb = daemon.client("elbv2")
    lost, kept = run.zones
    cut = members_in(daemon, "backend", lost)
    daemon.run("chaos", "zone-outage", lost)
    target_group = run.groups["backend"].target_group
    until(lambda: not healthy(elb, target_group) & cut, 60, "the lost zone's targets to be unhealthy")
    load = Load(listener(daemon), host=run.balancer["DNSName"], path=PATHS["backend"], workers=2, rate=50)
    with load:
        until(
            lambda: len(members_in(daemon, "backend", kept) & healthy(elb, target_group)) >= 2, 120,
            "the group to have its minimum in the zone that is left",
        )
        until(lambda: load.snapshot().answered > 20, 30, "enough requests to judge by")
    assert load.seen.failures == [] and set(load.seen.statuses) == {200}, load.seen
    daemon.run("chaos", "zone-outage", lost, "--end")
    until(lambda: page(daemon, run, "frontend") == "frontend", 30, "both zones again")


def members(daemon, tier):
    found = daemon.client("ec2").describe_instances(Filters=[
        {"Name": "tag:aws:autoscaling:groupName", "Values": [tier]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ])
    return [instance for reservation in found["Reservations"] for instance in reservation["Instances"]]


def members_in(daemon, tier, zone):
    found = members(daemon, tier)
    return {instance["InstanceId"] for instance in found if instance["Placement"]["AvailabilityZone"] == zone}


def healthy(elb, target_group):
    found = elb.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    return {target["Target"]["Id"] for target in found if target["TargetHealth"]["State"] == "healthy"}


def listener(daemon):
    balancer = next(one for one in daemon.status()["load_balancers"] if one["name"] == "web")
    found = urllib.parse.urlsplit(balancer["urls"][0])
    return found.hostname, found.port or 80


def page(daemon, run, tier):
    address, port = listener(daemon)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}:{port}{PATHS[tier]}", timeout=10) as answer:
        return answer.read().decode().strip()


def inside(daemon, instance, script):
    return daemon.shell([instance], script)[instance].strip()


def python(program):
    return f'python3 -c "{program}"'


def encoded(text):
    return base64.b64encode(text.encode()).decode()
