"""AWS Certificate Manager: each operation, and certificates that clients believe in a real TLS handshake."""

import pytest

from certificates import Authority, Front, openssl, refused, same
from elastane import until


@pytest.fixture(scope="module")
def acm(daemon):
    return daemon.client("acm")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def requested(acm, name, **more):
    return acm.request_certificate(DomainName=name, ValidationMethod="DNS", **more)["CertificateArn"]


def detail(acm, arn):
    return acm.describe_certificate(CertificateArn=arn)["Certificate"]


def imported(acm, pair, **more):
    return acm.import_certificate(
        Certificate=pair.body, PrivateKey=pair.key, CertificateChain=pair.chain, **more
    )["CertificateArn"]


def test_a_requested_certificate_is_believed_with_the_installations_authority(daemon, acm):
    arn = requested(acm, "www.shop.test", SubjectAlternativeNames=["*.api.shop.test"], KeyAlgorithm="EC_prime256v1")
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn)
    found = detail(acm, arn)
    assert (found["Status"], found["Type"], found["InUseBy"]) == ("ISSUED", "AMAZON_ISSUED", [])
    assert found["SubjectAlternativeNames"] == ["www.shop.test", "*.api.shop.test"]
    assert [one["ResourceRecord"]["Type"] for one in found["DomainValidationOptions"]] == ["CNAME", "CNAME"]
    front = Front(daemon, "issued", arn)
    try:
        trusted = daemon.run("ca").stdout
        shown = front.shown("www.shop.test", trusted)
        assert same(shown, acm.get_certificate(CertificateArn=arn)["Certificate"])
        assert same(front.shown("v1.api.shop.test", trusted), shown)
        assert detail(acm, arn)["InUseBy"] == [front.arn]
        refused("ResourceInUseException", acm.delete_certificate, CertificateArn=arn)
        # Renewed under its ARN, live.
        acm.renew_certificate(CertificateArn=arn)
        until(lambda: not same(front.shown("www.shop.test", trusted), shown), 20, "the renewed certificate")
        assert detail(acm, arn)["RenewalSummary"]["RenewalStatus"] == "SUCCESS"
    finally:
        front.delete()
    acm.delete_certificate(CertificateArn=arn)
    refused("ResourceNotFoundException", acm.describe_certificate, CertificateArn=arn)


@pytest.mark.parametrize("kind", [("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:secp384r1")])
def test_an_imported_certificate_is_shown_and_replaced_live(daemon, acm, authority, kind):
    first, second = authority.issue("import.test", kind=kind), authority.issue("import.test", kind=kind)
    arn = imported(acm, first)
    found = detail(acm, arn)
    assert (found["Status"], found["Type"]) == ("ISSUED", "IMPORTED")
    assert (found["Subject"], found["Issuer"]) == ("CN=import.test", "Test Authority")
    assert found["RenewalEligibility"] == "INELIGIBLE"
    front = Front(daemon, "imported", arn)
    try:
        assert same(front.shown("import.test", authority.pem), first.body)
        assert imported(acm, second, CertificateArn=arn) == arn
        until(lambda: same(front.shown("import.test", authority.pem), second.body), 20, "the new certificate")
    finally:
        front.delete()
    acm.delete_certificate(CertificateArn=arn)


def test_certificates_are_chosen_by_name(daemon, acm, authority):
    pairs = {name: authority.issue(name) for name in ("one.test", "two.test")}
    arns = {name: imported(acm, pair) for name, pair in pairs.items()}
    elb = daemon.client("elbv2")
    front = Front(daemon, "several", arns["one.test"])
    try:
        added = [{"CertificateArn": arns["two.test"]}]
        elb.add_listener_certificates(ListenerArn=front.listener, Certificates=added)
        listed = elb.describe_listener_certificates(ListenerArn=front.listener)["Certificates"]
        assert [(one["CertificateArn"], one["IsDefault"]) for one in listed] == [
            (arns["one.test"], True), (arns["two.test"], False)
        ]
        pages = elb.get_paginator("describe_listener_certificates").paginate(
            ListenerArn=front.listener, PaginationConfig={"PageSize": 1}
        )
        assert [len(page["Certificates"]) for page in pages] == [1, 1]

        def right():
            return all(same(front.shown(name, authority.pem), pair.body) for name, pair in pairs.items())

        until(right, 20, "each name to have its certificate")
        default = [{"CertificateArn": arns["one.test"]}]
        refused(
            "OperationNotPermitted", elb.remove_listener_certificates, ListenerArn=front.listener, Certificates=default
        )
        elb.remove_listener_certificates(ListenerArn=front.listener, Certificates=added)
        assert len(elb.describe_listener_certificates(ListenerArn=front.listener)["Certificates"]) == 1
        nobody = [{"CertificateArn": arns["one.test"][:-12] + "0" * 12}]
        refused("CertificateNotFound", elb.add_listener_certificates, ListenerArn=front.listener, Certificates=nobody)
    finally:
        front.delete()
    for arn in arns.values():
        acm.delete_certificate(CertificateArn=arn)


