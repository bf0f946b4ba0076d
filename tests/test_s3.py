"""Scenario S3, the horizontal scaling project: its validation tests 1, 3, 4, 5 and 6 with the settings of its document,
under load, and its alarms, metrics and notifications. Tests build on the state that those before them leave: two
instances in service."""

import json
import urllib.parse
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from elastane import until
from fleet import Fleet
from groups import PORT, STOP, Group, none_failed, open_to_all, service_time, user_data
from load import Load, get

TIME_SCALE = 60
WEBHOOK = True
# Ten instances at full use are to take half a core of this machine.
OPTIONS = ("--vcpu-share", "0.025")
MIN, MAX = 2, 10
NAME, TEMPLATE = "stateless-app-asg", "stateless-app-template"
TOPIC = "arn:aws:sns:us-east-1:000000000000:scaling"
INTERVAL = timedelta(seconds=30)
# What a request for CPU costs, and so many a second: more than all ten have.
BURN_MS = 25
BURNS_A_SECOND = 36
BURNERS = 36
# The document's own time for a replacement, on this clock.
REPLACED_S = 3 * 60 / TIME_SCALE
LAUNCH, TERMINATE = "autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"


@pytest.fixture(scope="module")
def site(daemon, webhook):
    fleet = Fleet(daemon)
    fleet.subnets = fleet.subnets[:2]
    front = open_to_all(fleet.ec2, "stateless-alb-sg", fleet.vpc, 80)
    fleet.inside = fleet.ec2.create_security_group(
        GroupName="stateless-ec2-sg", Description="from the load balancer", VpcId=fleet.vpc
    )["GroupId"]
    fleet.ec2.authorize_security_group_ingress(GroupId=fleet.inside, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "UserIdGroupPairs": [{"GroupId": front}]}
    ])
    balancer = fleet.lb.create_load_balancer(
        Name="stateless-app-alb", Subnets=fleet.subnets, SecurityGroups=[front]
    )["LoadBalancers"][0]
    target_group = daemon.aws(
        "elbv2", "create-target-group", "--name", "stateless-app-targets", "--protocol", "HTTP", "--port", str(PORT),
        "--vpc-id", fleet.vpc, "--health-check-path", "/health", "--health-check-interval-seconds", "30",
        "--health-check-timeout-seconds", "5", "--healthy-threshold-count", "2", "--unhealthy-threshold-count", "3",
    )["TargetGroups"][0]["TargetGroupArn"]
    daemon.aws(
        "elbv2", "modify-target-group-attributes", "--target-group-arn", target_group, "--attributes",
        "Key=deregistration_delay.timeout_seconds,Value=300",
    )
    daemon.aws(
        "elbv2", "create-listener", "--load-balancer-arn", balancer["LoadBalancerArn"], "--protocol", "HTTP", "--port",
        "80", "--default-actions", f"Type=forward,TargetGroupArn={target_group}",
    )
    make_group(daemon, fleet, target_group)
    make_alarms(daemon, balancer["LoadBalancerArn"], target_group)
    group = Group(daemon, NAME, target_group)
    group.settle(MIN, limit_s=90)
    url = urllib.parse.urlsplit(fleet.urls("stateless-app-alb")[0])
    return SimpleNamespace(
        daemon=daemon, fleet=fleet, group=group, webhook=webhook, host=balancer["DNSName"],
        address=(url.hostname, url.port or 80),
    )


def make_group(daemon, fleet, target_group):
    daemon.aws(
        "ec2", "create-launch-template", "--launch-template-name", TEMPLATE, "--launch-template-data",
        json.dumps(template(fleet, "one")),
    )
    daemon.aws(
        "autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", NAME, "--launch-template",
        f"LaunchTemplateName={TEMPLATE},Version=$Latest", "--min-size", str(MIN), "--max-size", str(MAX),
        "--desired-capacity", str(MIN), "--health-check-type", "EC2,ELB", "--health-check-grace-period", "300",
        # What the policy waits in any case. Said for the group, it also keeps the CPU of a boot out of its average.
        "--default-instance-warmup", "300",
        "--vpc-zone-identifier", ",".join(fleet.subnets), "--target-group-arns", target_group,
    )
    daemon.aws(
        "autoscaling", "put-scaling-policy", "--auto-scaling-group-name", NAME, "--policy-name", "cpu", "--policy-type",
        "TargetTrackingScaling", "--target-tracking-configuration", json.dumps({
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0,
        }),
    )
    daemon.aws(
        "autoscaling", "enable-metrics-collection", "--auto-scaling-group-name", NAME, "--granularity", "1Minute",
        "--metrics", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupTotalInstances",
    )
    daemon.aws(
        "autoscaling", "put-notification-configuration", "--auto-scaling-group-name", NAME, "--topic-arn", TOPIC,
        "--notification-types", LAUNCH, TERMINATE,
    )


def template(fleet, version):
    image = fleet.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    return {
        "ImageId": image, "InstanceType": "t3.micro", "SecurityGroupIds": [fleet.inside],
        "UserData": user_data(version, burn_ms=BURN_MS),
    }


