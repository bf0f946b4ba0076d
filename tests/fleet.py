"""A load balancer with targets that answer fast, and a load generator that counts what fails: two small programs of the
proxy crate, built beside the daemon."""

import json
import shutil
import subprocess
from contextlib import contextmanager

import elastane
from elastane import until

PORT = 8080
LOAD_LIMIT_S = 1800
# Requests on one connection, so that some connections are always new.
EACH = 100


def program(name):
    found = elastane.BINARY.parent / "examples" / name
    assert found.is_file(), f"{found} is not built; run `cargo xtask test --only clients`"
    return found


class Fleet:
    """Instances of the process driver that serve, and what is in front of them."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.ec2, self.lb = daemon.client("ec2"), daemon.client("elbv2")
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        # All of them: an instance may be launched in any, and a target in a zone without a node is not used.
        self.subnets = [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]

    def launch(self, count):
        # The target directory may be closed to the user that the daemon runs as.
        target = shutil.copy2(program("target"), self.daemon.base / "target")
        user_data = f"""#!/bin/sh
echo $$ > "$ELASTANE_ROOT/pid"
exec {target} "$ELASTANE_LOCAL_IPV4:{PORT}" "$ELASTANE_INSTANCE_ID"
"""
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        made = self.ec2.run_instances(
            ImageId=image, InstanceType="t3.micro", MinCount=count, MaxCount=count, UserData=user_data
        )
        ids = [instance["InstanceId"] for instance in made["Instances"]]
        running = [{"Name": "instance-state-name", "Values": ["running"]}]
        up = lambda: self.ec2.describe_instances(InstanceIds=ids, Filters=running)["Reservations"]
        until(lambda: sum(len(one["Instances"]) for one in up()) == count, 60, "instances to run")
        return ids

    def target_group(self, name, instances, **settings):
        arn = self.lb.create_target_group(
            Name=name, Protocol="HTTP", Port=PORT, VpcId=self.vpc, HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2, UnhealthyThresholdCount=2, **settings,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.register(arn, instances)
        return arn

    def register(self, group, instances):
        if instances:
            self.lb.register_targets(TargetGroupArn=group, Targets=[{"Id": one} for one in instances])

    def deregister(self, group, instances):
        self.lb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": one} for one in instances])

    def load_balancer(self, name):
        made = self.lb.create_load_balancer(Name=name, Subnets=self.subnets)["LoadBalancers"][0]
        return made["LoadBalancerArn"]

    def listener(self, balancer, actions, port=80, **settings):
        return self.lb.create_listener(
            LoadBalancerArn=balancer, Protocol=settings.pop("Protocol", "HTTP"), Port=port, DefaultActions=actions,
            **settings,
        )["Listeners"][0]["ListenerArn"]

    def healthy(self, group, count, limit_s=60):
        def states():
            described = self.lb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
            return [one["TargetHealth"]["State"] for one in described]

        until(lambda: states().count("healthy") == count, limit_s, lambda: f"{count} healthy targets: {states()}")

    def urls(self, name, scheme="http"):
        """Where the load balancer's listeners of that scheme really are."""
        def told():
            described = self.daemon.status()["load_balancers"]
            return [url for one in described if one["name"] == name for url in one["urls"] if url.startswith(scheme + ":")]

        return until(told, 30, f"{scheme} listeners of {name}")


def forward(*groups, weights=None):
    tuples = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(groups, weights or [1] * len(groups))]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": tuples}}]


@contextmanager
def load(url, requests, connections=32, host="shop.example.com", each=EACH):
    """A load of so many requests, `each` of them on one connection at most; `done()` of what it yields says whether it
    has ended, `report()` waits for the end."""
    command = [str(program("load")), url, str(requests), str(connections), host, str(each)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    class Running:
        def done(self):
            return process.poll() is not None

        def report(self):
            out, _ = process.communicate(timeout=LOAD_LIMIT_S)
            assert process.returncode == 0
            return json.loads(out)

    try:
        yield Running()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
