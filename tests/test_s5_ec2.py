"""Scenario S5, what goes wrong on EC2: for each symptom the command that a person would type shows the cause."""

import base64
import json

import pytest

import elastane
from elastane import until

SETUPS = [elastane.SANDBOX_ROOT]
TIME_SCALE = 60
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})
# Nobody waits longer for an activity: reconcilers act within a round.
SOON_S = 60


@pytest.fixture(scope="module")
def image(daemon):
    return daemon.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def launch(daemon, image, **more):
    run = daemon.client("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1, **{"InstanceType": "t3.nano", **more})
    instance = run["Instances"][0]["InstanceId"]
    until(lambda: daemon.instances().get(instance, {}).get("state") == "running", 30, "the instance to run")
    return instance


def console(daemon, instance):
    return daemon.aws("ec2", "get-console-output", "--instance-id", instance, "--output", "text", "--query", "Output")


def inside(daemon, instance, script):
    return daemon.shell([instance], script)[instance].strip()


def test_user_data_that_fails_says_so(daemon, image):
    instance = launch(daemon, image, UserData="#!/bin/sh\necho installing\ncurl-not-there http://x\nexit 3\n")
    until(lambda: "installing" in console(daemon, instance), SOON_S, "the console")
    ec2 = daemon.client("ec2")

    def status():
        found = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        return found[0]["InstanceStatus"]["Status"] if found else None

    until(lambda: status() == "impaired", SOON_S, lambda: f"the status check to fail: {status()}")
    said = console(daemon, instance)
    assert "curl-not-there" in said and "3" in said.rsplit("curl-not-there", 1)[1]
    assert "curl-not-there" in inside(daemon, instance, "cat /var/log/cloud-init-output.log")


def test_user_data_that_is_no_yaml_is_named_with_its_line(daemon, image):
    instance = launch(daemon, image, UserData="#cloud-config\nruncmd:\n - [echo, hello\nusers: {\n")
    until(lambda: "yaml" in console(daemon, instance).lower(), SOON_S, lambda: console(daemon, instance))


@pytest.mark.parametrize("cause", ["image", "security group", "role"])
def test_a_launch_template_whose_parts_are_gone(daemon, image, cause):
    """The scaling activity fails with EC2's own message."""
    ec2, autoscaling, iam = daemon.client("ec2"), daemon.client("autoscaling"), daemon.client("iam")
    name = cause.replace(" ", "-")
    data = {"ImageId": image, "InstanceType": "t3.nano"}
    if cause == "image":
        source = launch(daemon, image)
        data["ImageId"] = ec2.create_image(InstanceId=source, Name="gone", NoReboot=True)["ImageId"]
        ec2.get_waiter("image_available").wait(ImageIds=[data["ImageId"]], WaiterConfig={"Delay": 1})
        remove, words = lambda: ec2.deregister_image(ImageId=data["ImageId"]), f"image id '[{data['ImageId']}]' does not"
    elif cause == "security group":
        group = ec2.create_security_group(GroupName="gone", Description="gone")["GroupId"]
        data["SecurityGroupIds"] = [group]
        remove, words = lambda: ec2.delete_security_group(GroupId=group), f"The security group '{group}' does not exist"
    else:
        iam.create_role(RoleName="gone", AssumeRolePolicyDocument=TRUST)
        iam.create_instance_profile(InstanceProfileName="gone")
        iam.add_role_to_instance_profile(InstanceProfileName="gone", RoleName="gone")
        data["IamInstanceProfile"] = {"Name": "gone"}

        def remove():
            iam.remove_role_from_instance_profile(InstanceProfileName="gone", RoleName="gone")
            iam.delete_instance_profile(InstanceProfileName="gone")

        words = "Invalid IAM Instance Profile"
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name, LaunchTemplate={"LaunchTemplateName": name}, MinSize=0, MaxSize=1,
        VPCZoneIdentifier=subnet,
    )
    remove()
    autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=1)

    def failed():
        found = autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        return next((one for one in found if one["StatusCode"] == "Failed"), None)

    activity = until(failed, SOON_S, "the activity to fail")
    assert words in activity["StatusMessage"], activity
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)


def test_no_capacity_in_a_zone_and_another_is_tried(daemon, image):
    ec2, autoscaling = daemon.client("ec2"), daemon.client("autoscaling")
    region = daemon.exports["AWS_DEFAULT_REGION"]
    daemon.run("chaos", "zone-outage", f"{region}a")
    subnets = {one["AvailabilityZone"]: one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]}
    refused = daemon.aws(
        "ec2", "run-instances", "--image-id", image, "--subnet-id", subnets[f"{region}a"], check=False
    )
    assert "InsufficientInstanceCapacity" in refused.stderr
    ec2.create_launch_template(
        LaunchTemplateName="anywhere", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.nano"}
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="anywhere", LaunchTemplate={"LaunchTemplateName": "anywhere"}, MinSize=2, MaxSize=2,
        VPCZoneIdentifier=",".join([subnets[f"{region}a"], subnets[f"{region}b"]]),
    )

    def zones():
        group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["anywhere"])["AutoScalingGroups"][0]
        return [one["AvailabilityZone"] for one in group["Instances"] if one["LifecycleState"] == "InService"]

    until(lambda: zones() == [f"{region}b"] * 2, SOON_S, zones)
    daemon.run("chaos", "zone-outage", f"{region}a", "--end")
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="anywhere", ForceDelete=True)


def test_out_of_memory_is_real_and_told(daemon, image):
    instance = launch(daemon, image)
    eat = 'python3 -c "x = bytearray(700 << 20); print(len(x))" && echo survived || echo killed'
    assert inside(daemon, instance, eat).endswith("killed")
    until(lambda: "Out of memory" in console(daemon, instance), SOON_S, lambda: console(daemon, instance))


def test_file_descriptors_run_out_inside_alone(daemon, image):
    instance = launch(daemon, image)
    program = """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
files = []
try:
    while True:
        files.append(open('/dev/null'))
except OSError as err:
    print(err.errno)
"""
    encoded = base64.b64encode(program.encode()).decode()
    assert inside(daemon, instance, f"echo {encoded} | base64 -d | python3 -") == "24"


def test_a_security_group_that_lets_nobody_in_shows_as_a_timeout(daemon, image):
    """The document's `Security group blocking`: the target times out, and the reason says so."""
    ec2, elb = daemon.client("ec2"), daemon.client("elbv2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    closed = ec2.create_security_group(GroupName="closed", Description="nobody")["GroupId"]
    instance = launch(
        daemon, image, SecurityGroupIds=[closed], UserData="#!/bin/sh\nexec python3 -m http.server 8000\n"
    )
    target_group = elb.create_target_group(
        Name="closed", Protocol="HTTP", Port=8000, VpcId=vpc, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2, UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    balancer = elb.create_load_balancer(Name="closed", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=8088,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
    )
    elb.register_targets(TargetGroupArn=target_group, Targets=[{"Id": instance}])

    def health():
        return elb.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"][0]["TargetHealth"]

    until(lambda: health().get("Reason") == "Target.Timeout", SOON_S, health)
    own = elb.describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"][0]["SecurityGroups"][0]
    ec2.authorize_security_group_ingress(
        GroupId=closed,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "UserIdGroupPairs": [{"GroupId": own}]}],
    )
    until(lambda: health()["State"] == "healthy", SOON_S, health)
    elb.delete_load_balancer(LoadBalancerArn=balancer)
