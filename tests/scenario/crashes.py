#!/usr/bin/env python3
"""crashes.py - a plugin that ends its worker, in whatever way: exit code 1, a sentence that names signal, stage and messages,
every result completed before it in the output, and nothing left behind."""
import os
import signal
import subprocess
import harness
from harness import ECHO, lines

CRASHES = {
    "segv": ("*(volatile int *)8 = 1;", "SIGSEGV at address 0x8"),
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


GPU_CRASHES = {"segv": ("*(volatile int *)8 = 1;", "CUDA_ERROR_ILLEGAL_ADDRESS"), "trap": ("__trap();", "CUDA_ERROR_")}
LATE = {"segv"}  # a store is not waited for: the message goes on, and the device reports the fault some 100 ms later


class Crashing(harness.Scenario):
    def crash_run(self, stages, messages, threads, **keys):
        source = {"file": {"path": self.write("in", lines(messages)), "split": "lines"}}
        queue = {"capacity": 256, "slot_bytes": 64}
        code, _, err = self.gpuq("run", "--threads", str(threads), self.pipeline(stages, source=source, queue=queue, **keys))
        self.assertEqual(code, 1, err)
        self.assert_adds_up(err)
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

    def test_each_way_to_crash_is_a_sentence_after_the_results_before_it(self):
        for name, (_, words) in CRASHES.items():
            if harness.SANITIZED and name == "exit":
                words = "exited with code"  # a sanitizer's own, when it looks for leaks
            for at in (0, 77, 3000):
                with self.subTest(crash=name, at=at):
                    messages = [b"m%d" % i for i in range(5000)]
                    messages[at] = b"!"
                    err = self.crash_run([{"name": "victim", "plugin": self.crashing(name)}], messages, 1)
                    self.assertIn(words, err)
                    self.assertRegex(err, rf"message {at + 1} in stage 'victim'")
                    self.assertEqual(self.read(), lines(messages[:at]))

    def test_the_stage_in_the_middle_is_the_one_named(self):
        messages = [b"m%d" % i for i in range(500)]
        messages[100] = b"!"
        stages = [{"name": "one", "plugin": "builtin:echo"}, {"name": "two", "plugin": self.crashing("segv")},
                  {"name": "three", "plugin": "builtin:echo"}]
        err = self.crash_run(stages, messages, 1)
        self.assertRegex(err, r"SIGSEGV .*message 101 in stage 'two'")
        whole = self.read().split(b"\n")[:-1]
        self.assertEqual(whole, messages[:len(whole)])
        self.assertLessEqual(len(whole), 100)

    def test_with_several_threads_what_is_there_is_whole_and_in_order(self):
        messages = [b"m%d" % i for i in range(20000)]
        messages[12345] = b"!"
        err = self.crash_run([{"name": "victim", "plugin": self.crashing("segv")}], messages, 4)
        self.assertRegex(err, r"SIGSEGV at address 0x8 while it processed message 12346 in stage 'victim'")
        whole = self.read().split(b"\n")[:-1]
        self.assertEqual(whole, [m for m in messages[:len(whole) + 1] if m != b"!"][:len(whole)])
        self.assertGreater(len(whole), 10000)

    def test_a_stack_that_was_full_is_said_to_have_been_full(self):
        messages = [b"a", b"!", b"b"]
        self.crashing("overflow")
        text = self.read("overflow.cu").decode().replace(harness.PLUGIN, harness.PLUGIN + "GQ_SCOPE(block, 64);\n")
        name = self.write("block.cu", text.replace("if (in.len", "gq_sync();\n    if (in.len"))
        err = self.crash_run([{"name": "deep", "plugin": name}], messages, 1)
        self.assertRegex(err, r"stack was full while it processed message 2 in stage 'deep'")

    def test_a_source_that_crashes_names_its_index(self):
        text = HEAD + ("__device__ void generate_message(uint64_t index, ResultView *out)\n{\n"
                       "if (index == 1234) abort(); out->out[0] = 'x'; *out->out_len = 1;\n}\n")
        source = {"plugin": {"path": self.write("source.cu", text), "count": 5000, "first": 1000}}
        code, _, err = self.gpuq("run", "--threads", "1", self.pipeline(source=source))
        self.assertEqual(code, 1, err)
        self.assertRegex(err, r"SIGABRT while it processed index 1234 in stage 'source'")
        whole = self.read().count(b"\n")
        self.assertEqual(self.read(), b"x\n" * whole)
        self.assertLessEqual(whole, 234)

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
    """A device reports a fault of the whole grid, maybe when every result has come. What came is whole and in order, without
    the run of messages that the fault ended; and the run has failed."""

    def test_a_fault_is_the_drivers_error_after_results_that_are_whole(self):
        for name, (crash, words) in GPU_CRASHES.items():
            for at in (0, 77, 3000):
                with self.subTest(crash=name, at=at):
                    messages = [b"m%d" % i for i in range(5000)]
                    messages[at] = b"!"
                    plugin = self.plugin(name, f"if (in.len && in.payload[0] == '!') {{ {crash} }}" + ECHO)
                    err = self.crash_run([{"plugin": "builtin:echo"}, {"name": "victim", "plugin": plugin}], messages, 1)
                    self.assertIn(words, err)
                    whole = self.read().split(b"\n")[:-1]
                    came = set(whole)
                    self.assertEqual(whole, [message for message in messages if message in came])
                    self.assertTrue(name in LATE or b"!" not in came)

    def test_a_source_that_faults(self):
        text = harness.PLUGIN + ("__device__ void generate_message(uint64_t index, ResultView *out)\n{\n"
                                 "if (index == 1234) __trap(); out->out[0] = 'x'; *out->out_len = 1;\n}\n")
        source = {"plugin": {"path": self.write("source.cu", text), "count": 5000, "first": 1000}}
        code, _, err = self.gpuq("run", self.pipeline(source=source))
        self.assertEqual(code, 1, err)
        self.assertIn("CUDA_ERROR_", err)
        whole = self.read().count(b"\n")
        self.assertEqual(self.read(), b"x\n" * whole)
        self.assertLessEqual(whole, 234)


class Killed(Crashing):
    def test_a_worker_killed_from_outside_ends_the_run_while_it_idles_or_works(self):
        for sent in (b"", b"one\ntwo\n"):
            pipeline = self.pipeline(source={"stdin": {"split": "lines"}})
            process = self.start("run", pipeline, stdin=subprocess.PIPE)
            process.stdin.write(sent)
            process.stdin.flush()
            worker = self.worker_of(process)
            self.assertTrue(harness.until(lambda: os.path.exists(self.out) and self.read() == sent))
            os.kill(worker, signal.SIGKILL)
            code, err = self.ended(process, 10)  # with standard input still open
            self.assertEqual(code, 1, err)
            self.assertIn("SIGKILL", err)
            self.assertEqual(self.read(), sent)


harness.main()
