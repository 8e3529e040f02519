#!/usr/bin/env python3
"""runs.py - whole pipelines through the CUDA backend: bytes and order are those of the CPU, every driver call may fail, and
a fault, hang or death of a grid costs the message that is to blame."""
import json
import os
import random
import re
import time
import gpu

MESSAGES = [b"%d" % i for i in range(3000)]
# What gives something back, or is asked without need: a run may succeed though it failed.
UNNEEDED = {"cuMemFree_v2", "cuMemHostUnregister", "cuLibraryUnload", "cuStreamDestroy_v2", "cuDevicePrimaryCtxRelease_v2",
            "cuStreamQuery", "cuCtxSetCurrent", "cuStreamSynchronize", "cuDeviceGetPCIBusId", "cuEventDestroy_v2", "cuEventRecord"}
# Not called by a run: swaps.py has the last, `gpuq doctor` the modules; nothing is copied back while messages end, and none
# of these may last until an event is asked for; a lane that does not fit asks how much memory there is.
UNCOUNTED = {"cuDriverGetVersion", "cuMemcpyDtoHAsync_v2", "cuGetErrorName", "cuGetErrorString", "cuModuleLoadData", "cuModuleUnload",
             "cuModuleGetFunction", "cuEventQuery", "cuMemGetInfo_v2"}
# What LeakSanitizer says of a thread that ends while it looks for leaks.
SANITIZERS = re.compile(r"==\d+==Unable to get registers")


