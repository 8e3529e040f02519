#!/usr/bin/env python3
"""exactly_once.py - delivery: exactly_once: whatever ends a run from a file to a file, the next one goes on, and in the end the
output is what one run would have made; and what cannot keep that promise is refused."""
import json
import os
import random
import resource
import signal
import time
import dead_letter_file
import harness
from harness import lines, until
from operated import Operated

WORK = "for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[in.len - 1 - i]; *out->out_len = in.len;"


class ExactlyOnce(Operated):
    def setUp(self):
        super().setUp()
        numbers = random.Random(7)
        self.messages = [b"%06d" % i + b"." * numbers.randrange(90) for i in range(20000)]
        self.expected = lines([m[::-1] for m in self.messages if m[5:6] != b"7"])
        self.input = self.write("in", lines(self.messages))
        self.file = self.exact()

    def exact(self, body="if (in.payload[5] == '7') return gq_drop(out);" + WORK, outside="", source=None, stages=None, **keys):
        stages = stages or [{"plugin": self.plugin("reverse", body, outside)}]
        return self.pipeline(stages, source=source or {"file": {"path": self.input}}, delivery="exactly_once", **keys)

    def finished(self, file=None):
        """The summary of a run that ends by itself."""
        return self.run_ok(file or self.file)

    def killed_after(self, seconds):
        process = self.start("run", self.file)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        until(lambda: not harness.session_members(process.pid))

    def test_runs_that_are_killed_at_any_instant_make_the_output_of_one(self):
        numbers = random.Random(time.time_ns())
        rounds, resumed, longest = (12 if not harness.SANITIZED else 4), 0, 0.25
        end = time.monotonic() + 100
        while rounds > 0 or (resumed == 0 and time.monotonic() < end):
            rounds -= 1
            for name in ("out", "out.checkpoint"):
                if os.path.exists(self.path(name)):
                    os.remove(self.path(name))
            for _ in range(3):
                self.killed_after(numbers.uniform(0.02, longest))
            resumed += self.finished()["resumed"] > 0
            longest *= 1 if resumed else 2  # on a slow machine a run has not begun by then
            self.assertEqual(self.read(), self.expected)
        self.assertGreater(resumed, 0, "no kill came in the middle of a run")

    def test_an_interrupt_is_gone_on_from(self):
        process = self.start("run", self.exact(queue={"capacity": 16}, source={"file": {"path": self.input}}))
        until(lambda: os.path.exists(self.path("out.checkpoint")) and os.path.getsize(self.path("out.checkpoint")))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 0)
        summary = self.finished()
        self.assertEqual(summary["resumed"] + summary["messages_in"], len(self.messages))
        self.assertEqual(self.read(), self.expected)

    @harness.only_on("cpu", "device code has no files")
    def test_a_message_that_was_held_when_no_worker_was_left_is_the_next_runs(self):
        # One thread is inside of the first message, the other ends those behind it; then the worker is gone, and its program too.
        stages = [{"plugin": self.holding("in.payload[5] == '0' && in.payload[4] == '0'", WORK), "timeout": "off"}]
        file = self.exact(stages=stages, queue={"capacity": 64}, cpu={"threads": 2})
        code, _, err = self.without_worker("run", file)
        self.assertEqual(code, 69, err)
        self.finished(file)
        self.assertEqual(self.read(), lines(m[::-1] for m in self.messages))

    @harness.only_on("cpu", "device code has no files")
    def test_a_letter_that_no_record_speaks_of_is_written_once(self):
        # The host stands still until every message has ended, and takes them together: its letters are written, its output cannot be.
        messages = [b"%03d" % i + b"." * 100 for i in range(200)]
        held, go, last = (self.path(name) for name in ("held", "go", "last"))
        body = (f"if (in.msg_id == 1 && mkdir(\"{held}\", 0700) == 0) while (access(\"{go}\", F_OK) != 0) usleep(1000);\n"
                f"if (in.msg_id == 200) mkdir(\"{last}\", 0700);\nif (in.payload[2] == '7') return gq_fail(out, 7);" + WORK)
        stages = [{"plugin": self.plugin("fails", body, "#include <sys/stat.h>\n#include <unistd.h>\n"), "timeout": "off"}]
        file = self.exact(stages=stages, source={"file": {"path": self.write("in", lines(messages))}}, queue={"capacity": 256}, cpu={"threads": 1})
        process = self.start("run", file)
        self.assertTrue(until(lambda: os.path.exists(held)))
        process.send_signal(signal.SIGSTOP)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(lines(messages)) // 2, resource.RLIM_INFINITY))
        self.write("go", b"")
        self.assertTrue(until(lambda: os.path.exists(last)))
        time.sleep(0.1)  # it ends
        process.send_signal(signal.SIGCONT)
        code, _, err = self.finish(process)
        self.assertIn(code, (74, -signal.SIGXFSZ), err)
        before = [r["position"] for r in dead_letter_file.records(self.read("pipeline.dlq"))]
        self.assertTrue(before and self.finished(file)["resumed"] < before[-1], "the record speaks of every letter")
        failed = [i + 1 for i, m in enumerate(messages) if m[2:3] == b"7"]
        self.assertEqual([r["position"] for r in dead_letter_file.records(self.read("pipeline.dlq"))], failed)
        self.assertEqual(self.read(), lines(m[::-1] for i, m in enumerate(messages) if i + 1 not in failed))

    def test_what_is_appended_to_the_source_is_processed_and_nothing_twice(self):
        self.assertEqual(self.finished()["messages_in"], len(self.messages))
        again = self.finished()
        self.assertEqual((again["resumed"], again["messages_in"]), (len(self.messages), 0))
        with open(self.input, "ab") as file:
            file.write(b"000001appended\n")
        self.assertEqual(self.finished()["messages_in"], 1)
        self.assertEqual(self.read(), self.expected + b"dedneppa100000\n")

    def test_a_letter_has_its_place_in_the_file_whichever_run_wrote_it(self):
        self.write("in", b"000001one\n000007two\n000001three\n")
        file = self.exact("if (in.payload[5] == '7') return gq_fail(out, 7);" + WORK)
        self.finished(file)
        with open(self.input, "ab") as source:
            source.write(b"000007four\n")
        self.assertEqual(self.finished(file)["resumed"], 3)
        self.assertEqual([r["position"] for r in dead_letter_file.records(self.read("pipeline.dlq"))], [2, 4])

    def test_a_last_line_whose_end_comes_later_is_one_line(self):
        self.write("in", b"000001one\n000002two")
        self.assertEqual(self.finished()["messages_in"], 2)
        with open(self.input, "ab") as file:
            file.write(b"\n000003three\n")
        again = self.finished()
        self.assertEqual((again["resumed"], again["messages_in"]), (2, 1))
        self.assertEqual(self.read(), b"eno100000\nowt200000\neerht300000\n")

    def test_a_last_line_that_goes_on_later_is_refused(self):
        self.write("in", b"000001one\n000002two")
        self.finished()
        with open(self.input, "ab") as file:
            file.write(b"fold\n")
        code, _, err = self.finish(self.start("run", self.file))
        self.assertEqual(code, 65, err)
        self.assertIn(f"gpuq run: going on behind {self.out}.checkpoint: {self.input}:2: this line had no end when an earlier run "
                      "took it, at offset 19, and goes on now", err)
        self.assertEqual(self.read(), b"eno100000\nowt200000\n")
        self.write("in", b"000001one\n000002two")
        self.assertEqual(self.finished()["resumed"], 2)

    def test_a_whole_input_that_grew_is_refused(self):
        source = {"file": {"path": self.write("in", b"000001one"), "split": "whole"}}
        file = self.exact(source=source)
        self.assertEqual(self.finished(file)["messages_in"], 1)
        self.assertEqual(self.finished(file)["resumed"], 1)
        self.write("in", b"000001one and more")
        code, _, err = self.finish(self.start("run", file))
        self.assertEqual(code, 65, err)
        self.assertIn(f"{self.input} has 18 bytes, and an earlier run took the first 9 of it as the whole: ", err)
        self.assertEqual(self.read(), b"eno100000\n")

    def test_a_run_that_fails_in_the_middle_goes_on_when_it_is_mended(self):
        self.write("in", lines(self.messages[:15000] + [b"x" * 2000] + self.messages[15000:]))
        code, _, err = self.finish(self.start("run", self.file))
        self.assertEqual(code, 65, err)
        self.assertIn(":15001: the line is longer than queue.slot_bytes", err)
        self.write("in", lines(self.messages))  # the same up to there
        summary = self.finished()
        self.assertEqual((summary["resumed"], summary["messages_in"]), (15000, 5000))
        self.assertEqual(self.read(), self.expected)

    def test_other_framings_go_on_too(self):
        for split, framed in (("length32", harness.length32), ("varint", harness.varint)):
            with self.subTest(split=split):
                source = self.write("in." + split, framed(self.messages))
                file = self.exact(source={"file": {"path": source, "split": split}}, sink={"file": {"path": self.path("o." + split), "join": split}})
                self.file = file
                for _ in range(3):
                    self.killed_after(0.1)
                self.finished(file)
                self.assertEqual(self.read("o." + split), framed([m[::-1] for m in self.messages if m[5:6] != b"7"]))

    def test_a_checkpoint_of_another_source_is_refused_as_other_things_are(self):
        self.finished()
        code, _, err = self.finish(self.start("run", self.exact(source={"file": {"path": self.input, "split": "length32"}})))
        self.assertEqual(code, 78, err)
        self.assertTrue(err.startswith(f"gpuq run: the checkpoint {self.path('out.checkpoint')} was written for another source, "), err)

    def test_two_runs_at_once_are_refused(self):
        os.mkfifo(self.path("fifo"))
        first = self.start("run", self.exact("__nanosleep(1000000);" + WORK))
        self.assertTrue(until(lambda: os.path.exists(self.path("out.checkpoint")) and os.path.getsize(self.path("out.checkpoint"))))
        code, _, err = self.finish(self.start("run", self.file))
        self.assertEqual(code, 1, err)
        self.assertIn("another run has the checkpoint " + self.path("out.checkpoint"), err)
        first.kill()

    def test_a_checkpoint_without_a_record_beside_an_output_is_refused(self):
        self.finished()
        for content in (b"", bytes(100), bytes(4096), bytes(4208)):
            self.write("out.checkpoint", content)
            code, _, err = self.finish(self.start("run", self.file))
            self.assertEqual(code, 65, err)
            self.assertIn("out.checkpoint has no whole record: it is damaged, or another program's; restore it, or remove it to begin anew", err)
            self.assertEqual(self.read(), self.expected)
            self.assertEqual(self.read("out.checkpoint"), content)
        os.remove(self.out)
        self.assertEqual(self.finished()["messages_in"], len(self.messages))
        self.assertEqual(self.read(), self.expected)

    def test_an_output_that_was_there_before_the_first_run_is_emptied(self):
        self.write("out", b"of another program\n")
        self.finished()
        self.assertEqual(self.read(), self.expected)
        self.assertFalse(os.path.exists(self.path("out.checkpoint.new")))

    def test_pairs_that_cannot_are_refused_with_those_that_can(self):
        for source, sink, named in (({"stdin": {}}, None, "stdin and file"), (None, {"stdout": {}}, "file and stdout"),
                                    ({"generate": {"count": 1}}, {"null": {}}, "generate and null")):
            keys = {"source": source or {"file": {"path": self.input}}, "delivery": "exactly_once", **({"sink": sink} if sink else {})}
            code, out, err = self.finish(self.start("lint", self.pipeline(**keys)))
            self.assertEqual(code, 78, err)
            self.assertRegex(out.decode() + err, r"pipeline\.yaml:\d+:\d+: error: delivery: exactly_once is for source file with sink file, "
                             rf"and these are {named}: name files, or leave it out")

    def test_a_plugin_with_state_is_refused(self):
        file = self.exact("(*(uint32_t *)gq_state(4))++;" + WORK, "GQ_STATE(4, 1);\n")
        code, _, err = self.finish(self.start("run", file))
        self.assertEqual(code, 65, err)
        self.assertIn("stage 'reverse' has state of 4 bytes, which a run that goes on after another one does not have", err)

    @harness.only_on("cpu", "device code has no usleep()")
    def test_a_swap_to_a_plugin_with_state_is_refused(self):
        run = self.running(self.exact("usleep(5000);" + WORK, "#include <unistd.h>\n", queue={"capacity": 16}))
        counts = self.plugin("counts", "(*(uint32_t *)gq_state(4))++;" + WORK, "GQ_STATE(4, 1);\n")
        code, _, err = self.gpuq("swap", "reverse", counts)
        self.assertEqual(code, 65, err)
        self.assertIn("counts.cu declares state of 4 bytes, and delivery: exactly_once is for plugins without", err)
        self.stop(run)

    def test_files_that_are_no_files_are_refused(self):
        os.mkfifo(self.path("fifo"))
        os.symlink("/dev/null", self.path("null"))
        for side, kind in (("source", "fifo"), ("sink", "fifo"), ("sink", "null")):
            file = self.exact(**{side: {"file": {"path": self.path(kind)}}})
            for command in ("lint", "run"):
                code, out, err = self.finish(self.start(command, file), timeout=20)
                self.assertEqual(code, 78, err)
                self.assertIn(f"error: {side}.file.path: delivery: exactly_once goes on in the middle of a file, and this is no regular file: ",
                              out.decode() + err)
        self.assertFalse(os.path.exists(self.out) or os.path.exists(self.path("fifo.checkpoint")) or os.path.exists(self.path("null.checkpoint")))

    def test_a_checkpoint_that_is_a_link_is_refused_with_the_reason(self):
        for name in ("out.checkpoint", "out.checkpoint.new"):
            os.symlink("elsewhere", self.path(name))
            code, _, err = self.finish(self.start("run", self.exact()))
            self.assertEqual((code, err), (74, f"gpuq run: the checkpoint {self.path(name)} is a symbolic link, and not the file that was "
                                               "expected: remove the link, or put the file there\n"))
            os.remove(self.path(name))
        self.assertFalse(os.path.exists(self.path("elsewhere")))

    def test_an_output_that_is_gone_is_refused_and_not_made(self):
        self.finished()
        os.remove(self.out)
        code, _, err = self.finish(self.start("run", self.file))
        self.assertEqual(code, 65, err)
        self.assertIn(f"{self.out} is missing, and its checkpoint says that an earlier run made {len(self.expected)} bytes: "
                      "restore it, or remove the checkpoint to begin anew", err)
        self.assertFalse(os.path.exists(self.out))
        self.write("out", self.expected[:10])
        code, _, err = self.finish(self.start("run", self.file))
        self.assertEqual(code, 65, err)
        self.assertIn(f"{self.out} has 10 bytes, and its checkpoint says that an earlier run made {len(self.expected)}: restore it", err)
        self.write("out", self.expected)
        self.assertEqual(self.finished()["messages_in"], 0)

    def test_the_summary_says_what_earlier_runs_did(self):
        self.finished()
        _, _, err = self.finish(self.start("run", self.file))
        self.assertIn("resumed   behind 20000 messages, which earlier runs were done with\n", err)

    def test_without_it_a_run_begins_anew(self):
        whole = json.loads(self.read("pipeline.yaml"))
        del whole["delivery"]
        file = self.write("plain.yaml", json.dumps(whole))
        for _ in range(2):
            self.assertEqual(self.run_ok(file)["messages_in"], len(self.messages))
            self.assertEqual(self.read(), self.expected)
        self.assertFalse(os.path.exists(self.path("out.checkpoint")))


harness.main()
