#!/usr/bin/env python3
"""quickstart.py GPUQ CONFIGS - the quickstart prints the digest of each line of its text, in order, and nothing else; the
summary goes to standard error."""
import hashlib
import os
import subprocess
import sys

BACKEND = os.environ.get("GPUQ_BACKEND") or "cpu"


def main():
    gpuq, configs = sys.argv[1:]
    with open(os.path.join(configs, "data", "alice.txt"), "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    run = subprocess.run([gpuq, "run", os.path.join(configs, "quickstart.yaml")], capture_output=True, check=False,
                         env={**os.environ, "GPUQ_BACKEND": BACKEND})
    sys.stdout.write(run.stderr.decode())
    expected = b"".join(hashlib.sha256(line).hexdigest().encode() + b"\n" for line in lines)
    if run.returncode != 0:
        sys.exit(f"exit code {run.returncode}")
    if run.stdout != expected:
        sys.exit(f"{len(run.stdout)} bytes on standard output, not the {len(lines)} digests expected")
    if str(len(lines)).encode() not in run.stderr or BACKEND.encode() not in run.stderr:
        sys.exit("the summary names neither the backend nor the number of messages")


main()
