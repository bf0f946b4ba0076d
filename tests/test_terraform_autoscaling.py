"""Terraform's calls for every aws_autoscaling_* resource, with launch configurations and launch templates: created, read,
updated and deleted in the provider's order, and nothing left to change after each step."""

import base64
import datetime

import pytest

import elastane
import terraform
from elastane import until
from terraform import GRACE_S, GROUP_ABSENT, WARM_POOL, ApplyFailed, Groups, not_found, plan
from test_ec2_vpc import code_of

SETUPS = [elastane.PROCESS_USER]
TIME_SCALE = 60
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def lb(daemon):
    return daemon.client("elbv2")


@pytest.fixture(scope="module")
def client(daemon):
    return daemon.client("autoscaling")


@pytest.fixture(scope="module")
def groups(client, lb):
    return Groups(client, lb)


@pytest.fixture(scope="module")
def image(ec2):
    return ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


@pytest.fixture(scope="module")
def subnets(ec2):
    rows = sorted(ec2.describe_subnets()["Subnets"], key=lambda row: row["AvailabilityZone"])
    return [row["SubnetId"] for row in rows[:2]]


@pytest.fixture(scope="module")
def template(ec2, image):
    made = ec2.create_launch_template(
        LaunchTemplateName="terraform", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"},
    )
    return made["LaunchTemplate"]["LaunchTemplateId"]


@pytest.fixture
def target_group(lb, ec2):
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = lb.create_target_group(Name="terraform", Protocol="HTTP", Port=80, VpcId=vpc)
    yield made["TargetGroups"][0]["TargetGroupArn"]
    lb.delete_target_group(TargetGroupArn=made["TargetGroups"][0]["TargetGroupArn"])


@pytest.fixture
def empty(groups, template, subnets):
    """A group without instances for the resources around it."""
    groups.create("around", MinSize=0, MaxSize=4, **source(template), VPCZoneIdentifier=",".join(subnets))
    yield "around"
    groups.delete("around", force=True)


def source(template, version="$Latest"):
    return {"LaunchTemplate": {"LaunchTemplateId": template, "Version": version}}


# -- aws_launch_template and aws_launch_configuration


def test_launch_template(ec2, image):
    data = {
        "ImageId": image, "InstanceType": "t3.micro", "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
        "MetadataOptions": {"HttpTokens": "required"}, "Monitoring": {"Enabled": False},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Team", "Value": "shop"}]}],
    }
    made = ec2.create_launch_template(
        LaunchTemplateName="of-terraform", LaunchTemplateData=data, ClientToken="terraform-1",
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "Team", "Value": "shop"}]}],
    )["LaunchTemplate"]["LaunchTemplateId"]

    def read():
        (found,) = ec2.describe_launch_templates(LaunchTemplateIds=[made])["LaunchTemplates"]
        (version,) = ec2.describe_launch_template_versions(
            LaunchTemplateId=made, Versions=[str(found["LatestVersionNumber"])]
        )["LaunchTemplateVersions"]
        return found, version

    found, version = read()
    assert (found["LaunchTemplateName"], found["DefaultVersionNumber"]) == ("of-terraform", 1)
    assert found["Tags"] == [{"Key": "Team", "Value": "shop"}]
    assert version["LaunchTemplateData"] == data, "as it was sent, and nothing else"
    changed = {**data, "InstanceType": "t3.small"}
    ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=changed)
    ec2.modify_launch_template(LaunchTemplateId=made, DefaultVersion="2")
    found, version = read()
    assert (found["DefaultVersionNumber"], version["LaunchTemplateData"]) == (2, changed)
    ec2.delete_launch_template(LaunchTemplateId=made)
    assert code_of(ec2.describe_launch_templates, LaunchTemplateIds=[made]) == "InvalidLaunchTemplateId.NotFound"


def test_launch_configuration(client, ec2, groups, image, subnets):
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    (root,) = ec2.describe_images(ImageIds=[image])["Images"]
    assert root["RootDeviceName"] and root["BlockDeviceMappings"], "asked for before the root device is described"
    wanted = {
        "LaunchConfigurationName": "of-terraform", "ImageId": image, "InstanceType": "t3.micro", "EbsOptimized": False,
        "InstanceMonitoring": {"Enabled": True}, "SecurityGroups": [group], "AssociatePublicIpAddress": True,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [
            {"DeviceName": root["RootDeviceName"], "Ebs": {"VolumeSize": 9, "DeleteOnTermination": True}}
        ],
    }
    client.create_launch_configuration(**wanted, UserData="#!/bin/sh\n")

    def read():
        return client.describe_launch_configurations(LaunchConfigurationNames=["of-terraform"])["LaunchConfigurations"]

    (found,) = read()
    assert plan(wanted, found) == {}
    assert base64.b64decode(found["UserData"]) == b"#!/bin/sh\n"
    assert {found.get(key) or "" for key in ("KeyName", "IamInstanceProfile", "SpotPrice", "PlacementTenancy")} == {""}
    wanted = {"LaunchConfigurationName": "of-terraform", "MinSize": 1, "MaxSize": 1}
    kept = groups.create("configured", **wanted, VPCZoneIdentifier=",".join(subnets))
    assert plan({"launch_configuration": "of-terraform", "min_size": 1}, kept, GROUP_ABSENT) == {}
    assert code_of(client.delete_launch_configuration, LaunchConfigurationName="of-terraform") == "ResourceInUse"
    groups.delete("configured")
    client.delete_launch_configuration(LaunchConfigurationName="of-terraform")
    assert read() == []
    assert not_found(client.delete_launch_configuration, LaunchConfigurationName="of-terraform")


