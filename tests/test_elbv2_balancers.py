"""Load balancers of both families as clients make, read, change and delete them; and that no operation of the service is
without a test of this kind."""

import re
from pathlib import Path

import pytest

from elastane import ROOT
from test_ec2_vpc import code_of, paged

ZEROS = "0" * 16


@pytest.fixture(scope="module")
def lb(daemon):
    return daemon.client("elbv2")


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def subnets(ec2):
    rows = sorted(ec2.describe_subnets()["Subnets"], key=lambda row: row["AvailabilityZone"])
    return [row["SubnetId"] for row in rows]


@pytest.fixture
def shop(lb, subnets):
    made = lb.create_load_balancer(Name="shop", Subnets=subnets[:2], Tags=[{"Key": "Team", "Value": "shop"}])
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    yield arn
    lb.delete_load_balancer(LoadBalancerArn=arn)


def values(attributes):
    return {one["Key"]: one["Value"] for one in attributes}


def test_every_operation_has_a_test():
    coverage = (ROOT / "docs/coverage.md").read_text()
    section = coverage.split("\n## Elastic Load Balancing")[1].split("\n## ")[0]
    # As botocore names them.
    words = [re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name) for name in re.findall(r"^- (\w+)", section, re.M)]
    names = {word.replace("SSLPolicies", "ssl_policies").lower().replace("__", "_") for word in words}
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    assert {name for name in names if name not in tests} == set()


def test_an_application_load_balancer_from_beginning_to_end(lb, ec2, subnets):
    made = lb.create_load_balancer(Name="whole", Subnets=subnets[:2])["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    lb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
    assert (made["Type"], made["Scheme"], made["IpAddressType"]) == ("application", "internet-facing", "ipv4")
    assert [zone["SubnetId"] for zone in made["AvailabilityZones"]] == subnets[:2]
    assert lb.create_load_balancer(Name="whole", Subnets=subnets[:2])["LoadBalancers"] == [made]
    assert code_of(lb.create_load_balancer, Name="whole", Subnets=subnets[:2], Scheme="internal") == (
        "DuplicateLoadBalancerName"
    )
    name = "ELB " + arn.split("loadbalancer/")[1]
    own = [{"Name": "description", "Values": [name]}]
    assert len(ec2.describe_network_interfaces(Filters=own)["NetworkInterfaces"]) == 2
    lb.delete_load_balancer(LoadBalancerArn=arn)
    lb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn])
    assert code_of(lb.describe_load_balancers, LoadBalancerArns=[arn]) == "LoadBalancerNotFound"
    assert ec2.describe_network_interfaces(Filters=own)["NetworkInterfaces"] == []


def test_lists_and_limits_come_in_pages(lb, subnets):
    arns = [
        lb.create_load_balancer(Name=f"page-{n}", Subnets=subnets[:1], Type="network")["LoadBalancers"][0]
        for n in range(6)
    ]
    assert paged(lb, "describe_load_balancers", "LoadBalancers")[0] >= 2
    assert paged(lb, "describe_account_limits", "Limits")[0] >= 3
    for one in arns:
        lb.delete_load_balancer(LoadBalancerArn=one["LoadBalancerArn"])


def test_attributes_of_both_families(lb, subnets, shop):
    shown = values(lb.describe_load_balancer_attributes(LoadBalancerArn=shop)["Attributes"])
    assert (shown["idle_timeout.timeout_seconds"], shown["routing.http2.enabled"]) == ("60", "true")
    changed = lb.modify_load_balancer_attributes(
        LoadBalancerArn=shop, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "61"}]
    )["Attributes"]
    assert values(changed) == {**shown, "idle_timeout.timeout_seconds": "61"}
    unknown = {"LoadBalancerArn": shop, "Attributes": [{"Key": "x.y", "Value": "1"}]}
    assert code_of(lb.modify_load_balancer_attributes, **unknown) == "ValidationError"
    flows = lb.create_load_balancer(Name="flows", Subnets=subnets[:1], Type="network")["LoadBalancers"][0]
    shown = values(lb.describe_load_balancer_attributes(LoadBalancerArn=flows["LoadBalancerArn"])["Attributes"])
    assert (shown["load_balancing.cross_zone.enabled"], "idle_timeout.timeout_seconds" in shown) == ("false", False)
    lb.delete_load_balancer(LoadBalancerArn=flows["LoadBalancerArn"])


