"""What tests of Session Manager share: an instance, and sessions with it that end with their test."""

import uuid

import pytest
from botocore.exceptions import ClientError

from elastane import BUSY, until
from session_client import ShellSession

LIMIT_S = 20 * BUSY
LONG_S = 60 * BUSY


def launched(daemon):
    """An instance that runs, as DescribeInstances shows it."""
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]

    def look():
        found = ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]
        return found if found["State"]["Name"] == "running" else None

    found = until(look, 60, "the instance to run")
    # Its agent is there, too.
    daemon.shell([made], "true")
    return found


@pytest.fixture(scope="module")
def instance(daemon):
    return launched(daemon)


@pytest.fixture(scope="module")
def neighbour(daemon):
    return launched(daemon)


@pytest.fixture(scope="module")
def ssm(daemon):
    return daemon.client("ssm")


@pytest.fixture
def begin(ssm, instance):
    """Begins sessions that end with the test. None may have broken the rules that the plugin does not check."""
    begun = []

    def begin(kind=ShellSession, document=None, parameters=None, **options):
        session = kind.open(request(ssm, instance, document, parameters), ssm=ssm, limit_s=LIMIT_S, **options)
        begun.append(session)
        return session

    yield begin
    for session in begun:
        session.close()
    assert [session.remarks for session in begun] == [[] for _ in begun]


def request(ssm, instance, document=None, parameters=None):
    """StartSession's answer."""
    more = {"DocumentName": document} if document else {}
    if parameters:
        more["Parameters"] = {name: [value] for name, value in parameters.items()}
    return ssm.start_session(Target=instance["InstanceId"], **more)


def plain(session):
    """Makes of a session's shell one that says only what commands say."""
    session.send(b"""exec env PS1= PS2= sh -c 'stty -echo; echo pla""in; exec sh'\n""")
    session.read_until("plain\r\n", LIMIT_S)
    return session


def run(session, script, seconds=LIMIT_S):
    """What `script` says in a plain shell."""
    mark = uuid.uuid4().hex
    session.send(f"{script}\necho {mark}\n".encode())
    return session.read_until(f"{mark}\r\n", seconds)[:-len(mark) - 2].replace("\r\n", "\n")


def refusal(call, **arguments):
    """The code of a call that must fail."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return raised.value.response["Error"]["Code"]


def listed(ssm, state, **filters):
    """The sessions of a state, by id."""
    wanted = [{"key": name, "value": value} for name, value in filters.items()]
    pages = ssm.get_paginator("describe_sessions").paginate(State=state, **({"Filters": wanted} if wanted else {}))
    return {session["SessionId"]: session for page in pages for session in page["Sessions"]}
