"""IAM's server certificates: each operation, and one on a listener."""

import pytest

from certificates import Authority, Front, refused, same


@pytest.fixture(scope="module")
def iam(daemon):
    return daemon.client("iam")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def uploaded(iam, name, pair, **more):
    return iam.upload_server_certificate(
        ServerCertificateName=name, CertificateBody=pair.body, PrivateKey=pair.key, CertificateChain=pair.chain, **more
    )["ServerCertificateMetadata"]


def test_a_server_certificate_from_upload_to_deletion(iam, authority):
    pair = authority.issue("iam.test")
    made = uploaded(iam, "web", pair, Path="/shop/", Tags=[{"Key": "a", "Value": "1"}])
    assert made["Arn"].endswith(":server-certificate/shop/web") and made["ServerCertificateId"].startswith("ASCA")
    found = iam.get_server_certificate(ServerCertificateName="web")["ServerCertificate"]
    assert same(found["CertificateBody"], pair.body) and same(found["CertificateChain"], pair.chain)
    assert found["Tags"] == [{"Key": "a", "Value": "1"}]
    listed = iam.list_server_certificates(PathPrefix="/shop/")["ServerCertificateMetadataList"]
    assert [one["ServerCertificateName"] for one in listed] == ["web"]
    assert iam.list_server_certificates(PathPrefix="/other/")["ServerCertificateMetadataList"] == []
    refused(
        "EntityAlreadyExists", iam.upload_server_certificate, ServerCertificateName="WEB", CertificateBody=pair.body,
        PrivateKey=pair.key,
    )
    iam.tag_server_certificate(ServerCertificateName="web", Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_server_certificate(ServerCertificateName="web", TagKeys=["a"])
    tags = iam.list_server_certificate_tags(ServerCertificateName="web")["Tags"]
    assert tags == [{"Key": "b", "Value": "2"}]
    iam.update_server_certificate(ServerCertificateName="web", NewServerCertificateName="front", NewPath="/new/")
    moved = iam.get_server_certificate(ServerCertificateName="front")["ServerCertificate"]["ServerCertificateMetadata"]
    assert moved["ServerCertificateId"] == made["ServerCertificateId"] and moved["Path"] == "/new/"
    refused("NoSuchEntity", iam.get_server_certificate, ServerCertificateName="web")
    iam.delete_server_certificate(ServerCertificateName="front")
    refused("NoSuchEntity", iam.delete_server_certificate, ServerCertificateName="front")


def test_what_is_wrong_with_an_upload_is_told(iam, authority):
    good, other = authority.issue("good.test"), authority.issue("other.test")
    call = iam.upload_server_certificate
    refused("KeyPairMismatch", call, ServerCertificateName="x", CertificateBody=good.body, PrivateKey=other.key)
    refused("MalformedCertificate", call, ServerCertificateName="x", CertificateBody="junk", PrivateKey=good.key)


def test_a_listener_shows_it(daemon, iam, authority):
    pair = authority.issue("iam-front.test")
    made = uploaded(iam, "shown", pair)
    front = Front(daemon, "iam-front", made["Arn"])
    try:
        assert same(front.shown("iam-front.test", authority.pem), pair.body)
        refused("DeleteConflict", iam.delete_server_certificate, ServerCertificateName="shown")
        refused(
            "ValidationError", iam.update_server_certificate, ServerCertificateName="shown",
            NewServerCertificateName="other",
        )
    finally:
        front.delete()
    iam.delete_server_certificate(ServerCertificateName="shown")
