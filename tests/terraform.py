"""How Terraform's AWS provider works against Auto Scaling: its calls in their order, its waits, and what it keeps of an
answer. terraform-calls.md, section 4, is where this is from. A plan is what differs between the kept and the wanted."""

import datetime
from contextlib import suppress

from botocore.exceptions import ClientError

from elastane import until

# The provider's own default of health_check_grace_period, which it always sends.
GRACE_S = 300
# Optional attributes of a group that have no value when they are not configured, and are not computed.
GROUP_ABSENT = {
    "capacity_rebalance": False, "context": "", "default_instance_warmup": 0, "desired_capacity_type": "",
    "deletion_protection": "", "enabled_metrics": set(), "health_check_grace_period": GRACE_S,
    "instance_maintenance_policy": None, "instance_lifecycle_policy": None, "launch_configuration": "",
    "launch_template": None, "max_instance_lifetime": 0, "mixed_instances_policy": None, "placement_group": "",
    "predicted_capacity": 0, "protect_from_scale_in": False, "suspended_processes": set(), "tag": set(),
    "termination_policies": None, "warm_pool": None, "warm_pool_size": 0,
}
WARM_POOL = {"pool_state": "Stopped", "min_size": 0, "max_group_prepared_capacity": -1, "instance_reuse_policy": None}


class ApplyFailed(Exception):
    """What `terraform apply` would end with."""


def plan(wanted, kept, absent=None):
    """What a plan would change: the attribute with what is kept and what is wanted."""
    return {
        key: (kept[key], value) for key, value in {**(absent or {}), **wanted}.items() if kept[key] != value
    }


def retried(call, *codes, limit=60):
    """Makes a call until it no longer fails with one of the codes."""

    def attempt():
        try:
            call()
        except ClientError as err:
            if err.response["Error"]["Code"] in codes:
                return False
            raise
        return True

    until(attempt, limit, f"an end of {codes}")


def is_gone(err, fragment="not found"):
    """Whether the provider takes an error for "is not there"."""
    return err.response["Error"]["Code"] == "ValidationError" and fragment in err.response["Error"]["Message"]


def not_found(call, fragment="not found", **arguments):
    """Whether the provider takes the answer to a call for "is not there"."""
    try:
        call(**arguments)
    except ClientError as err:
        return is_gone(err, fragment)
    return False


