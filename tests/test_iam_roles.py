"""IAM's roles, and the sessions that STS makes of them."""

import json

import pytest

from iam import ACCOUNT, TRUSTS_ACCOUNT, TRUSTS_EC2, allow, client_of, code_of, document, pages_of, text_of, trust


@pytest.fixture(scope="module")
def iam(daemon):
    return daemon.client("iam")


@pytest.fixture(scope="module")
def sts(daemon):
    return daemon.client("sts")


def test_a_role_from_making_to_deletion(iam):
    made = iam.create_role(
        RoleName="web", Path="/app/", AssumeRolePolicyDocument=TRUSTS_EC2, Description="the shop",
        MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "1"}],
    )["Role"]
    assert made["Arn"].endswith(":role/app/web") and made["RoleId"].startswith("AROA")
    iam.get_waiter("role_exists").wait(RoleName="web")
    shown = iam.get_role(RoleName="web")["Role"]
    assert (shown["Description"], shown["MaxSessionDuration"]) == ("the shop", 7200)
    assert shown["AssumeRolePolicyDocument"] == json.loads(TRUSTS_EC2)
    iam.update_role(RoleName="web", Description="another", MaxSessionDuration=3600)
    iam.update_role_description(RoleName="web", Description="a third")
    assert iam.get_role(RoleName="web")["Role"]["Description"] == "a third"
    iam.tag_role(RoleName="web", Tags=[{"Key": "b", "Value": "2"}])
    assert [len(page) for page in pages_of(iam, "list_role_tags", "Tags", 1, RoleName="web")] == [1, 1]
    nobody = trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"})
    assert "Invalid principal" in text_of(iam.update_assume_role_policy, RoleName="web", PolicyDocument=nobody)
    iam.create_instance_profile(InstanceProfileName="site", Tags=[{"Key": "a", "Value": "1"}])
    iam.add_role_to_instance_profile(InstanceProfileName="site", RoleName="web")
    assert iam.list_instance_profile_tags(InstanceProfileName="site")["Tags"] == [{"Key": "a", "Value": "1"}]
    assert code_of(iam.delete_role, RoleName="web") == "DeleteConflict"
    iam.remove_role_from_instance_profile(InstanceProfileName="site", RoleName="web")
    iam.delete_instance_profile(InstanceProfileName="site")
    iam.delete_role(RoleName="web")
    for call in [iam.get_role, iam.delete_role, iam.list_role_tags, iam.list_role_policies, iam.update_role]:
        assert code_of(call, RoleName="web") == "NoSuchEntity", call


def test_services_make_their_roles(daemon, iam):
    name = "AWSServiceRoleForAutoScaling"
    assert code_of(iam.get_role, RoleName=name) == "NoSuchEntity"
    scaling, ec2 = daemon.client("autoscaling"), daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName="linked", LaunchTemplateData=data)
    group = {"AutoScalingGroupName": "linked", "MinSize": 0, "MaxSize": 0, "AvailabilityZones": ["us-east-1a"]}
    scaling.create_auto_scaling_group(LaunchTemplate={"LaunchTemplateName": "linked"}, **group)
    made = iam.get_role(RoleName=name)["Role"]
    told = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["linked"])["AutoScalingGroups"][0]
    assert made["Arn"] == told["ServiceLinkedRoleARN"]
    # It stays as long as the service needs it.
    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "FAILED"
    scaling.delete_auto_scaling_group(AutoScalingGroupName="linked")
    ec2.delete_launch_template(LaunchTemplateName="linked")


def test_service_linked_roles(iam):
    made = iam.create_service_linked_role(AWSServiceName="elasticloadbalancing.amazonaws.com")["Role"]
    assert made["Path"] == "/aws-service-role/elasticloadbalancing.amazonaws.com/"
    name = {"RoleName": made["RoleName"]}
    assert code_of(iam.delete_role, **name) == "UnmodifiableEntity"
    assert code_of(iam.update_assume_role_policy, **name, PolicyDocument=TRUSTS_EC2) == "UnmodifiableEntity"
    again = text_of(iam.create_service_linked_role, AWSServiceName="elasticloadbalancing.amazonaws.com")
    assert "has been taken in this account" in again
    task = iam.delete_service_linked_role(**name)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    assert code_of(iam.get_role, **name) == "NoSuchEntity"


