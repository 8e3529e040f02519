"""operations.py - what gpuq does while a call of it, of its worker or of its builder fails, and what must be true then."""
import json
import os
import re
import signal
from points import Broken
from harness import until

ECHO = "for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i]; *out->out_len = in.len;"
UPPER = "for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i] < 'a' ? in.payload[i] : in.payload[i] - 32; *out->out_len = in.len;"
CANARY = ("swap", "--canary", "50%", "--canary-for", "20s", "--canary-messages", "10", "--canary-p99", "100000%", "s", "b.cu")
PLUGINS = {  # name: body, what stands before it
    "echo": (ECHO, ""),
    "upper": (UPPER, ""),
    "blocks": ("if (gq_rank() == 0) {" + UPPER + "} gq_sync();", "GQ_SCOPE(block, 64);\n"),
    "fails": ("if (in.payload[0] == 'f') return gq_fail(out, 42);" + ECHO, ""),
    "crashes": ("if (in.payload[0] == 'c') *(volatile int *)nullptr = 1;" + ECHO, ""),
    "a": ("out->out[0] = 'a'; *out->out_len = 1;", ""),
    "b": ("out->out[0] = 'b'; *out->out_len = 1;", ""),
    "broken": ("no", ""),
}


def lines(messages):
    return b"".join(m + b"\n" for m in messages)


def expect(condition, what):
    if not condition:
        raise Broken(what)


def summary(err):
    """The counts of a run with --json."""
    try:
        return json.loads(err.splitlines()[-1])
    except (IndexError, ValueError):
        raise Broken(f"this is no summary: {err}") from None


def code_of(point, number=0):
    return point.outcomes[number][1]


class Scenario:
    """A behaviour: `prepare` makes files, `act` runs commands that the plan may break, `check` looks at what came of it and
    that nothing stands in the way of the same again."""
    roles = ("host",)
    may_fail = ()

    @property
    def name(self):
        return re.sub("(?<!^)([A-Z])", r"_\1", type(self).__name__).lower()


class Lint(Scenario):
    def prepare(self, point):
        point.write("in", b"x\n")
        point.pipeline(source={"file": {"path": "in"}}, stages=[{"plugin": point.plugin("a")}])

    def act(self, point):
        point.gpuq("lint", "p.yaml")

    def check(self, point, planted):
        point.well("lint", "p.yaml")


class LintOfErrors(Scenario):
    may_fail = (("lint", "p.yaml"),)

    def prepare(self, point):
        point.write("p.yaml", "version: 2\nname: x\nqueue: { capacity: 3 }\nstages: [{ plugin: missing.cu, nam: x }]\n")

    def act(self, point):
        point.gpuq("lint", "p.yaml")

    def check(self, point, planted):
        expect(code_of(point) != 0, "a file with errors is said to be good")
        code, out, err = point.gpuq("lint", "p.yaml", failing=False)
        expect(code == 78, err)


class FileToFile(Scenario):
    roles = ("host", "worker", "builder")
    MESSAGES = [b"m%d" % i for i in range(40)]

    def prepare(self, point):
        point.write("in", lines(self.MESSAGES))
        point.pipeline([{"plugin": point.plugin("upper")}], source={"file": {"path": "in"}})
        for name in os.listdir(point.path("cache")):
            os.remove(os.path.join(point.path("cache"), name))

    def expected(self):
        return lines(m.upper() for m in self.MESSAGES)

    def act(self, point):
        point.gpuq("run", "--quiet", "p.yaml")

    def check(self, point, planted):
        got = point.read()
        expect(got == self.expected() if code_of(point) == 0 else self.expected().startswith(got), f"the output is {got}")
        point.well("run", "--quiet", "p.yaml")
        expect(point.read() == self.expected(), "the next run's output differs")


class FromTheCache(FileToFile):
    roles = ("host",)

    def prepare(self, point):
        super().prepare(point)
        point.well("plugin", "build", point.path("upper.cu"))


class Blocks(FileToFile):
    """Threads that meet at barriers have stacks of their own."""
    roles = ("worker",)

    def prepare(self, point):
        point.write("in", lines(self.MESSAGES))
        point.pipeline([{"plugin": point.plugin("blocks")}], source={"file": {"path": "in"}})
        point.well("plugin", "build", point.path("blocks.cu"))


