"""The metadata service, asked from inside an instance with the tools that people use there. Where an instance has no
network of its own the environment names the service's address, in the variable that the SDKs read."""

import json
import os
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import elastane
from elastane import SETUPS as ALL_SETUPS
from elastane import MAKING_CLIENTS, Daemon, until, why_not

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
    return running(daemon, run)


def running(daemon, run):
    """The instance of a RunInstances answer, once it runs."""
    instance = run["Instances"][0]["InstanceId"]
    ec2 = daemon.client("ec2")

    def look():
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found if found["State"]["Name"] == "running" else None

    return until(look, 60, "the instance to run")


def launched(daemon, **more):
    """Another instance, that runs."""
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    return running(daemon, ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, **more))


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


def test_a_head_has_no_body(daemon, instance):
    script = f'{TOKEN}curl -s -I -H "X-aws-ec2-metadata-token: $token" {BASE}/meta-data/instance-id'
    head = inside(daemon, instance, script).lower()
    assert head.startswith("http/1.1 200")
    assert f"content-length: {len(instance['InstanceId'])}" in head
    assert instance["InstanceId"] not in head


# -- the whole tree

WALK = r"""
import json, os, urllib.request
base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
put = urllib.request.Request(base + "/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
token = opener.open(put).read().decode()
found = {}
def get(path):
    request = urllib.request.Request(base + path, headers={"X-aws-ec2-metadata-token": token})
    try:
        with opener.open(request) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, "", ""
def walk(path):
    status, body, kind = get(path)
    found[path] = (status, kind)
    if body.endswith("\n") or not body:
        found[path] = ("a listing that is empty or ends in a line feed", kind)
    for name in body.split("\n"):
        if "=" in name and path.endswith("public-keys/"):
            name = name.split("=")[0] + "/"
        if name.endswith("/"):
            walk(path + name)
        else:
            found[path + name] = get(path + name)[::2]
for version in ["latest", "2021-03-23", "2009-04-04"]:
    for top in ["meta-data/", "dynamic/"]:
        walk("/" + version + "/" + top)
print(json.dumps(found))
"""


def walked(daemon, instance):
    """Every path that a listing shows, with status and content type."""
    script = f"/usr/bin/python3 - <<'END'\n{WALK}END\n"
    found = json.loads(daemon.shell([instance["InstanceId"]], script)[instance["InstanceId"]])
    wrong = {path: answer for path, answer in found.items() if answer != [200, "text/plain"]}
    assert not wrong, wrong
    return {path.removeprefix("/latest/") for path in found if path.startswith("/latest/")}


def test_every_path_of_a_plain_instance_can_be_fetched(daemon, instance):
    paths = walked(daemon, instance)
    assert {"meta-data/system", "meta-data/services/partition", "dynamic/fws/instance-monitoring"} <= paths
    assert {"dynamic/instance-identity/" + name for name in ("document", "signature", "rsa2048")} <= paths
    assert not any("pkcs7" in path for path in paths)


def test_every_path_of_a_rich_instance_can_be_fetched(daemon):
    name = f"a key {uuid.uuid4()}"
    daemon.client("ec2").create_key_pair(KeyName=name, KeyType="ed25519")
    rich = launched(
        daemon, KeyName=name, MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a:b@c.d-e_f=g,h", "Value": "odd"}]}],
    )
    paths = walked(daemon, rich)
    assert "meta-data/public-keys/0/openssh-key" in paths
    assert "meta-data/tags/instance/a:b@c.d-e_f=g,h" in paths
    assert inside(daemon, rich, get("meta-data/public-keys/")).strip() == f"0={name}"


# -- what changes while an instance runs


