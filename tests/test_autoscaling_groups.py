"""Auto Scaling groups, their launch configurations, tags and settings as clients make, read and change them: success,
the code of what is not there, filters and pages; and that no operation of the service is without a test of this kind."""

import re
from pathlib import Path

import pytest

import elastane
from elastane import ROOT, until
from test_ec2_vpc import code_of, paged

SETUPS = [elastane.PROCESS_USER]
TIME_SCALE = 60
NONE = {"AutoScalingGroupName": "none"}


@pytest.fixture(scope="module")
def client(daemon):
    return daemon.client("autoscaling")


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def source(ec2):
    """A launch template, and the zone of all groups."""
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName="nouns", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    return {"LaunchTemplate": {"LaunchTemplateName": "nouns"}, "AvailabilityZones": [zone]}


def members(client, group):
    (found,) = client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    return {one["InstanceId"]: one["LifecycleState"] for one in found["Instances"]}


def in_service(client, group, count):
    """The members, once there are so many and all are in service."""

    def look():
        found = members(client, group)
        return sorted(found) if list(found.values()) == ["InService"] * count else None

    return look() if count == 0 else until(look, 60, lambda: f"{count} in service: {members(client, group)}")


def gone(client, group):
    client.delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    asked = {"AutoScalingGroupNames": [group]}
    until(lambda: not client.describe_auto_scaling_groups(**asked)["AutoScalingGroups"], 60, f"{group} to be gone")


@pytest.fixture
def group(client, source):
    """An empty group for each test."""
    client.create_auto_scaling_group(AutoScalingGroupName="nouns", MinSize=0, MaxSize=3, **source)
    yield "nouns"
    gone(client, "nouns")


def test_every_operation_has_a_test():
    coverage = (ROOT / "docs/coverage.md").read_text()
    section = coverage.split("\n## Auto Scaling")[1].split("\n## ")[0]
    words = [re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name) for name in re.findall(r"^- (\w+)", section, re.M)]
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_autoscaling_*.py")))
    assert len(words) == 68
    # Called, or named to what turns its pages.
    called = set(re.findall(r"""[."](\w+)""", tests))
    assert {word.lower() for word in words} - called == set()


def test_a_group_from_beginning_to_end(client, source):
    own = {"AutoScalingGroupName": "whole"}
    wanted = {**own, "MinSize": 0, "MaxSize": 2, **source}
    client.create_auto_scaling_group(**wanted)
    assert code_of(client.create_auto_scaling_group, **wanted) == "AlreadyExists"
    client.update_auto_scaling_group(**own, MaxSize=3, DesiredCapacity=1)
    (instance,) = in_service(client, "whole", 1)
    assert code_of(client.update_auto_scaling_group, **own, MinSize=4) == "ValidationError"
    assert code_of(client.update_auto_scaling_group, **NONE, MaxSize=1) == "ValidationError"
    client.set_desired_capacity(**own, DesiredCapacity=2)
    assert instance in in_service(client, "whole", 2)
    assert code_of(client.set_desired_capacity, **own, DesiredCapacity=4) == "ValidationError"
    assert code_of(client.set_desired_capacity, **NONE, DesiredCapacity=0) == "ValidationError"
    assert code_of(client.delete_auto_scaling_group, **own) == "ResourceInUse"
    gone(client, "whole")
    assert code_of(client.delete_auto_scaling_group, **own) == "ValidationError"


def test_groups_come_in_pages_and_by_filters(client, source):
    names = [f"page-{n}" for n in range(6)]
    for name in names:
        tag = {"Key": "Number", "Value": name[-1], "PropagateAtLaunch": False}
        client.create_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0, Tags=[tag], **source)
    count, found = paged(client, "describe_auto_scaling_groups", "AutoScalingGroups")
    assert (count, [one["AutoScalingGroupName"] for one in found]) == (2, names)
    filters = [{"Name": "tag:Number", "Values": ["2", "4"]}]
    found = client.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"]
    assert [one["AutoScalingGroupName"] for one in found] == ["page-2", "page-4"]
    assert client.describe_auto_scaling_groups(AutoScalingGroupNames=["none"])["AutoScalingGroups"] == []
    wrong = [{"Name": "color", "Values": ["red"]}]
    assert code_of(client.describe_auto_scaling_groups, Filters=wrong) == "ValidationError"
    assert code_of(client.describe_auto_scaling_groups, NextToken="made-up") == "InvalidNextToken"
    assert code_of(client.describe_auto_scaling_groups, MaxRecords=101) == "ValidationError"
    for name in names:
        client.delete_auto_scaling_group(AutoScalingGroupName=name)