def make_alarms(daemon, balancer, target_group):
    """The document's: unhealthy hosts, and CPU above 80 % for ten minutes."""
    daemon.aws(
        "cloudwatch", "put-metric-alarm", "--alarm-name", "unhealthy-hosts", "--namespace", "AWS/ApplicationELB",
        "--metric-name", "UnHealthyHostCount", "--dimensions",
        f"Name=LoadBalancer,Value={balancer.split('loadbalancer/')[1]}",
        f"Name=TargetGroup,Value={target_group.split(':')[-1]}", "--statistic", "Maximum", "--period", "60",
        "--evaluation-periods", "1", "--threshold", "0", "--comparison-operator", "GreaterThanThreshold",
    )
    daemon.aws(
        "cloudwatch", "put-metric-alarm", "--alarm-name", "cpu-high", "--namespace", "AWS/EC2", "--metric-name",
        "CPUUtilization", "--dimensions", f"Name=AutoScalingGroupName,Value={NAME}", "--statistic", "Average",
        "--period", "60", "--evaluation-periods", "10", "--threshold", "80", "--comparison-operator",
        "GreaterThanThreshold",
    )


def visits(site, rate=50):
    return Load(site.address, host=site.host, workers=2, rate=rate)


def alarm(site, name):
    return site.daemon.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]


def history(site, name):
    """The changes of an alarm's state."""
    found = site.daemon.client("cloudwatch").describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    return [item["HistorySummary"] for item in found["AlarmHistoryItems"]]


def told(site, event, instance):
    """The notification of one instance's launch or end, once it has come."""
    mine = lambda: [one for one in site.webhook.notifications(TOPIC, event) if one["EC2InstanceId"] == instance]
    return until(mine, 30, f"the notice of {event} of {instance}")[0]


def test_1_requests_are_distributed(site):
    members = site.group.serving()
    with visits(site, rate=200) as load:
        until(lambda: load.snapshot().answered >= 200, 30, "answers")
        seen = load.end()
    none_failed(seen, at_least=200)
    assert set(seen.instances) == set(members) and min(seen.instances.values()) > seen.answered / 4, seen
    assert len({one["AvailabilityZone"] for one in members.values()}) == 2


def test_3_an_application_that_stops_is_out_after_three_checks_and_replaced(site):
    group = site.group
    victim = min(group.serving())
    until(lambda: alarm(site, "unhealthy-hosts") == "OK", 60, "the alarm to know that all are healthy")
    with visits(site) as load:
        until(lambda: load.snapshot().instances[victim] > 20, 30, "requests to be under way")
        stopped_at = service_time(site.daemon)
        site.daemon.shell([victim], STOP)
        before = load.snapshot()
        until(lambda: victim not in group.serving(), 60, "the instance to be taken out of service")
        new = group.settle(MIN, limit_s=90)
        group.answered(load, new)
        seen = load.end()
    # What was under way when it stopped may be lost, one request of each connection; all others are answered.
    assert len(seen.failures) <= 2 and seen.instances[victim] == before.instances[victim], seen
    ended = told(site, TERMINATE, victim)
    assert "in response to an ELB system health check failure" in ended["Cause"]
    taken_at = datetime.fromisoformat(ended["StartTime"])
    assert taken_at - stopped_at >= 2 * INTERVAL, f"three checks take two intervals: {stopped_at}, {taken_at}"
    (replacement,) = new - set(before.instances)
    started = told(site, LAUNCH, replacement)
    assert "in response to an unhealthy instance needing to be replaced" in started["Cause"]
    fired = lambda: "Alarm updated from OK to ALARM" in history(site, "unhealthy-hosts")
    until(fired, 60, "the alarm of unhealthy hosts")
    until(lambda: alarm(site, "unhealthy-hosts") == "OK", 60, "the alarm to be over")


def test_4_cpu_scales_out_to_ten_and_in_to_two_after_fifteen_minutes(site):
    group = site.group
    known = len(group.changes())
    began_at = service_time(site.daemon)
    with Load(site.address, host=site.host, path="/burn", workers=BURNERS, rate=BURNS_A_SECOND) as burners:
        until(lambda: group.desired() > MIN, 60, "more than two")
        # The more there are, the more of this machine it takes to keep them all so busy.
        until(lambda: alarm(site, "cpu-high") == "ALARM", 60, "ten minutes above 80 %")
        until(lambda: group.desired() == MAX, 90, lambda: f"ten to be wanted: {group.desired()}")
        ten = group.settle(MAX, limit_s=60)
        group.answered(burners, ten, limit_s=60)
        assert group.desired() == MAX, "ten are not enough, and there are no more"
        ended_at = service_time(site.daemon)
        none_failed(burners.end(), at_least=100)
    with visits(site) as visitors:
        until(lambda: group.desired() == MIN, 60, lambda: f"two to be left: {group.desired()}")
        two = group.settle(MIN, limit_s=60)
        group.answered(visitors, two)
        none_failed(visitors.end(), at_least=100)
    changes = group.changes()[known:]
    assert all(MIN <= new <= MAX for _, _, new, _ in changes), changes
    out = [change for change in changes if change[2] > change[1]]
    back = [change for change in changes if change[2] < change[1]]
    assert all(f"TargetTracking-{NAME}-AlarmHigh-" in why for *_, why in out) and out[-1][2] == MAX, out
    assert all(f"TargetTracking-{NAME}-AlarmLow-" in why for *_, why in back) and back[-1][2] == MIN, back
    # Three datapoints and fifteen, one a minute; the minute in which the load changes may count for either.
    assert out[0][0] - began_at >= timedelta(minutes=2), (began_at, out)
    assert back[0][0] - ended_at >= timedelta(minutes=14), (ended_at, back)


