"""Debian's cloud-init with its EC2 datasource, run inside sandbox instances against our metadata service: a client that
nobody here wrote. It runs in the instance's own root, where the host's program files are visible and its data is not.

An instance has no say over its own network, so the stage before the network (`init --local`) finds no lease and passes;
the datasource is then found by the stage after it. Hardware that tells its platform is imitated by a `dmidecode` of the
instance's own: cloud-init uses tokens only where it knows EC2."""

import json
import shutil
from pathlib import Path

import pytest

import elastane
from elastane import Daemon, until, why_not

# (HttpTokens, whether the machine says that it is EC2's). Elsewhere cloud-init sends no token, and is served without.
KINDS = [("required", True), ("optional", True), ("optional", False)]
# All stages of one instance, on a busy machine.
STAGES_LIMIT_S = 180
USER_DATA = """#cloud-config
locale: C.UTF-8
ssh_genkeytypes: [ed25519]
write_files:
- path: /root/from-cloud-config
  content: written by a cloud-config
runcmd:
- [sh, -c, "echo ran > /root/from-runcmd"]
"""
CONFIG = """datasource_list: [Ec2]
datasource:
  Ec2:
    strict_id: false
    timeout: 5
    max_wait: 30
"""
DMIDECODE = """#!/bin/sh
case "$*" in
*system-uuid* | *system-serial-number*) echo ec2e1916-9099-7caf-fd21-012345abcdef ;;
*system-manufacturer*) echo Amazon EC2 ;;
esac
"""
# What our own first process made of the user data goes; what is there afterwards is cloud-init's.
PREPARE = f"""set -e
rm -rf /var/lib/cloud /run/cloud-init /root/from-cloud-config /root/from-runcmd
mkdir -p /run/cloud-init /etc/cloud/cloud.cfg.d
cat > /etc/cloud/cloud.cfg.d/99-elastane.cfg <<'END'
{CONFIG}END
if [ "$IDENTIFIED" = yes ]; then
cat > /usr/local/sbin/dmidecode <<'END'
{DMIDECODE}END
chmod 755 /usr/local/sbin/dmidecode
fi
"""
STAGES = """export LC_ALL=C.UTF-8
for stage in "init --local" init "modules --mode=config" "modules --mode=final"; do
    cloud-init $stage > /dev/null 2>&1 || echo "failed: $stage"
done
"""
STATE = Path("/var/lib/cloud")


@pytest.fixture(scope="module")
def daemon(clean_machine):
    if reason := why_not(elastane.SANDBOX_ROOT):
        pytest.skip(f"SKIPPED LOUDLY: cloud-init in instances: {reason}")
    if shutil.which("cloud-init") is None:
        pytest.skip("SKIPPED LOUDLY: the Debian package cloud-init is not installed: cargo xtask test installs it as root")
    # A whole core for each vCPU: four stages of Python are to take seconds.
    daemon = Daemon(elastane.SANDBOX_ROOT, "--vcpu-share", "0.5")
    try:
        yield daemon.start()
    finally:
        daemon.destroy()


def state_of_host():
    """What cloud-init would change if it ran on the host."""
    places = [STATE, STATE / "instances", Path("/etc/cloud/cloud.cfg.d"), Path("/etc/hostname"), Path("/etc/ssh")]
    return {place: place.stat().st_mtime_ns for place in places if place.exists()}


