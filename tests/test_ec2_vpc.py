"""EC2's networks as clients make, read and take them apart: success, not-found code, filters and pages of each call."""

import pytest
from botocore.exceptions import ClientError

ZEROS = "00000000000000000"


def code_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    assert 400 <= error["ResponseMetadata"]["HTTPStatusCode"] < 500, error
    assert error["Error"]["Message"], error
    return error["Error"]["Code"]


def where(**filters):
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]


def named(kind, name):
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def paged(ec2, operation, key, **arguments):
    """All items by pages of five, which must be those of one answer."""
    pages = list(ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": 5}, **arguments))
    assert all(len(page[key]) <= 5 for page in pages)
    found = [item for page in pages for item in page[key]]
    assert found == getattr(ec2, operation)(**arguments)[key]
    return len(pages), found


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture
def vpc(ec2):
    """A VPC of its own for each test, taken apart afterwards with all that is in it."""
    made = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=named("vpc", "test"))["Vpc"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[made["VpcId"]])
    yield made["VpcId"]
    clear(ec2, made["VpcId"])


def clear(ec2, vpc):
    inside = where(vpc_id=vpc)
    for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]:
        for association in table["Associations"]:
            if not association["Main"]:
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        if not any(association["Main"] for association in table["Associations"]):
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    for subnet in ec2.describe_subnets(Filters=inside)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    for gateway in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    for group in ec2.describe_security_groups(Filters=inside)["SecurityGroups"]:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
    ec2.delete_vpc(VpcId=vpc)


def add_subnet(ec2, vpc, cidr, **more):
    return ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **more)["Subnet"]["SubnetId"]


@pytest.fixture
def gateway(ec2, vpc):
    """An internet gateway at the VPC; `vpc` takes it away."""
    made = ec2.create_internet_gateway(TagSpecifications=named("internet-gateway", "out"))["InternetGateway"]
    ec2.attach_internet_gateway(InternetGatewayId=made["InternetGatewayId"], VpcId=vpc)
    return made["InternetGatewayId"]


@pytest.fixture
def table(ec2, vpc):
    return ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]


def routes(ec2, table):
    found = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    return {route.get("DestinationCidrBlock") or route["DestinationPrefixListId"]: route for route in found}


# -- VPCs and subnets


def test_vpc_is_made_with_what_every_vpc_has(ec2, vpc):
    shown = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    assert (shown["State"], shown["InstanceTenancy"], shown["IsDefault"]) == ("available", "default", False)
    assert shown["CidrBlockAssociationSet"][0]["CidrBlockState"]["State"] == "associated"
    regional = next(one for one in ec2.describe_vpcs()["Vpcs"] if one["IsDefault"])["DhcpOptionsId"]
    assert shown["DhcpOptionsId"] == regional and shown["Tags"] == [{"Key": "Name", "Value": "test"}]
    main = where(vpc_id=vpc) + [{"Name": "association.main", "Values": ["true"]}]
    local = ec2.describe_route_tables(Filters=main)["RouteTables"][0]["Routes"]
    assert [(r["DestinationCidrBlock"], r["GatewayId"], r["State"], r["Origin"]) for r in local] == [
        ("10.20.0.0/16", "local", "active", "CreateRouteTable")
    ]
    assert len(ec2.describe_security_groups(Filters=where(vpc_id=vpc, group_name="default"))["SecurityGroups"]) == 1
    acl = ec2.describe_network_acls(Filters=where(vpc_id=vpc, default="true"))["NetworkAcls"][0]
    assert sorted((e["Egress"], e["RuleNumber"], e["RuleAction"]) for e in acl["Entries"]) == [
        (False, 100, "allow"), (False, 32767, "deny"), (True, 100, "allow"), (True, 32767, "deny"),
    ]
    assert ec2.describe_network_acls(NetworkAclIds=[acl["NetworkAclId"]])["NetworkAcls"] == [acl]


