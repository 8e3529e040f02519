"""gpu.py - scenarios beside a GPU that is imaginary: $GPUQ_LIBCUDA is the tests' own libcuda.so.1, and script() tells it how
to behave (fake.h has the words)."""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(sys.argv[2], "tests", "scenario"))
import harness  # noqa: E402

DRIVER = os.environ["GPUQ_LIBCUDA"]
COMPLAINT = "fake libcuda:"  # a rule of the driver was broken
SKIP = 77


def driver_functions():
    """Every function of the driver that the backend calls, from its table."""
    with open(os.path.join(harness.TREE, "runtime/backend/cuda_api.h"), encoding="utf-8") as file:
        table = file.read().split("#define GQ_CU_FUNCTIONS(X)")[1].split("struct gq_cu_api")[0]
    found = re.findall(r"X\(\w+,\s*(cu[A-Z]\w+)", table)
    assert len(found) > 25, found
    return found


def skip_without_nvrtc():
    run = subprocess.run([harness.GPUQ, "plugin", "check", "--backend", "cuda", "--arch", "90", harness.ours("echo")],
                         capture_output=True, text=True, check=False, timeout=100)
    if run.returncode == 69:
        print("skipped:", run.stderr.strip())
        sys.exit(SKIP)


class Scenario(harness.Scenario):
    def start(self, *arguments, env=None, **options):
        return super().start(*arguments, env={"GPUQ_BACKEND": "", **(env or {})}, **options)

    def wait_until_it_runs(self, process):
        """A signal interrupts it from then on."""
        def heeds_interrupts():
            with open(f"/proc/{process.pid}/status", "rb") as status:
                caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)", status.read(), re.M)
            return int(caught[1], 16) >> signal.SIGINT - 1 & 1
        self.assertTrue(self.worker_of(process, b"reserve"))  # it is gpuq by now, and no copy of this process
        self.assertTrue(harness.until(heeds_interrupts))

    def script(self, *words):
        return {"GPUQ_FAKE_CUDA": " ".join(words)}

    def finish(self, process, stdin=None, timeout=60):
        code, out, err = super().finish(process, stdin, timeout)
        self.assertNotIn(COMPLAINT, err)
        return code, out, err

    def lines(self, messages, **keys):
        """A pipeline that reads these messages, one a line, and writes them to standard output."""
        path = self.write("in", b"".join(b"%s\n" % m for m in messages))
        return self.pipeline(source={"file": {"path": path}}, sink={"stdout": {"join": "lines"}}, **keys)


main = harness.main
