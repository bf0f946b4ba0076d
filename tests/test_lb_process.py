"""The data plane's own process: it serves on without its daemon, comes back when it is killed, and is replaced under load
without a failed request. Then two of them, each with its own addresses."""

import json
import os
import signal
import socket
import struct
import time
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlparse

import pytest

import elastane
import shop
from elastane import until
from load import Load, get

SETUPS = [elastane.SANDBOX_ROOT, elastane.SANDBOX_USER, elastane.PROCESS_USER]
TIME_SCALE = 20
WORKERS = 6
# Requests that must have been answered before something is called undisturbed.
ENOUGH = 50


@pytest.fixture(scope="module")
def balancer(daemon):
    """An instance behind a load balancer; the address of its listener."""
    return serve(daemon)


def serve(daemon):
    """Puts an instance behind a load balancer in all zones; the address of its first listener."""
    ec2, elb = daemon.client("ec2"), daemon.client("elbv2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    security = ec2.create_security_group(GroupName="web", Description="HTTP")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=security, IpProtocol="tcp", FromPort=1, ToPort=65535, CidrIp="0.0.0.0/0"
    )
    instance = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SecurityGroupIds=[security],
        UserData=shop.USER_DATA_FILE.read_text(),
    )["Instances"][0]["InstanceId"]
    arn = elb.create_load_balancer(Name="web", Subnets=subnets, SecurityGroups=[security])["LoadBalancers"][0][
        "LoadBalancerArn"
    ]
    group = elb.create_target_group(
        Name="web", Protocol="HTTP", Port=shop.PORT, VpcId=vpc, HealthCheckPath="/health", HealthyThresholdCount=2,
        HealthCheckIntervalSeconds=10,
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=arn, Protocol="HTTP", Port=8099, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}]
    )
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance])
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
    until(lambda: standing(daemon) == ["healthy"], 60, lambda: f"the target to be healthy: {daemon.run('lb', 'targets').stdout}")
    return listener(daemon)


def listener(daemon):
    """Where the load balancer listens."""
    urls = until(lambda: daemon.status()["load_balancers"][0]["urls"], 30, "a listener")
    place = urlparse(urls[0])
    return place.hostname, place.port


def standing(daemon):
    """The states of all targets."""
    groups = json.loads(daemon.run("lb", "targets", "--json").stdout)
    return [target["state"] for group in groups for target in group["targets"]]


def proxy_of(daemon):
    """The process id of the data plane."""
    return until(lambda: daemon.status()["proxy"]["pid"], 30, "the data plane's process")


def undisturbed(load):
    """Waits until enough more requests were answered."""
    before = load.snapshot().answered
    until(lambda: load.snapshot().answered >= before + ENOUGH, 60, lambda: f"requests to be answered: {load.snapshot()}")


def test_status_names_the_process(daemon, balancer):
    pid = proxy_of(daemon)
    assert pid != daemon.process.pid
    assert f"process {pid}" in daemon.run("status").stdout
    assert b"proxy" in Path(f"/proc/{pid}/cmdline").read_bytes()
    mode = (daemon.data / "proxy.sock").stat().st_mode
    assert mode & 0o777 == 0o600


def test_a_killed_daemon_is_not_missed(daemon, balancer):
    pid = proxy_of(daemon)
    with Load(balancer, workers=WORKERS) as load:
        undisturbed(load)
        daemon.kill()
        undisturbed(load)
        daemon.start()
        # The new daemon hears at once how targets stand: nothing is checked anew.
        until(lambda: standing(daemon) == ["healthy"], 30, "health to be known")
        undisturbed(load)
        assert proxy_of(daemon) == pid
    assert load.seen.failures == []
    assert listener(daemon) == balancer


def test_upgrades_under_load(daemon, balancer):
    with Load(balancer, workers=WORKERS) as load:
        for _ in range(3):
            before = proxy_of(daemon)
            undisturbed(load)
            told = daemon.run("lb", "upgrade-proxy").stdout
            after = proxy_of(daemon)
            assert after != before and str(after) in told
            undisturbed(load)
            until(lambda: not Path(f"/proc/{before}").exists(), 60, "the old process to finish")
            assert standing(daemon) == ["healthy"]
    assert load.seen.failures == []


def test_a_killed_data_plane_comes_back(daemon, balancer):
    before = proxy_of(daemon)
    os.kill(before, signal.SIGKILL)
    until(lambda: daemon.status()["proxy"]["pid"] not in (None, before), 30, "another process")
    until(lambda: standing(daemon) == ["healthy"], 60, "the target to be healthy")
    assert listener(daemon) == balancer
    assert get(balancer)[0] == 200


