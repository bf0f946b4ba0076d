"""A WebSocket client (RFC 6455) over TCP or TLS that is as strict as the document: whole messages in both directions, and
a limit on everything. One thread receives; any may send."""

import base64
import hashlib
import secrets
import select
import socket
import ssl
import struct
import threading
import time
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONNECT_LIMIT_S = 20
# A peer that takes nothing for so long is gone.
SEND_LIMIT_S = 30
# Nothing is lost when the answer to a good-bye is not waited for.
CLOSE_LIMIT_S = 0.5
HEAD_BYTES_MAX = 16 * 1024
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
CONTROL_BYTES_MAX = 125
READ_BYTES = 64 * 1024
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009


class Lost(ConnectionError):
    """The connection cannot be used any more. `code` is the peer's close code, if it said one."""

    def __init__(self, why, code=None):
        super().__init__(why)
        self.code = code


class Refused(Lost):
    """The server did not make a WebSocket of the request."""

    def __init__(self, status, head):
        super().__init__(f"refused: {head.splitlines()[0] if head else 'no answer'}")
        self.status = status


def accept_of(key):
    """What a server answers to `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def masked(payload, mask):
    """`payload` under the four bytes of `mask`; twice gives it back."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def frame(opcode, payload, mask):
    """One final frame from a client."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + mask + masked(payload, mask)


class WebSocket:
    """A connection to `url` (ws: or wss:), made within `limit_s`. Raises Refused, Lost, or the OSError of connecting."""

    def __init__(self, url, context=None, limit_s=CONNECT_LIMIT_S):
        where = urlsplit(url)
        if where.scheme not in ("ws", "wss") or not where.hostname:
            raise ValueError(f"not the address of a WebSocket: {url!r}")
        deadline = time.monotonic() + limit_s
        default = 443 if where.scheme == "wss" else 80
        self.socket = socket.create_connection((where.hostname, where.port or default), timeout=limit_s)
        self.unread = bytearray()
        # What came of a message that is sent in pieces: its opcode and bytes.
        self.partial = None
        self.pongs = []
        self.sending = threading.Lock()
        # OpenSSL's connections are not for two threads at a time.
        self.using = threading.Lock()
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if where.scheme == "wss":
                context = context or ssl.create_default_context()
                self.socket = context.wrap_socket(self.socket, server_hostname=where.hostname)
            self.socket.setblocking(False)
            self._upgrade(where, deadline)
        except BaseException:
            self.socket.close()
            raise

    def _upgrade(self, where, deadline):
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        self._write(
            (
                f"GET {target} HTTP/1.1\r\nHost: {where.netloc.rpartition('@')[2]}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode("ascii")
        )
        while b"\r\n\r\n" not in self.unread:
            if len(self.unread) > HEAD_BYTES_MAX or not self._read(deadline):
                raise Lost("no answer to the upgrade")
        head, _, rest = bytes(self.unread).partition(b"\r\n\r\n")
        self.unread = bytearray(rest)
        text = head.decode("latin-1")
        first, *lines = text.split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or words[0] != "HTTP/1.1" or words[1] != "101":
            raise Refused(int(words[1]) if len(words) > 1 and words[1].isdigit() else None, text)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        upgrades = [word.strip().lower() for word in headers.get("connection", "").split(",")]
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in upgrades:
            raise Lost(f"no upgrade to a WebSocket: {headers}")
        if headers.get("sec-websocket-accept") != accept_of(key):
            raise Lost("the answer is to another key")
        if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
            raise Lost(f"the server chose what nobody offered: {headers}")

    # -- messages

    def send(self, opcode, payload):
        """One message in one frame."""
        data = frame(opcode, payload, secrets.token_bytes(4))
        with self.sending:
            self._write(data)

    def receive(self, limit_s):
        """The next message as opcode and bytes, or None when none came in time. Answers pings. Raises Lost."""
        deadline = time.monotonic() + limit_s
        while True:
            found = self._next_frame()
            if found is None:
                if not self._read(deadline):
                    return None
                continue
            message = self._take(*found)
            if message is not None:
                return message

    def _next_frame(self):
        """(final, opcode, payload) out of what was read, or None when it is not all there."""
        data = self.unread
        if len(data) < 2:
            return None
        final, opcode, size, start = data[0] & 0x80, data[0] & 0x0F, data[1] & 0x7F, 2
        if data[0] & 0x70 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            self._fail(PROTOCOL_ERROR, f"a frame that begins with {data[0]:#04x}")
        if data[1] & 0x80:
            self._fail(PROTOCOL_ERROR, "a server's frame is masked")
        if size >= 126:
            start, least = (4, 126) if size == 126 else (10, 1 << 16)
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
            if size < least:
                self._fail(PROTOCOL_ERROR, "a size that is not written in the shortest form")
        if opcode >= CLOSE and (not final or size > CONTROL_BYTES_MAX):
            self._fail(PROTOCOL_ERROR, "a control frame that is in pieces or long")
        if size > MESSAGE_BYTES_MAX:
            self._fail(TOO_BIG, f"a frame of {size} bytes")
        if len(data) < start + size:
            return None
        payload = bytes(data[start:start + size])
        del data[:start + size]
        return bool(final), opcode, payload

    def _take(self, final, opcode, payload):
        """The message that this frame completes, if any."""
        if opcode == PING:
            self.send(PONG, payload)
            return None
        if opcode == PONG:
            self.pongs.append(payload)
            return None
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
            self._say_close(code or NORMAL)
            raise Lost(f"closed by the server: {code} {payload[2:].decode(errors='replace')}".strip(), code)
        if (opcode == CONTINUATION) != (self.partial is not None):
            self._fail(PROTOCOL_ERROR, "pieces of messages that do not belong together")
        kind, data = (opcode, payload) if self.partial is None else (self.partial[0], self.partial[1] + payload)
        if len(data) > MESSAGE_BYTES_MAX:
            self._fail(TOO_BIG, f"a message of {len(data)} bytes")
        self.partial = None if final else (kind, data)
        return (kind, data) if final else None

    # -- ends

    def close(self):
        """Says good-bye, waits a little for the answer, and ends."""
        deadline = time.monotonic() + CLOSE_LIMIT_S
        try:
            self._say_close(NORMAL)
            while time.monotonic() < deadline:
                self.receive(deadline - time.monotonic())
        except OSError:
            pass
        self.socket.close()

    def abort(self):
        """Ends at once, without a word: the server sees a reset."""
        with self.sending, self.using:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            self.socket.close()

    def _fail(self, code, why):
        self._say_close(code)
        raise Lost(f"not a WebSocket any more: {why}", code)

    def _say_close(self, code):
        try:
            self.send(CLOSE, struct.pack(">H", code))
        except OSError:
            pass

    # -- bytes

    def _write(self, data):
        deadline = time.monotonic() + SEND_LIMIT_S
        rest = memoryview(data)
        while rest:
            sent = self._try(lambda: self.socket.send(rest), select.POLLOUT, deadline)
            if sent is None:
                raise Lost("the server takes nothing any more")
            rest = rest[sent:]

    def _read(self, deadline):
        """Reads something; False when nothing came before the deadline."""
        data = self._try(lambda: self.socket.recv(READ_BYTES), select.POLLIN, deadline)
        if data is None:
            return False
        if not data:
            raise Lost("ended by the server without a close frame")
        self.unread += data
        return True

    def _try(self, action, events, deadline):
        """What `action` returns once the socket is ready for it; None when it is not until the deadline."""
        while True:
            with self.using:
                try:
                    return action()
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                    wanted = events
                    if isinstance(error, ssl.SSLError):
                        wanted = select.POLLIN if isinstance(error, ssl.SSLWantReadError) else select.POLLOUT
                except OSError as error:
                    raise Lost(f"connection lost: {error}") from error
                handle = self.socket.fileno()
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0:
                return None
            poll = select.poll()
            poll.register(handle, wanted)
            poll.poll(left_ms)
