"""One session's connection with Session Manager as the stock plugin keeps it: the handshake, acknowledgements,
retransmissions and putting in order, and its resumption when it was cut. It knows nothing of terminals and ports, and it
fails on purpose when a test asks for it."""

import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field

import session_messages as messages
from session_messages import Malformed, Message, RoundTrips
from web_socket import BINARY, PING, TEXT, Lost, WebSocket

VERSION = "1.2.707.0"
OPEN_LIMIT_S = 60
# Waits for room, for a cut to happen and for a connection to be there again.
WAIT_LIMIT_S = 60
# How often what is due is looked for.
TURN_S = 0.05
RESEND_CHECK_S = 0.1
PING_EVERY_S = 300
# The plugin gives up on a message after as many tries, which takes some five minutes.
RESENDS_MAX = 3000
BUFFERED_MAX = 10_000
# A session that is cut more often than this is not worth another try.
RESUMES_MAX = 50
# The first and five more, of opening a stream and of asking for a new token.
TRIES = 6
DELAY_LIMIT_S = 5
SHELLS = ("Standard_Stream", "InteractiveCommands", "NonInteractiveCommands")
PORT = "Port"
CLOSED_FIELDS = {"MessageId", "CreatedDate", "DestinationId", "SessionId", "MessageType", "SchemaVersion", "Output"}


class SessionError(Exception):
    """The session could not be opened, or ended when something was still to come."""


@dataclass
class Faults:
    """What goes wrong on purpose, once for each of the sequence numbers."""

    # Output that seems never to have come, and what was taken without being acknowledged.
    lose_output: set = field(default_factory=set)
    lose_acknowledgement: set = field(default_factory=set)
    # Input that is not sent at first, that is sent twice, after the one that follows, or with another payload.
    lose_input: set = field(default_factory=set)
    double_input: set = field(default_factory=set)
    swap_input: set = field(default_factory=set)
    spoil_input: set = field(default_factory=set)
    # What has happened: (field, sequence number).
    happened: list = field(default_factory=list)

    def strikes(self, name, sequence):
        wanted = getattr(self, name)
        if sequence not in wanted:
            return False
        wanted.discard(sequence)
        self.happened.append((name, sequence))
        return True

    def count(self, name):
        return sum(what == name for what, _ in self.happened)


@dataclass
class Sent:
    """Input that is not acknowledged yet."""

    identity: str
    data: bytes
    last: float
    tries: int = 0


def opening(token, version=VERSION):
    """The first frame on a connection."""
    return json.dumps({
        "MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": token,
        "ClientId": str(uuid.uuid4()), "ClientVersion": version,
    }).encode()


