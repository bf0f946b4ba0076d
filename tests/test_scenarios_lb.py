"""The lines of S3, S4 and S5 that name the load balancer: requests are distributed; an application that stops is out of
the flow after three checks and replaced; an instance that is terminated costs no client anything; blue and green are
switched by weights without a failed request; and each trouble of S5 shows where its document looks."""

import base64
import urllib.parse
from types import SimpleNamespace

import pytest

import elastane
from elastane import until
from fleet import Fleet, forward
from load import Load, get

SETUPS = [elastane.SANDBOX_ROOT, elastane.PROCESS_USER]
TIME_SCALE = 60
PORT = 8080
# Open in the security group, with nobody listening; and a port that the security group keeps closed.
REFUSING_PORT, CLOSED_PORT = 9, 10
# An application that names itself, and can be told to stop, to fail, or to answer late.
APPLICATION = """#!/bin/sh
cat > "$ELASTANE_ROOT/tmp/app.py" <<'PYTHON'
import http.server, os, socketserver, time
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(5)
        status = 500 if os.path.exists(FLAG + "fail") and self.path == "/health" else 200
        if self.path == "/cut":
            self.close_connection = True
            return
        body = (VERSION + "\\n").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", NAME)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
VERSION = "@VERSION@"
FLAG = os.environ.get("ELASTANE_ROOT", "") + "/tmp/"
NAME = os.environ.get("ELASTANE_INSTANCE_ID") or os.environ["ELASTANE_LOCAL_IPV4"]
open(FLAG + "pid", "w").write(str(os.getpid()))
Server((os.environ["ELASTANE_LOCAL_IPV4"], 8080), App).serve_forever()
PYTHON
mkdir -p "$ELASTANE_ROOT/tmp"
exec /usr/bin/python3 "$ELASTANE_ROOT/tmp/app.py"
"""


@pytest.fixture(scope="module")
def site(daemon):
    """A group of two, at most ten, behind a load balancer with the health check of S3's document."""
    fleet = Fleet(daemon)
    fleet.subnets = fleet.subnets[:2]
    fleet.scaling = daemon.client("autoscaling")
    front = fleet.ec2.create_security_group(GroupName="front", Description="HTTP", VpcId=fleet.vpc)["GroupId"]
    for port in (80, PORT, REFUSING_PORT):
        fleet.ec2.authorize_security_group_ingress(
            GroupId=front, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
        )
    fleet.security_group = front
    fleet.balancer = fleet.lb.create_load_balancer(
        Name="site", Subnets=fleet.subnets, SecurityGroups=[front]
    )["LoadBalancers"][0]
    fleet.blue = color(fleet, "blue")
    fleet.front = fleet.listener(fleet.balancer["LoadBalancerArn"], forward(fleet.blue.target_group))
    fleet.healthy(fleet.blue.target_group, 2, limit_s=90)
    found = urllib.parse.urlsplit(fleet.urls("site")[0])
    fleet.address = (found.hostname, found.port or 80)
    return fleet


def color(fleet, name, interval=30, delay=300):
    target_group = fleet.lb.create_target_group(
        Name=name, Protocol="HTTP", Port=PORT, VpcId=fleet.vpc, HealthCheckPath="/health",
        HealthCheckIntervalSeconds=interval, HealthCheckTimeoutSeconds=5, HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
    )["TargetGroups"][0]["TargetGroupArn"]
    fleet.lb.modify_target_group_attributes(
        TargetGroupArn=target_group,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}],
    )
    image = fleet.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    user_data = base64.b64encode(APPLICATION.replace("@VERSION@", name).encode()).decode()
    fleet.ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={
            "ImageId": image, "InstanceType": "t3.small", "SecurityGroupIds": [fleet.security_group],
            "UserData": user_data,
        },
    )
    fleet.scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        MinSize=2, MaxSize=10, VPCZoneIdentifier=",".join(fleet.subnets), TargetGroupARNs=[target_group],
        HealthCheckType="ELB", HealthCheckGracePeriod=300,
    )
    return SimpleNamespace(name=name, target_group=target_group)


def members(fleet, name):
    group = fleet.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    return {one["InstanceId"] for one in group["Instances"] if one["LifecycleState"] == "InService"}


def health(fleet, target_group):
    described = fleet.lb.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    return {one["Target"]["Id"]: one["TargetHealth"] for one in described}


def ask(site, path="/"):
    return get(site.address, path, host=site.balancer["DNSName"])


def none_failed(load, at_least=20):
    seen = load.end()
    assert seen.answered >= at_least and seen.failures == [] and set(seen.statuses) == {200}, seen
    return seen


def test_s3_1_requests_are_distributed(site):
    answers = [ask(site)[1]["X-Instance"] for _ in range(20)]
    counts = sorted(answers.count(name) for name in set(answers))
    assert len(counts) == 2 and counts[0] >= 5, answers


