"""Keys of KMS and Parameter Store, as boto3 and Terraform meet them."""

import pytest

from certificates import refused


@pytest.fixture
def kms(daemon):
    return daemon.client("kms")


@pytest.fixture
def ssm(daemon):
    return daemon.client("ssm")


def test_a_key_as_terraform_makes_and_reads_it(kms):
    key = kms.create_key(Description="app", Tags=[{"TagKey": "a", "TagValue": "1"}])["KeyMetadata"]
    assert (key["KeyState"], key["KeyManager"], key["Origin"]) == ("Enabled", "CUSTOMER", "AWS_KMS")
    kms.enable_key_rotation(KeyId=key["KeyId"])
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    kms.create_alias(AliasName="alias/app", TargetKeyId=key["KeyId"])
    assert [one["AliasName"] for one in kms.list_aliases(KeyId=key["KeyId"])["Aliases"]] == ["alias/app"]
    assert "Enable IAM User Permissions" in kms.get_key_policy(KeyId=key["Arn"], PolicyName="default")["Policy"]
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "a", "TagValue": "1"}]
    kms.update_key_description(KeyId=key["KeyId"], Description="other")
    kms.disable_key(KeyId=key["KeyId"])
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key["KeyId"])
    kms.delete_alias(AliasName="alias/app")
    assert kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
    refused("KMSInvalidStateException", kms.schedule_key_deletion, KeyId=key["KeyId"])
    refused("NotFoundException", kms.describe_key, KeyId="alias/app")


def test_what_is_sealed_survives_a_restart(daemon, kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    context = {"purpose": "test"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)["CiphertextBlob"]
    data = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    daemon.kill()
    daemon.start()
    kms = daemon.client("kms")
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext=context)["Plaintext"] == b"secret"
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=sealed)
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"no sealed text")


def test_keys_come_in_pages(kms):
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)}
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    listed = [one["KeyId"] for page in pages for one in page["Keys"]]
    assert made <= set(listed) and len(listed) == len(set(listed))


def test_parameters_of_each_type(ssm):
    for name, kind, value in [
        ("/shop/url", "String", "http://db"), ("/shop/zones", "StringList", "a,b"),
        ("/shop/password", "SecureString", "hunter2"),
    ]:
        assert ssm.put_parameter(Name=name, Type=kind, Value=value)["Version"] == 1
        shown = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        assert (shown["Type"], shown["Value"], shown["DataType"]) == (kind, value, "text")
        described = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])["Parameters"]
        assert [(one["Name"], one["Tier"]) for one in described] == [(name, "Standard")]
    assert ssm.get_parameter(Name="/shop/password")["Parameter"]["Value"] != "hunter2"
    refused("ParameterAlreadyExists", ssm.put_parameter, Name="/shop/url", Type="String", Value="x")
    assert ssm.put_parameter(Name="/shop/url", Type="String", Value="http://new", Overwrite=True)["Version"] == 2
    assert ssm.get_parameter(Name="/shop/url:1")["Parameter"]["Value"] == "http://db"
    ssm.label_parameter_version(Name="/shop/url", ParameterVersion=1, Labels=["stable"])
    assert ssm.get_parameter(Name="/shop/url:stable")["Parameter"]["Version"] == 1
    assert [one["Version"] for one in ssm.get_parameter_history(Name="/shop/url")["Parameters"]] == [1, 2]
    below = ssm.get_parameters_by_path(Path="/shop", WithDecryption=True)["Parameters"]
    assert {one["Name"]: one["Value"] for one in below}["/shop/password"] == "hunter2"
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId="/shop/url", Tags=[{"Key": "a", "Value": "1"}])
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/shop/url")["TagList"]
    assert tags == [{"Key": "a", "Value": "1"}]
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId="/shop/url", TagKeys=["a"])
    gone = ssm.delete_parameters(Names=["/shop/url", "/shop/none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/shop/url"], ["/shop/none"])
    refused("ParameterNotFound", ssm.get_parameter, Name="/shop/url")
    refused("ParameterNotFound", ssm.delete_parameter, Name="/shop/url")


def test_a_parameter_sealed_with_ones_own_key_goes_with_it(kms, ssm):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    ssm.put_parameter(Name="/own", Type="SecureString", Value="x", KeyId=key)
    assert ssm.get_parameter(Name="/own", WithDecryption=True)["Parameter"]["Value"] == "x"
    kms.disable_key(KeyId=key)
    refused("InvalidKeyId", ssm.get_parameter, Name="/own", WithDecryption=True)
    assert ssm.get_parameter(Name="/own")["Parameter"]["Type"] == "SecureString"
