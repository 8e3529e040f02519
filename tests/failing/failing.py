#!/usr/bin/env python3
"""failing.py - every failing call: of each scenario's n calls of the allocator and of the system, the k-th fails, for every k.

failing.py PROGRAMS GPUQ [--every N | --all] [--seed S] [--from K] [--only NAME,...] [--count] [--jobs J]

Each scenario of operations.py and of library.c is run with nothing failing, which says how many calls there are (points), and then
once for each call that is chosen: every one, or every N-th from one that the seed chooses; and again for each call that waits, which
a signal interrupts. --from skips the first K, --only names scenarios ("library": those of library.c), --count runs no point.
docs/internals/testing.md says what has to hold."""
import argparse
import atexit
import concurrent.futures
import random
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("programs")
parser.add_argument("gpuq")
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--all", action="store_true")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--only", default="")
parser.add_argument("--from", dest="first", type=int, default=0)
parser.add_argument("--count", action="store_true", help="say how many points there are, and run none")
parser.add_argument("--jobs", type=int, default=2)
arguments = parser.parse_args()

import application  # noqa: E402
import operations  # noqa: E402
from points import Bench, Broken, Point  # noqa: E402

ROUNDS_A_POINT = 4  # a round of an application takes so much less time than a point of the command


def run_point(bench, scenario, role, interrupted, at):
    """(was a failure planted, what broke)"""
    point = Point(bench, role, interrupted, at)
    try:
        scenario.prepare(point)
        point.outcomes.clear()
        try:
            scenario.act(point)
            planted = point.planted()
            point.check_sentences(planted, scenario.may_fail)
            if interrupted:
                bad = [o for o in point.outcomes if o[1] != 0 and o[0] not in scenario.may_fail]
                if bad:
                    raise Broken(f"interrupted, and not tried again: {bad}")
            scenario.check(point, planted)
            point.check_left(planted)
            return planted, None
        except Broken as broken:
            planted = point.planted()
            return planted, f"{scenario.name}, {role}: {planted.where()}: {broken}"
    finally:
        point.finish()


def count(bench, scenario, role, interrupted):
    most = 0
    for _ in range(2):
        planted, broken = run_point(bench, scenario, role, interrupted, 0)
        if broken:
            sys.exit(f"without a failure: {broken}")
        most = max(most, planted.count)
    return most


def all_points(bench, scenario, role, interrupted, pool, numbers):
    """How many points there are, how many were run, and what broke."""
    points = count(bench, scenario, role, interrupted)
    step = 1 if arguments.all else arguments.every
    first = arguments.first + numbers.randrange(step) + 1
    chosen = [] if arguments.count else range(first, points + 1, step)
    ran = list(pool.map(lambda at: run_point(bench, scenario, role, interrupted, at), chosen))
    # How many calls there are depends on time: those chosen may have been too far along this once, and the first ones are not.
    for at in (points // 2, points // 4, 1) if chosen and not interrupted else ():
        if not any(planted.planted for planted, _ in ran):
            ran.append(run_point(bench, scenario, role, interrupted, max(at, 1)))
    broken = [what for _, what in ran if what]
    if not interrupted and (points == 0 or (chosen and not any(planted.planted for planted, _ in ran))):
        broken.append(f"{scenario.name}, {role}: no call could be made to fail, so nothing was tested")
    return points, len(ran), broken


def tell(name, role, interrupted, points, run, found, start):
    print(f"{name:22} {role:8} {'interrupted' if interrupted else 'fails':12} {points:6} points, {run:6} run, {len(found)} broken, "
          f"{time.monotonic() - start:.1f} s", *(f"\nBROKEN {what}" for what in found), flush=True)


def library_rounds(bench, name, role, interrupted, chance):
    start = time.monotonic()
    step = 1 if arguments.all else max(1, arguments.every // ROUNDS_A_POINT)
    first = arguments.first + int(chance * step) + 1
    rounds = application.Rounds(bench, name, role, interrupted).run(first, 0 if arguments.count else step)
    tell("library " + name, role, interrupted, rounds.points, rounds.ran, rounds.broken, start)
    return rounds.broken


def main():
    seed = arguments.seed or time.time_ns() % 10**9
    print(f"seed {seed}", flush=True)
    numbers = random.Random(seed)
    bench = Bench(arguments.programs, arguments.gpuq, operations.PLUGINS)
    atexit.register(bench.finish)
    only = arguments.only.split(",") if arguments.only else None
    broken = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for scenario in operations.SCENARIOS:
            if only and scenario.name not in only:
                continue
            for role in scenario.roles:
                for interrupted in (False, True):
                    start = time.monotonic()
                    points, run, found = all_points(bench, scenario, role, interrupted, pool, numbers)
                    broken += found
                    tell(scenario.name, role, interrupted, points, run, found, start)
        jobs = [pool.submit(library_rounds, bench, name, role, interrupted, numbers.random())
                for name in application.SCENARIOS if not only or "library" in only or name in only
                for role in application.ROLES.get(name, ("host",)) for interrupted in (False, True)]
        for job in jobs:
            broken += job.result()
    print(f"{len(broken)} broken; the seed was {seed}")
    sys.exit(1 if broken else 0)


main()
