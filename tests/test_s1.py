"""Scenario S1, from one server to a group, with the AWS CLI as a person types it and boto3 for looking.

The clock is sixty times faster: a minute's period is a second, the quarter of an hour of low load before a scale-in a
quarter of a minute. Steps build on each other; when one fails, those after it are skipped."""

import json
import os
import signal
import time
from types import SimpleNamespace

import pytest

import elastane
import shop
from elastane import until
from load import Load, get

SETUPS = elastane.SETUPS
TIME_SCALE = 60
WORKERS = 8
# Requests of a service minute that one instance is to take; a service minute is a second.
TARGET_A_MINUTE = 40
BLACK_FRIDAY_A_SECOND = 130
NIGHT_A_SECOND = 15
# Sooner than the ten seconds that a connection to a target may take: nobody waited for a limit.
AT_ONCE_S = 9


@pytest.fixture(scope="module")
def run(setup):
    """What the steps of one set-up hand on to each other."""
    run = SimpleNamespace(broken=None, load=None, failures=[])
    yield run
    if run.load:
        run.load.end()


@pytest.fixture(autouse=True)
def step(daemon, run, request):
    if run.broken:
        pytest.skip(f"{run.broken} failed before")
    run.broken = request.node.name
    yield
    if getattr(request.node, "passed", False):
        run.broken = None


def test_1_one_instance_whose_user_data_installs_an_application(daemon, run):
    ec2 = daemon.client("ec2")
    run.base_image = daemon.aws(
        "ec2", "describe-images", "--owners", "amazon", "--query", "Images[0].ImageId", "--output", "text"
    )
    assert run.base_image.startswith("ami-")
    run.security_group = daemon.aws(
        "ec2", "create-security-group", "--group-name", "shop", "--description", "HTTP only", "--query", "GroupId",
        "--output", "text",
    )
    for port in (80, shop.PORT):
        daemon.aws(
            "ec2", "authorize-security-group-ingress", "--group-id", run.security_group, "--protocol", "tcp", "--port",
            str(port), "--cidr", "0.0.0.0/0",
        )
    run.first = daemon.aws(
        "ec2", "run-instances", "--image-id", run.base_image, "--instance-type", "t3.micro", "--user-data",
        f"file://{shop.USER_DATA_FILE}", "--security-group-ids", run.security_group, "--tag-specifications",
        "ResourceType=instance,Tags=[{Key=Name,Value=shop}]",
    )["Instances"][0]["InstanceId"]
    until(lambda: state_of(ec2, run.first) == "running", 30, "the instance to run")
    daemon.aws("ec2", "wait", "instance-running", "--instance-ids", run.first)
    until(lambda: "shop installed" in console(ec2, run.first), 30, "user data's output on the console")
    assert daemon.shell([run.first], shop.LOOK)[run.first] == "version one\n"


def test_2_a_change_by_hand_and_an_image_of_it(daemon, run):
    ssm, ec2 = daemon.client("ssm"), daemon.client("ec2")
    command = daemon.aws(
        "ssm", "send-command", "--document-name", "AWS-RunShellScript", "--instance-ids", run.first, "--parameters",
        json.dumps({"commands": [shop.CHANGE]}),
    )["Command"]["CommandId"]
    until(
        lambda: ssm.get_command_invocation(CommandId=command, InstanceId=run.first)["Status"] == "Success", 30,
        "the command to succeed",
    )
    daemon.aws("ssm", "wait", "command-executed", "--command-id", command, "--instance-id", run.first)
    assert daemon.shell([run.first], shop.LOOK)[run.first].encode() == shop.CHANGED
    run.image = daemon.aws(
        "ec2", "create-image", "--instance-id", run.first, "--name", "shop-two", "--query", "ImageId", "--output", "text"
    )
    until(lambda: image_state(ec2, run.image) == "available", 60, "the image to be available")
    daemon.aws("ec2", "wait", "image-available", "--image-ids", run.image)


def test_3_a_launch_template_uses_the_image(daemon, run):
    daemon.aws(
        "ec2", "create-launch-template", "--launch-template-name", "shop", "--launch-template-data",
        json.dumps({"ImageId": run.image, "InstanceType": "c5.xlarge", "SecurityGroupIds": [run.security_group]}),
    )
    kind = daemon.client("ec2").describe_instance_types(InstanceTypes=["c5.xlarge"])["InstanceTypes"][0]
    assert (kind["VCpuInfo"]["DefaultVCpus"], kind["MemoryInfo"]["SizeInMiB"]) == (4, 8192)