class GenerateToNull(Scenario):
    roles = ("host", "worker")

    def prepare(self, point):
        point.pipeline(source={"generate": {"count": 500, "bytes": 16}}, sink={"null": {}})

    def act(self, point):
        point.gpuq("run", "--json", "p.yaml")

    def check(self, point, planted):
        if code_of(point) == 0:
            counts = summary(point.outcomes[0][3])
            expect((counts["messages_in"], counts["messages_out"], counts["in_flight"]) == (500, 500, 0), counts)
        point.well("run", "--quiet", "p.yaml")


class ExactlyOnce(Scenario):
    roles = ("host", "worker")
    MESSAGES = [b"m%d" % i for i in range(300)]

    def prepare(self, point):
        point.write("in", lines(self.MESSAGES))
        point.pipeline([{"plugin": point.plugin("upper")}], source={"file": {"path": "in"}}, delivery="exactly_once", queue={"capacity": 16})
        point.well("plugin", "build", point.path("upper.cu"))

    def act(self, point):
        point.gpuq("run", "--quiet", "p.yaml")

    def check(self, point, planted):
        expected = lines(m.upper() for m in self.MESSAGES)
        got = point.read()
        expect(got == expected if code_of(point) == 0 else len(got) <= len(expected), f"the output is {got}")
        point.well("run", "--quiet", "p.yaml")
        expect(point.read() == expected, "the output is not that of one run")


class ExactlyOnceResumed(ExactlyOnce):
    roles = ("host",)

    def prepare(self, point):
        super().prepare(point)
        point.write("in", lines(self.MESSAGES[:150]))
        point.well("run", "--quiet", "p.yaml")
        point.write("in", lines(self.MESSAGES))
        with open(point.path("out"), "ab") as file:
            file.write(b"half a mess")  # what a killed run had written behind its last mark


def letters(point, name="p.dlq"):
    """The messages in a file of dead letters."""
    if not os.path.exists(point.path(name)):
        return []
    found = json.loads(point.well("dlq", "ls", "--json", name))["letters"]
    return [bytes.fromhex(json.loads(point.well("dlq", "show", "--json", name, str(letter["number"])))["message_hex"]) for letter in found]


class DeadLetters(Scenario):
    roles = ("host", "worker")
    MESSAGES = [b"f%d" % i if i % 10 == 3 else b"m%d" % i for i in range(40)]
    FAILED = [m for m in MESSAGES if m[:1] == b"f"]
    GOOD = [m for m in MESSAGES if m[:1] != b"f"]

    def prepare(self, point):
        point.write("in", lines(self.MESSAGES))
        point.pipeline([{"plugin": point.plugin("fails")}], source={"file": {"path": "in"}})
        point.well("plugin", "build", point.path("fails.cu"))

    def act(self, point):
        point.gpuq("run", "--quiet", "p.yaml")

    def check(self, point, planted):
        found, got = letters(point), point.read()
        if code_of(point) == 0:
            expect((found, got) == (self.FAILED, lines(self.GOOD)), f"{found}, {got}")
        expect(found == self.FAILED[:len(found)], f"the letters are {found}")
        expect(lines(self.GOOD).startswith(got), f"the output is {got}")
        point.well("run", "--quiet", "p.yaml")
        expect(letters(point) == found + self.FAILED, "the next run's letters are not behind the first's")
        expect(point.read() == lines(self.GOOD), "the next run's output differs")


class DeadLettersAtHand(DeadLetters):
    roles = ("host",)

    def prepare(self, point):
        super().prepare(point)
        point.well("run", "--quiet", "p.yaml")

    def act(self, point):
        point.gpuq("dlq", "ls", "p.dlq")
        point.gpuq("dlq", "show", "p.dlq", "2")
        point.gpuq("dlq", "drop", "p.dlq", "2")

    def check(self, point, planted):
        found = letters(point)
        dropped = self.FAILED[:1] + self.FAILED[2:]
        expect(found == dropped if code_of(point, 2) == 0 else found in (self.FAILED, dropped), f"the letters are {found}")
        point.well("dlq", "drop", "p.dlq", "--all")
        expect(letters(point) == [], "letters stay that were dropped")


