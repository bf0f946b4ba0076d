"""A client of Session Manager, made from the description of the protocol alone, that behaves as the stock plugin does:
for tests, which can also make it fail on purpose, and by hand in the plugin's place.

    python tests/session_client.py START_SESSION_RESPONSE [REGION StartSession PROFILE REQUEST ENDPOINT]

ShellSession, PipeSession and PortSession are what a person sees of a session; their `channel` is what is below."""

import json
import os
import select
import signal
import socket
import sys
import threading
import time

import session_messages as messages
from session_channel import OPEN_LIMIT_S, PORT, SHELLS, VERSION, Channel, SessionError

CLOSE_LIMIT_S = 30
READ_LIMIT_S = 60
# How often threads look whether their session has ended.
TURN_S = 0.05
CHUNK_BYTES = 1024
UNREAD_BYTES_MAX = 32 * 1024 * 1024
LOCAL_WRITE_LIMIT_S = 30
# Agents after this one multiplex port forwarding; those up to it take one connection at a time.
LAST_BASIC_AGENT = (3, 0, 196, 0)
# Clients up to this one take one connection at a time, whatever the agent.
LAST_BASIC_CLIENT = "1.1.69.0"
# Agents after this one take a flag where others are ended by the API.
LAST_AGENT_WITHOUT_TERMINATE_FLAG = (2, 3, 722, 0)
# What the plugin takes for the size of what is no terminal.
NO_TERMINAL = (300, 100)
INTERRUPT, QUIT, SUSPEND = b"\x03", b"\x1c", b"\x1a"


class Session:
    """What sessions of all kinds have in common. `channel` is for looking below and for making it fail."""

    kinds = ()
    version = VERSION

    def __init__(self, channel):
        if channel.kind not in self.kinds:
            channel.hang_up()
            raise SessionError(f"the session is of kind {channel.kind}, not {self.kinds}")
        self.channel = channel

    @classmethod
    def open(cls, started, ssm=None, faults=None, context=None, limit_s=OPEN_LIMIT_S, late=False, **options):
        """The session that `started`, StartSession's answer, is about. With `late` it takes no output until `start`."""
        channel = Channel(started, ssm, faults, context, cls.version)
        try:
            session = cls(channel.open(limit_s), **options)
            if not late:
                session.start()
            return session
        except BaseException:
            channel.hang_up()
            raise

    def start(self):
        self.channel.handler = self._deliver

    @property
    def exit_text(self):
        return self.channel.exit_text

    @property
    def remarks(self):
        return self.channel.remarks

    def ended(self, seconds=READ_LIMIT_S):
        """Waits for the end by channel_closed and returns the text of it."""
        return self.channel.wait(lambda: self.exit_text, seconds, "channel_closed")

    def close(self):
        """Ends the session by the API, if it goes on, and waits for its end."""
        try:
            if not self.channel.finished and self.channel.ssm:
                self.channel.ssm.terminate_session(SessionId=self.channel.session_id)
                self.channel.wait(lambda: self.channel.finished, CLOSE_LIMIT_S, "the end")
        except SessionError:
            pass
        finally:
            self.channel.hang_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class PipeSession(Session):
    """Bytes in, bytes out: what the plugin bridges to its own input and output when nothing says what a port is for."""

    kinds = (PORT,)

    def __init__(self, channel, sink=None):
        super().__init__(channel)
        self.sink, self.unread = sink, b""

    def _deliver(self, message):
        # Whatever the payload type is: the plugin shows all of them.
        if message.payload_type not in (messages.BYTES, messages.FLAG):
            self.remarks.append(f"output of type {message.payload_type}: {message.payload[:80]!r}")
        if self.sink:
            self.sink(message.payload)
            return True
        with self.channel.changed:
            self.unread += message.payload
            if len(self.unread) > UNREAD_BYTES_MAX:
                raise SessionError("nobody reads the output")
            self.channel.changed.notify_all()
        return True

    def send(self, data):
        """Input, in pieces as the plugin reads them."""
        for start in range(0, len(data), CHUNK_BYTES):
            self._send_piece(data[start:start + CHUNK_BYTES])

    def _send_piece(self, piece):
        self.channel.send(messages.BYTES, piece)

    def read_until(self, wanted, seconds=READ_LIMIT_S):
        """The output up to the first `wanted`, and that; it will not be read again."""
        wanted = wanted.encode() if isinstance(wanted, str) else wanted
        try:
            self.channel.wait(lambda: wanted in self.unread, seconds, f"{wanted!r}")
        except SessionError as error:
            raise SessionError(f"{error}; output: {self.unread[-2000:]!r}") from None
        with self.channel.changed:
            found, _, self.unread = self.unread.partition(wanted)
        return (found + wanted).decode(errors="replace")

    def read_all(self, seconds=READ_LIMIT_S):
        """All output until the server ends the session."""
        self.ended(seconds)
        with self.channel.changed:
            found, self.unread = self.unread, b""
        return found.decode(errors="replace")


