"""Scenario S2, its scaling lines: a frontend and a backend group of two to four behind one load balancer, with the
simple policies, the cooldown and the alarms of the document. CPU that requests really burn brings instances, its end
takes them away, and no request fails on the way. The backend is made with the AWS CLI, the frontend with boto3.

The network of the scenario is in test_s2_network.py."""

import urllib.parse
from datetime import timedelta
from types import SimpleNamespace

import pytest

from elastane import until
from fleet import Fleet, forward
from groups import Group, by_boto3, by_cli, none_failed, open_to_all, service_time, user_data
from load import Load

TIME_SCALE = 60
MIN, MAX = 2, 4
COOLDOWN = timedelta(seconds=300)
# Port, and where the load balancer finds the tier.
TIERS = {"backend": (8000, "/api/"), "frontend": (3000, "/")}
# What a request for CPU costs, and so many a second: more than four instances of a tenth of a core have.
BURN_MS = 20
BURNS_A_SECOND = 30
BURNERS = 12
VISITS_A_SECOND = 20


@pytest.fixture(scope="module")
def site(daemon):
    fleet = Fleet(daemon)
    fleet.subnets = fleet.subnets[:2]
    edge = open_to_all(fleet.ec2, "edge", fleet.vpc, 80)
    balancer = fleet.lb.create_load_balancer(
        Name="web", Subnets=fleet.subnets, SecurityGroups=[edge]
    )["LoadBalancers"][0]
    tiers = {
        "backend": make_tier(by_cli(daemon), fleet, "backend", edge),
        "frontend": make_tier(by_boto3(daemon), fleet, "frontend", edge),
    }
    front = fleet.listener(balancer["LoadBalancerArn"], forward(tiers["frontend"].target_group))
    fleet.lb.create_rule(
        ListenerArn=front, Priority=10, Actions=forward(tiers["backend"].target_group),
        Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*"]}}],
    )
    for tier in tiers.values():
        tier.settle(MIN, limit_s=90)
    url = urllib.parse.urlsplit(fleet.urls("web")[0])
    return SimpleNamespace(
        daemon=daemon, fleet=fleet, host=balancer["DNSName"], address=(url.hostname, url.port or 80), **tiers
    )


