"""Scenario S4, its lines of releases and scaling: two groups, blue and green, switched by weights; policies of +2 and
-1, simple and step; a deregistration delay of ten seconds; notifications; a fixed count of instances changed from two
to ten and back. All of it under load, without a failed request. Tests build on what those before them leave: two
instances of each color, requests to the one that the test before has switched to."""

import json
import socket
import urllib.parse
from datetime import timedelta
from types import SimpleNamespace

import pytest

from elastane import until
from fleet import Fleet, forward
from groups import PORT, Group, none_failed, open_to_all, service_time, user_data
from load import Load

# The ten seconds of the deregistration delay are a third of one: requests end within it on a busy machine too.
TIME_SCALE = 30
WEBHOOK = True
MIN, MAX = 2, 10
TOPIC = "arn:aws:sns:us-east-1:000000000000:deployments"
LAUNCH, TERMINATE = "autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"
TEST = "autoscaling:TEST_NOTIFICATION"
DELAY = timedelta(seconds=10)
# For two instances of a tenth of a core too much, and for four not.
BURN_MS = 20
BURNS_A_SECOND = 13
BURNERS = 8
# Requests of a service minute that a target is to have at most, and so many a second: for two that is too many, and
# for four it is not.
REQUESTS_A_MINUTE = 100
BUSY_A_SECOND = 160
QUIET_A_SECOND = 20


@pytest.fixture(scope="module")
def site(daemon, webhook):
    fleet = Fleet(daemon)
    fleet.subnets = fleet.subnets[:2]
    fleet.inside = open_to_all(fleet.ec2, "web", fleet.vpc, 80, PORT)
    balancer = fleet.lb.create_load_balancer(
        Name="app", Subnets=fleet.subnets, SecurityGroups=[fleet.inside]
    )["LoadBalancers"][0]
    blue, green = make_color(daemon, fleet, "blue"), make_color(daemon, fleet, "green")
    listener = fleet.listener(
        balancer["LoadBalancerArn"], forward(blue.target_group, green.target_group, weights=[100, 0])
    )
    for group in (blue, green):
        group.settle(MIN, limit_s=90)
    url = urllib.parse.urlsplit(fleet.urls("app")[0])
    return SimpleNamespace(
        daemon=daemon, fleet=fleet, blue=blue, green=green, listener=listener, webhook=webhook,
        host=balancer["DNSName"], address=(url.hostname, url.port or 80), balancer=balancer["LoadBalancerArn"],
    )


def make_color(daemon, fleet, color):
    target_group = daemon.aws(
        "elbv2", "create-target-group", "--name", color, "--protocol", "HTTP", "--port", str(PORT), "--vpc-id",
        fleet.vpc, "--health-check-path", "/health", "--health-check-interval-seconds", "10",
        "--health-check-timeout-seconds", "5", "--healthy-threshold-count", "2", "--unhealthy-threshold-count", "2",
    )["TargetGroups"][0]["TargetGroupArn"]
    daemon.aws(
        "elbv2", "modify-target-group-attributes", "--target-group-arn", target_group, "--attributes",
        f"Key=deregistration_delay.timeout_seconds,Value={DELAY.seconds}",
    )
    image = fleet.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    daemon.aws(
        "ec2", "create-launch-template", "--launch-template-name", color, "--launch-template-data", json.dumps({
            "ImageId": image, "InstanceType": "t3.micro", "SecurityGroupIds": [fleet.inside],
            "UserData": user_data(color, burn_ms=BURN_MS),
        }),
    )
    daemon.aws(
        "autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", color, "--launch-template",
        f"LaunchTemplateName={color},Version=$Latest", "--min-size", "0", "--max-size", str(MAX), "--health-check-type",
        "ELB", "--health-check-grace-period", "300", "--vpc-zone-identifier", ",".join(fleet.subnets),
        "--target-group-arns", target_group,
    )
    daemon.aws(
        "autoscaling", "put-notification-configuration", "--auto-scaling-group-name", color, "--topic-arn", TOPIC,
        "--notification-types", LAUNCH, TERMINATE, "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
        "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
    )
    # Not before now, so that the first launches are told of too.
    daemon.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=color, MinSize=MIN)
    return Group(daemon, color, target_group)


