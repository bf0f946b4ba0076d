"""The client that the tests of sessions use, against bytes written by hand and a peer that says what it is told to: no
daemon is needed."""

import base64
import hashlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import session_messages as messages
from certificates import Authority
from session_channel import Channel, Faults, SessionError
from session_client import PipeSession, PortSession, ShellSession, numbers
from session_messages import Malformed, Message, RoundTrips
from web_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Lost, Refused, WebSocket, accept_of, frame

LIMIT_S = 60
SESSION = "tester-0123456789abcdef0"


# -- bytes

IDENTITY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
# An input message "hi", number 258, field by field as the reference has them.
WRITTEN = (
    bytes.fromhex("00000074") + b"input_stream_data               " + bytes.fromhex("00000001")
    + bytes.fromhex("0000018bcfe56800") + bytes.fromhex("0000000000000102") + bytes.fromhex("0000000000000000")
    + bytes.fromhex("8899aabbccddeeff") + bytes.fromhex("0011223344556677")
    + bytes.fromhex("8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4")
    + bytes.fromhex("00000001") + bytes.fromhex("00000002") + b"hi"
)


def test_a_message_is_laid_out_as_written():
    message = Message(messages.INPUT, 258, 0, messages.BYTES, b"hi", IDENTITY, 1_700_000_000_000)
    assert message.encode() == WRITTEN and len(WRITTEN) == 122
    assert Message.decode(WRITTEN) == message


def changed(at, data):
    return WRITTEN[:at] + data + WRITTEN[at + len(data):]


@pytest.mark.parametrize(
    "data",
    [
        b"", WRITTEN[:119], changed(0, bytes(4)), changed(0, b"\xff\xff\xff\xff"), changed(4, b" " * 32),
        changed(40, bytes(8)), changed(80, b"\0"), changed(116, bytes(4)), changed(120, b"H"), WRITTEN + b"!",
    ],
)
def test_what_is_dropped(data):
    with pytest.raises(Malformed):
        Message.decode(data)


@pytest.mark.parametrize(
    ("data", "odd"),
    [
        (WRITTEN, 0), (changed(4, b"input_stream_data".ljust(32, b"\0")), 1), (changed(36, bytes(4)), 1),
        (changed(4, b"no_such_type".ljust(32)), 1),
        (Message(messages.ACKNOWLEDGE, 0, 3, 0, b"{}").encode(), 0),
        (Message(messages.ACKNOWLEDGE, 7, 0, 0, b"{}").encode(), 2),
        (Message(messages.OUTPUT, 0, 1, 1, b"x").encode(), 0), (Message(messages.OUTPUT, 1, 1, 1, b"x").encode(), 1),
        # Only these may have no right digest, and nobody reads them.
        (changed(4, b"start_publication".ljust(32))[:-1] + b"!", 0),
    ],
)
def test_what_is_odd(data, odd):
    assert len(Message.decode(data).oddities) == odd


def test_timeouts_follow_round_trips():
    trips = RoundTrips()
    assert trips.timeout == 0.2
    trips.took(0.5)
    assert (trips.variation, trips.mean, trips.timeout) == pytest.approx((0.1, 0.15, 0.55))
    trips.took(5)
    assert trips.timeout == 1.0
    for _ in range(100):
        trips.took(0.01)
    assert trips.timeout == pytest.approx(0.02, rel=0.01)


def test_versions_have_four_components():
    assert numbers("3.0.196.0") == (3, 0, 196, 0) and numbers("10.0.0.0") > numbers("9.9.9.9")
    assert numbers("3.0.196") is None and numbers("latest") is None


def test_samples_of_the_web_socket_document():
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert frame(TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert frame(BINARY, bytes(256), b"\1\2\3\4")[:4] == bytes.fromhex("82fe0100")
    assert frame(BINARY, bytes(65536), b"\1\2\3\4")[:10] == bytes.fromhex("82ff0000000000010000")
    assert frame(BINARY, b"", b"\1\2\3\4") == bytes.fromhex("828001020304")


# -- a peer


def unmasked(opcode, payload, final=True, mask=0):
    """A server's frame, also a wrong one."""
    size = len(payload)
    first = bytes([(0x80 if final else 0) | opcode])
    if size < 126:
        return first + bytes([mask | size]) + payload
    return first + (struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)) + payload


