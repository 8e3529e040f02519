"""harness.py - what the scenario scripts share: a folder of their own, a pipeline file, a run of it, and a look at what the
run left behind. A script is called as SCRIPT GPUQ TREE [--sanitized] and ends with harness.main().

Each run is a session of its own with a temporary folder of its own; after every test no process of those sessions may be
alive and no temporary file be left.

$GPUQ_BACKEND chooses the backend of the runs, cpu without it. What a script knows of one backend alone it marks with only_on(),
which says why; a script of which nothing ran ends with 77, the code of a skip."""
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

GPUQ, TREE = sys.argv[1:3]
SANITIZED = "--sanitized" in sys.argv
BACKEND = os.environ.get("GPUQ_BACKEND") or "cpu"
SKIP = 77
SAID_BYTES = 300  # of a standard error, in the line of a failed test
PLUGIN = "#include <gpuqueue/plugin.h>\n"
ECHO = "for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i]; *out->out_len = in.len;"


def only_on(backend, why):
    """Marks a test, or a class of them, that holds for one backend alone."""
    return unittest.skipIf(BACKEND != backend, why)


def ours(name):
    return os.path.join(TREE, "plugins", name + ".cu")


def lines(messages):
    return b"".join(m + b"\n" for m in messages)


def length32(messages):
    return b"".join(len(m).to_bytes(4, "little") + m for m in messages)


def varint_head(length):
    head = bytearray()
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(head + bytes([length]))


def varint(messages):
    return b"".join(varint_head(len(m)) + m for m in messages)


FRAMED = {"lines": lines, "length32": length32, "varint": varint, "raw": b"".join, "fixed": b"".join}


def session_members(session):
    """Living processes of a session, by number."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(name))
    return found


def until(condition, seconds=20):
    """Waits for a condition and returns what it gave, true or not."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return value