def visits(site, rate=150):
    return Load(site.address, host=site.host, workers=8, rate=rate)


def weigh(site, blue, green):
    site.daemon.aws(
        "elbv2", "modify-listener", "--listener-arn", site.listener, "--default-actions",
        json.dumps(forward(site.blue.target_group, site.green.target_group, weights=[blue, green])),
    )


def share(load, group, requests=200):
    """The group's part of the next requests."""
    before = load.snapshot()
    until(lambda: load.snapshot().answered >= before.answered + requests, 30, "requests")
    new = load.snapshot().instances - before.instances
    return sum(new[instance] for instance in group.serving()) / sum(new.values())


def scaled(group):
    """What policies have done to a group: sizes before and after, and which policy."""
    return [(old, new, why.rsplit(" ", 1)[-1]) for _, old, new, why in group.changes() if "triggered policy" in why]


def put_alarm(site, name, policy, comparison, threshold, *metric):
    site.daemon.aws(
        "cloudwatch", "put-metric-alarm", "--alarm-name", name, "--comparison-operator", comparison, "--period", "60",
        "--threshold", str(threshold), "--alarm-actions", policy, *metric,
    )


def subjects(site, event, group):
    """The instances of a group that the webhook was told of."""
    messages = site.webhook.notifications(TOPIC, event)
    return {one["EC2InstanceId"] for one in messages if one["AutoScalingGroupName"] == group.name}


def test_1_the_webhook_hears_of_every_launch(site):
    for group in (site.blue, site.green):
        tests = lambda: [
            one for one in site.webhook.notifications(TOPIC, TEST) if one["AutoScalingGroupName"] == group.name
        ]
        until(tests, 30, "the test notification")
        until(lambda: subjects(site, LAUNCH, group) == set(group.serving()), 30, lambda: subjects(site, LAUNCH, group))
    launch = site.webhook.notifications(TOPIC, LAUNCH)[0]
    assert launch["Service"] == "AWS Auto Scaling" and launch["Description"].startswith("Launching a new EC2 instance")


def test_2_blue_and_green_are_switched_by_weights(site):
    with visits(site) as load:
        assert share(load, site.blue, requests=50) == 1
        for blue, green in [(90, 10), (50, 50), (10, 90)]:
            weigh(site, blue, green)
            # The listener's change comes into force a moment after the answer.
            until(lambda: abs(share(load, site.green, 100) - green / 100) < 0.2, 30, f"about {green} %")
            found = share(load, site.green)
            assert abs(found - green / 100) < 0.12, (green, found)
        weigh(site, 0, 100)
        until(lambda: share(load, site.green, 50) == 1, 30, "green alone")
        assert share(load, site.green) == 1
        weigh(site, 100, 0)
        until(lambda: share(load, site.blue, 50) == 1, 30, "blue again")
        weigh(site, 0, 100)
        until(lambda: share(load, site.green, 50) == 1, 30, "green again")
        none_failed(load.end(), at_least=1000)


def test_3_simple_policies_add_two_and_take_one(site):
    green = site.green
    of_group = ["--dimensions", "Name=AutoScalingGroupName,Value=green"]
    cpu = ["--namespace", "AWS/EC2", "--metric-name", "CPUUtilization", "--statistic", "Average", *of_group]
    for name, adjustment, comparison, threshold in [
        ("up", 2, "GreaterThanThreshold", 80),
        ("down", -1, "LessThanThreshold", 30),
    ]:
        policy = site.daemon.aws(
            "autoscaling", "put-scaling-policy", "--auto-scaling-group-name", "green", "--policy-name", f"scale-{name}",
            f"--scaling-adjustment={adjustment}", "--adjustment-type", "ChangeInCapacity", "--cooldown", "300",
        )["PolicyARN"]
        put_alarm(site, f"green-{name}", policy, comparison, threshold, *cpu, "--evaluation-periods", "2")
    with Load(site.address, host=site.host, path="/burn", workers=BURNERS, rate=BURNS_A_SECOND) as burners:
        until(lambda: green.desired() > MIN, 60, "the alarm to add two")
        four = green.settle(4, limit_s=60)
        green.answered(burners, four)
        none_failed(burners.end(), at_least=20)
    with visits(site, QUIET_A_SECOND) as load:
        two = green.settle(MIN, limit_s=120)
        green.answered(load, two)
        none_failed(load.end(), at_least=50)
    assert scaled(green) == [(2, 4, "scale-up"), (4, 3, "scale-down"), (3, 2, "scale-down")]
    for verb in ("up", "down"):
        site.daemon.client("autoscaling").delete_policy(AutoScalingGroupName="green", PolicyName=f"scale-{verb}")


