#!/usr/bin/env python3
"""storm.py - the half of the storm in which the process that uses the library dies: gpuq run from a file to a file, exactly once, is
killed at random instants, alone or with its workers, its files are torn as a machine that loses power may leave them, its workers
are killed, and the system gives it no room and no descriptors. In the end the output is byte for byte what the messages ask for,
each message that is to blame is a dead letter of its class, and no other is. tests/fault/storm.c is the other half.

$STORM_SEED sets the seed, which is printed."""
import collections
import hashlib
import os
import random
import re
import resource
import signal
import struct
import time
import dead_letter_file
import harness
from harness import lines, until

MESSAGES, STRIKES = (30000, 12) if harness.SANITIZED else (400000, 60)
POISON_EVERY = 5000
HANGS = 2  # each takes its stage's timeout, again and again
FAILED, FAULT, HANG = 1, 3, 4  # classes of dead letters
SIGNALS = {b"s": signal.SIGSEGV, b"a": signal.SIGABRT, b"k": signal.SIGKILL, b"e": 256 + 5}  # and how each is told of
BLAMED = {b"f": (FAILED, 4242), b"h": (HANG, 0), **{kind: (FAULT, int(code)) for kind, code in SIGNALS.items()}}
KINDS = b"dfsakeo"  # `d` is dropped, `o` ends its worker once
OUTSIDE = """
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
static void suffer(const MsgView &in)
{
    char path[256];
    switch (in.payload[0]) {
    case 's': *(volatile uint8_t *)8 = 1; break;
    case 'a': abort();
    case 'k': raise(SIGKILL); break;
    case 'e': _exit(5);
    case 'h': for (volatile int more = 1; more;) continue;
    case 'o':
        snprintf(path, sizeof path, "FOLDER/once-%.7s", (const char *)in.payload + 1);
        if (mkdir(path, 0700) == 0) abort();
    }
}
"""
WORK = """
    if (in.payload[0] == 'd') return gq_drop(out);
    if (in.payload[0] == 'f') return gq_fail(out, 4242);
    if (in.payload[0] != '.') suffer(in);
    for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[in.len - 1 - i];
    *out->out_len = in.len;
"""
RECORD = struct.Struct("<QQ32sQQQQ")  # magic, number, what it belongs to; position, records, bytes of the output, life
PLACE = 4096