class Groups:
    """The resource aws_autoscaling_group."""

    def __init__(self, client, lb):
        self.client, self.lb = client, lb

    # -- create

    def create(self, name, hooks=(), metrics=(), suspended=(), pool=None, tags=(), **wanted):
        started = now()
        sizes = {key: wanted[key] for key in ("MinSize", "MaxSize", "DesiredCapacity") if key in wanted}
        request = {
            "AutoScalingGroupName": name, "HealthCheckGracePeriod": GRACE_S, "NewInstancesProtectedFromScaleIn": False,
            **wanted, **({"Tags": [tag(name, *one) for one in tags]} if tags else {}),
        }
        if hooks:
            request = {key: value for key, value in request.items() if key != "DesiredCapacity"}
            request |= {"MinSize": 0, "MaxSize": 0}
        self.client.create_auto_scaling_group(**request)
        for hook in hooks:
            self.client.put_lifecycle_hook(AutoScalingGroupName=name, **hook)
        if hooks:
            self.client.update_auto_scaling_group(AutoScalingGroupName=name, **sizes)
        self.wait_for_capacity(name, started, lambda count: count >= (sizes.get("DesiredCapacity") or sizes["MinSize"]))
        if suspended:
            self.client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=sorted(suspended))
        if metrics:
            self.client.enable_metrics_collection(
                AutoScalingGroupName=name, Granularity="1Minute", Metrics=sorted(metrics)
            )
        if pool:
            self.client.put_warm_pool(AutoScalingGroupName=name, **pool)
        return self.read(name)

    def wait_for_capacity(self, name, started, satisfied):
        """Healthy members in service, weighted; what failed since `started` ends the wait."""

        def poll():
            pages = self.client.get_paginator("describe_scaling_activities").paginate(AutoScalingGroupName=name)
            for activity in (one for page in pages for one in page["Activities"]):
                if activity["StartTime"] > started and activity["StatusCode"] == "Failed":
                    if activity["Progress"] == 100:
                        raise ApplyFailed(activity["StatusMessage"])
            group = self.find(name)
            assert group["LoadBalancerNames"] == []
            for arn in group["TargetGroupARNs"]:
                for one in self.lb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]:
                    assert one["Target"]["Id"] and one["TargetHealth"]["State"]
            serving = [
                one for one in group["Instances"]
                if (one["HealthStatus"], one["LifecycleState"]) == ("Healthy", "InService")
            ]
            return satisfied(sum(int(one.get("WeightedCapacity", "1")) for one in serving))

        until(poll, 60, lambda: f"capacity of {name}: {self.find(name)['Instances']}")

    # -- read

    def find(self, name):
        """The group, as the only one of the answer; None when there is none."""
        found = self.client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        assert "NextToken" not in found and len(found["AutoScalingGroups"]) <= 1
        return next((one for one in found["AutoScalingGroups"] if one["AutoScalingGroupName"] == name), None)

    def read(self, name):
        group = self.find(name)
        return None if group is None else group_state(group)

    # -- update

    def update(self, name, exactly=None, **changes):
        started = now()
        self.client.update_auto_scaling_group(
            AutoScalingGroupName=name, **{"NewInstancesProtectedFromScaleIn": False, **changes}
        )
        if exactly is not None:
            self.wait_for_capacity(name, started, lambda count: count == exactly)
        return self.read(name)

    def update_tags(self, name, before, after):
        gone = [tag(name, *one) for one in before if one[0] not in {key for key, _, _ in after}]
        new = [tag(name, *one) for one in after if one not in before]
        if gone:
            self.client.delete_tags(Tags=gone)
        if new:
            self.client.create_or_update_tags(Tags=new)

    def wait_for_traffic(self, name, operation, key, settling):
        """Polls until nothing is on its way any more."""
        describe = getattr(self.client, operation)

        def poll():
            return all(one["State"] != settling for one in describe(AutoScalingGroupName=name)[key])

        until(poll, 60, f"no more {settling} in {operation}")

    def refresh(self, name, **request):
        """Starts a refresh; one that is under way is cancelled first. The provider does not wait for its end."""
        request = {"AutoScalingGroupName": name, "Strategy": "Rolling", **request}
        try:
            return self.client.start_instance_refresh(**request)["InstanceRefreshId"]
        except ClientError as err:
            if err.response["Error"]["Code"] != "InstanceRefreshInProgress":
                raise
        with suppress(self.client.exceptions.ActiveInstanceRefreshNotFoundFault):
            other = self.client.cancel_instance_refresh(AutoScalingGroupName=name)["InstanceRefreshId"]
            self.wait_for_cancelled(name, other)
        return self.client.start_instance_refresh(**request)["InstanceRefreshId"]

    def wait_for_cancelled(self, name, refresh):
        def poll():
            (found,) = self.client.describe_instance_refreshes(
                AutoScalingGroupName=name, InstanceRefreshIds=[refresh]
            )["InstanceRefreshes"]
            if found["Status"] not in ("Cancelling", "InProgress", "Pending"):
                assert found["Status"] in ("Cancelled", "Failed", "Successful"), found
                return True

        until(poll, 60, f"{refresh} to be cancelled")

    # -- delete

    def delete_warm_pool(self, name, force=False):
        if not force:
            self.client.put_warm_pool(AutoScalingGroupName=name, MinSize=0, MaxGroupPreparedCapacity=0)
            until(lambda: not self.pool(name)["Instances"], 60, "the pool to drain")
        retried(
            lambda: self.client.delete_warm_pool(AutoScalingGroupName=name, ForceDelete=force),
            "ResourceInUse", "ScalingActivityInProgress",
        )

        def gone():
            status = self.pool(name).get("WarmPoolConfiguration", {"Status": "deleted"}).get("Status")
            assert status in (None, "PendingDelete", "deleted"), status
            return status == "deleted"

        until(gone, 60, "the pool to be gone")

    def pool(self, name):
        return self.client.describe_warm_pool(AutoScalingGroupName=name)

    def delete(self, name, force=False):
        group = self.find(name)
        if group is None:
            return
        if "WarmPoolConfiguration" in group:
            self.delete_warm_pool(name, force)
        if not force:
            self.client.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0, DesiredCapacity=0)
            protected = [one["InstanceId"] for one in self.find(name)["Instances"] if one["ProtectedFromScaleIn"]]
            for start in range(0, len(protected), 50):
                self.client.set_instance_protection(
                    AutoScalingGroupName=name, InstanceIds=protected[start : start + 50], ProtectedFromScaleIn=False
                )
            until(lambda: not self.find(name)["Instances"], 60, lambda: f"{name} to drain: {self.find(name)}")
        retried(
            lambda: self.client.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=force),
            "ResourceInUse", "ScalingActivityInProgress",
        )
        until(lambda: self.find(name) is None, 60, f"{name} to be gone")


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def tag(name, key, value, propagate):
    return {
        "Key": key, "Value": value, "PropagateAtLaunch": propagate, "ResourceId": name,
        "ResourceType": "auto-scaling-group",
    }


