"""dead_letter_file.py - the letters of a dead letter file, for scenarios that look into one."""
import hashlib
import struct

HEAD = struct.Struct("<QQQQIIIHHI")
FRAME = struct.Struct("<4sIIQ")


def checksum(data):
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")


def pieces(body):
    at, found = HEAD.size, []
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        found.append(body[at + 4:at + 4 + length])
        at += 4 + length
    assert at == len(body), "a piece is cut short"
    return [piece.removesuffix(b"\0") for piece in found[:-1]] + found[-1:]


def records(data):
    """The letters of a file, each checked against its checksum."""
    found = []
    assert data[:8] == b"GQDEADS\n" and struct.unpack_from("<II", data, 8) == (1, 32)
    assert struct.unpack_from("<Q", data, 24) == (checksum(data[:24]),), "not a whole header"
    data = data[32:]
    while data:
        magic, size, inverted, name = FRAME.unpack_from(data)
        body, data = data[FRAME.size:FRAME.size + size], data[FRAME.size + size:]
        assert magic == b"GQDL" and inverted == 0xFFFFFFFF - size and len(body) == size and checksum(body) == name, "not a whole letter"
        keys = ("id", "position", "first_ns", "dead_ns", "attempts", "stage", "version", "class", "code", "flags")
        record = dict(zip(keys, HEAD.unpack_from(body)), name=f"{name:016x}")
        record.update(zip(("stage_name", "plugin", "digest", "reason", "message"), pieces(body), strict=True))
        found.append(record)
    return found
