"""IAM's managed and inline policies: versions, attachments, boundaries, simulations, the account."""

import json

import pytest

from iam import ACCOUNT, TRUSTS_EC2, allow, client_of, code_of, deny, document, pages_of, text_of

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture(scope="module")
def iam(daemon):
    return daemon.client("iam")


def made(iam, name, *statements, **more):
    policy = iam.create_policy(PolicyName=name, PolicyDocument=document(*statements), **more)["Policy"]
    return policy["Arn"]


def test_a_managed_policy_and_its_versions(iam):
    tags = [{"Key": "a", "Value": "1"}]
    arn = made(iam, "web", allow("s3:GetObject"), Path="/shop/", Description="what the shop reads", Tags=tags)
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/shop/web"
    iam.get_waiter("policy_exists").wait(PolicyArn=arn)
    shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert shown["PolicyId"].startswith("ANPA") and shown["Tags"] == tags and shown["Description"]
    assert (shown["DefaultVersionId"], shown["AttachmentCount"], shown["IsAttachable"]) == ("v1", 0, True)
    other = document(allow("s3:GetObject", resource=["arn:aws:s3:::a+b/*"]))
    second = iam.create_policy_version(PolicyArn=arn, PolicyDocument=other, SetAsDefault=True)["PolicyVersion"]
    assert (second["VersionId"], second["IsDefaultVersion"]) == ("v2", True)
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert version["Document"] == json.loads(other), "botocore decodes it; the plus is still there"
    assert [one["VersionId"] for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v2", "v1"]
    assert code_of(iam.delete_policy_version, PolicyArn=arn, VersionId="v2") == "DeleteConflict"
    assert code_of(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    assert code_of(iam.get_policy_version, PolicyArn=arn, VersionId="v7") == "NoSuchEntity"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["a"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert code_of(iam.create_policy, PolicyName="WEB", PolicyDocument=other) == "EntityAlreadyExists"
    iam.delete_policy(PolicyArn=arn)
    assert code_of(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"
    assert text_of(iam.get_policy, PolicyArn=arn) == f"Policy {arn} was not found."


def test_documents_that_are_no_policies(iam):
    for text in ["{", "{}", document({"Effect": "Allow", "Action": "s3:*"}), document(allow("s3"))]:
        assert code_of(iam.create_policy, PolicyName="bad", PolicyDocument=text) == "MalformedPolicyDocument", text
    large = document(allow("s3:GetObject", resource=[f"arn:aws:s3:::bucket/{number}" for number in range(400)]))
    assert code_of(iam.create_policy, PolicyName="large", PolicyDocument=large) == "LimitExceeded"


def test_lists_of_policies(iam):
    arns = [made(iam, f"page-{number}", allow("s3:*"), Path="/pages/") for number in range(3)]
    pages = pages_of(iam, "list_policies", "Policies", 2, Scope="Local", PathPrefix="/pages/")
    assert [[one["Arn"] for one in page] for page in pages] == [arns[:2], arns[2:]]
    aws = {one["PolicyName"] for page in pages_of(iam, "list_policies", "Policies", 10, Scope="AWS") for one in page}
    assert {"AdministratorAccess", "AmazonSSMManagedInstanceCore", "CloudWatchAgentServerPolicy"} <= aws
    assert code_of(iam.delete_policy, PolicyArn=ADMIN) == "AccessDenied"
    for arn in arns:
        iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_policies_of_each_kind_of_identity(iam, kind):
    name = {f"{kind.capitalize()}Name": f"bearer-{kind}"}
    call = {verb: getattr(iam, verb.replace("X", kind)) for verb in [
        "create_X", "delete_X", "put_X_policy", "get_X_policy", "list_X_policies", "delete_X_policy", "attach_X_policy",
        "detach_X_policy", "list_attached_X_policies"]}
    call["create_X"](**name, **({"AssumeRolePolicyDocument": TRUSTS_EC2} if kind == "role" else {}))
    text = document(allow("ec2:*"))
    for policy in ["one", "two"]:
        call["put_X_policy"](**name, PolicyName=policy, PolicyDocument=text)
    assert call["get_X_policy"](**name, PolicyName="one")["PolicyDocument"] == json.loads(text)
    assert pages_of(iam, f"list_{kind}_policies", "PolicyNames", 1, **name) == [["one"], ["two"]]
    assert text_of(call["get_X_policy"], **name, PolicyName="no") == f"The {kind} policy with name no cannot be found."
    assert code_of(call["delete_X"], **name) == "DeleteConflict"
    for policy in ["one", "two"]:
        call["delete_X_policy"](**name, PolicyName=policy)
    assert code_of(call["delete_X_policy"], **name, PolicyName="one") == "NoSuchEntity"
    call["attach_X_policy"](**name, PolicyArn=ADMIN)
    attached = call["list_attached_X_policies"](**name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMIN}]
    entities = iam.list_entities_for_policy(PolicyArn=ADMIN, EntityFilter=kind.capitalize())
    assert [one[f"{kind.capitalize()}Name"] for one in entities[f"Policy{kind.capitalize()}s"]] == list(name.values())
    assert code_of(call["delete_X"], **name) == "DeleteConflict"
    call["detach_X_policy"](**name, PolicyArn=ADMIN)
    assert code_of(call["detach_X_policy"], **name, PolicyArn=ADMIN) == "NoSuchEntity"
    missing = f"arn:aws:iam::{ACCOUNT}:policy/missing"
    assert code_of(call["attach_X_policy"], **name, PolicyArn=missing) == "NoSuchEntity"
    call["delete_X"](**name)


def test_a_boundary_limits_its_user(daemon, iam):
    arn = made(iam, "only-vpcs", allow("ec2:DescribeVpcs"))
    iam.create_user(UserName="bound", PermissionsBoundary=arn)
    shown = iam.get_user(UserName="bound")["User"]["PermissionsBoundary"]
    assert shown == {"PermissionsBoundaryArn": arn, "PermissionsBoundaryType": "Policy"}
    iam.attach_user_policy(UserName="bound", PolicyArn=ADMIN)
    key = iam.create_access_key(UserName="bound")["AccessKey"]
    ec2 = client_of(daemon, "ec2", key)
    ec2.describe_vpcs()
    assert code_of(ec2.describe_subnets) == "UnauthorizedOperation"
    assert code_of(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    iam.delete_user_permissions_boundary(UserName="bound")
    assert code_of(iam.delete_user_permissions_boundary, UserName="bound") == "NoSuchEntity"
    ec2.describe_subnets()
    missing = f"arn:aws:iam::{ACCOUNT}:policy/missing"
    assert code_of(iam.put_user_permissions_boundary, UserName="bound", PermissionsBoundary=missing) == "NoSuchEntity"
    iam.delete_access_key(UserName="bound", AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(UserName="bound", PolicyArn=ADMIN)
    iam.delete_user(UserName="bound")
    iam.delete_policy(PolicyArn=arn)


def test_simulations_decide_as_requests_are(daemon, iam):
    text = document(
        allow("ec2:Describe*"),
        allow("ec2:CreateVpc", Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}),
        deny("ec2:DescribeSubnets"),
    )
    actions = ["ec2:DescribeVpcs", "ec2:CreateVpc", "ec2:DescribeSubnets", "ec2:DeleteVpc"]
    custom = iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=actions)["EvaluationResults"]
    assert [one["EvalDecision"] for one in custom] == ["allowed", "implicitDeny", "explicitDeny", "implicitDeny"]
    assert custom[1]["MissingContextValues"] == ["aws:RequestedRegion"]
    assert custom[2]["MatchedStatements"][0]["SourcePolicyId"] == "PolicyInputList.1"
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[text])["ContextKeyNames"]
    assert keys == ["aws:RequestedRegion"]
    user = iam.create_user(UserName="sim")["User"]["Arn"]
    iam.put_user_policy(UserName="sim", PolicyName="some", PolicyDocument=text)
    entries = [{"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": ["eu-west-1"], "ContextKeyType": "string"}]
    own = iam.simulate_principal_policy(PolicySourceArn=user, ActionNames=actions, ContextEntries=entries)
    decided = {one["EvalActionName"]: one["EvalDecision"] for one in own["EvaluationResults"]}
    assert decided["ec2:CreateVpc"] == "allowed"
    ec2 = client_of(daemon, "ec2", iam.create_access_key(UserName="sim")["AccessKey"])
    ec2.describe_vpcs()
    assert decided["ec2:DescribeSubnets"] == "explicitDeny" and code_of(ec2.describe_subnets) == "UnauthorizedOperation"
    assert code_of(iam.simulate_custom_policy, PolicyInputList=["{"], ActionNames=actions) == "InvalidInput"
    assert code_of(iam.simulate_principal_policy, PolicySourceArn=f"{user}x", ActionNames=actions) == "NoSuchEntity"


def test_the_account(iam):
    iam.create_account_alias(AccountAlias="shop")
    assert iam.list_account_aliases()["AccountAliases"] == ["shop"]
    iam.delete_account_alias(AccountAlias="shop")
    assert code_of(iam.delete_account_alias, AccountAlias="shop") == "NoSuchEntity"
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["UsersQuota"] == 5000 and summary["MFADevices"] == 0
    iam.create_role(RoleName="detail", AssumeRolePolicyDocument=TRUSTS_EC2)
    iam.attach_role_policy(RoleName="detail", PolicyArn=ADMIN)
    details = iam.get_account_authorization_details(Filter=["Role", "AWSManagedPolicy"])
    role = next(one for one in details["RoleDetailList"] if one["RoleName"] == "detail")
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUSTS_EC2)
    assert [one["PolicyName"] for one in role["AttachedManagedPolicies"]] == ["AdministratorAccess"]
    assert "AdministratorAccess" in {one["PolicyName"] for one in details["Policies"]}
    iam.detach_role_policy(RoleName="detail", PolicyArn=ADMIN)
    iam.delete_role(RoleName="detail")


def test_policies_of_aws_can_be_read(iam):
    arns = [one["Arn"] for page in pages_of(iam, "list_policies", "Policies", 100, Scope="AWS") for one in page]
    assert len(arns) >= 30
    for arn in arns:
        version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
        text = json.dumps(version["Document"])
        iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=["ec2:DescribeVpcs"])