def test_4_step_policies_add_two_and_take_one(site):
    blue = site.blue
    weigh(site, 100, 0)
    label = site.balancer.split("loadbalancer/")[1], blue.target_group.split(":")[-1]
    requests = [
        "--namespace", "AWS/ApplicationELB", "--metric-name", "RequestCountPerTarget", "--statistic", "Sum",
        "--dimensions", f"Name=LoadBalancer,Value={label[0]}", f"Name=TargetGroup,Value={label[1]}",
    ]

    def follow(name, step, comparison, threshold, periods, *more):
        policy = site.daemon.aws(
            "autoscaling", "put-scaling-policy", "--auto-scaling-group-name", "blue", "--policy-name", f"step-{name}",
            "--policy-type", "StepScaling", "--adjustment-type", "ChangeInCapacity", "--step-adjustments", step, *more,
        )["PolicyARN"]
        put_alarm(site, f"blue-{name}", policy, comparison, threshold, *requests, "--evaluation-periods", str(periods))

    follow(
        "up", "MetricIntervalLowerBound=0,ScalingAdjustment=2", "GreaterThanThreshold", REQUESTS_A_MINUTE, 1,
        "--estimated-instance-warmup", "120",
    )
    with visits(site, BUSY_A_SECOND) as load:
        until(lambda: blue.desired() > MIN, 60, "the alarm to add two")
        none_failed(load.end(), at_least=100)
    with visits(site, QUIET_A_SECOND) as load:
        four = blue.settle(4, limit_s=60)
        blue.answered(load, four)
        follow("down", "MetricIntervalUpperBound=0,ScalingAdjustment=-1", "LessThanThreshold", REQUESTS_A_MINUTE / 2, 2)
        two = blue.settle(MIN, limit_s=120)
        blue.answered(load, two)
        none_failed(load.end(), at_least=50)
    assert scaled(blue) == [(2, 4, "step-up"), (4, 3, "step-down"), (3, 2, "step-down")]


def test_5_a_fixed_count_is_changed_from_two_to_ten_and_back(site):
    group, old, began_at = site.blue, set(site.blue.serving()), service_time(site.daemon)
    for verb in ("up", "down"):
        site.daemon.client("autoscaling").delete_policy(AutoScalingGroupName="blue", PolicyName=f"step-{verb}")

    def fix(count):
        site.daemon.aws(
            "autoscaling", "update-auto-scaling-group", "--auto-scaling-group-name", "blue", "--min-size", str(count),
            "--max-size", str(count), "--desired-capacity", str(count),
        )
        return group.settle(count, limit_s=120)

    def zones():
        found = [one["AvailabilityZone"] for one in group.serving().values()]
        return sorted(found.count(zone) for zone in set(found))

    with visits(site) as load:
        ten = fix(10)
        assert old < ten and zones() == [5, 5]
        group.answered(load, ten)
        # These take longer than the deregistration delay: whose they are drains for all of it.
        slow = [begin(site, "/slow") for _ in range(3 * len(ten))]
        two = fix(2)
        assert two < ten and zones() == [1, 1]
        group.answered(load, two)
        for connection in slow:
            connection.close()
        none_failed(load.end(), at_least=200)
    until(lambda: subjects(site, LAUNCH, group) >= ten, 30, "all ten to be told of")
    until(lambda: subjects(site, TERMINATE, group) >= ten - two, 30, "the end of eight to be told of")
    assert not subjects(site, TERMINATE, group) & two
    drained = [
        activity["EndTime"] - activity["StartTime"] for activity in group.activities()
        if activity["Description"].startswith("Terminating") and activity["EndTime"] > began_at
    ]
    assert max(drained) >= DELAY, drained


def begin(site, path):
    """A connection with a request under way."""
    connection = socket.create_connection(site.address, timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
    return connection