def test_what_is_wrong_with_an_import_is_told(acm, authority):
    good, other = authority.issue("good.test"), authority.issue("other.test")
    for body, key, chain in [
        (good.body, other.key, good.chain),
        (good.body, "no key", good.chain),
        ("no certificate", good.key, good.chain),
        (good.body + other.body, good.key, good.chain),
        (good.body, good.key, other.body),
    ]:
        refused(
            "ValidationException", acm.import_certificate, Certificate=body, PrivateKey=key, CertificateChain=chain
        )
    arn = imported(acm, good)
    refused(
        "InvalidParameterException", acm.import_certificate, Certificate=good.body, PrivateKey=good.key,
        CertificateArn=arn, Tags=[{"Key": "a", "Value": "b"}],
    )
    acm.delete_certificate(CertificateArn=arn)


def test_lists_tags_options_and_the_account(acm):
    arn = requested(acm, "list.test", Tags=[{"Key": "a", "Value": "1"}], IdempotencyToken="once")
    assert requested(acm, "list.test", IdempotencyToken="once") == arn
    listed = acm.list_certificates(CertificateStatuses=["ISSUED"], Includes={"keyTypes": ["RSA_2048"]})
    assert arn in [one["CertificateArn"] for one in listed["CertificateSummaryList"]]
    assert acm.list_certificates(CertificateStatuses=["EXPIRED"])["CertificateSummaryList"] == []
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a"}])
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    refused("ValidationException", acm.renew_certificate, CertificateArn=arn)
    refused(
        "InvalidStateException", acm.resend_validation_email, CertificateArn=arn, Domain="list.test",
        ValidationDomain="list.test",
    )
    acm.put_account_configuration(ExpiryEvents={"DaysBeforeExpiry": 30}, IdempotencyToken="t")
    assert acm.get_account_configuration()["ExpiryEvents"]["DaysBeforeExpiry"] == 30
    acm.delete_certificate(CertificateArn=arn)
    refused("InvalidArnException", acm.describe_certificate, CertificateArn="arn:aws:s3:::bucket-of-someone")
    refused("ValidationException", acm.request_certificate, DomainName="localhost")


def test_exported_keys_are_encrypted(acm, tmp_path):
    arn = requested(acm, "export.test")
    refused("ValidationException", acm.export_certificate, CertificateArn=arn, Passphrase=b"open sesame")
    acm.update_certificate_options(CertificateArn=arn, Options={"Export": "ENABLED"})
    exported = acm.export_certificate(CertificateArn=arn, Passphrase=b"open sesame")
    (tmp_path / "key.pem").write_text(exported["PrivateKey"])
    (tmp_path / "certificate.pem").write_text(exported["Certificate"])
    of_key = openssl(tmp_path, "pkey", "-in", "key.pem", "-passin", "pass:open sesame", "-pubout")
    assert of_key == openssl(tmp_path, "x509", "-in", "certificate.pem", "-noout", "-pubkey")
    acm.delete_certificate(CertificateArn=arn)


def test_security_policies(daemon):
    elb = daemon.client("elbv2")
    policies = elb.describe_ssl_policies()["SslPolicies"]
    names = [policy["Name"] for policy in policies]
    assert "ELBSecurityPolicy-TLS13-1-2-2021-06" in names and len(names) == len(set(names))
    found = elb.describe_ssl_policies(Names=["ELBSecurityPolicy-2016-08"], LoadBalancerType="network")["SslPolicies"]
    assert [cipher["Priority"] for cipher in found[0]["Ciphers"]] == list(range(1, len(found[0]["Ciphers"]) + 1))
    refused("SSLPolicyNotFound", elb.describe_ssl_policies, Names=["ELBSecurityPolicy-None"])
    first = elb.describe_ssl_policies(PageSize=3)
    assert [policy["Name"] for policy in first["SslPolicies"]] == names[:3]
    second = elb.describe_ssl_policies(PageSize=3, Marker=first["NextMarker"])
    assert [policy["Name"] for policy in second["SslPolicies"]] == names[3:6]
