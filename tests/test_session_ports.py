"""Forwarded ports by Session Manager, by clients that multiplex and by those that do not, over connections that lose
messages and are cut."""

import hashlib
import os
import socket

import pytest

import elastane
from elastane import until
from session_channel import Faults
from session_client import PipeSession, PortSession
from session_mux import CLOSE, OPEN, PUSH, MuxSession, OldMuxSession, framed
from sessions import LIMIT_S, begin, instance, listed, neighbour, ssm

SETUPS = elastane.SETUPS
# Idle sessions end after twenty minutes of service time.
TIME_SCALE = 1
FORWARD, FORWARD_ON = "AWS-StartPortForwardingSession", "AWS-StartPortForwardingSessionToRemoteHost"
SSH = "AWS-StartSSHSession"


# Says its port, then serves in the background: greets with the peer's address, and repeats what it hears.
SERVER = r"""
import os, socket, sys, threading
listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
if os.fork():
    os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for number in range(3):
    os.dup2(null, number)
def serve(connection, peer):
    if sys.argv[2] == "greet":
        connection.sendall(f"you are {peer[0]}\n".encode())
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    finally:
        connection.close()
while True:
    threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
"""


def served(daemon, instance, address, greet=False):
    """The port of a server in an instance."""
    script = f"/usr/bin/python3 - {address} {'greet' if greet else 'echo'} <<'END'\n{SERVER}\nEND\n"
    return daemon.shell([instance["InstanceId"]], script)[instance["InstanceId"]].strip()


def connected(session):
    return socket.create_connection(session.address, timeout=LIMIT_S)


def received(local, size):
    data = b""
    while len(data) < size:
        piece = local.recv(65536)
        assert piece, f"ended after {len(data)} bytes of {size}"
        data += piece
    return data


PORT_CLIENTS = [PortSession, MuxSession]


@pytest.mark.parametrize("kind", PORT_CLIENTS)
def test_a_port_of_the_instance(begin, daemon, instance, ssm, kind):
    port = served(daemon, instance, "127.0.0.1")
    session = begin(kind, FORWARD, {"portNumber": port, "localPortNumber": "0"})
    assert session.channel.properties["portNumber"] == port
    for number in range(3):
        # One connection after the other, each a new one at the other end.
        with connected(session) as local:
            sent = os.urandom(100_000) + str(number).encode()
            for start in range(0, len(sent), 10_000):
                local.sendall(sent[start:start + 10_000])
            assert received(local, len(sent)) == sent
    session.end()
    session.ended(LIMIT_S)
    until(lambda: session.channel.session_id in listed(ssm, "History"), 20, "the session to be history")


@pytest.mark.parametrize("kind", PORT_CLIENTS)
def test_a_port_that_nobody_listens_on(begin, kind):
    session = begin(kind, FORWARD, {"portNumber": "1"})
    with connected(session) as local:
        local.sendall(b"anybody there?\n")
        session.channel.wait(lambda: session.port_errors, LIMIT_S, "word that the port is closed")
        if kind is MuxSession:
            assert local.recv(1) == b""


@pytest.mark.parametrize("kind", PORT_CLIENTS)
def test_a_forwarded_port_outlives_a_cut(begin, daemon, instance, kind):
    port = served(daemon, instance, "127.0.0.1")
    session = begin(kind, FORWARD, {"portNumber": port})
    with connected(session) as local:
        for number in range(5):
            sent = os.urandom(30_000)
            local.sendall(sent)
            if number % 2:
                session.channel.cut()
            assert received(local, len(sent)) == sent


@pytest.mark.parametrize("kind", PORT_CLIENTS)
def test_another_host_through_the_instance(begin, daemon, setup, instance, neighbour, kind):
    address = neighbour["PrivateIpAddress"]
    port = served(daemon, neighbour, address if setup.sandbox else "127.0.0.1", greet=True)
    host = address if setup.sandbox else "127.0.0.1"
    session = begin(kind, FORWARD_ON, {"host": host, "portNumber": port})
    assert session.channel.properties["host"] == host
    with connected(session) as local:
        local.sendall(b"hello\n")
        said = received(local, len("you are 127.0.0.1\nhello\n")).decode()
        while not said.endswith("hello\n"):
            said += received(local, 1).decode()
    if setup.sandbox:
        assert said == f"you are {instance['PrivateIpAddress']}\nhello\n"


def test_many_connections_at_a_time(begin, daemon, instance):
    """All are open at once, and what is said on them is not mixed; each ends by itself, at either end."""
    port = served(daemon, instance, "127.0.0.1", greet=True)
    session = begin(MuxSession, FORWARD, {"portNumber": port}, faults=Faults(lose_output={7, 30}, swap_input={9, 40}))
    greeting = b"you are 127.0.0.1\n"
    open_ones = [connected(session) for _ in range(20)]
    try:
        for local in open_ones:
            assert received(local, len(greeting)) == greeting
        open_ones.pop(3).close()
        sent = [os.urandom(20_000) for _ in open_ones]
        for local, data in zip(open_ones, sent):
            local.sendall(data)
        for local, data in reversed(list(zip(open_ones, sent))):
            assert received(local, len(data)) == data
    finally:
        for local in open_ones:
            local.close()
    until(lambda: not session.streams, 20, "all streams to end")
    with connected(session) as local:
        assert received(local, len(greeting)) == greeting


