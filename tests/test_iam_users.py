"""IAM's users, groups and access keys, and what their keys can do."""

import pytest

from iam import allow, client_of, code_of, deny, document, pages_of, text_of


@pytest.fixture(scope="module")
def iam(daemon):
    return daemon.client("iam")


def test_a_user_from_making_to_deletion(iam):
    made = iam.create_user(UserName="ann", Path="/team/", Tags=[{"Key": "a", "Value": "1"}])["User"]
    assert made["Arn"].endswith(":user/team/ann") and made["UserId"].startswith("AIDA")
    iam.get_waiter("user_exists").wait(UserName="ann")
    assert iam.get_user(UserName="ann")["User"]["Tags"] == [{"Key": "a", "Value": "1"}]
    assert code_of(iam.create_user, UserName="Ann") == "EntityAlreadyExists"
    iam.tag_user(UserName="ann", Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_user(UserName="ann", TagKeys=["a"])
    assert iam.list_user_tags(UserName="ann")["Tags"] == [{"Key": "b", "Value": "2"}]
    iam.update_user(UserName="ann", NewUserName="anna", NewPath="/")
    assert iam.get_user(UserName="anna")["User"]["UserId"] == made["UserId"]
    assert code_of(iam.get_user, UserName="ann") == "NoSuchEntity"
    iam.delete_user(UserName="anna")
    for call in [
        iam.delete_user, iam.list_user_tags, iam.list_access_keys, iam.list_user_policies, iam.list_mfa_devices,
        iam.list_attached_user_policies, iam.list_groups_for_user, iam.get_login_profile,
    ]:
        assert code_of(call, UserName="anna") == "NoSuchEntity", call
    assert text_of(iam.delete_user, UserName="anna") == "The user with name anna cannot be found."


def test_users_come_in_pages(iam):
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")
    pages = pages_of(iam, "list_users", "Users", 2, PathPrefix="/pages/")
    assert [[one["UserName"] for one in page] for page in pages] == [names[:2], names[2:4], names[4:]]
    for name in names:
        iam.delete_user(UserName=name)


def test_a_group_and_its_users(iam):
    made = iam.create_group(GroupName="ops", Path="/team/")["Group"]
    assert made["Arn"].endswith(":group/team/ops") and made["GroupId"].startswith("AGPA")
    for name in ["bob", "cyd"]:
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="ops", UserName=name)
    assert [len(page) for page in pages_of(iam, "get_group", "Users", 1, GroupName="ops")] == [1, 1]
    assert [one["GroupName"] for one in iam.list_groups_for_user(UserName="bob")["Groups"]] == ["ops"]
    assert [one["GroupName"] for one in iam.list_groups(PathPrefix="/team/")["Groups"]] == ["ops"]
    iam.update_group(GroupName="ops", NewGroupName="ops2")
    assert code_of(iam.get_group, GroupName="ops") == "NoSuchEntity"
    assert code_of(iam.delete_group, GroupName="ops2") == "DeleteConflict"
    assert code_of(iam.delete_user, UserName="bob") == "DeleteConflict"
    for name in ["bob", "cyd"]:
        iam.remove_user_from_group(GroupName="ops2", UserName=name)
        iam.delete_user(UserName=name)
    iam.delete_group(GroupName="ops2")
    assert code_of(iam.delete_group, GroupName="ops2") == "NoSuchEntity"


def test_an_access_key_signs_what_its_user_may(daemon, iam):
    iam.create_user(UserName="dan")
    key = iam.create_access_key(UserName="dan")["AccessKey"]
    sts = client_of(daemon, "sts", key)
    assert sts.get_caller_identity()["Arn"].endswith(":user/dan")
    own = client_of(daemon, "iam", key)
    assert code_of(own.list_users) == "AccessDenied"
    assert "dan is not authorized to perform: iam:ListUsers" in text_of(own.list_users)
    iam.put_user_policy(UserName="dan", PolicyName="read", PolicyDocument=document(allow("iam:List*", "iam:GetUser")))
    assert [one["UserName"] for one in own.list_users()["Users"]] == ["dan"]
    assert own.get_user()["User"]["UserName"] == "dan"
    last = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert last["UserName"] == "dan" and last["AccessKeyLastUsed"]["ServiceName"] == "iam", last
    iam.create_group(GroupName="barred")
    iam.put_group_policy(GroupName="barred", PolicyName="no", PolicyDocument=document(deny("iam:ListUsers")))
    iam.add_user_to_group(GroupName="barred", UserName="dan")
    assert "explicit deny" in text_of(own.list_users)
    iam.remove_user_from_group(GroupName="barred", UserName="dan")
    iam.update_access_key(UserName="dan", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert code_of(own.list_users) == "InvalidClientTokenId"
    iam.update_access_key(UserName="dan", AccessKeyId=key["AccessKeyId"], Status="Active")
    own.list_users()
    second = iam.create_access_key(UserName="dan")["AccessKey"]
    assert code_of(iam.create_access_key, UserName="dan") == "LimitExceeded"
    listed = iam.list_access_keys(UserName="dan")["AccessKeyMetadata"]
    assert len(listed) == 2 and all("SecretAccessKey" not in one for one in listed)
    assert code_of(iam.delete_user, UserName="dan") == "DeleteConflict"
    for one in [key, second]:
        iam.delete_access_key(UserName="dan", AccessKeyId=one["AccessKeyId"])
    assert code_of(own.list_users) == "InvalidClientTokenId"
    assert code_of(iam.delete_access_key, UserName="dan", AccessKeyId=key["AccessKeyId"]) == "NoSuchEntity"
    iam.delete_user_policy(UserName="dan", PolicyName="read")
    iam.delete_user(UserName="dan")
    iam.delete_group_policy(GroupName="barred", PolicyName="no")
    iam.delete_group(GroupName="barred")


def test_keys_survive_a_restart(daemon, iam):
    iam.create_user(UserName="eve")
    iam.put_user_policy(UserName="eve", PolicyName="all", PolicyDocument=document(allow("ec2:Describe*")))
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    daemon.stop()
    daemon.start()
    client_of(daemon, "ec2", key).describe_vpcs()
    assert code_of(client_of(daemon, "ec2", key).create_vpc, CidrBlock="10.9.0.0/16") == "UnauthorizedOperation"
    secret = key["SecretAccessKey"]
    assert secret not in daemon.log_text(), "secrets are not logged"
