"""The metadata service, asked from inside an instance with the tools that people use there. Where an instance has no
network of its own the environment names the service's address, in the variable that the SDKs read."""

import json

import pytest

import elastane
from elastane import until

SETUPS = elastane.SETUPS
BASE = "$base/latest"
START = 'base="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"\nbase="${base%/}"\n'
TOKEN = f'token=$(curl -sf -X PUT "{BASE}/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 60")\n'
ASK = 'ask() { curl -s -o /dev/null -w "%{http_code}" "$@"; }\n'


def get(path):
    return f'{TOKEN}curl -sf -H "X-aws-ec2-metadata-token: $token" {BASE}/{path}'


@pytest.fixture(scope="module")
def instance(daemon):
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    run = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData="#!/bin/sh\necho from user data\n",
        MetadataOptions={"HttpTokens": "required"},
    )
    instance = run["Instances"][0]["InstanceId"]

    def running():
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found if found["State"]["Name"] == "running" else None

    return until(running, 30, "the instance to run")


def inside(daemon, instance, script):
    return daemon.shell([instance["InstanceId"]], START + script)[instance["InstanceId"]]


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("meta-data/instance-id", lambda i: i["InstanceId"]),
        ("meta-data/local-ipv4", lambda i: i["PrivateIpAddress"]),
        ("meta-data/placement/availability-zone", lambda i: i["Placement"]["AvailabilityZone"]),
        ("meta-data/placement/region", lambda i: i["Placement"]["AvailabilityZone"][:-1]),
        ("meta-data/instance-type", lambda i: "t3.micro"),
        ("meta-data/ami-id", lambda i: i["ImageId"]),
        ("meta-data/hostname", lambda i: i["PrivateDnsName"]),
        ("user-data", lambda i: "#!/bin/sh\necho from user data"),
    ],
)
def test_paths_that_scripts_use(daemon, instance, path, want):
    assert inside(daemon, instance, get(path)).strip() == want(instance)


def test_the_identity_document_is_what_sdks_read(daemon, instance):
    document = json.loads(inside(daemon, instance, get("dynamic/instance-identity/document")))
    assert document["instanceId"] == instance["InstanceId"]
    assert document["region"] == instance["Placement"]["AvailabilityZone"][:-1]


def test_the_index_lists_what_there_is(daemon, instance):
    index = inside(daemon, instance, get("meta-data/")).split()
    assert {"instance-id", "local-ipv4", "placement/"} <= set(index)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        # A token is required, and a wrong one is no token.
        (f"ask {BASE}/meta-data/instance-id", "401"),
        (f'ask -H "X-aws-ec2-metadata-token: wrong" {BASE}/meta-data/instance-id', "401"),
        # The credential providers of the SDKs take 404 for "this instance has no role".
        (f'ask -H "X-aws-ec2-metadata-token: $token" {BASE}/meta-data/iam/security-credentials/', "404"),
        (f'ask -H "X-aws-ec2-metadata-token: $token" {BASE}/meta-data/no-such-thing', "404"),
        # A token's life is 1 to 21,600 seconds and must be said.
        (f"ask -X PUT {BASE}/api/token", "400"),
        (f'ask -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 0" {BASE}/api/token', "400"),
        (f'ask -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 21601" {BASE}/api/token', "400"),
        # Tokens are not for whoever forwards requests of others.
        (f'ask -X PUT -H "X-Forwarded-For: 1.2.3.4" -H "X-aws-ec2-metadata-token-ttl-seconds: 60" {BASE}/api/token', "403"),
    ],
)
def test_what_is_refused(daemon, instance, request_line, status):
    assert inside(daemon, instance, ASK + TOKEN + request_line).strip() == status


def test_a_token_says_how_long_it_lives(daemon, instance):
    head = inside(
        daemon, instance,
        f'curl -s -D - -o /dev/null -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" {BASE}/api/token',
    )
    assert "x-aws-ec2-metadata-token-ttl-seconds: 60" in head.lower()
