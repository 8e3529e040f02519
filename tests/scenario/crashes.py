#!/usr/bin/env python3
"""crashes.py - a plugin that ends its worker, in whatever way. Another worker takes over: the message at fault is a dead letter,
every other one is in the output, and a note names signal or driver's error, and the message. Nothing is left behind."""
import json
import os
import resource
import signal
import subprocess
import dead_letter_file
import harness
from harness import ECHO, lines

CRASHES = {
    "segv": ("*(volatile int *)8 = 1;", "SIGSEGV at address 0x8"),
    "wild": ("*(volatile int *)0x4141414141414141ull = 1;", "SIGSEGV at an address that is not known"),
    "raise": ("raise(SIGSEGV);", "SIGSEGV at an address that is not known"),
    "abort": ("abort();", "SIGABRT"),
    "divide": ("volatile int zero = 0, quotient = 12345 / zero; (void)quotient;", "SIGFPE"),
    "assert": ("assert(in.len == 99999);", "in.len == 99999"),
    "trap": ("__trap();", "trap"),
    "overflow": ("volatile char big[16384]; big[0] = (char)in.len; deeper(in, out); big[1] = big[0];", "SIGSEGV"),
    "exit": ("exit(3);", "exited with code 3"),
    "kill": ("raise(SIGKILL);", "SIGKILL"),
}
HEAD = "#include <assert.h>\n#include <signal.h>\n#include <stdlib.h>\n" + harness.PLUGIN
TEMPLATE = HEAD + """
static __device__ __attribute__((noinline)) void deeper(const MsgView &in, ResultView *out)
{
    OVERFLOW
}
__device__ void process_message(const MsgView &in, ResultView *out)
{
    if (in.len && in.payload[0] == '!') {
        CRASH
    }
    ECHO
}
"""


GPU_CRASHES = {"store": ("*(volatile int *)8 = 1;", "CUDA_ERROR_ILLEGAL_ADDRESS"), "trap": ("__trap();", "CUDA_ERROR_"),
               "load": ("out->out[0] = *(volatile int *)8;", "CUDA_ERROR_ILLEGAL_ADDRESS")}
# LeakSanitizer opens files when a process ends.
NO_LEAKS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
FAULT, HANG = 3, 4  # classes of dead letters


class Crashing(harness.Scenario):
    def crash_run(self, stages, messages, threads, expected=1, **keys):
        source = {"file": {"path": self.write("in", lines(messages)), "split": "lines"}}
        queue = {"capacity": 256, "slot_bytes": 64}
        code, _, err = self.gpuq("run", "--threads", str(threads), self.pipeline(stages, source=source, queue=queue, **keys))
        self.assertEqual(code, expected, err)
        self.assert_adds_up(err)
        return err

    def survive(self, stages, messages, threads=1, retries=1, poison=b"!", **keys):
        """Runs; only the poison is missing from the output, and only it is a dead letter. What standard error said."""
        dead = self.path("dead.dlq")
        if os.path.exists(dead):
            os.unlink(dead)
        on_error = {"retries": retries, "dead_letter": {"file": {"path": dead}}}
        err = self.crash_run(stages, messages, threads, expected=0, on_error=on_error, **keys)
        self.assertEqual(self.read(), lines(m for m in messages if m != poison))
        letters = dead_letter_file.records(self.read("dead.dlq")) if poison in messages else []
        self.assertEqual([(r["id"], r["message"]) for r in letters], [(i + 1, m) for i, m in enumerate(messages) if m == poison])
        for letter in letters:
            self.assertEqual((letter["attempts"], letter["class"]), (max(retries, 1) + 1, HANG if letter["code"] == 0 else FAULT))
            self.assertIn(b"each time the message was tried", letter["reason"])
        return err


