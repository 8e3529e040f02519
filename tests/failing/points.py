"""points.py - one call of one process fails, and what must hold whatever it was."""
import errno
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "scenario"))
from harness import Folder, plugin_text, session_members, until  # noqa: E402

PLAN = "16sIIQQQ48s256s"  # struct failing_plan of plan.h
DOCUMENTED = {0, 1, 64, 65, 69, 70, 71, 74, 78}  # of status.h
DEADLINE = 60  # of a command that takes a tenth of a second, on a machine that is slow and busy
REPORTS = re.compile(r"Sanitizer|runtime error:|a fault of gpuqueue itself")
# Where no error number says it, one of these does.
CAUSES = ("out of memory", "memory ran out", "did not", "does not", "ended", "was killed", "exited", "gone", "no room",
          "no process serves")
CLEANING = ("unlink", "unlinkat", "fstatat")  # what cannot be taken away, or not be known to be ours, stays


def place(program, offset):
    """FOLDER/FILE:LINE of a return address."""
    if not offset:
        return "no place"
    said = subprocess.run(["addr2line", "-e", program, hex(offset - 1)], capture_output=True, text=True, check=False)
    folder, _, file = said.stdout.strip().rpartition("/")
    return f"{os.path.basename(folder)}/{file}"


class Broken(Exception):
    """A promise that a point did not keep."""


class Planted:
    """Which call it was, as the plan says afterwards."""

    def __init__(self, data):
        fields = struct.unpack(PLAN, data)
        self.planted, self.at, self.count, self.place = bool(fields[2]), fields[3], fields[4], fields[5]
        self.call, self.program = (field.partition(b"\0")[0].decode() for field in fields[6:8])

    def name(self):
        return self.call.partition(" ")[0]

    def errno_text(self):
        word = self.call.partition(" ")[2]
        return os.strerror(getattr(errno, word)) if word else ""

    def where(self):
        if not self.planted:
            return "no call"
        return f"call {self.at}, {self.call}, at {place(self.program, self.place)}"


