#!/usr/bin/env python3
"""refused.py - a change on an imaginary GPU that is refused leaves no trace: what was live serves on, in all grids, beside a
message that is held too, and its grids divide an SM's memory as before."""
import os
import subprocess
import gpu

PROGRAM = os.environ["GPUQ_TEST_REFUSED"]
FIRST = """#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView& in, ResultView* out)
{
    for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i];
    *out->out_len = in.len;
}
"""
SECOND = FIRST.replace("*out->out_len = in.len;", "*out->out_len = in.len + 0;")
# Takes more of an SM's memory.
LARGE = FIRST.replace("{\n    for", "{\n    __shared__ volatile char room[20000];\n    room[threadIdx.x] = 1;\n    for")
STAGES = 3
# Threads of an SM: more than grids take, what one block of each of three stages takes, and less.
ROOM, NO_ROOM, FULL = "threads=2048", "threads=768", "threads=512"


class Refused(gpu.Scenario):
    def refused(self, what, *words, second=SECOND, **env):
        files = [self.write(name, text.encode()) for name, text in (("first.cu", FIRST), ("second.cu", second))]
        environment = {**os.environ, **self.script(*words), **env,
                       "GPUQ_WORKER": os.path.join(os.path.dirname(gpu.harness.GPUQ), "gpuq-worker")}
        run = subprocess.run([PROGRAM, what, *files], env=environment, capture_output=True, text=True, check=False, timeout=150)
        told = run.stdout + run.stderr
        self.assertNotIn(gpu.COMPLAINT, told)
        self.assertNotIn("WRONG", told)
        self.assertEqual(run.returncode, 0, told)
        return told

    def test_a_change_of_which_any_launch_fails_leaves_the_live_code_in_all_grids(self):
        # Before: each stage's grid, and of each but the first, and of the new code, a first launch that does nothing.
        for k in range(1, STAGES + 1):
            told = self.refused("launch", f"fail=cuLaunchKernel,{2 * STAGES + k},2", f"count={self.path(f'launches-{k}')}")
            self.assertRegex(told, r"a launch fails +GQ_ERR_NO_MEMORY at launch, live 1, .*cuLaunchKernel: CUDA_ERROR_OUT_OF_MEMORY")

    def test_changes_beside_a_message_that_is_held_are_refused_and_what_is_live_serves_on(self):
        path = self.path("held")
        for room, blocks in ((ROOM, "auto"), (ROOM, "1"), (NO_ROOM, "auto")):
            self.refused("held", f"held=1,{path}", "registers=262144", room, HELD=path, BLOCKS=blocks)

    def test_a_stage_whose_only_block_holds_a_message_serves_when_that_has_ended(self):
        path = self.path("held")
        self.refused("held", f"held=1,{path}", "registers=262144", FULL, HELD=path, BLOCKS="1", FULL="1")

    def test_grids_divide_an_sm_alike_whatever_call_fails(self):
        for function in ("cuFuncSetAttribute", "cuLaunchKernel"):
            count = self.path(f"calls-{function}")
            self.refused("memory", f"fail={function},0,2", f"count={count}", second=LARGE)
            for k in range(os.path.getsize(count), 2 * STAGES, -1):
                self.refused("memory", f"fail={function},{k},2", f"count={self.path(f'{function}-{k}')}", second=LARGE)


gpu.skip_without_nvrtc()
gpu.main()
