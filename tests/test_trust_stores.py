"""Trust stores: each operation. Bundles and revocation lists are objects of buckets: files in the data directory."""

import shutil
import urllib.request

import pytest

from certificates import Authority, Front, refused
from elastane import NOBODY


@pytest.fixture(scope="module")
def elb(daemon):
    return daemon.client("elbv2")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def bucket(daemon):
    """Puts objects into a bucket."""
    folder = daemon.data / "buckets" / "trust"

    def put(key, content):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if daemon.drops_privileges:
            for made in (path, path.parent, folder, folder.parent):
                shutil.chown(made, NOBODY, NOBODY)

    return put


def created(elb, name, key="ca.pem", **more):
    return elb.create_trust_store(
        Name=name, CaCertificatesBundleS3Bucket="trust", CaCertificatesBundleS3Key=key, **more
    )["TrustStores"][0]


def fetched(location):
    with urllib.request.urlopen(location) as answer:
        return answer.read().decode()


def test_a_trust_store_from_creation_to_deletion(elb, authority, bucket):
    bucket("ca.pem", authority.pem)
    bucket("deep/two.pem", authority.pem * 2)
    made = created(elb, "clients", Tags=[{"Key": "a", "Value": "1"}])
    arn = made["TrustStoreArn"]
    assert ":truststore/clients/" in arn
    assert (made["Status"], made["NumberOfCaCertificates"], made["TotalRevokedEntries"]) == ("ACTIVE", 1, 0)
    changed = elb.modify_trust_store(
        TrustStoreArn=arn, CaCertificatesBundleS3Bucket="trust", CaCertificatesBundleS3Key="deep/two.pem"
    )["TrustStores"][0]
    assert changed["NumberOfCaCertificates"] == 2
    assert [one["Name"] for one in elb.describe_trust_stores(Names=["clients"])["TrustStores"]] == ["clients"]
    assert elb.describe_trust_stores(TrustStoreArns=[arn])["TrustStores"] == [changed]
    location = elb.get_trust_store_ca_certificates_bundle(TrustStoreArn=arn)["Location"]
    assert fetched(location).count("BEGIN CERTIFICATE") == 2
    tags = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    assert tags == [{"Key": "a", "Value": "1"}]
    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "b", "Value": "2"}])
    elb.remove_tags(ResourceArns=[arn], TagKeys=["a"])
    assert elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"] == [{"Key": "b", "Value": "2"}]
    refused("ResourceNotFound", elb.get_resource_policy, ResourceArn=arn)
    refused(
        "TrustStoreAssociationNotFound", elb.delete_shared_trust_store_association, TrustStoreArn=arn,
        ResourceArn=arn.replace("truststore", "listener"),
    )
    elb.delete_trust_store(TrustStoreArn=arn)
    refused("TrustStoreNotFound", elb.delete_trust_store, TrustStoreArn=arn)
    refused("TrustStoreNotFound", elb.describe_trust_stores, TrustStoreArns=[arn])


def test_what_is_wrong_with_a_bundle_is_told(elb, authority, bucket):
    bucket("junk.pem", "junk")
    bucket("leaf.pem", authority.issue("leaf.test").body)
    bucket("large.pem", "x" * (1 << 20) + "x")
    for key, code in [
        ("none.pem", "CaCertificatesBundleNotFound"),
        ("../../credentials.json", "CaCertificatesBundleNotFound"),
        ("junk.pem", "InvalidCaCertificatesBundle"),
        ("leaf.pem", "InvalidCaCertificatesBundle"),
        ("large.pem", "InvalidCaCertificatesBundle"),
    ]:
        refused(
            code, elb.create_trust_store, Name="wrong", CaCertificatesBundleS3Bucket="trust",
            CaCertificatesBundleS3Key=key,
        )


def test_revocations(elb, authority, bucket):
    bucket("ca.pem", authority.pem)
    authority.issue("revoked.test")
    bucket("crl.pem", authority.revocations(authority.last))
    bucket("junk.pem", "junk")
    arn = created(elb, "revoking")["TrustStoreArn"]
    content = {"S3Bucket": "trust", "S3Key": "crl.pem", "RevocationType": "CRL"}
    added = elb.add_trust_store_revocations(TrustStoreArn=arn, RevocationContents=[content])["TrustStoreRevocations"]
    assert [one["NumberOfRevokedEntries"] for one in added] == [1]
    number = added[0]["RevocationId"]
    assert elb.describe_trust_store_revocations(TrustStoreArn=arn)["TrustStoreRevocations"] == added
    location = elb.get_trust_store_revocation_content(TrustStoreArn=arn, RevocationId=number)["Location"]
    assert "BEGIN X509 CRL" in fetched(location)
    assert elb.describe_trust_stores(Names=["revoking"])["TrustStores"][0]["TotalRevokedEntries"] == 1
    for key, code in [("none.pem", "RevocationContentNotFound"), ("junk.pem", "InvalidRevocationContent")]:
        refused(
            code, elb.add_trust_store_revocations, TrustStoreArn=arn, RevocationContents=[{**content, "S3Key": key}]
        )
    refused("RevocationIdNotFound", elb.remove_trust_store_revocations, TrustStoreArn=arn, RevocationIds=[number + 1])
    elb.remove_trust_store_revocations(TrustStoreArn=arn, RevocationIds=[number])
    assert elb.describe_trust_store_revocations(TrustStoreArn=arn)["TrustStoreRevocations"] == []
    elb.delete_trust_store(TrustStoreArn=arn)


def test_a_trust_store_in_use_stays(daemon, elb, authority, bucket):
    bucket("ca.pem", authority.pem)
    acm = daemon.client("acm")
    pair = authority.issue("mutual.test")
    certificate = acm.import_certificate(Certificate=pair.body, PrivateKey=pair.key)["CertificateArn"]
    arn = created(elb, "used")["TrustStoreArn"]
    mutual = {"Mode": "verify", "TrustStoreArn": arn}
    front = Front(daemon, "mutual", certificate, MutualAuthentication=mutual)
    try:
        found = elb.describe_trust_store_associations(TrustStoreArn=arn)["TrustStoreAssociations"]
        assert [one["ResourceArn"] for one in found] == [front.listener]
        refused("TrustStoreInUse", elb.delete_trust_store, TrustStoreArn=arn)
        refused(
            "DeleteAssociationSameAccount", elb.delete_shared_trust_store_association, TrustStoreArn=arn,
            ResourceArn=front.listener,
        )
    finally:
        front.delete()
    elb.delete_trust_store(TrustStoreArn=arn)
    acm.delete_certificate(CertificateArn=certificate)
