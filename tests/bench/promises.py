#!/usr/bin/env python3
"""What docs/benchmarks/cpu.md promises of the CPU backend, measured with the competitors in the same run, and that every row of
the table is there: measured, or null with its reason.

  promises.py GPUQ

A busy machine takes rates down, never up: the best of a few short runs counts, and ratios are taken within one run."""
import json
import os
import subprocess
import sys

# case, test, competitor's row begins so, least rate in messages a second, least share of the competitor's rate
PROMISES = (("echo", "echo 64 B, batches", "bare C11 ring", 2e6, 0.5), ("sha256", "sha256 1 KiB", "same function", 0, 0.8))
TRIES = 8
COUNTS = ["gpuqueue, 1 producer", "gpuqueue, 2 producers", "gpuqueue, 4 producers", "gpuqueue, 7 producers"]
RIVALS = "other ways of using the GPU (gpuq-rivals)"
MOST = "1 producer|2 producers|4 producers|7 producers"
# test: the rows that it has, ours first; a | lists what may stand in one place
TABLE = {
    "echo 64 B, batches": ["gpuqueue, 1 producer", "bare C11 ring, two threads", RIVALS],
    "round trip 64 B": ["gpuqueue", "the clock alone, for as long as our p50", "two pipes, two processes", RIVALS],
    "round trip 1 KiB": ["gpuqueue", "the clock alone, for as long as our p50", "two pipes, two processes"],
    "echo 64 B": COUNTS + [RIVALS], "echo 256 B": COUNTS, "echo 1 KiB": COUNTS, "echo 4 KiB": COUNTS,
    "one way in, 4 KiB": COUNTS + [RIVALS],
    "paced 64 B, 1 M/s": ["gpuqueue, 1 producer"], "paced 64 B, 20 M/s": ["gpuqueue, 1 producer"],
    "paced 64 B, 50 M/s": ["gpuqueue, 2 producers"],
    "four echo stages, 64 B": ["|".join("gpuqueue, " + m for m in MOST.split("|")), "|".join("one stage, " + m for m in MOST.split("|"))],
    "round trip 64 B, four stages": ["gpuqueue", "one stage"],
    "source plugin to null, 64 B": ["gpuqueue, capacity 65536", "gpuqueue, capacity 1048576"],
    "gap in service, 64 B at full rate": ["gpuqueue, code never loaded", "gpuqueue, the same, rehearsed",
                                          "gpuqueue, a version that is loaded", "gpuqueue, code never loaded, 500 KB of it",
                                          "close the queue, open it again"],
    "from a changed file to live, 64 B at full rate": ["gpuqueue, from the cache", "gpuqueue, from the cache, rehearsed",
                                                       "gpuqueue, a warm builder", "gpuqueue, a warm builder, rehearsed"],
    "gap in service, 64 B at 50 M/s": [RIVALS],
    "sha256 1 KiB": COUNTS + ["same function, plain loop", RIVALS],
    "bus": [RIVALS],
}
# What only some machines measure; all else must be measured, or the table has a hole.
MAY_BE_SKIPPED = {RIVALS, *COUNTS[1:]}
NUMBERS = ("rate_per_s", "p50_ns", "p99_ns", "p999_ns", "gb_per_s", "ratio")


def run(gpuq, seconds, *cases):
    out = subprocess.run([gpuq, "bench", "--json", "--seconds", str(seconds), *cases], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, timeout=120, check=True, env={**os.environ, "GPUQ_BACKEND": "cpu"})
    return json.loads(out.stdout)["rows"]


def measure(gpuq, case, test, competitor):
    rows = [row for row in run(gpuq, 0.3, case) if row["test"] == test]
    ours = max(row["rate_per_s"] or 0 for row in rows if not row["competitor"])
    return ours, next(row["ratio"] for row in rows if row["competitor"] and row["what"].startswith(competitor))


def kept(gpuq, case, test, competitor, rate, share):
    best = (0, 0)
    for _ in range(TRIES):
        r, s = measure(gpuq, case, test, competitor)
        best = (max(best[0], r), max(best[1], s))
        if best[0] >= rate and best[1] >= share:
            break
    good = best[0] >= rate and best[1] >= share
    print(f"{'ok  ' if good else 'FAIL'} {test}: {best[0]:.0f} messages/s (at least {rate:.0f}), {best[1]:.2f} of the competitor "
          f"(at least {share})")
    return good


def wrong_row(row):
    """What is wrong with one row; None: nothing."""
    measured = [key for key in NUMBERS if row[key] is not None]
    if row["skipped"] is not None:
        allowed = row["what"] in MAY_BE_SKIPPED or row["test"] in ("paced 64 B, 20 M/s", "paced 64 B, 50 M/s")
        return f"skipped, and has {measured}" if measured else None if allowed else "skipped: " + row["skipped"]
    if any(row[key] <= 0 for key in measured):
        return "has a number that is not above 0"
    return None if row["rate_per_s"] or row["p50_ns"] else "measured nothing, and does not say why"


def whole(gpuq):
    """Every row of the table, in its order, once."""
    rows, findings = run(gpuq, 0.05), []
    tests = list(dict.fromkeys(row["test"] for row in rows))
    if sorted(tests) != sorted(TABLE):
        findings.append(f"tests: {tests}")
    for test in TABLE:
        found = [row["what"] for row in rows if row["test"] == test]
        if len(found) != len(TABLE[test]) or not all(name.startswith(tuple(want.split("|"))) for name, want in zip(found, TABLE[test])):
            findings.append(f"{test}: rows {found}, not {TABLE[test]}")
    findings += [f"{row['test']}: {row['what']}: {wrong_row(row)}" for row in rows if wrong_row(row)]
    print("\n".join("FAIL " + finding for finding in findings) or f"ok   {len(rows)} rows, measured or null with their reasons")
    return not findings


sys.exit(0 if all([whole(sys.argv[1])] + [kept(sys.argv[1], *promise) for promise in PROMISES]) else 1)