def test_a_session_may_what_its_role_may(daemon, iam, sts):
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=TRUSTS_ACCOUNT)["Role"]["Arn"]
    iam.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=document(allow("ec2:Describe*")))
    made = sts.assume_role(RoleArn=arn, RoleSessionName="night")
    assert made["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/night"
    session = made["Credentials"]
    assert client_of(daemon, "sts", session).get_caller_identity()["Arn"] == made["AssumedRoleUser"]["Arn"]
    ec2 = client_of(daemon, "ec2", session)
    ec2.describe_vpcs()
    assert code_of(ec2.create_vpc, CidrBlock="10.8.0.0/16") == "UnauthorizedOperation"
    without_token = client_of(daemon, "ec2", {**session, "SessionToken": None})
    assert code_of(without_token.describe_vpcs) in {"AuthFailure", "InvalidClientTokenId"}
    limited = sts.assume_role(
        RoleArn=arn, RoleSessionName="limited", Policy=document(allow("ec2:DescribeVpcs")),
    )
    assert limited["PackedPolicySize"] > 0
    few = client_of(daemon, "ec2", limited["Credentials"])
    few.describe_vpcs()
    assert code_of(few.describe_subnets) == "UnauthorizedOperation"
    iam.delete_role_policy(RoleName="reader", PolicyName="read")
    assert code_of(ec2.describe_vpcs) == "UnauthorizedOperation"
    iam.delete_role(RoleName="reader")
    assert code_of(ec2.describe_vpcs) in {"AuthFailure", "InvalidClientTokenId"}, "the session is dead"


def test_who_may_assume(daemon, iam):
    user = iam.create_user(UserName="fay")["User"]["Arn"]
    key = iam.create_access_key(UserName="fay")["AccessKey"]
    condition = {"StringEquals": {"sts:ExternalId": "x-1"}}
    outer = trust({"AWS": user}, Condition=condition)
    arn = iam.create_role(RoleName="outer", AssumeRolePolicyDocument=outer)["Role"]["Arn"]
    sts = client_of(daemon, "sts", key)
    asked = {"RoleArn": arn, "RoleSessionName": "s1"}
    assert code_of(sts.assume_role, **asked) == "AccessDenied"
    assert code_of(sts.assume_role, **asked, ExternalId="x-2") == "AccessDenied"
    session = sts.assume_role(**asked, ExternalId="x-1")["Credentials"]
    inner = iam.create_role(RoleName="inner", AssumeRolePolicyDocument=trust({"AWS": arn}))["Role"]["Arn"]
    chained = client_of(daemon, "sts", session)
    assert code_of(chained.assume_role, RoleArn=inner, RoleSessionName="s2", DurationSeconds=3601) == "ValidationError"
    assert code_of(sts.assume_role, RoleArn=inner, RoleSessionName="s2") == "AccessDenied"
    chained.assume_role(RoleArn=inner, RoleSessionName="s2", DurationSeconds=3600)
    assert code_of(chained.get_session_token) == "AccessDenied"
    token = sts.get_session_token(DurationSeconds=900)["Credentials"]
    assert client_of(daemon, "sts", token).get_caller_identity()["Arn"] == user
    assert code_of(client_of(daemon, "iam", token).get_user) in {"InvalidClientTokenId", "AccessDenied"}


def test_refusals_of_ec2_can_be_decoded(daemon, iam, sts):
    iam.create_user(UserName="gus")
    iam.put_user_policy(UserName="gus", PolicyName="sees", PolicyDocument=document(allow("ec2:Describe*")))
    ec2 = client_of(daemon, "ec2", iam.create_access_key(UserName="gus")["AccessKey"])
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    text = text_of(ec2.delete_vpc, VpcId=vpc)
    encoded = text.split("Encoded authorization failure message: ")[1]
    decoded = json.loads(sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    assert decoded["allowed"] is False and decoded["context"]["action"] == "ec2:DeleteVpc"
    foreign = code_of(sts.decode_authorization_message, EncodedMessage="bm90IG91cnM")
    assert foreign == "InvalidAuthorizationMessageException"


def test_trust_is_in_the_user_not_in_its_name(daemon, iam):
    first = iam.create_user(UserName="hal")["User"]
    arn = iam.create_role(RoleName="hals", AssumeRolePolicyDocument=trust({"AWS": first["Arn"]}))["Role"]["Arn"]
    asked = {"RoleArn": arn, "RoleSessionName": "s1"}
    key = iam.create_access_key(UserName="hal")["AccessKey"]
    client_of(daemon, "sts", key).assume_role(**asked)
    iam.delete_access_key(UserName="hal", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="hal")
    shown = iam.get_role(RoleName="hals")["Role"]["AssumeRolePolicyDocument"]
    assert shown["Statement"][0]["Principal"] == {"AWS": first["UserId"]}
    iam.create_user(UserName="hal")
    another = iam.create_access_key(UserName="hal")["AccessKey"]
    assert code_of(client_of(daemon, "sts", another).assume_role, **asked) == "AccessDenied"
