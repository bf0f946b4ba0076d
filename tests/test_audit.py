"""The trail of calls: what is in it and what is not, and that it cannot be changed unseen. TLS on the main port."""

import json
import ssl
import urllib.request

import pytest

from elastane import until


def events(daemon, **attribute):
    ((key, value),) = attribute.items()
    found = daemon.client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])
    return [json.loads(one["CloudTrailEvent"]) for one in found["Events"]]


@pytest.fixture
def segment(daemon):
    return next((daemon.data / "audit").glob("trail-*.log"))


def test_calls_are_events_with_who_what_and_how_it_ended(daemon):
    iam = daemon.client("iam")
    iam.create_user(UserName="audited")
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName="audited")
    refused, made = events(daemon, EventName="CreateUser")
    assert refused["errorCode"] == "EntityAlreadyExists" and refused["responseElements"] is None
    assert "errorCode" not in made and made["responseElements"]["user"]["userName"] == "audited"
    assert made["userIdentity"]["type"] == "Root" and made["eventSource"] == "iam.amazonaws.com"
    assert made["requestParameters"] == {"userName": "audited"} and made["sourceIPAddress"] == "127.0.0.1"
    assert [one["eventID"] for one in events(daemon, ResourceName="audited")] == [refused["eventID"], made["eventID"]]
    iam.delete_user(UserName="audited")


def test_secrets_are_not_in_it(daemon, segment):
    ssm = daemon.client("ssm")
    ssm.put_parameter(Name="/audit/password", Type="SecureString", Value="correct-horse-battery")
    ssm.get_parameter(Name="/audit/password", WithDecryption=True)
    key = daemon.client("iam")
    key.create_user(UserName="audited")
    secret = key.create_access_key(UserName="audited")["AccessKey"]["SecretAccessKey"]
    text = segment.read_text()
    assert "PutParameter" in text and "CreateAccessKey" in text
    assert "correct-horse-battery" not in text and secret not in text
    assert b"correct-horse-battery" not in (daemon.data / "state.redb").read_bytes()


def test_pages_and_what_is_refused(daemon):
    trail = daemon.client("cloudtrail")
    for _ in range(3):
        daemon.client("sts").get_caller_identity()
    attributes = [{"AttributeKey": "EventName", "AttributeValue": "GetCallerIdentity"}]
    first = trail.lookup_events(LookupAttributes=attributes, MaxResults=2)
    second = trail.lookup_events(LookupAttributes=attributes, MaxResults=2, NextToken=first["NextToken"])
    ids = [one["EventId"] for one in first["Events"] + second["Events"]]
    assert len(ids) == len(set(ids)) >= 3
    with pytest.raises(trail.exceptions.InvalidTimeRangeException):
        trail.lookup_events(StartTime=2_000_000_000, EndTime=1_000_000_000)


def test_it_outlives_a_kill_and_every_change_is_found(daemon, segment):
    daemon.client("sts").get_caller_identity()
    daemon.kill()
    daemon.start()
    assert events(daemon, EventName="GetCallerIdentity")
    last = daemon.run("audit", "verify").stdout.split("last hash: ")[1].strip()
    daemon.client("sts").get_caller_identity()
    assert daemon.run("audit", "verify", "--expect", last)
    whole = segment.read_bytes()
    lines = whole.splitlines(keepends=True)
    try:
        for changed in [lines[:2] + lines[3:], lines[:2] + [lines[2].replace(b"root", b"toor")] + lines[3:]]:
            segment.write_bytes(b"".join(changed))
            broken = daemon.run("audit", "verify", check=False)
            assert broken.returncode != 0 and "broken" in broken.stderr
    finally:
        segment.write_bytes(whole)
    daemon.run("audit", "verify")


def test_pages_go_on_in_another_run(daemon):
    for _ in range(3):
        daemon.client("sts").get_caller_identity()
    attributes = [{"AttributeKey": "EventName", "AttributeValue": "GetCallerIdentity"}]
    first = daemon.client("cloudtrail").lookup_events(LookupAttributes=attributes, MaxResults=2)
    daemon.stop()
    daemon.start()
    daemon.client("sts").get_caller_identity()
    more = {"MaxResults": 2, "NextToken": first["NextToken"]}
    second = daemon.client("cloudtrail").lookup_events(LookupAttributes=attributes, **more)
    before, after = ({one["EventId"] for one in page["Events"]} for page in (first, second))
    assert after and not before & after


def test_calls_of_iam_are_events_of_one_region(daemon):
    daemon.client("iam", region="eu-west-1").list_users(PathPrefix="/elsewhere/")
    lookup = {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "ListUsers"}]}
    found = daemon.client("cloudtrail", region="us-east-1").lookup_events(**lookup)["Events"]
    assert json.loads(found[0]["CloudTrailEvent"])["requestParameters"] == {"pathPrefix": "/elsewhere/"}
    assert json.loads(found[0]["CloudTrailEvent"])["awsRegion"] == "us-east-1"
    assert daemon.client("cloudtrail", region="eu-west-1").lookup_events(**lookup)["Events"] == []


def test_a_damaged_end_is_set_aside(daemon, segment):
    daemon.client("sts").get_caller_identity()
    last = daemon.run("audit", "verify").stdout.split("last hash: ")[1].strip()
    daemon.kill()
    with open(segment, "ab") as file:
        file.write(bytes(4096) + b"\n")
    assert daemon.run("audit", "verify", check=False).returncode != 0
    daemon.start()
    assert "of the audit trail was damaged" in daemon.log_text()
    [aside] = (daemon.data / "audit").glob("trail-*.damaged-*")
    assert aside.read_bytes() == bytes(4096) + b"\n" and aside.stat().st_mode & 0o777 == 0o600
    assert events(daemon, EventName="GetCallerIdentity")
    daemon.run("audit", "verify", "--expect", last)


def test_the_main_port_speaks_tls(daemon):
    port = daemon.url.rsplit(":", 1)[1]
    trusted = ssl.create_default_context(cadata=daemon.run("ca").stdout)
    for host in ["localhost", "127.0.0.1"]:
        url = f"https://{host}:{port}/_elastane/health"
        with urllib.request.urlopen(url, context=trusted, timeout=30) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=ssl.create_default_context(), timeout=30)


def test_files_are_their_owners_alone(daemon):
    def open_to_others():
        files = [one for one in daemon.data.iterdir() if one.is_file()] + list((daemon.data / "audit").iterdir())
        return [one.name for one in files if one.stat().st_mode & 0o077]

    until(lambda: not open_to_others(), 10, lambda: f"no file that others can read: {open_to_others()}")
