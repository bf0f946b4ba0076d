"""EC2's launch templates, key pairs, tags, regions and consoles as clients use them; and that no operation of EC2 is
without a test of this kind."""

import base64
import re
from pathlib import Path

import pytest

from elastane import ROOT, until
from test_ec2_vpc import code_of, named, paged, where

ZEROS = "00000000000000000"
# Operations whose tests go through a list of names, which a search for the name does not find.
BY_LIST = {
    "describe_vpc_peering_connections", "describe_vpn_connections", "describe_customer_gateways", "describe_vpc_endpoints",
    "update_security_group_rule_descriptions_ingress", "update_security_group_rule_descriptions_egress",
    "authorize_security_group_egress",
}


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def image(ec2):
    return ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def test_every_operation_has_a_test():
    coverage = (ROOT / "docs/coverage.md").read_text()
    section = coverage.split("## Amazon Elastic Compute Cloud")[1].split("\n## ")[0]
    names = {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() for name in re.findall(r"^- (\w+)", section, re.M)}
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    assert {name for name in names - BY_LIST if f"{name}" not in tests} == set()


def test_launch_templates_and_their_versions(ec2, image):
    made = ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.nano"},
        TagSpecifications=named("launch-template", "web"),
    )["LaunchTemplate"]
    template = made["LaunchTemplateId"]
    assert (made["DefaultVersionNumber"], made["LatestVersionNumber"]) == (1, 1)
    for kind in ("t3.micro", "t3.small"):
        ec2.create_launch_template_version(
            LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": kind}
        )
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert {one["VersionNumber"]: one["LaunchTemplateData"]["InstanceType"] for one in versions} == {
        1: "t3.nano", 2: "t3.micro", 3: "t3.small"
    }
    assert all(one["LaunchTemplateData"]["ImageId"] == image for one in versions)
    changed = ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")["LaunchTemplate"]
    assert (changed["DefaultVersionNumber"], changed["LatestVersionNumber"]) == (2, 3)
    latest = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["$Latest", "$Default"])
    assert [one["VersionNumber"] for one in latest["LaunchTemplateVersions"]] == [2, 3]
    gone = ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "2", "9"])
    assert [one["VersionNumber"] for one in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    refused = {
        one["VersionNumber"]: one["ResponseError"]["Code"]
        for one in gone["UnsuccessfullyDeletedLaunchTemplateVersions"]
    }
    assert set(refused) == {2, 9} and refused[9] == "launchTemplateVersionDoesNotExist"
    assert ec2.describe_launch_templates(Filters=where(launch_template_name="we*"))["LaunchTemplates"] == [changed]
    assert code_of(ec2.create_launch_template, LaunchTemplateName="web", LaunchTemplateData={"ImageId": image}) == (
        "InvalidLaunchTemplateName.AlreadyExistsException"
    )
    ec2.delete_launch_template(LaunchTemplateId=template)
    for call in (ec2.delete_launch_template, ec2.modify_launch_template, ec2.describe_launch_template_versions):
        assert code_of(call, LaunchTemplateId=f"lt-{ZEROS}") == "InvalidLaunchTemplateId.NotFound", call
    assert code_of(
        ec2.create_launch_template_version, LaunchTemplateId=f"lt-{ZEROS}", LaunchTemplateData={"ImageId": image}
    ) == "InvalidLaunchTemplateId.NotFound"
    # This one answers for each version, also when it is the template that is not there.
    absent = ec2.delete_launch_template_versions(LaunchTemplateId=f"lt-{ZEROS}", Versions=["1"])
    assert [
        one["ResponseError"]["Code"] for one in absent["UnsuccessfullyDeletedLaunchTemplateVersions"]
    ] == ["launchTemplateIdDoesNotExist"]
    assert code_of(ec2.describe_launch_templates, LaunchTemplateNames=["nobody"]) == (
        "InvalidLaunchTemplateName.NotFoundException"
    )


def test_launch_templates_come_in_pages(ec2, image):
    names = [f"page-{number}" for number in range(7)]
    for name in names:
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image})
    pages, found = paged(ec2, "describe_launch_templates", "LaunchTemplates")
    assert pages == 2 and {one["LaunchTemplateName"] for one in found} >= set(names)
    for name in names:
        ec2.delete_launch_template(LaunchTemplateName=name)