def test_deletion_protection(lb, shop):
    def protect(value):
        lb.modify_load_balancer_attributes(
            LoadBalancerArn=shop, Attributes=[{"Key": "deletion_protection.enabled", "Value": value}]
        )

    protect("true")
    assert code_of(lb.delete_load_balancer, LoadBalancerArn=shop) == "OperationNotPermitted"
    protect("false")


def test_subnets_groups_and_address_types(lb, ec2, subnets, shop):
    zones = lb.set_subnets(LoadBalancerArn=shop, Subnets=subnets[1:3])["AvailabilityZones"]
    assert [zone["SubnetId"] for zone in zones] == subnets[1:3]
    assert code_of(lb.set_subnets, LoadBalancerArn=shop, Subnets=subnets[:1]) == "ValidationError"
    groups = [row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]][:1]
    assert lb.set_security_groups(LoadBalancerArn=shop, SecurityGroups=groups)["SecurityGroupIds"] == groups
    assert code_of(lb.set_security_groups, LoadBalancerArn=shop, SecurityGroups=["sg-0"]) == "InvalidSecurityGroup"
    assert lb.set_ip_address_type(LoadBalancerArn=shop, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    assert code_of(lb.set_ip_address_type, LoadBalancerArn=shop, IpAddressType="ipv6") == "ValidationError"
    lb.modify_ip_pools(LoadBalancerArn=shop, RemoveIpamPools=["ipv4"])


def test_elastic_ips_of_a_network_load_balancer(lb, ec2, subnets):
    address = ec2.allocate_address()
    mapping = [{"SubnetId": subnets[0], "AllocationId": address["AllocationId"]}]
    made = lb.create_load_balancer(Name="outer", SubnetMappings=mapping, Type="network")["LoadBalancers"][0]
    shown = made["AvailabilityZones"][0]["LoadBalancerAddresses"][0]
    assert (shown["AllocationId"], shown["IpAddress"]) == (address["AllocationId"], address["PublicIp"])
    assert code_of(ec2.release_address, AllocationId=address["AllocationId"]) == "InvalidIPAddress.InUse"
    lb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    ec2.release_address(AllocationId=address["AllocationId"])


def test_capacity_reservations(lb, shop):
    found = lb.describe_capacity_reservation(LoadBalancerArn=shop)
    assert found["DecreaseRequestsRemaining"] == 2 and "MinimumLoadBalancerCapacity" not in found
    made = lb.modify_capacity_reservation(LoadBalancerArn=shop, MinimumLoadBalancerCapacity={"CapacityUnits": 100})
    assert made["MinimumLoadBalancerCapacity"] == {"CapacityUnits": 100}
    assert {zone["State"]["Code"] for zone in made["CapacityReservationState"]} == {"provisioned"}
    reset = lb.modify_capacity_reservation(LoadBalancerArn=shop, ResetCapacityReservation=True)
    assert reset["DecreaseRequestsRemaining"] == 1 and "MinimumLoadBalancerCapacity" not in reset


def test_tags(lb, shop):
    lb.add_tags(ResourceArns=[shop], Tags=[{"Key": "Stage", "Value": "test"}])
    lb.remove_tags(ResourceArns=[shop], TagKeys=["Team"])
    described = lb.describe_tags(ResourceArns=[shop])["TagDescriptions"]
    assert described == [{"ResourceArn": shop, "Tags": [{"Key": "Stage", "Value": "test"}]}]
    missing = shop[:-16] + ZEROS
    assert code_of(lb.describe_tags, ResourceArns=[missing]) == "LoadBalancerNotFound"
    assert code_of(lb.describe_load_balancer_attributes, LoadBalancerArn=missing) == "LoadBalancerNotFound"
    lb.delete_load_balancer(LoadBalancerArn=missing)