@harness.only_on("cpu", "signals, and messages named by them, are a CPU's")
class Crashes(Crashing):
    def crashing(self, name):
        crash = CRASHES[name][0]
        if name == "overflow":
            text = TEMPLATE.replace("OVERFLOW", crash).replace("CRASH", "deeper(in, out);")
        else:
            text = TEMPLATE.replace("OVERFLOW", "*out->out_len = in.len;").replace("CRASH", crash)
        return self.write(f"{name}.cu", text.replace("ECHO", ECHO))

    def test_each_way_to_crash_costs_the_message_and_no_other(self):
        for name, (_, words) in CRASHES.items():
            if harness.SANITIZED and name == "exit":
                words = "exited with code"  # a sanitizer's own, when it looks for leaks
            for at in (0, 77, 3000):
                with self.subTest(crash=name, at=at):
                    messages = [b"m%d" % i for i in range(5000)]
                    messages[at] = b"!"
                    err = self.survive([{"name": "victim", "plugin": self.crashing(name)}], messages)
                    self.assertIn(words, err)
                    self.assertRegex(err, rf"message {at + 1} in stage 'victim'")
                    self.assertRegex(err, rf"message {at + 1} is given up: in stage 'victim' .* each of 2 times")

    def test_the_stage_in_the_middle_is_the_one_named(self):
        messages = [b"m%d" % i for i in range(500)]
        messages[100] = b"!"
        stages = [{"name": "one", "plugin": "builtin:echo"}, {"name": "two", "plugin": self.crashing("segv")},
                  {"name": "three", "plugin": "builtin:echo"}]
        err = self.survive(stages, messages)
        self.assertRegex(err, r"SIGSEGV .*message 101 in stage 'two'")
        (letter,) = dead_letter_file.records(self.read("dead.dlq"))
        self.assertEqual((letter["stage"], letter["stage_name"], letter["code"]), (1, b"two", signal.SIGSEGV))

    def test_with_several_threads_only_the_guilty_is_missing(self):
        messages = [b"m%d" % i for i in range(20000)]
        messages[12345] = b"!"
        err = self.survive([{"name": "victim", "plugin": self.crashing("segv")}], messages, 4)
        self.assertRegex(err, r"SIGSEGV at address 0x8 while it processed message 12346 in stage 'victim'")

    def test_many_guilty_ones_in_each_way_and_no_innocent(self):
        # Three at one end of the ring, one where it begins anew, two in a row, and the last.
        for name, threads in (("segv", 4), ("kill", 4), ("exit", 3)):
            with self.subTest(crash=name):
                messages = [b"m%d" % i for i in range(3000)]
                for at in (0, 254, 255, 256, 1000, 1001, 2999):
                    messages[at] = b"!"
                self.survive([{"name": "victim", "plugin": self.crashing(name)}], messages, threads)

    def test_a_message_is_tried_as_often_as_retries_say_and_once_with_none(self):
        for retries in (0, 3):
            err = self.survive([{"name": "victim", "plugin": self.crashing("abort")}], [b"a", b"!", b"b"], retries=retries)
            self.assertIn(f"each of {max(retries, 1) + 1} times", err)

    def test_that_memory_of_a_stage_is_gone_is_said_where_there_is_some(self):
        for memory, said in (("GQ_STATE(8, 1);\n", True), ("", False)):
            plugin = self.plugin("keeps", "if (in.payload[0] == '!') abort();" + ECHO, memory + "#include <stdlib.h>\n")
            err = self.survive([{"plugin": plugin}], [b"a", b"!", b"b"])
            self.assertEqual("another worker takes over, and gq_state is zero again\n" in err, said, err)

    def test_a_block_of_threads_that_faults_together_is_one_message(self):
        messages = [b"m%d" % i for i in range(600)]
        messages[300] = b"!"
        body = "gq_sync(); if (in.payload[0] == '!' && gq_rank() == 63) abort(); gq_sync();\n" + ECHO
        plugin = self.plugin("block", body, "#include <stdlib.h>\nGQ_SCOPE(block, 64);\n")
        self.assertIn("SIGABRT", self.survive([{"plugin": plugin}], messages, 2))

    def test_a_message_that_never_ends_is_given_up_after_its_time(self):
        messages = [b"m%d" % i for i in range(600)]
        messages[300] = b"!"
        hang = self.plugin("hang", "for (volatile int more = 1; more && in.payload[0] == '!';)\ncontinue;" + ECHO)
        err = self.survive([{"name": "slow", "plugin": hang, "timeout": "300ms"}], messages, 2)
        self.assertRegex(err, r"message 301 did not end within the 300 ms of stage 'slow'")
        (letter,) = dead_letter_file.records(self.read("dead.dlq"))
        self.assertEqual((letter["code"], letter["stage_name"]), (0, b"slow"))
        self.assertIn(b"within its stage's timeout", letter["reason"])

    def test_a_stage_without_a_timeout_may_take_its_time(self):
        slow = self.plugin("slow", "if (in.payload[0] == 's') __nanosleep(1500000000u);" + ECHO, "#include <time.h>\n")
        for timeout in ("off", "10s"):
            err = self.survive([{"plugin": slow, "timeout": timeout}], [b"a", b"s", b"b"])
            self.assertNotIn("note:", err)

    def test_what_is_slow_by_chance_is_served(self):
        # Over its time in the first worker, within it when it is tried alone: the file is there by then.
        once = self.path("once")
        body = ('if (in.payload[0] == \'s\' && access("%s", F_OK) != 0) { fclose(fopen("%s", "w")); sleep(60); }' % (once, once) + ECHO)
        plugin = self.plugin("chance", body, "#include <stdio.h>\n#include <unistd.h>\n")
        err = self.survive([{"name": "slow", "plugin": plugin, "timeout": "300ms"}], [b"a", b"s", b"b"])
        self.assertIn("did not end within", err)

    def test_a_stack_that_was_full_is_said_to_have_been_full(self):
        messages = [b"a", b"!", b"b"]
        self.crashing("overflow")
        text = self.read("overflow.cu").decode().replace(harness.PLUGIN, harness.PLUGIN + "GQ_SCOPE(block, 64);\n")
        name = self.write("block.cu", text.replace("if (in.len", "gq_sync();\n    if (in.len"))
        err = self.survive([{"name": "deep", "plugin": name}], messages)
        self.assertRegex(err, r"stack was full while it processed message 2 in stage 'deep'")

    def source_run(self, at, body, first=1000, **keys):
        """5000 messages of a source plugin that does this at one index, which is given up; what standard error said."""
        text = HEAD + ("__device__ void generate_message(uint64_t index, ResultView *out)\n{\n"
                       f"if (index == {at}) {{ {body} }} out->out[0] = 'x'; *out->out_len = 1;\n}}\n")
        source = {"plugin": {"path": self.write("source.cu", text), "count": 5000, "first": first, **keys}}
        code, _, err = self.gpuq("run", "--threads", "2", self.pipeline(source=source))
        self.assertEqual(code, 0, err)
        return err

    def test_a_source_that_crashes_names_its_index(self):
        err = self.source_run(1234, "abort();")
        self.assertRegex(err, r"SIGABRT while it processed index 1234 in stage 'source'")
        self.assertEqual(self.read(), b"x\n" * 4999)
        (letter,) = dead_letter_file.records(self.read("pipeline.dlq"))
        self.assertEqual((letter["id"], letter["stage_name"]), (235, b"source"))

    def test_an_index_that_a_source_never_ends_is_given_up_after_its_time(self):
        for first, at in ((1000, 1234), (0, 0)):
            err = self.source_run(at, "for (volatile int more = 1; more;) continue;", first, timeout="300ms")
            self.assertIn(f"message {at - first + 1} did not end within the 300 ms of stage 'source'", err)
            self.assertEqual(self.read(), b"x\n" * 4999)
            (letter,) = dead_letter_file.records(self.read("pipeline.dlq"))
            self.assertEqual((letter["position"], letter["class"], letter["code"], letter["stage_name"]), (at, HANG, 0, b"source"))
            self.assertIn(b"within its stage's timeout", letter["reason"])
            os.unlink(self.path("pipeline.dlq"))

    def test_a_source_without_a_timeout_may_take_its_time(self):
        err = self.source_run(7, "__nanosleep(1500000000u);", 0, timeout="off")
        self.assertNotIn("note:", err)
        self.assertEqual(self.read(), b"x\n" * 5000)

    def test_a_plugin_that_ends_every_worker_before_a_message_ends_the_run(self):
        # Loaded it starts a thread, which ends the process when the plugin has been asked for nothing yet.
        outside = ("#include <pthread.h>\n#include <signal.h>\n#include <unistd.h>\n"
                   "static void *end(void *) { usleep(300000); raise(SIGKILL); return 0; }\n"
                   "__attribute__((constructor)) static void begin() { pthread_t t; pthread_create(&t, 0, end, 0); }\n")
        pipeline = self.pipeline([{"plugin": self.plugin("ends", ECHO, outside)}], source={"stdin": {}})
        process = self.start("run", pipeline, stdin=subprocess.PIPE)
        code, err = self.ended(process, 30)
        self.assertEqual(code, 1, err)
        self.assertIn("5 workers in a row ended without ending a message", err)

    def test_a_plugin_that_forges_results_does_not_take_the_host_with_it(self):
        # From its output buffer it reaches the lane's descriptors, gives message 2 an impossible stage, and message 2 never ends.
        forge = """
    if (in.msg_id == 1) {
        uint8_t *file = out->out - 8192;
        uint64_t *second = (uint64_t *)(file + 4096) + 2;
        second[0] = (1ull << 32) | (200u << 24) | (2u << 16) | 7u;
        __atomic_store_n(&second[1], (2ull << 32) | 0xffffffffull, __ATOMIC_RELEASE);
    }
    for (volatile int forever = 1; forever && in.msg_id == 2;)
        continue;
"""
        source = {"file": {"path": self.write("in", b"a\nb\n"), "split": "lines"}}
        stages = [{"name": "forger", "plugin": self.plugin("forger", forge + ECHO)}]
        code, _, err = self.gpuq("run", self.pipeline(stages, source=source, queue={"capacity": 16, "slot_bytes": 64}))
        self.assertEqual((code, self.read()), (0, b"a\n"), err)
        self.assertIn(b"code 7", self.read("pipeline.dlq"))


