"""application.py - the scenarios of library.c: what an application sees while a call of the library, or of its worker, fails."""
import os
import re
import subprocess
from points import Point, place

SCENARIOS = ("queue", "threads", "in_place", "killed", "swap", "refused", "canary", "reload", "files")
ROLES = {"queue": ("host", "worker"), "swap": ("host", "worker")}
LIMIT = 1500  # seconds of all rounds of one scenario; each has its own in library.c
HEAD = "version: 1\nqueue: { capacity: 16, slot_bytes: 64 }\ncpu: { threads: 2 }\n"


class Rounds:
    """All rounds of one scenario, in as many processes as it takes: one that crashes is told, and gone on behind."""

    def __init__(self, bench, name, role, interrupted):
        self.bench, self.name, self.role, self.interrupted = bench, name, role, interrupted
        self.points, self.ran, self.broken = 0, 0, []

    def run(self, first, step):
        point = Point(self.bench, self.role, self.interrupted)
        try:
            for plugin in ("a", "b", "broken"):
                point.plugin(plugin)
            point.write("queue.yaml", HEAD + "stages: [{ name: s, plugin: 'builtin:echo' }]\n")
            point.write("swap.yaml", HEAD + "stages: [{ name: s, plugin: a.cu }]\n")
            point.write("in", "".join(f"{i}\n" for i in range(12)))
            point.write("files.yaml", HEAD + "stages: [{ plugin: a.cu }]\nsource: { file: { path: in } }\nsink: { file: { path: out } }\n")
            while first:
                first = self.some(point, first, step)
            left = os.listdir(point.path("tmp"))
            if left and not self.broken:
                self.broken.append(f"library {self.name}: files are left: {left}")
        finally:
            point.finish()
        return self

    def some(self, point, first, step):
        """Rounds until there are no more, or one crashes: then where to go on."""
        process = subprocess.Popen([self.bench.library, self.name, str(first), str(step)], env=point.environment(), cwd=point.folder,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        point.track(process, (self.name,))
        out = process.communicate(timeout=LIMIT)[0].decode(errors="replace")
        for at, where, what in re.findall(r"^BROKEN (\d+) (\S+) (.*)$", out, re.M):
            what = re.sub(r"allocated at (\S+)", lambda m: "allocated at " + place(self.bench.library, int(m[1], 16)), what)
            self.broken.append(f"library {self.name}, {self.role}: call {at} at {place(self.bench.library, int(where, 16))}: {what}")
        found = re.search(r"^POINTS (\d+)$", out, re.M)
        self.points = int(found[1]) if found else self.points
        if process.returncode in (0, 1) and (found := re.search(r"^ROUNDS (\d+)$", out, re.M)):
            self.ran += int(found[1])
            return 0
        planted = point.planted()
        self.broken.append(f"library {self.name}, {self.role}: {planted.where()}: the application ended with {process.returncode}: {out[-600:]}")
        return planted.at + step if planted.at >= first else 0