class Runs(gpu.Scenario):
    def cuda(self, pipeline, *words):
        return self.gpuq("run", "--backend", "cuda", pipeline, env=self.script(*words))

    def test_bytes_and_order_are_those_that_went_in(self):
        for stages in (1, 2, 5):
            names = [{"plugin": "builtin:echo", "name": f"s{i}"} for i in range(stages)]
            code, out, err = self.cuda(self.lines(MESSAGES, stages=names))
            self.assertEqual((code, out), (0, b"".join(m + b"\n" for m in MESSAGES)), err)
            self.assertIn("cuda (Imaginary 9000, sm_90; --backend)", err)

    def test_every_size_through_a_small_ring(self):
        dice = random.Random(7)
        messages = [dice.randbytes(dice.choice((0, 1, 15, 16, 17, 255, 1000, 1024))) for _ in range(2000)]
        source = {"file": {"path": self.write("in", gpu.harness.length32(messages)), "split": "length32"}}
        pipeline = self.pipeline(source=source, sink={"stdout": {"join": "length32"}}, queue={"capacity": 8, "slot_bytes": 1024})
        code, out, err = self.cuda(pipeline)
        self.assertEqual((code, out), (0, gpu.harness.length32(messages)), err)

    def test_a_source_plugin_makes_its_messages_on_the_device(self):
        source = {"plugin": {"path": gpu.harness.ours("counter"), "first": 41, "count": 5000}}
        code, out, err = self.cuda(self.pipeline(source=source, sink={"stdout": {"join": "lines"}}))
        self.assertEqual((code, out), (0, b"".join(b"%d\n" % i for i in range(41, 5041))), err)

    def counted(self, count, **queue):
        source = {"plugin": {"path": gpu.harness.ours("counter"), "first": 0, "count": count}}
        return self.pipeline(source=source, sink={"null": {}}, queue=queue)

    def summary(self, pipeline, *words):
        code, _, err = self.gpuq("run", "--json", "--backend", "cuda", pipeline, env=self.script(*words))
        return code, json.loads(err.splitlines()[-1]), err

    def test_results_that_nobody_reads_are_counted_in_rings_of_any_size(self):
        for capacity, count in ((2, 101), (64, 5000), (8192, 3), (65536, 70001)):
            code, said, err = self.summary(self.counted(count, capacity=capacity, slot_bytes=32))
            self.assertEqual((code, said["messages_out"], said["in_flight"]), (0, count, 0), err)

    def test_what_is_counted_goes_on_behind_a_fault_and_counts_what_was_given_up(self):
        for script, failed in (("fault=1001", 0), ("poison=0", 1), ("poison=777", 1), ("poison=4999", 1)):
            for stages in (1, 3):
                pipeline = self.pipeline([{"plugin": "builtin:echo", "name": f"s{i}"} for i in range(stages)], sink={"null": {}},
                                         source={"plugin": {"path": gpu.harness.ours("counter"), "count": 5000}},
                                         queue={"capacity": 64, "slot_bytes": 32}, on_error={"retries": 1})
                code, said, err = self.summary(pipeline, script)
                self.assertEqual((code, said["messages_out"], said["failed"], said["in_flight"]), (0, 5000 - failed, failed, 0), err)
                self.assertIn("CUDA_ERROR_ILLEGAL_ADDRESS", err)

    def test_an_interrupt_ends_what_is_made_and_counted(self):
        process = self.start("run", "--json", "--backend", "cuda", self.counted(1 << 40, capacity=65536, slot_bytes=32))
        self.wait_until_it_runs(process)
        process.send_signal(2)
        code, _, err = self.finish(process)
        self.assertIn(code, (0, 130), err)
        self.assertIn('"in_flight": 0', err)

    def test_auto_takes_the_gpu_and_says_so(self):
        code, out, err = self.gpuq("run", self.lines([b"one"]))
        self.assertEqual((code, out), (0, b"one\n"), err)
        self.assertIn("cuda (Imaginary 9000, sm_90; auto)", err)

    def test_the_device_of_the_file_is_the_device_of_the_run(self):
        code, _, err = self.gpuq("run", self.lines([b"one"], device=1), env=self.script("devices=2"))
        self.assertEqual(code, 0, err)
        self.assertIn("cuda (Imaginary 9000 (1), sm_90; auto)", err)

    def test_the_driver_is_initialized_once(self):
        code, _, err = self.cuda(self.lines([b"one"], spare="off"), "fail=cuInit,0,2", f"count={self.path('inits')}")
        self.assertEqual((code, os.path.getsize(self.path("inits"))), (0, 1), err)

    def test_a_lane_that_does_not_fit_is_refused_with_the_numbers(self):
        code, out, err = self.cuda(self.lines([b"one"], queue={"capacity": 1 << 20, "slot_bytes": 2048}))
        self.assertEqual((code, out), (71, b""), err)
        self.assertRegex(err, r"^gpuq run: a lane needs \d{10} bytes of device memory, 4294967296 of 4294967296 are free: "
                              r"lower queue\.capacity or queue\.slot_bytes\n$")

    def test_the_grids_are_told_how_to_wait(self):
        for number, poll in enumerate(("adaptive", "spin", "sleep")):
            code, out, err = self.cuda(self.lines([b"one"], queue={"poll": poll}), f"poll={number}")
            self.assertEqual((code, out), (0, b"one\n"), err)

    def sized(self, *blocks):
        stages = [{"plugin": "builtin:echo", "name": f"s{i}", "blocks": b} for i, b in enumerate(blocks)]
        return self.lines([b"one"], stages=stages, queue={"slot_bytes": 64})

    def test_grids_have_the_size_that_was_asked_for(self):
        for blocks, threads in ((("auto",), 2 * 4 * 256), ((3,), 3 * 256), ((1, 2), 3 * 256), ((1, "auto", 5), (6 + 8) * 256)):
            script = [f"launched={threads}", "registers=131072"]
            code, out, err = self.cuda(self.sized(*blocks), *script)
            self.assertEqual((code, out), (0, b"one\n"), err)

    def test_stages_that_do_not_fit_together_are_refused_with_the_numbers(self):
        block = r"of 256 threads, 128 registers each, \d+ bytes shared, \d an SM alone"
        device = "4 SMs of 131072 registers, 2048 threads, 233472 bytes of shared memory and 32 blocks each"
        for blocks, said in (((17,), f"'s0' asks for 17 blocks {block}"),
                             ((16, "auto"), f"'s0' asks for 16 blocks {block}, 's1' needs 1 block {block}")):
            code, out, err = self.cuda(self.sized(*blocks), "registers=131072")
            self.assertEqual((code, out), (65, b""), err)
            self.assertRegex(err, rf"^gpuq run: the stages' grids do not fit on the device together, {device}: {said}; lower `blocks`,"
                                  " or take fewer stages or plugins that need less\n$")

    def test_a_device_that_is_too_small_for_two_stages_runs_one(self):
        code, out, err = self.cuda(self.sized("auto"), "sms=1", "registers=32768")
        self.assertEqual((code, out), (0, b"one\n"), err)
        code, out, err = self.cuda(self.sized("auto", "auto"), "sms=1", "registers=32768")
        self.assertEqual((code, out), (65, b""), err)
        self.assertIn("'s0' needs 1 block", err)

    def test_workers_that_fault_again_and_again_lose_no_message(self):
        for stages in (1, 2, 3):
            names = [{"plugin": "builtin:echo", "name": f"s{i}"} for i in range(stages)]
            for capacity in (64, 4096):
                code, out, err = self.cuda(self.lines(MESSAGES, stages=names, queue={"capacity": capacity}), "fault=1000")
                self.assertEqual((code, out), (0, b"".join(m + b"\n" for m in MESSAGES)), err)
                self.assertGreaterEqual(err.count("CUDA_ERROR_ILLEGAL_ADDRESS"), 2 if capacity == 64 else 1, err)

    def lost(self, at, *words, **keys):
        """What standard error says of a run in which message `at` alone is given up."""
        pipeline = self.lines(MESSAGES, queue={"capacity": 64}, on_error={"retries": 1}, **keys)
        code, out, err = self.cuda(pipeline, *words)
        self.assertEqual((code, out), (0, b"".join(m + b"\n" for i, m in enumerate(MESSAGES) if i != at)), err)
        return err

    def test_the_message_that_ends_every_worker_is_given_up_and_no_other(self):
        stages = [{"plugin": "builtin:echo", "name": "one"}, {"plugin": "builtin:echo", "name": "two"}]
        for at in (0, 63, 64, 2999):
            err = self.lost(at, f"poison={at}", stages=stages)
            self.assertIn(f"message {at + 1} is given up: in stage 'one' it ended the worker with CUDA_ERROR_ILLEGAL_ADDRESS each of 2 times",
                          err)

    def test_a_message_that_is_alone_is_given_up_with_its_stage(self):
        code, out, err = self.cuda(self.lines([b"x"], stages=[{"plugin": "builtin:echo", "name": "only"}]), "poison=0")
        self.assertEqual((code, out), (0, b""), err)
        self.assertIn("message 1 is given up: in stage 'only' it ended the worker with CUDA_ERROR_ILLEGAL_ADDRESS", err)

    def test_the_message_that_never_ends_is_given_up_after_its_time(self):
        err = self.lost(100, "hangs=100", stages=[{"plugin": "builtin:echo", "name": "slow", "timeout": "200ms"}])
        self.assertIn("message 101 did not end within the 200 ms of stage 'slow'", err)
        self.assertIn("is given up: in stage 'slow' it did not end within its stage's timeout each of 2 times", err)

    def test_the_index_that_a_source_never_ends_is_given_up_after_its_time(self):
        source = {"plugin": {"path": gpu.harness.ours("counter"), "first": 41, "count": 500, "timeout": "200ms"}}
        code, out, err = self.cuda(self.pipeline(source=source, sink={"stdout": {"join": "lines"}}), "hangs=100")
        self.assertEqual((code, out), (0, b"".join(b"%d\n" % (41 + i) for i in range(500) if i != 100)), err)
        self.assertIn("message 101 did not end within the 200 ms of stage 'source'", err)
        self.assertIn("is given up: in stage 'source' it did not end within its stage's timeout each of 4 times", err)

    def test_a_message_that_hangs_is_found_in_every_stage_and_in_every_kind_of_lane(self):
        for stages in (1, 3):
            names = [{"plugin": "builtin:echo", "name": f"s{i}", "timeout": "200ms"} for i in range(stages)]
            for at in (0, 1, 64, 2999):
                err = self.lost(at, f"hangs={at}", stages=names)
                self.assertRegex(err, rf"(one of \d+ messages from message {at + 1} on|message {at + 1}) did not end within the 200 ms")

    def test_a_look_at_what_hangs_that_fails_is_made_again(self):
        stages = [{"plugin": "builtin:echo", "name": f"s{i}", "timeout": "200ms"} for i in range(2)]
        for k in range(1, 8):
            self.lost(100, "hangs=100", f"fail=cuMemcpyDtoHAsync_v2,{k},2", f"count={self.path('looks')}", stages=stages)

    def test_without_a_spare_each_worker_is_started_when_it_is_needed(self):
        for spare, before in (("on", 2), ("off", 1)):  # workers that took the device before the first was killed
            inits = self.path(f"inits-{spare}")
            process = self.start("run", "--backend", "cuda", self.pipeline(spare=spare, source={"stdin": {"split": "lines"}}),
                                 stdin=gpu.subprocess.PIPE, env=self.script("fail=cuInit,0,2", f"count={inits}"))
            process.stdin.write(b"one\n")
            process.stdin.flush()
            self.assertTrue(gpu.harness.until(lambda: os.path.exists(self.out) and self.read() == b"one\n"))
            self.assertTrue(gpu.harness.until(lambda: os.path.getsize(inits) == before), (spare, os.path.getsize(inits)))
            os.kill(self.worker_of(process), 9)
            code, out, err = self.finish(process, b"two\n")
            self.assertEqual((code, self.read()), (0, b"one\ntwo\n"), err)
            self.assertGreaterEqual(os.path.getsize(inits), 2)
            os.unlink(self.out)

    def test_as_many_wait_in_reserve_as_the_next_poison_needs(self):
        for spare, poisoned, waiting in (("on", True, 4), ("on", False, 1), ("off", True, 0)):
            process = self.start("run", "--backend", "cuda",
                                 self.pipeline(spare=spare, source={"stdin": {"split": "lines"}}, on_error={"retries": 1}),
                                 stdin=gpu.subprocess.PIPE, env=self.script("poison=1") if poisoned else self.script())
            process.stdin.write(b"one\n")
            process.stdin.flush()
            self.assertTrue(gpu.harness.until(lambda: os.path.exists(self.out) and self.read() == b"one\n"))
            self.assertEqual(len(self.processes_of(process, b"reserve")), 0 if spare == "off" else 1)
            if not poisoned:
                os.kill(self.worker_of(process), 9)
            process.stdin.write(b"two\nthree\n")
            process.stdin.flush()
            expected = b"one\nthree\n" if poisoned else b"one\ntwo\nthree\n"
            self.assertTrue(gpu.harness.until(lambda: self.read() == expected))  # pylint: disable=cell-var-from-loop
            self.assertTrue(gpu.harness.until(lambda: len(self.processes_of(process, b"reserve")) == waiting), (spare, poisoned))
            time.sleep(0.1)
            self.assertEqual(len(self.processes_of(process, b"reserve")), waiting)
            code, _, err = self.finish(process, b"")
            self.assertEqual((code, self.read(), b"is given up" in err.encode()), (0, expected, poisoned), err)
            os.unlink(self.out)

    def test_a_fault_that_is_reported_after_every_result_fails_the_run(self):
        code, out, err = self.cuda(self.lines(MESSAGES), "late")
        self.assertEqual((code, out), (1, b"".join(m + b"\n" for m in MESSAGES)), err)
        self.assertIn("CUDA_ERROR_ILLEGAL_ADDRESS", err.splitlines()[0])

    def test_a_plugin_that_is_tried_fails_by_a_late_fault_too(self):
        for arguments, told in ((("run", "--in", "-"), b"abc"), (("test",), b"ok    empty\n")):
            code, out, err = self.gpuq("plugin", *arguments, "--backend", "cuda", gpu.harness.ours("echo"), stdin=b"abc",
                                       env=self.script("late"))
            self.assertEqual(code, 1, err)
            self.assertIn(told, out)
            self.assertIn("CUDA_ERROR_ILLEGAL_ADDRESS", err)

    def test_grids_that_end_by_themselves_each_time(self):
        code, _, err = self.cuda(self.lines(MESSAGES), "ends")
        self.assertEqual(code, 1, err)
        self.assertIn("5 workers in a row ended without ending a message: the grid of step 0 ended though nobody stopped it", err)

    def test_a_grid_that_never_leaves_ends_with_its_process(self):
        start = time.monotonic()
        code, out, err = self.cuda(self.lines(MESSAGES), "stuck")
        self.assertEqual((code, out), (0, b"".join(m + b"\n" for m in MESSAGES)), err)
        self.assertLess(time.monotonic() - start, 15)

    def test_a_killed_worker_is_a_sentence_and_another_takes_over(self):
        source = {"generate": {"count": 20000, "bytes": 16, "rate": "20000/s"}}
        process = self.start("run", "--json", "--backend", "cuda", self.pipeline(source=source, sink={"null": {}}))
        self.wait_until_it_runs(process)
        time.sleep(0.2)  # some messages
        os.kill(self.worker_of(process), 9)
        code, _, err = self.finish(process)
        self.assertEqual(code, 0, err)
        self.assertIn("SIGKILL", err)
        self.assertEqual(json.loads(err.splitlines()[-1])["messages_out"], 20000)

    def test_an_interrupt_drains(self):
        source = {"generate": {"count": 100000000, "bytes": 16, "rate": "20000/s"}}
        process = self.start("run", "--json", "--backend", "cuda", self.pipeline(source=source, sink={"null": {}}))
        self.wait_until_it_runs(process)
        process.send_signal(2)
        code, _, err = self.finish(process)
        self.assertIn(code, (0, 130), err)
        self.assertIn('"in_flight": 0', err)


