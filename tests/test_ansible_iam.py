"""Ansible's IAM modules, which nobody here wrote, make, change and remove identities and their policies."""

from pathlib import Path

import pytest

import elastane
from test_ansible import ansible, play

PLAYBOOK = Path(__file__).parent / "ansible" / "iam.yml"

pytestmark = pytest.mark.skipif(ansible() is None, reason="needs ANSIBLE_PLAYBOOK, which cargo xtask test sets")


@pytest.fixture(scope="module")
def daemon():
    # Identities need no instances, so the set-up that every machine allows will do.
    daemon = elastane.Daemon(elastane.PROCESS_USER, time_scale=60).start()
    yield daemon
    daemon.destroy()


def test_identities_are_made_changed_and_removed(daemon):
    made = play(daemon, "present", PLAYBOOK)
    everything = {
        "A managed policy", "A user", "A key of the user", "A group with the user", "An inline policy of the group",
        "A role", "An inline policy of the role", "An instance profile",
    }
    assert everything <= set(made)
    assert play(daemon, "present", PLAYBOOK) == [], "a second run reports no change"
    iam = daemon.client("iam")
    role = iam.get_role(RoleName="ansible-web")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("the shop", 3600)
    changed = play(daemon, "changed", PLAYBOOK)
    assert everything - {"A key of the user"} <= set(changed)
    assert play(daemon, "changed", PLAYBOOK) == []
    role = iam.get_role(RoleName="ansible-web")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("another", 7200)
    attached = iam.list_attached_role_policies(RoleName="ansible-web")["AttachedPolicies"]
    assert len(attached) == 2
    assert len(iam.list_access_keys(UserName="ansible-ann")["AccessKeyMetadata"]) == 1
    removed = play(daemon, "absent", PLAYBOOK)
    assert {"The instance profile", "The role", "The group", "The user", "The managed policy"} <= set(removed)
    assert play(daemon, "absent", PLAYBOOK) == []
    left = iam.get_account_summary()["SummaryMap"]
    assert [left[kind] for kind in ["Users", "Groups", "Roles", "Policies", "InstanceProfiles"]] == [0] * 5