def test_5_an_instance_terminated_by_hand_is_replaced_and_no_client_sees_it(site):
    group = site.group
    victim = min(group.serving())
    with visits(site) as load:
        until(lambda: load.snapshot().answered > 20, 30, "requests to be under way")
        site.daemon.aws("ec2", "terminate-instances", "--instance-ids", victim)
        back = lambda: len(set(group.serving()) & group.healthy() - {victim}) == MIN
        until(back, REPLACED_S, lambda: f"a replacement in service: {group.states()}", poll_s=0.05)
        new = group.settle(MIN, limit_s=60)
        group.answered(load, new)
        none_failed(load.end(), at_least=20)
    assert "EC2 health check indicating it has been terminated or stopped" in told(site, TERMINATE, victim)["Cause"]


def test_6_an_instance_refresh_brings_a_new_version_without_a_failed_request(site):
    group, daemon = site.group, site.daemon
    before = set(group.serving())
    made = daemon.aws(
        "ec2", "create-launch-template-version", "--launch-template-name", TEMPLATE, "--launch-template-data",
        json.dumps(template(site.fleet, "two")),
    )["LaunchTemplateVersion"]["VersionNumber"]
    page = lambda: get(site.address, host=site.host)[2].decode().strip()
    assert (made, page()) == (2, "one")
    with visits(site) as load:
        started = daemon.aws(
            "autoscaling", "start-instance-refresh", "--auto-scaling-group-name", NAME
        )["InstanceRefreshId"]

        def refresh():
            return daemon.client("autoscaling").describe_instance_refreshes(
                AutoScalingGroupName=NAME, InstanceRefreshIds=[started]
            )["InstanceRefreshes"][0]

        until(lambda: refresh()["Status"] not in ("Pending", "InProgress", "Baking"), 120, refresh)
        after = group.settle(MIN, limit_s=60)
        group.answered(load, after)
        none_failed(load.end(), at_least=100)
    assert (refresh()["Status"], refresh()["PercentageComplete"]) == ("Successful", 100), refresh()
    assert not before & after
    assert {one["LaunchTemplate"]["Version"] for one in group.serving().values()} == {"2"}
    assert {page() for _ in range(10)} == {"two"}
    for instance in before:
        assert "in response to an instance refresh" in told(site, TERMINATE, instance)["Cause"]
    for kind in ("Started", "Succeeded"):
        mine = lambda: [
            one for one in site.webhook.events(f"EC2 Auto Scaling Instance Refresh {kind}")
            if one["InstanceRefreshId"] == started
        ]
        until(mine, 30, f"the event that the refresh has {kind.lower()}")


def test_7_metrics_tell_what_has_happened(site):
    cloudwatch = site.daemon.client("cloudwatch")
    now = service_time(site.daemon)

    def extremes(namespace, name, **dimensions):
        points = cloudwatch.get_metric_statistics(
            Namespace=namespace, MetricName=name, StartTime=now - timedelta(hours=3), EndTime=now, Period=60,
            Statistics=["Minimum", "Maximum"], Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()],
        )["Datapoints"]
        assert points, name
        return min(one["Minimum"] for one in points), max(one["Maximum"] for one in points)

    of_group = {"AutoScalingGroupName": NAME}
    assert extremes("AWS/AutoScaling", "GroupDesiredCapacity", **of_group) == (MIN, MAX)
    assert extremes("AWS/AutoScaling", "GroupInServiceInstances", **of_group)[1] == MAX
    assert extremes("AWS/EC2", "CPUUtilization", **of_group)[1] > 80
    arn = site.fleet.lb.describe_load_balancers(Names=["stateless-app-alb"])["LoadBalancers"][0]["LoadBalancerArn"]
    of_targets = {
        "LoadBalancer": arn.split("loadbalancer/")[1], "TargetGroup": site.group.target_group.split(":")[-1]
    }
    for name in ("RequestCount", "TargetResponseTime", "HealthyHostCount", "HTTPCode_Target_2XX_Count"):
        assert extremes("AWS/ApplicationELB", name, **of_targets)[1] > 0
    assert extremes("AWS/ApplicationELB", "UnHealthyHostCount", **of_targets)[1] >= 1