class Peer:
    """The server's side of one connection at a time, in the hands of the test."""

    def __init__(self, context=None):
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LIMIT_S)
        scheme, host = ("wss", "localhost") if context else ("ws", "127.0.0.1")
        self.url = f"{scheme}://{host}:{self.listener.getsockname()[1]}/v1/data-channel/{SESSION}?role=publish_subscribe"
        self.started = {"SessionId": SESSION, "TokenValue": "first", "StreamUrl": self.url}
        self.socket = None

    def accept(self, answer=None):
        """Takes a connection and makes a WebSocket of it, or sends `answer`."""
        if self.socket:
            self.socket.close()
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(LIMIT_S)
        if self.context:
            self.socket = self.context.wrap_socket(self.socket, server_side=True)
        self.reader = self.socket.makefile("rb")
        lines = []
        while line := self.reader.readline().strip():
            lines.append(line.decode())
        assert lines[0] == f"GET /v1/data-channel/{SESSION}?role=publish_subscribe HTTP/1.1"
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        assert headers["sec-websocket-version"] == "13" and len(base64.b64decode(headers["sec-websocket-key"])) == 16
        accept = hashlib.sha1((headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        upgraded = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}\r\n\r\n"
        )
        self.socket.sendall((answer or upgraded).encode())
        return self

    def frame(self):
        """The client's next frame, which must be masked."""
        first, second = self.reader.read(2)
        assert first & 0x80 and second & 0x80
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self.reader.read(2 if size == 126 else 8), "big")
        mask = self.reader.read(4)
        payload = self.reader.read(size)
        return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def write(self, opcode, payload, **how):
        self.socket.sendall(unmasked(opcode, payload, **how))

    def greet(self):
        """What comes first on every connection: the ping and the token."""
        assert self.frame() == (PING, b"keepalive")
        self.write(PONG, b"keepalive")
        opcode, payload = self.frame()
        assert opcode == TEXT
        return json.loads(payload)["TokenValue"]

    def message(self, kind=None, payload_type=None):
        """The next message, of these kinds if they are given."""
        while True:
            opcode, payload = self.frame()
            if opcode == BINARY:
                message = Message.decode(payload)
                if kind in (None, message.kind) and payload_type in (None, message.payload_type):
                    return message

    def input(self, sequence):
        while (message := self.message(messages.INPUT)).sequence != sequence:
            pass
        return message

    def output(self, sequence, payload, payload_type=messages.BYTES):
        flags = 1 if sequence == 0 else 0
        self.write(BINARY, Message(messages.OUTPUT, sequence, flags, payload_type, payload).encode())

    def acknowledged(self, sequence):
        """Waits for the client's acknowledgement."""
        while json.loads(self.message(messages.ACKNOWLEDGE).payload)["AcknowledgedMessageSequenceNumber"] != sequence:
            pass

    def acknowledge(self, message, **other):
        told = {
            "AcknowledgedMessageType": message.kind, "AcknowledgedMessageId": str(message.identity),
            "AcknowledgedMessageSequenceNumber": message.sequence, "IsSequentialMessage": True, **other,
        }
        self.write(BINARY, Message(messages.ACKNOWLEDGE, 0, 3, 0, json.dumps(told).encode()).encode())

    def shake_hands(self, kind="Standard_Stream", properties=None):
        """The whole beginning; returns the client's answer."""
        assert self.accept().greet() == "first"
        action = {"ActionType": "SessionType", "ActionParameters": {"SessionType": kind, "Properties": properties}}
        request = {"AgentVersion": "3.0.196.0", "RequestedClientActions": [action, {"ActionType": "KMSEncryption"}]}
        self.output(0, json.dumps(request).encode(), messages.HANDSHAKE_REQUEST)
        first = self.message()
        assert (first.kind, first.sequence, first.flags, first.payload_type) == (messages.ACKNOWLEDGE, 0, 3, 0)
        answer = self.message()
        assert (answer.kind, answer.sequence, answer.payload_type) == (messages.INPUT, 0, messages.HANDSHAKE_RESPONSE)
        self.acknowledge(answer)
        complete = {"HandshakeTimeToComplete": 1, "CustomerMessage": "welcome"}
        self.output(1, json.dumps(complete).encode(), messages.HANDSHAKE_COMPLETE)
        self.acknowledged(1)
        return json.loads(answer.payload)

    def end(self, output=""):
        closed = {
            "MessageId": str(uuid.uuid4()), "CreatedDate": "2026-01-01T00:00:00.000Z", "DestinationId": "i-1",
            "SessionId": SESSION, "MessageType": "channel_closed", "SchemaVersion": 1, "Output": output,
        }
        self.write(BINARY, Message(messages.CLOSED, 0, 0, 0, json.dumps(closed).encode()).encode())

    def close(self):
        if self.socket:
            self.socket.close()
        self.listener.close()