class Endings(gpu.Scenario):
    """A message never ends, and is given up."""

    def workers(self, process):
        """How many processes serve, or were tried in, and have not ended."""
        return len(list(self.processes_of(process, b"worker")))

    def test_of_those_that_it_was_tried_in_none_is_left(self):
        stages = [{"plugin": "builtin:echo", "name": "s0", "timeout": "200ms"}]
        pipeline = self.pipeline(stages, source={"stdin": {"split": "lines"}}, queue={"capacity": 64}, on_error={"retries": 1})
        process = self.start("run", "--json", "--backend", "cuda", pipeline, stdin=gpu.subprocess.PIPE, env=self.script("hangs=10"))
        process.stdin.write(b"message\n" * 20)
        process.stdin.flush()
        self.assertTrue(gpu.harness.until(lambda: os.path.exists(self.out) and self.read() == b"message\n" * 19))
        self.assertTrue(gpu.harness.until(lambda: self.workers(process) == 1))
        time.sleep(0.3)
        self.assertEqual(self.workers(process), 1)
        code, _, err = self.finish(process, b"")
        said = json.loads(err.splitlines()[-1])
        self.assertEqual((code, said["messages_out"], said["failed"]), (0, 19, 1), err)


class Beginnings(gpu.Scenario):
    """The worker was killed, and the next one cannot begin."""

    def begin(self, *words):
        process = self.start("run", "--backend", "cuda", self.pipeline(spare="off", source={"stdin": {"split": "lines"}}),
                             stdin=gpu.subprocess.PIPE, env=self.script(*words))
        self.served = b""
        self.serve(process)
        return process

    def serve(self, process):
        self.served += b"message\n"
        process.stdin.write(b"message\n")
        process.stdin.flush()
        self.assertTrue(gpu.harness.until(lambda: os.path.exists(self.out) and self.read() == self.served))

    def end(self, process):
        code, _, err = self.finish(process, b"")
        self.assertEqual((code, self.read()), (0, self.served), err)
        return err

    def test_a_worker_is_not_said_to_have_died_of_what_ended_one_that_could_not_take_over(self):
        process = self.begin("fail=cuMemHostRegister_v2,7,700", f"count={self.path('registrations')}")
        for _ in range(2):
            os.kill(self.worker_of(process), 9)
            self.serve(process)
        self.assertEqual(os.path.getsize(self.path("registrations")), 15)  # four a worker, and three
        err = self.end(process)
        self.assertEqual((err.count("was killed by SIGKILL"), err.count("CUDA_ERROR_ILLEGAL_ADDRESS")), (2, 0), err)

    def test_a_worker_whose_grids_cannot_be_launched_is_not_taken_for_one_that_serves(self):
        process = self.begin("fail=cuLaunchKernel,2,999", f"count={self.path('launches')}")
        start = time.monotonic()
        os.kill(self.worker_of(process), 9)
        self.serve(process)
        self.assertLess(time.monotonic() - start, 10)
        err = self.end(process)
        self.assertEqual(err.count("takes over"), 1, err)
        self.assertEqual(os.path.getsize(self.path("launches")), 3)

    def test_memory_of_the_device_that_others_have_for_a_while_is_waited_for(self):
        path = self.path("scarce")
        process = self.begin(f"scarce={path}")
        self.write("scarce", b"")
        os.kill(self.worker_of(process), 9)
        time.sleep(2)
        os.unlink(path)
        self.serve(process)
        self.assertEqual(self.end(process).count("takes over"), 1)