class ShellSession(PipeSession):
    """A terminal's session: a shell or a command."""

    kinds = SHELLS

    def __init__(self, channel, cols=NO_TERMINAL[0], rows=NO_TERMINAL[1], sink=None):
        super().__init__(channel, sink)
        self.size, self.first_size = None, (cols, rows)

    def start(self):
        super().start()
        self.resize(*self.first_size)

    def resize(self, cols, rows):
        if self.size != (cols, rows):
            self.size = (cols, rows)
            self.channel.send(messages.SIZE, json.dumps({"cols": cols, "rows": rows}).encode())

    def interrupt(self):
        """Ctrl-C."""
        self.send(INTERRUPT)

    def _send_piece(self, piece):
        super()._send_piece(b"\r" if piece == b"\n" else piece)


def numbers(version):
    """A version of four components for comparing; None when it is not one."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if len(parts) == 4 and all(part.isdigit() for part in parts) else None


class PortSession(Session):
    """A local port whose connections, one at a time, lead to the session's destination: that of clients which are too old
    to multiplex, or whose agent is."""

    kinds = (PORT,)
    version = LAST_BASIC_CLIENT

    def __init__(self, channel):
        super().__init__(channel)
        properties = channel.properties if isinstance(channel.properties, dict) else {}
        wrong = {name: value for name, value in properties.items() if not isinstance(value, str)}
        if wrong or properties.get("type") != "LocalPortForwarding":
            raise SessionError(f"not properties of port forwarding: {channel.properties}")
        # How often the destination could not be reached.
        self.port_errors = 0
        self.stream = None
        self.listener = socket.create_server(("127.0.0.1", int(properties.get("localPortNumber") or 0)))
        self.listener.settimeout(TURN_S)
        self.address = self.listener.getsockname()
        self.port = self.address[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def start(self):
        super().start()
        self.thread.start()

    def _accept(self):
        try:
            while not self.channel.finished:
                try:
                    stream, _ = self.listener.accept()
                except TimeoutError:
                    continue
                stream.settimeout(LOCAL_WRITE_LIMIT_S)
                self.stream = stream
                self._copy(stream)
        except (SessionError, OSError):
            # The session has ended, or is being closed.
            pass
        finally:
            self.listener.close()
            if self.stream:
                self.stream.close()

    def _copy(self, stream):
        """Reads one connection to its end."""
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        while not self.channel.finished:
            if not poll.poll(TURN_S * 1000):
                continue
            try:
                data = stream.recv(CHUNK_BYTES)
            except OSError:
                data = b""
            if not data:
                stream.close()
                self.channel.flag(messages.DISCONNECT_TO_PORT)
                return
            self.channel.send(messages.BYTES, data)

    def _deliver(self, message):
        if self.stream is None:
            # Nobody has connected yet: not taken, so that it comes again.
            return False
        if message.payload_type == messages.FLAG:
            with self.channel.changed:
                if int.from_bytes(message.payload, "big") == messages.CONNECT_TO_PORT_ERROR and len(message.payload) == 4:
                    self.port_errors += 1
                else:
                    self.remarks.append(f"the flag {message.payload!r}")
                self.channel.changed.notify_all()
            return True
        try:
            self.stream.sendall(message.payload)
        except OSError:
            # The local side has gone; so has what was meant for it.
            pass
        return True

    def end(self):
        """Ctrl-C at the plugin."""
        if (numbers(self.channel.agent) or (0,)) > LAST_AGENT_WITHOUT_TERMINATE_FLAG:
            self.channel.flag(messages.TERMINATE_SESSION)
        elif self.channel.ssm:
            self.channel.ssm.terminate_session(SessionId=self.channel.session_id)

    def close(self):
        super().close()
        if self.thread.ident:
            self.thread.join(READ_LIMIT_S)
        else:
            self.listener.close()


# -- by hand


def terminal_size():
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
        return size.columns, size.lines
    except OSError:
        return NO_TERMINAL


def show(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(text):
    show(text.encode())


def bridge(session, resizes):
    """Our input to the session, until the server ends it."""
    keys = {signal.SIGINT: INTERRUPT, signal.SIGQUIT: QUIT, signal.SIGTSTP: SUSPEND}
    pending = []
    for number in keys:
        signal.signal(number, lambda caught, _: pending.append(keys[signal.Signals(caught)]))
    open_input = True
    while not session.channel.finished:
        if resizes:
            session.resize(*terminal_size())
        while pending:
            session.send(pending.pop(0))
        ready = select.select([0] if open_input else [], [], [], 0.2)[0]
        if ready:
            data = os.read(0, CHUNK_BYTES)
            open_input = bool(data)
            session.send(data)


def with_terminal(action):
    """Runs `action` with single keys and no echo, when there is a terminal."""
    if not sys.stdin.isatty():
        return action()
    import termios
    import tty

    before = termios.tcgetattr(0)
    try:
        tty.setcbreak(0)
        return action()
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def run_shell(channel):
    session = ShellSession(channel, *terminal_size(), sink=show)
    say(f"\nStarting session with SessionId: {channel.session_id}\n{channel.customer_message}")
    session.start()
    with_terminal(lambda: bridge(session, resizes=True))


def port_session(channel):
    """What a client of this version forwards ports with."""
    from session_mux import MuxSession

    return (PortSession if (numbers(channel.agent) or (0,)) <= LAST_BASIC_AGENT else MuxSession)(channel)


def run_port(channel):
    if not (channel.properties or {}).get("type"):
        session = PipeSession(channel, sink=show)
        session.start()
        return bridge(session, resizes=False)
    session = port_session(channel)
    session.start()
    say(f"\nStarting session with SessionId: {channel.session_id}\nPort {session.port} opened for sessionId "
        f"{channel.session_id}.\nWaiting for connections...\n")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=session.end, daemon=True).start())
    errors = 0
    while not channel.finished:
        time.sleep(0.2)
        if session.port_errors > errors:
            errors = session.port_errors
            say("\nConnection to destination port failed, check SSM Agent logs.\n")


def api(arguments):
    """A client of the API as the plugin's arguments ask for it."""
    import boto3

    region, _, profile, _, endpoint = (*arguments[1:], *[""] * 5)[:5]
    session = boto3.Session(profile_name=profile or None, region_name=region or None)
    return session.client("ssm", endpoint_url=endpoint or None)


def main(arguments):
    if arguments == ["--version"]:
        print(VERSION)
        return 0
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    started = json.loads(os.environ.get(arguments[0], arguments[0]))
    channel = Channel(started, api(arguments))
    try:
        channel.open()
        (run_port if channel.kind == PORT else run_shell)(channel)
    except SessionError as error:
        # The end itself is told below.
        if channel.closed is None:
            say(f"\n{error}\n")
    finally:
        channel.hang_up()
    say(channel.exit_text or f"\n{channel.error}\n")
    return 0 if channel.closed is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