def group_state(group):
    """The attributes of aws_autoscaling_group that are made of one group of an answer."""
    policies, subnets = group["TerminationPolicies"], group["VPCZoneIdentifier"]
    assert {(one["ResourceId"], one["ResourceType"]) for one in group["Tags"]} <= {
        (group["AutoScalingGroupName"], "auto-scaling-group")
    }
    assert {one["Granularity"] for one in group["EnabledMetrics"]} <= {"1Minute"}
    return {
        "arn": group["AutoScalingGroupARN"], "name": group["AutoScalingGroupName"],
        "availability_zones": set(group["AvailabilityZones"]),
        "capacity_rebalance": group.get("CapacityRebalance", False), "context": group.get("Context", ""),
        "default_cooldown": group["DefaultCooldown"], "default_instance_warmup": group.get("DefaultInstanceWarmup", 0),
        "deletion_protection": group.get("DeletionProtection", ""),
        "desired_capacity": group["DesiredCapacity"], "desired_capacity_type": group.get("DesiredCapacityType", ""),
        "enabled_metrics": {one["Metric"] for one in group["EnabledMetrics"]},
        "health_check_grace_period": group["HealthCheckGracePeriod"], "health_check_type": group["HealthCheckType"],
        "instance_lifecycle_policy": group.get("InstanceLifecyclePolicy"),
        "instance_maintenance_policy": group.get("InstanceMaintenancePolicy"),
        "launch_configuration": group.get("LaunchConfigurationName", ""),
        "launch_template": group.get("LaunchTemplate"),
        "load_balancers": set(group["LoadBalancerNames"]),
        "max_instance_lifetime": group.get("MaxInstanceLifetime", 0), "max_size": group["MaxSize"],
        "min_size": group["MinSize"], "mixed_instances_policy": group.get("MixedInstancesPolicy"),
        "placement_group": group.get("PlacementGroup", ""), "predicted_capacity": group.get("PredictedCapacity", 0),
        "protect_from_scale_in": group["NewInstancesProtectedFromScaleIn"],
        "service_linked_role_arn": group["ServiceLinkedRoleARN"],
        "suspended_processes": {one["ProcessName"] for one in group["SuspendedProcesses"]},
        "tag": {(one["Key"], one["Value"], one["PropagateAtLaunch"]) for one in group["Tags"]},
        "target_group_arns": set(group["TargetGroupARNs"]),
        # Alone, the default is taken for "not configured".
        "termination_policies": None if policies == ["Default"] else policies,
        "traffic_source": {(one["Identifier"], one["Type"]) for one in group["TrafficSources"]},
        "vpc_zone_identifier": set(subnets.split(",")) if subnets else set(),
        "warm_pool": pool_state(group.get("WarmPoolConfiguration")), "warm_pool_size": group.get("WarmPoolSize", 0),
    }


def pool_state(pool):
    if pool is None:
        return None
    return {
        "pool_state": pool["PoolState"], "min_size": pool["MinSize"],
        "max_group_prepared_capacity": pool.get("MaxGroupPreparedCapacity", -1),
        "instance_reuse_policy": pool.get("InstanceReusePolicy"),
    }
