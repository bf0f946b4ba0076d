"""Session Manager as a person at a terminal meets it: shells and single commands of instances, over connections that
lose, swap and repeat messages and are cut, and over TLS. The client is the tests' own, made from the protocol's
description (session_client.py); the AWS CLI starts it in the plugin's place."""

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

import elastane
from certificates import Authority
from elastane import CALL_LIMIT_S, MAKING_CLIENTS, Daemon, until
from session_channel import Faults, SessionError, opening
from session_client import INTERRUPT, QUIT, SUSPEND, ShellSession
from sessions import LIMIT_S, LONG_S, begin, instance, launched, listed, neighbour, plain, refusal, request, run, ssm
from web_socket import PING, TEXT, Lost, WebSocket

SETUPS = elastane.SETUPS
# Idle sessions end after twenty minutes of service time.
TIME_SCALE = 1
INTERACTIVE, ONCE = "AWS-StartInteractiveCommand", "AWS-StartNonInteractiveCommand"


# -- beginning and end


def test_what_start_session_answers(daemon, ssm, instance):
    started = request(ssm, instance)
    try:
        assert re.fullmatch(r"[\w+=,.@-]{1,78}-[0-9a-z]{17}", started["SessionId"]), started["SessionId"]
        assert 0 < len(started["TokenValue"]) <= 300
        assert started["StreamUrl"].startswith("ws://127.0.0.1:")
        assert started["StreamUrl"].endswith(f"/v1/data-channel/{started['SessionId']}?role=publish_subscribe")
        with ShellSession.open(started, ssm=ssm, limit_s=LIMIT_S) as session:
            assert "42" in (session.send(b"echo $((6*7))\n"), session.read_until("42", LIMIT_S))[1]
        assert started["TokenValue"] not in daemon.log_text()
    finally:
        ssm.terminate_session(SessionId=started["SessionId"])


def test_a_shell_until_its_exit(begin, ssm):
    session = begin()
    assert (session.channel.kind, session.channel.agent) == ("Standard_Stream", "3.1.1512.0")
    plain(session)
    assert run(session, "echo out; echo err >&2; printf 'gr\\303\\274n\\n'") == "out\nerr\ngrün\n"
    assert run(session, "tty").startswith("/dev/")
    # Enter is a carriage return; the client makes one of a single line feed.
    session.send(b"echo by re''turn")
    session.send(b"\n")
    session.read_until("by return\r\n", LIMIT_S)
    until(lambda: session.channel.connection.pongs, 20, "an answer to the ping")
    session.send(b"exit 3\n")
    assert session.ended(LIMIT_S) == f"\n\nExiting session with sessionId: {session.channel.session_id}.\n\n"
    history = until(lambda: listed(ssm, "History").get(session.channel.session_id), 20, "the session to be history")
    assert history["Status"] == "Terminated"


def test_type_ahead_is_not_lost(begin):
    session = begin()
    session.send(b"echo first$((1+1)); exit\n")
    assert "first2" in session.read_all(LIMIT_S)


def test_sessions_do_not_see_each_other(begin):
    sessions = [plain(begin()) for _ in range(4)]
    for number, session in enumerate(sessions):
        run(session, f"mine={number}; stty cols {100 + number}")
    sessions[0].close()
    for number, session in enumerate(sessions[1:], start=1):
        assert run(session, "echo $mine; stty size | cut -d' ' -f2") == f"{number}\n{100 + number}\n"


def test_a_wrong_token_is_refused(ssm, instance):
    started = request(ssm, instance)
    for token in ["", "wrong", started["TokenValue"][:-1], request(ssm, instance)["TokenValue"]]:
        stranger = WebSocket(started["StreamUrl"])
        stranger.send(PING, b"keepalive")
        stranger.send(TEXT, opening(token))
        with pytest.raises(Lost):
            # Nothing but the end comes: a message would be returned.
            assert stranger.receive(LIMIT_S) is not None
            pytest.fail(f"{token!r} opened the session")
        stranger.abort()
    # The owner is not disturbed by that.
    with ShellSession.open(started, ssm=ssm, limit_s=LIMIT_S) as session:
        session.send(b"echo ow''ner\n")
        session.read_until("owner", LIMIT_S)


