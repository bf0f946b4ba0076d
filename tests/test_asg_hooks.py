"""Life-cycle hooks, standby, detaching and warm pools with real instances, which see in their metadata where they are
heading. The clock is sixty times faster: a hook's hour is a minute."""

import base64
from types import SimpleNamespace

import pytest

import elastane
from elastane import until

SETUPS = elastane.SETUPS
TIME_SCALE = 60
GROUP = "fleet"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
# Runs at the first boot only, and leaves its mark on the disk of the instance.
USER_DATA = '#!/bin/sh\necho prepared >> "${ELASTANE_ROOT:-/var/tmp}/prepared"\n'
TARGET_STATE = """base="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"; base="${base%/}/latest"
token=$(curl -sf -X PUT "$base/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 60")
curl -sf -H "X-aws-ec2-metadata-token: $token" "$base/meta-data/autoscaling/target-lifecycle-state"
"""


@pytest.fixture(scope="module")
def group(daemon):
    """An empty group with a hook on both ways, and its client."""
    ec2, autoscaling = daemon.client("ec2"), daemon.client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName=GROUP,
        LaunchTemplateData={
            "ImageId": image, "InstanceType": "t3.micro", "UserData": base64.b64encode(USER_DATA.encode()).decode(),
        },
    )
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP, LaunchTemplate={"LaunchTemplateName": GROUP}, MinSize=0, MaxSize=3,
        AvailabilityZones=[zone],
        LifecycleHookSpecificationList=[
            {"LifecycleHookName": "in", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 7200},
            {"LifecycleHookName": "out", "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 7200,
             "DefaultResult": "CONTINUE"},
        ],
    )
    return SimpleNamespace(client=autoscaling, daemon=daemon)


def members(group):
    """State of each member, those of the warm pool among them."""
    found = group.client.describe_auto_scaling_instances()["AutoScalingInstances"]
    return {one["InstanceId"]: one["LifecycleState"] for one in found if one["AutoScalingGroupName"] == GROUP}


def in_state(group, state, count=1, limit=60):
    """The members in a state, once there are so many."""

    def look():
        found = sorted(instance for instance, its in members(group).items() if its == state)
        return found if len(found) == count else None

    return until(look, limit, lambda: f"{count} in {state}: {members(group)}")


def set_desired(group, count):
    group.client.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)


def complete(group, hook, instance, result="CONTINUE"):
    group.client.complete_lifecycle_action(
        AutoScalingGroupName=GROUP, LifecycleHookName=hook, InstanceId=instance, LifecycleActionResult=result,
    )


def heading_for(group, instance):
    """What the instance's metadata says."""
    return group.daemon.shell([instance], TARGET_STATE)[instance].strip()


def newest(group):
    return group.client.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"][0]


def empty(group):
    """Ends all members, past their hook."""
    set_desired(group, 0)

    def look():
        for instance, state in members(group).items():
            if state in ("Terminating:Wait", "Warmed:Terminating:Wait"):
                complete(group, "out", instance)
        return not members(group)

    until(look, 60, lambda: f"the group to be empty: {members(group)}")


def test_an_instance_waits_on_its_way_in(group):
    set_desired(group, 1)
    (instance,) = in_state(group, "Pending:Wait")
    assert newest(group)["StatusCode"] == "MidLifecycleAction"
    assert heading_for(group, instance) == "InService"
    group.client.record_lifecycle_action_heartbeat(
        AutoScalingGroupName=GROUP, LifecycleHookName="in", InstanceId=instance,
    )
    complete(group, "in", instance)
    assert in_state(group, "InService") == [instance]
    activity = newest(group)
    assert (activity["StatusCode"], activity["Progress"]) == ("Successful", 100)
    with pytest.raises(group.client.exceptions.ClientError, match="No active Lifecycle Action found"):
        complete(group, "in", instance)


