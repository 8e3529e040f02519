#!/usr/bin/env python3
"""digests.py GPUQ PLUGINS - sha256 and crc32c agree with other implementations on random messages of many lengths.

SHA-256 is compared with hashlib, CRC-32C with the polynomial's definition, bit by bit, which itself is first compared
with the check value that every catalogue lists."""
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

SLOT_BYTES = 70000


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc32c_table()


def crc32c(message):
    crc = 0xFFFFFFFF
    for byte in message:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return f"{crc ^ 0xFFFFFFFF:08x}".encode()


def sha256(message):
    return hashlib.sha256(message).hexdigest().encode()


def messages():
    seed = int(os.environ.get("GPUQ_TEST_SEED", random.SystemRandom().getrandbits(32)))
    print(f"seed {seed} (set GPUQ_TEST_SEED to repeat)")
    rng = random.Random(seed)
    lengths = list(range(0, 300)) + [rng.randrange(300, 5000) for _ in range(200)] + [65535, 65536, SLOT_BYTES]
    rng.shuffle(lengths)
    return [rng.randbytes(length) for length in lengths]


def run(gpuq, plugin, folder, pipeline):
    path = os.path.join(folder, "pipeline.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(pipeline.format(plugin=json.dumps(plugin), slot_bytes=SLOT_BYTES))
    done = subprocess.run([gpuq, "run", path], capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{plugin}: exit code {done.returncode}\n{done.stderr.decode()}")
    return done.stdout.split(b"\n")[:-1]


PIPELINE = """version: 1
source: {{ file: {{ path: in.bin, split: length32 }} }}
queue: {{ capacity: 64, slot_bytes: {slot_bytes} }}
stages: [ {{ plugin: {plugin} }} ]
sink: {{ stdout: {{ join: lines }} }}
"""


def main():
    gpuq, plugins = sys.argv[1:]
    assert crc32c(b"123456789") == b"e3069283"
    inputs = messages()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "in.bin"), "wb") as file:
            file.writelines(struct.pack("<I", len(m)) + m for m in inputs)
        for name, function in (("sha256", sha256), ("crc32c", crc32c)):
            results = run(gpuq, os.path.join(plugins, name + ".cu"), folder, PIPELINE)
            wrong = [len(m) for m, r in zip(inputs, results) if function(m) != r]
            if len(results) != len(inputs) or wrong:
                print(f"{name}: {len(results)} results of {len(inputs)} messages; wrong at lengths {wrong[:10]}")
                failed = 1
    sys.exit(failed)


main()