def test_4_a_load_balancer_a_target_group_and_a_group(daemon, run):
    vpc = daemon.aws(
        "ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true", "--query", "Vpcs[0].VpcId", "--output", "text"
    )
    subnets = daemon.aws(
        "ec2", "describe-subnets", "--filters", f"Name=vpc-id,Values={vpc}", "--query", "Subnets[].SubnetId"
    )
    assert len(subnets) >= 2
    balancer = daemon.aws(
        "elbv2", "create-load-balancer", "--name", "shop", "--subnets", *subnets, "--security-groups", run.security_group
    )["LoadBalancers"][0]
    run.balancer = balancer["LoadBalancerArn"]
    run.target_group = daemon.aws(
        "elbv2", "create-target-group", "--name", "shop", "--protocol", "HTTP", "--port", str(shop.PORT), "--vpc-id", vpc,
        "--health-check-path", "/health", "--health-check-interval-seconds", "10", "--healthy-threshold-count", "2",
        "--unhealthy-threshold-count", "2", "--query", "TargetGroups[0].TargetGroupArn", "--output", "text",
    )
    daemon.aws(
        "elbv2", "modify-target-group-attributes", "--target-group-arn", run.target_group, "--attributes",
        "Key=load_balancing.algorithm.type,Value=least_outstanding_requests",
        "Key=deregistration_delay.timeout_seconds,Value=60",
    )
    daemon.aws(
        "elbv2", "create-listener", "--load-balancer-arn", run.balancer, "--protocol", "HTTP", "--port", "80",
        "--default-actions", f"Type=forward,TargetGroupArn={run.target_group}",
    )
    daemon.aws(
        "autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", "shop", "--launch-template",
        "LaunchTemplateName=shop,Version=$Latest", "--min-size", "0", "--max-size", "10", "--desired-capacity", "0",
        "--vpc-zone-identifier", ",".join(subnets), "--target-group-arns", run.target_group, "--health-check-type", "ELB",
        "--health-check-grace-period", "600", "--default-instance-warmup", "60",
    )
    label = run.balancer.split("loadbalancer/")[1] + "/" + run.target_group.split(":")[-1]
    daemon.aws(
        "autoscaling", "put-scaling-policy", "--auto-scaling-group-name", "shop", "--policy-name", "requests",
        "--policy-type", "TargetTrackingScaling", "--target-tracking-configuration",
        json.dumps({
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label,
            },
            "TargetValue": TARGET_A_MINUTE,
        }),
    )
    alarms = daemon.client("cloudwatch").describe_alarms(AlarmNamePrefix="TargetTracking-shop-")["MetricAlarms"]
    assert sorted(alarm["AlarmName"].split("-")[2] for alarm in alarms) == ["AlarmHigh", "AlarmLow"]
    elb = daemon.client("elbv2")

    def active():
        found = elb.describe_load_balancers(Names=["shop"])["LoadBalancers"][0]
        # Only a daemon with privileges listens on every zone's address; the others answer on their main port.
        heard = daemon.setup is not elastane.SANDBOX_ROOT or urls_of(daemon) == {f"http://{a}:80" for a in addresses(found)}
        return found if found["State"]["Code"] == "active" and heard else None

    found = until(active, 30, "the load balancer to be active")
    run.address, run.host = address_of(daemon, found)
    status, _, _ = get(run.address, host=run.host)
    assert status == 503, "a load balancer without a target answers 503"


def test_5_the_new_instance_carries_the_change_without_user_data(daemon, run):
    daemon.aws("autoscaling", "set-desired-capacity", "--auto-scaling-group-name", "shop", "--desired-capacity", "1")
    until(lambda: len(healthy(daemon, run)) == 1, 60, "one healthy target")
    until(lambda: len(in_service(daemon)) == 1, 30, "one instance in service")
    for address, host in [(run.address, run.host), (daemon_address(daemon), "shop.elb.localhost")]:
        assert get(address, host=host)[2] == shop.CHANGED
    (only,) = in_service(daemon)
    assert only != run.first
    attribute = daemon.client("ec2").describe_instance_attribute(InstanceId=only, Attribute="userData")
    assert not attribute.get("UserData", {}).get("Value")


def test_6_load_rises_and_instances_are_added_until_the_target_holds(daemon, run):
    run.load = Load(run.address, host=run.host, workers=WORKERS, rate=BLACK_FRIDAY_A_SECOND)
    run.load.__enter__()
    until(lambda: desired(daemon) > 1, 60, "the alarm to raise the desired capacity")
    # ceil(130 / 40) is 4; a slow machine may bring less load about, a coarse minute a little more.
    until(lambda: len(healthy(daemon, run)) >= 3, 60, "at least three healthy targets")
    until(lambda: len(healthy(daemon, run)) == len(in_service(daemon)) == desired(daemon), 60, "all desired in service")
    before = run.load.snapshot()
    until(
        lambda: len([i for i, n in run.load.snapshot().instances.items() if n > before.instances[i]]) >= 3,
        20, "requests to go to every instance",
    )
    activities = daemon.aws("autoscaling", "describe-scaling-activities", "--auto-scaling-group-name", "shop")["Activities"]
    assert any("AlarmHigh" in activity["Cause"] and "requests" in activity["Cause"] for activity in activities), activities
    assert run.load.snapshot().failures == []