# -- aws_autoscaling_group


def test_a_group_of_which_little_is_said(groups, template, ec2):
    """Nothing is made up for what was not configured."""
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    kept = groups.create("plain", MinSize=0, MaxSize=1, AvailabilityZones=[zone], **source(template, "1"))
    wanted = {
        "availability_zones": {zone}, "min_size": 0, "max_size": 1, "launch_template": kept["launch_template"],
        # What AWS fills in; the provider takes any value that stays.
        "default_cooldown": 300, "desired_capacity": 0, "health_check_type": "EC2", "load_balancers": set(),
        "target_group_arns": set(), "traffic_source": set(), "vpc_zone_identifier": set(),
    }
    assert plan(wanted, kept, GROUP_ABSENT) == {}
    assert kept["launch_template"] == {
        "LaunchTemplateId": template, "LaunchTemplateName": "terraform", "Version": "1"
    }
    assert kept["service_linked_role_arn"].endswith("/AWSServiceRoleForAutoScaling")
    assert groups.read("plain") == kept
    groups.delete("plain")
    assert groups.read("plain") is None
    groups.delete("plain")


def settings(target_group, subnets):
    """Arguments of CreateAutoScalingGroup, and the attributes that they must be read back as."""
    request = {
        "MinSize": 1, "MaxSize": 3, "DesiredCapacity": 2, "VPCZoneIdentifier": ",".join(subnets),
        "CapacityRebalance": True, "Context": "of terraform", "DefaultCooldown": 60, "DefaultInstanceWarmup": 30, "DeletionProtection": "none",
        "DesiredCapacityType": "units", "HealthCheckGracePeriod": 120, "HealthCheckType": "ELB",
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120},
        "MaxInstanceLifetime": 86_400, "NewInstancesProtectedFromScaleIn": True, "PlacementGroup": "terraform",
        "TargetGroupARNs": [target_group], "TerminationPolicies": ["OldestInstance", "Default"],
    }
    kept = {
        "min_size": 1, "max_size": 3, "desired_capacity": 2, "vpc_zone_identifier": set(subnets),
        "capacity_rebalance": True, "context": "of terraform", "default_cooldown": 60, "default_instance_warmup": 30,
        "deletion_protection": "none", "desired_capacity_type": "units", "health_check_grace_period": 120,
        "health_check_type": "ELB",
        "instance_maintenance_policy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120},
        "max_instance_lifetime": 86_400, "protect_from_scale_in": True, "placement_group": "terraform",
        "target_group_arns": {target_group}, "traffic_source": {(target_group, "elbv2")},
        "termination_policies": ["OldestInstance", "Default"],
    }
    return request, kept


def test_a_group_of_which_everything_is_said(groups, template, ec2, client, target_group, subnets):
    ec2.create_placement_group(GroupName="terraform", Strategy="spread")
    request, wanted = settings(target_group, subnets)
    tags = [("Name", "web", True), ("Owner", "shop", False), ("Empty", "", True)]
    wanted |= {
        "suspended_processes": {"AZRebalance", "AlarmNotification"},
        "enabled_metrics": {"GroupInServiceInstances", "GroupDesiredCapacity"}, "tag": set(tags),
    }
    kept = groups.create(
        "full", suspended=wanted["suspended_processes"], metrics=wanted["enabled_metrics"], tags=tags,
        **source(template), **request,
    )
    wanted["launch_template"] = {**source(template)["LaunchTemplate"], "LaunchTemplateName": "terraform"}
    assert plan(wanted, kept, GROUP_ABSENT) == {}
    assert groups.read("full") == kept, "a second read finds the same"
    # Each attribute to another value.
    changes = {
        "MinSize": 0, "MaxSize": 4, "DesiredCapacity": 3, "Context": "changed", "DefaultCooldown": 0,
        "DefaultInstanceWarmup": 0, "HealthCheckGracePeriod": 0, "HealthCheckType": "EC2",
        "MaxInstanceLifetime": 90_000, "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
        "TerminationPolicies": ["NewestInstance"], "CapacityRebalance": False,
        "NewInstancesProtectedFromScaleIn": True, "VPCZoneIdentifier": subnets[1],
    }
    kept = groups.update("full", exactly=3, **changes)
    wanted |= {
        "min_size": 0, "max_size": 4, "desired_capacity": 3, "context": "changed", "default_cooldown": 0,
        "default_instance_warmup": 0, "health_check_grace_period": 0, "health_check_type": "EC2",
        "max_instance_lifetime": 90_000, "termination_policies": ["NewestInstance"], "capacity_rebalance": False,
        "instance_maintenance_policy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
        "vpc_zone_identifier": {subnets[1]},
    }
    assert plan(wanted, kept) == {}
    # Each attribute taken out of the configuration, as the provider says so.
    cleared = {
        "Context": "", "DefaultInstanceWarmup": 0, "HealthCheckGracePeriod": GRACE_S, "MaxInstanceLifetime": 0,
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1}, "PlacementGroup": "",
        "TerminationPolicies": ["Default"],
    }
    kept = groups.update("full", **cleared)
    absent = {key: GROUP_ABSENT[key] for key in (
        "context", "default_instance_warmup", "health_check_grace_period", "max_instance_lifetime",
        "instance_maintenance_policy", "placement_group", "termination_policies", "protect_from_scale_in",
    )}
    assert plan(absent, kept) == {}
    # Instances of the time before are protected still: the provider takes that away first.
    assert any(one["ProtectedFromScaleIn"] for one in groups.find("full")["Instances"])
    groups.delete("full")
    ec2.delete_placement_group(GroupName="terraform")