def test_standby_and_back(group):
    (instance,) = in_state(group, "InService")
    answer = group.client.enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=[instance], ShouldDecrementDesiredCapacity=True,
    )
    assert answer["Activities"][0]["Description"] == f"Moving EC2 instance to Standby: {instance}"
    in_state(group, "Standby")
    assert heading_for(group, instance) == "Standby"
    group.client.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[instance])
    assert in_state(group, "InService") == [instance], "no hook on this way"


def test_an_instance_waits_on_its_way_out(group):
    (instance,) = in_state(group, "InService")
    set_desired(group, 0)
    assert in_state(group, "Terminating:Wait") == [instance]
    assert heading_for(group, instance) == "Terminated", "it runs, and can still be worked with"
    complete(group, "out", instance, "ABANDON")
    until(lambda: not members(group), 60, "it to be gone")


def test_who_is_given_up_is_replaced(group):
    set_desired(group, 1)
    (first,) = in_state(group, "Pending:Wait")
    complete(group, "in", first, "ABANDON")
    # The terminating hook is on its way out as well.
    assert in_state(group, "Terminating:Wait") == [first]
    (second,) = in_state(group, "Pending:Wait")
    assert second != first
    activities = group.client.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    (given_up,) = [it for it in activities if it["StatusCode"] == "Cancelled"]
    assert given_up["StatusMessage"].endswith("was abandoned: Lifecycle Action Completed with ABANDON Result")
    complete(group, "in", second)
    in_state(group, "InService")


def test_detached_alive(group):
    (instance,) = in_state(group, "InService")
    group.client.detach_instances(
        AutoScalingGroupName=GROUP, InstanceIds=[instance], ShouldDecrementDesiredCapacity=True,
    )
    until(lambda: instance not in members(group), 60, "it to leave")
    assert heading_for(group, instance) == "Detached"
    group.client.attach_instances(AutoScalingGroupName=GROUP, InstanceIds=[instance])
    until(lambda: members(group).get(instance) == "InService", 60, "it to be back")
    empty(group)


def test_a_warm_pool_keeps_prepared_instances(group):
    group.client.put_warm_pool(
        AutoScalingGroupName=GROUP, MaxGroupPreparedCapacity=1, InstanceReusePolicy={"ReuseOnScaleIn": True},
    )
    (instance,) = in_state(group, "Warmed:Pending:Wait")
    assert heading_for(group, instance) == "Warmed:Stopped"
    until(
        lambda: group.daemon.shell([instance], "cat ${ELASTANE_ROOT:-/var/tmp}/prepared || true")[instance] == "prepared\n", 60,
        "user data to have run",
    )
    complete(group, "in", instance)
    in_state(group, "Warmed:Stopped")
    state = group.daemon.client("ec2").describe_instances(InstanceIds=[instance])
    assert state["Reservations"][0]["Instances"][0]["State"]["Name"] == "stopped"
    pool = group.client.describe_warm_pool(AutoScalingGroupName=GROUP)
    assert [one["InstanceId"] for one in pool["Instances"]] == [instance]

    set_desired(group, 1)
    assert in_state(group, "Pending:Wait") == [instance], "taken, started, and past the hook again"
    complete(group, "in", instance)
    assert in_state(group, "InService") == [instance]
    assert newest(group)["Description"] == f"Launching a new EC2 instance from warm pool: {instance}"
    assert group.daemon.shell([instance], "cat ${ELASTANE_ROOT:-/var/tmp}/prepared")[instance] == "prepared\n", "its disk, as it was"

    set_desired(group, 0)
    assert in_state(group, "Warmed:Pending:Wait") == [instance], "back into the pool"
    complete(group, "out", instance)
    in_state(group, "Warmed:Stopped")
    group.client.delete_warm_pool(AutoScalingGroupName=GROUP, ForceDelete=True)
    until(lambda: not members(group), 60, "the pool to go")
    assert "WarmPoolConfiguration" not in group.client.describe_warm_pool(AutoScalingGroupName=GROUP)
