#!/usr/bin/env python3
"""gpuq-rivals against a driver that is C: its rows, its checks of replies, and every call of the driver failing in turn.

  rivals.py GPUQ-RIVALS FAKE-LIBCUDA"""
import os
import subprocess
import sys

RIVALS, FAKE = sys.argv[1:3]
# case: (test, how `what` begins, are there times) of each row
ROWS = {
    "echo": [("echo 64 B, batches", "copy, launch, copy for each message", False),
             ("echo 64 B, batches", "copy, launch, copy for a batch", True), ("echo 64 B, batches", "CUDA graph", True)],
    "latency": [("round trip 64 B", "a word to a running kernel", True), ("round trip 64 B", "copy, launch, copy, wait", True),
                ("round trip 1 KiB", "copy, launch, copy, wait", True)],
    "sizes": [("echo 64 B", "CUDA graph, triple-buffered, 2 threads", True)] +
             [(f"echo {size}", "kernel copies host memory", False) for size in ("256 B", "1 KiB", "4 KiB")],
    "oneway": [("one way in, 4 KiB", "kernel reads host memory", False)],
    "sha256": [("sha256 1 KiB", "same function, plain kernel", False)],
    "swap": [("gap in service, 64 B at 50 M/s", "unload, load, launch", True)],
    "bus": [("bus", f"copy engine, {way}", False) for way in ("in", "out", "both ways")] +
           [("bus", f"kernel {verb} host memory", False) for verb in ("reads", "writes", "copies")],
}


def run(case, **environment):
    return subprocess.run([RIVALS, "0.01", "2", case], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True,
                          env={**os.environ, "GPUQ_LIBCUDA": FAKE, "GPUQ_NVRTC": FAKE, **environment})


def check_rows(case):
    out = run(case)
    assert out.returncode == 0, out.stderr
    rows = [line.split("\t") for line in out.stdout.splitlines()]
    assert len(rows) == len(ROWS[case]), rows
    for row, (test, what, times) in zip(rows, ROWS[case]):
        assert len(row) == 7 and row[0] == test and row[1].startswith(what), (row, test, what)
        assert (float(row[2]) > 0) == (case != "swap") and (row[3] != "") == (row[4] != "") == times, row


def check_wrong_replies(case, sentence):
    out = run(case, FAKE_WRONG="1")
    assert out.returncode != 0 and sentence in out.stderr and out.stdout.count("\t") == 0, (out.stdout, out.stderr)


def check_failures(case, numbers):
    """Call after call fails, and each time there is one sentence, and nothing was kept."""
    for number in numbers:
        out = run(case, FAKE_FAIL_AT=str(number))
        assert out.returncode == 1 and out.stderr.count("\n") == 1 and "CUDA_ERROR_FAKE" in out.stderr, (number, out)
        assert out.stderr.startswith("gpuq-rivals: cu"), out.stderr


for name in ROWS:
    check_rows(name)
check_wrong_replies("echo", "replies were wrong")
check_wrong_replies("sha256", "digest of message 0 is wrong")
OPENING = 13  # calls until the kernels are there, in every case
check_failures("echo", range(1, 40))
check_failures("sizes", range(OPENING, 70))
check_failures("latency", range(OPENING, 30))
check_failures("oneway", range(OPENING, 24))
check_failures("swap", range(OPENING, 44))
