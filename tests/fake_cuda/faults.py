#!/usr/bin/env python3
"""faults.py - a device that stops a worker's grids long before the driver tells the worker of it: NVML tells at once, of
everybody's faults, and the worker finds out whose it was. Without NVML the driver's report is awaited."""
import glob
import json
import os
import re
import subprocess
import threading
import time
import gpu

MESSAGES = [b"%d" % i for i in range(3000)]
NEVER = "report=20000"  # of no use to who has to answer within LIMIT_S
LIMIT_S = 15
SOON = "report=300"
PACED = {"generate": {"count": 5000, "bytes": 16, "rate": "5000/s"}}  # the worker is up for long when its last ones come
STOPPED = "the device stopped this worker's grids (Xid 43)"
REPORTED = "CUDA_ERROR_ILLEGAL_ADDRESS"  # the imaginary driver's word for every fault
NVML = os.environ["GPUQ_LIBNVML"]
OLD_NVML = os.path.join(os.path.dirname(NVML), "libfake_nvml_old.so.1")


def nvml_functions():
    with open(os.path.join(gpu.harness.TREE, "runtime/backend/cuda_xid.h"), encoding="utf-8") as file:
        found = re.findall(r"X\(\w+,\s*(nvml\w+)", file.read())
    assert len(found) > 5, found
    return found