def test_over_tls_all_of_it_is_encrypted(daemon, instance):
    authority = daemon.base / "authority.pem"
    authority.write_text(daemon.run("ca").stdout)
    with MAKING_CLIENTS:
        ssm = boto3.client(
            "ssm", endpoint_url=daemon.url.replace("http:", "https:"), verify=str(authority),
            region_name=daemon.exports["AWS_DEFAULT_REGION"], aws_access_key_id=daemon.exports["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=daemon.exports["AWS_SECRET_ACCESS_KEY"],
        )
    started = request(ssm, instance)
    assert started["StreamUrl"].startswith("wss://127.0.0.1:")
    with pytest.raises(ssl.SSLCertVerificationError):
        WebSocket(started["StreamUrl"])
    trusted = ssl.create_default_context(cafile=str(authority))
    with ShellSession.open(started, ssm=ssm, context=trusted, limit_s=LIMIT_S) as session:
        plain(session)
        assert run(session, "seq 1 20000", LONG_S) == NUMBERS
        session.channel.cut()
        assert run(session, "echo still here") == "still here\n"
        assert session.channel.resumed == 1 and session.remarks == []


def test_what_does_not_start_or_resume(ssm, instance):
    target = instance["InstanceId"]
    assert refusal(ssm.start_session, Target=target, DocumentName="No-Such-Document") == "InvalidDocument"
    assert refusal(ssm.start_session, Target="i-00000000000000000") == "TargetNotConnected"
    assert refusal(ssm.resume_session, SessionId="nobody-00000000000000000") == "DoesNotExistException"


def test_terminating_ends_the_shell_and_what_it_runs(begin, daemon, ssm, instance):
    session = plain(begin())
    mark = f"31{uuid.uuid4().int % 10**9}"
    session.send(f"sh -c 'echo wai''ting; exec sleep {mark}'\n".encode())
    session.read_until("waiting", LIMIT_S)
    look = f"grep -al '{mark[0]}[{mark[1]}]{mark[2:]}' /proc/[0-9]*/cmdline 2> /dev/null | wc -l"
    count = lambda: daemon.shell([instance["InstanceId"]], look)[instance["InstanceId"]].strip()
    assert count() != "0"
    assert ssm.terminate_session(SessionId=session.channel.session_id)["SessionId"] == session.channel.session_id
    session.ended(LIMIT_S)
    until(lambda: count() == "0", 20, "the session's processes to be gone")
    # Once more is no error, and nobody gets in again.
    ssm.terminate_session(SessionId=session.channel.session_id)
    try:
        assert not ssm.resume_session(SessionId=session.channel.session_id).get("TokenValue")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "DoesNotExistException"


def test_sessions_are_listed(daemon, ssm, instance, neighbour):
    before = time.time()
    started = ssm.start_session(Target=instance["InstanceId"], Reason="looking around")
    other = request(ssm, neighbour)
    identity = started["SessionId"]
    with ShellSession.open(started, ssm=ssm, limit_s=LIMIT_S), ShellSession.open(other, ssm=ssm, limit_s=LIMIT_S):
        found = until(
            lambda: (it := listed(ssm, "Active").get(identity)) and it["Status"] == "Connected" and it, 20, "the session"
        )
        assert (found["Target"], found["Reason"]) == (instance["InstanceId"], "looking around")
        assert found["Owner"] == daemon.client("sts").get_caller_identity()["Arn"]
        assert "EndDate" not in found and abs(found["StartDate"].timestamp() - before) < LONG_S
        assert identity in listed(ssm, "Active", Target=instance["InstanceId"])
        assert identity not in listed(ssm, "Active", Target=neighbour["InstanceId"])
        assert set(listed(ssm, "Active", SessionId=identity)) == {identity}
        assert identity not in listed(ssm, "History")
        page = ssm.describe_sessions(State="Active", MaxResults=1)
        assert len(page["Sessions"]) == 1 and page["NextToken"]
        paginator = ssm.get_paginator("describe_sessions").paginate(State="Active", PaginationConfig={"PageSize": 1})
        pages = [session["SessionId"] for page in paginator for session in page["Sessions"]]
        assert {identity, other["SessionId"]} <= set(pages) and len(pages) == len(set(pages))
    found = until(lambda: listed(ssm, "History").get(identity), 20, "the session to be history")
    assert found["Status"] == "Terminated" and found["EndDate"] >= found["StartDate"]
    assert identity not in listed(ssm, "Active")


# -- the terminal


def test_a_program_sees_the_size_and_its_changes(begin):
    session = plain(begin(cols=81, rows=25))
    assert run(session, "stty size") == "25 81\n"
    session.resize(132, 43)
    assert run(session, "stty size") == "43 132\n"
    session.send(b"""sh -c 'trap "stty size; exit" WINCH; echo wai""ting; while :; do sleep 0.1; done'\n""")
    session.read_until("waiting", LIMIT_S)
    session.resize(40, 10)
    session.read_until("10 40\r\n", LIMIT_S)


@pytest.mark.parametrize(("key", "status"), [(INTERRUPT, 130), (QUIT, 131), (SUSPEND, 148)])
def test_keys_that_are_signals(begin, key, status):
    session = plain(begin())
    session.send(b"sh -c 'ulimit -c 0; echo slee''ping; exec sleep 1000'\n")
    session.read_until("sleeping", LIMIT_S)
    session.send(key)
    assert run(session, "echo it was $?").endswith(f"it was {status}\n")
    run(session, "kill -9 %1 2> /dev/null")


def test_an_interactive_command(begin):
    asks = """until [ "$(stty size)" = "33 111" ]; do sleep 0.1; done; echo your na''me; read name; echo "dear $name" """
    session = begin(document=INTERACTIVE, parameters={"command": asks})
    assert session.channel.kind == "InteractiveCommands"
    session.resize(111, 33)
    session.read_until("your name", LIMIT_S)
    session.send(b"Ann\r")
    assert session.read_all(LIMIT_S).endswith("dear Ann\r\n")


def test_a_command_without_a_terminal(begin):
    says = "test -t 0 || test -t 1 || echo none; seq 1 1000; echo err >&2; exit 3"
    session = begin(document=ONCE, parameters={"command": says})
    assert session.channel.kind == "NonInteractiveCommands"
    lines = session.read_all(LIMIT_S).splitlines()
    assert lines[0] == "none" and sorted(lines[1:]) == sorted([*map(str, range(1, 1001)), "err"])


def test_a_command_without_a_terminal_is_interrupted(begin):
    # The shell makes way for the program: dash loses a signal that comes while it starts one.
    session = begin(document=ONCE, parameters={"command": "echo begun; exec sleep 1000"})
    session.read_until("begun", LIMIT_S)
    session.interrupt()
    assert session.read_all(LIMIT_S).strip() == ""


# -- bad connections

NUMBERS = "".join(f"{number}\n" for number in range(1, 20_001))


def test_lost_output_comes_again(begin):
    session = plain(begin(faults=Faults(lose_output=set(range(0, 400, 7)))))
    assert run(session, "seq 1 20000", LONG_S) == NUMBERS
    # Ten thousand numbers and more are some hundred messages of the size that agents send.
    assert session.channel.faults.count("lose_output") >= 5
    session.send(b"exit\n")
    session.ended(LIMIT_S)


def test_the_session_goes_on_when_acknowledgements_are_lost(begin):
    """The plugin does not repeat them. So what the server holds for them must not be in the way of what follows."""
    session = plain(begin(faults=Faults(lose_acknowledgement=set(range(3, 40, 3)))))
    for _ in range(3):
        assert run(session, "seq 1 20000", LONG_S) == NUMBERS
    assert session.channel.faults.count("lose_acknowledgement") >= 5
    session.send(b"exit\n")
    session.ended(LIMIT_S)


@pytest.mark.parametrize("fault", ["lose_input", "double_input", "swap_input", "spoil_input"])
def test_input_arrives_once_and_in_order(begin, fault):
    session = plain(begin(faults=Faults(**{fault: set(range(0, 200, 5))})))
    typed = NUMBERS[:60_000] + "\n"
    session.send(b"""sh -c 'echo rea""dy; exec sha256sum'\n""")
    session.read_until("ready", LIMIT_S)
    session.send(typed.encode())
    session.send(b"\x04")
    session.read_until(hashlib.sha256(typed.encode()).hexdigest(), LONG_S)
    assert session.channel.faults.count(fault) >= 10


def test_what_comes_before_the_client_is_ready_comes_again(begin):
    session = begin(document=ONCE, parameters={"command": "echo early; sleep 1; echo bird"}, late=True)
    # Several messages of output exist and none is taken; the first of them is sent again and again.
    session.channel.wait(lambda: 3 in session.channel.ahead or session.channel.closed, LIMIT_S, "output ahead")
    session.start()
    assert session.read_all(LIMIT_S) == "early\nbird\n"


@pytest.mark.parametrize("silent", [False, True], ids=["reset", "silent"])
def test_a_cut_connection_is_resumed(begin, silent):
    session = plain(begin())
    session.send(b"for i in $(seq 1 400); do echo line $i; sleep 0.01; done; echo do''ne\n")
    got = session.read_until("line 50\r\n", LIMIT_S)
    session.channel.cut(silent=silent)
    got += session.read_until("line 200\r\n", LONG_S)
    session.channel.cut(silent=silent)
    got += session.read_until("done\r\n", LONG_S)
    assert got == "".join(f"line {number}\r\n" for number in range(1, 401)) + "done\r\n"
    assert session.channel.resumed == 2
    assert run(session, "echo still here") == "still here\n"


def test_what_happens_during_a_cut_is_not_lost(begin, ssm, daemon, instance):
    session = plain(begin())
    file = f"${{ELASTANE_ROOT:-}}/tmp/{uuid.uuid4().hex}"
    run(session, f'mkdir -p "${{ELASTANE_ROOT:-}}/tmp"; file="{file}"')
    session.send(b"""sh -c 'echo wai""ting; until [ -e "$0" ]; do sleep 0.1; done; seq 1 2000; rm "$0"' "$file"\n""")
    session.read_until("waiting\r\n", LIMIT_S)
    session.channel.cut(hold=True)
    # All of it is said while nobody listens, and typed while nobody reads.
    daemon.shell([instance["InstanceId"]], f'touch "{file}"; while [ -e "{file}" ]; do sleep 0.1; done')
    for number in range(20):
        session.send(f"echo typed {number}\n".encode())
    # A session whose client is away is not over.
    assert session.channel.session_id in listed(ssm, "Active")
    session.channel.resume()
    got = session.read_until("typed 19\r\n", LONG_S).replace("\r\n", "\n")
    assert got == NUMBERS[:NUMBERS.index("2001\n")] + "".join(f"typed {number}\n" for number in range(20))
    assert run(session, "echo still here") == "still here\n"


def test_who_resumes_takes_the_session_over(begin):
    """Connections that seem to live, as a laptop leaves them that slept, are not in the way."""
    session = plain(begin())
    run(session, "mine=1")
    for _ in range(5):
        session.channel.cut(silent=True)
        assert run(session, "echo $mine; mine=$((mine+1))").strip().isdigit()
    assert run(session, "echo $mine") == "6\n"


# -- what a session sees


def test_a_session_is_inside_its_instance(begin, daemon, setup, instance):
    session = plain(begin())
    assert run(session, "echo $ELASTANE_INSTANCE_ID") == f"{instance['InstanceId']}\n"
    if not setup.sandbox:
        return
    spaces = "for it in pid net mnt uts ipc; do readlink /proc/self/ns/$it; done; cat /proc/self/cgroup"
    inside = daemon.shell([instance["InstanceId"]], spaces)[instance["InstanceId"]]
    assert run(session, spaces) == inside
    for space in ("pid", "net", "mnt"):
        assert os.readlink(f"/proc/self/ns/{space}") not in inside
    assert run(session, f"grep -c '{instance['PrivateIpAddress']}$' /proc/net/fib_trie").strip() not in ("", "0")
    # The host's processes and loopback are not there.
    mark = f"31{uuid.uuid4().int % 10**9}"
    with subprocess.Popen(["sleep", mark]) as stranger:
        try:
            assert run(session, f"grep -al '{mark[0]}[{mark[1]}]{mark[2:]}' /proc/[0-9]*/cmdline | wc -l") == "0\n"
        finally:
            stranger.kill()
    port = daemon.url.rsplit(":", 1)[1]
    connect = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
    assert run(session, f'/usr/bin/python3 -c "{connect}"') == "111\n"


def test_a_stopped_instance_has_no_sessions(daemon, ssm):
    ec2 = daemon.client("ec2")
    own = launched(daemon)
    session = ShellSession.open(request(ssm, own), ssm=ssm, limit_s=LIMIT_S)
    try:
        plain(session)
        ec2.stop_instances(InstanceIds=[own["InstanceId"]])
        session.ended(LONG_S)
        until(lambda: session.channel.session_id in listed(ssm, "History"), 20, "the session to be history")
        until(
            lambda: ec2.describe_instances(InstanceIds=[own["InstanceId"]])["Reservations"][0]["Instances"][0]["State"][
                "Name"
            ] == "stopped",
            60, "the instance to stop",
        )
        assert refusal(ssm.start_session, Target=own["InstanceId"]) == "TargetNotConnected"
    finally:
        session.close()
        ec2.terminate_instances(InstanceIds=[own["InstanceId"]])


# -- the AWS CLI


@pytest.fixture(scope="module")
def cli(daemon):
    """Runs `aws ssm start-session` with our client as its plugin; what it printed."""
    folder = daemon.base / "plugin"
    folder.mkdir()
    plugin = folder / "session-manager-plugin"
    plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("session_client.py")}" "$@"\n')
    plugin.chmod(0o755)

    def cli(*arguments, typed=""):
        environment = daemon.client_environment()
        environment["PATH"] = f"{folder}:{environment['PATH']}"
        done = subprocess.run(
            [sys.executable, "-m", "awscli", "ssm", "start-session", *arguments], input=typed, capture_output=True,
            text=True, timeout=CALL_LIMIT_S, env=environment, cwd=daemon.base,
        )
        assert done.returncode == 0, done
        return done.stdout

    return cli