class Point(Folder):
    """A folder, a plan, and commands whose calls may fail by it."""

    def __init__(self, bench, role="host", interrupted=False, at=0):
        self.bench, self.at = bench, at
        self.folder = tempfile.mkdtemp(prefix="failing-")
        self.plan = self.path("plan")
        with open(self.plan, "wb") as file:
            file.write(struct.pack(PLAN, role.encode(), interrupted, 0, at, 0, 0, b"", b""))
        for name in ("tmp", "run", "cache"):
            os.mkdir(self.path(name))
        for name in os.listdir(bench.cache):
            shutil.copy2(os.path.join(bench.cache, name), self.path("cache"))
        self.started, self.outcomes = [], []
        self.excused = []  # sentences about what follows from the failure, not of it

    def read(self, name="out"):
        return super().read(name) if os.path.exists(self.path(name)) else b""

    def pipeline(self, stages=None, name="p", **keys):
        whole = {"version": 1, "name": name, "cpu": {"threads": 2}, "stages": stages or [{"plugin": "builtin:echo"}],
                 "sink": {"file": {"path": self.path("out"), "join": "lines"}}, **keys}
        return self.write(name + ".yaml", json.dumps({k: v for k, v in whole.items() if v is not None}))

    def plugin(self, name, kit=None):
        text = self.bench.plugin_text(kit or name)
        return self.write(name + ".cu", text)

    # --- processes ------------------------------------------------------------------------------------------------

    def environment(self, failing=True):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GPUQ_")}
        environment.update(GPUQ_BACKEND="cpu", GPUQ_WORKER=self.bench.worker, GPUQ_CXX=self.bench.compiler, GPUQ_CACHE=self.path("cache"),
                           TMPDIR=self.path("tmp"), XDG_RUNTIME_DIR=self.path("run"), HOME=self.folder)
        if failing:
            environment["GPUQ_FAILING"] = self.plan
        return environment

    def track(self, process, arguments, out=None, err=None):
        process.arguments, process.out, process.err = arguments, out, err
        self.started.append(process)

    def start(self, *arguments, failing=True):
        out, err = (open(self.path(f"{what}-{len(self.started)}"), "w+b") for what in ("stdout", "stderr"))
        process = subprocess.Popen([self.bench.gpuq, *arguments], env=self.environment(failing), start_new_session=True, cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.track(process, arguments, out, err)
        return process

    def end(self, process):
        """(code, output, error) of a process that must end by itself, as somebody documented."""
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise Broken(f"{process.arguments} hangs: {self.said(process)}") from None
        process.out.seek(0)
        out, err = process.out.read(), self.said(process)
        self.outcomes.append((process.arguments, process.returncode, out, err))
        if process.returncode not in DOCUMENTED:
            raise Broken(f"{process.arguments}: exit code {process.returncode}: {err}")
        if REPORTS.search(err):
            raise Broken(f"{process.arguments} reports {err}")
        return process.returncode, out, err

    @staticmethod
    def said(process):
        return os.pread(process.err.fileno(), 1 << 20, 0).decode(errors="replace")

    def gpuq(self, *arguments, **options):
        return self.end(self.start(*arguments, **options))

    def well(self, *arguments):
        """The output of a command to which nothing happens."""
        code, out, err = self.gpuq(*arguments, failing=False)
        if code != 0:
            raise Broken(f"{arguments}, after the failure: {code}: {err} {out.decode(errors='replace')}")
        return out

    # --- judging --------------------------------------------------------------------------------------------------

    def planted(self):
        with open(self.plan, "rb") as file:
            return Planted(file.read())

    def check_sentences(self, planted, expected):
        """Every refusal has a sentence with a cause; `expected` are commands that have another one, failure or not."""
        for arguments, code, out, err in self.outcomes:
            if code == 0 or arguments in expected:
                continue
            if any(words in err for words in self.excused):
                continue
            if arguments[0] == "lint" or arguments[:2] == ("plugin", "test"):  # their findings are their output
                err = out.decode() + err
            if not err.strip():
                raise Broken(f"{arguments}: exit code {code} without a word")
            known = planted.errno_text() in err or any(cause in err for cause in CAUSES)
            if "(null)" in err or (planted.planted and not known):
                raise Broken(f"{arguments}: exit code {code}, and the sentence has no cause: {err}")

    def check_left(self, planted):
        for process in self.started:
            if not until(lambda p=process: not session_members(p.pid), 10):
                raise Broken(f"processes of {process.arguments} are left")
        if planted.name() in CLEANING:
            return
        left = os.listdir(self.path("tmp")) + glob.glob(self.path("run/gpuqueue/*.sock")) + glob.glob(self.path("*.??????"))
        left += [name for name in os.listdir(self.path("cache")) if not name.endswith(".gpuq")]
        if left:
            raise Broken(f"files are left: {left}")

    def finish(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            for pid in session_members(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()
            for file in filter(None, (process.out, process.err)):
                file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bench:
    """The programs, and the images that plugins are compiled to once."""

    def __init__(self, programs, gpuq, plugins):
        programs, gpuq = os.path.abspath(programs), os.path.abspath(gpuq)
        self.gpuq, self.worker = os.path.join(programs, "failing_gpuq"), os.path.join(programs, "failing_worker")
        self.library = os.path.join(programs, "failing_library")
        self.plugins = plugins
        self.work = tempfile.mkdtemp(prefix="failing-kit-")
        self.compiler = os.path.join(self.work, "compiler")
        self.cache = os.path.join(self.work, "cache")
        for name in ("kit", "cache", "plugins"):
            os.makedirs(os.path.join(self.work, name))
        shutil.copy2(os.path.join(HERE, "compiler"), self.compiler)
        for name in plugins:
            self.compile(gpuq, name, os.path.join(programs, "cache"))

    def plugin_text(self, name):
        return f"// kit: {name}\n" + plugin_text(*self.plugins[name])

    def compile(self, gpuq, name, cache):
        path = os.path.join(self.work, "plugins", name + ".cu")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.plugin_text(name))
        what = "builtin:echo" if name == "echo" else path
        if name != "broken":
            subprocess.run([gpuq, "plugin", "build", "--backend", "cpu", "-o", os.path.join(self.work, "kit", name + ".so"), what],
                           check=True, env={**os.environ, "GPUQ_CACHE": cache}, stdout=subprocess.DEVNULL)

    def finish(self):
        shutil.rmtree(self.work)
