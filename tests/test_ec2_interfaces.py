"""Network interfaces, Elastic IP addresses, NAT gateways, flow logs and placement groups as boto3 sees them.

Each operation: its success, its not-found code, and its pages or filters where it has them."""

import pytest
from botocore.exceptions import ClientError

from elastane import until

ENI, EIP, NAT, ASSOCIATION = "eni-0123456789abcdef0", "eipalloc-0123456789abcdef0", "nat-0123456789abcdef0", "eipassoc-0"


def code_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    assert 400 <= error["ResponseMetadata"]["HTTPStatusCode"] < 500, error
    assert error["Error"]["Message"], error
    return error["Error"]["Code"]


def where(**filters):
    """Filters by name, `_` for `-` and `__` for `.`."""
    return [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": value if isinstance(value, list) else [value]}
        for name, value in filters.items()
    ]


def tagged(kind, name):
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def subnet(ec2):
    """A default subnet, with an internet gateway on its VPC."""
    return ec2.describe_subnets(Filters=where(default_for_az="true"))["Subnets"][0]


@pytest.fixture(scope="module")
def instance(ec2, subnet):
    """A running instance of a type that may have three interfaces."""
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    one = {"InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1}
    run = ec2.run_instances(ImageId=image, SubnetId=subnet["SubnetId"], **one)
    id = run["Instances"][0]["InstanceId"]
    until(lambda: described(ec2, id)["State"]["Name"] == "running", 60, "the instance to run")
    yield id
    ec2.terminate_instances(InstanceIds=[id])


def described(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def interface(ec2, subnet, **arguments):
    made = ec2.create_network_interface(SubnetId=subnet["SubnetId"], **arguments)
    return made["NetworkInterface"]["NetworkInterfaceId"]


def shown(ec2, id):
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"][0]


def addresses(ec2, id):
    return [one["PrivateIpAddress"] for one in shown(ec2, id)["PrivateIpAddresses"]]


# -- interfaces


def test_an_interface_is_made_shown_and_deleted(ec2, subnet):
    made = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"], Description="spare", SecondaryPrivateIpAddressCount=2, ClientToken="interface-once",
        TagSpecifications=tagged("network-interface", "spare"),
    )["NetworkInterface"]
    id = made["NetworkInterfaceId"]
    again = ec2.create_network_interface(SubnetId=subnet["SubnetId"], ClientToken="interface-once")
    assert again["NetworkInterface"]["NetworkInterfaceId"] == id
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[id])
    found = shown(ec2, id)
    assert (found["Status"], found["InterfaceType"], found["SourceDestCheck"]) == ("available", "interface", True)
    assert [one["Primary"] for one in found["PrivateIpAddresses"]] == [True, False, False]
    assert found["PrivateIpAddresses"][0]["PrivateIpAddress"] == found["PrivateIpAddress"]
    assert found["Groups"][0]["GroupName"] == "default" and "Attachment" not in found
    assert found["TagSet"] == [{"Key": "Name", "Value": "spare"}]
    assert found["VpcId"] == subnet["VpcId"] and found["AvailabilityZone"] == subnet["AvailabilityZone"]
    ec2.delete_network_interface(NetworkInterfaceId=id)
    assert code_of(ec2.describe_network_interfaces, NetworkInterfaceIds=[id]) == "InvalidNetworkInterfaceID.NotFound"


def test_filters_and_pages_of_interfaces(ec2, subnet):
    ids = [interface(ec2, subnet, Description=f"page {number}") for number in range(7)]
    for filters, want in [
        (where(description="page *"), set(ids)),
        (where(description=["page 1", "page 2"]), set(ids[1:3])),
        (where(description="page *", status="in-use"), set()),
        (where(network_interface_id=ids[0], vpc_id=subnet["VpcId"], subnet_id=subnet["SubnetId"]), {ids[0]}),
        (where(addresses__private_ip_address=shown(ec2, ids[3])["PrivateIpAddress"]), {ids[3]}),
        (where(mac_address=shown(ec2, ids[4])["MacAddress"]), {ids[4]}),
    ]:
        pages = list(ec2.get_paginator("describe_network_interfaces").paginate(
            Filters=filters, PaginationConfig={"PageSize": 5},
        ))
        assert all(len(page["NetworkInterfaces"]) <= 5 for page in pages)
        found = [one["NetworkInterfaceId"] for page in pages for one in page["NetworkInterfaces"]]
        assert set(found) == want and len(found) == len(want), filters
    assert code_of(ec2.describe_network_interfaces, Filters=where(colour="red")) == "InvalidParameterValue"
    assert code_of(ec2.describe_network_interfaces, NextToken="forged") == "InvalidNextToken"
    for id in ids:
        ec2.delete_network_interface(NetworkInterfaceId=id)