def test_the_aws_cli_opens_a_shell(cli, instance):
    said = cli("--target", instance["InstanceId"], typed="echo $((6*7))-; exit\n")
    assert "\nStarting session with SessionId: " in said and "42-\n" in said
    assert said.endswith(".\n\n") and "Exiting session with sessionId: " in said


def test_the_aws_cli_runs_one_command(cli, instance):
    said = cli(
        "--target", instance["InstanceId"], "--document-name", ONCE, "--parameters", json.dumps({"command": ["echo hi"]}),
    )
    assert "\nhi\n" in said


# -- without a plugin


def test_elastane_shell(daemon, instance):
    def shell(*more, typed=""):
        done = subprocess.run(
            [elastane.BINARY, "shell", "--data-dir", daemon.data, instance["InstanceId"], *more], input=typed,
            capture_output=True, text=True, timeout=CALL_LIMIT_S,
        )
        return done.returncode, done.stdout

    assert shell("--", "echo out; echo $ELASTANE_INSTANCE_ID; exit 5") == (5, f"out\n{instance['InstanceId']}\n")
    assert shell("--", "printf", "%s.", "a b", "it's") == (0, "a b.it's.")
    status, said = shell(typed="echo $((6*7))-\nexit 4\n")
    assert status == 4 and "42-\n" in said
    assert shell(typed="true\n")[0] == 0
    # What was said is kept, for the owner of the data directory alone.
    records = list((Path(daemon.data) / "sessions").glob("root-*.log"))
    assert any("42-" in record.read_text(errors="replace") for record in records)
    assert {record.stat().st_mode & 0o777 for record in records} == {0o600}