class EveryCall(gpu.Scenario):
    """Start, run, stop, with the K-th call of one function failing, for every K that there is."""

    def attempt(self, function, k, error, stages):
        count = self.path(f"calls-{function}")
        if os.path.exists(count):
            os.remove(count)
        script = self.script(f"fail={function},{k},{error}", f"count={count}")
        names = [{"plugin": "builtin:echo", "name": f"s{i}"} for i in range(stages)]
        pipeline = self.lines([b"one", b"two"], stages=names, queue={"capacity": 64, "slot_bytes": 256}, spare="off")
        result = self.gpuq("run", "--backend", "cuda", pipeline, env=script)
        return (*result, os.path.getsize(count) if os.path.exists(count) else 0)

    def judge(self, function, k, error, stages):
        start = time.monotonic()
        code, out, err, _ = self.attempt(function, k, error, stages)
        self.assertLess(time.monotonic() - start, 25, function)  # what is given 30 s to answer was not waited for
        what = f"{function}, call {k}, error {error}: exit {code}: {err}"
        if code == 0:  # it was not needed, or another worker took over
            self.assertEqual(out, b"one\ntwo\n", what)
            self.assertTrue(function in UNNEEDED or "takes over" in err, what)
            return
        self.assertIn(code, (1, 69, 71), what)
        self.assertIn(out, (b"", b"one\ntwo\n"), what)
        said = err.splitlines()
        while gpu.harness.SANITIZED and said and SANITIZERS.match(said[0]):
            said.pop(0)
        self.assertRegex(said[0], r"^gpuq run: .{20,}", what)
        self.assertNotIn("did not answer", err, what)
        self.assertNotIn("killed by", err, what)

    def sweep(self, error, stages, at_most):
        for function in set(gpu.driver_functions()) - UNCOUNTED:
            calls = self.attempt(function, 0, error, stages)[3]
            self.assertGreater(calls, 0, function)
            for k in range(1, min(calls, at_most) + 1):
                self.judge(function, k, error, stages)

    def test_a_refused_call_is_a_sentence(self):
        self.sweep(error=2, stages=2, at_most=30 if not gpu.harness.SANITIZED else 5)

    def test_a_device_that_is_lost_in_any_call_is_a_sentence(self):
        self.sweep(error=700, stages=1, at_most=3)


gpu.skip_without_nvrtc()
gpu.main()