def make_tier(call, fleet, tier, edge):
    """A target group, a group of two to four, its two policies and their alarms, as the document has them."""
    port, _ = TIERS[tier]
    own = fleet.ec2.create_security_group(GroupName=tier, Description=tier, VpcId=fleet.vpc)["GroupId"]
    fleet.ec2.authorize_security_group_ingress(GroupId=own, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": edge}]}
    ])
    target_group = call(
        "elbv2", "create_target_group", Name=f"{tier}-tg", Protocol="HTTP", Port=port, VpcId=fleet.vpc,
        HealthCheckPath="/health", HealthCheckIntervalSeconds=10, HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    image = fleet.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    call(
        "ec2", "create_launch_template", LaunchTemplateName=f"{tier}-lt",
        LaunchTemplateData={
            "ImageId": image, "InstanceType": "t3.small", "SecurityGroupIds": [own],
            "UserData": user_data(tier, port, BURN_MS),
            "MetadataOptions": {
                "HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1,
                "InstanceMetadataTags": "enabled",
            },
        },
    )
    call(
        "autoscaling", "create_auto_scaling_group", AutoScalingGroupName=f"{tier}-asg",
        VPCZoneIdentifier=",".join(fleet.subnets), TargetGroupARNs=[target_group], HealthCheckType="ELB",
        HealthCheckGracePeriod=300, MinSize=MIN, MaxSize=MAX, DesiredCapacity=MIN,
        LaunchTemplate={"LaunchTemplateName": f"{tier}-lt", "Version": "$Latest"},
        Tags=[{"Key": "Name", "Value": tier, "PropagateAtLaunch": True}],
    )
    for which, adjustment, comparison, threshold in [
        ("up", 1, "GreaterThanThreshold", 70),
        ("down", -1, "LessThanThreshold", 30),
    ]:
        policy = call(
            "autoscaling", "put_scaling_policy", AutoScalingGroupName=f"{tier}-asg", PolicyName=f"{tier}-scale-{which}",
            ScalingAdjustment=adjustment, AdjustmentType="ChangeInCapacity", Cooldown=300,
        )["PolicyARN"]
        call(
            "cloudwatch", "put_metric_alarm", AlarmName=f"{tier}-cpu-{'high' if which == 'up' else 'low'}",
            ComparisonOperator=comparison, EvaluationPeriods=2, MetricName="CPUUtilization", Namespace="AWS/EC2",
            Period=120, Statistic="Average", Threshold=threshold,
            Dimensions=[{"Name": "AutoScalingGroupName", "Value": f"{tier}-asg"}], AlarmActions=[policy],
        )
    return Group(fleet.daemon, f"{tier}-asg", target_group)


def visits(site, tier):
    return Load(site.address, host=site.host, path=TIERS[tier][1], workers=2, rate=VISITS_A_SECOND)


def burns(site, tier):
    path = TIERS[tier][1] + "burn"
    return Load(site.address, host=site.host, path=path, workers=BURNERS, rate=BURNS_A_SECOND)


def scaled(group):
    """What policies have done to a group: sizes before and after, and in whose name."""
    return [(old, new, why) for _, old, new, why in group.changes() if "triggered policy" in why]


def cause(tier, which):
    alarm, policy = {"up": ("high", "up"), "down": ("low", "down")}[which]
    return f"a monitor alarm {tier}-cpu-{alarm} in state ALARM triggered policy {tier}-scale-{policy}"


def grow_to_four(site, tier, load):
    """Under a load that is too much for four: one after the other is launched, is healthy, and takes requests."""
    group = getattr(site, tier)
    before = set(group.serving())
    until(lambda: group.desired() == 3, 60, f"the alarm to add an instance: {tier}")
    new = group.settle(3, limit_s=60) - before
    assert len(new) == 1
    group.answered(load, new)
    four = group.settle(MAX, limit_s=60)
    group.answered(load, four)
    assert scaled(group)[:2] == [(2, 3, cause(tier, "up")), (3, 4, cause(tier, "up"))]


def cooldown_is_kept(group):
    """A policy acts a cooldown after the end of what the one before it had set off at the earliest."""
    ends = {activity["StartTime"]: activity["EndTime"] for activity in group.activities() if "EndTime" in activity}
    times = [at for at, *_, why in group.changes() if "triggered policy" in why]
    for earlier, later in zip(times, times[1:]):
        done = max(end for start, end in ends.items() if earlier <= start < later)
        # A cause tells its time in whole seconds.
        assert later - done >= COOLDOWN - timedelta(seconds=1), (earlier, done, later)


def test_1_two_of_each_in_two_zones(site):
    for tier in TIERS:
        zones = [one["AvailabilityZone"] for one in getattr(site, tier).serving().values()]
        assert len(zones) == len(set(zones)) == 2
        policies = site.fleet.daemon.client("autoscaling").describe_policies(AutoScalingGroupName=f"{tier}-asg")
        fields = ("PolicyType", "PolicyName", "ScalingAdjustment", "Cooldown")
        told = {
            (*(one[field] for field in fields), *(alarm["AlarmName"] for alarm in one["Alarms"]))
            for one in policies["ScalingPolicies"]
        }
        assert told == {
            ("SimpleScaling", f"{tier}-scale-up", 1, 300, f"{tier}-cpu-high"),
            ("SimpleScaling", f"{tier}-scale-down", -1, 300, f"{tier}-cpu-low"),
        }


def test_2_cpu_brings_backends_to_four_and_no_further(site):
    with visits(site, "frontend") as visitors, burns(site, "backend") as burners:
        grow_to_four(site, "backend", burners)
        # Four are not enough, so the alarm stays and its action is repeated; the cooldown ends.
        beyond = service_time(site.daemon) + COOLDOWN + timedelta(minutes=2)
        until(lambda: service_time(site.daemon) > beyond, 30, "the cooldown to end")
        assert site.backend.desired() == MAX
        high = site.daemon.aws("cloudwatch", "describe-alarms", "--alarm-names", "backend-cpu-high")["MetricAlarms"][0]
        assert high["StateValue"] == "ALARM", high
        none_failed(burners.end(), at_least=100)
        none_failed(visitors.end(), at_least=100)
    cooldown_is_kept(site.backend)
    assert not any("scale-up" in why for *_, why in scaled(site.frontend)), "the backend's load is not the frontend's"


def test_3_backends_go_when_load_ends_while_frontends_come(site):
    with visits(site, "backend") as visitors, burns(site, "frontend") as burners:
        grow_to_four(site, "frontend", burners)
        site.backend.settle(MIN, limit_s=60)
        none_failed(visitors.end(), at_least=100)
        none_failed(burners.end(), at_least=100)
    up, down = cause("backend", "up"), cause("backend", "down")
    assert scaled(site.backend) == [(2, 3, up), (3, 4, up), (4, 3, down), (3, 2, down)]


def test_4_frontends_go_too_and_two_of_each_are_left(site):
    with visits(site, "frontend") as visitors:
        two = site.frontend.settle(MIN, limit_s=60)
        site.frontend.answered(visitors, two)
        none_failed(visitors.end(), at_least=100)
    for tier in TIERS:
        group = getattr(site, tier)
        assert all(MIN <= new <= MAX for _, _, new, _ in group.changes()), group.changes()
        cooldown_is_kept(group)
        assert len({one["AvailabilityZone"] for one in group.serving().values()}) == 2
