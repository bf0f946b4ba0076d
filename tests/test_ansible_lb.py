"""Ansible's load balancer modules, which nobody here wrote, make, change and remove both families with rules and groups."""

from pathlib import Path

import pytest

import elastane
from test_ansible import ansible, play

PLAYBOOK = Path(__file__).parent / "ansible" / "load-balancers.yml"

pytestmark = pytest.mark.skipif(ansible() is None, reason="needs ANSIBLE_PLAYBOOK, which cargo xtask test sets")


@pytest.fixture(scope="module")
def daemon():
    why = elastane.why_not(elastane.SANDBOX_ROOT)
    setup = elastane.SANDBOX_ROOT if why is None else elastane.PROCESS_USER
    # AWS's waits are of minutes; the daemon's clock makes seconds of them.
    daemon = elastane.Daemon(setup, time_scale=60).start()
    yield daemon
    daemon.destroy()


def test_load_balancers_are_made_changed_and_removed(daemon):
    made = play(daemon, "present", PLAYBOOK)
    assert {"A target group of HTTP", "An application load balancer", "A network load balancer"} <= set(made)
    assert play(daemon, "present", PLAYBOOK) == [], "a second run reports no change"
    elb = daemon.client("elbv2")
    balancers = {one["LoadBalancerName"]: one for one in elb.describe_load_balancers()["LoadBalancers"]}
    assert {name: one["Type"] for name, one in balancers.items()} == {
        "ansible-app": "application", "ansible-net": "network"
    }
    listeners = elb.describe_listeners(LoadBalancerArn=balancers["ansible-app"]["LoadBalancerArn"])["Listeners"]
    front = next(one["ListenerArn"] for one in listeners if one["Port"] == 80)
    priorities = [one["Priority"] for one in elb.describe_rules(ListenerArn=front)["Rules"]]
    assert (len(listeners), priorities) == (2, ["10", "20", "40", "default"])
    changed = play(daemon, "changed", PLAYBOOK)
    assert {"A target group of HTTP", "An application load balancer", "A network load balancer"} <= set(changed)
    assert "Rules of its listener" in changed
    assert play(daemon, "changed", PLAYBOOK) == []
    rules = elb.describe_rules(ListenerArn=front)["Rules"]
    assert [one["Priority"] for one in rules] == ["10", "30", "40", "default"]
    removed = play(daemon, "absent", PLAYBOOK)
    assert {"The application load balancer", "The network load balancer", "The target groups"} <= set(removed)
    assert play(daemon, "absent", PLAYBOOK) == []
    assert elb.describe_load_balancers()["LoadBalancers"] == elb.describe_target_groups()["TargetGroups"] == []