@harness.only_on("cpu", "a GPU's worker has no successor")
class Storm(harness.Scenario):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("STORM_SEED", time.time_ns()))
        print("seed", self.seed, flush=True)
        self.dice = random.Random(self.seed)
        self.done = collections.Counter()
        hangs, self.messages = 0, []
        for i in range(MESSAGES):
            kind = b"f" if i == MESSAGES // 2 else b"."  # one letter at least
            if self.dice.randrange(POISON_EVERY) == 0:
                kind = bytes([self.dice.choice(KINDS + b"h" * (hangs < HANGS))]) if kind == b"." else kind
                hangs += kind == b"h"
            self.messages.append(kind + b"%07d" % i + b"x" * self.dice.randrange(60))
        plugin = self.plugin("suffer", WORK, OUTSIDE.replace("FOLDER", self.folder))
        stages = [{"name": "only", "plugin": plugin, "timeout": "300ms"}]
        self.file = self.pipeline(stages, delivery="exactly_once", source={"file": {"path": self.write("in", lines(self.messages))}},
                                  on_error={"retries": 1}, queue={"capacity": 1024, "slot_bytes": 128}, cpu={"threads": 2})
        self.env = {"GPUQ_CACHE": self.path("cache")}
        self.run_ok(self.pipeline(stages, name="first", source={"stdin": {}}), env=self.env)  # a builder that is killed leaves its folder

    # --- strikes: each is given the run, and says how it may end; None: with any sentence -----------------------------------

    def kill_members(self, process, but=()):
        """In any order."""
        members = [pid for pid in harness.session_members(process.pid) if pid not in but]
        for pid in self.dice.sample(members, len(members)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill(self, process):
        process.kill()
        return (-signal.SIGKILL,)

    def kill_all(self, process):
        self.kill_members(process)

    def kill_and_tear(self, process):
        self.kill_members(process)
        process.wait()
        self.gone(process)
        self.tear()

    def kill_workers(self, process):
        self.kill_members(process, but=[process.pid])
        time.sleep(self.dice.uniform(0, 0.2))
        process.kill()

    def interrupt(self, process):
        process.send_signal(signal.SIGTERM)
        return (0, -signal.SIGTERM)  # it came before the run had set a handler

    def no_room(self, process):
        """The output or the letters cannot grow, as on a disk that is full."""
        size = os.path.getsize(self.out) if os.path.exists(self.out) else 0
        self.limit(process, resource.RLIMIT_FSIZE, size + self.dice.randrange(100000))

    def no_descriptors(self, process):
        """For a short time, in which its workers die; or it has not started yet, and cannot."""
        usual = self.limit(process, resource.RLIMIT_NOFILE, self.dice.randrange(8, 24))
        self.kill_members(process, but=[process.pid])
        time.sleep(self.dice.uniform(0, 0.2))
        if usual:
            self.limit(process, resource.RLIMIT_NOFILE, usual[0])
        time.sleep(0.1)
        process.kill()

    @staticmethod
    def limit(process, which, soft):
        try:
            usual = resource.prlimit(process.pid, which)
            resource.prlimit(process.pid, which, (soft, usual[1]))
            return usual
        except ProcessLookupError:
            return None

    # --- what a machine without power leaves ---------------------------------------------------------------------------------

    def records(self):
        """The whole ones of the checkpoint: (number, place, messages, bytes of the output), the newest first."""
        data = self.read("out.checkpoint") if os.path.exists(self.path("out.checkpoint")) else b""
        found = []
        for place in (0, PLACE):
            end = place + RECORD.size
            if len(data) >= end + 32 and hashlib.sha256(data[place:end]).digest() == data[end:end + 32]:
                _, number, _, _, messages, out_bytes, _ = RECORD.unpack_from(data, place)
                found.append((number, place, messages, out_bytes))
        return sorted(found, reverse=True)

    def tear(self):
        """Bytes that no record speaks of are lost or anything; so is a record that was being written, and what it spoke of."""
        records = self.records()
        if not records:
            return
        torn = self.dice.choice(("nothing", "newest", "older"))
        if torn == "newest" and len(records) == 2:
            self.garble("out.checkpoint", records[0][1], RECORD.size + 32)
            records = records[1:]
        elif torn == "older" and len(records) == 2:
            self.garble("out.checkpoint", records[1][1], RECORD.size + 32)
        _, _, messages, out_bytes = records[0]
        self.lose("out", out_bytes)
        if os.path.exists(self.path("pipeline.dlq")):
            self.lose("pipeline.dlq", self.end_of_letters(messages))

    def garble(self, name, at, size):
        with open(self.path(name), "r+b") as file:
            file.seek(at + self.dice.randrange(size // 2))
            file.write(self.dice.randbytes(size // 2))

    def lose(self, name, durable):
        """Of what is beyond, a part is left, and in it may be zeros."""
        size = os.path.getsize(self.path(name))
        if size <= durable:
            return
        left = self.dice.randrange(durable, size)
        os.truncate(self.path(name), left)
        if self.dice.randrange(2):
            os.truncate(self.path(name), size if name == "out" else left)

    def end_of_letters(self, messages):
        """Where the letters end that were made durable before a record said that so many messages are done with."""
        data, at = self.read("pipeline.dlq"), 32
        while at + dead_letter_file.FRAME.size <= len(data):
            _, size, _, _ = dead_letter_file.FRAME.unpack_from(data, at)
            body = data[at + dead_letter_file.FRAME.size:at + dead_letter_file.FRAME.size + size]
            if len(body) < size or dead_letter_file.HEAD.unpack_from(body)[1] > messages:
                break
            at += dead_letter_file.FRAME.size + size
        return min(at, len(data))

    # --- the storm -----------------------------------------------------------------------------------------------------------

    def gone(self, process):
        self.assertTrue(until(lambda: not harness.session_members(process.pid)), "a process outlives its run")

    def strike(self):
        strikes = (self.kill, self.kill, self.kill_all, self.kill_and_tear, self.kill_and_tear, self.kill_workers, self.interrupt,
                   self.no_room, self.no_descriptors)
        strike = self.dice.choice(strikes)
        process = self.start("run", self.file, env=self.env)
        time.sleep(self.dice.choice((0.02, 0.1, 0.3)) * self.dice.random())
        may_end = strike(process)
        code, _, err = self.finish(process)
        self.gone(process)
        self.done[strike.__name__] += 1
        self.done["workers that took over"] += err.count("another worker takes over")
        self.done["runs that had ended before"] += code == 0
        if may_end is not None:
            self.assertIn(code, (0, *may_end), f"{strike.__name__}: {err}")
        if code > 0:
            self.assertRegex(err, r"gpuq run: \S", strike.__name__)
            self.done["runs that ended with a sentence"] += 1

    def check_letters(self):
        """Each message that is to blame has one, of its class, whatever runs that were killed had written. One whose worker a strike
        killed while it was tried for the last time is told of by that."""
        letters = dead_letter_file.records(self.read("pipeline.dlq"))
        blamed = [(i + 1, *BLAMED[m[:1]]) for i, m in enumerate(self.messages) if m[:1] in BLAMED]
        self.assertEqual([r["position"] for r in letters], [position for position, _, _ in blamed])
        found = [(r["position"], r["class"], r["code"]) for r in letters]
        told_of_a_strike = [(was, got) for was, got in zip(blamed, found) if was != got]
        for was, got in told_of_a_strike:
            self.assertNotEqual(was[1], FAILED)
            self.assertEqual(got[1:], (FAULT, signal.SIGKILL), f"instead of {was}")
        self.assertLessEqual(len(told_of_a_strike), self.done["kill_workers"] + self.done["no_descriptors"])
        self.done["letters that tell of a strike"] = len(told_of_a_strike)
        self.assertEqual([r["message"] for r in letters], [self.messages[r["position"] - 1] for r in letters])
        self.done["dead letters"] = len(found)

    def test_whatever_happens_to_runs_the_output_is_that_of_one(self):
        start = time.monotonic()
        for _ in range(STRIKES):
            self.strike()
        resumed = self.run_ok(self.file, env=self.env)["resumed"]
        self.done["messages that runs before the last were done with"] = resumed
        unharmed = [m[::-1] for m in self.messages if m[:1] not in BLAMED and m[:1] != b"d"]
        self.assertTrue(self.read() == lines(unharmed), f"another output; seed {self.seed}")
        self.check_letters()
        for what, count in sorted(self.done.items()):
            print(f"{what:<50} {count:>8}")
        print(f"{len(self.messages)} messages, {STRIKES} strikes, {time.monotonic() - start:.1f} s", flush=True)


harness.main()
