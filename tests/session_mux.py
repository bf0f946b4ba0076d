"""Port forwarding as clients do it whose agent multiplexes: a local port that takes many connections at a time, each a
stream of smux (version 1) within the bytes of one session. Made from the description of the protocol alone."""

import queue
import socket
import struct
import threading

import session_messages as messages
from session_channel import PORT, SessionError
from session_client import CHUNK_BYTES, LAST_BASIC_AGENT, READ_LIMIT_S, TURN_S, Session, numbers

HEAD = struct.Struct("<BBHI")
SMUX = 1
OPEN, CLOSE, PUSH, ALIVE = range(4)
FRAME_BYTES_MAX = 32768
# What all streams may hold before the session's bytes are not taken any more.
HELD_BYTES_MAX = 4 * 1024 * 1024
# Clients after this one expect no signs of life of agents that need none.
LAST_CLIENT_KEPT_ALIVE = (1, 2, 331, 0)


def framed(command, identity, data=b""):
    return HEAD.pack(SMUX, command, len(data), identity) + data


class Stream:
    """One local connection and what is to be written to it."""

    def __init__(self, session, identity, local):
        self.session, self.identity, self.local = session, identity, local
        self.queue = queue.Queue()

    def start(self):
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def _read(self):
        """The local side's bytes to the session. Its end closes the stream both ways."""
        try:
            while data := self.local.recv(FRAME_BYTES_MAX):
                self.session.frame(PUSH, self.identity, data)
        except (OSError, SessionError):
            pass
        self.session.shut(self)

    def _write(self):
        while (data := self.queue.get()) is not None:
            try:
                self.local.sendall(data)
            except OSError:
                # The local side has gone; so has what was meant for it.
                pass
            self.session.held -= len(data)
        self.close()

    def close(self):
        try:
            self.local.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.local.close()


class MuxSession(Session):
    """A local port whose connections, many at a time, lead to the session's destination."""

    kinds = (PORT,)

    def __init__(self, channel):
        super().__init__(channel)
        properties = channel.properties if isinstance(channel.properties, dict) else {}
        if properties.get("type") != "LocalPortForwarding":
            raise SessionError(f"not properties of port forwarding: {channel.properties}")
        if (numbers(channel.agent) or (0,)) <= LAST_BASIC_AGENT:
            raise SessionError(f"agents as {channel.agent} do not multiplex")
        self.streams, self.lock, self.sending = {}, threading.Lock(), threading.Lock()
        self.next_stream, self.held, self.buffer = 3, 0, b""
        # Connections that could not be made, signs of life, and streams that the other side has closed.
        self.port_errors = self.alive = self.closed_there = 0
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
                    local, _ = self.listener.accept()
                except TimeoutError:
                    continue
                local.settimeout(None)
                with self.lock:
                    identity, self.next_stream = self.next_stream, self.next_stream + 2
                    stream = self.streams[identity] = Stream(self, identity, local)
                self.frame(OPEN, identity)
                stream.start()
        except (SessionError, OSError):
            # The session has ended, or is being closed.
            pass
        finally:
            self.listener.close()
            for stream in list(self.streams.values()):
                stream.close()

    def frame(self, command, identity, data=b""):
        """A frame, in pieces as the plugin reads them from itself."""
        whole = framed(command, identity, data)
        # Frames of several streams must not be mixed.
        with self.sending:
            for start in range(0, len(whole), CHUNK_BYTES):
                self.channel.send(messages.BYTES, whole[start:start + CHUNK_BYTES])

    def shut(self, stream):
        """The local side has closed."""
        with self.lock:
            mine = self.streams.pop(stream.identity, None)
        stream.close()
        if mine:
            try:
                self.frame(CLOSE, stream.identity)
            except SessionError:
                pass

    def _deliver(self, message):
        if message.payload_type == messages.FLAG:
            with self.channel.changed:
                if message.payload == messages.CONNECT_TO_PORT_ERROR.to_bytes(4, "big"):
                    self.port_errors += 1
                else:
                    self.remarks.append(f"the flag {message.payload!r}")
                self.channel.changed.notify_all()
            return True
        if self.held > HELD_BYTES_MAX:
            return False
        self.buffer += message.payload
        while len(self.buffer) >= HEAD.size:
            version, command, length, identity = HEAD.unpack_from(self.buffer)
            if len(self.buffer) < HEAD.size + length:
                break
            data, self.buffer = self.buffer[HEAD.size:HEAD.size + length], self.buffer[HEAD.size + length:]
            self._hear(version, command, identity, data)
        return True

    def _hear(self, version, command, identity, data):
        if version != SMUX or command not in (CLOSE, PUSH, ALIVE) or (data and command != PUSH):
            self.remarks.append(f"not a frame for clients: {version} {command} {identity} {data[:80]!r}")
        with self.lock:
            stream = self.streams.get(identity)
            if command == CLOSE and stream:
                del self.streams[identity]
        if command == PUSH and stream:
            self.held += len(data)
            stream.queue.put(data)
        elif command == CLOSE and stream:
            stream.queue.put(None)
        with self.channel.changed:
            self.alive += command == ALIVE
            self.closed_there += bool(command == CLOSE and stream)
            self.channel.changed.notify_all()

    def end(self):
        """Ctrl-C at the plugin."""
        self.channel.flag(messages.TERMINATE_SESSION)

    def close(self):
        super().close()
        self.thread.join(READ_LIMIT_S)


class OldMuxSession(MuxSession):
    """That of clients which expect signs of life."""

    version = ".".join(map(str, LAST_CLIENT_KEPT_ALIVE))
