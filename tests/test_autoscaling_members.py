"""Members of Auto Scaling groups and what acts on them - policies, schedules, hooks, warm pools, refreshes - as clients
make, read, change and delete them: success, the code of what is not there, filters and pages."""

import datetime

import pytest

import elastane
from elastane import until
from test_autoscaling_groups import NONE, client, ec2, group, in_service, members, source
from test_ec2_vpc import code_of, paged

SETUPS = [elastane.PROCESS_USER]
TIME_SCALE = 60
FIXTURES = (client, ec2, group, source)  # pytest finds them by their names here
LOST = "i-0123456789abcdef0"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"


@pytest.fixture
def pair(client, group):
    """The group with two members in service."""
    client.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    return in_service(client, group, 2)


def test_members(client, group, pair):
    own = {"AutoScalingGroupName": group}
    found = client.describe_auto_scaling_instances(InstanceIds=pair)["AutoScalingInstances"]
    assert {(one["InstanceId"], one["AutoScalingGroupName"], one["HealthStatus"]) for one in found} == {
        (instance, group, "HEALTHY") for instance in pair
    }
    first = client.describe_auto_scaling_instances(MaxRecords=1)
    rest = client.describe_auto_scaling_instances(MaxRecords=1, NextToken=first["NextToken"])
    assert first["AutoScalingInstances"] + rest["AutoScalingInstances"] == found
    assert client.describe_auto_scaling_instances(InstanceIds=[LOST])["AutoScalingInstances"] == []
    assert code_of(client.describe_auto_scaling_instances, MaxRecords=51) == "ValidationError"
    client.set_instance_protection(**own, InstanceIds=pair, ProtectedFromScaleIn=True)
    found = client.describe_auto_scaling_instances()["AutoScalingInstances"]
    assert {one["ProtectedFromScaleIn"] for one in found} == {True}
    lost = {"InstanceIds": [LOST], "ProtectedFromScaleIn": True}
    assert code_of(client.set_instance_protection, **own, **lost) == "ValidationError"
    assert code_of(client.set_instance_protection, **NONE, **lost) == "ValidationError"