def test_what_has_calls_of_its_own(groups, client, empty, target_group, lb, ec2):
    """Tags, metrics, processes, target groups and traffic sources of a group that is there."""
    before = [("Name", "web", True), ("Owner", "shop", False)]
    after = [("Name", "web", False), ("Tier", "front", True)]
    groups.update_tags(empty, [], before)
    groups.update_tags(empty, before, after)
    client.suspend_processes(AutoScalingGroupName=empty, ScalingProcesses=["AZRebalance", "Terminate"])
    client.resume_processes(AutoScalingGroupName=empty, ScalingProcesses=["Terminate"])
    client.enable_metrics_collection(
        AutoScalingGroupName=empty, Granularity="1Minute", Metrics=["GroupMinSize", "GroupMaxSize"]
    )
    client.disable_metrics_collection(AutoScalingGroupName=empty, Metrics=["GroupMaxSize"])
    client.attach_load_balancer_target_groups(AutoScalingGroupName=empty, TargetGroupARNs=[target_group])
    groups.wait_for_traffic(empty, "describe_load_balancer_target_groups", "LoadBalancerTargetGroups", "Adding")
    wanted = {
        "tag": set(after), "suspended_processes": {"AZRebalance"}, "enabled_metrics": {"GroupMinSize"},
        "target_group_arns": {target_group}, "traffic_source": {(target_group, "elbv2")},
    }
    assert plan(wanted, groups.read(empty)) == {}
    client.detach_load_balancer_target_groups(AutoScalingGroupName=empty, TargetGroupARNs=[target_group])
    groups.wait_for_traffic(empty, "describe_load_balancer_target_groups", "LoadBalancerTargetGroups", "Removing")
    source = {"Identifier": target_group, "Type": "elbv2"}
    client.attach_traffic_sources(AutoScalingGroupName=empty, TrafficSources=[source])
    groups.wait_for_traffic(empty, "describe_traffic_sources", "TrafficSources", "Adding")
    assert plan({"traffic_source": {(target_group, "elbv2")}}, groups.read(empty)) == {}
    client.detach_traffic_sources(AutoScalingGroupName=empty, TrafficSources=[source])
    groups.wait_for_traffic(empty, "describe_traffic_sources", "TrafficSources", "Removing")
    assert plan({"traffic_source": set(), "target_group_arns": set()}, groups.read(empty)) == {}
    assert client.describe_load_balancers(AutoScalingGroupName=empty)["LoadBalancers"] == []