def test_tags_follow_at_once(daemon):
    ec2 = daemon.client("ec2")
    tagged = launched(daemon, MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"})
    ec2.create_tags(Resources=[tagged["InstanceId"]], Tags=[{"Key": "Color", "Value": "green"}])
    keys = inside(daemon, tagged, get("meta-data/tags/instance/")).split()
    assert [key for key in keys if not key.startswith("aws:")] == ["Color"]
    ec2.create_tags(Resources=[tagged["InstanceId"]], Tags=[{"Key": "Color", "Value": "blue"}])
    assert inside(daemon, tagged, get("meta-data/tags/instance/Color")).strip() == "blue"
    ec2.delete_tags(Resources=[tagged["InstanceId"]], Tags=[{"Key": "Color"}])
    ask = f'{ASK}{TOKEN}ask -H "X-aws-ec2-metadata-token: $token" {BASE}/meta-data/tags/instance/Color'
    assert inside(daemon, tagged, ask).strip() == "404"


def test_options_follow_at_once(daemon):
    ec2 = daemon.client("ec2")
    changed = launched(daemon, MetadataOptions={"HttpTokens": "optional"})
    ask = f"{ASK}ask {BASE}/meta-data/instance-id"
    assert inside(daemon, changed, ask).strip() == "200"
    ec2.modify_instance_metadata_options(InstanceId=changed["InstanceId"], HttpTokens="required")
    assert inside(daemon, changed, ask).strip() == "401"
    ec2.modify_instance_metadata_options(InstanceId=changed["InstanceId"], HttpEndpoint="disabled")
    assert inside(daemon, changed, ask).strip() == "403"
    put = f'{ASK}ask -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" {BASE}/api/token'
    assert inside(daemon, changed, put).strip() == "403"


def test_a_token_of_another_instance_is_none(daemon, instance):
    other = launched(daemon, MetadataOptions={"HttpTokens": "optional"})
    token = inside(daemon, instance, TOKEN + "echo $token").strip()
    ask = f'{ASK}ask -H "X-aws-ec2-metadata-token: {token}" {BASE}/meta-data/instance-id'
    assert inside(daemon, instance, ask).strip() == "200"
    # Even where no token is needed, a wrong one is an error.
    assert inside(daemon, other, ask).strip() == "401"


# Reads the time to live of the packets that carry answers, beside the kernel's TCP. Instances may not open such sockets,
# so it runs in the instance's network from outside.
HOPS = r"""
import http.client, socket
sniffer = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
sniffer.settimeout(20)
def hops(method, path, headers):
    connection = http.client.HTTPConnection("169.254.169.254", timeout=20)
    connection.request(method, path, headers=headers)
    port = connection.sock.getsockname()[1]
    body = connection.getresponse().read().decode()
    while True:
        packet = sniffer.recv(65535)
        start = (packet[0] & 15) * 4
        payload = packet[start + (packet[start + 12] >> 4) * 4:]
        if payload.startswith(b"HTTP/") and int.from_bytes(packet[start + 2:start + 4], "big") == port:
            return packet[8], body
put, token = hops("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
get, _ = hops("GET", "/latest/meta-data/instance-id", {"X-aws-ec2-metadata-token": token})
print(put, get)
"""


def process_of(daemon, instance):
    """The host's number of a process inside an instance."""
    mark = uuid.uuid4().hex
    inside(daemon, instance, f"setsid sh -c 'sleep 300; : {mark}' > /dev/null 2>&1 < /dev/null &")

    def look():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if command.startswith(b"sh\0") and mark.encode() in command:
                    return int(entry.name)
        return None

    return until(look, 20, "the process to be seen")


def test_a_token_travels_as_far_as_the_options_say(daemon, setup):
    if not setup.sandbox:
        pytest.skip("instances of the process driver have no network of their own")
    if os.geteuid() != 0:
        pytest.skip("looking at an instance's packets needs root")
    ec2 = daemon.client("ec2")
    near = launched(daemon, MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1})
    inner = process_of(daemon, near)

    def hops():
        looked = subprocess.run(
            ["nsenter", "-t", str(inner), "-n", "/usr/bin/python3", "-c", HOPS], capture_output=True, text=True, timeout=60
        )
        assert looked.returncode == 0, looked
        return looked.stdout.split()

    assert hops() == ["1", "64"]
    ec2.modify_instance_metadata_options(InstanceId=near["InstanceId"], HttpPutResponseHopLimit=5)
    assert hops() == ["5", "64"]


# -- signatures


def test_the_identity_document_is_signed(daemon, instance, tmp_path):
    document = inside(daemon, instance, get("dynamic/instance-identity/document"))
    (tmp_path / "document").write_text(document)
    signature = inside(daemon, instance, get("dynamic/instance-identity/signature")).strip()
    message = inside(daemon, instance, get("dynamic/instance-identity/rsa2048")).strip()
    (tmp_path / "signature").write_text(signature + "\n")
    (tmp_path / "message").write_text(f"-----BEGIN PKCS7-----\n{message}\n-----END PKCS7-----\n")
    certificate = daemon.data / "instance-identity.pem"
    assert (daemon.data / "instance-identity.json").stat().st_mode & 0o777 == 0o600

    def openssl(command):
        return subprocess.run(["sh", "-ec", command], cwd=tmp_path, capture_output=True, text=True, timeout=30)

    verified = openssl(
        f"openssl x509 -in {certificate} -noout -pubkey > key\n"
        "openssl base64 -d -in signature -out raw\n"
        "openssl dgst -sha256 -verify key -signature raw document"
    )
    assert verified.stdout == "Verified OK\n", verified
    read = openssl(f"openssl smime -verify -in message -inform PEM -certfile {certificate} -noverify -nointern")
    assert json.loads(read.stdout) == json.loads(document), read
    (tmp_path / "document").write_text(document.replace(instance["InstanceId"], "i-00000000000000000"))
    assert openssl("openssl dgst -sha256 -verify key -signature raw document").returncode != 0


