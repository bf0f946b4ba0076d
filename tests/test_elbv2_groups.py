"""Target groups and targets as clients make, read, change and delete them."""

import pytest

from test_ec2_vpc import code_of, paged
from test_elbv2_balancers import ZEROS, ec2, lb, values

FIXTURES = (ec2, lb)  # pytest finds them by their names here


@pytest.fixture(scope="module")
def vpc(ec2):
    return ec2.describe_vpcs()["Vpcs"][0]["VpcId"]


@pytest.fixture
def group(lb, vpc):
    made = lb.create_target_group(Name="group", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]
    yield made["TargetGroupArn"]
    lb.delete_target_group(TargetGroupArn=made["TargetGroupArn"])


def test_a_target_group_from_beginning_to_end(lb, vpc):
    wanted = {"Name": "whole", "Protocol": "HTTP", "Port": 80, "VpcId": vpc}
    made = lb.create_target_group(**wanted)["TargetGroups"][0]
    arn = made["TargetGroupArn"]
    assert (made["HealthCheckTimeoutSeconds"], made["Matcher"]) == (5, {"HttpCode": "200"})
    assert lb.create_target_group(**wanted)["TargetGroups"] == [made]
    assert code_of(lb.create_target_group, **{**wanted, "Port": 81}) == "DuplicateTargetGroupName"
    assert lb.describe_target_groups(Names=["whole"])["TargetGroups"] == [made]
    changed = lb.modify_target_group(TargetGroupArn=arn, HealthCheckPath="/ready", Matcher={"HttpCode": "200-299"})
    expected = {**made, "HealthCheckPath": "/ready", "Matcher": {"HttpCode": "200-299"}}
    assert changed["TargetGroups"] == [expected]
    lb.delete_target_group(TargetGroupArn=arn)
    assert code_of(lb.describe_target_groups, TargetGroupArns=[arn]) == "TargetGroupNotFound"
    assert code_of(lb.modify_target_group, TargetGroupArn=arn, HealthCheckPath="/") == "TargetGroupNotFound"
    lb.delete_target_group(TargetGroupArn=arn)


@pytest.mark.parametrize(
    ("protocol", "version", "shown"),
    [
        ("HTTPS", "HTTP2", {"ProtocolVersion": "HTTP2", "HealthCheckProtocol": "HTTP"}),
        ("HTTP", "GRPC", {"HealthCheckPath": "/AWS.ALB/healthcheck", "Matcher": {"GrpcCode": "12"}}),
        ("TCP", None, {"HealthCheckProtocol": "TCP", "HealthCheckTimeoutSeconds": 10}),
        ("TLS", None, {"HealthCheckProtocol": "TCP"}),
        ("UDP", None, {"HealthCheckProtocol": "TCP"}),
        ("TCP_UDP", None, {"HealthCheckProtocol": "TCP"}),
    ],
)
def test_protocols(lb, vpc, protocol, version, shown):
    optional = {"ProtocolVersion": version} if version else {}
    made = lb.create_target_group(Name="proto", Protocol=protocol, Port=80, VpcId=vpc, **optional)["TargetGroups"][0]
    assert {key: made.get(key) for key in shown} == shown
    assert ("ProtocolVersion" in made) == (version is not None)
    lb.delete_target_group(TargetGroupArn=made["TargetGroupArn"])


def test_lists_come_in_pages(lb, vpc):
    made = [
        lb.create_target_group(Name=f"page-{n}", Protocol="TCP", Port=80, VpcId=vpc)["TargetGroups"][0] for n in range(6)
    ]
    assert paged(lb, "describe_target_groups", "TargetGroups")[0] >= 2
    for one in made:
        lb.delete_target_group(TargetGroupArn=one["TargetGroupArn"])


def test_attributes(lb, group):
    shown = values(lb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"])
    assert (shown["deregistration_delay.timeout_seconds"], shown["stickiness.type"]) == ("300", "lb_cookie")
    changed = lb.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "slow_start.duration_seconds", "Value": "30"}]
    )["Attributes"]
    assert values(changed) == {**shown, "slow_start.duration_seconds": "30"}
    random = [{"Key": "load_balancing.algorithm.type", "Value": "weighted_random"}]
    assert code_of(lb.modify_target_group_attributes, TargetGroupArn=group, Attributes=random) == (
        "InvalidConfigurationRequest"
    )


def test_targets(lb, ec2, group):
    subnet = ec2.describe_subnets()["Subnets"][0]
    address = subnet["CidrBlock"].rsplit(".", 1)[0] + ".99"
    targets = [{"Id": address}, {"Id": address, "Port": 81}]
    lb.register_targets(TargetGroupArn=group, Targets=targets)

    def health(**arguments):
        return lb.describe_target_health(TargetGroupArn=group, **arguments)["TargetHealthDescriptions"]

    shown = health(Include=["AnomalyDetection"])
    assert sorted(one["Target"]["Port"] for one in shown) == [80, 81]
    assert {one["Target"]["AvailabilityZone"] for one in shown} == {subnet["AvailabilityZone"]}
    assert {(one["TargetHealth"]["State"], one["TargetHealth"]["Reason"]) for one in shown} == {
        ("unused", "Target.NotInUse")
    }
    assert {one["AnomalyDetection"]["Result"] for one in shown} == {"normal"}
    assert health(Targets=[{"Id": address, "Port": 82}])[0]["TargetHealth"]["Reason"] == "Target.NotRegistered"
    lb.deregister_targets(TargetGroupArn=group, Targets=targets[:1])
    assert {one["Target"]["Port"]: one["TargetHealth"]["State"] for one in health()} == {80: "draining", 81: "unused"}
    outside = {"TargetGroupArn": group, "Targets": [{"Id": "8.8.8.8"}]}
    assert code_of(lb.register_targets, **outside) == "InvalidTarget"
    missing = group[:-16] + ZEROS
    assert code_of(lb.register_targets, TargetGroupArn=missing, Targets=targets) == "TargetGroupNotFound"
    assert code_of(lb.describe_target_health, TargetGroupArn=missing) == "TargetGroupNotFound"