@pytest.fixture(scope="module")
def booted(daemon):
    """An instance of each kind, after all stages of cloud-init, and what the host was before."""
    before = state_of_host()
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_key_pair(KeyName="my key", KeyType="ed25519")
    instances = {}
    for tokens, identified in KINDS:
        run = ec2.run_instances(
            ImageId=image, InstanceType="t3.large", MinCount=1, MaxCount=1, UserData=USER_DATA, KeyName="my key",
            MetadataOptions={"HttpTokens": tokens, "InstanceMetadataTags": "enabled"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Role", "Value": "web"}]}],
        )
        instances[tokens, identified] = run["Instances"][0]["InstanceId"]
    for (_, identified), instance in instances.items():

        def finished():
            return "boot finished" in ec2.get_console_output(InstanceId=instance).get("Output", "")

        until(finished, 60, "the boot scripts to end")
        script = f"IDENTIFIED={'yes' if identified else 'no'}\n{PREPARE}{STAGES}"
        said = daemon.shell([instance], script, limit=STAGES_LIMIT_S)[instance]
        assert "failed:" not in said, daemon.shell([instance], "tail -c 6000 /var/log/cloud-init.log")[instance]
    return instances, before


def inside(daemon, booted, kind, script):
    instance = booted[0][kind]
    return daemon.shell([instance], script)[instance]


@pytest.fixture(params=KINDS, ids=lambda kind: f"tokens-{kind[0]}-{'known' if kind[1] else 'unknown'}")
def kind(request):
    return request.param


def test_it_finds_the_datasource(daemon, booted, kind):
    result = json.loads(inside(daemon, booted, kind, "cat /run/cloud-init/result.json"))["v1"]
    assert result["datasource"].startswith("DataSourceEc2")
    assert result["errors"] == []
    name = inside(daemon, booted, kind, "cloud-init query cloud_name").strip()
    assert name == ("aws" if kind[1] else "unknown")


def test_it_learns_what_the_instance_is(daemon, booted, kind):
    instance = booted[0][kind]
    described = daemon.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    known = json.loads(inside(daemon, booted, kind, "cat /run/cloud-init/instance-data-sensitive.json"))
    v1, metadata = known["v1"], known["ds"]["meta-data"]
    assert v1["instance_id"] == instance
    assert v1["region"] == described["Placement"]["AvailabilityZone"][:-1]
    assert v1["availability_zone"] == described["Placement"]["AvailabilityZone"]
    assert v1["local_hostname"] == described["PrivateDnsName"].split(".")[0]
    assert metadata["local-hostname"] == described["PrivateDnsName"]
    [(mac, interface)] = metadata["network"]["interfaces"]["macs"].items()
    assert mac == described["NetworkInterfaces"][0]["MacAddress"]
    assert interface["subnet-id"] == described["SubnetId"]
    assert interface["vpc-id"] == described["VpcId"]
    assert interface["local-ipv4s"] == described["PrivateIpAddress"]
    assert metadata["tags"]["instance"] == {"Role": "web"}
    # The signed document is read from EC2 alone.
    if kind[1]:
        assert known["ds"]["dynamic"]["instance-identity"]["document"]["instanceId"] == instance
    # The interface is the one that the kernel has, so the network is configured for it.
    assert inside(daemon, booted, kind, "cat /sys/class/net/eth0/address").strip() == mac
    applied = inside(daemon, booted, kind, "grep 'Applying network configuration from' /var/log/cloud-init.log")
    assert "'eth0'" in applied and mac in applied


def test_it_runs_the_user_data(daemon, booted, kind):
    said = inside(daemon, booted, kind, "cat /root/from-cloud-config /root/from-runcmd; cat /var/lib/cloud/instance/user-data.txt")
    assert said.startswith("written by a cloud-config")
    assert "configran\n" in said
    assert USER_DATA.strip() in said


def test_it_lets_the_key_in(daemon, booted, kind):
    keys = inside(daemon, booted, kind, "cat /home/*/.ssh/authorized_keys")
    assert keys.startswith("ssh-ed25519 ") and keys.strip().endswith(" my key")


def test_it_uses_tokens_where_it_knows_ec2(daemon, booted, kind):
    log = inside(daemon, booted, kind, "grep -c 'latest/api/token' /var/log/cloud-init.log; true")
    assert (int(log.split()[0]) > 0) == kind[1]
    assert "401" not in inside(daemon, booted, kind, "grep 'Status code: \\|status code' /var/log/cloud-init.log | grep 401; true")


def test_the_host_is_untouched(booted):
    assert state_of_host() == booted[1]
    assert not Path("/root/from-cloud-config").exists()
    assert not Path("/etc/cloud/cloud.cfg.d/99-elastane.cfg").exists()