def test_vpcs_are_found_and_refused(ec2, vpc):
    for filters, count in [
        (where(cidr="10.20.0.0/16"), 1), (where(isDefault="true"), 1), (where(vpc_id=vpc, state="available"), 1),
        ([{"Name": "tag:Name", "Values": ["t*st"]}], 1), (where(cidr="10.21.0.0/16"), 0),
    ]:
        assert len(ec2.describe_vpcs(Filters=filters)["Vpcs"]) == count, filters
    assert code_of(ec2.describe_vpcs, Filters=where(colour="red")) == "InvalidParameterValue"
    assert code_of(ec2.describe_vpcs, VpcIds=["vpc-" + ZEROS]) == "InvalidVpcID.NotFound"
    assert code_of(ec2.describe_vpcs, VpcIds=["x"]) == "InvalidVpcID.Malformed"
    assert code_of(ec2.describe_vpcs, MaxResults=1001) == "InvalidParameterValue"
    assert code_of(ec2.delete_vpc, VpcId="vpc-" + ZEROS) == "InvalidVpcID.NotFound"
    assert code_of(ec2.create_vpc, CidrBlock="10.0.0.0/8") == "InvalidVpc.Range"
    assert code_of(ec2.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True) == "DryRunOperation"
    six = code_of(ec2.create_vpc, CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)
    assert six == "UnsupportedOperation"
    assert code_of(ec2.create_default_vpc) == "DefaultVpcAlreadyExists"
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    taken = code_of(ec2.create_default_subnet, AvailabilityZone=zone)
    assert taken == "DefaultSubnetAlreadyExistsInAvailabilityZone"