# -- roles

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def with_role(daemon, trust=TRUST):
    """An instance whose profile carries a fresh role; both."""
    iam = daemon.client("iam")
    name = f"role-{uuid.uuid4().hex[:12]}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=f"{name}-profile")
    iam.add_role_to_instance_profile(InstanceProfileName=f"{name}-profile", RoleName=name)
    found = launched(
        daemon, IamInstanceProfile={"Name": f"{name}-profile"}, MetadataOptions={"HttpTokens": "required"}
    )
    return found, name


def credentials(daemon, found, name):
    return json.loads(inside(daemon, found, get(f"meta-data/iam/security-credentials/{name}")))


def client_of(daemon, found, service, **other):
    """A client that signs with an instance's credentials, some of them replaced."""
    import boto3

    keys = {
        "aws_access_key_id": found["AccessKeyId"], "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["Token"], **other,
    }
    with MAKING_CLIENTS:
        return boto3.client(service, endpoint_url=daemon.url, region_name="us-east-1", **keys)


def refusal(call, **arguments):
    """Code and status of a call that must fail."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as raised:
        call(**arguments)
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture(scope="module")
def acting(daemon):
    return with_role(daemon)


def test_role_credentials_say_who_calls(daemon, acting):
    found, name = acting
    assert inside(daemon, found, get("meta-data/iam/security-credentials/")) == name
    info = json.loads(inside(daemon, found, get("meta-data/iam/info")))
    assert info["InstanceProfileArn"].endswith(f":instance-profile/{name}-profile")
    got = credentials(daemon, found, name)
    assert got["Code"] == "Success" and got["AccessKeyId"].startswith("ASIA")
    identity = client_of(daemon, got, "sts").get_caller_identity()
    account = identity["Account"]
    assert identity["Arn"] == f"arn:aws:sts::{account}:assumed-role/{name}/{found['InstanceId']}"
    assert identity["UserId"].endswith(f":{found['InstanceId']}")
    # A second look finds the same ones, and they are in no log.
    assert credentials(daemon, found, name) == got
    assert got["SecretAccessKey"] not in daemon.log_text() and got["Token"] not in daemon.log_text()


def test_an_instance_has_an_identity_of_its_own(daemon, instance):
    got = json.loads(inside(daemon, instance, get("meta-data/identity-credentials/ec2/security-credentials/ec2-instance")))
    arn = client_of(daemon, got, "sts").get_caller_identity()["Arn"]
    assert arn.endswith(f":assumed-role/aws:ec2-instance/{instance['InstanceId']}")


def test_the_sdk_finds_the_role_by_itself(daemon, acting):
    """botocore's own metadata client, run inside the instance by the host's Python, if that has one."""
    found, name = acting
    script = (
        "/usr/bin/python3 -c 'import botocore.utils' 2>/dev/null || { echo none; exit 0; }\n"
        "/usr/bin/python3 -c 'from botocore.utils import InstanceMetadataFetcher as F; import os; "
        "base = os.environ.get(\"AWS_EC2_METADATA_SERVICE_ENDPOINT\", \"http://169.254.169.254/\"); "
        "print(F(base_url=base.rstrip(\"/\") + \"/\").retrieve_iam_role_credentials()[\"role_name\"])'"
    )
    said = inside(daemon, found, script).strip()
    if said == "none":
        pytest.skip("the host's Python has no botocore")
    assert said == name


@pytest.mark.parametrize(
    ("service", "operation", "want"),
    [
        ("ec2", "describe_instances", ("UnauthorizedOperation", 403)),
        ("autoscaling", "describe_auto_scaling_groups", ("AccessDenied", 403)),
        ("elbv2", "describe_load_balancers", ("AccessDenied", 403)),
        ("ssm", "describe_instance_information", ("AccessDeniedException", 400)),
        ("cloudwatch", "describe_alarms", ("AccessDenied", 403)),
    ],
)
def test_a_role_may_do_nothing_else_yet(daemon, acting, service, operation, want):
    got = credentials(daemon, *acting)
    assert refusal(getattr(client_of(daemon, got, service), operation)) == want


def test_wrong_tokens_are_refused(daemon, acting):
    got = credentials(daemon, *acting)
    for other in [{"aws_session_token": "wrong"}, {"aws_session_token": None}, {"aws_access_key_id": "ASIA" + "A" * 16}]:
        sts = client_of(daemon, got, "sts", **other)
        assert refusal(sts.get_caller_identity) == ("InvalidClientTokenId", 403), other
    ec2 = client_of(daemon, got, "ec2", aws_session_token="wrong")
    assert refusal(ec2.describe_instances) == ("AuthFailure", 401)
    sts = client_of(daemon, got, "sts", aws_secret_access_key="x" * 40)
    assert refusal(sts.get_caller_identity) == ("SignatureDoesNotMatch", 403)


def test_a_role_that_does_not_trust_ec2(daemon):
    other = {"Statement": [{**TRUST["Statement"][0], "Principal": {"Service": "lambda.amazonaws.com"}}]}
    found, name = with_role(daemon, other)
    got = credentials(daemon, found, name)
    assert got["Code"] == "AssumeRoleUnauthorizedAccess" and "AccessKeyId" not in got


def test_credentials_die_with_what_they_are_for(daemon):
    ec2 = daemon.client("ec2")
    found, name = with_role(daemon)
    sts = client_of(daemon, credentials(daemon, found, name), "sts")
    sts.get_caller_identity()
    [association] = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [found["InstanceId"]]}]
    )["IamInstanceProfileAssociations"]
    ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    assert refusal(sts.get_caller_identity) == ("InvalidClientTokenId", 403)
    ask = f'{ASK}{TOKEN}ask -H "X-aws-ec2-metadata-token: $token" {BASE}/meta-data/iam/'
    assert inside(daemon, found, ask).strip() == "404"
    ec2.associate_iam_instance_profile(
        InstanceId=found["InstanceId"], IamInstanceProfile={"Name": f"{name}-profile"}
    )
    # Another association, other credentials: the old ones stay dead.
    again = client_of(daemon, credentials(daemon, found, name), "sts")
    again.get_caller_identity()
    assert refusal(sts.get_caller_identity) == ("InvalidClientTokenId", 403)
    ec2.terminate_instances(InstanceIds=[found["InstanceId"]])
    assert refusal(again.get_caller_identity) == ("InvalidClientTokenId", 403)


def test_credentials_outlive_the_daemon(daemon, acting):
    got = credentials(daemon, *acting)
    daemon.stop()
    daemon.start()
    client_of(daemon, got, "sts").get_caller_identity()


@pytest.fixture(scope="module", autouse=True)
def hasty(clean_machine):
    """A daemon on which six hours pass in 36 seconds, those of the other tests; and what its instance gets meanwhile."""
    setup = next((setup for setup in ALL_SETUPS if not why_not(setup)), ALL_SETUPS[-1])
    daemon = Daemon(setup, time_scale=600)
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            daemon.start()
            yield daemon, pool.submit(two_credentials, daemon)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            daemon.destroy()


def two_credentials(daemon):
    """What an instance gets first, and what it gets next."""
    found, name = with_role(daemon)
    first = credentials(daemon, found, name)

    def another():
        got = credentials(daemon, found, name)
        return got if got["AccessKeyId"] != first["AccessKeyId"] else None

    second = until(another, 90, "new credentials", poll_s=0.5)
    client_of(daemon, second, "sts").get_caller_identity()
    return first, second


def test_credentials_rotate(hasty):
    daemon, told = hasty
    first, second = told.result()
    old = client_of(daemon, first, "sts")

    def seconds(text):
        from datetime import datetime

        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").timestamp()

    # The new ones came at least five minutes before the old ones expired.
    assert seconds(second["LastUpdated"]) <= seconds(first["Expiration"]) - 300
    assert seconds(first["Expiration"]) - seconds(first["LastUpdated"]) == 6 * 3600

    def expired():
        from botocore.exceptions import ClientError

        try:
            old.get_caller_identity()
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    assert until(expired, 90, "the old credentials to expire") == "ExpiredToken"
    assert refusal(client_of(daemon, first, "ec2").describe_instances) == ("RequestExpired", 400)