def test_launch_configurations(client, ec2):
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    names = [f"page-{n}" for n in range(6)]
    wanted = {"ImageId": image, "InstanceType": "t3.micro"}
    for name in names:
        client.create_launch_configuration(LaunchConfigurationName=name, **wanted)
    assert code_of(client.create_launch_configuration, LaunchConfigurationName="page-0", **wanted) == "AlreadyExists"
    assert code_of(client.create_launch_configuration, LaunchConfigurationName="half") == "ValidationError"
    count, found = paged(client, "describe_launch_configurations", "LaunchConfigurations")
    assert (count, [one["LaunchConfigurationName"] for one in found]) == (2, names)
    for name in names:
        client.delete_launch_configuration(LaunchConfigurationName=name)
    assert code_of(client.delete_launch_configuration, LaunchConfigurationName="page-0") == "ValidationError"


def test_tags(client, group):
    def tag(key, **more):
        return {"Key": key, "ResourceId": group, "ResourceType": "auto-scaling-group", **more}

    tags = [tag(f"key-{n}", Value=str(n), PropagateAtLaunch=n % 2 == 0) for n in range(6)]
    client.create_or_update_tags(Tags=tags)
    assert paged(client, "describe_tags", "Tags") == (2, tags)
    for name, values, shown in (
        ("auto-scaling-group", [group], tags), ("key", ["key-1", "key-2"], tags[1:3]), ("value", ["5"], tags[5:]),
        ("propagate-at-launch", ["true"], tags[::2]), ("auto-scaling-group", ["none"], []),
    ):
        assert client.describe_tags(Filters=[{"Name": name, "Values": values}])["Tags"] == shown
    assert code_of(client.describe_tags, Filters=[{"Name": "color", "Values": ["red"]}]) == "ValidationError"
    client.delete_tags(Tags=[tag(one["Key"]) for one in tags])
    assert client.describe_tags()["Tags"] == []
    lost = [{**tags[0], "ResourceId": "none"}]
    for call in (client.create_or_update_tags, client.delete_tags):
        assert code_of(call, Tags=lost) == "ValidationError"


def test_metrics_of_a_group(client, group):
    own = {"AutoScalingGroupName": group}
    types = client.describe_metric_collection_types()
    assert [one["Granularity"] for one in types["Granularities"]] == ["1Minute"]
    client.enable_metrics_collection(**own, Granularity="1Minute")

    def enabled():
        (found,) = client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return {one["Metric"] for one in found["EnabledMetrics"]}

    assert enabled() == {one["Metric"] for one in types["Metrics"]}
    client.disable_metrics_collection(**own, Metrics=["GroupMinSize"])
    assert "GroupMinSize" not in enabled()
    client.disable_metrics_collection(**own)
    assert enabled() == set()
    assert code_of(client.enable_metrics_collection, **own, Granularity="1Hour") == "ValidationError"
    assert code_of(client.disable_metrics_collection, **own, Metrics=["Color"]) == "ValidationError"
    assert code_of(client.enable_metrics_collection, **NONE, Granularity="1Minute") == "ValidationError"
    assert code_of(client.disable_metrics_collection, **NONE) == "ValidationError"


def test_processes(client, group):
    own = {"AutoScalingGroupName": group}
    names = {one["ProcessName"] for one in client.describe_scaling_process_types()["Processes"]}
    client.suspend_processes(**own)

    def suspended():
        (found,) = client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return {one["ProcessName"] for one in found["SuspendedProcesses"]}

    assert suspended() == names
    client.resume_processes(**own, ScalingProcesses=["Launch", "Terminate"])
    assert suspended() == names - {"Launch", "Terminate"}
    client.resume_processes(**own)
    assert suspended() == set()
    for call in (client.suspend_processes, client.resume_processes):
        assert code_of(call, **own, ScalingProcesses=["Paint"]) == "ValidationError"
        assert code_of(call, **NONE) == "ValidationError"


def test_what_there_is_to_choose_from(client):
    kinds = client.describe_adjustment_types()["AdjustmentTypes"]
    assert {one["AdjustmentType"] for one in kinds} == {"ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity"}
    assert "Default" in client.describe_termination_policy_types()["TerminationPolicyTypes"]
    assert len(client.describe_lifecycle_hook_types()["LifecycleHookTypes"]) == 2
    told = client.describe_auto_scaling_notification_types()["AutoScalingNotificationTypes"]
    assert "autoscaling:EC2_INSTANCE_LAUNCH" in told
    limits = client.describe_account_limits()
    assert (limits["MaxNumberOfAutoScalingGroups"], limits["MaxNumberOfLaunchConfigurations"]) == (500, 200)