def test_connections_have_numbers_in_any_order(begin, daemon, instance):
    """As smux says them when several are opened at once; one that is closed may come again."""
    port = served(daemon, instance, "127.0.0.1", greet=True)
    session = begin(PipeSession, FORWARD, {"portNumber": port})
    greeting = b"you are 127.0.0.1\n"

    def heard(*frame):
        wanted = framed(*frame)
        session.channel.wait(lambda: wanted in session.unread, LIMIT_S, f"{wanted!r}")
        session.unread = session.unread.replace(wanted, b"", 1)

    session.send(framed(OPEN, 9) + framed(OPEN, 3))
    heard(PUSH, 3, greeting)
    heard(PUSH, 9, greeting)
    session.send(framed(PUSH, 3, b"three") + framed(CLOSE, 9))
    heard(PUSH, 3, b"three")
    heard(CLOSE, 9)
    session.send(framed(OPEN, 9))
    heard(PUSH, 9, greeting)
    session.send(b"\x02" * 8)
    assert "does not multiplex" in session.ended(LIMIT_S)
    assert not session.unread


def test_a_closed_connection_delivers_what_was_sent(begin, daemon, instance):
    """More than all buffers on the way hold, to somebody who takes it late."""
    only = instance["InstanceId"]
    script = """/usr/bin/python3 - <<'END'
import hashlib, os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
if os.fork():
    os._exit(0)
os.setsid()
folder = os.environ.get("ELASTANE_ROOT") or "/var/tmp"
for number in range(3):
    os.dup2(os.open("/dev/null", os.O_RDWR), number)
connection, _ = listener.accept()
time.sleep(3)
digest, count = hashlib.sha256(), 0
while data := connection.recv(65536):
    digest.update(data)
    count += len(data)
with open(f"{folder}/taken.new", "w") as file:
    file.write(f"{count} {digest.hexdigest()}")
os.rename(f"{folder}/taken.new", f"{folder}/taken")
END
"""
    port = daemon.shell([only], script)[only].strip()
    session = begin(MuxSession, FORWARD, {"portNumber": port})
    data = os.urandom(6_000_000)
    with connected(session) as local:
        local.sendall(data)
    taken = "cat ${ELASTANE_ROOT:-/var/tmp}/taken || true"
    said = until(lambda: daemon.shell([only], taken)[only], 60, "all of it to be taken")
    assert said == f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def test_no_more_connections_than_the_limit(begin, daemon, instance):
    port = served(daemon, instance, "127.0.0.1", greet=True)
    session = begin(MuxSession, FORWARD, {"portNumber": port})
    open_ones = [connected(session) for _ in range(70)]
    try:
        session.channel.wait(lambda: session.closed_there >= 6 and session.port_errors, LIMIT_S, "six refusals")
        greetings = [local.recv(1) for local in open_ones]
        assert greetings.count(b"y") == 64 and greetings.count(b"") == 6
        # Places are free again when their connections are over.
        open_ones.pop(0).close()

        def again():
            with connected(session) as local:
                return local.recv(1)

        until(again, 20, "a free place")
    finally:
        for local in open_ones:
            local.close()


def test_signs_of_life_for_clients_that_expect_them(begin):
    """Every ten seconds of wall time."""
    session = begin(OldMuxSession, FORWARD, {"portNumber": "1"})
    session.channel.wait(lambda: session.alive >= 1, LIMIT_S, "a sign of life")


@pytest.mark.parametrize("kind", PORT_CLIENTS)
def test_the_metadata_service_is_out_of_reach(begin, kind):
    session = begin(kind, FORWARD_ON, {"host": "169.254.169.254", "portNumber": "80"})
    with connected(session) as local:
        local.sendall(b"GET /latest/meta-data/ HTTP/1.0\r\n\r\n")
        session.channel.wait(lambda: session.port_errors, LIMIT_S, "word that it cannot be reached")


def test_ssh_hears_the_server_first(begin, daemon, instance):
    port = served(daemon, instance, "127.0.0.1", greet=True)
    session = begin(PipeSession, SSH, {"portNumber": port})
    assert session.channel.properties == {"portNumber": port}
    session.read_until("you are 127.0.0.1\n", LIMIT_S)
    sent = os.urandom(50_000) + b"the end"
    session.send(sent)
    session.channel.wait(lambda: len(session.unread) >= len(sent), LIMIT_S, "all of it")
    assert session.unread == sent