class Channel:
    """One session's messages. `started` is StartSession's answer; without `ssm`, a client of the API, a lost connection
    is the end. What the server does otherwise than described, and the plugin does not mind, is put in `remarks`."""

    def __init__(self, started, ssm=None, faults=None, context=None, version=VERSION):
        self.session_id, self.url, self.token = started["SessionId"], started["StreamUrl"], started["TokenValue"]
        self.ssm, self.faults, self.context, self.version = ssm, faults or Faults(), context, version
        self.changed = threading.Condition()
        self.connection = None
        # A handler of output once the session's kind runs: returns whether it could take the message.
        self.handler = None
        self.kind = self.properties = self.agent = None
        self.customer_message = ""
        self.known = False
        # channel_closed's payload, or why there is none.
        self.closed, self.error, self.finished = None, None, False
        self.remarks, self.resumed, self.pongs = [], 0, 0
        self.expected, self.ahead = 0, {}
        self.next_input, self.waiting, self.held = 0, {}, None
        self.trips = RoundTrips()
        self.next_check = self.next_ping = 0.0
        self.cut_asked, self.may_resume, self.silent = None, threading.Event(), []
        self.may_resume.set()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def open(self, limit_s=OPEN_LIMIT_S):
        """Connects, and returns when the session's kind is known."""
        self.thread.start()
        self.wait(lambda: self.known, limit_s, "the handshake")
        return self

    def wait(self, look, limit_s, what):
        """Waits until `look`, called with the lock, says something true. Raises SessionError when that can not come."""
        deadline = time.monotonic() + limit_s
        with self.changed:
            while not (found := look()):
                if self.finished:
                    raise SessionError(f"the session ended before {what}: {self.error or self.exit_text!r}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SessionError(f"no {what} after {limit_s} s; {self.describe()}")
                self.changed.wait(left)
            return found

    def describe(self):
        return (
            f"kind {self.kind}, output up to {self.expected} and {sorted(self.ahead)[:9]}, "
            f"input up to {self.next_input}, of which not acknowledged {list(self.waiting)[:9]}, resumed {self.resumed}"
        )

    @property
    def exit_text(self):
        """What the plugin prints at the end; None while the session goes on or when it was not the server who ended it."""
        if self.closed is None:
            return None
        text = self.closed.get("Output") or ""
        return f"\n\nSessionId: {self.session_id} : {text}\n\n" if text else (
            f"\n\nExiting session with sessionId: {self.session_id}.\n\n"
        )

    # -- what callers do

    def send(self, payload_type, payload):
        """Input, which is sent until it is acknowledged."""
        self.wait(lambda: self.finished or len(self.waiting) < BUFFERED_MAX, WAIT_LIMIT_S, "room for more input")
        with self.changed:
            if self.finished:
                raise SessionError(f"the session has ended: {self.error or self.exit_text!r}")
            sequence = self.next_input
            self.next_input += 1
            message = Message(messages.INPUT, sequence, 0, payload_type, payload)
            data = message.encode()
            self.waiting[sequence] = Sent(str(message.identity), data, time.monotonic())
        self._send_first(sequence, data)
        return sequence

    def flag(self, value):
        return self.send(messages.FLAG, value.to_bytes(4, "big"))

    def cut(self, silent=False, hold=False):
        """Cuts the connection under the session: with a reset or, `silent`, so that the server does not see it. It is
        resumed at once or, with `hold`, when `resume` is called."""
        if hold:
            self.may_resume.clear()
        self.cut_asked = "silent" if silent else "reset"
        self.wait(lambda: self.cut_asked is None, WAIT_LIMIT_S, "cut")

    def resume(self):
        before = self.resumed
        self.may_resume.set()
        self.wait(lambda: self.resumed > before, WAIT_LIMIT_S, "resumed connection")

    def hang_up(self):
        """Ends the connection for good, without a word to the service."""
        self._finish("closed by ourselves")
        self.may_resume.set()
        if self.thread.ident and self.thread is not threading.current_thread():
            self.thread.join(WAIT_LIMIT_S)

    # -- the thread

    def _run(self):
        try:
            self._connect()
            while not self.finished:
                try:
                    self._turn()
                except Lost as lost:
                    self._reconnect(lost)
        except SessionError as error:
            self._finish(str(error))
        except Exception as error:  # Whoever waits must hear of it.
            self._finish(f"{type(error).__name__}: {error}")
        finally:
            for connection in self.silent:
                connection.abort()
            if self.connection:
                self.connection.close()

    def _finish(self, error=None):
        with self.changed:
            if not self.finished:
                self.finished, self.error = True, error
            self.changed.notify_all()

    def _turn(self):
        if self.cut_asked:
            self._cut_now()
        received = self.connection.receive(TURN_S)
        if received:
            opcode, data = received
            if opcode == BINARY:
                self._take(data)
            else:
                self.remarks.append(f"a text frame: {data[:80]!r}")
        if self.handler:
            self._drain()
        now = time.monotonic()
        if now >= self.next_check:
            self.next_check = now + RESEND_CHECK_S
            self._send_again(now)
        if now >= self.next_ping:
            self._ping(now)

    def _ping(self, now):
        self.next_ping = now + PING_EVERY_S
        self.connection.send(PING, b"keepalive")

    def _connect(self):
        """Opens the stream and shows the token; a few times, when it fails."""
        try:
            self._repeat(self._connect_once)
        except OSError as error:
            raise SessionError(f"cannot open {self.url}: {error}") from error

    def _connect_once(self):
        self.connection = WebSocket(self.url, self.context)
        self._ping(time.monotonic())
        self.connection.send(TEXT, opening(self.token, self.version))

    def _repeat(self, action):
        """What `action` returns, tried a few times with growing pauses. What the API refuses is not tried again."""
        delay = random.uniform(0.1, 0.2)
        for _ in range(TRIES - 1):
            try:
                return action()
            except Exception as error:
                if self.finished or getattr(error, "response", None):
                    raise
            time.sleep(min(delay, DELAY_LIMIT_S))
            delay *= 2
        return action()

    def _reconnect(self, lost):
        if self.connection not in self.silent:
            self.connection.abort()
        self.pongs += len(self.connection.pongs)
        if self.ssm is None or self.resumed >= RESUMES_MAX:
            raise SessionError(f"the connection is lost: {lost}")
        self.may_resume.wait(WAIT_LIMIT_S)
        if self.finished:
            return
        answer = self._repeat(lambda: self.ssm.resume_session(SessionId=self.session_id))
        if not answer.get("TokenValue"):
            raise SessionError("the session has timed out")
        self.token = answer["TokenValue"]
        self._connect()
        with self.changed:
            self.resumed += 1
            self.changed.notify_all()

    def _cut_now(self):
        how = self.cut_asked
        if how == "silent":
            self.silent.append(self.connection)
        else:
            self.connection.abort()
        with self.changed:
            self.cut_asked = None
            self.changed.notify_all()
        raise Lost("cut on purpose")

    # -- input and its acknowledgements

    def _send_first(self, sequence, data):
        if self.faults.strikes("lose_input", sequence):
            return
        if self.faults.strikes("spoil_input", sequence):
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.faults.strikes("swap_input", sequence):
            self.held = data
            return
        self._transmit(data)
        if self.faults.strikes("double_input", sequence):
            self._transmit(data)
        held, self.held = self.held, None
        if held:
            self._transmit(held)

    def _transmit(self, data):
        try:
            self.connection.send(BINARY, data)
        except OSError:
            # It stays with what is not acknowledged; whoever reads finds the connection lost.
            pass

    def _send_again(self, now):
        with self.changed:
            oldest = next(iter(self.waiting.values()), None)
            if oldest is None or now - oldest.last <= self.trips.timeout:
                return
            oldest.tries += 1
            oldest.last = now
        if oldest.tries > RESENDS_MAX:
            if self.ssm:
                self.ssm.terminate_session(SessionId=self.session_id)
            raise SessionError("the server acknowledges nothing")
        self._transmit(oldest.data)

    def _acknowledged(self, message):
        try:
            told = json.loads(message.payload)
            kind, sequence = told["AcknowledgedMessageType"], told["AcknowledgedMessageSequenceNumber"]
            identity, sequential = told["AcknowledgedMessageId"], told["IsSequentialMessage"]
        except (ValueError, KeyError, TypeError) as error:
            self.remarks.append(f"an acknowledgement that cannot be read: {error!r} in {message.payload[:200]!r}")
            return
        with self.changed:
            sent = self.waiting.pop(sequence, None)
            if sent:
                self.trips.took(time.monotonic() - sent.last)
            self.changed.notify_all()
        if kind != messages.INPUT or sequential is not True or sequence >= self.next_input:
            self.remarks.append(f"acknowledges what was not sent: {told}")
        if sent and sent.identity != identity:
            self.remarks.append(f"acknowledges input {sequence} as {identity}; it was {sent.identity}")

    # -- output

    def _take(self, data):
        try:
            message = Message.decode(data)
        except Malformed as error:
            self.remarks.append(str(error))
            return
        self.remarks += message.oddities
        if message.kind == messages.OUTPUT:
            self._take_output(message)
        elif message.kind == messages.ACKNOWLEDGE:
            self._acknowledged(message)
        elif message.kind == messages.CLOSED:
            self._take_closed(message)

    def _take_output(self, message):
        if self.faults.strikes("lose_output", message.sequence):
            return
        if message.sequence > self.expected:
            if len(self.ahead) < BUFFERED_MAX:
                self._acknowledge(message)
                with self.changed:
                    self.ahead[message.sequence] = message
                    self.changed.notify_all()
        elif message.sequence == self.expected:
            handshake = message.payload_type in (messages.HANDSHAKE_REQUEST, messages.HANDSHAKE_COMPLETE)
            if handshake:
                self._acknowledge(message)
            if not self._process(message):
                # Not acknowledged, so that it comes again.
                return
            if not handshake:
                self._acknowledge(message)
            self.expected += 1
            self._drain()
        # What came before is not even acknowledged: so the plugin.

    def _drain(self):
        """Processes what came too early and is in order now."""
        while self.expected in self.ahead and self._process(self.ahead[self.expected]):
            del self.ahead[self.expected]
            self.expected += 1

    def _acknowledge(self, message):
        if self.faults.strikes("lose_acknowledgement", message.sequence):
            return
        payload = json.dumps({
            "AcknowledgedMessageType": message.kind, "AcknowledgedMessageId": str(message.identity),
            "AcknowledgedMessageSequenceNumber": message.sequence, "IsSequentialMessage": True,
        }).encode()
        self._transmit(Message(messages.ACKNOWLEDGE, 0, messages.BOTH_FLAGS, 0, payload).encode())

    def _process(self, message):
        """Whether the message could be taken."""
        if message.payload_type == messages.HANDSHAKE_REQUEST:
            self._shake_hands(json.loads(message.payload))
        elif message.payload_type == messages.HANDSHAKE_COMPLETE:
            told = json.loads(message.payload)
            if not isinstance(told.get("HandshakeTimeToComplete"), int):
                self.remarks.append(f"the handshake took {told.get('HandshakeTimeToComplete')!r} nanoseconds")
            self.customer_message = told.get("CustomerMessage") or ""
            self._is_known()
        else:
            if not self.known:
                # Without a handshake it is a shell.
                self.kind = self.kind or SHELLS[0]
                self._is_known()
            return bool(self.handler) and self.handler(message)
        return True

    def _is_known(self):
        with self.changed:
            self.known = True
            self.changed.notify_all()

    def _shake_hands(self, request):
        self.agent = request["AgentVersion"]
        processed, errors = [], []
        for action in request["RequestedClientActions"]:
            kind, status, error = action["ActionType"], 1, ""
            if kind == "SessionType":
                wanted = action["ActionParameters"]["SessionType"]
                if wanted in (*SHELLS, PORT):
                    self.kind, self.properties = wanted, action["ActionParameters"].get("Properties")
                else:
                    status, error = 2, f"Unknown session type {wanted}"
            else:
                status, error = 3, f"Unsupported action {kind}"
            if error:
                errors.append(error)
            processed.append({"ActionType": kind, "ActionStatus": status, "ActionResult": None, "Error": error})
        answer = {"ClientVersion": self.version, "ProcessedClientActions": processed, "Errors": errors}
        self.send(messages.HANDSHAKE_RESPONSE, json.dumps(answer).encode())

    def _take_closed(self, message):
        try:
            closed = json.loads(message.payload)
        except ValueError:
            closed = {}
        wrong = (closed.get("MessageType"), closed.get("SchemaVersion"), closed.get("SessionId")) != (
            messages.CLOSED, 1, self.session_id
        )
        if wrong or set(closed) != CLOSED_FIELDS:
            self.remarks.append(f"channel_closed says {message.payload[:300]!r}")
        self.closed = closed
        self._finish()