def test_health_and_ending(client, group, pair):
    client.set_instance_health(InstanceId=pair[0], HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    until(lambda: pair[0] not in members(client, group), 60, "the unhealthy member to be replaced")
    in_service(client, group, 2)
    assert code_of(client.set_instance_health, InstanceId=LOST, HealthStatus="Healthy") == "ValidationError"
    assert code_of(client.set_instance_health, InstanceId=pair[1], HealthStatus="Fine") == "ValidationError"
    ended = client.terminate_instance_in_auto_scaling_group(InstanceId=pair[1], ShouldDecrementDesiredCapacity=True)
    assert ended["Activity"]["Description"] == f"Terminating EC2 instance: {pair[1]}"
    in_service(client, group, 1)
    lost = {"InstanceId": LOST, "ShouldDecrementDesiredCapacity": True}
    assert code_of(client.terminate_instance_in_auto_scaling_group, **lost) == "ValidationError"
    count, found = paged(client, "describe_scaling_activities", "Activities", AutoScalingGroupName=group)
    assert (count, {one["StatusCode"] for one in found}) == (1, {"Successful"})
    first = client.describe_scaling_activities(AutoScalingGroupName=group, MaxRecords=1)
    rest = client.describe_scaling_activities(AutoScalingGroupName=group, NextToken=first["NextToken"])
    assert first["Activities"] + rest["Activities"] == found
    asked = {"ActivityIds": [found[1]["ActivityId"]]}
    assert client.describe_scaling_activities(**asked)["Activities"] == found[1:2]
    assert code_of(client.describe_scaling_activities, **NONE) == "ValidationError"


def test_standby_and_detaching(client, group, pair):
    own = {"AutoScalingGroupName": group, "InstanceIds": pair[:1]}
    client.enter_standby(**own, ShouldDecrementDesiredCapacity=True)
    until(lambda: members(client, group)[pair[0]] == "Standby", 60, "it to stand by")
    client.exit_standby(**own)
    assert in_service(client, group, 2) == pair
    client.detach_instances(**own, ShouldDecrementDesiredCapacity=True)
    until(lambda: list(members(client, group)) == pair[1:], 60, "it to leave")
    client.attach_instances(**own)
    assert in_service(client, group, 2) == pair
    lost = {"AutoScalingGroupName": group, "InstanceIds": [LOST]}
    for call in (client.enter_standby, client.detach_instances):
        assert code_of(call, **lost, ShouldDecrementDesiredCapacity=True) == "ValidationError"
        assert code_of(call, **NONE, InstanceIds=pair, ShouldDecrementDesiredCapacity=True) == "ValidationError"
    for call in (client.exit_standby, client.attach_instances):
        assert code_of(call, **lost) == "ValidationError"
        assert code_of(call, **NONE, InstanceIds=pair) == "ValidationError"


def test_launching_at_once(client, group):
    if not hasattr(client, "launch_instances"):
        pytest.skip("this boto3 does not know LaunchInstances")
    launched = client.launch_instances(AutoScalingGroupName=group, RequestedCapacity=1, ClientToken="once")
    ids = [one for entry in launched["Instances"] for one in entry["InstanceIds"]]
    assert in_service(client, group, 1) == ids
    assert code_of(client.launch_instances, **NONE, RequestedCapacity=1, ClientToken="lost") == "ValidationError"


def test_hooks(client, group):
    own = {"AutoScalingGroupName": group}
    hook = {**own, "LifecycleHookName": "in"}
    client.put_lifecycle_hook(**hook, LifecycleTransition=LAUNCHING, HeartbeatTimeout=7200)
    shown = client.describe_lifecycle_hooks(**own)["LifecycleHooks"]
    assert client.describe_lifecycle_hooks(**own, LifecycleHookNames=["in"])["LifecycleHooks"] == shown
    assert client.describe_lifecycle_hooks(**own, LifecycleHookNames=["out"])["LifecycleHooks"] == []
    client.set_desired_capacity(**own, DesiredCapacity=1)
    until(lambda: list(members(client, group).values()) == ["Pending:Wait"], 60, "it to wait")
    (instance,) = members(client, group)
    client.record_lifecycle_action_heartbeat(**hook, InstanceId=instance)
    client.complete_lifecycle_action(**hook, InstanceId=instance, LifecycleActionResult="CONTINUE")
    assert in_service(client, group, 1) == [instance]
    assert code_of(client.record_lifecycle_action_heartbeat, **hook, InstanceId=instance) == "ValidationError"
    done = {"InstanceId": instance, "LifecycleActionResult": "CONTINUE"}
    assert code_of(client.complete_lifecycle_action, **hook, **done) == "ValidationError"
    client.delete_lifecycle_hook(**hook)
    assert code_of(client.delete_lifecycle_hook, **hook) == "ValidationError"
    lost = {**NONE, "LifecycleHookName": "in"}
    assert code_of(client.put_lifecycle_hook, **lost, LifecycleTransition=LAUNCHING) == "ValidationError"
    assert code_of(client.put_lifecycle_hook, **hook, LifecycleTransition="autoscaling:PAINTING") == "ValidationError"
    assert code_of(client.describe_lifecycle_hooks, **NONE) == "ValidationError"


def test_policies(client, group):
    own = {"AutoScalingGroupName": group}
    names = [f"page-{n}" for n in range(6)]
    simple = {"AdjustmentType": "ExactCapacity", "ScalingAdjustment": 1}
    for name in names:
        client.put_scaling_policy(**own, PolicyName=name, **simple)
    count, found = paged(client, "describe_policies", "ScalingPolicies", **own)
    assert (count, [one["PolicyName"] for one in found]) == (2, names)
    by_arn = {"PolicyNames": [found[2]["PolicyARN"]]}
    assert client.describe_policies(**by_arn)["ScalingPolicies"] == found[2:3]
    assert client.describe_policies(**own, PolicyTypes=["StepScaling"])["ScalingPolicies"] == []
    assert code_of(client.describe_policies, PolicyTypes=["Paint"]) == "ValidationError"
    client.execute_policy(**own, PolicyName="page-0")
    in_service(client, group, 1)
    assert code_of(client.execute_policy, **own, PolicyName="none") == "ValidationError"
    assert code_of(client.put_scaling_policy, **NONE, PolicyName="none", **simple) == "ValidationError"
    assert code_of(client.put_scaling_policy, **own, PolicyName="none") == "ValidationError"
    for name in names:
        client.delete_policy(**own, PolicyName=name)
    assert code_of(client.delete_policy, **own, PolicyName="page-0") == "ValidationError"


def test_forecast(client, group):
    own = {"AutoScalingGroupName": group, "PolicyName": "ahead"}
    metric = {"TargetValue": 40, "PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"}}
    client.put_scaling_policy(
        **own, PolicyType="PredictiveScaling", PredictiveScalingConfiguration={"MetricSpecifications": [metric]}
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    span = {"StartTime": now, "EndTime": now + datetime.timedelta(hours=1)}
    # Without a day of history there is none.
    assert code_of(client.get_predictive_scaling_forecast, **own, **span) == "ValidationError"
    assert code_of(client.get_predictive_scaling_forecast, **NONE, PolicyName="ahead", **span) == "ValidationError"


def test_scheduled_actions(client, group):
    own = {"AutoScalingGroupName": group}
    start = datetime.datetime(2090, 1, 1, tzinfo=datetime.timezone.utc)
    client.put_scheduled_update_group_action(**own, ScheduledActionName="page-0", StartTime=start, MinSize=0)
    batch = [
        {"ScheduledActionName": f"page-{n}", "StartTime": start + datetime.timedelta(days=n), "DesiredCapacity": 0}
        for n in range(1, 6)
    ]
    wrong = {"ScheduledActionName": "wrong", "StartTime": start}
    failed = client.batch_put_scheduled_update_group_action(**own, ScheduledUpdateGroupActions=[*batch, wrong])
    assert [(one["ScheduledActionName"], one["ErrorCode"]) for one in failed["FailedScheduledUpdateGroupActions"]] == [
        ("wrong", "ValidationError")
    ]
    count, found = paged(client, "describe_scheduled_actions", "ScheduledUpdateGroupActions", **own)
    assert (count, [one["ScheduledActionName"] for one in found]) == (2, [f"page-{n}" for n in range(6)])
    window = {"StartTime": start + datetime.timedelta(days=2), "EndTime": start + datetime.timedelta(days=3)}
    found = client.describe_scheduled_actions(**own, **window)["ScheduledUpdateGroupActions"]
    assert [one["ScheduledActionName"] for one in found] == ["page-2", "page-3"]
    client.delete_scheduled_action(**own, ScheduledActionName="page-0")
    assert code_of(client.delete_scheduled_action, **own, ScheduledActionName="page-0") == "ValidationError"
    failed = client.batch_delete_scheduled_action(
        **own, ScheduledActionNames=[*(one["ScheduledActionName"] for one in batch), "page-0"]
    )["FailedScheduledActions"]
    assert [one["ScheduledActionName"] for one in failed] == ["page-0"]
    for call, more in (
        (client.put_scheduled_update_group_action, {"ScheduledActionName": "lost", "MinSize": 0}),
        (client.batch_put_scheduled_update_group_action, {"ScheduledUpdateGroupActions": batch}),
        (client.batch_delete_scheduled_action, {"ScheduledActionNames": ["lost"]}),
        (client.describe_scheduled_actions, {}),
    ):
        assert code_of(call, **NONE, **more) == "ValidationError"


def test_warm_pools(client, group):
    own = {"AutoScalingGroupName": group}
    assert "WarmPoolConfiguration" not in client.describe_warm_pool(**own)
    client.put_warm_pool(**own, MinSize=2, MaxGroupPreparedCapacity=2)
    until(lambda: len(client.describe_warm_pool(**own)["Instances"]) == 2, 60, "the pool's instances")
    found = client.describe_warm_pool(**own)["Instances"]
    first = client.describe_warm_pool(**own, MaxRecords=1)
    rest = client.describe_warm_pool(**own, MaxRecords=1, NextToken=first["NextToken"])
    ids = [one["InstanceId"] for one in first["Instances"] + rest["Instances"]]
    assert ids == [one["InstanceId"] for one in found]
    assert code_of(client.put_warm_pool, **own, PoolState="Asleep") == "ValidationError"
    assert code_of(client.delete_warm_pool, **own) == "ResourceInUse"
    client.delete_warm_pool(**own, ForceDelete=True)
    until(lambda: "WarmPoolConfiguration" not in client.describe_warm_pool(**own), 60, "the pool to be gone")
    assert code_of(client.delete_warm_pool, **own) == "ValidationError"
    for call in (client.put_warm_pool, client.describe_warm_pool, client.delete_warm_pool):
        assert code_of(call, **NONE) == "ValidationError"


def test_refreshes(client, group, pair):
    own = {"AutoScalingGroupName": group}
    assert code_of(client.cancel_instance_refresh, **own) == "ActiveInstanceRefreshNotFound"
    assert code_of(client.rollback_instance_refresh, **own) == "ActiveInstanceRefreshNotFound"
    first = client.start_instance_refresh(**own, Preferences={"InstanceWarmup": 36_000})["InstanceRefreshId"]
    assert code_of(client.start_instance_refresh, **own) == "InstanceRefreshInProgress"
    assert code_of(client.rollback_instance_refresh, **own) == "IrreversibleInstanceRefresh"
    assert client.cancel_instance_refresh(**own)["InstanceRefreshId"] == first

    def status():
        asked = {**own, "InstanceRefreshIds": [first]}
        return client.describe_instance_refreshes(**asked)["InstanceRefreshes"][0]["Status"]

    until(lambda: status() == "Cancelled", 60, "it to be cancelled")
    second = client.start_instance_refresh(**own, Preferences={"SkipMatching": True})["InstanceRefreshId"]
    page = client.describe_instance_refreshes(**own, MaxRecords=1)
    rest = client.describe_instance_refreshes(**own, MaxRecords=1, NextToken=page["NextToken"])
    shown = page["InstanceRefreshes"] + rest["InstanceRefreshes"]
    assert [one["InstanceRefreshId"] for one in shown] == [second, first], "the newest comes first"
    assert code_of(client.start_instance_refresh, **NONE) == "ValidationError"
    assert code_of(client.cancel_instance_refresh, **NONE) == "ValidationError"
    assert code_of(client.rollback_instance_refresh, **NONE) == "ValidationError"
    assert code_of(client.describe_instance_refreshes, **NONE) == "ValidationError"
