"""Session Manager's messages as bytes: the layout of one, what its payload may be, and how its reader judges it.

All integers are big-endian. The header is as long as it says itself, which is 116 bytes; the payload's length and the
payload follow."""

import hashlib
import struct
import time
import uuid
from dataclasses import dataclass, field

INPUT, OUTPUT, ACKNOWLEDGE, CLOSED = "input_stream_data", "output_stream_data", "acknowledge", "channel_closed"
START, PAUSE = "start_publication", "pause_publication"
KINDS = (INPUT, OUTPUT, ACKNOWLEDGE, CLOSED, START, PAUSE)

BYTES, ERROR, SIZE, PARAMETER = 1, 2, 3, 4
HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE = 5, 6, 7
CHALLENGE_REQUEST, CHALLENGE_RESPONSE = 8, 9
FLAG, STDERR, EXIT_CODE = 10, 11, 12

DISCONNECT_TO_PORT, TERMINATE_SESSION, CONNECT_TO_PORT_ERROR = 1, 2, 3

# Header length, type, schema version, created, sequence number, flags, id, digest, payload type.
LAYOUT = struct.Struct(">I32sIQqQ16s32sI")
HEADER_BYTES = 116
SCHEMA = 1
# What an acknowledgement carries as flags, and the first output message of a session.
BOTH_FLAGS, FIRST_FLAG = 3, 1


class Malformed(ValueError):
    """A message that its reader drops."""


def swapped(identity):
    """A UUID as it stands in a message, its second half first."""
    return identity.bytes[8:] + identity.bytes[:8]


def unswapped(data):
    return uuid.UUID(bytes=data[8:] + data[:8])


def milliseconds():
    return int(time.time() * 1000)


@dataclass
class Message:
    kind: str
    sequence: int
    flags: int
    payload_type: int
    payload: bytes
    identity: uuid.UUID = field(default_factory=uuid.uuid4)
    created_ms: int = field(default_factory=milliseconds)
    # What its reader takes, but the document does not say so.
    oddities: list = field(default_factory=list)

    def encode(self):
        digest = hashlib.sha256(self.payload).digest()
        header = LAYOUT.pack(
            HEADER_BYTES, self.kind.encode("ascii").ljust(32), SCHEMA, self.created_ms, self.sequence, self.flags,
            swapped(self.identity), digest, self.payload_type,
        )
        return header + struct.pack(">I", len(self.payload)) + self.payload

    @classmethod
    def decode(cls, data):
        """The message in `data`; raises Malformed where the stock plugin drops it."""
        if len(data) < HEADER_BYTES + 4:
            raise Malformed(f"a message of {len(data)} bytes")
        header, name, schema, created_ms, sequence, flags, identity, digest, kind_of_payload = LAYOUT.unpack_from(data)
        if header == 0 or header + 4 > len(data):
            raise Malformed(f"a header of {header} bytes")
        kind = name.decode("ascii", errors="replace").strip("\0 ")
        [size] = struct.unpack_from(">I", data, header)
        payload = data[header + 4:]
        if not kind or created_ms == 0:
            raise Malformed("no type or no time")
        if size != len(payload):
            raise Malformed(f"{kind} says {size} bytes and has {len(payload)}")
        if size and digest != hashlib.sha256(payload).digest() and kind not in (START, PAUSE):
            raise Malformed(f"{kind} {sequence}: the digest is of something else")
        message = cls(kind, sequence, flags, kind_of_payload, payload, unswapped(identity), created_ms)
        message.oddities = [
            f"{kind} {sequence}: {what}"
            for wrong, what in [
                (header != HEADER_BYTES, f"header of {header} bytes"),
                (kind not in KINDS, "unknown type"),
                (name != kind.encode("ascii", errors="replace").ljust(32), "the type is not padded with spaces"),
                (schema != SCHEMA, f"schema version {schema}"),
                (kind == ACKNOWLEDGE and flags != BOTH_FLAGS, f"flags {flags}"),
                (kind == ACKNOWLEDGE and (sequence, kind_of_payload) != (0, 0), f"payload type {kind_of_payload}"),
                (kind == OUTPUT and flags != (FIRST_FLAG if sequence == 0 else 0), f"flags {flags}"),
            ]
            if wrong
        ]
        return message


class RoundTrips:
    """How long to wait for an acknowledgement before sending again, in seconds."""

    LIMIT_S = 1.0

    def __init__(self):
        self.mean, self.variation, self.timeout = 0.1, 0.0, 0.2

    def took(self, seconds):
        """A message was acknowledged so long after it was sent last."""
        self.variation = 0.75 * self.variation + 0.25 * abs(self.mean - seconds)
        self.mean = 0.875 * self.mean + 0.125 * seconds
        self.timeout = min(self.LIMIT_S, self.mean + max(0.01, 4 * self.variation))