def test_settings_of_the_account(daemon, client):
    """There are none; old clients do not know the operations."""
    if not hasattr(client, "describe_account_settings"):
        pytest.skip("this boto3 does not know account settings")
    assert client.describe_account_settings().get("AccountSettings", []) == []
    assert code_of(client.put_account_setting, Name="color", Value="red") == "ValidationError"


def test_notifications(client, group):
    own = {"AutoScalingGroupName": group}
    topics = [f"arn:aws:sns:us-east-1:000000000000:topic-{n}" for n in range(3)]
    kinds = ["autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"]
    for topic in topics:
        client.put_notification_configuration(**own, TopicARN=topic, NotificationTypes=kinds)
    asked = {"AutoScalingGroupNames": [group]}
    count, found = paged(client, "describe_notification_configurations", "NotificationConfigurations", **asked)
    assert (count, {one["TopicARN"] for one in found}, len(found)) == (2, set(topics), 6)
    wrong = {"TopicARN": topics[0], "NotificationTypes": ["autoscaling:PAINTED"]}
    assert code_of(client.put_notification_configuration, **own, **wrong) == "ValidationError"
    right = {"TopicARN": topics[0], "NotificationTypes": kinds}
    assert code_of(client.put_notification_configuration, **NONE, **right) == "ValidationError"
    for topic in topics:
        client.delete_notification_configuration(**own, TopicARN=topic)
    assert code_of(client.delete_notification_configuration, **own, TopicARN=topics[0]) == "ValidationError"


def test_target_groups_and_traffic_sources(daemon, client, ec2, group):
    own, lb = {"AutoScalingGroupName": group}, daemon.client("elbv2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    wanted = {"Protocol": "HTTP", "Port": 80, "VpcId": vpc}
    made = [lb.create_target_group(Name=f"page-{n}", **wanted)["TargetGroups"][0] for n in range(6)]
    arns = sorted(one["TargetGroupArn"] for one in made)
    client.attach_load_balancer_target_groups(**own, TargetGroupARNs=arns)
    found = client.describe_load_balancer_target_groups(**own)["LoadBalancerTargetGroups"]
    assert [one["LoadBalancerTargetGroupARN"] for one in found] == arns
    first = client.describe_load_balancer_target_groups(**own, MaxRecords=5)
    rest = client.describe_load_balancer_target_groups(**own, MaxRecords=5, NextToken=first["NextToken"])
    assert first["LoadBalancerTargetGroups"] + rest["LoadBalancerTargetGroups"] == found
    client.detach_load_balancer_target_groups(**own, TargetGroupARNs=arns)
    sources = [{"Identifier": arn, "Type": "elbv2"} for arn in arns]
    client.attach_traffic_sources(**own, TrafficSources=sources)
    first = client.describe_traffic_sources(**own, MaxRecords=5)
    rest = client.describe_traffic_sources(**own, MaxRecords=5, NextToken=first["NextToken"])
    assert [one["Identifier"] for one in first["TrafficSources"] + rest["TrafficSources"]] == arns
    assert client.describe_traffic_sources(**own, TrafficSourceType="elb")["TrafficSources"] == []
    assert code_of(client.describe_traffic_sources, **own, TrafficSourceType="door") == "ValidationError"
    client.detach_traffic_sources(**own, TrafficSources=sources)
    missing = arns[0][:-16] + "0" * 16
    for call in (client.attach_load_balancer_target_groups, client.detach_load_balancer_target_groups):
        assert code_of(call, **own, TargetGroupARNs=[missing]) == "ValidationError"
        assert code_of(call, **NONE, TargetGroupARNs=arns) == "ValidationError"
    for call in (client.attach_traffic_sources, client.detach_traffic_sources):
        assert code_of(call, **own, TrafficSources=[{"Identifier": missing, "Type": "elbv2"}]) == "ValidationError"
    for call in (client.describe_load_balancer_target_groups, client.describe_traffic_sources):
        assert code_of(call, **NONE) == "ValidationError"
    for arn in arns:
        lb.delete_target_group(TargetGroupArn=arn)


def test_there_are_no_classic_load_balancers(client, group):
    own = {"AutoScalingGroupName": group}
    assert client.describe_load_balancers(**own)["LoadBalancers"] == []
    for call in (client.attach_load_balancers, client.detach_load_balancers):
        assert code_of(call, **own, LoadBalancerNames=["classic"]) == "ValidationError"
    assert code_of(client.describe_load_balancers, **NONE) == "ValidationError"