def test_key_pairs(ec2):
    made = ec2.create_key_pair(KeyName="made", KeyType="ed25519", TagSpecifications=named("key-pair", "made"))
    assert made["KeyMaterial"].startswith("-----BEGIN")
    public = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUbD8ksyOB3cOJ6I1yTZRKbgZ6qvhHq1xHc2bRSGQvC someone"
    imported = ec2.import_key_pair(KeyName="imported", PublicKeyMaterial=public)
    found = ec2.describe_key_pairs(Filters=where(key_name="*ma*"))["KeyPairs"]
    assert [one["KeyPairId"] for one in found] == [made["KeyPairId"]]
    assert ec2.describe_key_pairs(KeyNames=["imported"])["KeyPairs"][0]["KeyFingerprint"] == imported["KeyFingerprint"]
    assert code_of(ec2.create_key_pair, KeyName="made") == "InvalidKeyPair.Duplicate"
    assert code_of(ec2.import_key_pair, KeyName="bad", PublicKeyMaterial=b"nonsense") == "InvalidKey.Format"
    for name in ("made", "imported"):
        ec2.delete_key_pair(KeyName=name)
    assert code_of(ec2.describe_key_pairs, KeyNames=["made"]) == "InvalidKeyPair.NotFound"


def test_tags(ec2):
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": f"key-{number}", "Value": str(number)} for number in range(7)])
    own = where(resource_id=vpc)
    pages, found = paged(ec2, "describe_tags", "Tags", Filters=own)
    assert pages == 2 and len(found) == 7 and {one["ResourceType"] for one in found} == {"vpc"}
    assert len(ec2.describe_tags(Filters=own + where(key="key-?", value="3"))["Tags"]) == 1
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "key-0"}, {"Key": "key-1", "Value": "another"}])
    assert len(ec2.describe_tags(Filters=own)["Tags"]) == 6
    ec2.delete_tags(Resources=[vpc])
    assert ec2.describe_tags(Filters=own)["Tags"] == []
    for call in (ec2.create_tags, ec2.delete_tags):
        assert code_of(call, Resources=[f"vpc-{ZEROS}"], Tags=[{"Key": "a", "Value": "b"}]) == "InvalidVpcID.NotFound"


def test_rules_both_ways(ec2):
    group = ec2.create_security_group(GroupName="ways", Description="both")["GroupId"]
    rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    for direction in ("ingress", "egress"):
        authorize = getattr(ec2, f"authorize_security_group_{direction}")
        revoke = getattr(ec2, f"revoke_security_group_{direction}")
        made = authorize(GroupId=group, IpPermissions=rule)["SecurityGroupRules"]
        assert [one["IsEgress"] for one in made] == [direction == "egress"]
        assert code_of(authorize, GroupId=group, IpPermissions=rule) == "InvalidPermission.Duplicate"
        revoke(GroupId=group, IpPermissions=rule)
        assert code_of(revoke, GroupId=group, IpPermissions=rule) == "InvalidPermission.NotFound"
        assert code_of(authorize, GroupId=f"sg-{ZEROS}", IpPermissions=rule) == "InvalidGroup.NotFound"
    ec2.delete_security_group(GroupId=group)


def test_regions_zones_and_types(ec2):
    region = ec2.meta.region_name
    assert region in {one["RegionName"] for one in ec2.describe_regions()["Regions"]}
    assert [one["RegionName"] for one in ec2.describe_regions(Filters=where(region_name="eu-*-1"))["Regions"]] == [
        "eu-central-1", "eu-north-1", "eu-west-1"
    ]
    assert code_of(ec2.describe_regions, RegionNames=["nowhere"]) == "InvalidParameterValue"
    assert code_of(ec2.describe_availability_zones, ZoneNames=["nowhere"]) == "InvalidParameterValue"
    pages, found = paged(ec2, "describe_instance_types", "InstanceTypes")
    assert pages > 1 and "t3.nano" in {one["InstanceType"] for one in found}
    assert code_of(ec2.describe_instance_types, InstanceTypes=["t3.nothing"]) == "InvalidInstanceType"


def test_a_console(ec2, image):
    script = "#!/bin/sh\necho on the console\n"
    run = ec2.run_instances(ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, UserData=script)
    instance = run["Instances"][0]["InstanceId"]

    def said():
        answer = ec2.get_console_output(InstanceId=instance)
        return answer.get("Output", "")

    until(lambda: "on the console" in said(), 30, said)
    attribute = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    assert base64.b64decode(attribute["UserData"]["Value"]).decode() == script
    assert code_of(ec2.get_console_output, InstanceId=f"i-{ZEROS}") == "InvalidInstanceID.NotFound"
    ec2.terminate_instances(InstanceIds=[instance])
