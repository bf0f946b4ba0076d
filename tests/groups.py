"""Auto Scaling groups with real instances: an application that burns CPU when a request asks for it, a group and its
target group as tests look at them, and the time that they keep."""

import base64
import json
import re
from datetime import datetime

from elastane import until

PORT = 8080
# An instance has a small share of a core, so nothing is imported that is not needed: it serves a moment after its boot.
# Whoever asks for the health or a page is not behind those who burn, one at a time.
APPLICATION = r"""#!/bin/sh
mkdir -p "$ELASTANE_ROOT/tmp"
cat > "$ELASTANE_ROOT/tmp/app.py" <<'PYTHON'
import os, socket, sys, threading, time
BODY = b"@VERSION@\n"
BURN_S = @BURN_MS@ / 1000
ROOT = os.environ.get("ELASTANE_ROOT", "")

def identity():
    path = ROOT + "/var/lib/cloud/data/instance-id"
    if "ELASTANE_INSTANCE_ID" in os.environ:
        return os.environ["ELASTANE_INSTANCE_ID"]
    return open(path).read().strip() if os.path.exists(path) else os.environ["ELASTANE_LOCAL_IPV4"]

HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(BODY)}\r\nX-Instance: {identity()}\r\n\r\n"
ANSWER = HEAD.encode() + BODY
burning = threading.Lock()

def burn():
    with burning:
        end = time.thread_time() + BURN_S
        while time.thread_time() < end:
            pass

def serve(connection):
    rest = b""
    try:
        with connection:
            while True:
                while b"\r\n\r\n" not in rest:
                    got = connection.recv(65536)
                    if not got:
                        return
                    rest += got
                head, _, rest = rest.partition(b"\r\n\r\n")
                path = head.split(b" ", 2)[1]
                if path.endswith(b"/burn"):
                    burn()
                elif path == b"/slow":
                    time.sleep(30)
                connection.sendall(ANSWER)
    except OSError:
        pass

sys.setswitchinterval(0.001)
server = socket.create_server((os.environ["ELASTANE_LOCAL_IPV4"], @PORT@), backlog=128)
open(ROOT + "/tmp/pid", "w").write(str(os.getpid()))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
PYTHON
exec /usr/bin/python3 -I -S "$ELASTANE_ROOT/tmp/app.py"
"""
STOP = 'kill -9 $(cat "$ELASTANE_ROOT/tmp/pid")'


def user_data(version, port=PORT, burn_ms=20):
    """User data, encoded, of instances whose pages say `version` and whose paths that end in /burn cost so much CPU."""
    text = APPLICATION.replace("@VERSION@", version).replace("@PORT@", str(port)).replace("@BURN_MS@", str(burn_ms))
    return base64.b64encode(text.encode()).decode()


def by_cli(daemon):
    """The AWS CLI as a function of service, operation and input."""
    return lambda service, operation, **input: daemon.aws(
        service, operation.replace("_", "-"), "--cli-input-json", json.dumps(input)
    )


def by_boto3(daemon):
    """The same of boto3."""
    return lambda service, operation, **input: getattr(daemon.client(service), operation)(**input)


def service_time(daemon):
    """What time it is there."""
    return datetime.fromisoformat(daemon.status()["now"])


def open_to_all(ec2, name, vpc, *ports):
    """A security group that lets everybody in at these ports."""
    made = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    for port in ports:
        ec2.authorize_security_group_ingress(
            GroupId=made, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
        )
    return made


class Group:
    """A group whose instances are the targets of one target group."""

    def __init__(self, daemon, name, target_group):
        self.daemon, self.name, self.target_group = daemon, name, target_group
        self.scaling, self.lb = daemon.client("autoscaling"), daemon.client("elbv2")

    def look(self):
        return self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0]

    def desired(self):
        return self.look()["DesiredCapacity"]

    def serving(self):
        """The members in service, with what is said of each."""
        return {one["InstanceId"]: one for one in self.look()["Instances"] if one["LifecycleState"] == "InService"}

    def health(self):
        found = self.lb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"] for one in found}

    def healthy(self):
        return {instance for instance, health in self.health().items() if health["State"] == "healthy"}

    def settle(self, count, limit_s=60):
        """Waits until there are so many: wanted, members at all, in service, and healthy targets. Their ids."""

        def look():
            found = self.look()
            members = {one["InstanceId"] for one in found["Instances"] if one["LifecycleState"] == "InService"}
            there = len(found["Instances"]) == len(members) == found["DesiredCapacity"] == count
            return members if there and members == self.healthy() else None

        return until(look, limit_s, lambda: f"{self.name} to settle at {count}: {self.states()}")

    def states(self):
        found = self.look()
        members = {one["InstanceId"]: one["LifecycleState"] for one in found["Instances"]}
        return found["DesiredCapacity"], members, self.health()

    def activities(self):
        """What the group has done, the newest first."""
        pages = self.scaling.get_paginator("describe_scaling_activities").paginate(AutoScalingGroupName=self.name)
        return [activity for page in pages for activity in page["Activities"]]

    def changes(self):
        """Every change of the desired capacity that its activities tell of, oldest first: when, from, to, and who."""
        found = []
        for activity in reversed(self.activities()):
            for sentence in activity["Cause"].split("  "):
                told = re.search(r"^At (\S+Z) (.*) changing the desired capacity from (\d+) to (\d+)", sentence)
                change = told and (datetime.fromisoformat(told[1]), int(told[3]), int(told[4]), told[2])
                if change and change not in found:
                    found.append(change)
        return sorted(found)

    def answered(self, load, instances, limit_s=30):
        """Waits until each of these has answered requests of this load from now on."""
        before = load.snapshot().instances

        def silent():
            now = load.snapshot().instances
            return [instance for instance in instances if now[instance] <= before[instance]]

        until(lambda: not silent(), limit_s, lambda: f"requests to {silent()}: {load.snapshot()}")


def none_failed(seen, at_least):
    """A load had so many answers, all of them good."""
    assert seen.answered >= at_least and seen.failures == [] and set(seen.statuses) == {200}, seen
