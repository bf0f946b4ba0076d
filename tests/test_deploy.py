"""`elastane deploy`: a group of three real instances behind a load balancer, under load, is rolled to another version
without a failed request, and taken back when the new one fails; blue and green are switched by weights, and a bad green
costs blue nothing."""

import base64
import subprocess
import urllib.parse
from types import SimpleNamespace

import pytest

import elastane
from elastane import until
from fleet import Fleet, forward
from load import Load
from test_scenarios_lb import APPLICATION

SETUPS = [elastane.SANDBOX_ROOT, elastane.PROCESS_USER]
TIME_SCALE = 20
GROUP = "shop"
COUNT = 3
ALARM = "shop-errors"
# What one release may take on a busy machine, in wall time.
RELEASE_LIMIT_S = 400
BROKEN = "#!/bin/sh\nexec sleep 100000\n"


def user_data(version):
    script = BROKEN if version == "broken" else APPLICATION.replace("@VERSION@", version)
    return base64.b64encode(script.encode()).decode()


@pytest.fixture(scope="module")
def site(daemon):
    """Blue serves behind the load balancer; green's instances come with its tests."""
    fleet = Fleet(daemon)
    autoscaling, cloudwatch = daemon.client("autoscaling"), daemon.client("cloudwatch")
    ec2 = fleet.ec2
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    opened = ec2.create_security_group(GroupName=GROUP, Description="web", VpcId=fleet.vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=opened, IpProtocol="tcp", FromPort=8080, ToPort=8080, CidrIp="0.0.0.0/0"
    )
    data = {"ImageId": image, "InstanceType": "t3.micro", "SecurityGroupIds": [opened]}
    versions = ["one", "two", "broken"]
    ec2.create_launch_template(LaunchTemplateName=GROUP, LaunchTemplateData={**data, "UserData": user_data("one")})
    for version in versions[1:]:
        ec2.create_launch_template_version(
            LaunchTemplateName=GROUP, LaunchTemplateData={**data, "UserData": user_data(version)}
        )
    blue, green = (fleet.target_group(name, [], HealthCheckPath="/health") for name in ("blue", "green"))
    for arn in (blue, green):
        fleet.lb.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}]
        )
    balancer = fleet.load_balancer(GROUP)
    listener = fleet.listener(balancer, forward(blue))

    def make(name, version, target_group, count):
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, LaunchTemplate={"LaunchTemplateName": GROUP, "Version": str(version)},
            MinSize=0, MaxSize=2 * COUNT, DesiredCapacity=count, VPCZoneIdentifier=",".join(fleet.subnets),
            TargetGroupARNs=[target_group], HealthCheckType="ELB", HealthCheckGracePeriod=30,
        )

    make(GROUP, 1, blue, COUNT)
    fleet.healthy(blue, COUNT, 120)
    cloudwatch.put_metric_alarm(
        AlarmName=ALARM, Namespace="Shop", MetricName="Errors", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
    )
    cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="test")
    url = urllib.parse.urlsplit(fleet.urls(GROUP)[0])
    return SimpleNamespace(
        daemon=daemon, fleet=fleet, client=autoscaling, cloudwatch=cloudwatch, blue=blue, green=green, make=make,
        listener=listener, address=(url.hostname, url.port),
    )


def deploy(site, *arguments):
    return site.daemon.run("deploy", *arguments, limit=RELEASE_LIMIT_S, check=False)


def versions(site, group=GROUP):
    found = site.client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]
    serving = [one for one in found["Instances"] if one["LifecycleState"] == "InService"]
    return sorted(one["LaunchTemplate"]["Version"] for one in serving), found["LaunchTemplate"]["Version"]


def weights(site):
    action = site.fleet.lb.describe_listeners(ListenerArns=[site.listener])["Listeners"][0]["DefaultActions"][0]
    return {one["TargetGroupArn"]: one["Weight"] for one in action["ForwardConfig"]["TargetGroups"]}


def test_help_is_complete(daemon):
    for arguments in (["deploy"], ["deploy", "rolling"], ["deploy", "blue-green"]):
        told = daemon.run(*arguments, "--help").stdout
        assert "Usage" in told and ("Example" in told or arguments == ["deploy"]), told