@pytest.mark.parametrize(
    ("given", "attribute"),
    [
        ({"DeletionProtection": "prevent-force-deletion"}, {"deletion_protection": "prevent-force-deletion"}),
        ({"InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "terminate"}}}, None),
        ({"InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}}, None),
        ({"AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-only"}}, None),
        ({"AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-best-effort"}}, None),
        ({"CapacityReservationSpecification": {"CapacityReservationPreference": "default"}}, None),
        ({"AvailabilityZoneImpairmentPolicy": {
            "ZonalShiftEnabled": False, "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy",
        }}, None),
    ],
    ids=str,
)
def test_later_settings(groups, template, subnets, given, attribute):
    """Settings of late versions of the provider: shown as given, and kept when an update does not name them."""
    wanted = {"MinSize": 0, "MaxSize": 1, "VPCZoneIdentifier": subnets[0], **source(template)}
    kept = groups.create("late", **wanted, **given)
    assert plan(attribute or {}, kept) == {}
    groups.update("late", MaxSize=2)
    assert plan(given, groups.find("late")) == {}
    groups.update("late", DeletionProtection="none")
    groups.delete("late", force=True)


def test_failed_activities_end_the_apply():
    """On a clock in step with the client's, as Terraform compares the two."""
    daemon = elastane.Daemon(elastane.PROCESS_USER, time_scale=1).start()
    try:
        client, ec2 = daemon.client("autoscaling"), daemon.client("ec2")
        groups = Groups(client, daemon.client("elbv2"))
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        data = {"ImageId": image, "InstanceType": "t3.micro"}
        template = ec2.create_launch_template(LaunchTemplateName="failing", LaunchTemplateData=data)["LaunchTemplate"]
        zones = [one["ZoneName"] for one in ec2.describe_availability_zones()["AvailabilityZones"]]
        started = terraform.now()
        wanted = {**source(template["LaunchTemplateId"]), "AvailabilityZones": zones[:1]}
        groups.create("failing", MinSize=1, MaxSize=2, **wanted)
        (activity,) = client.describe_scaling_activities(AutoScalingGroupName="failing")["Activities"]
        assert activity["StartTime"] > started, "the service's clock is not behind the client's"
        assert (activity["StatusCode"], activity["Progress"]) == ("Successful", 100)
        ec2.create_launch_template_version(
            LaunchTemplateId=template["LaunchTemplateId"], LaunchTemplateData={**data, "KeyName": "removed"}
        )
        with pytest.raises(ApplyFailed, match="removed"):
            groups.update("failing", exactly=2, DesiredCapacity=2)
        groups.wait_for_capacity("failing", terraform.now(), lambda count: count == 1)
        groups.delete("failing")
    finally:
        daemon.destroy()


def test_initial_lifecycle_hooks(groups, client, template, subnets):
    hooks = [
        {"LifecycleHookName": "in", "LifecycleTransition": LAUNCHING, "DefaultResult": "CONTINUE",
         "HeartbeatTimeout": 30, "NotificationMetadata": '{"from": "terraform"}'},
        {"LifecycleHookName": "out", "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 30},
    ]
    kept = groups.create(
        "hooked", hooks=hooks, MinSize=1, MaxSize=2, VPCZoneIdentifier=subnets[0], **source(template)
    )
    assert plan({"min_size": 1, "max_size": 2, "desired_capacity": 1}, kept) == {}
    found = client.describe_lifecycle_hooks(AutoScalingGroupName="hooked")["LifecycleHooks"]
    assert [{**hook, **wanted} == hook for hook, wanted in zip(found, hooks)] == [True, True]
    launched = client.describe_scaling_activities(AutoScalingGroupName="hooked")["Activities"]
    assert [one["StatusCode"] for one in launched] == ["Successful"], "one, past its hook"
    groups.delete("hooked")


def test_mixed_instances_policy(groups, template, subnets):
    spec = {"LaunchTemplateId": template, "Version": "$Default"}
    wanted = {"MinSize": 0, "MaxSize": 8, "VPCZoneIdentifier": subnets[0]}
    overrides = [
        {"InstanceType": "t3.small", "WeightedCapacity": "2"}, {"InstanceType": "t3.micro", "WeightedCapacity": "1"},
    ]
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": spec, "Overrides": overrides}}
    kept = groups.create("mixed", MixedInstancesPolicy=policy, **{**wanted, "DesiredCapacity": 2})
    shown = kept["mixed_instances_policy"]
    shown["InstancesDistribution"].pop("DistributionSegments", None)
    assert shown["LaunchTemplate"]["LaunchTemplateSpecification"] == {**spec, "LaunchTemplateName": "terraform"}
    assert shown["LaunchTemplate"]["Overrides"] == overrides, "in their order, which is their priority"
    assert shown["InstancesDistribution"] == {
        "OnDemandAllocationStrategy": "prioritized", "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 100, "SpotAllocationStrategy": "lowest-price", "SpotInstancePools": 2,
    }
    again = groups.read("mixed")["mixed_instances_policy"]
    again["InstancesDistribution"].pop("DistributionSegments", None)
    assert again == shown
    # The provider sends zeros and the empty price for what it does not know.
    distribution = {
        "OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 0, "SpotMaxPrice": "",
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    policy["InstancesDistribution"] = distribution
    kept = groups.update("mixed", MixedInstancesPolicy=policy)
    shown = kept["mixed_instances_policy"]["InstancesDistribution"]
    shown = {key: value for key, value in shown.items() if value != []}
    assert {"SpotMaxPrice": "", **shown} == {"OnDemandAllocationStrategy": "prioritized", **distribution}
    policy["InstancesDistribution"] = {**distribution, "OnDemandPercentageAboveBaseCapacity": 100}
    groups.update("mixed", exactly=4, DesiredCapacity=4, MixedInstancesPolicy=policy)
    groups.delete("mixed")


def test_a_policy_by_requirements(groups, template, subnets):
    """vCPUs as the desired capacity; zeros of the requirements come back."""
    requirements = {"VCpuCount": {"Min": 1, "Max": 2}, "MemoryMiB": {"Min": 0}, "BurstablePerformance": "included"}
    spec = {"LaunchTemplateId": template, "Version": "$Default"}
    policy = {"LaunchTemplate": {
        "LaunchTemplateSpecification": spec, "Overrides": [{"InstanceRequirements": requirements}],
    }}
    kept = groups.create(
        "required", MinSize=0, MaxSize=8, DesiredCapacityType="vcpu", MixedInstancesPolicy=policy,
        VPCZoneIdentifier=subnets[0],
    )
    assert kept["desired_capacity_type"] == "vcpu"
    (override,) = kept["mixed_instances_policy"]["LaunchTemplate"]["Overrides"]
    assert {key: value for key, value in override["InstanceRequirements"].items() if value != []} == requirements
    groups.delete("required")


def test_warm_pool(groups, client, template, subnets):
    pool = {"PoolState": "Stopped", "MinSize": 1, "MaxGroupPreparedCapacity": 2}
    kept = groups.create("warm", MinSize=0, MaxSize=2, pool=pool, VPCZoneIdentifier=subnets[0], **source(template))
    wanted = {**WARM_POOL, "min_size": 1, "max_group_prepared_capacity": 2}
    assert plan({"warm_pool": wanted}, kept) == {}
    until(lambda: groups.read("warm")["warm_pool_size"] == 2, 60, "the pool's instances")
    assert groups.find("warm")["Instances"] == [], "they are no members of the group"
    (bare,) = client.describe_auto_scaling_groups(
        AutoScalingGroupNames=["warm"], IncludeInstances=False
    )["AutoScalingGroups"]
    assert bare["WarmPoolSize"] == 2
    # As the provider takes the maximum back, and with a policy that says what is so anyway.
    client.put_warm_pool(
        AutoScalingGroupName="warm", PoolState="Stopped", MinSize=0, MaxGroupPreparedCapacity=-1,
        InstanceReusePolicy={"ReuseOnScaleIn": False},
    )
    wanted = {**WARM_POOL, "instance_reuse_policy": {"ReuseOnScaleIn": False}}
    assert plan({"warm_pool": wanted}, groups.read("warm")) == {}
    groups.delete_warm_pool("warm")
    assert plan({"warm_pool": None, "warm_pool_size": 0}, groups.read("warm")) == {}
    assert not_found(client.delete_warm_pool, "No warm pool found", AutoScalingGroupName="warm")
    client.put_warm_pool(AutoScalingGroupName="warm", MinSize=1)
    until(lambda: groups.read("warm")["warm_pool_size"] == 2, 60, "the pool's instances")
    assert plan({"warm_pool": {**WARM_POOL, "min_size": 1}}, groups.read("warm")) == {}, "nothing of the pool before"
    groups.delete("warm")


def test_instance_refresh(groups, client, ec2, template, subnets):
    groups.create(
        "fresh", MinSize=1, MaxSize=2, VPCZoneIdentifier=subnets[0], DefaultInstanceWarmup=600, **source(template, "1")
    )
    preferences = {
        "MinHealthyPercentage": 90, "MaxHealthyPercentage": 100, "SkipMatching": False, "AutoRollback": False,
        "ScaleInProtectedInstances": "Ignore", "StandbyInstances": "Ignore",
    }
    first = groups.refresh("fresh", Preferences=preferences)
    # The next apply finds it under way.
    version = ec2.create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"},
    )["LaunchTemplateVersion"]["VersionNumber"]
    assert code_of(client.start_instance_refresh, AutoScalingGroupName="fresh") == "InstanceRefreshInProgress"
    desired = source(template, str(version))
    groups.update("fresh", **desired)
    second = groups.refresh(
        "fresh", DesiredConfiguration=desired,
        Preferences={**preferences, "MinHealthyPercentage": 0, "InstanceWarmup": 0, "AutoRollback": True},
    )
    assert second != first

    def refreshes():
        found = client.describe_instance_refreshes(AutoScalingGroupName="fresh")["InstanceRefreshes"]
        return {one["InstanceRefreshId"]: one["Status"] for one in found}

    assert refreshes()[first] == "Cancelled"
    until(lambda: refreshes()[second] == "Successful", 120, lambda: f"the refresh: {refreshes()}")
    serving = [one for one in groups.find("fresh")["Instances"] if one["LifecycleState"] == "InService"]
    assert [one["InstanceType"] for one in serving] == ["t3.small"]
    kept = groups.read("fresh")
    assert kept["launch_template"]["Version"] == str(version)
    assert code_of(client.cancel_instance_refresh, AutoScalingGroupName="fresh") == "ActiveInstanceRefreshNotFound"
    groups.delete("fresh")
    ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=[str(version)])


def test_deleting_by_force(groups, client, template, subnets):
    pool = {"PoolState": "Stopped", "MinSize": 1}
    groups.create("forced", MinSize=1, MaxSize=2, pool=pool, VPCZoneIdentifier=subnets[0], **source(template))
    groups.delete("forced", force=True)
    assert groups.read("forced") is None
    assert not_found(client.describe_warm_pool, AutoScalingGroupName="forced")


def test_data_sources(groups, client, empty):
    client.create_or_update_tags(Tags=[terraform.tag(empty, "Stage", "test", True)])
    (found,) = client.describe_auto_scaling_groups(AutoScalingGroupNames=[empty])["AutoScalingGroups"]
    for filters in (
        [{"Name": "tag:Stage", "Values": ["test", "live"]}], [{"Name": "tag-key", "Values": ["Stage"]}],
        [{"Name": "tag-value", "Values": ["test"]}, {"Name": "tag-key", "Values": ["Stage"]}],
    ):
        assert client.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"] == [found]
    nothing = [{"Name": "tag:Stage", "Values": ["live"]}]
    assert client.describe_auto_scaling_groups(Filters=nothing)["AutoScalingGroups"] == []


# -- the resources around a group

SIMPLE = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 0, "Cooldown": 0}
STEPS = [
    {"MetricIntervalUpperBound": 1.0, "ScalingAdjustment": -1},
    {"MetricIntervalLowerBound": 1.0, "MetricIntervalUpperBound": 2.5, "ScalingAdjustment": 0},
    {"MetricIntervalLowerBound": 2.5, "ScalingAdjustment": 2},
]
PERCENT = {"AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 1}
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
ORDERS = {"Namespace": "Shop", "MetricName": "Orders", "Statistic": "Average"}
# Sets in the provider, and sent in any order.
MATH = [
    {"Id": "m1", "ReturnData": False, "MetricStat": {
        "Metric": {**{key: ORDERS[key] for key in ("Namespace", "MetricName")},
                   "Dimensions": [{"Name": "Shop", "Value": "one"}]},
        "Stat": "Sum",
    }},
    {"Id": "e1", "ReturnData": True, "Expression": "m1 / 2", "Label": "half"},
]
PAIR = {"PredefinedMetricPairSpecification": {"PredefinedMetricType": "ASGCPUUtilization"}}
APART = {
    "PredefinedLoadMetricSpecification": {"PredefinedMetricType": "ASGTotalNetworkIn"},
    "PredefinedScalingMetricSpecification": {"PredefinedMetricType": "ASGAverageNetworkIn"},
}
HONOR = {"Mode": "ForecastOnly", "MaxCapacityBreachBehavior": "HonorMaxCapacity"}


def tracking(**given):
    return {"TargetTrackingConfiguration": {"TargetValue": 50.0, "DisableScaleIn": False, **given}}


def predictive(metric, **given):
    specification = {"TargetValue": 40.0, **metric}
    return {"PredictiveScalingConfiguration": {"MetricSpecifications": [specification], **HONOR, **given}}


POLICIES = {
    "simple": ("SimpleScaling", SIMPLE),
    "simple-percent": ("SimpleScaling", {**PERCENT, "ScalingAdjustment": 10, "Cooldown": 60}),
    "simple-exact": ("SimpleScaling", {"AdjustmentType": "ExactCapacity", "ScalingAdjustment": 0}),
    "step": ("StepScaling", {
        "AdjustmentType": "ChangeInCapacity", "StepAdjustments": STEPS, "MetricAggregationType": "Maximum",
        "EstimatedInstanceWarmup": 0,
    }),
    "step-percent": ("StepScaling", {**PERCENT, "StepAdjustments": STEPS[2:], "MetricAggregationType": "Average"}),
    "tracking": ("TargetTrackingScaling", tracking(**CPU)),
    "tracking-out": ("TargetTrackingScaling", {**tracking(**CPU, DisableScaleIn=True), "EstimatedInstanceWarmup": 0}),
    "tracking-metric": ("TargetTrackingScaling", tracking(CustomizedMetricSpecification=ORDERS)),
    "tracking-dimensions": ("TargetTrackingScaling", tracking(CustomizedMetricSpecification={
        **ORDERS, "Unit": "Count", "Period": 60, "Dimensions": [{"Name": "Shop", "Value": "one"}],
    })),
    "tracking-math": ("TargetTrackingScaling", tracking(CustomizedMetricSpecification={"Metrics": MATH})),
    "predictive": ("PredictiveScaling", predictive(PAIR)),
    "predictive-apart": ("PredictiveScaling", predictive(APART, SchedulingBufferTime=0)),
    "predictive-scale": ("PredictiveScaling", predictive(
        PAIR, Mode="ForecastAndScale", SchedulingBufferTime=300, MaxCapacityBreachBehavior="IncreaseMaxCapacity",
        MaxCapacityBuffer=0,
    )),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policy(client, empty, name):
    """What is read back has what was sent, the parameters of the policy's kind only, and nothing made up."""
    kind, given = POLICIES[name]
    key = {"AutoScalingGroupName": empty, "PolicyName": name}

    def put(**changes):
        # A cooldown of zero stands for "none" with every kind.
        wanted = {**key, "PolicyType": kind, "Enabled": True, **given, **changes}
        arn = client.put_scaling_policy(**{"Cooldown": 0, **wanted})["PolicyARN"]
        (found,) = client.describe_policies(AutoScalingGroupName=empty, PolicyNames=[name])["ScalingPolicies"]
        shown = {field: value for field, value in found.items() if field != "Alarms" and value != []}
        extra = {"Cooldown": 0} if kind == "SimpleScaling" else {}
        assert shown == {"PolicyARN": arn, **extra, **wanted}
        return arn

    arn = put()
    assert put() == arn
    assert put(Enabled=False) == arn, "an update is the same call"
    client.delete_policy(**key)
    assert client.describe_policies(AutoScalingGroupName=empty, PolicyNames=[name])["ScalingPolicies"] == []
    assert not_found(client.delete_policy, **key)


def test_schedule(client, empty):
    key = {"AutoScalingGroupName": empty, "ScheduledActionName": "night"}
    start = (terraform.now() + datetime.timedelta(days=300)).replace(microsecond=0)

    def put(**given):
        client.put_scheduled_update_group_action(**key, **given)
        (found,) = client.describe_scheduled_actions(
            AutoScalingGroupName=empty, ScheduledActionNames=["night"]
        )["ScheduledUpdateGroupActions"]
        sizes = {size: found.get(size, -1) for size in ("MinSize", "MaxSize", "DesiredCapacity")}
        assert sizes == {size: given.get(size, -1) for size in sizes}
        assert plan({field: value for field, value in given.items() if field not in sizes}, found) == {}
        return found

    found = put(Recurrence="0 22 * * *", MinSize=0, MaxSize=0, DesiredCapacity=0)
    assert found["StartTime"] and "EndTime" not in found and "TimeZone" not in found, "when it runs first"
    # What was read of computed attributes goes out again with the next change.
    found = put(Recurrence="0 22 * * *", StartTime=found["StartTime"], MinSize=0)
    found = put(Recurrence="0 22 * * *", StartTime=found["StartTime"], TimeZone="Europe/Zurich", MaxSize=2)
    found = put(StartTime=start, EndTime=start + datetime.timedelta(days=1), MinSize=1, MaxSize=2, DesiredCapacity=1)
    assert "Recurrence" not in found
    client.delete_scheduled_action(**key)
    assert not_found(client.delete_scheduled_action, **key)


def test_lifecycle_hook(client, empty):
    key = {"AutoScalingGroupName": empty, "LifecycleHookName": "drain"}

    def put(**given):
        client.put_lifecycle_hook(**key, **given)
        (found,) = client.describe_lifecycle_hooks(
            AutoScalingGroupName=empty, LifecycleHookNames=["drain"]
        )["LifecycleHooks"]
        return found

    least = {"LifecycleTransition": TERMINATING}
    assert put(**least) == {
        **key, **least, "DefaultResult": "ABANDON", "HeartbeatTimeout": 3600, "GlobalTimeout": 172_800
    }
    told = {
        **least, "DefaultResult": "CONTINUE", "HeartbeatTimeout": 30, "NotificationMetadata": "a & b <c>",
        "NotificationTargetARN": "arn:aws:sqs:us-east-1:000000000000:hooks",
        "RoleARN": "arn:aws:iam::000000000000:role/hooks",
    }
    assert plan({**key, **told}, put(**told)) == {}
    client.delete_lifecycle_hook(**key)
    assert not_found(client.delete_lifecycle_hook, "No Lifecycle Hook found", **key)


def test_attachment(client, groups, empty, target_group):
    given = {"AutoScalingGroupName": empty, "TargetGroupARNs": [target_group]}
    client.attach_load_balancer_target_groups(**given)
    assert target_group in groups.read(empty)["target_group_arns"]
    client.attach_load_balancer_target_groups(**given)
    client.detach_load_balancer_target_groups(**given)
    assert groups.read(empty)["target_group_arns"] == set()
    assert not_found(
        client.detach_load_balancer_target_groups, "Trying to remove Target Groups that are not part of the group",
        **given,
    )
    assert not_found(client.attach_load_balancers, "", AutoScalingGroupName=empty, LoadBalancerNames=["classic"])


def test_traffic_source_attachment(client, groups, empty, target_group):
    source = {"Identifier": target_group, "Type": "elbv2"}

    def states():
        found = client.describe_traffic_sources(AutoScalingGroupName=empty, TrafficSourceType="elbv2")
        return {(one["Identifier"], one["Type"]): one["State"] for one in found["TrafficSources"]}

    client.attach_traffic_sources(AutoScalingGroupName=empty, TrafficSources=[source])
    there = ("Added", "InService")
    until(lambda: states().get((target_group, "elbv2")) in there, 60, lambda: f"it to be there: {states()}")
    assert groups.read(empty)["traffic_source"] == {(target_group, "elbv2")}
    client.detach_traffic_sources(AutoScalingGroupName=empty, TrafficSources=[source])

    def gone():
        assert set(states().values()) <= {"Removing", "Removed"}
        return states() == {}

    until(gone, 60, "it to be gone")
    assert not_found(
        client.detach_traffic_sources, "not part of the group", AutoScalingGroupName=empty, TrafficSources=[source]
    )


def test_notification(client, empty):
    topic = "arn:aws:sns:us-east-1:000000000000:scaling"

    def put(*kinds):
        client.put_notification_configuration(
            AutoScalingGroupName=empty, TopicARN=topic, NotificationTypes=[f"autoscaling:{kind}" for kind in kinds]
        )
        pages = client.get_paginator("describe_notification_configurations").paginate(AutoScalingGroupNames=[empty])
        found = [one for page in pages for one in page["NotificationConfigurations"] if one["TopicARN"] == topic]
        assert {one["AutoScalingGroupName"] for one in found} == {empty}
        assert {one["NotificationType"] for one in found} == {f"autoscaling:{kind}" for kind in kinds}

    put("EC2_INSTANCE_LAUNCH", "EC2_INSTANCE_LAUNCH_ERROR", "EC2_INSTANCE_TERMINATE", "EC2_INSTANCE_TERMINATE_ERROR")
    put("EC2_INSTANCE_LAUNCH", "TEST_NOTIFICATION")
    client.delete_notification_configuration(AutoScalingGroupName=empty, TopicARN=topic)
    assert not_found(
        client.delete_notification_configuration, "doesn't exist", AutoScalingGroupName=empty, TopicARN=topic
    )


def test_group_tag(client, empty):
    wanted = terraform.tag(empty, "Owner", "shop", False)
    filters = [{"Name": "auto-scaling-group", "Values": [empty]}, {"Name": "key", "Values": ["Owner"]}]
    client.create_or_update_tags(Tags=[wanted, terraform.tag(empty, "Other", "", True)])
    assert client.describe_tags(Filters=filters)["Tags"] == [wanted]
    client.create_or_update_tags(Tags=[{**wanted, "PropagateAtLaunch": True}])
    assert client.describe_tags(Filters=filters)["Tags"] == [{**wanted, "PropagateAtLaunch": True}]
    client.delete_tags(Tags=[wanted])
    assert client.describe_tags(Filters=filters)["Tags"] == []


# -- unknown names


def test_unknown_names(client, empty):
    """Which answers the provider takes for "deleted outside Terraform"."""
    assert client.describe_auto_scaling_groups(AutoScalingGroupNames=["none"])["AutoScalingGroups"] == []
    assert client.describe_launch_configurations(LaunchConfigurationNames=["none"])["LaunchConfigurations"] == []
    none = {"AutoScalingGroupName": "none"}
    for operation in (
        "describe_policies", "describe_scheduled_actions", "describe_lifecycle_hooks", "describe_warm_pool",
        "describe_scaling_activities", "describe_instance_refreshes", "describe_traffic_sources",
        "describe_load_balancers", "describe_load_balancer_target_groups", "delete_auto_scaling_group",
        "delete_warm_pool", "cancel_instance_refresh",
    ):
        assert not_found(getattr(client, operation), **none), operation
    assert not_found(client.describe_notification_configurations, AutoScalingGroupNames=["none"])
    own = {"AutoScalingGroupName": empty}
    topic = "arn:aws:sns:us-east-1:000000000000:none"
    lost = [
        (client.delete_policy, {"PolicyName": "none"}, "not found"),
        (client.delete_scheduled_action, {"ScheduledActionName": "none"}, "not found"),
        (client.delete_lifecycle_hook, {"LifecycleHookName": "none"}, "No Lifecycle Hook found"),
        (client.delete_warm_pool, {}, "No warm pool found"),
        (client.delete_notification_configuration, {"TopicARN": topic}, "doesn't exist"),
        (client.set_instance_protection, {"InstanceIds": ["i-0123456789abcdef0"], "ProtectedFromScaleIn": False},
         "not part of Auto Scaling group"),
        (client.detach_load_balancers, {"LoadBalancerNames": ["none"]}, "not part of the group"),
    ]
    for call, arguments, fragment in lost:
        assert not_found(call, fragment, **own, **arguments), (arguments, fragment)
    for operation, key in (
        ("describe_policies", "ScalingPolicies"), ("describe_scheduled_actions", "ScheduledUpdateGroupActions"),
        ("describe_lifecycle_hooks", "LifecycleHooks"), ("describe_traffic_sources", "TrafficSources"),
        ("describe_instance_refreshes", "InstanceRefreshes"),
    ):
        assert getattr(client, operation)(**own)[key] == [], operation