def test_vpc_attributes_ranges_and_tenancy(ec2, vpc):
    for name, before in [
        ("DnsSupport", True), ("DnsHostnames", False), ("NetworkAddressUsageMetrics", False),
    ]:
        def read():
            return ec2.describe_vpc_attribute(VpcId=vpc, Attribute=f"enable{name}")[f"Enable{name}"]["Value"]

        assert read() is before
        ec2.modify_vpc_attribute(VpcId=vpc, **{f"Enable{name}": {"Value": not before}})
        assert read() is not before
    unknown = "vpc-" + ZEROS
    assert code_of(ec2.describe_vpc_attribute, VpcId=unknown, Attribute="enableDnsSupport") == "InvalidVpcID.NotFound"
    assert code_of(ec2.modify_vpc_attribute, VpcId=unknown, EnableDnsSupport={"Value": True}) == "InvalidVpcID.NotFound"
    assert ec2.modify_vpc_tenancy(VpcId=vpc, InstanceTenancy="default")["ReturnValue"] is True
    assert code_of(ec2.modify_vpc_tenancy, VpcId=unknown, InstanceTenancy="default") == "InvalidVpcID.NotFound"
    added = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.30.0.0/16")["CidrBlockAssociation"]
    add_subnet(ec2, vpc, "10.30.1.0/24")
    assert len(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"]) == 2
    assert code_of(ec2.disassociate_vpc_cidr_block, AssociationId=added["AssociationId"]) == "DependencyViolation"
    subnet = ec2.describe_subnets(Filters=where(vpc_id=vpc))["Subnets"][0]["SubnetId"]
    ec2.delete_subnet(SubnetId=subnet)
    ec2.disassociate_vpc_cidr_block(AssociationId=added["AssociationId"])
    assert code_of(ec2.associate_vpc_cidr_block, VpcId=vpc, CidrBlock="10.20.1.0/24") == "InvalidVpc.Range"
    gone = code_of(ec2.disassociate_vpc_cidr_block, AssociationId=added["AssociationId"])
    assert gone == "InvalidVpcCidrBlockAssociationIdError.NotFound"


def test_subnets(ec2, vpc):
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    zone = zones[1]
    made = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.20.1.0/24", AvailabilityZoneId=zone["ZoneId"],
        TagSpecifications=named("subnet", "one"),
    )["Subnet"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[made["SubnetId"]])
    shown = ec2.describe_subnets(SubnetIds=[made["SubnetId"]])["Subnets"][0]
    assert shown["AvailabilityZone"] == zone["ZoneName"] and shown["AvailabilityZoneId"] == zone["ZoneId"]
    assert shown["SubnetArn"].endswith(f"subnet/{made['SubnetId']}") and shown["AvailableIpAddressCount"] == 251
    assert shown["PrivateDnsNameOptionsOnLaunch"]["HostnameType"] == "ip-name"
    for name in ["AssignIpv6AddressOnCreation", "EnableDns64", "Ipv6Native", "MapPublicIpOnLaunch", "DefaultForAz"]:
        assert shown[name] is False, name
    ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], AssignIpv6AddressOnCreation={"Value": False})
    public = [{"Name": "map-public-ip-on-launch", "Values": ["true"]}] + where(vpc_id=vpc)
    assert len(ec2.describe_subnets(Filters=public)["Subnets"]) == 1
    for index in range(2, 9):
        add_subnet(ec2, vpc, f"10.20.{index}.0/24")
    pages, found = paged(ec2, "describe_subnets", "Subnets", Filters=where(vpc_id=vpc))
    assert (pages, len(found), len({subnet["AvailabilityZone"] for subnet in found})) == (2, 8, len(zones))
    acl = ec2.describe_network_acls(Filters=where(vpc_id=vpc))["NetworkAcls"][0]
    assert {one["SubnetId"] for one in acl["Associations"]} == {subnet["SubnetId"] for subnet in found}
    for cidr, code in [
        ("10.20.1.128/25", "InvalidSubnet.Conflict"), ("10.99.0.0/24", "InvalidSubnet.Range"),
        ("10.20.99.0/29", "InvalidSubnet.Range"), ("x", "InvalidParameterValue"),
    ]:
        assert code_of(ec2.create_subnet, VpcId=vpc, CidrBlock=cidr) == code, cidr
    unknown = "subnet-" + ZEROS
    assert code_of(ec2.describe_subnets, SubnetIds=[unknown]) == "InvalidSubnetID.NotFound"
    assert code_of(ec2.delete_subnet, SubnetId=unknown) == "InvalidSubnetID.NotFound"
    changed = code_of(ec2.modify_subnet_attribute, SubnetId=unknown, MapPublicIpOnLaunch={"Value": True})
    assert changed == "InvalidSubnetID.NotFound"
    six = code_of(ec2.modify_subnet_attribute, SubnetId=made["SubnetId"], AssignIpv6AddressOnCreation={"Value": True})
    assert six == "UnsupportedOperation"
    assert code_of(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"


# -- gateways and routes


def test_internet_gateways(ec2, vpc, gateway):
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}, {"Name": "attachment.state", "Values": ["available"]}]
    shown = ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    assert [one["InternetGatewayId"] for one in shown] == [gateway]
    assert shown[0]["Attachments"] == [{"State": "available", "VpcId": vpc}]
    again = code_of(ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    assert again == "Resource.AlreadyAssociated"
    assert code_of(ec2.delete_internet_gateway, InternetGatewayId=gateway) == "DependencyViolation"
    more = [ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"] for _ in range(6)]
    pages, found = paged(ec2, "describe_internet_gateways", "InternetGateways")
    assert pages == 2 and {one["InternetGatewayId"] for one in found} >= {gateway, *more}
    detached = code_of(ec2.detach_internet_gateway, InternetGatewayId=more[0], VpcId=vpc)
    assert detached == "Gateway.NotAttached"
    for one in more:
        ec2.delete_internet_gateway(InternetGatewayId=one)
    for call in [ec2.attach_internet_gateway, ec2.detach_internet_gateway]:
        assert code_of(call, InternetGatewayId=more[0], VpcId=vpc) == "InvalidInternetGatewayID.NotFound"
    assert code_of(ec2.delete_internet_gateway, InternetGatewayId=more[0]) == "InvalidInternetGatewayID.NotFound"
    unknown = code_of(ec2.describe_internet_gateways, InternetGatewayIds=[more[0]])
    assert unknown == "InvalidInternetGatewayID.NotFound"


def test_routes(ec2, vpc, gateway, table):
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    route = routes(ec2, table)["0.0.0.0/0"]
    assert (route["GatewayId"], route["State"], route["Origin"]) == (gateway, "active", "CreateRoute")
    found = ec2.describe_route_tables(Filters=[{"Name": "route.gateway-id", "Values": [gateway]}])["RouteTables"]
    assert [one["RouteTableId"] for one in found] == [table]
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="10.20.0.0/16", LocalTarget=True)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert routes(ec2, table)["0.0.0.0/0"]["State"] == "blackhole"
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    everywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    assert code_of(ec2.create_route, **everywhere, GatewayId=gateway) == "RouteAlreadyExists"
    ec2.delete_route(**everywhere)
    assert code_of(ec2.delete_route, **everywhere) == "InvalidRoute.NotFound"
    assert code_of(ec2.create_route, **everywhere, GatewayId="local") == "InvalidGatewayID.NotFound"
    for target, id, code in [
        ("GatewayId", "igw-", "InvalidInternetGatewayID.NotFound"),
        ("NatGatewayId", "nat-", "InvalidNatGatewayID.NotFound"),
        ("NetworkInterfaceId", "eni-", "InvalidNetworkInterfaceID.NotFound"),
        ("InstanceId", "i-", "InvalidInstanceID.NotFound"),
    ]:
        assert code_of(ec2.create_route, **everywhere, **{target: id + ZEROS}) == code
    for call in [ec2.create_route, ec2.replace_route]:
        arguments = {"DestinationCidrBlock": "1.0.0.0/8", "GatewayId": gateway}
        assert code_of(call, RouteTableId="rtb-" + ZEROS, **arguments) == "InvalidRouteTableID.NotFound"
    local = code_of(ec2.delete_route, RouteTableId=table, DestinationCidrBlock="10.20.0.0/16")
    assert local == "InvalidParameterValue"
    for call in [ec2.enable_vgw_route_propagation, ec2.disable_vgw_route_propagation]:
        assert code_of(call, RouteTableId=table, GatewayId="vgw-" + ZEROS) == "InvalidVpnGatewayID.NotFound"


def test_route_tables_and_associations(ec2, vpc, table):
    again = [ec2.create_route_table(VpcId=vpc, ClientToken="t-1")["RouteTable"]["RouteTableId"] for _ in range(2)]
    assert again[0] == again[1]
    subnet = add_subnet(ec2, vpc, "10.20.0.0/24")
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    by_association = [{"Name": "association.route-table-association-id", "Values": [association]}]
    shown = ec2.describe_route_tables(Filters=by_association)["RouteTables"][0]["Associations"][0]
    assert (shown["SubnetId"], shown["Main"], shown["AssociationState"]["State"]) == (subnet, False, "associated")
    other = code_of(ec2.associate_route_table, RouteTableId=again[0], SubnetId=subnet)
    assert other == "Resource.AlreadyAssociated"
    assert code_of(ec2.delete_route_table, RouteTableId=table) == "DependencyViolation"
    moved = ec2.replace_route_table_association(AssociationId=association, RouteTableId=again[0])["NewAssociationId"]
    gone = "InvalidAssociationID.NotFound"
    assert code_of(ec2.replace_route_table_association, AssociationId=association, RouteTableId=table) == gone
    assert code_of(ec2.disassociate_route_table, AssociationId=association) == gone
    ec2.disassociate_route_table(AssociationId=moved)
    for _ in range(4):
        ec2.create_route_table(VpcId=vpc)
    pages, found = paged(ec2, "describe_route_tables", "RouteTables", Filters=where(vpc_id=vpc))
    assert (pages, len(found)) == (2, 7)
    unknown = "rtb-" + ZEROS
    assert code_of(ec2.describe_route_tables, RouteTableIds=[unknown]) == "InvalidRouteTableID.NotFound"
    assert code_of(ec2.delete_route_table, RouteTableId=unknown) == "InvalidRouteTableID.NotFound"
    missing = code_of(ec2.associate_route_table, RouteTableId=unknown, SubnetId=subnet)
    assert missing == "InvalidRouteTableID.NotFound"
    assert code_of(ec2.create_route_table, VpcId="vpc-" + ZEROS) == "InvalidVpcID.NotFound"


# -- options, prefix lists, rules, what is never there


def test_dhcp_options(ec2, vpc):
    options = [
        {"Key": "domain-name", "Values": ["example.com"]},
        {"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]},
    ]
    ids = [ec2.create_dhcp_options(DhcpConfigurations=options)["DhcpOptions"]["DhcpOptionsId"] for _ in range(6)]
    ec2.associate_dhcp_options(DhcpOptionsId=ids[0], VpcId=vpc)
    assert ec2.describe_vpcs(Filters=where(dhcp_options_id=ids[0]))["Vpcs"][0]["VpcId"] == vpc
    pages, found = paged(ec2, "describe_dhcp_options", "DhcpOptions", Filters=where(value="example.com"))
    assert pages == 2 and {one["DhcpOptionsId"] for one in found} == set(ids)
    assert code_of(ec2.delete_dhcp_options, DhcpOptionsId=ids[0]) == "DependencyViolation"
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    for one in ids:
        ec2.delete_dhcp_options(DhcpOptionsId=one)
    gone = "InvalidDhcpOptionID.NotFound"
    assert code_of(ec2.delete_dhcp_options, DhcpOptionsId=ids[0]) == gone
    assert code_of(ec2.describe_dhcp_options, DhcpOptionsIds=[ids[0]]) == gone
    assert code_of(ec2.associate_dhcp_options, DhcpOptionsId=ids[0], VpcId=vpc) == gone


def test_prefix_lists(ec2, vpc, gateway, table):
    cidrs = [f"{first}.0.0.0/8" for first in range(20, 28)]
    made = ec2.create_managed_prefix_list(
        PrefixListName="offices", AddressFamily="IPv4", MaxEntries=10, ClientToken="t-1",
        Entries=[{"Cidr": cidr, "Description": "x"} for cidr in cidrs], TagSpecifications=named("prefix-list", "a"),
    )["PrefixList"]
    id = made["PrefixListId"]
    assert (made["Version"], made["State"]) == (1, "create-complete")
    assert made["PrefixListArn"].endswith(f":prefix-list/{id}")
    ec2.create_route(RouteTableId=table, DestinationPrefixListId=id, GatewayId=gateway)
    assert routes(ec2, table)[id]["State"] == "active"
    assert code_of(ec2.delete_managed_prefix_list, PrefixListId=id) == "DependencyViolation"
    ec2.delete_route(RouteTableId=table, DestinationPrefixListId=id)
    change = {"PrefixListId": id, "CurrentVersion": 1, "RemoveEntries": [{"Cidr": cidrs[0]}]}
    assert ec2.modify_managed_prefix_list(**change)["PrefixList"]["Version"] == 2
    assert code_of(ec2.modify_managed_prefix_list, **change) == "PrefixListVersionMismatch"
    pages, found = paged(ec2, "get_managed_prefix_list_entries", "Entries", PrefixListId=id)
    assert (pages, [entry["Cidr"] for entry in found]) == (2, cidrs[1:])
    found = ec2.describe_managed_prefix_lists(Filters=where(prefix_list_name="off*"))["PrefixLists"]
    assert [(one["PrefixListId"], one["State"]) for one in found] == [(id, "modify-complete")]
    assert ec2.delete_managed_prefix_list(PrefixListId=id)["PrefixList"]["State"] == "delete-complete"
    gone = "InvalidPrefixListID.NotFound"
    for call in [ec2.delete_managed_prefix_list, ec2.get_managed_prefix_list_entries, ec2.modify_managed_prefix_list]:
        assert code_of(call, PrefixListId=id) == gone
    assert code_of(ec2.describe_managed_prefix_lists, PrefixListIds=[id]) == gone
    assert ec2.describe_prefix_lists()["PrefixLists"] == []
    assert code_of(ec2.describe_prefix_lists, PrefixListIds=[id]) == "InvalidPrefixListId.NotFound"


def test_rules_change_in_place(ec2, vpc):
    group = ec2.create_security_group(GroupName="web", Description="x", VpcId=vpc)["GroupId"]
    # What Terraform does first with every group: ports 0 of protocol -1.
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0}
    four = [{**everything, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=four)
    six = [{**everything, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    assert code_of(ec2.revoke_security_group_egress, GroupId=group, IpPermissions=six) == "InvalidPermission.NotFound"
    http = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    made = ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[http], TagSpecifications=named("security-group-rule", "http"),
    )["SecurityGroupRules"]
    rule = made[0]["SecurityGroupRuleId"]
    assert len(made) == 1 and made[0]["Tags"] == [{"Key": "Name", "Value": "http"}]
    words = [{"SecurityGroupRuleId": rule, "Description": "web"}]
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, SecurityGroupRuleDescriptions=words)
    change = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "10.1.0.0/16", "Description": "tls"}
    ec2.modify_security_group_rules(
        GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": rule, "SecurityGroupRule": change}],
    )
    shown = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule])["SecurityGroupRules"][0]
    assert {name: shown[name] for name in change} == change and shown["Tags"] == made[0]["Tags"]
    unknown = "sgr-" + ZEROS
    update = [{"SecurityGroupRuleId": unknown, "SecurityGroupRule": change}]
    gone = "InvalidSecurityGroupRuleId.NotFound"
    assert code_of(ec2.modify_security_group_rules, GroupId=group, SecurityGroupRules=update) == gone
    words = [{"SecurityGroupRuleId": unknown, "Description": "x"}]
    for direction in ["ingress", "egress"]:
        call = getattr(ec2, f"update_security_group_rule_descriptions_{direction}")
        assert code_of(call, GroupId=group, SecurityGroupRuleDescriptions=words) == gone
        assert code_of(call, GroupId=group, IpPermissions=[http]) == "InvalidPermission.NotFound"
        assert code_of(call, GroupId="sg-" + ZEROS, IpPermissions=[http]) == "InvalidGroup.NotFound"


@pytest.mark.parametrize("call, ids, id, code", [
    ("vpc_peering_connections", "VpcPeeringConnectionIds", "pcx-", "InvalidVpcPeeringConnectionID.NotFound"),
    ("vpn_connections", "VpnConnectionIds", "vpn-", "InvalidVpnConnectionID.NotFound"),
    ("customer_gateways", "CustomerGatewayIds", "cgw-", "InvalidCustomerGatewayID.NotFound"),
    ("vpc_endpoints", "VpcEndpointIds", "vpce-", "InvalidVpcEndpointId.NotFound"),
    ("network_acls", "NetworkAclIds", "acl-", "InvalidNetworkAclID.NotFound"),
])
def test_what_is_not_there(ec2, call, ids, id, code):
    key = "".join(word.capitalize() for word in call.split("_"))
    call = getattr(ec2, f"describe_{call}")
    assert call(Filters=[{"Name": "tag:a", "Values": ["b"]}])[key] == []
    assert code_of(call, Filters=where(colour="red")) == "InvalidParameterValue"
    assert code_of(call, **{ids: [id + ZEROS]}) == code
    if key != "NetworkAcls":
        assert call()[key] == []