class Replay(DeadLetters):
    roles = ("host", "worker")

    def prepare(self, point):
        super().prepare(point)
        point.well("run", "--quiet", "p.yaml")
        point.pipeline([{"plugin": point.plugin("upper")}], source={"file": {"path": "in"}})
        point.well("plugin", "build", point.path("upper.cu"))

    def act(self, point):
        point.gpuq("dlq", "replay", "p.dlq", "p.yaml")

    def check(self, point, planted):
        passed = lines(m.upper() for m in self.FAILED)
        got, left = point.outcomes[0][2], letters(point)
        expect(passed.startswith(got), f"replayed: {got}")
        expect(left == [] if code_of(point) == 0 else left == self.FAILED[len(self.FAILED) - len(left):], f"the letters are {left}")
        expect(got.count(b"\n") + len(left) >= len(self.FAILED), f"lost: {got}, {left} are left")
        if left:
            expect(point.well("dlq", "replay", "p.dlq", "p.yaml") == passed[-sum(len(m) + 1 for m in left):], "the next replay's output differs")
        expect(letters(point) == [], "letters stay that were replayed")


class Epochs(Scenario):
    """A worker dies of a message; another one serves the rest."""
    roles = ("host", "worker")
    MESSAGES = [b"c" if i == 11 else b"m%d" % i for i in range(40)]

    def prepare(self, point):
        point.write("in", lines(self.MESSAGES))
        point.pipeline([{"plugin": point.plugin("crashes")}], source={"file": {"path": "in"}}, on_error={"retries": 0})
        point.well("plugin", "build", point.path("crashes.cu"))

    def act(self, point):
        point.gpuq("run", "--quiet", "p.yaml")

    def check(self, point, planted):
        good, found, got = lines(m for m in self.MESSAGES if m != b"c"), letters(point), point.read()
        if code_of(point) == 0:
            expect((found, got) == ([b"c"], good), f"{found}, {got}")
        *whole, torn = got.split(b"\n")  # what ended is handed out when no worker takes over, whatever was lost before it
        rest = iter(good.split(b"\n"))
        expect(all(m in rest for m in whole) and any(m.startswith(torn) for m in rest), f"the output is {got}")
        point.well("run", "--quiet", "p.yaml")
        expect(letters(point) == found + [b"c"] and point.read() == good, "the next run's output differs")


class PluginBuild(Scenario):
    roles = ("host", "builder")

    def prepare(self, point):
        point.plugin("upper")

    def act(self, point):
        point.gpuq("plugin", "build", "-o", "made.so", "upper.cu")

    def check(self, point, planted):
        if code_of(point) == 0:
            expect(os.path.getsize(point.path("made.so")) > 1000, "the image is empty")
        point.well("plugin", "build", "-o", "made.so", "upper.cu")


class PluginTest(Scenario):
    roles = ("host", "worker")

    def prepare(self, point):
        point.plugin("upper")
        point.write("upper.golden.yaml", "- { name: one, in: abc, out: ABC }\n")
        point.well("plugin", "build", point.path("upper.cu"))

    def act(self, point):
        point.gpuq("plugin", "test", point.path("upper.cu"))

    def check(self, point, planted):
        point.well("plugin", "test", "upper.cu")


class NewAndExplain(Scenario):
    def prepare(self, point):
        pass

    def act(self, point):
        point.gpuq("new", "mine")
        if code_of(point) == 0:
            point.gpuq("explain", "mine/mine.yaml" if os.path.exists(point.path("mine/mine.yaml")) else "mine/pipeline.yaml")

    def check(self, point, planted):
        if code_of(point) != 0:
            expect(not os.path.exists(point.path("mine")), "half a folder is left")
            point.well("new", "mine")


class CacheAtHand(Scenario):
    def prepare(self, point):
        point.plugin("upper")
        point.well("plugin", "build", point.path("upper.cu"))

    def act(self, point):
        point.gpuq("cache", "ls")
        point.gpuq("cache", "clear")

    def check(self, point, planted):
        point.well("cache", "clear")
        expect(os.listdir(point.path("cache")) == [], "the cache is not empty")