def test_s3_3_an_application_that_stops_is_replaced(site):
    victim = sorted(members(site, "blue"))[0]
    site.daemon.shell([victim], 'kill -9 $(cat "$ELASTANE_ROOT/tmp/pid")')
    reasons = set()

    def out():
        found = health(site, site.blue.target_group).get(victim)
        if found and found["State"] == "unhealthy":
            reasons.add(found["Reason"])
        return victim not in members(site, "blue")

    until(out, 90, "the instance to leave the group", poll_s=0.02)
    assert reasons <= {"Target.FailedHealthChecks", "Target.Timeout"}, reasons
    until(lambda: len(members(site, "blue")) == 2, 90, "a replacement in service")
    site.healthy(site.blue.target_group, 2, limit_s=90)
    assert ask(site)[0] == 200


def test_s3_5_an_instance_terminated_by_hand_costs_no_client_anything(site):
    victim = sorted(members(site, "blue"))[0]
    with Load(site.address, host=site.balancer["DNSName"], workers=2, rate=50) as load:
        until(lambda: load.snapshot().answered > 5, 30, "requests to be under way")
        site.scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=victim, ShouldDecrementDesiredCapacity=False
        )
        until(lambda: victim not in members(site, "blue"), 60, "the instance to leave")
        until(lambda: len(members(site, "blue")) == 2, 90, "a replacement in service")
        site.healthy(site.blue.target_group, 2, limit_s=90)
        before = load.snapshot().answered
        until(lambda: load.snapshot().answered > before + 20, 30, "requests to the new instance")
        none_failed(load)


def test_s4_blue_and_green_are_switched_by_weights(site):
    green = color(site, "green", interval=10, delay=10)
    pair = (site.blue.target_group, green.target_group)
    switch = lambda *weights: site.lb.modify_listener(
        ListenerArn=site.front, DefaultActions=forward(*pair, weights=weights)
    )
    with Load(site.address, host=site.balancer["DNSName"], workers=2, rate=100) as load:
        switch(100, 0)
        site.healthy(green.target_group, 2, limit_s=90)
        version = lambda: ask(site)[2].decode().strip()
        assert {version() for _ in range(10)} == {"blue"}
        switch(50, 50)
        until(lambda: {version() for _ in range(10)} == {"blue", "green"}, 20, "both colors")
        switch(0, 100)
        until(lambda: {version() for _ in range(10)} == {"green"}, 20, "green alone")
        switch(100, 0)
        until(lambda: {version() for _ in range(10)} == {"blue"}, 20, "blue again")
        site.scaling.update_auto_scaling_group(AutoScalingGroupName="green", MinSize=0, DesiredCapacity=0)
        until(lambda: members(site, "green") == set(), 60, "green to be gone")
        until(lambda: load.snapshot().answered >= 100, 60, "enough requests to judge by")
        none_failed(load, at_least=100)


def test_s5_a_target_that_cuts_connections_is_502(site):
    status, headers, body = ask(site, "/cut")
    assert (status, headers["Server"]) == (502, "awselb/2.0")
    assert b"502 Bad Gateway" in body


def test_s5_a_target_that_is_late_is_504(site):
    arn = site.balancer["LoadBalancerArn"]
    set_idle = lambda seconds: site.lb.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": str(seconds)}]
    )
    set_idle(1)
    try:
        until(lambda: ask(site, "/slow")[0] == 504, 30, "the timeout")
    finally:
        set_idle(60)


def test_s5_no_targets_are_503(site):
    empty = site.target_group("empty", [])
    rule = site.lb.create_rule(
        ListenerArn=site.front, Priority=5, Actions=forward(empty),
        Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/empty"]}}],
    )["Rules"][0]["RuleArn"]
    until(lambda: ask(site, "/empty")[0] == 503, 30, "the answer for no targets")
    site.lb.delete_rule(RuleArn=rule)


def test_s5_the_wrong_port_and_the_wrong_code_have_reasons(site):
    target = sorted(members(site, "blue"))[0]
    cases = [
        ("wrong-port", {"HealthCheckPort": str(REFUSING_PORT)}, "Target.FailedHealthChecks"),
        ("wrong-code", {"Matcher": {"HttpCode": "202"}}, "Target.ResponseCodeMismatch"),
    ]
    if site.daemon.setup.sandbox:
        cases.append(("closed-port", {"HealthCheckPort": str(CLOSED_PORT)}, "Target.Timeout"))
    for name, settings, reason in cases:
        group = site.target_group(name, [target], HealthCheckPath="/health", **settings)
        unused = health(site, group)[target]
        assert (unused["State"], unused["Reason"]) == ("unused", "Target.NotInUse")
        rule = site.lb.create_rule(
            ListenerArn=site.front, Priority=6, Actions=forward(group),
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": [f"/{name}"]}}],
        )["Rules"][0]["RuleArn"]
        until(lambda: health(site, group)[target].get("Reason") == reason, 60, lambda: health(site, group))
        # With nobody healthy, requests go to the unhealthy.
        until(lambda: ask(site, f"/{name}")[0] == 200, 30, "an answer all the same")
        site.lb.delete_rule(RuleArn=rule)
        until(lambda: health(site, group)[target]["State"] == "unused", 30, "nobody to use the group")
        site.lb.delete_target_group(TargetGroupArn=group)