@harness.only_on("cuda", "the errors are the driver's")
class DeviceFaults(Crashing):
    """A device reports a fault of the whole grid: of the messages that its teams were inside of, the guilty one is found."""

    def crashing(self, name, scope=""):
        return self.plugin(name, f"if (in.len && in.payload[0] == '!') {{ {GPU_CRASHES[name][0]} }}" + ECHO, scope)

    def test_each_way_to_crash_costs_the_message_and_no_other(self):
        for name in ("trap", "load"):
            for at in (0, 3000):
                with self.subTest(crash=name, at=at):
                    messages = [b"m%d" % i for i in range(5000)]
                    messages[at] = b"!"
                    err = self.survive([{"name": "victim", "plugin": self.crashing(name)}], messages)
                    self.assertIn(GPU_CRASHES[name][1], err)
                    self.assertRegex(err, rf"message {at + 1} is given up: in stage 'victim' it ended the worker with CUDA_ERROR_.* each of 2 times")

    def test_of_several_guilty_ones_in_the_middle_of_three_stages_each_is_found(self):
        messages = [b"m%d" % i for i in range(2000)]
        for at in (255, 256, 1999):
            messages[at] = b"!"
        stages = [{"name": "one", "plugin": "builtin:echo"}, {"name": "two", "plugin": self.crashing("trap")},
                  {"name": "three", "plugin": "builtin:echo"}]
        self.survive(stages, messages)
        for letter in dead_letter_file.records(self.read("dead.dlq")):
            self.assertEqual((letter["stage"], letter["stage_name"]), (1, b"two"))

    def test_warps_and_blocks_that_fault_are_one_message(self):
        for scope in ("GQ_SCOPE(warp);\n", "GQ_SCOPE(block, 64);\n"):
            messages = [b"m%d" % i for i in range(600)]
            messages[300] = b"!"
            body = "if (in.payload[0] == '!' && gq_rank() == 31) __trap(); gq_sync(); if (gq_rank() == 0) {" + ECHO + "}"
            self.survive([{"plugin": self.plugin("team", body, scope)}], messages)

    def test_a_store_that_nobody_waits_for_loses_nothing(self):
        # The message goes on, and the device reports the fault some 100 ms later: its result may be there, and stays.
        messages = [b"m%d" % i for i in range(5000)]
        messages[77] = b"!"
        stages = [{"plugin": "builtin:echo"}, {"name": "victim", "plugin": self.crashing("store")}]
        err = self.crash_run(stages, messages, 1, expected=0)
        self.assertIn(GPU_CRASHES["store"][1], err)
        self.assertIn(self.read(), (lines(messages), lines(m for m in messages if m != b"!")))

    def test_a_message_that_never_ends_is_given_up_after_its_time(self):
        messages = [b"m%d" % i for i in range(600)]
        messages[300] = b"!"
        hang = self.plugin("hang", "while (*(volatile const uint8_t *)in.payload == '!')\ncontinue;" + ECHO)
        err = self.survive([{"name": "slow", "plugin": hang, "timeout": "300ms"}], messages)
        self.assertRegex(err, r"did not end within the 300 ms of stage 'slow'")
        (letter,) = dead_letter_file.records(self.read("dead.dlq"))
        self.assertEqual((letter["code"], letter["stage_name"]), (0, b"slow"))

    def test_a_source_that_faults_costs_one_index_also_where_results_are_counted(self):
        text = harness.PLUGIN + ("__device__ void generate_message(uint64_t index, ResultView *out)\n{\n"
                                 "if (index == 1234) __trap(); out->out[0] = 'x'; *out->out_len = 1;\n}\n")
        source = {"plugin": {"path": self.write("source.cu", text), "count": 5000, "first": 1000}}
        for keys in ({}, {"sink": {"null": {}}}):
            code, _, err = self.gpuq("run", "--json", self.pipeline(source=source, **keys))
            self.assertEqual(code, 0, err)
            self.assertIn("CUDA_ERROR_", err)
            summary = json.loads(err.splitlines()[-1])
            self.assertEqual((summary["messages_in"], summary["messages_out"], summary["failed"]), (5000, 4999, 1))
            (letter,) = dead_letter_file.records(self.read("pipeline.dlq"))
            self.assertEqual((letter["id"], letter["stage_name"]), (235, b"source"))
            os.unlink(self.path("pipeline.dlq"))
        self.assertEqual(self.read(), b"x\n" * 4999)