def test_attributes_of_an_interface(ec2, subnet):
    id = interface(ec2, subnet)
    group = ec2.create_security_group(GroupName="eni", Description="eni", VpcId=subnet["VpcId"])["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": "front"})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Groups=[group])

    def read(attribute):
        return ec2.describe_network_interface_attribute(NetworkInterfaceId=id, Attribute=attribute)

    assert read("description")["Description"]["Value"] == "front"
    assert read("sourceDestCheck")["SourceDestCheck"]["Value"] is False
    assert [one["GroupId"] for one in read("groupSet")["Groups"]] == [group]
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=id)
    ec2.delete_security_group(GroupId=group)


def test_attached_and_detached(ec2, subnet, instance):
    id = interface(ec2, subnet)
    attachment = ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=instance, DeviceIndex=1)["AttachmentId"]
    there = described(ec2, instance)["NetworkInterfaces"]
    assert [one["Attachment"]["DeviceIndex"] for one in there] == [0, 1]
    assert there[1]["NetworkInterfaceId"] == id and there[1]["Attachment"]["AttachmentId"] == attachment
    assert shown(ec2, id)["Attachment"]["DeleteOnTermination"] is False
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=id, Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
    )
    assert shown(ec2, id)["Attachment"]["DeleteOnTermination"] is True
    by_interface = ec2.describe_instances(Filters=where(network_interface__network_interface_id=id))
    assert by_interface["Reservations"][0]["Instances"][0]["InstanceId"] == instance
    taken = {"NetworkInterfaceId": id, "InstanceId": instance}
    assert code_of(ec2.attach_network_interface, **taken, DeviceIndex=2) == "InvalidNetworkInterface.InUse"
    assert code_of(ec2.delete_network_interface, NetworkInterfaceId=id) == "InvalidParameterValue"
    primary = there[0]["Attachment"]["AttachmentId"]
    assert code_of(ec2.detach_network_interface, AttachmentId=primary) == "OperationNotPermitted"
    ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[id])
    assert len(described(ec2, instance)["NetworkInterfaces"]) == 1
    ec2.delete_network_interface(NetworkInterfaceId=id)


def test_private_addresses_come_and_go(ec2, subnet):
    first, second = interface(ec2, subnet), interface(ec2, subnet)
    made = ec2.assign_private_ip_addresses(NetworkInterfaceId=first, SecondaryPrivateIpAddressCount=2)
    new = [one["PrivateIpAddress"] for one in made["AssignedPrivateIpAddresses"]]
    assert addresses(ec2, first)[1:] == new
    move = {"NetworkInterfaceId": second, "PrivateIpAddresses": new[:1]}
    assert code_of(ec2.assign_private_ip_addresses, **move) == "InvalidParameterValue"
    ec2.assign_private_ip_addresses(**move, AllowReassignment=True)
    assert addresses(ec2, first)[1:] == new[1:] and addresses(ec2, second)[1:] == new[:1]
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=first, PrivateIpAddresses=new[1:])
    primary = addresses(ec2, first)
    assert len(primary) == 1
    gone = {"NetworkInterfaceId": first, "PrivateIpAddresses": primary}
    assert code_of(ec2.unassign_private_ip_addresses, **gone) == "InvalidParameterValue"
    for id in (first, second):
        ec2.delete_network_interface(NetworkInterfaceId=id)