def test_7_a_killed_instance_leaves_the_flow_at_once_and_is_replaced(daemon, run):
    wanted = desired(daemon)
    victim = healthy(daemon, run)[0]
    before = len(run.load.snapshot().failures)
    killed_at = time.time()
    os.kill(daemon.instances()[victim]["pid"], signal.SIGKILL)
    until(lambda: victim not in healthy(daemon, run), 10, "the killed instance to leave the flow")
    until(lambda: victim not in in_service(daemon), 30, "the group to see it")
    until(lambda: len(in_service(daemon)) >= min(wanted, desired(daemon)), 60, "a replacement in service")
    failures = run.load.snapshot().failures[before:]
    run.killed_in_flight = failures
    # Requests under way on the killed instance are lost, one a connection at most, and at once.
    assert len(failures) <= WORKERS, failures
    assert all(at - killed_at < AT_ONCE_S for at, _ in failures), failures


def test_8_load_ends_and_the_group_returns_to_none_without_a_failed_request(daemon, run):
    run.load.end()
    with Load(run.address, host=run.host, workers=2, rate=NIGHT_A_SECOND) as night:
        until(lambda: desired(daemon) <= 1, 120, "the group to shrink to what the night needs")
        until(lambda: len(in_service(daemon)) == len(healthy(daemon, run)) == 1, 60, "one instance left in service")
        seen = night.end()
    assert seen.failures == [] and seen.answered > 0
    until(lambda: desired(daemon) == 0, 120, "the group to return to its minimum")
    until(lambda: group(daemon)["Instances"] == [], 60, "the group to be empty")
    assert get(run.address, host=run.host)[0] == 503
    print(f"requests: {run.load.seen.answered + seen.answered} answered, {len(run.killed_in_flight)} lost on the killed one")


def test_9_everything_is_deleted_in_the_order_a_person_would(daemon, run):
    ec2 = daemon.client("ec2")
    daemon.aws("autoscaling", "delete-auto-scaling-group", "--auto-scaling-group-name", "shop", "--force-delete")
    daemon.aws("elbv2", "delete-load-balancer", "--load-balancer-arn", run.balancer)
    daemon.aws("elbv2", "delete-target-group", "--target-group-arn", run.target_group)
    daemon.aws("ec2", "delete-launch-template", "--launch-template-name", "shop")
    daemon.aws("ec2", "terminate-instances", "--instance-ids", run.first)
    daemon.aws("ec2", "wait", "instance-terminated", "--instance-ids", run.first)
    daemon.aws("ec2", "deregister-image", "--image-id", run.image)
    states = {i["State"]["Name"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]}
    assert states <= {"terminated"}
    assert not daemon.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert [i for i in daemon.instances().values() if i.get("pid")] == []


def daemon_address(daemon):
    host, port = daemon.url.removeprefix("http://").split(":")
    return host, int(port)


def address_of(daemon, balancer):
    """Where a load balancer is reached, and the Host header that takes: its own address where it has a listener there,
    its name on the main port otherwise."""
    urls = urls_of(daemon)
    if not urls:
        return daemon_address(daemon), f"{balancer['LoadBalancerName']}.elb.localhost"
    address, port = min(urls).removeprefix("http://").split(":")
    return (address, int(port)), balancer["DNSName"]


def urls_of(daemon):
    return set(daemon.status()["load_balancers"][0]["urls"])


def addresses(balancer):
    return {a["IpAddress"] for zone in balancer["AvailabilityZones"] for a in zone.get("LoadBalancerAddresses", [])}


def state_of(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]


def image_state(ec2, image):
    return ec2.describe_images(ImageIds=[image])["Images"][0]["State"]


def console(ec2, instance):
    return ec2.get_console_output(InstanceId=instance).get("Output", "")


def group(daemon):
    found = daemon.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["shop"])
    return found["AutoScalingGroups"][0]


def desired(daemon):
    return group(daemon)["DesiredCapacity"]


def in_service(daemon):
    return [i["InstanceId"] for i in group(daemon)["Instances"] if i["LifecycleState"] == "InService"]


def healthy(daemon, run):
    health = daemon.client("elbv2").describe_target_health(TargetGroupArn=run.target_group)["TargetHealthDescriptions"]
    return [target["Target"]["Id"] for target in health if target["TargetHealth"]["State"] == "healthy"]