def own_folder():
    """A new folder whose name comes again, as in tests/stress/place.h: what is compiled there comes from the cache the next time."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    for number in itertools.count():
        folder = os.path.join(tempfile.gettempdir(), f"scenario-{name}-{number}")
        try:
            os.mkdir(folder, 0o700)
            return folder
        except FileExistsError:
            pass


def plugin_text(body, outside=""):
    """A plugin whose process_message has this body, and which has `outside` before it."""
    return PLUGIN + outside + "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n" + body + "\n}\n"


class Folder:
    """Whoever has a `folder` has files in it."""

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def read(self, name="out"):
        with open(self.path(name), "rb") as file:
            return file.read()


class Scenario(unittest.TestCase, Folder):
    maxDiff = 2000

    def setUp(self):
        self.folder = own_folder()
        self.addCleanup(shutil.rmtree, self.folder)
        self.temporary = os.path.join(self.folder, "tmp")
        os.mkdir(self.temporary)
        self.runtime = os.path.join(self.folder, "run")  # where control sockets are made
        os.mkdir(self.runtime)
        self.out = os.path.join(self.folder, "out")
        self.sessions = []

    def tearDown(self):
        alive = {s: until(lambda s=s: not session_members(s), 5) for s in self.sessions}
        self.assertNotIn(False, alive.values(), "processes are left")
        self.assertEqual(os.listdir(self.temporary), [], "temporary files are left")

    # --- files -----------------------------------------------------------------------------------------------------

    def plugin(self, name, body, outside=""):
        return self.write(name + ".cu", plugin_text(body, outside))

    def holding(self, condition, work=ECHO):
        """A plugin that keeps the first message for which this holds; `held` is there while it does."""
        body = f'if ({condition} && mkdir("{self.path("held")}", 0700) == 0) sleep(60);'
        return self.plugin("holds", body + work, "#include <sys/stat.h>\n#include <unistd.h>\n")

    def pipeline(self, stages=None, name="pipeline", **keys):
        """A pipeline file; JSON is YAML. Without `stages` it echoes, without `sink` it writes lines to `out`."""
        whole = {"version": 1, "name": name, "stages": stages or [{"plugin": "builtin:echo"}],
                 "sink": {"file": {"path": self.out, "join": "lines"}}, **keys}
        return self.write(name + ".yaml", json.dumps(whole))

    # --- runs ------------------------------------------------------------------------------------------------------

    def start(self, *arguments, env=None, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        environment = {**os.environ, "GPUQ_BACKEND": BACKEND, "TMPDIR": self.temporary, "XDG_RUNTIME_DIR": self.runtime,
                       **(env or {})}
        process = subprocess.Popen([GPUQ, *arguments], start_new_session=True, env=environment, **options)
        self.sessions.append(process.pid)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream and not stream.closed:
                stream.close()

    def finish(self, process, stdin=None, timeout=100):
        """The exit code, standard output and standard error (as text) of a started process."""
        out, err = process.communicate(stdin, timeout=timeout)
        return process.returncode, out, (err or b"").decode()

    def ended(self, process, seconds):
        """Exit code and standard error of a process that ends by itself within so many seconds, standard input open or not."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.give_up(process, f"it still runs after {seconds} s")
        code, _, err = self.finish(process)
        return code, err

    def give_up(self, process, why):
        """Fails with what the process said so far."""
        process.kill()
        code, _, err = self.finish(process)
        self.fail(f"{why}; exit code {code}: {err}")

    def gpuq(self, *arguments, stdin=b"", **options):
        return self.finish(self.start(*arguments, stdin=subprocess.PIPE, **options), stdin)

    def without_worker(self, *arguments):
        """The end of a command with a plugin that is holding(): others have ended, then the worker is gone, and its program too."""
        worker = self.path("gpuq-worker")
        shutil.copy(os.environ.get("GPUQ_WORKER", os.path.join(os.path.dirname(GPUQ), "gpuq-worker")), worker)
        process = self.start(*arguments, env={"GPUQ_WORKER": worker})
        self.assertTrue(until(lambda: os.path.exists(self.path("held"))), "no message is held")
        time.sleep(0.2)  # the others end
        os.remove(worker)
        os.kill(self.worker_of(process), signal.SIGKILL)
        return self.finish(process)

    def run_ok(self, pipeline, *arguments, **options):
        """Runs to the end; its summary as the JSON says it."""
        code, out, err = self.gpuq("run", "--json", *arguments, pipeline, **options)
        self.assertEqual(code, 0, err)
        self.stdout = out
        summary = json.loads(err.splitlines()[-1])
        self.assertEqual((summary["status"], summary["in_flight"]), ("GQ_OK", 0))
        return summary

    def assert_adds_up(self, summary):
        """Each message that went in is accounted for in the text of a summary."""
        counts = {what: int(n) for n, what in re.findall(r"(\d+) (in|out|failed|dropped|not finished)\b(?! the)", summary)}
        self.assertEqual(counts.pop("in"), sum(counts.values()), summary)

    def processes_of(self, process, role):
        """The numbers of those of our processes that have this role."""
        found = []
        for pid in session_members(process.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if file.read().split(b"\0")[1:2] == [role]:
                        found.append(pid)
            except OSError:
                pass
        return found

    def worker_of(self, process, role=b"worker"):
        """The worker's process number, once it is there; or that of another of our processes, by its role."""
        return until(lambda: next(iter(self.processes_of(process, role)), None))


class Result(unittest.TextTestResult):
    """Repeats each failure as one short line: the last thing said, where somebody sees no more than the end of the output."""

    def printErrors(self):
        super().printErrors()
        for test, trace in self.failures + self.errors:
            said = " | ".join(filter(None, map(str.strip, trace.split("\nAssertionError: ")[-1].splitlines())))
            self.stream.writeln(f"FAILED {test.id().partition('.')[2]}: ...{said[-SAID_BYTES:]}")


def main():
    result = unittest.main(argv=sys.argv[:1], exit=False, testRunner=unittest.TextTestRunner(resultclass=Result)).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIP if len(result.skipped) == result.testsRun else 0)
