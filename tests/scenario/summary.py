#!/usr/bin/env python3
"""summary.py - what a run says of itself is true, on standard error; on standard output there is nothing but data."""
import json
import os
import pty
import re
import subprocess
import time
import harness
from harness import ECHO, lines

MOODY = ("if (in.len && in.payload[0] == 'd') return gq_drop(out);"
         "if (in.len && in.payload[0] == 'f') return gq_fail(out, 1);" + ECHO)


class Summary(harness.Scenario):
    def moody(self, **keys):
        messages = [b"d", b"f", b"one", b"two", b""] * 100
        source = {"file": {"path": self.write("in", lines(messages))}}
        return self.pipeline([{"plugin": self.plugin("moody", MOODY)}], source=source, **keys)

    def test_the_json_has_the_true_numbers(self):
        started = time.monotonic()
        summary = self.run_ok(self.moody(on_error={"retries": 0}))
        took = time.monotonic() - started
        self.assertEqual({k: summary[k] for k in ("messages_in", "messages_out", "dropped", "failed", "dead", "bytes_in", "bytes_out", "in_flight")},
                         {"messages_in": 500, "messages_out": 300, "dropped": 100, "failed": 100, "dead": 100, "bytes_in": 800,
                          "bytes_out": 600, "in_flight": 0})
        self.assertEqual((summary["backend"], summary["status"], summary["error"]), (harness.BACKEND, "GQ_OK", ""))
        self.assertTrue(0 < summary["seconds"] < took)
        self.assertTrue(0 < summary["p50_ns"] <= summary["p99_ns"] <= summary["max_ns"] < took * 1e9, summary)

    def test_the_json_of_a_failure_has_its_sentence(self):
        pipeline = self.pipeline(source={"stdin": {}}, queue={"slot_bytes": 4})
        code, _, err = self.gpuq("run", "--json", pipeline, stdin=b"abc\nabcdef\n")
        summary = json.loads(err)
        self.assertEqual((code, summary["exit_code"], summary["status"], summary["messages_out"]), (65, 65, "GQ_ERR_DATA", 1))
        self.assertIn("standard input:2:", summary["error"])

    def test_the_json_of_a_run_that_did_not_start_has_its_sentence(self):
        wrong = self.write("wrong.yaml", "version: 1\nstagges: []\n")
        api = self.pipeline(source={"api": {}})
        for file, expected, name, words in ((wrong, 78, "GQ_ERR_CONFIG", "wrong.yaml:2:1: error: stagges: unknown key"),
                                            (self.path("none.yaml"), 74, "GQ_ERR_IO", "none.yaml: No such file"),
                                            (api, 64, "GQ_ERR_INVALID_ARG", "for a program that opens the file")):
            code, out, err = self.gpuq("run", "--json", file)
            summary = json.loads(err)
            self.assertEqual((code, summary["exit_code"], summary["status"], out), (expected, expected, name, b""), err)
            self.assertIn(words, summary["error"])
        broken = self.pipeline([{"plugin": self.write("broken.cu", "?\n")}], source={"stdin": {}})
        code, _, err = self.gpuq("run", "--json", broken)
        self.assertEqual((code, json.loads(err)["status"]), (65, "GQ_ERR_PLUGIN"), err)

    def test_a_json_that_cannot_be_written_is_exit_74(self):
        pipeline = self.pipeline(source={"generate": {"count": 10}}, sink={"null": {}})
        with open("/dev/full", "wb") as full:
            self.assertEqual(self.gpuq("run", "--json", pipeline, stderr=full)[0], 74)
            self.assertEqual(self.gpuq("run", "--quiet", pipeline, stderr=full)[0], 0)

    def test_json_and_quiet_exclude_each_other(self):
        code, _, err = self.gpuq("run", "--json", "--quiet", self.pipeline(source={"stdin": {}}))
        self.assertEqual(code, 64, err)
        self.assertIn("--json and --quiet", err)

    def test_the_text_has_them_too_and_standard_output_has_only_data(self):
        code, out, err = self.gpuq("run", self.moody(sink={"stdout": {}}))
        self.assertEqual((code, out), (0, b"one\ntwo\n\n" * 100), err)
        self.assertRegex(err, rf"backend +{harness.BACKEND} \(.*GPUQ_BACKEND\)\n")
        self.assertIn("500 in, 300 out, 100 failed, 100 dropped; 100 in the dead letters", err)
        self.assertRegex(err, r"rate .* messages/s.*\nlatency +p50 .*, p99 ")
        self.assertNotIn("\r", err)
        self.assertNotIn("\x1b", err)

    def test_without_a_message_there_is_no_latency(self):
        for stdin, measured in ((b"", False), (b"one\n", True)):
            _, _, err = self.gpuq("run", self.pipeline(source={"stdin": {}}), stdin=stdin)
            self.assertEqual("\nlatency   p50 " in err, measured, err)

    def test_the_next_command_can_be_pasted_whatever_the_file_is_called(self):
        for name in ("plain", "it's a $HOME `here`"):
            self.pipeline(source={"stdin": {}})
            file = self.write(name + ".yaml", self.read("pipeline.yaml"))
            _, _, err = self.gpuq("run", file)
            command = re.search(r"`gpuq explain (.*)` shows every setting", err).group(1)
            self.assertEqual(subprocess.check_output(["sh", "-c", "printf %s " + command], text=True), file)

    def test_quiet_is_quiet(self):
        self.assertEqual(self.gpuq("run", "--quiet", self.moody(sink={"stdout": {}}))[1:], (b"one\ntwo\n\n" * 100, ""))

    def test_latency_is_that_of_the_message_and_not_of_the_run(self):
        source = {"generate": {"count": 30, "bytes": 8, "rate": "100/s"}}
        pipeline = self.pipeline(source=source)  # of some runs one, on a machine where others press
        self.assertTrue(any(self.run_ok(pipeline)["p50_ns"] < 50e6 for _ in range(8)))

    @harness.only_on("cpu", "device code cannot call usleep()")
    def test_latency_holds_the_time_in_the_plugin(self):
        sleeping = self.plugin("sleep", "usleep(20000);" + ECHO, "#include <unistd.h>\n")
        source = {"generate": {"count": 10, "bytes": 8, "rate": "10/s"}}
        pipeline, least = self.pipeline([{"plugin": sleeping}], source=source), 95e6
        for _ in range(8):
            if least < 95e6:
                break
            least = min(least, self.run_ok(pipeline)["p50_ns"])
            self.assertGreaterEqual(least, 20e6 * 0.93)
        self.assertLess(least, 95e6)

    def on_terminal(self, *arguments):
        """Standard error of a run that takes about 1.5 s, as a terminal shows it."""
        source = {"generate": {"count": 150, "bytes": 8, "rate": "100/s"}}
        pipeline = self.pipeline(source=source, sink={"stdout": {"join": "raw"}})
        ours, theirs = pty.openpty()
        process = self.start("run", *arguments, pipeline, stderr=theirs)
        os.close(theirs)
        out, shown = process.stdout.read(), b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass  # the other side closed
        os.close(ours)
        self.assertEqual((process.wait(), len(out)), (0, 150 * 8))
        return shown.decode()

    def test_a_terminal_gets_a_line_of_progress_that_is_cleared(self):
        shown = self.on_terminal()
        counts = [int(n) for n in re.findall(r"\r\x1b\[K +(\d+) messages in, ", shown)]
        self.assertGreaterEqual(len(counts), 2)
        self.assertEqual(counts, sorted(counts))
        self.assertRegex(shown, r"\r\x1b\[Kbackend ")
        self.assertIn("150 in, 150 out, 0 failed", shown)

    def test_json_on_a_terminal_has_no_progress(self):
        self.assertEqual(json.loads(self.on_terminal("--json"))["messages_out"], 150)
        self.assertEqual(self.on_terminal("--quiet"), "")


harness.main()