def test_what_is_not_there(ec2, subnet, instance):
    for call, arguments, want in [
        (ec2.create_network_interface, {"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        (ec2.delete_network_interface, {"NetworkInterfaceId": ENI}, "InvalidNetworkInterfaceID.NotFound"),
        (ec2.delete_network_interface, {"NetworkInterfaceId": "eni"}, "InvalidNetworkInterfaceId.Malformed"),
        (
            ec2.attach_network_interface, {"NetworkInterfaceId": ENI, "InstanceId": instance, "DeviceIndex": 1},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (ec2.detach_network_interface, {"AttachmentId": "eni-attach-0"}, "InvalidAttachmentID.NotFound"),
        (
            ec2.modify_network_interface_attribute, {"NetworkInterfaceId": ENI, "Description": {"Value": "x"}},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (
            ec2.describe_network_interface_attribute, {"NetworkInterfaceId": ENI, "Attribute": "description"},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (
            ec2.assign_private_ip_addresses, {"NetworkInterfaceId": ENI, "SecondaryPrivateIpAddressCount": 1},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (
            ec2.unassign_private_ip_addresses, {"NetworkInterfaceId": ENI, "PrivateIpAddresses": ["10.0.0.9"]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (ec2.associate_address, {"AllocationId": EIP, "InstanceId": instance}, "InvalidAllocationID.NotFound"),
        (ec2.disassociate_address, {"AssociationId": ASSOCIATION}, "InvalidAssociationID.NotFound"),
        (ec2.release_address, {"AllocationId": EIP}, "InvalidAllocationID.NotFound"),
        (ec2.describe_addresses, {"AllocationIds": [EIP]}, "InvalidAllocationID.NotFound"),
        (ec2.describe_addresses, {"PublicIps": ["192.0.2.1"]}, "InvalidAddress.NotFound"),
        (ec2.describe_addresses_attribute, {"AllocationIds": [EIP]}, "InvalidAllocationID.NotFound"),
        (ec2.create_nat_gateway, {"SubnetId": subnet["SubnetId"], "AllocationId": EIP}, "InvalidAllocationID.NotFound"),
        (ec2.describe_nat_gateways, {"NatGatewayIds": [NAT]}, "NatGatewayNotFound"),
        (ec2.delete_nat_gateway, {"NatGatewayId": NAT}, "NatGatewayNotFound"),
        (ec2.associate_nat_gateway_address, {"NatGatewayId": NAT, "AllocationIds": [EIP]}, "NatGatewayNotFound"),
        (
            ec2.disassociate_nat_gateway_address, {"NatGatewayId": NAT, "AssociationIds": [ASSOCIATION]},
            "NatGatewayNotFound",
        ),
        (ec2.assign_private_nat_gateway_address, {"NatGatewayId": NAT, "PrivateIpAddressCount": 1}, "NatGatewayNotFound"),
        (
            ec2.unassign_private_nat_gateway_address, {"NatGatewayId": NAT, "PrivateIpAddresses": ["10.0.0.9"]},
            "NatGatewayNotFound",
        ),
        (ec2.describe_flow_logs, {"FlowLogIds": ["fl-0123456789abcdef0"]}, "InvalidFlowLogId.NotFound"),
        (ec2.describe_placement_groups, {"GroupNames": ["none"]}, "InvalidPlacementGroup.Unknown"),
        (ec2.delete_placement_group, {"GroupName": "none"}, "InvalidPlacementGroup.Unknown"),
    ]:
        assert code_of(call, **arguments) == want, (call.__name__, arguments)


def test_dry_runs_change_nothing(ec2, subnet):
    before = len(ec2.describe_network_interfaces()["NetworkInterfaces"])
    for call, arguments in [
        (ec2.create_network_interface, {"SubnetId": subnet["SubnetId"]}),
        (ec2.allocate_address, {"Domain": "vpc"}),
        (ec2.create_nat_gateway, {"SubnetId": subnet["SubnetId"], "ConnectivityType": "private"}),
        (ec2.create_placement_group, {"GroupName": "dry", "Strategy": "spread"}),
    ]:
        assert code_of(call, **arguments, DryRun=True) == "DryRunOperation", call.__name__
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == before


# -- Elastic IP addresses


def test_the_life_of_an_address(ec2, instance):
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "front"))
    allocation, public = made["AllocationId"], made["PublicIp"]
    association = ec2.associate_address(AllocationId=allocation, InstanceId=instance)["AssociationId"]
    seen = described(ec2, instance)
    assert seen["PublicIpAddress"] == public and seen["PublicDnsName"].startswith("ec2-" + public.replace(".", "-"))
    by_tag = [{"Name": "tag:Name", "Values": ["front"]}]
    for filters in (by_tag, where(association_id=association), where(instance_id=instance)):
        found = ec2.describe_addresses(Filters=filters)["Addresses"]
        assert [one["AllocationId"] for one in found] == [allocation], filters
    assert found[0]["Domain"] == "vpc" and found[0]["PrivateIpAddress"] == seen["PrivateIpAddress"]
    assert found[0]["NetworkInterfaceId"] == seen["NetworkInterfaces"][0]["NetworkInterfaceId"]
    by_address = ec2.describe_instances(Filters=where(ip_address=public))["Reservations"]
    assert by_address[0]["Instances"][0]["InstanceId"] == instance
    attribute = ec2.describe_addresses_attribute(AllocationIds=[allocation], Attribute="domain-name")
    assert attribute["Addresses"] == []
    assert code_of(ec2.release_address, AllocationId=allocation) == "InvalidIPAddress.InUse"
    ec2.disassociate_address(AssociationId=association)
    assert described(ec2, instance).get("PublicIpAddress") != public
    ec2.release_address(AllocationId=allocation, NetworkBorderGroup=made["NetworkBorderGroup"])


def test_an_address_is_led_elsewhere(ec2, subnet):
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    first, second = interface(ec2, subnet), interface(ec2, subnet, SecondaryPrivateIpAddressCount=1)
    ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=first)
    private = addresses(ec2, second)[1]
    there = {"AllocationId": allocation, "NetworkInterfaceId": second, "PrivateIpAddress": private}
    assert code_of(ec2.associate_address, **there, AllowReassociation=False) == "Resource.AlreadyAssociated"
    ec2.associate_address(**there)
    assert "Association" not in shown(ec2, first)
    association = shown(ec2, second)["PrivateIpAddresses"][1]["Association"]
    assert association["AllocationId"] == allocation and "Association" not in shown(ec2, second)
    for id in (first, second):
        ec2.delete_network_interface(NetworkInterfaceId=id)
    ec2.release_address(AllocationId=allocation)


# -- NAT gateways


def test_a_public_nat_gateway(ec2, subnet):
    allocation, further = (ec2.allocate_address(Domain="vpc")["AllocationId"] for _ in range(2))
    made = ec2.create_nat_gateway(
        SubnetId=subnet["SubnetId"], AllocationId=allocation, TagSpecifications=tagged("natgateway", "out"),
    )["NatGateway"]
    nat = made["NatGatewayId"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def one():
        return ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]

    address = one()["NatGatewayAddresses"][0]
    assert one()["ConnectivityType"] == "public" and address["IsPrimary"] and address["AllocationId"] == allocation
    assert address["Status"] == "succeeded" and address["PublicIp"] and address["PrivateIp"]
    own = shown(ec2, address["NetworkInterfaceId"])
    assert (own["InterfaceType"], own["RequesterManaged"]) == ("nat_gateway", True)
    assert own["Description"] == f"Interface for NAT Gateway {nat}"
    ec2.associate_nat_gateway_address(NatGatewayId=nat, AllocationIds=[further])
    second = one()["NatGatewayAddresses"][1]
    assert second["AllocationId"] == further and not second["IsPrimary"]
    ec2.disassociate_nat_gateway_address(NatGatewayId=nat, AssociationIds=[second["AssociationId"]])
    assert len(one()["NatGatewayAddresses"]) == 1
    for filters, count in [
        (where(nat_gateway_id=nat, state="available"), 1),
        (where(vpc_id=subnet["VpcId"], subnet_id=subnet["SubnetId"]), 1),
        (where(state="failed"), 0),
    ]:
        assert len(ec2.describe_nat_gateways(Filters=filters)["NatGateways"]) == count, filters
    assert code_of(ec2.describe_nat_gateways, Filters=where(colour="red")) == "InvalidParameterValue"
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    for id in (allocation, further):
        ec2.release_address(AllocationId=id)


def test_private_nat_gateways_in_pages(ec2, subnet):
    made = [
        ec2.create_nat_gateway(SubnetId=subnet["SubnetId"], ConnectivityType="private")["NatGateway"]["NatGatewayId"]
        for _ in range(6)
    ]
    pages = ec2.get_paginator("describe_nat_gateways").paginate(
        Filters=where(connectivity_type="private"), PaginationConfig={"PageSize": 5},
    )
    found = [one["NatGatewayId"] for page in pages for one in page["NatGateways"]]
    assert sorted(found) == sorted(made)
    new = ec2.assign_private_nat_gateway_address(NatGatewayId=made[0], PrivateIpAddressCount=1)["NatGatewayAddresses"]
    assert len(new) == 1 and not new[0]["IsPrimary"]
    ec2.unassign_private_nat_gateway_address(NatGatewayId=made[0], PrivateIpAddresses=[new[0]["PrivateIp"]])
    left = ec2.describe_nat_gateways(NatGatewayIds=made[:1])["NatGateways"][0]["NatGatewayAddresses"]
    assert len(left) == 1
    for id in made:
        ec2.delete_nat_gateway(NatGatewayId=id)


# -- flow logs


def test_flow_logs(ec2, subnet):
    settings = {"TrafficType": "ALL", "LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::flows"}
    vpc, none = subnet["VpcId"], "vpc-0123456789abcdef0"
    made = ec2.create_flow_logs(
        ResourceType="VPC", ResourceIds=[vpc, none], MaxAggregationInterval=60, ClientToken="flow-once",
        TagSpecifications=tagged("vpc-flow-log", "all"), **settings,
    )
    assert [(one["ResourceId"], one["Error"]["Code"]) for one in made["Unsuccessful"]] == [(none, "InvalidVpcID.NotFound")]
    [id] = made["FlowLogIds"]
    found = ec2.describe_flow_logs(FlowLogIds=[id])["FlowLogs"][0]
    assert (found["ResourceId"], found["TrafficType"], found["MaxAggregationInterval"]) == (vpc, "ALL", 60)
    assert found["LogFormat"].startswith("${version} ${account-id}") and found["FlowLogStatus"] == "ACTIVE"
    again = ec2.create_flow_logs(ResourceType="VPC", ResourceIds=[vpc], **settings)
    assert again["FlowLogIds"] == [] and again["Unsuccessful"][0]["Error"]["Code"] == "FlowLogAlreadyExists"
    kinds = ["ACCEPT", "REJECT"]
    others = [
        ec2.create_flow_logs(
            ResourceType="Subnet", ResourceIds=[subnet["SubnetId"]], TrafficType=kind, LogGroupName=f"group-{number}",
            DeliverLogsPermissionArn="arn:aws:iam::000000000000:role/flows",
        )["FlowLogIds"][0]
        for number in range(3) for kind in kinds
    ]
    for filters, count in [
        (where(resource_id=vpc), 1),
        (where(log_destination_type="cloud-watch-logs"), 6),
        (where(log_group_name="group-1", traffic_type="REJECT"), 1),
    ]:
        assert len(ec2.describe_flow_logs(Filters=filters)["FlowLogs"]) == count, filters
    pages = ec2.get_paginator("describe_flow_logs").paginate(PaginationConfig={"PageSize": 5})
    assert sorted(one["FlowLogId"] for page in pages for one in page["FlowLogs"]) == sorted([id, *others])
    assert ec2.delete_flow_logs(FlowLogIds=[id, *others])["Unsuccessful"] == []
    gone = ec2.delete_flow_logs(FlowLogIds=[id])["Unsuccessful"]
    assert gone[0]["Error"]["Code"] == "InvalidFlowLogId.NotFound"


# -- placement groups


def test_placement_groups(ec2):
    made = ec2.create_placement_group(
        GroupName="parts", Strategy="partition", PartitionCount=3, TagSpecifications=tagged("placement-group", "parts"),
    )["PlacementGroup"]
    assert (made["State"], made["PartitionCount"]) == ("available", 3)
    ec2.create_placement_group(GroupName="apart", Strategy="spread")
    assert code_of(ec2.create_placement_group, GroupName="apart", Strategy="spread") == "InvalidPlacementGroup.Duplicate"
    for arguments, want in [
        ({"GroupIds": [made["GroupId"]]}, ["parts"]),
        ({"GroupNames": ["apart"]}, ["apart"]),
        ({"Filters": where(strategy="spread", spread_level="rack")}, ["apart"]),
        ({"Filters": where(group_name=["apart", "parts"])}, ["apart", "parts"]),
    ]:
        found = ec2.describe_placement_groups(**arguments)["PlacementGroups"]
        assert [one["GroupName"] for one in found] == want, arguments
    for name in ("apart", "parts"):
        ec2.delete_placement_group(GroupName=name)
    assert ec2.describe_placement_groups()["PlacementGroups"] == []