class Api:
    """As much of the API as a resumption needs."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)

    def resume_session(self, SessionId):
        assert SessionId == SESSION
        return {"SessionId": SESSION, "TokenValue": self.tokens.pop(0) if self.tokens else None}


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


@contextmanager
def opened(peer, kind=ShellSession, server=None, **options):
    """A session with `peer`, after its handshake."""
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(kind.open, peer.started, **options)
        (server or peer.shake_hands)()
        session = opening.result(LIMIT_S)
    try:
        yield session
    finally:
        session.channel.hang_up()


# -- the WebSocket


@contextmanager
def connected(peer, **options):
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(WebSocket, peer.url, **options)
        peer.accept()
        client = made.result(LIMIT_S)
    try:
        yield client
    finally:
        client.abort()


def test_messages_come_whole(peer):
    with connected(peer) as client:
        assert client.receive(0) is None
        peer.write(TEXT, b"one ", final=False)
        peer.write(PING, b"are you there")
        peer.write(CONTINUATION, b"two ", final=False)
        peer.write(CONTINUATION, b"three")
        peer.write(BINARY, bytes(300))
        peer.write(BINARY, bytes(100_000))
        assert client.receive(LIMIT_S) == (TEXT, b"one two three")
        assert client.receive(LIMIT_S) == (BINARY, bytes(300))
        assert client.receive(LIMIT_S) == (BINARY, bytes(100_000))
        assert peer.frame() == (PONG, b"are you there")
        with ThreadPoolExecutor(1) as pool:
            sent = [pool.submit(client.send, BINARY, bytes([1]) * size) for size in (0, 125, 126, 65535, 65536, 1_000_000)]
            for size in (0, 125, 126, 65535, 65536, 1_000_000):
                assert peer.frame() == (BINARY, bytes([1]) * size)
            assert [one.result(LIMIT_S) for one in sent] == [None] * 6


@pytest.mark.parametrize(
    "sent",
    [
        unmasked(BINARY, b"masked", mask=0x80), b"\xf2\x00", unmasked(0x3, b"opcode"), unmasked(CONTINUATION, b"of what"),
        unmasked(PING, b"x" * 126), unmasked(PING, b"", final=False), b"\x82\x7e\x00\x05hello", b"\x82\x7f" + b"\x7f" * 8,
        unmasked(TEXT, b"a", final=False) + unmasked(TEXT, b"b"), unmasked(CLOSE, b"\x03\xf1why"),
    ],
)
def test_what_ends_a_web_socket(peer, sent):
    with connected(peer) as client:
        peer.socket.sendall(sent)
        with pytest.raises(Lost) as lost:
            client.receive(LIMIT_S)
        assert lost.value.code in (1002, 1009)
        assert peer.frame()[0] == CLOSE or sent[0] == 0x80 | CLOSE


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", Refused), ("no HTTP\r\n\r\n", Refused), ("x" * 20_000, Lost),
        ("HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n", Lost),
    ],
)
def test_what_is_no_upgrade(peer, answer, error):
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(WebSocket, peer.url)
        peer.accept(answer)
        with pytest.raises(error):
            made.result(LIMIT_S)


def test_a_cut_is_no_good_bye(peer):
    with connected(peer) as client:
        client.abort()
        with pytest.raises(ConnectionResetError):
            peer.socket.recv(1)
        with pytest.raises(Lost):
            client.send(TEXT, b"late")


def test_over_tls(tmp_path):
    authority = Authority(tmp_path)
    authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.last, authority.last.with_suffix(".key"))
    peer = Peer(context)
    try:
        trusting = ssl.create_default_context(cadata=authority.pem)
        with opened(peer, context=trusting, server=peer.shake_hands) as session:
            peer.output(2, b"secure")
            assert session.read_until("secure", LIMIT_S) == "secure"
    finally:
        peer.close()


# -- sessions


def test_a_shell_from_handshake_to_exit(peer):
    answers = []
    with opened(peer, server=lambda: answers.append(peer.shake_hands()), cols=80, rows=24) as session:
        [first, second] = answers[0]["ProcessedClientActions"]
        assert first == {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}
        assert second["ActionStatus"] == 3 and answers[0]["Errors"] == [second["Error"]]
        size = peer.message()
        assert (size.sequence, size.payload_type, json.loads(size.payload)) == (1, messages.SIZE, {"cols": 80, "rows": 24})
        peer.acknowledge(size)
        session.resize(80, 24)
        session.send(b"\n")
        session.send(b"x" * 1025)
        assert [peer.input(sequence).payload for sequence in (2, 3, 4)] == [b"\r", b"x" * 1024, b"x"]
        peer.output(2, b"$ ")
        assert session.read_until("$", LIMIT_S) == "$"
        assert session.channel.customer_message == "welcome"
        peer.end()
        assert session.read_all(LIMIT_S) == " "
        assert session.exit_text == f"\n\nExiting session with sessionId: {SESSION}.\n\n"
        with pytest.raises(SessionError, match="ended"):
            session.send(b"late")
        assert session.remarks == []


def test_the_service_says_why_it_ends(peer):
    with opened(peer) as session:
        peer.end("idle for too long")
        assert session.ended(LIMIT_S) == f"\n\nSessionId: {SESSION} : idle for too long\n\n"


def test_without_a_handshake_it_is_a_shell(peer):
    def server():
        assert peer.accept().greet() == "first"
        peer.output(0, b"bare")
        # Not acknowledged before the shell takes output: its size comes first.
        assert peer.message().payload_type == messages.SIZE
        peer.output(0, b"bare")

    with opened(peer, server=server) as session:
        assert session.read_until("bare", LIMIT_S) == "bare"


def test_output_is_put_in_order_and_acknowledged_once(peer):
    with opened(peer, faults=Faults(lose_output={3})) as session:
        for sequence, payload in [(4, b"c"), (2, b"a"), (3, b"never seen"), (3, b"b"), (2, b"again"), (5, b"d")]:
            peer.output(sequence, payload)
        told = [json.loads(peer.message(messages.ACKNOWLEDGE).payload) for _ in range(4)]
        assert [one["AcknowledgedMessageSequenceNumber"] for one in told] == [4, 2, 3, 5]
        assert {one["AcknowledgedMessageType"] for one in told} == {messages.OUTPUT}
        assert session.read_until("d", LIMIT_S) == "abcd"
        assert session.channel.faults.happened == [("lose_output", 3)]


def test_nothing_is_acknowledged_before_the_session_is_ready(peer):
    with opened(peer, late=True) as session:
        peer.output(2, b"early ")
        peer.output(3, b"bird")
        peer.acknowledged(3)
        session.start()
        assert peer.message().payload_type == messages.SIZE
        peer.output(2, b"early ")
        assert session.read_until("bird", LIMIT_S) == "early bird"


def test_input_is_sent_until_it_is_acknowledged(peer):
    faults = Faults(lose_input={2}, double_input={3}, swap_input={4}, spoil_input={6})
    with opened(peer, faults=faults) as session:
        peer.acknowledge(peer.input(1))
        for data in (b"a", b"b", b"c", b"d"):
            session.send(data)
        got = [peer.message(messages.INPUT).sequence for _ in range(4)]
        # What was lost may already come again between the others.
        assert [sequence for sequence in got if sequence != 2] == [3, 3, 5, 4][:4 - got.count(2)]
        lost = peer.input(2)
        assert lost.payload == b"a"
        peer.acknowledge(lost)
        # The oldest is repeated, and what is acknowledged is not.
        again = peer.input(3)
        for sequence in (3, 4, 5):
            peer.acknowledge(Message(messages.INPUT, sequence, 0, 1, b"", uuid.UUID(session.channel.waiting[sequence].identity)))
        assert again.payload == b"b"
        session.channel.wait(lambda: not session.channel.waiting, LIMIT_S, "acknowledgements")
        session.send(b"spoilt")
        with pytest.raises(Malformed):
            peer.input(6)
        assert peer.input(6).payload == b"spoilt"
        assert session.remarks == []


def test_wrong_acknowledgements_are_remarked(peer):
    with opened(peer) as session:
        size = peer.input(1)
        peer.acknowledge(size, AcknowledgedMessageId=str(uuid.uuid4()))
        peer.acknowledge(size, AcknowledgedMessageSequenceNumber=99)
        peer.acknowledge(size, AcknowledgedMessageType=messages.OUTPUT)
        peer.output(2, b".")
        session.read_until(".", LIMIT_S)
        assert len(session.remarks) == 3, session.remarks


@pytest.mark.parametrize("silent", [False, True])
def test_a_cut_session_is_resumed(peer, silent):
    with opened(peer, ssm=Api("second")) as session:
        peer.acknowledge(peer.input(1))
        peer.output(2, b"before ")
        peer.acknowledged(2)
        session.channel.cut(silent=silent, hold=True)
        session.send(b"typed meanwhile")
        with ThreadPoolExecutor(1) as pool:
            resumed = pool.submit(session.channel.resume)
            assert peer.accept().greet() == "second"
            resumed.result(LIMIT_S)
        # The numbers go on.
        typed = peer.input(2)
        assert typed.payload == b"typed meanwhile"
        peer.acknowledge(typed)
        peer.output(2, b"not again")
        peer.output(3, b"after")
        assert session.read_until("after", LIMIT_S) == "before after"


def test_a_session_that_timed_out(peer):
    with opened(peer, ssm=Api()) as session:
        peer.socket.close()
        peer.reader.close()
        with pytest.raises(SessionError, match="timed out"):
            session.read_until("never", LIMIT_S)
        assert session.exit_text is None


def test_the_wrong_kind_is_refused(peer):
    with pytest.raises(SessionError, match="kind Port"), opened(peer, server=lambda: peer.shake_hands("Port")):
        pass
    other = Peer()
    with ThreadPoolExecutor(1) as pool:
        channel = Channel(other.started)
        opening = pool.submit(channel.open, 1)
        with pytest.raises(AssertionError):
            # The client says so in its answer and nothing more comes to be.
            assert other.shake_hands("Party")["ProcessedClientActions"][0]["ActionStatus"] == 1
        channel.hang_up()
        opening.exception(LIMIT_S)
    other.close()


FORWARDING = {"portNumber": "80", "localPortNumber": "0", "type": "LocalPortForwarding"}


def test_ports_take_one_connection_after_the_other(peer):
    with opened(peer, PortSession, server=lambda: peer.shake_hands("Port", FORWARDING)) as session:
        for sequence, greeting in [(1, b"first"), (3, b"second")]:
            # What comes before anybody has connected is not acknowledged.
            with socket.create_connection(session.address, timeout=LIMIT_S) as local:
                local.sendall(greeting)
                asked = peer.input(sequence)
                assert (asked.payload, asked.payload_type) == (greeting, messages.BYTES)
                peer.acknowledge(asked)
                peer.output(sequence + 1, greeting.upper())
                peer.acknowledged(sequence + 1)
                assert local.recv(100) == greeting.upper()
            left = peer.input(sequence + 1)
            assert (left.payload_type, left.payload) == (messages.FLAG, bytes([0, 0, 0, 1]))
            peer.acknowledge(left)
            peer.output(sequence + 2, bytes([0, 0, 0, 3]), messages.FLAG)
            peer.acknowledged(sequence + 2)
        assert session.port_errors == 2
        session.end()
        assert peer.input(5).payload == bytes([0, 0, 0, 2])


@pytest.mark.parametrize("properties", [None, {"portNumber": 80, "type": "LocalPortForwarding"}, {"portNumber": "22"}])
def test_properties_of_port_forwarding(peer, properties):
    with pytest.raises(SessionError, match="properties"):
        with opened(peer, PortSession, server=lambda: peer.shake_hands("Port", properties)):
            pass


def test_pipes_carry_bytes(peer):
    with opened(peer, PipeSession, server=lambda: peer.shake_hands("Port", {"portNumber": "22"})) as session:
        peer.output(2, b"SSH-2.0\r\n")
        assert session.read_until(b"\r\n", LIMIT_S) == "SSH-2.0\r\n"
        session.send(b"\n")
        # No size, and nothing is made of a line's end.
        assert peer.input(1).payload == b"\n"


def test_by_hand(peer):
    program = Path(__file__).with_name("session_client.py")
    with subprocess.Popen(
        [sys.executable, program, json.dumps(peer.started), "us-east-1", "StartSession", "", "{}", "http://127.0.0.1:9"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "PATH": "/usr/bin:/bin"},
    ) as run:
        try:
            peer.shake_hands()
            assert json.loads(peer.input(1).payload) == {"cols": 300, "rows": 100}
            run.stdin.write("echo hello\n")
            run.stdin.flush()
            assert peer.input(2).payload == b"echo hello\n"
            peer.output(2, b"hello\r\n")
            peer.acknowledged(2)
            peer.end()
            output, _ = run.communicate(timeout=LIMIT_S)
        finally:
            run.kill()
    assert run.returncode == 0
    assert output == (
        f"\nStarting session with SessionId: {SESSION}\nwelcomehello\n\n\nExiting session with sessionId: {SESSION}.\n\n"
    )
