"""dead_letter_file.py - the records of a dead letter file, for scenarios that look into one."""
import hashlib
import struct

HEAD = struct.Struct("<QQIHHI")


def pieces(body):
    at, found = HEAD.size, []
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        found.append(body[at + 4:at + 4 + length])
        at += 4 + length
    assert at == len(body), "a piece is cut short"
    return found


def records(data):
    """The records of a dead letter file, each checked against its checksum."""
    found = []
    while data:
        magic, size, checksum = struct.unpack_from("<4sI8s", data)
        body, data = data[16:16 + size], data[16 + size:]
        assert magic == b"GQD1" and len(body) == size and hashlib.sha256(body).digest()[:8] == checksum, "not a whole record"
        keys = ("id", "unix_ns", "attempts", "status", "code", "stage")
        record = dict(zip(keys, HEAD.unpack_from(body)))
        record.update(zip(("stage_name", "plugin", "digest", "reason", "message"), pieces(body), strict=True))
        found.append(record)
    return found