def test_what_is_not_there_is_named(site):
    shift = ["blue-green", "--listener", site.listener, "--from", "blue", "--to"]
    for arguments, hint in [
        (["rolling", "none"], "elastane status"),
        (["rolling", GROUP, "--template-version", "77"], "create-launch-template-version"),
        ([*shift, "red"], "describe-target-groups"),
        ([*shift, "green", "--steps", "50,10"], "ascending"),
        ([*shift, "green", "--alarm", "none"], "describe-alarms"),
    ]:
        ended = deploy(site, *arguments)
        assert ended.returncode == 1 and hint in ended.stderr, ended


def test_a_rolling_release_costs_no_request(site):
    with Load(site.address, workers=4, rate=40) as load:
        ended = deploy(site, "rolling", GROUP, "--template-version", "2", "--alarm", ALARM, "--warmup", "30")
        seen = load.end()
    assert ended.returncode == 0, ended
    assert "the release is done" in ended.stdout and "100 %" in ended.stdout, ended.stdout
    assert not seen.failures and seen.answered > 0, seen
    assert versions(site) == (["2"] * COUNT, "2")
    again = deploy(site, "rolling", GROUP, "--template-version", "2")
    assert again.returncode == 0, again


def test_a_broken_version_is_taken_back(site):
    with Load(site.address, workers=4, rate=40) as load:
        ended = deploy(site, "rolling", GROUP, "--template-version", "3", "--patience", "5m")
        seen = load.end()
    assert ended.returncode == 1 and "taken back" in ended.stderr, ended
    assert not seen.failures and seen.answered > 0, seen
    until(lambda: versions(site) == (["2"] * COUNT, "2"), 60, lambda: versions(site))


def blue_green(site, *more):
    return deploy(
        site, "blue-green", "--listener", site.listener, "--from", "blue", "--to", "green", "--steps", "10,50,100",
        "--interval", "60", "--healthy-within", "4m", "--alarm", ALARM, *more,
    )


def test_a_bad_green_leaves_blue_serving(site):
    site.make("green", 3, site.green, 1)
    with Load(site.address, workers=4, rate=40) as load:
        ended = blue_green(site)
        seen = load.end()
    assert ended.returncode == 1 and "taken back" in ended.stderr, ended
    assert not seen.failures and seen.answered > 0, seen
    assert weights(site) == {site.blue: 100, site.green: 0}


def test_a_good_green_gets_everything_unless_the_alarm_fires(site):
    site.client.update_auto_scaling_group(
        AutoScalingGroupName="green", LaunchTemplate={"LaunchTemplateName": GROUP, "Version": "1"}, DesiredCapacity=0
    )
    gone = lambda: not site.client.describe_auto_scaling_groups(AutoScalingGroupNames=["green"])[
        "AutoScalingGroups"][0]["Instances"]
    until(gone, 120, "the broken instances to go")
    site.client.set_desired_capacity(AutoScalingGroupName="green", DesiredCapacity=2)
    with Load(site.address, workers=4, rate=40) as load:
        running = subprocess.Popen(
            site.daemon.command(
                "deploy", "blue-green", "--listener", site.listener, "--from", "blue", "--to", "green", "--interval",
                "1h", "--alarm", ALARM, "--data-dir", str(site.daemon.data),
            ),
            cwd=site.daemon.home, env=site.daemon.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(lambda: weights(site).get(site.green) == 10, 120, lambda: weights(site))
            site.cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="test")
            _, told = running.communicate(timeout=60)
        finally:
            running.kill()
        assert running.returncode == 1 and ALARM in told, told
        assert weights(site) == {site.blue: 100, site.green: 0}
        site.cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="test")
        ended = blue_green(site)
        seen = load.end()
    assert ended.returncode == 0, ended
    assert not seen.failures and seen.answered > 0, seen
    assert weights(site) == {site.blue: 0, site.green: 100}
    again = blue_green(site)
    assert again.returncode == 0 and "nothing is left to do" in again.stdout, again
