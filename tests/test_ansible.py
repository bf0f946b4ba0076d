"""Ansible's amazon.aws collection, a client that nobody here wrote, makes and removes a network with instances."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import elastane

PLAYBOOK = Path(__file__).parent / "ansible" / "network.yml"
HOST_IMAGE = "ami-0e1a57a9e00000001"
# Modules start a Python each: about a second a task on a slow machine, and two dozen tasks.
RUN_LIMIT_S = 600


def ansible():
    """`ansible-playbook` as `cargo xtask test` has installed it; None without it."""
    found = os.environ.get("ANSIBLE_PLAYBOOK")
    return found if found and Path(found).exists() else None


pytestmark = pytest.mark.skipif(ansible() is None, reason="needs ANSIBLE_PLAYBOOK, which cargo xtask test sets")


@pytest.fixture(scope="module")
def daemon():
    why = elastane.why_not(elastane.SANDBOX_ROOT)
    setup = elastane.SANDBOX_ROOT if why is None else elastane.PROCESS_USER
    # AWS's waits are of minutes; the daemon's clock makes seconds of them.
    daemon = elastane.Daemon(setup, time_scale=60).start()
    yield daemon
    daemon.destroy()


def play(daemon, state, playbook=PLAYBOOK):
    """Runs the playbook; the names of the tasks that changed something."""
    variables = {
        "state": state, "endpoint": daemon.url, "region": daemon.exports["AWS_DEFAULT_REGION"],
        "access_key": daemon.exports["AWS_ACCESS_KEY_ID"], "secret_key": daemon.exports["AWS_SECRET_ACCESS_KEY"],
        "base_image": HOST_IMAGE,
    }
    environment = {
        **daemon.environment(), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_HOME": str(daemon.base / "ansible"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "HOME": str(daemon.base),
        "ANSIBLE_PYTHON_INTERPRETER": str(Path(ansible()).parent / "python"),
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [ansible(), "-i", "localhost,", "-e", json.dumps(variables), str(playbook)],
        capture_output=True, text=True, timeout=RUN_LIMIT_S, env=environment, cwd=daemon.base,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{daemon.log_text()}") from None
    tasks = [task for play in report["plays"] for task in play["tasks"]]
    results = [(task["task"]["name"], result) for task in tasks for result in task["hosts"].values()]
    failed = [(name, brief(result)) for name, result in results if result.get("failed")]
    assert done.returncode == 0 and not failed, f"{failed}\n{done.stderr[-2000:]}\n{daemon.log_text()}"
    return [name for name, result in results if result.get("changed")]


def brief(result):
    kept = {key: result[key] for key in ("msg", "error", "exception", "module_stderr") if key in result}
    kept["items"] = [brief(item) for item in result.get("results", []) if item.get("failed")]
    return kept


def test_a_network_is_made_once_and_removed(daemon):
    made = play(daemon, "present")
    assert "A VPC" in made and "Instances from it, one in each private subnet" in made
    assert play(daemon, "present") == [], "a second run reports no change"
    ec2 = daemon.client("ec2")
    instances = [
        instance
        for reservation in ec2.describe_instances(
            Filters=[{"Name": "tag:Name", "Values": ["ansible-app-*"]}]
        )["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert sorted(instance["PrivateIpAddress"].rsplit(".", 1)[0] for instance in instances) == ["10.20.10", "10.20.11"]
    assert all(instance["State"]["Name"] == "running" for instance in instances)
    removed = play(daemon, "absent")
    assert "The VPC" in removed
    assert play(daemon, "absent") == []
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1, "only the default VPC is left"
    assert ec2.describe_addresses()["Addresses"] == []
