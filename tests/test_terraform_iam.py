"""Terraform's call orders for IAM (terraform-calls.md 7): roles with policies, managed policies, instance profiles."""

import json

import pytest

from iam import TRUSTS_EC2, allow, code_of, document

CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


@pytest.fixture(scope="module")
def iam(daemon):
    return daemon.client("iam")


def read_role(iam, name):
    """aws_iam_role's read: always all four calls."""
    role = iam.get_role(RoleName=name)["Role"]
    inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
    documents = {one: iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in inline}
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert role["CreateDate"] and role["Arn"].startswith("arn:aws:iam::")
    return {
        "path": role["Path"], "description": role.get("Description", ""), "tags": role.get("Tags", []),
        "max_session_duration": role["MaxSessionDuration"], "trust": role["AssumeRolePolicyDocument"],
        "inline": documents, "attached": {one["PolicyArn"] for one in attached},
        "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
    }


def delete_role(iam, name):
    """aws_iam_role's delete with force_detach_policies."""
    for profile in iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile["InstanceProfileName"], RoleName=name)
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def test_a_role_with_inline_and_managed_policies(iam):
    text = document(allow("s3:GetObject"))
    tags = [{"Key": "team", "Value": "web"}]
    made = iam.create_role(
        RoleName="tf-web", Path="/", AssumeRolePolicyDocument=TRUSTS_EC2, MaxSessionDuration=3600, Tags=tags
    )["Role"]
    iam.put_role_policy(RoleName=made["RoleName"], PolicyName="read", PolicyDocument=text)
    iam.attach_role_policy(RoleName="tf-web", PolicyArn=CORE)
    kept = read_role(iam, "tf-web")
    assert kept == {
        "path": "/", "description": "", "tags": tags, "max_session_duration": 3600, "trust": json.loads(TRUSTS_EC2),
        "inline": {"read": json.loads(text)}, "attached": {CORE}, "boundary": None,
    }
    assert read_role(iam, "tf-web") == kept, "a second plan is empty"
    iam.update_assume_role_policy(RoleName="tf-web", PolicyDocument=TRUSTS_EC2)
    iam.update_role_description(RoleName="tf-web", Description="the shop")
    iam.update_role(RoleName="tf-web", MaxSessionDuration=7200)
    iam.put_role_permissions_boundary(RoleName="tf-web", PermissionsBoundary=CORE)
    changed = read_role(iam, "tf-web")
    assert (changed["description"], changed["max_session_duration"], changed["boundary"]) == ("the shop", 7200, CORE)
    iam.delete_role_permissions_boundary(RoleName="tf-web")
    iam.untag_role(RoleName="tf-web", TagKeys=["team"])
    iam.tag_role(RoleName="tf-web", Tags=[{"Key": "team", "Value": "shop"}])
    assert read_role(iam, "tf-web")["tags"] == [{"Key": "team", "Value": "shop"}]
    delete_role(iam, "tf-web")
    assert code_of(iam.get_role, RoleName="tf-web") == "NoSuchEntity"


def test_role_policy_and_attachment_as_resources(iam):
    iam.create_role(RoleName="tf-parts", AssumeRolePolicyDocument=TRUSTS_EC2)
    text = document(allow("ec2:Describe*"))
    iam.put_role_policy(RoleName="tf-parts", PolicyName="parts", PolicyDocument=text)
    shown = iam.get_role_policy(RoleName="tf-parts", PolicyName="parts")
    assert shown["PolicyDocument"] == json.loads(text)
    iam.attach_role_policy(RoleName="tf-parts", PolicyArn=CORE)
    attached = iam.list_attached_role_policies(RoleName="tf-parts")["AttachedPolicies"]
    assert any(one["PolicyArn"] == CORE for one in attached)
    iam.detach_role_policy(RoleName="tf-parts", PolicyArn=CORE)
    assert code_of(iam.detach_role_policy, RoleName="tf-parts", PolicyArn=CORE) == "NoSuchEntity"
    iam.delete_role_policy(RoleName="tf-parts", PolicyName="parts")
    assert code_of(iam.get_role_policy, RoleName="tf-parts", PolicyName="parts") == "NoSuchEntity"
    delete_role(iam, "tf-parts")


def read_policy(iam, arn):
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert version["CreateDate"] and version["IsDefaultVersion"]
    return version["Document"]


def test_a_policy_that_is_changed_more_often_than_it_has_versions(iam):
    first = document(allow("s3:GetObject"))
    arn = iam.create_policy(PolicyName="tf-policy", Path="/", PolicyDocument=first)["Policy"]["Arn"]
    assert read_policy(iam, arn) == json.loads(first)
    for number in range(7):
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) >= 5:
            old = min((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: one["CreateDate"])
            iam.delete_policy_version(PolicyArn=arn, VersionId=old["VersionId"])
        text = document(allow("s3:GetObject", resource=f"arn:aws:s3:::b{number}/*"))
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
        assert read_policy(iam, arn) == json.loads(text)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    assert code_of(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"


def test_an_instance_profile(iam):
    iam.create_role(RoleName="tf-site", AssumeRolePolicyDocument=TRUSTS_EC2)
    tags = [{"Key": "team", "Value": "web"}]
    iam.create_instance_profile(InstanceProfileName="tf-site", Path="/", Tags=tags)
    iam.get_instance_profile(InstanceProfileName="tf-site")
    assert code_of(iam.add_role_to_instance_profile, InstanceProfileName="tf-site", RoleName="no") == "NoSuchEntity"
    iam.add_role_to_instance_profile(InstanceProfileName="tf-site", RoleName="tf-site")
    profile = iam.get_instance_profile(InstanceProfileName="tf-site")["InstanceProfile"]
    assert profile["CreateDate"] and profile["Tags"] == tags
    assert iam.get_role(RoleName=profile["Roles"][0]["RoleName"])["Role"]["RoleName"] == "tf-site"
    iam.remove_role_from_instance_profile(InstanceProfileName="tf-site", RoleName="tf-site")
    iam.delete_instance_profile(InstanceProfileName="tf-site")
    assert code_of(iam.get_instance_profile, InstanceProfileName="tf-site") == "NoSuchEntity"
    delete_role(iam, "tf-site")


def test_how_the_provider_starts(daemon, iam):
    """Account and partition come from an ARN: of GetCallerIdentity, or of GetUser without a name, or of a role."""
    arns = [daemon.client("sts").get_caller_identity()["Arn"], iam.get_user()["User"]["Arn"]]
    assert all(arn.split(":")[1] == "aws" and arn.split(":")[4] for arn in arns)
    assert isinstance(iam.list_roles(MaxItems=1)["Roles"], list)