class Relay:
    """Another way to a port of this machine, which can be cut and listened to."""

    def __init__(self, address, port):
        self.target = ("127.0.0.1", port)
        self.open = []
        self.heard = bytearray()
        self.socket = socket.create_server((address, 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self.socket.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            self.open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one, other):
        try:
            while chunk := one.recv(65536):
                self.heard += chunk
                other.sendall(chunk)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Ends what is open; new connections are taken."""
        while self.open:
            try:
                self.open.pop().shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)
        self.cut()


@pytest.fixture
def elsewhere(daemon, tmp_path):
    """Runs `elastane shell` as on another machine, without a data directory, with more variables."""
    key = {name: value for name, value in daemon.exports.items() if "KEY" in name or "REGION" in name}
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ELASTANE_", "XDG_"))}

    def shell(*arguments, **variables):
        return subprocess.run(
            [elastane.BINARY, "shell", *arguments], input="", capture_output=True, text=True, timeout=CALL_LIMIT_S,
            env={**plain, "HOME": str(tmp_path), **key, **variables},
        )

    return shell


def test_elastane_shell_over_tls(daemon, instance, elsewhere, tmp_path):
    port = int(daemon.url.rsplit(":", 1)[1])
    url, authority = f"https://localhost:{port}", tmp_path / "authority.pem"
    authority.write_text(daemon.run("ca").stdout)
    words = [instance["InstanceId"], "--", "echo $ELASTANE_INSTANCE_ID; exit 6"]

    def fine(done):
        return (done.returncode, done.stdout) == (6, f"{instance['InstanceId']}\n") or done

    assert fine(elsewhere("--endpoint", url, "--ca", authority, *words)) is True
    assert fine(elsewhere("--endpoint", url, *words, AWS_CA_BUNDLE=str(authority))) is True
    assert fine(elsewhere(*words, AWS_ENDPOINT_URL=url, AWS_CA_BUNDLE=str(authority))) is True
    # On the daemon's own machine the data directory has all that is needed.
    own = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert fine(elsewhere("--endpoint", url, "--data-dir", daemon.data, *words, **own)) is True


def test_elastane_shell_believes_no_certificate_unasked(daemon, ssm, instance, elsewhere, tmp_path):
    port = int(daemon.url.rsplit(":", 1)[1])
    authority = tmp_path / "authority.pem"
    authority.write_text(daemon.run("ca").stdout)
    foreign = Authority(tmp_path)
    relay = Relay("127.0.0.2", port)
    words = [instance["InstanceId"], "--", "true"]
    before = {**listed(ssm, "Active"), **listed(ssm, "History")}
    try:
        for arguments, variables, said in [
            (["--endpoint", f"https://localhost:{port}"], {}, "--ca FILE or AWS_CA_BUNDLE"),
            (["--endpoint", f"https://localhost:{port}", "--ca", tmp_path / "ca.pem"], {}, "`elastane ca`"),
            (["--endpoint", f"https://localhost:{port}"], {"AWS_CA_BUNDLE": str(tmp_path / "ca.key")}, "no certificate"),
            (["--endpoint", f"https://127.0.0.2:{relay.port}", "--ca", authority], {}, "call it by one of localhost"),
            (["--endpoint", f"https://localhost:{port}", "--ca", authority], {"AWS_SECRET_ACCESS_KEY": "x"}, "signature"),
            (["--endpoint", f"https://localhost:{port}"], {"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
        ]:
            done = elsewhere(*arguments, *words, **variables)
            assert done.returncode == 1 and said in done.stderr and not done.stdout, done
    finally:
        relay.close()
    assert foreign.pem and {**listed(ssm, "Active"), **listed(ssm, "History")}.keys() == before.keys()


def test_elastane_shell_over_tls_outlives_a_cut(daemon, instance, elsewhere, tmp_path):
    """What is said comes once and whole, and in nobody else's sight."""
    authority, only = tmp_path / "authority.pem", instance["InstanceId"]
    authority.write_text(daemon.run("ca").stdout)
    relay = Relay("127.0.0.1", int(daemon.url.rsplit(":", 1)[1]))
    flag, said = "${ELASTANE_ROOT:-/var/tmp}/half", []
    script = f"seq 1 20000; touch {flag}; while [ -e {flag} ]; do sleep 0.1; done; seq 1 20000; exit 7"

    def run():
        url = f"https://127.0.0.1:{relay.port}"
        said.append(elsewhere("--endpoint", url, "--ca", authority, only, "--", script))

    thread = threading.Thread(target=run)
    try:
        thread.start()
        until(lambda: daemon.shell([only], f"ls {flag} || true")[only], 60, "half of it")
        relay.cut()
        daemon.shell([only], f"rm {flag}")
        thread.join(LONG_S)
    finally:
        relay.close()
    [done] = said
    assert (done.returncode, done.stdout) == (7, 2 * NUMBERS), done.stderr
    assert len(relay.heard) > 2 * len(NUMBERS)
    for secret in (b"StartSession", b"seq 1 20000", b"\n19999\n20000\n"):
        assert secret not in relay.heard


def test_elastane_shell_with_a_given_certificate(setup, clean_machine, tmp_path):
    if setup is not next(it for it in SETUPS if not elastane.why_not(it)):
        pytest.skip("one set-up is enough")
    authority = Authority(tmp_path)
    made = authority.issue("localhost")
    daemon = Daemon(setup, time_scale=TIME_SCALE)
    try:
        certificate, key = daemon.base / "given.pem", daemon.base / "given.key"
        certificate.write_text(made.body)
        key.write_text(made.key)
        daemon.options += ["--tls-certificate", str(certificate), "--tls-key", str(key)]
        only, port = launched(daemon.start())["InstanceId"], daemon.url.rsplit(":", 1)[1]

        def shell(host, *options):
            return subprocess.run(
                [
                    elastane.BINARY, "shell", "--data-dir", daemon.data, "--endpoint", f"https://{host}:{port}", *options,
                    only, "--", "exit 8",
                ], input="", capture_output=True, text=True, timeout=CALL_LIMIT_S, env=daemon.environment(),
            )

        fine = shell("localhost", "--ca", tmp_path / "ca.pem")
        assert fine.returncode == 8, fine
        # The installation's own authority has not issued it.
        for host, options, why in [
            ("localhost", (), "not from an authority that is trusted"),
            ("127.0.0.1", ("--ca", tmp_path / "ca.pem"), "call it by one of localhost"),
        ]:
            done = shell(host, *options)
            assert done.returncode == 1 and why in done.stderr, done
    finally:
        daemon.destroy()


# -- ends that nobody asked for


def test_an_idle_session_ends(setup, clean_machine):
    if setup is not next(it for it in SETUPS if not elastane.why_not(it)):
        pytest.skip("one set-up is enough")
    # Twenty minutes are two seconds.
    daemon = Daemon(setup, time_scale=600)
    try:
        daemon.start()
        found, ssm = launched(daemon), daemon.client("ssm")
        with ShellSession.open(request(ssm, found), ssm=ssm, limit_s=LIMIT_S) as session:
            session.ended(LIMIT_S)
            until(lambda: session.channel.session_id in listed(ssm, "History"), 20, "the session to be history")
    finally:
        daemon.destroy()


def test_sessions_do_not_outlive_the_daemon(daemon, instance):
    """Neither a stop nor a crash leaves a session that nobody can get into; the machine is looked at by clean_machine."""
    for end in (daemon.stop, daemon.kill):
        ssm = daemon.client("ssm")
        session = ShellSession.open(request(ssm, instance), limit_s=LIMIT_S)
        try:
            plain(session)
            session.send(b"sleep 1000\n")
            end()
            with pytest.raises(SessionError):
                session.read_until("never", LIMIT_S)
        finally:
            session.close()
            daemon.start()
        ssm = daemon.client("ssm")
        until(lambda: session.channel.session_id not in listed(ssm, "Active"), 20, "the session not to be active")
    # One is left open for the end of the module.
    left = plain(ShellSession.open(request(daemon.client("ssm"), launched(daemon)), limit_s=LIMIT_S))
    left.send(b"sleep 1000\n")
    left.channel.hang_up()