class Faults(gpu.Scenario):
    def setUp(self):
        super().setUp()
        self.xid = self.path("xid")
        self.write("xid", b"")

    def soon(self, attempt, *expected):
        """What attempt() says on standard error once it took less than LIMIT_S and said all that is expected: a fault from before
        NVML was watching, on a machine that has not let it, is known when the driver tells of it, or its stage's time is over."""
        for _ in range(3):
            start = time.monotonic()
            err = attempt()
            if time.monotonic() - start < LIMIT_S and all(text in err for text in expected):
                return err
        return self.fail(f"each attempt took longer than {LIMIT_S} s, or did not say {expected}: {err}")

    def run_poisoned(self, at, *words, env=None, **keys):
        """What standard error says of a run in which message `at` alone is given up."""
        pipeline = self.lines(MESSAGES, queue={"capacity": 64}, on_error={"retries": 1}, **keys)
        code, out, err = self.gpuq("run", "--backend", "cuda", pipeline,
                                   env={**self.script(f"poison={at}", f"xid={self.xid}", *words), **(env or {})})
        self.assertEqual((code, out), (0, b"".join(m + b"\n" for i, m in enumerate(MESSAGES) if i != at)), err)
        return err

    def run_counted(self, source, at, *words, **keys):
        """The same of a source of 5000 messages whose results nobody reads."""
        pipeline = self.pipeline(source=source, sink={"null": {}}, queue={"capacity": 64, "slot_bytes": 32}, on_error={"retries": 1}, **keys)
        code, _, err = self.gpuq("run", "--json", "--backend", "cuda", pipeline, env=self.script(f"poison={at}", NEVER, f"xid={self.xid}", *words))
        said = json.loads(err.splitlines()[-1])
        self.assertEqual((code, said["messages_out"], said["failed"]), (0, 4999, 1), err)
        return err

    def test_a_fault_is_known_long_before_the_driver_tells_of_it(self):
        for stages in (1, 3):
            for timeout in (None, "60s"):  # with a timeout what lanes stand in is looked for at short intervals
                names = [{"plugin": "builtin:echo", "name": f"s{i}", **({"timeout": timeout} if timeout else {})} for i in range(stages)]
                for driver in (), ("silent",):
                    err = self.soon(lambda stages=names, words=driver: self.run_poisoned(777, NEVER, *words, stages=stages), STOPPED,
                                    "message 778 is given up: in stage 's0' it ended the worker with CUDA_ERROR_LAUNCH_FAILED each of 2 times")
                    self.assertNotIn(REPORTED, err)

    def test_a_fault_of_a_source_that_nobody_reads_is_known_as_soon(self):
        source = {"plugin": {"path": gpu.harness.ours("counter"), "count": 5000}}
        self.assertIn(STOPPED, self.soon(lambda: self.run_counted(source, 4000)))

    def test_without_nvml_the_drivers_report_is_awaited(self):
        for library in ("/nowhere/libnvidia-ml.so.1", OLD_NVML, self.write("libnvidia-ml.so.1", b"not ELF")):
            err = self.run_poisoned(777, SOON, env={"GPUQ_LIBNVML": library})
            self.assertIn(f"ended the worker with {REPORTED}", err)
            self.assertNotIn(STOPPED, err)

    def test_nvml_that_fails_in_any_call_is_as_none(self):
        for function in nvml_functions():
            calls = self.path(f"calls-{function}")
            words = (SOON, f"fail={function},-1,999", f"count={calls}")
            err = self.run_poisoned(777, *words)
            err += self.run_counted(PACED, 777, *words)  # where nothing is paced, a worker may end before it has called NVML
            self.assertGreater(os.path.getsize(calls), 0, function)
            if function not in ("nvmlShutdown", "nvmlEventSetFree"):
                self.assertNotIn(STOPPED, err, function)

    def test_a_device_that_nvml_does_not_know_is_not_watched(self):
        err = self.run_poisoned(777, SOON, "fail=cuDeviceGetPCIBusId,-1,2", f"count={self.path('calls')}")
        self.assertIn(REPORTED, err)
        self.assertNotIn(STOPPED, err)

    def test_a_look_whose_call_fails_ends_the_worker_as_any_call_does(self):
        for error, said in ((700, REPORTED), (999, "CUDA_ERROR_UNKNOWN")):
            words = (f"fail=cuEventQuery,1,{error}", f"count={self.path(f'queries-{error}')}")
            code, _, err = self.gpuq("run", "--json", "--backend", "cuda", self.pipeline(source=PACED, sink={"null": {}}), env=self.script(*words))
            self.assertEqual((code, json.loads(err.splitlines()[-1])["messages_out"]), (0, 5000), err)
            self.assertIn(f"cuEventQuery: {said}", err)

    def faults_of_others(self):
        """Tells of one every few milliseconds, until it is told to end."""
        over = threading.Event()

        def tell():
            with open(self.xid, "ab", buffering=0) as file:
                while not over.wait(0.005):
                    file.write(b".")
        thread = threading.Thread(target=tell)
        thread.start()

        def end():
            over.set()
            thread.join()
        self.addCleanup(end)

    def test_a_fault_of_somebody_else_ends_nobody(self):
        self.faults_of_others()
        source = {"generate": {"count": 40000, "bytes": 16, "rate": "20000/s"}}
        for words in ((), ("queued",)):
            code, _, err = self.gpuq("run", "--json", "--backend", "cuda", self.pipeline(source=source, sink={"null": {}}),
                                     env=self.script(NEVER, f"xid={self.xid}", *words))
            said = json.loads(err.splitlines()[-1])
            self.assertEqual((code, said["messages_out"]), (0, 40000), err)
            self.assertNotIn("takes over", err)

    def test_a_fault_of_its_own_among_those_of_others_is_found(self):
        self.faults_of_others()
        for driver in (), ("silent",):
            self.assertIn(STOPPED, self.soon(lambda words=driver: self.run_counted(PACED, 4000, *words)))

    def test_a_fault_is_known_as_soon_while_a_change_waits_for_the_grids(self):
        for name in ("first.cu", "second.cu"):
            with open(gpu.harness.ours("echo"), "rb") as file:
                self.write(name, file.read() + b"// " + name.encode())
        pipeline = self.pipeline([{"plugin": self.path("first.cu"), "name": "s0", "timeout": "60s"}], source=PACED, sink={"null": {}}, on_error={"retries": 1},
                                 queue={"capacity": 64})
        done = []
        for at in range(1000, 4600, 600):  # a change waits for the grids at some of these faults: one follows the other
            def attempt(at=at):
                process = self.start("run", "--json", "--backend", "cuda", pipeline,
                                     env=self.script(f"poison={at}", NEVER, f"xid={self.xid}", "silent"))
                swapper = threading.Thread(target=self.swap_until_it_ends, args=(process, done))
                swapper.start()
                code, _, err = self.finish(process)
                swapper.join()
                said = json.loads(err.splitlines()[-1])
                self.assertEqual((code, said["messages_out"], said["failed"]), (0, 4999, 1), err)
                return err
            self.soon(attempt)
        self.assertGreater(done.count(0), 3, done)

    def swap_until_it_ends(self, process, done):
        name = "second"
        while process.poll() is None:
            done.append(self.gpuq("swap", "--rehearse", "off", "s0", self.path(f"{name}.cu"))[0])
            name = "first" if name == "second" else "second"

    def wait_for_the_socket(self):
        self.assertTrue(gpu.harness.until(lambda: glob.glob(os.path.join(self.runtime, "gpuqueue", "*.sock"))))

    def test_a_change_does_not_wait_until_all_that_may_be_to_blame_have_been_tried(self):
        stages = [{"plugin": "builtin:echo", "name": "s0"}]
        pipeline = self.pipeline(stages, source={"generate": {"count": 4000, "bytes": 16}}, sink={"null": {}},
                                 queue={"capacity": 1024}, on_error={"retries": 0}, drain="1s")
        process = self.start("run", "--json", "--backend", "cuda", pipeline, env=self.script("every=10", SOON))  # 100 in a lane
        self.wait_for_the_socket()
        start = time.monotonic()
        for _ in range(3):  # the worker that one is made in ends at once, and what it has left is tried
            code, _, err = self.gpuq("swap", "--rehearse", "off", "s0", "builtin:upper")
            self.assertEqual(code, 0, err)
            code, _, err = self.gpuq("use", "s0", "1")
            self.assertEqual(code, 0, err)
        self.assertLess(time.monotonic() - start, LIMIT_S)
        process.send_signal(2)
        self.finish(process)

    def test_a_rollback_does_not_wait_until_all_have_been_tried_that_its_code_may_be_to_blame_for(self):
        stages = [{"plugin": "builtin:echo", "name": "s0"}]
        pipeline = self.pipeline(stages, source={"stdin": {"split": "lines"}}, queue={"capacity": 1024}, on_error={"retries": 0}, drain="1s")
        process = self.start("run", "--json", "--backend", "cuda", pipeline, stdin=subprocess.PIPE, env=self.script("from=10", SOON))
        process.stdin.write(b"good\n" * 10)
        process.stdin.flush()
        self.assertTrue(gpu.harness.until(lambda: os.path.exists(self.out) and self.read() == b"good\n" * 10))
        self.wait_for_the_socket()
        self.assertEqual(self.gpuq("swap", "--rehearse", "off", "s0", "builtin:upper")[0], 0)
        process.stdin.write(b"bad\n" * 300)  # to the code that is live now, and has no result yet
        process.stdin.flush()
        start = time.monotonic()
        code, _, err = self.gpuq("rollback", "s0")
        self.assertEqual(code, 0, err)
        self.assertLess(time.monotonic() - start, LIMIT_S)
        process.send_signal(2)
        self.finish(process)

    def test_a_message_is_not_tried_before_nvml_is_ready_to_tell_of_it(self):
        stages = [{"plugin": "builtin:echo", "name": "s0", "timeout": "60s"}]
        self.assertIn(STOPPED, self.soon(lambda: self.run_counted(PACED, 4000, "init=50", spare="off", stages=stages)))

    def test_a_fault_of_somebody_else_ends_nobody_beside_changes_however_long_they_take(self):
        self.faults_of_others()
        for name in ("first.cu", "second.cu"):
            with open(gpu.harness.ours("echo"), "rb") as file:
                self.write(name, file.read() + b"// " + name.encode())
        worker = os.path.join(os.path.dirname(gpu.harness.GPUQ), "gpuq-worker")
        run = subprocess.run([os.environ["GPUQ_TEST_SWAPS"], self.path("first.cu"), self.path("second.cu"), "off"],
                             env={**os.environ, **self.script(NEVER, "load=200", f"xid={self.xid}"), "GPUQ_WORKER": worker},
                             capture_output=True, text=True, check=False, timeout=100)
        told = run.stdout + run.stderr
        self.assertEqual(run.returncode, 0, told)
        self.assertNotIn(gpu.COMPLAINT, told)
        self.assertNotIn("WRONG", told)
        self.assertNotIn(STOPPED, told)
        self.assertGreater(told.count(" at done"), 5, told)


gpu.skip_without_nvrtc()
gpu.main()