def test_a_hanging_data_plane_is_replaced(daemon, balancer):
    before = proxy_of(daemon)
    os.kill(before, signal.SIGSTOP)
    until(lambda: daemon.status()["proxy"]["pid"] not in (None, before), 60, "another process")
    until(lambda: standing(daemon) == ["healthy"], 60, "the target to be healthy")
    assert get(balancer)[0] == 200


def test_host_routing_on_the_main_port(daemon, balancer):
    place = urlparse(daemon.url)
    host = daemon.status()["load_balancers"][0]["host"]
    assert get((place.hostname, place.port), host=host)[0] == 200


def test_names_are_answered(daemon, balancer):
    host, port = daemon.status()["daemon"]["dns"].rsplit(":", 1)
    server = (host, int(port))
    name = daemon.status()["load_balancers"][0]["host"]
    code, addresses = asked(server, name)
    assert code == 0 and balancer[0] in addresses
    zone = daemon.client("ec2").describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    code, of_zone = asked(server, f"{zone}.{name}")
    assert code == 0 and len(of_zone) == 1 and of_zone[0] in addresses
    assert asked(server, f"other.{name}")[0] == 3
    assert asked(server, "example.com")[0] == 5


def asked(server, name):
    """Code and addresses that a name server answers for a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        udp.sendto(question, server)
        reply = udp.recv(512)
    with socket.create_connection(server, timeout=10) as tcp:
        tcp.sendall(struct.pack(">H", len(question)) + question)
        length = struct.unpack(">H", tcp.recv(2, socket.MSG_WAITALL))[0]
        again = tcp.recv(length, socket.MSG_WAITALL)
    assert sorted(again) == sorted(reply)
    count = struct.unpack(">H", reply[6:8])[0]
    records = [reply[len(question) + 16 * one:][:16] for one in range(count)]
    return reply[3] & 15, [socket.inet_ntoa(record[12:]) for record in records]


def test_rules_are_explained(daemon, balancer):
    url = f"http://{balancer[0]}:{balancer[1]}/cart?x=1"
    told = daemon.run("lb", "explain", url, "--header", "X-Version: 2").stdout
    assert "=> default: forward to web" in told and "1 healthy" in told, told
    told = daemon.run("lb", "list").stdout
    assert "8099" in told and "forward to web" in told, told
    assert "elastane" in daemon.run("lb", "metrics").stdout


def test_zonal_shift(daemon, balancer):
    zone = daemon.client("ec2").describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    assert "web" in daemon.run("lb", "shift", zone).stdout
    assert "shifted away" in daemon.run("lb", "list").stdout
    daemon.run("lb", "unshift", zone)
    until(lambda: "shifted away" not in daemon.run("lb", "list").stdout, 30, "the zone to be back")


def test_a_restart_keeps_serving_and_down_leaves_nothing(daemon, balancer):
    pid = proxy_of(daemon)
    with Load(balancer, workers=2, rate=50) as load:
        undisturbed(load)
        daemon.stop()
        time.sleep(0.2)
        daemon.start()
        undisturbed(load)
    assert load.seen.failures == []
    assert proxy_of(daemon) == pid
    daemon.run("down")
    until(lambda: not Path(f"/proc/{pid}").exists(), 10, "the data plane to end")
    assert not (daemon.data / "proxy.sock").exists()
    daemon.process.wait(30)


@pytest.fixture(scope="module")
def pair(setup, clean_machine):
    """A daemon with two processes of the data plane, and an instance behind a load balancer."""
    if reason := elastane.why_not(setup):
        pytest.skip(f"{setup.name}: {reason}")
    daemon = elastane.Daemon(setup, "--proxies", "2", time_scale=TIME_SCALE)
    try:
        daemon.start()
        serve(daemon)
        # Each checks the target by itself.
        for place in places(daemon):
            until(lambda: get(place)[0] == 200, 30, f"an answer at {place}")
        yield daemon
    finally:
        daemon.destroy()


def processes(daemon):
    """The process ids of the data plane, when both are attached and serve."""

    def attached():
        pids = [one["pid"] for one in daemon.status()["proxies"] if not one["trouble"]]
        return pids if len(pids) == 2 and all(pids) else None

    return until(attached, 30, lambda: f"two processes: {daemon.status()['proxies']}")


def places(daemon):
    """Where each process listens: one of its addresses."""
    addresses = until(
        lambda: [one["addresses"] for one in daemon.status()["proxies"]], 30, "the processes' addresses"
    )

    def found():
        urls = [urlparse(url) for url in daemon.status()["load_balancers"][0]["urls"]]
        chosen = [[(url.hostname, url.port) for url in urls if url.hostname in own] for own in addresses]
        return [some[0] for some in chosen] if all(chosen) else None

    return until(found, 30, "listeners of both processes")


def requests_counted(daemon):
    """`RequestCount` of the load balancer since the beginning of service time, in CloudWatch."""
    now = datetime.fromisoformat(daemon.status()["now"].replace("Z", "+00:00"))
    name = daemon.client("elbv2").describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    points = daemon.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApplicationELB", MetricName="RequestCount", Statistics=["Sum"], Period=60,
        Dimensions=[{"Name": "LoadBalancer", "Value": name.split(":loadbalancer/")[1]}],
        StartTime=now - timedelta(hours=12), EndTime=now + timedelta(minutes=5),
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def test_two_processes_have_their_own_addresses(pair):
    first, second = (set(one["addresses"]) for one in pair.status()["proxies"])
    assert first and second and not first & second
    pids = processes(pair)
    shown, listed = pair.run("status").stdout, pair.run("lb", "list").stdout
    for number, pid in enumerate(pids, 1):
        assert f"data plane {number}/2: process {pid}" in shown, shown
        assert str(pid) in listed, listed
    names = [one.name for one in pair.data.iterdir() if one.name.endswith(".sock")]
    assert {"proxy.sock", "proxy-2.sock"} <= set(names)


def test_counts_of_two_add_up(pair):
    asked = [get(place)[0] for place in places(pair) * 20]
    assert set(asked) == {200}
    # What the fixture asked for is counted too.
    least = len(asked) + 2

    def total():
        counted = sum(
            int(line.split()[-1])
            for line in pair.run("lb", "metrics").stdout.splitlines()
            if line.startswith("elastane_lb_requests_total")
        )
        return counted if counted >= least and counted == requests_counted(pair) else None

    until(total, 60, lambda: f"{least} requests to be counted: {requests_counted(pair)}")


def test_one_killed_of_two_takes_nothing_from_the_other(pair):
    first, second = places(pair)
    kept, killed = processes(pair)
    with Load(first, workers=WORKERS) as load:
        undisturbed(load)
        os.kill(killed, signal.SIGKILL)
        undisturbed(load)
        until(lambda: pair.status()["proxies"][1]["pid"] not in (None, killed), 30, "another process")
        until(lambda: answers(second), 30, "an answer at its address")
        undisturbed(load)
    assert load.seen.failures == []
    assert processes(pair)[0] == kept
    assert places(pair) == [first, second]
    assert standing(pair) == ["healthy"]
    # The main port leads to any that lives.
    door, host = urlparse(pair.url), pair.status()["load_balancers"][0]["host"]
    assert {get((door.hostname, door.port), host=host)[0] for _ in range(4)} == {200}


def answers(place):
    """Whether a request is answered there by a target."""
    try:
        return get(place)[0] == 200
    except OSError:
        return False


def test_a_killed_daemon_finds_both(pair):
    pids = processes(pair)
    first, second = places(pair)
    with Load(first, workers=3) as one, Load(second, workers=3) as other:
        for load in (one, other):
            undisturbed(load)
        pair.kill()
        for load in (one, other):
            undisturbed(load)
        pair.start()
        until(lambda: standing(pair) == ["healthy"], 30, "health to be known")
        for load in (one, other):
            undisturbed(load)
    assert one.seen.failures == [] and other.seen.failures == []
    assert processes(pair) == pids


def test_both_are_upgraded_under_load(pair):
    first, second = places(pair)
    with Load(first, workers=3) as one, Load(second, workers=3) as other:
        for _ in range(2):
            before = processes(pair)
            told = pair.run("lb", "upgrade-proxy").stdout
            after = processes(pair)
            assert not set(before) & set(after)
            assert all(str(pid) in told for pid in after)
            for load in (one, other):
                undisturbed(load)
            for pid in before:
                until(lambda: not Path(f"/proc/{pid}").exists(), 60, "the old process to finish")
    assert one.seen.failures == [] and other.seen.failures == []
    assert standing(pair) == ["healthy"]


def test_another_number_of_processes(pair):
    before = processes(pair)
    pair.stop()
    pair.options = [option for option in pair.options if option not in ("--proxies", "2")]
    pair.start()
    pid = proxy_of(pair)
    assert len(pair.status()["proxies"]) == 1
    for one in before:
        until(lambda: not Path(f"/proc/{one}").exists(), 30, "the processes before to end")
    assert not (pair.data / "proxy-2.sock").exists()
    urls = [urlparse(url) for url in pair.status()["load_balancers"][0]["urls"]]
    for url in urls:
        until(lambda: answers((url.hostname, url.port)), 30, "an answer at every address")
    pair.run("down")
    until(lambda: not Path(f"/proc/{pid}").exists(), 10, "the data plane to end")
