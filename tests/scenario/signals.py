#!/usr/bin/env python3
"""signals.py - Ctrl-C and SIGTERM drain: what was accepted comes out, whole, and the exit code is 0; asked twice it ends at
once; a reader that goes away is a sentence."""
import json
import os
import signal
import subprocess
import time
import harness
from harness import ECHO, lines, until

# A device's compiler keeps volatile locals in registers, and leaves out loops over them. It keeps clocks and outer variables.
SLOW = "for (const long long start = clock64(); clock64() - start < 20000000;) continue;" + ECHO
HANG = "while (forever) continue;" + ECHO
FOREVER = "static __device__ volatile int forever = 1;\n"


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_pending(process, number):
    """Does a signal wait for a process to look at it? The next of its kind would be one with it."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        masks = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


class Signals(harness.Scenario):
    def hanging(self, pipeline):
        """A run whose plugin has been entered, and never returns."""
        process = self.start("run", pipeline)
        worker = self.worker_of(process)
        if not worker or not until(lambda: os.path.exists(self.out)):
            self.give_up(process, "nothing was started")
        start = processor_seconds(worker)
        if harness.BACKEND != "cpu":
            time.sleep(1)
        elif not until(lambda: processor_seconds(worker) > start + 0.2):  # a worker that waits takes none
            self.give_up(process, "the plugin was not entered")
        return process

    def flowing(self, pipeline, *arguments, **options):
        """A run that has written something."""
        process = self.start("run", "--json", *arguments, pipeline, **options)
        if not until(lambda: os.path.exists(self.out) and os.path.getsize(self.out) > 0):
            self.give_up(process, "nothing was written")
        return process

    def drained(self, process):
        """The summary of a run that ended well."""
        code, err = self.ended(process, 30)
        self.assertEqual(code, 0, err)
        summary = json.loads(err.splitlines()[-1])
        self.assertEqual(summary["messages_in"], summary["messages_out"])
        self.assertEqual((summary["in_flight"], summary["status"]), (0, "GQ_OK"))
        return summary

    def test_generated_messages_are_drained(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for rate in ({"rate": "2000/s"}, {"rate": "10/s"}, {}):
                source = {"generate": {"count": 10**12, "bytes": 16, **rate}}
                process = self.flowing(self.pipeline(source=source, sink={"file": {"path": self.out, "join": "raw"}}))
                process.send_signal(number)
                summary = self.drained(process)
                data = self.read()
                self.assertEqual(len(data), 16 * summary["messages_out"])
                self.assertEqual(data[-16:-8], (summary["messages_out"] - 1).to_bytes(8, "little"))
                os.remove(self.out)

    def test_a_standard_input_held_open_does_not_hold_the_run(self):
        process = self.flowing_stdin(b"one\ntwo\nhalf a li", b"one\ntwo\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.drained(process)["messages_in"], 2)
        self.assertEqual(self.read(), b"one\ntwo\n")

    def flowing_stdin(self, sent, expected):
        process = self.start("run", "--json", self.pipeline(source={"stdin": {}}), stdin=subprocess.PIPE)
        process.stdin.write(sent)
        process.stdin.flush()
        self.assertTrue(until(lambda: os.path.exists(self.out) and self.read() == expected))
        return process

    def test_what_came_is_delivered_before_more_comes(self):
        process = self.flowing_stdin(b"first\n", b"first\n")
        process.stdin.write(b"second\n")
        process.stdin.flush()
        self.assertTrue(until(lambda: self.read() == b"first\nsecond\n"))
        process.stdin.close()
        process.stdin = None
        self.drained(process)

    def test_a_fifo_that_nobody_writes_to_does_not_hold_the_run(self):
        os.mkfifo(self.path("fifo"))
        process = self.start("run", "--json", self.pipeline(source={"file": {"path": self.path("fifo")}}))
        self.assertTrue(self.worker_of(process))
        self.assertTrue(until(lambda: os.path.exists(self.out)))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.drained(process)["messages_in"], 0)

    def test_a_fifo_is_read_to_the_end_of_its_writer(self):
        os.mkfifo(self.path("fifo"))
        process = self.start("run", "--json", self.pipeline(source={"file": {"path": self.path("fifo")}}))
        with open(self.path("fifo"), "wb") as fifo:
            fifo.write(b"one\ntwo\n")
        self.assertEqual(self.drained(process)["messages_in"], 2)
        self.assertEqual(self.read(), b"one\ntwo\n")

    def test_a_fifo_that_nobody_reads_does_not_hold_the_run(self):
        os.mkfifo(self.out)
        for source in ({"generate": {"count": 10**12, "bytes": 8}}, {"plugin": {"path": harness.ours("counter"), "count": 10**12}}, {"stdin": {}}):
            process = self.start("run", "--json", self.pipeline(source=source), stdin=subprocess.PIPE)
            self.assertEqual(process.stderr.readline().decode(),
                             f"gpuq run: note: the sink {self.out} is a FIFO that nobody reads: the run waits for a reader\n")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(self.drained(process)["messages_in"], 0)

    def test_a_fifo_is_written_when_its_reader_comes(self):
        os.mkfifo(self.out)
        process = self.start("run", "--json", self.pipeline(source={"generate": {"count": 20000, "bytes": 8}}, sink={"file": {"path": self.out, "join": "raw"}}))
        self.assertIn(b"waits for a reader", process.stderr.readline())
        self.assertEqual(self.read(), b"".join(i.to_bytes(8, "little") for i in range(20000)))
        self.assertEqual(self.drained(process)["messages_out"], 20000)

    def test_a_slow_plugin_finishes_what_it_has(self):
        source = {"file": {"path": self.write("in", lines(b"%d" % i for i in range(100000)))}}
        stages = [{"plugin": self.plugin("slow", SLOW)}]
        process = self.flowing(self.pipeline(stages, source=source, queue={"capacity": 64, "slot_bytes": 16}, drain="60s"))
        before = self.read().count(b"\n")
        process.send_signal(signal.SIGINT)
        count = self.drained(process)["messages_out"]
        self.assertLess(count, before + 64 + 2000)  # what the queue held, and what passed while the signal was on its way: seconds, maybe
        self.assertEqual(self.read(), lines(b"%d" % i for i in range(count)))

    def test_a_source_plugin_stops_making(self):
        source = {"plugin": {"path": harness.ours("counter"), "count": 10**12}}
        process = self.flowing(self.pipeline(source=source, queue={"capacity": 64, "slot_bytes": 32}))
        process.send_signal(signal.SIGINT)
        count = self.drained(process)["messages_out"]
        self.assertTrue(self.read().endswith(b"\n%d\n" % (count - 1)))

    def test_a_drain_has_a_bound(self):
        source = {"generate": {"count": 10, "bytes": 8}}
        pipeline = self.pipeline([{"plugin": self.plugin("hang", HANG, FOREVER), "timeout": "off"}], source=source, drain="300ms")
        process = self.hanging(pipeline)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, err = self.ended(process, 20)  # a grid gets five seconds to leave
        self.assertEqual(code, 1, err)
        self.assertLess(time.monotonic() - asked, 9, "it waited for the default, 10 s")
        self.assertRegex(err, r"\b([1-9]|10) messages? in flight (was|were) not finished")

    def test_asked_twice_it_ends_at_once(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            source = {"generate": {"count": 10, "bytes": 8}}
            process = self.hanging(self.pipeline([{"plugin": self.plugin("hang", HANG, FOREVER), "timeout": "off"}], source=source))
            process.send_signal(number)
            self.assertTrue(until(lambda p=process, n=number: not is_pending(p, n)))
            time.sleep(0.2)
            if process.poll() is not None:
                self.give_up(process, "it ended by one signal")
            process.send_signal(number)
            code, err = self.ended(process, 20)
            self.assertEqual(code, 128 + number, err)
            os.remove(self.out)

    @harness.only_on("cpu", "it is the C++ compiler's temporary files that tell when")
    def test_a_signal_while_plugins_are_compiled_ends_it(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            stages = [{"plugin": harness.ours("sha256")}]
            process = self.start("run", self.pipeline(stages, source={"stdin": {}}), env={"GPUQ_CACHE": "off"})
            self.assertTrue(until(lambda: os.listdir(self.temporary)))
            process.send_signal(number)
            self.assertIn(process.wait(20), (-number, 128 + number, 0))
            self.assertTrue(until(lambda: not os.listdir(self.temporary), 5), "temporary files are left")

    def test_a_reader_that_goes_away_is_a_sentence(self):
        source = {"generate": {"count": 10**12, "bytes": 16}}
        process = self.start("run", self.pipeline(source=source, sink={"stdout": {}}))
        process.stdout.read(100)
        process.stdout.close()
        process.stdout = None
        code, err = self.ended(process, 20)
        self.assertEqual(code, 74, err)
        self.assertRegex(err, r"gpuq run: standard output: .*Broken pipe")

    def test_the_death_of_gpuq_ends_its_worker(self):
        source = {"generate": {"count": 10**12, "bytes": 16, "rate": "100/s"}}
        process = self.flowing(self.pipeline(source=source))
        process.kill()
        process.wait()
        self.assertTrue(until(lambda: not harness.session_members(process.pid), 5))


harness.main()