class Operated(Scenario):
    """A run that goes on until it is interrupted, and whose code is changed meanwhile."""
    run_fails, client_fails = True, False

    def prepare(self, point):
        point.plugin("s", "a")
        point.plugin("b")
        point.plugin("broken")
        point.pipeline([{"plugin": point.path("s.cu")}], source={"generate": {"count": 10**12, "bytes": 16, "rate": "100/s"}})
        for name in ("s.cu", "b.cu"):
            point.well("plugin", "build", point.path(name))

        point.excused = ["still runs the code that it started with", "the pipeline is being stopped"]

    @staticmethod
    def serves(point, process):
        return process.poll() is None and "no control socket" not in point.said(process)

    def begin(self, point, *arguments):
        """A run that answers, or has ended."""
        process = point.start("run", "--json", *arguments, "p.yaml", failing=self.run_fails)
        sockets = point.path("run/gpuqueue")
        until(lambda: process.poll() is not None or "no control socket" in point.said(process)
              or (os.path.isdir(sockets) and any(n.endswith(".sock") for n in os.listdir(sockets))))
        return process

    def ask(self, point, process, *words):
        """A command; that there is nobody to ask is no more than what the run itself says when it ends."""
        point.gpuq(*words, failing=self.client_fails)
        unreachable = any(words in point.outcomes[-1][3] for words in ("no pipeline of this user", "any more", "before it answered"))
        if not self.client_fails and unreachable and until(lambda: process.poll() is not None):
            point.outcomes.pop()

    @staticmethod
    def ends_with(point, letter):
        return point.read()[-2:] == letter + b"\n"

    def finish(self, point, process):
        """Interrupts it; what it accepted must have come out, or it says why not."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        code, _, err = point.end(process)
        expect(code == 0 or self.run_fails, f"the run itself ended with {code}: {err}")
        if code == 0:
            counts = summary(err)
            expect((counts["in_flight"], counts["messages_in"], counts["failed"]) == (0, counts["messages_out"], 0), counts)
            expect(point.read().count(b"\n") == counts["messages_out"], "the output is not what the summary says")


class ControlServed(Operated):
    roles = ("host", "worker", "builder")

    def act(self, point):
        process = self.begin(point)
        if self.serves(point, process):
            for words in (("plugins",), ("swap", "s", "b.cu"), ("stats",), ("swap", "s", "broken.cu"), ("rollback", "s"), ("reload",)):
                self.ask(point, process, *words)
        self.finish(point, process)

    may_fail = (("swap", "s", "broken.cu"),)

    def check(self, point, planted):
        refused = [o for o in point.outcomes if "broken.cu" in o[0]]
        expect(all(o[1] != 0 for o in refused), "a plugin that does not compile is said to be live")


class ControlAsked(ControlServed):
    roles = ("host",)
    run_fails, client_fails = False, True


class Canary(Operated):
    roles = ("host", "worker")

    def act(self, point):
        process = self.begin(point)
        if self.serves(point, process):
            self.ask(point, process, *CANARY)
        self.finish(point, process)

    def check(self, point, planted):
        pass


class Watched(Operated):
    """A plugin that is saved goes live, or the run says why not; and when it is saved again, it does."""

    def is_over(self, point, process):
        return self.ends_with(point, b"b") or process.poll() is not None

    def act(self, point):
        process = self.begin(point, "--watch")
        for number in range(2):
            if process.poll() is not None or "not be watched" in point.said(process):
                break
            until(lambda: point.read() != b"", 5)
            before = point.said(process).count("audit ")
            point.write("s.cu", point.bench.plugin_text("b") + f"// save {number}\n")
            until(lambda: self.is_over(point, process) or (number == 0 and point.said(process).count("audit ") > before), 20)
            if self.is_over(point, process):
                break
            expect(number == 0 and point.said(process).count("audit ") > before,
                   f"saved, and neither live nor refused: {point.said(process)}")
        self.finish(point, process)

    def check(self, point, planted):
        pass


SCENARIOS = [Lint(), LintOfErrors(), FileToFile(), FromTheCache(), Blocks(), GenerateToNull(), ExactlyOnce(), ExactlyOnceResumed(), DeadLetters(),
             DeadLettersAtHand(), Replay(), Epochs(), PluginBuild(), PluginTest(), NewAndExplain(), CacheAtHand(),
             ControlServed(), ControlAsked(), Canary(), Watched()]
