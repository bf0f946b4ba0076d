"""Ansible's Auto Scaling modules, which nobody here wrote, make, change and remove groups with what belongs to them."""

from pathlib import Path

import pytest

import elastane
from test_ansible import ansible, play

PLAYBOOK = Path(__file__).parent / "ansible" / "autoscaling.yml"
GROUPS = {"A group from the template", "A group from the configuration", "A group of mixed instances"}
POLICIES = {"A simple policy", "A step policy", "Target tracking", "Target tracking of a metric of its own"}
CHANGED = {
    "A launch template", "A group from the template", "A group of mixed instances", "A simple policy", "A step policy",
    "Target tracking", "A hook on the way out", "A recurring action", "Protection of its instances",
}

pytestmark = pytest.mark.skipif(ansible() is None, reason="needs ANSIBLE_PLAYBOOK, which cargo xtask test sets")


@pytest.fixture(scope="module")
def daemon():
    # Groups of instances that do nothing need no sandbox. AWS's waits are of minutes; the clock makes seconds of them.
    daemon = elastane.Daemon(elastane.PROCESS_USER, time_scale=60).start()
    yield daemon
    daemon.destroy()


def test_groups_are_made_changed_and_removed(daemon):
    made = set(play(daemon, "present", PLAYBOOK))
    assert GROUPS | POLICIES | {"A launch configuration", "A hook on the way in", "A recurring action"} <= made
    assert play(daemon, "present", PLAYBOOK) == [], "a second run reports no change"
    client = daemon.client("autoscaling")

    def group(name):
        (found,) = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return found

    web = group("ansible-web")
    assert (web["MaxSize"], len(web["TargetGroupARNs"]), len(web["Tags"])) == (3, 1, 2)
    assert {one["ProtectedFromScaleIn"] for one in web["Instances"]} == {True}
    assert set(play(daemon, "changed", PLAYBOOK)) == CHANGED
    assert play(daemon, "changed", PLAYBOOK) == []
    web = group("ansible-web")
    assert (web["MaxSize"], web["TargetGroupARNs"], len(web["Tags"])) == (4, [], 1)
    assert {one["InstanceType"] for one in web["Instances"]} == {"t3.small"}, "refreshed"
    refreshes = client.describe_instance_refreshes(AutoScalingGroupName="ansible-web")["InstanceRefreshes"]
    assert [one["Status"] for one in refreshes] == ["Successful", "Cancelled"]
    (before,) = group("ansible-old")["Instances"]
    replaced = play(daemon, "replaced", PLAYBOOK)
    assert replaced == ["An instance in standby", "The instance back in service", "An instance terminated"]
    (after,) = group("ansible-old")["Instances"]
    assert after["InstanceId"] != before["InstanceId"]
    removed = play(daemon, "absent", PLAYBOOK)
    wanted = {"The policies", "The hook", "The scheduled action", "A group, emptied first", "The others, by force"}
    assert wanted <= set(removed)
    assert play(daemon, "absent", PLAYBOOK) == []
    assert client.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert client.describe_launch_configurations()["LaunchConfigurations"] == []