class Killed(Crashing):
    def test_a_worker_killed_from_outside_is_replaced_while_it_idles_or_works(self):
        process = self.start("run", self.pipeline(source={"stdin": {"split": "lines"}}), stdin=subprocess.PIPE)
        written, worker = b"", None
        for sent in (b"one\ntwo\n", b"three\n", b"four\n", b"five\n"):
            process.stdin.write(sent)
            process.stdin.flush()
            written += sent
            self.assertTrue(harness.until(lambda: os.path.exists(self.out) and self.read() == written))
            self.assertTrue(harness.until(lambda: self.worker_of(process) != worker))  # the one before is seen until it is reaped
            worker = self.worker_of(process)
            os.kill(worker, signal.SIGKILL)
        code, _, err = self.finish(process, b"six\n")
        self.assertEqual(code, 0, err)
        if harness.BACKEND == "cpu":  # grids run on until their process is gone, so that a worker may be killed as it starts
            self.assertEqual(err.count("SIGKILL"), 4, err)
        self.assertEqual(self.read(), written + b"six\n")

    @harness.only_on("cpu", "a device has workers in reserve, which have their descriptors")
    def test_a_run_that_is_given_no_descriptors_for_another_worker_says_so_with_its_exit_code(self):
        stages = {"idle": None, "busy": [{"plugin": self.holding("in.payload[0] == 'h'")}]}
        runs = {}
        for name in stages:
            pipeline = self.pipeline(stages[name], name, source={"stdin": {"split": "lines"}}, sink={"file": {"path": self.path(name)}})
            process = runs[name] = self.start("run", pipeline, stdin=subprocess.PIPE, env=NO_LEAKS)
            process.stdin.write(b"one\n" + (b"hold\n" if name == "busy" else b""))
            process.stdin.flush()
            self.assertTrue(harness.until(lambda: os.path.exists(self.path(name)) and self.read(name)), name)
        self.assertTrue(harness.until(lambda: os.path.exists(self.path("held"))), "no message is held")
        for process in runs.values():
            usual = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
            os.kill(self.worker_of(process), signal.SIGKILL)
        for name, process in runs.items():
            code, err = self.ended(process, 30)
            self.assertEqual(code, 71, err)
            self.assertRegex(err, r"(?m)^gpuq run: no other worker could take over: .*Too many open files", name)


harness.main()
