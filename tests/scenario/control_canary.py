#!/usr/bin/env python3
"""control_canary.py - gpuq swap --canary against a running pipeline: the new version serves a share of the messages while both are
watched, and then all or none. Whatever ends it, no message is lost, and the log says what was compared."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unittest
import harness
from harness import only_on, until
from operated import Operated

# A device's compiler keeps clocks, and leaves out loops over anything else.
LOOP = "for (const long long start = clock64(); clock64() - start < {};) continue;"
SLOW = LOOP.format(500000)
COUNTS = ("canary_ppm", "canary_messages", "canary_failed", "live_messages", "live_failed")


class Options(Operated):
    def test_what_is_not_as_it_should_be_is_said_for_each_option(self):
        share = r"a percentage, with at most four digits after the dot, from 0\.0001% to {}%, not '{}'"
        for arguments, said in (
                (("--canary", "5"), "--canary takes " + share.format(50, "5")),
                (("--canary", "50.0001%"), "--canary takes " + share.format(50, r"50\.0001%")),
                (("--canary", "0%"), "--canary takes " + share.format(50, "0%")),
                (("--canary", "5.00001%"), "--canary takes "), (("--canary", ".5%"), "--canary takes "), (("--canary", "5.%"), "--canary takes "),
                (("--canary", "-5%"), "--canary takes "), (("--canary", "5%%"), "--canary takes "), (("--canary", "0x5%"), "--canary takes "),
                (("--canary", f"{2**64 // 10**4 + 1}%"), "--canary takes "), (("--canary", ""), "--canary takes "),
                (("--canary", "5%", "--canary-for", "99ms"), "--canary-for takes a duration with its unit, such as 30s, from 100ms to 24h, not '99ms'"),
                (("--canary", "5%", "--canary-for", "25h"), "--canary-for takes "),
                (("--canary", "5%", "--canary-for", "30"), "--canary-for takes .*; the units are h, m, s and ms"),
                (("--canary", "5%", "--canary-messages", "0"), "--canary-messages takes a whole number from 1 to 4294967295, not '0'"),
                (("--canary", "5%", "--canary-messages", "4294967296"), "--canary-messages takes "),
                (("--canary", "5%", "--canary-failures", "101%"), "--canary-failures takes " + share.format(100, "101%")),
                (("--canary", "5%", "--canary-p99", "150.5%"), r"--canary-p99 takes a whole percentage from 1% to 100000%, not '150\.5%'"),
                (("--canary", "5%", "--canary-p99", "0%"), "--canary-p99 takes "),
                (("--canary-for", "5s"), "--canary-for is about a canary: it goes with --canary, such as --canary 5%"),
                (("--canary-p99", "200%", "--canary-messages", "9"), "--canary-messages is about a canary"),
                (("--canary",), "--canary lacks its value; try `gpuq help swap`")):
            code, out, err = self.gpuq("swap", "a", *arguments)
            self.assertEqual((code, out), (64, b""), (arguments, err))
            self.assertRegex(err, r"\Agpuq swap: " + said, arguments)
            self.assertEqual(err.count("\n"), 1, err)
        for command in ("rollback", "reload"):
            code, _, err = self.gpuq(command, "--canary", "5%", "a")
            self.assertEqual((code, err), (64, f"gpuq {command}: it does not take --canary; try `gpuq help {command}`\n"))

    def test_the_server_reads_numbers_alone(self):
        run = self.running(self.pipeline([{"plugin": self.letter("a", "a")}], source=self.SOURCE))
        for fields in ("canary_ppm=0", "canary_ppm=500001", 'canary_ppm="5%"', "canary_ppm=-1", 'canary_ppm=" 5"', "canary_ppm=0x10", 'canary_ppm=""',
                       "canary_ppm=18446744073709551617", "canary_ppm=1 canary_ms=99", "canary_ppm=1 canary_ms=86400001", "canary_ppm=1 canary_messages=0",
                       "canary_ppm=1 canary_failures=1000001", "canary_ppm=1 canary_p99=0", "canary_ppm=1 canary_p99=100001", "canary_p99=150",
                       "canary_ppm=1 canary_ppm=2 canary_share=1"):
            s = self.connect(run)
            s.sendall(f"swap stage=a {fields}\n".encode())
            (_, answer), = self.answer(s)
            self.assertEqual((answer["status"], answer["exit_code"]), ("GQ_ERR_INVALID_ARG", 64), (fields, answer))
            if "ms=" in fields:
                self.assertEqual(answer["error"], f"canary_ms is a whole number from 100 to 86400000, not '{fields.split('=')[-1]}'")
        s = self.connect(run)
        s.sendall(b"rollback stage=a canary_ppm=1\n")
        self.assertEqual(self.answer(s)[0][1]["exit_code"], 64)
        self.assertEqual(self.live()["version"], 1)
        self.stop(run)


@only_on("cpu", "on a GPU whole lanes are shared out, and these pipelines have one")
class Canaries(Operated):
    SOURCE = {"generate": {"count": 10**12, "bytes": 16, "rate": "4000/s"}}

    def setUp(self):
        super().setUp()
        self.a, self.b = self.letter("a", "a"), self.letter("b", "b")
        self.run_ = self.serving(self.a, cpu={"threads": 2})

    def serving(self, file, timeout="30s", source=SOURCE, **more):
        """A run of one stage, whose timeout no message reaches for what else the machine does."""
        return self.running(self.pipeline([{"name": "a", "plugin": file, "timeout": timeout}], source=source, on_error={"retries": 0}, **more))

    def canary(self, *arguments, file=None, share="50%"):
        """A client that waits for its canary."""
        return self.start("swap", "--json", "--canary", share, *arguments, "a", file or self.b)

    def watched(self, *arguments):
        """The same, when its canary is on."""
        client = self.canary(*arguments)
        self.assertTrue(until(lambda: self.state("canary") or client.poll() is not None))
        self.assertIsNone(client.poll(), client.stderr)
        return client

    def verdict(self, client, code):
        got, out, err = self.finish(client)
        self.assertEqual(got, code, (out, err))
        return json.loads(out)

    def state(self, state):
        """The versions in a state."""
        return [v for v in self.ask("plugins")["versions"] if v["state"] == state]

    def settled(self, version):
        """A version that serves no more."""
        def find():
            found, = [v for v in self.ask("plugins")["versions"] if v["version"] == version]
            return found if found["state"] == "warm" else None
        found = until(find)
        self.assertTrue(found, version)
        return found

    def stop(self, process, code=0):
        """As of any run; each message of it came out, or is in the dead letters."""
        said = super().stop(process, code)
        self.assert_all_there(said)
        return said

    def assert_all_there(self, said):
        counts = re.search(r"messages  (\d+) in, (\d+) out, (\d+) failed", "\n".join(said))
        went_in, out, failed = map(int, counts.groups())
        self.assertEqual((went_in - failed, out), (out, self.read().count(b"\n")), said)

    def test_a_healthy_one_goes_live_for_all(self):
        answer = self.verdict(self.canary("--canary-for", "1s", "--canary-p99", "100000%", share="25%"), 0)
        self.assertEqual((answer["step"], answer["version"], answer["live"], answer["canary_failed"], answer["live_failed"]), ("done", 2, 2, 0, 0))
        self.assertAlmostEqual(answer["canary_ppm"], 250000, delta=10000)
        self.assertGreater(answer["live_messages"], answer["canary_messages"])
        self.assertGreater(answer["canary_messages"], 0)
        self.assertGreaterEqual(answer["total_ns"], 10**9)
        self.assertTrue(self.last_letters("b"))
        self.assertRegex(self.read().decode(), r"\A(a\n)+(b\n)+(a\n)+")  # a share first,
        self.assertEqual(set(self.read().split()), {b"a", b"b"})
        self.assertEqual(self.live()["version"], 2)
        old = self.settled(1)
        self.assertEqual(self.read().count(b"a"), old["messages"])  # and all in the end
        line, = self.audit(self.run_, command="swap")
        self.assertEqual((line["outcome"], line["step"], line["generation"], *(line[c] for c in COUNTS)),
                         ("live", "done", answer["generation"], *(answer[c] for c in COUNTS)))
        self.stop(self.run_)

    def test_people_read_what_was_compared(self):
        served = r"\d+ messages, 0 failed(, p99 [\d.]+ [num]s)?"
        start = time.monotonic()
        code, out, err = self.gpuq("swap", "--canary", "50%", "--canary-for", "60s", "--canary-messages", "300", "--canary-p99", "100000%", "a", self.b)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out.decode(), r"\Aa: version 2 is live \(generation 3, digest [0-9a-f]{12}\)\n  build .* in all\n"
                         rf"  canary, with a share of [\d.]+%: {served}\n  beside it: {served}\n\Z")
        self.assertLess(time.monotonic() - start, 30)  # it had enough messages before its time was over
        fails = self.plugin("fails", "out->out[0] = 'f'; *out->out_len = 1; if (in.msg_id % 4 == 0) gq_fail(out, 7);")
        code, out, err = self.gpuq("swap", "--canary", "50%", "--canary-for", "60s", "--canary-messages", "300", "a", fails)
        self.assertEqual((code, out), (65, b""))
        self.assertRegex(err, r"\Agpuq swap: refused at step canary; version 2 of a serves on\n"
                         r"the canary of stage 'a', version 3, was rolled back: \d+ of its \d+ results failed, .* %, and of version 2's 0 of \d+, 0 %.*\n"
                         rf"  canary, with a share of [\d.]+%: \d+ messages, \d+ failed \((1|2|3)\d(\.\d)?%\)(, p99 .*)?\n  beside it: {served}\n\Z")
        self.stop(self.run_)

    def test_one_that_fails_more_is_rolled_back_before_its_time(self):
        fails = self.plugin("fails", "out->out[0] = 'f'; *out->out_len = 1; if (in.msg_id % 10 == 0) gq_fail(out, 7);")
        answer = self.verdict(self.canary("--canary-for", "60s", file=fails), 65)
        self.assertEqual((answer["status"], answer["step"], answer["version"], answer["live"]), ("GQ_ERR_PLUGIN", "canary", 2, 1))
        self.assertGreaterEqual(answer["canary_messages"], 1000)
        self.assertLess(answer["total_ns"], 30 * 10**9)
        self.assertIn(f"{answer['canary_failed']} of its {answer['canary_messages']} results failed", answer["error"])
        old = self.settled(2)
        self.assertGreaterEqual(old["messages"], answer["canary_messages"])
        self.assertLess(old["messages"], answer["canary_messages"] + 1000)  # what it had when it was rolled back
        stats = self.ask("stats")
        self.assertEqual((stats["failed"], stats["dead"]), (old["failed"], old["failed"]))
        self.assertTrue(until(lambda: self.read().count(b"f") == old["messages"] - old["failed"]))
        self.assertTrue(self.last_letters("a"))
        line, = self.audit(self.run_, command="swap")
        self.assertEqual((line["outcome"], line["step"], *(line[c] for c in COUNTS)), ("refused", "canary", *(answer[c] for c in COUNTS)))
        answer = self.verdict(self.canary("--canary-for", "400ms", "--canary-failures", "30%", "--canary-p99", "100000%", file=fails), 0)
        self.assertGreater(answer["canary_failed"], 0)  # so many were allowed
        self.assertEqual(self.live()["version"], answer["version"])
        self.stop(self.run_)

    def test_one_that_is_slow_is_rolled_back(self):
        slow = self.plugin("slow", SLOW + "out->out[0] = 's'; *out->out_len = 1;")
        # What else the machine does makes both slow. A hundredth of the live version's p99 is less than the loop takes, whatever it does.
        answer = self.verdict(self.canary("--canary-for", "60s", "--canary-messages", "4000", "--canary-p99", "1%", file=slow), 65)
        self.assertEqual((answer["step"], answer["live"], answer["canary_failed"]), ("canary", 1, 0))
        self.assertRegex(answer["error"], r"was rolled back: its p99 is [\d.]+ us, and that of version 1 (beside|before) it [\d.]+ us; canary_p99 allows 1 %")
        self.assertGreater(answer["canary_p99_ns"], 100000)
        self.assertGreater(answer["live_p99_ns"], 0)
        self.assertTrue(self.last_letters("a"))
        self.stop(self.run_)

    def served(self, count):
        """When the live version has so many results."""
        self.assertTrue(until(lambda: self.live()["messages"] >= count))

    @unittest.skipIf(harness.SANITIZED, "its live version is as slow")
    def test_one_that_is_slow_beyond_doubt_is_rolled_back_before_its_time(self):
        slow = self.plugin("slow", SLOW + "out->out[0] = 's'; *out->out_len = 1;")
        self.served(8000)
        for _ in range(3):  # beside others a live version may be as slow now and then; of all that it was the fastest counts
            answer = self.verdict(self.canary("--canary-for", "20s", file=slow), 65)
            self.assertRegex(answer["error"], r"was rolled back: its p99 is [\d.]+ us, and that of version 1 (beside|before) it [\d.]+ us; canary_p99 allows 150 %")
            if answer["total_ns"] < 15 * 10**9:
                break
        self.assertGreaterEqual(answer["canary_messages"], 5000)
        self.assertTrue(5 * 10**9 <= answer["total_ns"] < 15 * 10**9, answer)
        self.assertTrue(self.last_letters("a"))
        self.stop(self.run_)

    def test_one_that_is_slow_in_its_beginning_alone_is_watched_to_the_end(self):
        slow = self.plugin("slow", "static long long first = clock64(); if (clock64() - first < 2000000000) " + SLOW + "out->out[0] = 's'; *out->out_len = 1;")
        self.served(2000)
        _, out, err = self.finish(self.canary("--canary-for", "8s", file=slow))
        answer = json.loads(out)
        self.assertGreaterEqual(answer["total_ns"], 8 * 10**9, err)
        self.assertGreater(answer["canary_p99_ns"], 100000)
        self.stop(self.run_)

    def test_one_that_makes_the_live_version_as_slow_is_rolled_back(self):
        slow = self.plugin("slow", LOOP.format(10000000) + "out->out[0] = 's'; *out->out_len = 1;")
        self.served(2000)
        for version in (2, 3):  # what the first spoilt is not what the next is compared with
            code, out, err = self.gpuq("swap", "--canary", "50%", "--canary-for", "4s", "a", slow)
            self.assertEqual((code, out), (65, b""), err)
            self.assertRegex(err, rf"the canary of stage 'a', version {version}, was rolled back: its p99 is [\d.]+ us, and that of version 1 before it "
                             r"[\d.]+ us; canary_p99 allows 150 %; what is beside it waits for its messages, each of which takes the worker [\d.]+ times as long\n")
            self.assertRegex(err, r"\n  before it: p99 [\d.]+ [num]s, which was compared: a message of the canary's takes the worker [\d.]+ times as long\n\Z")
        for line in self.audit(self.run_, command="swap", count=2):
            self.assertEqual((line["outcome"], line["canary_against"]), ("refused", "before"))
        self.assertEqual(self.live()["version"], 1)
        self.stop(self.run_)

    def test_one_behind_which_the_live_version_gets_no_turn_is_rolled_back(self):
        slow = self.plugin("slow", LOOP.format(40000000) + "out->out[0] = 's'; *out->out_len = 1;")
        self.served(2000)
        answer = self.verdict(self.canary("--canary-for", "1500ms", "--canary-p99", "1%", file=slow), 65)
        self.assertRegex(answer["error"], "was rolled back: its p99 is .* version 1 before it .* times as long$")
        self.assertEqual(answer["canary_against"], "before")
        self.stop(self.run_)

    def serving_alone(self, first):
        """A run of one thread, whose live version does this first with each message, and has served 2,000."""
        live = self.plugin("live", first + "out->out[0] = 'a'; *out->out_len = 1;")
        self.stop(self.run_)
        os.remove(self.out)
        self.run_ = self.serving(live, source={"generate": {"count": 10**12, "bytes": 16, "rate": "1000/s"}}, cpu={"threads": 1})
        self.served(2000)

    def test_one_that_takes_all_threads_is_not_excused_by_what_few_messages_took_before(self):
        """When the live version has had nothing beside it, what a message of its took is known from its mean before, not from its p99."""
        slow = self.plugin("slow", LOOP.format(40000000) + "out->out[0] = 's'; *out->out_len = 1;")
        self.serving_alone("if ((in.msg_id & 0xffffffffu) % 500 == 499) " + LOOP.format(100000000))
        for _ in range(6):  # of two runs in a row, the first is the canary's or the live version's
            answer = self.verdict(self.canary("--canary-for", "3s", file=slow), 65)
            if answer["canary_messages"] == 0:
                self.assertRegex(answer["error"], "was rolled back: it had no result within 3000 ms; watch it for longer$")
                continue
            self.assertEqual(answer["canary_against"], "before", answer)
            self.assertGreater(answer["before_p99_ns"], 40000000)
            if answer["live_messages"] == 0:
                break
        self.stop(self.run_)

    def test_one_that_takes_all_threads_is_not_excused_by_how_long_messages_waited_before(self):
        """A slow beginning is in the live version's mean, and not in the time that its threads had for a result."""
        slow = self.plugin("slow", LOOP.format(40000000) + "out->out[0] = 's'; *out->out_len = 1;")
        self.serving_alone("if ((in.msg_id & 0xffffffffu) == 1) " + LOOP.format(500000000))
        for _ in range(6):
            answer = self.verdict(self.canary("--canary-for", "3s", file=slow), 65)
            if answer["canary_messages"] == 0:
                continue
            self.assertEqual(answer["canary_against"], "before", answer)
            self.assertGreater(answer["before_p99_ns"], 300000000)
            if answer["live_messages"] < 100:
                break
        self.stop(self.run_)

    def test_one_that_is_no_slower_goes_live_however_slow_both_become(self):
        more = "if ((in.msg_id & 0xffffffffu) > 12000) " + LOOP.format(600000)  # later messages take longer, whoever serves them
        one, other = (self.plugin(n, f"{more} out->out[0] = '{n}'; *out->out_len = 1;") for n in "mn")
        self.ask("swap", "a", other)  # built by now, so that its canary begins before that
        self.stop(self.run_)
        os.remove(self.out)
        self.run_ = self.serving(one, cpu={"threads": 2})
        self.served(2000)
        answer = self.verdict(self.canary("--canary-for", "60s", "--canary-messages", "10000", "--canary-p99", "200%", file=other), 0)
        self.assertEqual((answer["live"], answer["canary_against"]), (2, "beside"))
        self.assertGreater(answer["canary_p99_ns"], 2 * answer["before_p99_ns"])
        self.assertGreater(answer["canary_cost"], 0)
        self.assertLess(answer["canary_cost"], 200)
        self.stop(self.run_)

    def test_a_rollback_ends_it_and_use_has_it_again(self):
        client = self.watched("--canary-for", "60s")
        watched, = self.state("canary")
        self.assertEqual((watched["version"], self.live()["version"]), (2, 1))
        self.assertTrue(until(lambda: self.state("canary")[0]["messages"] > 0))
        code, out, err = self.gpuq("rollback", "a")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out.decode(), r"\Aa: version 1 is live \(generation 3, digest [0-9a-f]{12}\)\n\Z")
        answer = self.verdict(client, 65)
        self.assertEqual((answer["step"], answer["live"]), ("canary", 1))
        self.assertEqual(self.settled(2)["version"], 2)
        self.assertTrue(self.last_letters("a"))
        self.assertEqual(self.audit(self.run_, command="rollback")[0]["status"], "GQ_OK")
        self.assertEqual(self.audit(self.run_, command="swap")[0]["outcome"], "refused")
        self.ask("use", "a", "2")
        self.assertTrue(self.last_letters("b"))
        self.stop(self.run_)

    def test_an_interrupt_rolls_it_back_and_drains(self):
        client = self.watched("--canary-for", "60s")
        said = self.stop(self.run_)
        answer = self.verdict(client, 1)
        self.assertEqual((answer["status"], answer["step"], answer["live"]), ("GQ_ERR_SHUTDOWN", "canary", 1))
        self.assertEqual(sum(line.startswith("audit ") and 'step="canary"' in line for line in said), 1)

    def test_the_end_of_the_source_rolls_it_back(self):
        self.stop(self.run_)
        os.remove(self.out)
        run = self.running(self.pipeline([{"plugin": self.a}], source={"generate": {"count": 12000, "bytes": 16, "rate": "4000/s"}}))
        answer = self.verdict(self.watched("--canary-for", "60s"), 1)
        self.assertEqual((answer["status"], answer["step"]), ("GQ_ERR_SHUTDOWN", "canary"))
        run.wait(30)
        run.collector.join(10)
        self.assertEqual((run.returncode, self.read().count(b"\n")), (0, 12000), self.said[run.pid])

    def test_one_that_ends_its_worker_is_rolled_back_with_the_cause(self):
        self.stop(self.run_)
        for name, body, cause in (("hung", "for (volatile int more = 1; more;) continue;",
                                   r"a message did not end within its stage's timeout: the worker was ended while it processed message \d+ in "
                                   r"stage 'a' \(version 2, .*/hung\.cu\)"),
                                  ("torn", "out->out[0] = *(const volatile uint8_t *)(in.len + 64ull);",
                                   r"the worker was killed by SIGSEGV at address 0x50 while it processed message \d+ in stage 'a' \(version 2, ")):
            os.remove(self.out)
            run = self.serving(self.a, timeout="500ms")
            answer = self.verdict(self.canary("--canary-for", "60s", file=self.plugin(name, body)), 65)
            self.assertEqual((answer["status"], answer["step"], answer["live"]), ("GQ_ERR_PLUGIN", "canary", 1))
            self.assertRegex(answer["error"], r"\Athe canary of stage 'a', version 2, was rolled back: " + cause)
            self.assertTrue(self.last_letters("a"))
            self.stop(run)

    def test_it_is_decided_when_its_client_is_gone(self):
        client = self.watched("--canary-for", "2s", "--canary-p99", "100000%")
        client.send_signal(signal.SIGKILL)
        client.wait()
        self.assertEqual(self.state("live")[0]["version"], 1)
        line, = self.audit(self.run_, command="swap")
        self.assertEqual((line["outcome"], line["version"], line["pid"]), ("live", 2, client.pid))
        self.assertTrue(self.last_letters("b"))
        self.stop(self.run_)

    def test_others_wait_and_those_who_look_do_not(self):
        c = self.letter("c", "c")
        client = self.watched("--canary-for", "2500ms", "--canary-p99", "100000%")
        other = self.start("swap", "--json", "a", c)
        self.assertEqual(self.ask("stats")["status"], "GQ_OK")
        self.assertTrue(self.state("canary"))
        self.assertIsNone(other.poll())
        first, second = self.verdict(client, 0), self.verdict(other, 0)
        self.assertEqual((first["version"], second["version"], second["generation"]), (2, 3, first["generation"] + 1))
        self.assertNotIn(b"c", self.read()[:self.read().rindex(b"a")])
        self.assertTrue(self.last_letters("c"))
        self.stop(self.run_)

    def test_however_many_wait_for_it_a_rollback_ends_it(self):
        client = self.watched("--canary-for", "60s")
        waiting = [self.connect(self.run_) for _ in range(15)]  # with the canary's as many as there may be
        for s in waiting:
            s.sendall(f'swap stage=a file="{self.a}"\n'.encode())
        self.assertTrue(until(lambda: len(select.select(waiting, [], [], 0)[0]) == 4))  # which were too many
        self.assertTrue(self.state("canary"))
        self.ask("rollback", "a")
        self.verdict(client, 65)
        said = {self.answer(s)[0][1]["status"] for s in waiting}
        self.assertEqual(said, {"GQ_OK", "GQ_ERR_FULL"})
        self.stop(self.run_)

    def on_a_terminal(self, file, *arguments, columns=80):
        """Standard error of a swap, as a terminal has it."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        client = self.start("swap", *arguments, "--canary", "50%", "--canary-for", "1500ms", "--canary-p99", "100000%", "a", file, stderr=slave)
        os.close(slave)
        data = b""
        while True:
            try:
                more = os.read(master, 4096)
            except OSError:  # the client has closed it
                more = b""
            if not more:
                break
            data += more
        os.close(master)
        self.assertEqual(self.finish(client)[0], 0, data)
        return data.decode()

    def test_who_waits_at_a_terminal_sees_it_run(self):
        said = self.on_a_terminal(self.b)
        lines = said.split("\r\x1b[K")
        self.assertGreaterEqual(len(lines), 3, said)
        self.assertEqual((lines[0], lines[-1]), ("", ""), said)  # it is taken away
        for line in lines[1:-1]:
            self.assertRegex(line, r"\A  canary version 2: \d+, 0 failed; live version 1: \d+, 0 failed\Z")
        self.assertEqual(self.on_a_terminal(self.a, "--json"), "")
        self.stop(self.run_)

    def test_what_stands_in_its_line_is_of_the_canarys_time(self):
        self.served(10000)
        said = self.on_a_terminal(self.b)
        counts = [tuple(map(int, n)) for n in re.findall(r"  canary version 2: (\d+), 0 failed; live version 1: (\d+), 0 failed", said)]
        self.assertTrue(counts, said)
        self.assertLess(max(live for _, live in counts), 9000, said)  # 1.5 s of 2,000/s, on a slow machine more
        self.assertNotIn("beside_messages", self.ask("plugins")["versions"][1])
        self.stop(self.run_)

    def test_its_line_is_no_longer_than_the_terminal_is_wide(self):
        said = self.on_a_terminal(self.b, columns=40).split("\r\x1b[K")
        self.assertGreaterEqual(len(said), 3, said)
        for line in said[1:-1]:
            self.assertEqual((len(line), line[:19]), (39, "  canary version 2:"), said)
        self.stop(self.run_)


harness.main()
