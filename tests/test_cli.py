"""The command line, and the demo: what a newcomer meets first."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

import elastane
from elastane import BINARY, Daemon, as_user, traces, until, why_not

SUBCOMMANDS = ["up", "demo", "env", "doctor", "status", "down", "reset", "image", "chaos", "sim"]
UP_OPTIONS = ["--data-dir", "--listen", "--region", "--time-scale", "--driver", "--auth", "--vcpu-share"]
DEMO_LIMIT_S = 180


def run(*arguments, **options):
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=60, **options)


def test_help_names_every_subcommand():
    done = run("--help")
    assert done.returncode == 0
    for name in SUBCOMMANDS:
        assert re.search(rf"^\s+{name}\s+\S", done.stdout, re.MULTILINE), f"{name} is not explained\n{done.stdout}"


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_a_subcommand_explains_every_option(name):
    done = run(name, "--help")
    assert done.returncode == 0
    options = re.findall(r"^\s+(?:-\w, )?(--[\w-]+)(?:[ =]<?[\w\[\]<>.:/-]+>?)?(.*)$", done.stdout, re.MULTILINE)
    assert options, done.stdout
    lines = done.stdout.splitlines()
    for option, rest in options:
        at = next(index for index, line in enumerate(lines) if re.match(rf"\s+(-\w, )?{option}\b", line))
        following = lines[at + 1].strip() if at + 1 < len(lines) else ""
        assert rest.strip() or following and not following.startswith("-"), f"{name} {option} is not explained"
    if name == "up":
        assert set(UP_OPTIONS) <= {option for option, _ in options}


def test_version():
    assert re.fullmatch(r"elastane \d+\.\d+\.\d+.*\n", run("--version").stdout)


@pytest.mark.parametrize(
    "arguments", [["bake"], ["up", "--no-such-option"], ["up", "--time-scale", "0"], ["up", "--driver", "cloud"]], ids=" ".join
)
def test_wrong_arguments_are_explained(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode not in (0, 101) and len(done.stderr) > 20, done
    assert "panicked" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_doctor_says_what_this_machine_can_do(daemon):
    done = daemon.run("doctor", check=False)
    assert done.returncode == 0, done.stderr
    assert "sandbox" in done.stdout and "process" in done.stdout


def test_env_is_what_a_shell_needs(daemon):
    names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}
    assert names <= set(daemon.exports)
    assert daemon.exports["AWS_ENDPOINT_URL"] == daemon.url
    script = f'eval "$("{daemon.binary}" env --data-dir "{daemon.data}")" && printenv AWS_ENDPOINT_URL'
    shell = ["sh", "-c", script]
    shell = as_user(shell) if daemon.setup.as_nobody else shell
    got = subprocess.run(shell, capture_output=True, text=True, timeout=60, cwd="/")
    assert got.stdout.strip() == daemon.url, got


def test_status_for_people_and_for_programs(daemon):
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    pid = until(lambda: daemon.instances().get(instance, {}).get("pid"), 30, "a first process")
    assert os.path.exists(f"/proc/{pid}")
    assert instance in daemon.run("status").stdout


def test_a_second_daemon_on_the_same_data_is_refused(daemon):
    done = daemon.run("up", "--listen", "127.0.0.1:0", "--driver", daemon.setup.driver, check=False)
    assert done.returncode != 0 and done.stderr.strip(), done


def test_reset_goes_back_to_the_first_start(daemon):
    ec2 = daemon.client("ec2")
    ec2.create_key_pair(KeyName="gone-after-reset")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    pid = until(lambda: daemon.instances().get(instance, {}).get("pid"), 30, "a first process")
    daemon.reset()
    until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the instance to be gone")
    assert ec2.describe_key_pairs()["KeyPairs"] == [] and ec2.describe_instances()["Reservations"] == []
    assert len(ec2.describe_subnets()["Subnets"]) >= 2, "the default VPC is there again"


def test_reset_by_http_is_for_administrators(daemon):
    status, _ = daemon.raw(path="/_elastane/reset")
    assert status in (401, 403)


def test_down_keeps_instances_and_down_all_removes_them(setup, clean_machine):
    daemon = Daemon(setup)
    try:
        ec2 = daemon.start().client("ec2")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2)

        def pids():
            return sorted(instance["pid"] for instance in daemon.instances().values() if instance.get("pid"))

        before = until(lambda: len(pids()) == 2 and pids(), 30, "two first processes")
        daemon.run("down")
        assert daemon.process.wait(30) == 0
        assert all(os.path.exists(f"/proc/{pid}") for pid in before)
        daemon.start()
        until(lambda: pids() == before, 30, "the instances to be adopted")
        daemon.run("down", "--all")
        assert daemon.process.wait(30) == 0
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), 10, "the instances to be gone")
    finally:
        daemon.destroy()


@pytest.mark.parametrize("place", elastane.SETUPS, ids=lambda place: place.name)
def test_down_all_clears_what_a_killed_daemon_left(place):
    if reason := why_not(place):
        pytest.skip(reason)
    before, routes_before = traces(), routes()
    daemon = Daemon(place)
    try:
        ec2 = daemon.start().client("ec2")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"] if place.sandbox else None
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"] if vpc else None
        wanted = dict(ImageId=image, InstanceType="t3.nano", MinCount=2, MaxCount=2)
        launched = ec2.run_instances(**wanted)["Instances"]
        launched += ec2.run_instances(**wanted, **({"SubnetId": subnet} if subnet else {}))["Instances"]
        names = [one["InstanceId"] for one in launched]

        def pids():
            return [daemon.instances()[name]["pid"] for name in names]

        until(lambda: all(pids()), 30, "four first processes")
        if place.sandbox:
            until(lambda: len(daemon.status()["networks"]) == 2, 30, "two networks")
            assert {one["problem"] for one in daemon.status()["networks"]} == {""}
        left = pids()
        daemon.kill()
        assert all(os.path.exists(f"/proc/{pid}") for pid in left)
        done = daemon.run("down", check=False)
        assert done.returncode != 0 and "no daemon runs" in done.stderr, done
        assert all(os.path.exists(f"/proc/{pid}") for pid in left)
        daemon.run("down", "--all")
        until(lambda: traces() <= before, 10, lambda: f"the machine to be clean: {sorted(traces() - before)}")
        assert routes() <= routes_before
    finally:
        daemon.destroy()


def routes():
    """Where this machine sends packets to, as far as it is not the doing of other runs of the tests."""
    others = elastane.Others()
    return {line for line in Path("/proc/net/route").read_text().splitlines() if not others.have(line)}


@pytest.mark.slow
@pytest.mark.parametrize("place", [elastane.SANDBOX_ROOT, elastane.PROCESS_USER], ids=lambda place: place.name)
def test_the_demo_ends_well_in_three_minutes_and_leaves_nothing(place):
    if reason := why_not(place):
        pytest.skip(reason)
    before = traces()
    daemon = Daemon(place)
    began = time.monotonic()
    try:
        command = daemon.command("demo", "--driver", place.driver)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEMO_LIMIT_S + 30, cwd=daemon.home, env=daemon.environment(),
            stdin=subprocess.DEVNULL,
        )
        took = time.monotonic() - began
        print(done.stdout[-8000:])
        assert done.returncode == 0, done.stderr[-4000:]
        assert took < DEMO_LIMIT_S
        until(lambda: traces() <= before, 10, lambda: f"the machine to be clean: {sorted(traces() - before)}")
    finally:
        daemon.destroy()
