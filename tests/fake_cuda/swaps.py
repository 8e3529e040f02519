#!/usr/bin/env python3
"""swaps.py - the code of a stage changes under load on an imaginary GPU: a change is made, or refused with a sentence while
messages flow on, whatever call of the driver fails."""
import os
import subprocess
import gpu

PROGRAM = os.environ["GPUQ_TEST_SWAPS"]
FIRST = """#include <gpuqueue/plugin.h>
GQ_STATE(64, 1);
__device__ void process_message(const MsgView& in, ResultView* out)
{
    for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i];
    *out->out_len = in.len;
}
"""
SECOND = FIRST.replace("GQ_STATE(64, 1);", """GQ_STATE(128, 2);
__device__ void gq_migrate(const void* old_state, uint32_t old_bytes, uint32_t old_version, void* state)
{
    for (uint32_t i = 0; i < old_bytes && i < 128; i++) ((char*)state)[i] = ((const char*)old_state)[i];
}
""")
BACK = FIRST.replace("GQ_STATE(64, 1);", """GQ_STATE(64, 1);
__device__ void gq_migrate(const void* old_state, uint32_t old_bytes, uint32_t old_version, void* state) {}
""")
# What a change calls, beside what every run does.
CHANGING = ("cuLibraryLoadData", "cuLibraryGetKernel", "cuKernelGetFunction", "cuLibraryUnload", "cuFuncSetAttribute",
            "cuMemAlloc_v2", "cuMemFree_v2", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuStreamWriteValue32_v2",
            "cuStreamSynchronize", "cuLaunchKernel")


class Swaps(gpu.Scenario):
    def swaps(self, *words, rehearse="off", first=BACK, files=None):
        for name, text in (("first.cu", first), ("second.cu", SECOND)):
            if not os.path.exists(self.path(name)):
                self.write(name, text.encode())
        environment = {**os.environ, **self.script(*words), "GPUQ_WORKER": os.path.join(os.path.dirname(gpu.harness.GPUQ), "gpuq-worker")}
        files = files or (self.path("first.cu"), self.path("second.cu"))
        run = subprocess.run([PROGRAM, *files, rehearse], env=environment,
                             capture_output=True, text=True, check=False, timeout=100)
        told = run.stdout + run.stderr
        self.assertNotIn(gpu.COMPLAINT, told)
        self.assertNotIn("WRONG", told)
        return run.returncode, told

    def fresh(self, path):
        if os.path.exists(path):
            os.remove(path)
        return path

    def made(self, told):
        return [line.split(" at ")[1].split(",")[0] for line in told.splitlines() if " at " in line and "live" in line]

    def test_every_change_is_made(self):
        code, told = self.swaps()
        self.assertEqual(code, 0, told)
        self.assertEqual([step == "done" for step in self.made(told)], [True, True, True, True, False, True, True, False, True, False], told)
        self.assertRegex(told, r"a canary with other memory +GQ_ERR_PLUGIN at inspect, live \d+, generation 0: a canary of stage 'a' shares")

    def test_every_change_is_made_after_its_rehearsal(self):
        code, told = self.swaps(rehearse="on")
        self.assertEqual(code, 0, told)
        self.assertEqual([step == "done" for step in self.made(told)], [True, True, True, True, False, True, True, False, True, False], told)
        self.assertRegex(told, r"a canary with other memory +GQ_ERR_PLUGIN at inspect, live \d+, generation 0: a canary of stage 'a' shares")

    def test_machine_code_is_swapped_in_as_source_is(self):
        for files in (("rot13.ptx", "hex.cubin"), ("hex.cubin", "rot13.ptx")):
            code, told = self.swaps(files=[os.path.join(gpu.harness.TREE, "plugins", name) for name in files])
            self.assertEqual(code, 0, told)
            self.assertEqual([step == "done" for step in self.made(told)], [True, True, True, True, False, True, True, False, True, True], told)

    def test_memory_that_nobody_can_take_over_is_a_refusal(self):
        code, told = self.swaps(first=FIRST)
        self.assertEqual(code, 0, told)
        self.assertRegex(told, r"back +GQ_ERR_PLUGIN at \w+, live 2.*gq_migrate")

    def test_grids_that_do_not_leave_are_a_refusal_and_serve_on(self):
        code, told = self.swaps("holds")
        self.assertEqual(code, 0, told)
        self.assertRegex(told, r"second in place of first +GQ_ERR_\w+ at park, live 1.*has held a message for 5 s")

    def test_a_change_whose_driver_call_fails_is_refused_or_ends_the_pipeline_with_a_sentence(self):
        for function in CHANGING:
            count = self.path(f"calls-{function}")
            self.swaps(f"fail={function},0,2", f"count={count}")
            calls = os.path.getsize(count)
            self.assertGreater(calls, 0, function)
            step = max(1, calls // (12 if not gpu.harness.SANITIZED else 3))
            for k in range(calls, 0, -step):
                code, told = self.swaps(f"fail={function},{k},2", f"count={self.fresh(count)}")
                self.assertIn(code, (0, 3, 4), f"{function}, call {k} of {calls}: {told}")
                self.assertNotIn("killed by", told, f"{function}, call {k} of {calls}")

    def test_what_is_said_to_be_live_is_what_serves_when_a_worker_lives_and_cannot_launch(self):
        count = self.path("calls")
        self.swaps("fail=cuLaunchKernel,0,1", f"count={count}")
        calls = os.path.getsize(count)
        for k in range(calls, 0, -1 if not gpu.harness.SANITIZED else -4):
            code, told = self.swaps(f"fail=cuLaunchKernel,{k},1", f"count={self.fresh(count)}")
            self.assertIn(code, (0, 3, 4), f"call {k} of {calls}: {told}")

    def test_a_device_that_is_lost_during_a_change_is_another_workers_and_the_change_is_made_or_refused(self):
        for function in ("cuKernelGetFunction", "cuLaunchKernel", "cuStreamWriteValue32_v2"):
            count = self.path(f"calls-{function}")
            self.swaps(f"fail={function},0,700", f"count={count}")
            code, told = self.swaps(f"fail={function},{os.path.getsize(count)},700", f"count={self.fresh(self.path('again'))}")
            self.assertEqual(code, 0, f"{function}: {told}")


gpu.skip_without_nvrtc()
gpu.main()
