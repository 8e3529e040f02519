#!/usr/bin/env python3
"""swap_transcript.py GPUQ [COMMITTED] - what a terminal shows of swaps under full load, as docs/guide/swap-transcript.txt has it.

It runs the commands below, one after another in one shell, and prints them with what they said:
    tools/docs/swap_transcript.py build/gpuq > docs/guide/swap-transcript.txt
With COMMITTED it compares instead: all but numbers, digests, times and the compiler's words must be as in that file. Either way the run must have
delivered each message that went in."""
import difflib
import os
import re
import signal
import subprocess
import sys
import tempfile

FILES = {
    "pipeline.yaml": """version: 1
backend: cpu
source:
  generate: { count: 1000000000000, bytes: 64 }
stages:
  - plugin: score.cu
sink:
  "null": {}
""",
    "score.cu": """#include <gpuqueue/plugin.h>

__device__ void process_message(const MsgView &in, ResultView *out)
{
    unsigned sum = 0;
    for (uint32_t i = 0; i < in.len; i++)
        sum += in.payload[i];
    *(unsigned *)out->out = sum;
    *out->out_len = 4;
}
""",
    "score.golden.yaml": """- { name: nothing, in: "", out_hex: "00000000" }
- { name: two bytes, in: "ab", out_hex: "c3000000" }
""",
}
READY = "until gpuq stats > none 2>&1; do sleep 0.1; done"  # what nobody at a terminal would type
COMMANDS = """
# Swaps under full load, on the CPU backend. tools/docs/swap_transcript.py made this; lines with # are remarks.
cat pipeline.yaml score.cu score.golden.yaml
gpuq run pipeline.yaml 2> run.log &
gpuq stats
# Only the last three digits are wanted from now on. It goes live while the pipeline runs at full speed.
sed -i 's/= sum;/= sum % 1000u;/' score.cu
gpuq swap score
sleep 0.5; gpuq plugins
# A slip, a golden vector that knows better, and code that never comes back: no message meets them.
cp score.cu good.cu; sed -i 's/sum += /sum + = /' score.cu; gpuq swap score; echo "exit code $?"
sed 's/1000u/100u/' good.cu > score.cu; gpuq swap score; echo "exit code $?"
sed 's/unsigned sum = 0;/unsigned sum = 0; for (volatile int more = 1; more;) {}/' good.cu > score.cu; gpuq swap score
# Back, and forth again: both are loaded.
gpuq rollback score
gpuq use score 2
sleep 0.5; gpuq plugins
# Ctrl-C drains. Each message that went in has come out, and each change has left a line.
kill -INT $!; wait
cat run.log
""".strip().split("\n")
MARK = "--- end of a command ---"


def transcript(gpuq):
    """Lines that a terminal would show."""
    with tempfile.TemporaryDirectory() as folder:
        home = os.path.join(folder, "home")
        os.mkdir(home)
        for name, text in FILES.items():
            with open(os.path.join(home, name), "w", encoding="utf-8") as file:
                file.write(text)
        env = {name: value for name, value in os.environ.items() if name not in ("GPUQ_BACKEND", "GPUQ_CACHE")}
        env.update(XDG_RUNTIME_DIR=folder, TMPDIR=folder, XDG_CACHE_HOME=folder,
                   PATH=os.path.dirname(os.path.abspath(gpuq)) + os.pathsep + os.environ["PATH"])
        shell = subprocess.Popen(["sh"], cwd=home, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, start_new_session=True, text=True)
        try:
            for command in COMMANDS:
                yield command if command.startswith("#") else "$ " + command
                yield from said(shell, command)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate()


def said(shell, command):
    """What one command prints; after one in the background, once it serves."""
    shell.stdin.write(f"{command}\n{READY if command.endswith('&') else ''}\nprintf '%s\\n' '{MARK}'\n")
    shell.stdin.flush()
    for line in iter(shell.stdout.readline, ""):
        if line.rstrip("\n") == MARK:
            return
        yield line.rstrip("\n")
    sys.exit(f"the shell ended at: {command}")


def plain(line):
    """A line without what differs from run to run."""
    line = re.sub(r"(:\d+:\d+: error: ).*", r"\1...", line)  # each compiler has words of its own
    line = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", line)
    line = re.sub(r"\b[0-9.]+ (ns|us|ms|s)\b", "TIME", line)
    line = re.sub(r"\b[0-9.]+ [kMG]?(B/s| ?messages/s)", r"RATE \1", line)
    return re.sub(r"\s+", " ", re.sub(r"\d+", "N", line))


def main():
    gpuq, *committed = sys.argv[1:]
    made = list(transcript(gpuq))
    counts = re.search(r"^messages +(\d+) in, (\d+) out, 0 failed$", "\n".join(made), re.M)
    if not counts or counts[1] != counts[2]:
        sys.exit("\n".join(made) + "\nmessages were lost, doubled or not counted")
    if not committed:
        print("\n".join(made))
        return
    with open(committed[0], encoding="utf-8") as file:
        kept = file.read().splitlines()
    kept, now = ([plain(line) for line in lines if line] for lines in (kept, made))
    found = list(difflib.unified_diff(kept, now, committed[0], "made now", lineterm=""))
    print("\n".join(found) if found else f"{len(made)} lines, none differs")
    sys.exit(1 if found else 0)


main()
