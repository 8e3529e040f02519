"""operated.py - what the scripts about a running pipeline's operators share: a run that does not end by itself, commands for it,
its audit lines, and its control socket without gpuq."""
import glob
import json
import os
import re
import signal
import socket
import threading
import harness
from harness import until

FIELD = re.compile(r' ([a-z][a-z0-9_]*)=("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*"|[A-Za-z0-9._/:+-]+)')


def record(line):
    """A line of the protocol or of the audit as (word, fields); ValueError if it is none."""
    word, rest = re.fullmatch(r"([a-z][a-z0-9_]*)(.*)", line).groups()
    fields = FIELD.findall(rest)
    if "".join(f" {name}={value}" for name, value in fields) != rest.rstrip(" "):
        raise ValueError(line)
    return word, {name: json.loads(value) if value[0] == '"' or value.isdigit() else value for name, value in fields}


class Operated(harness.Scenario):
    SOURCE = {"generate": {"count": 10**12, "bytes": 16, "rate": "1000/s"}}

    def setUp(self):
        super().setUp()
        self.said = {}

    def letter(self, name, letter, outside=""):
        """A plugin whose every result is this letter."""
        return self.plugin(name, f"out->out[0] = '{letter}'; *out->out_len = 1;", outside)

    def running(self, pipeline, *arguments, env=None, ready=True):
        """A run, ready to be controlled; what it says on standard error is collected in said()."""
        process = self.start("run", *arguments, pipeline, env=env)
        lines = self.said[process.pid] = []
        def collect():
            for line in process.stderr:
                lines.append(line.decode().rstrip("\n"))
        process.collector = threading.Thread(target=collect, daemon=True)
        process.collector.start()
        if ready and not until(lambda: self.socket_of(process) or process.poll() is not None):
            self.fail(f"no control socket: {lines}")
        return process

    def socket_of(self, process):
        found = glob.glob(os.path.join(self.runtime, "gpuqueue", f"*-{process.pid}.sock"))
        return found[0] if found else None

    def audit(self, process, count=1, **expected):
        """The fields of the audit lines with these values, at least so many of them."""
        def find():
            found = [record(line)[1] for line in list(self.said[process.pid]) if line.startswith("audit ")]
            found = [f for f in found if all(f.get(name) == value for name, value in expected.items())]
            return found if len(found) >= count else None
        found = until(find)
        self.assertTrue(found, (expected, self.said[process.pid]))
        return found

    def stop(self, process, code=0):
        """Interrupts a run, which drains; standard error as lines."""
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.collector.join(10)
        self.assertEqual(process.returncode, code, self.said[process.pid])
        return self.said[process.pid]

    def ask(self, *arguments, code=0, **options):
        """A command's answer as JSON."""
        got, out, err = self.gpuq(*arguments[:1], "--json", *arguments[1:], **options)
        self.assertEqual(got, code, (out, err))
        answer = json.loads(out)
        self.assertEqual(answer["exit_code"], code)
        return answer

    def live(self, stage=None):
        """The live version of a stage, the first by default."""
        versions = self.ask("plugins")["versions"]
        found, = [v for v in versions if v["state"] == "live" and v["stage"] == (stage or versions[0]["stage"])]
        return found

    def last_letters(self, letter):
        """Do results end with this letter now?"""
        def ends():
            data = self.read()[-40:] if os.path.exists(self.out) else b""
            return data.endswith(letter.encode() + b"\n" + letter.encode() + b"\n")
        return until(ends)

    # --- the socket, by hand -----------------------------------------------------------------------------------------

    def connect(self, process):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(20)
        self.addCleanup(s.close)
        s.connect(self.socket_of(process))
        return s

    @staticmethod
    def answer(s):
        """What comes up to an empty line, or the end, as records."""
        data = b""
        while not data.endswith(b"\n\n"):
            more = s.recv(65536)
            if not more:
                break
            data += more
        return [record(line) for line in data.decode().rstrip("\n").split("\n")] if data else []
