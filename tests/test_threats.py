"""What an instance, its neighbours and holders of foreign keys must not be able to do: docs/threat-model.md, line by line."""

import pytest
from botocore.exceptions import ClientError

import elastane
from test_imds import launched

SETUPS = [elastane.SANDBOX_ROOT, elastane.SANDBOX_USER]


@pytest.fixture(scope="module")
def instance(daemon):
    return launched(daemon)


@pytest.fixture(scope="module")
def neighbour(daemon):
    return launched(daemon)


def inside(daemon, instance, script):
    """What a script prints in an instance, whatever it fails with."""
    return daemon.shell([instance["InstanceId"]], f"exec 2>&1\n{script}\ntrue")[instance["InstanceId"]]


# Tries to connect to each `address:port` and says which answer.
CONNECT = """/usr/bin/python3 - {} <<'END'
import socket, sys
for place in sys.argv[1:]:
    address, port = place.rsplit(":", 1)
    try:
        socket.create_connection((address, int(port)), 3).close()
        print("open", place)
    except OSError:
        pass
print("tried")
END"""


def open_places(daemon, instance, places):
    """Those of some `address:port` that the instance can connect to."""
    told = inside(daemon, instance, CONNECT.format(" ".join(places))).splitlines()
    assert told[-1:] == ["tried"], told
    return [line.removeprefix("open ") for line in told[:-1]]


def test_the_data_directory_is_out_of_sight(daemon, instance):
    secret = daemon.exports["AWS_SECRET_ACCESS_KEY"]
    assert secret in (daemon.data / "credentials.json").read_text()
    told = inside(daemon, instance, f"ls -la {daemon.data}; cat {daemon.data}/credentials.json {daemon.data}/state.redb")
    assert "No such file" in told and secret not in told


def test_the_daemons_port_is_out_of_reach(daemon, instance):
    port = daemon.url.rsplit(":", 1)[1]
    gateway = inside(daemon, instance, "ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'").strip()
    places = [f"{address}:{port}" for address in ["127.0.0.1", "198.18.0.1", *gateway.split()]]
    assert open_places(daemon, instance, places) == []
    # The metadata service shows that an open port would have been found.
    assert open_places(daemon, instance, ["169.254.169.254:80"]) == ["169.254.169.254:80"]


def test_the_hosts_processes_are_out_of_sight(daemon, instance):
    names = inside(daemon, instance, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "--data-dir" not in names, names
    told = inside(daemon, instance, "mount -t tmpfs none /mnt && echo mounted; echo 1 > /proc/sys/kernel/sysrq && echo set")
    assert "mounted" not in told.splitlines() and "set" not in told.splitlines(), told


def test_a_neighbours_metadata_is_out_of_reach(daemon, instance, neighbour):
    where = neighbour["PrivateIpAddress"]
    assert open_places(daemon, instance, [f"{where}:80", f"{where}:8080"]) == []
    # The well-known address is each instance's own.
    ask = ("token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token); "
           "curl -s -H \"X-aws-ec2-metadata-token: $token\" http://169.254.169.254/latest/meta-data/instance-id")
    assert inside(daemon, instance, ask).strip() == instance["InstanceId"]
    assert inside(daemon, neighbour, ask).strip() == neighbour["InstanceId"]


def test_unsigned_requests_and_foreign_keys_are_refused(daemon):
    body = b"Action=DescribeInstances&Version=2016-11-15"
    status, answer = daemon.raw(body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert status in (400, 401, 403) and b"<Code>" in answer
    for credentials in [
        {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x" * 40, "Token": None},
        {"AccessKeyId": daemon.exports["AWS_ACCESS_KEY_ID"], "SecretAccessKey": "x" * 40, "Token": None},
        {"AccessKeyId": "ASIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x" * 40, "Token": "t" * 100},
    ]:
        with pytest.raises(ClientError) as caught:
            daemon.client("ec2", credentials=credentials).describe_instances()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403)
    status, _ = daemon.raw(path="/_elastane/reset")
    assert status == 403
