"""Scenario S6: `kill -9` of the daemon in the middle of a scale-out. No acknowledged instance is lost, doubled or
orphaned, and the group goes on to what was asked."""

import os
import random
import time
from pathlib import Path

import pytest

import elastane
from elastane import until

SETUPS = elastane.SETUPS
TIME_SCALE = 60
MOMENTS = 10
WANTED = 8
# Long enough to fall before the first launch, between launches, and after the last.
LATEST_S = 1.5
SEED = int(os.environ.get("ELASTANE_CRASH_SEED", time.time_ns() % 1_000_000))


def moments():
    draw = random.Random(SEED)
    # Early moments are the interesting ones.
    return [round(draw.random() ** 2 * LATEST_S, 3) for _ in range(MOMENTS)]


@pytest.fixture(scope="module")
def group(daemon):
    print(f"ELASTANE_CRASH_SEED={SEED}")
    ec2, scaling = daemon.client("ec2"), daemon.client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    ec2.create_launch_template(
        LaunchTemplateName="crash", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="crash", LaunchTemplate={"LaunchTemplateName": "crash"}, MinSize=0, MaxSize=10,
        DesiredCapacity=0, AvailabilityZones=zones,
    )
    return "crash"


@pytest.mark.parametrize("after_s", moments())
def test_kill_in_the_middle_of_a_scale_out(daemon, group, after_s):
    set_desired(daemon, WANTED)
    time.sleep(after_s)
    acknowledged = {instance for instance, state in listed(daemon).items() if state in ("pending", "running")}
    daemon.kill()
    daemon.start()
    after = listed(daemon)
    assert acknowledged <= set(after), f"lost: {acknowledged - set(after)} (seed {SEED})"
    until(lambda: len(in_service(daemon)) == WANTED, 60, f"{WANTED} instances in service (seed {SEED})")
    agree(daemon)
    # What ran before the crash and was in order runs on: a crash of the daemon is no reason to replace anything.
    terminated = [instance for instance in acknowledged if listed(daemon).get(instance) not in ("running", "pending")]
    assert terminated == [], f"seed {SEED}"
    set_desired(daemon, 0)
    until(lambda: in_service(daemon) == [] and alive(daemon) == {}, 60, f"the group to be empty (seed {SEED})")
    agree(daemon)


def test_kill_while_nothing_happens_keeps_instances_running(daemon, group):
    set_desired(daemon, 2)
    until(lambda: len(in_service(daemon)) == 2, 60, "two instances in service")
    before = {instance: seen["pid"] for instance, seen in alive(daemon).items()}
    daemon.kill()
    assert all(Path(f"/proc/{pid}").exists() for pid in before.values())
    daemon.start()
    until(lambda: len(in_service(daemon)) == 2, 60, "two instances in service again")
    assert {instance: seen["pid"] for instance, seen in alive(daemon).items()} == before
    set_desired(daemon, 0)
    until(lambda: alive(daemon) == {}, 60, "the group to be empty")


def set_desired(daemon, count):
    daemon.client("autoscaling").set_desired_capacity(AutoScalingGroupName="crash", DesiredCapacity=count)


def listed(daemon):
    """State of every instance that EC2 knows, by id; each is there once."""
    found = [
        (instance["InstanceId"], instance["State"]["Name"])
        for page in daemon.client("ec2").get_paginator("describe_instances").paginate()
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert len(found) == len(dict(found)), found
    return dict(found)


def in_service(daemon):
    found = daemon.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["crash"])
    return [i["InstanceId"] for i in found["AutoScalingGroups"][0]["Instances"] if i["LifecycleState"] == "InService"]


def alive(daemon):
    """Instances that the daemon says have a first process."""
    return {instance: seen for instance, seen in daemon.instances().items() if seen.get("pid")}


def agree(daemon):
    """The API, the daemon's own account and the kernel tell the same."""

    def difference():
        running = {instance for instance, state in listed(daemon).items() if state == "running"}
        pids = {seen["pid"]: instance for instance, seen in alive(daemon).items()}
        dead = {pid for pid in pids if not Path(f"/proc/{pid}").exists()}
        # Every first process belongs to one instance, and nothing of ours runs besides.
        strangers = orphans(daemon, set(pids))
        told = [running ^ set(pids.values()), dead, strangers]
        return told if any(told) else None

    until(
        lambda: difference() is None, 30,
        lambda: f"API and kernel to agree (seed {SEED}): {difference()}",
    )


def orphans(daemon, first):
    """Processes of this data directory that descend neither from the daemon nor from an instance's first process."""
    parents, ours, holders = {}, set(), set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(entry.name)] = int(stat[1])
        if str(daemon.base).encode() not in command or stat[0] == "Z":
            continue
        # A VPC's network is held open by one process that outlives the daemon; a second one is a stranger.
        # So does the data plane's process.
        if (b"netns-holder" in command or b"\0proxy\0" in command) and command not in holders:
            holders.add(command)
        else:
            ours.add(int(entry.name))
    roots = first | {daemon.process.pid}
    strangers = set()
    for pid in ours:
        line = [pid]
        while line[-1] in parents and line[-1] not in roots:
            line.append(parents[line[-1]])
        # An instance's keeper may stand between the daemon's place and the first process.
        above = any(pid == parents.get(root) for root in roots)
        if line[-1] not in roots and not above:
            strangers.add(pid)
    return strangers
