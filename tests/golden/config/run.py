#!/usr/bin/env python3
"""run.py GPUQ [--update] - every *.yaml here says what its *.expected holds: its errors, or what it amounts to.

A file with errors: `gpuq lint` prints them and exits with 78. A file without: `gpuq lint` prints nothing, and `gpuq
explain` prints its effective configuration, which explains itself again to the same text. --update writes the expected
texts; read the difference before you keep it.
"""
import difflib
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
GPUQ = os.path.abspath(sys.argv[1])
ENVIRONMENT = {"GOLDEN_FOLDER": "files", "GOLDEN_NUMBER": "42", "GOLDEN_EMPTY": "", "GOLDEN_SHAPE": "{ a: 1 }",
               **{k: v for k, v in os.environ.items() if not k.startswith("GOLDEN_")}}


# One stage needs no room between stages; 64 slots of 2000 bytes take these, a descriptor each, and a page.
MEMORY = [("good_units.yaml", "ingress", 4096 + 64 * (8 + 2000)), ("good_units.yaml", "egress", 4096 + 64 * (16 + 2000)),
          ("good_units.yaml", "scratch of one thread", 0), ("good_stage_names.yaml", "scratch of one thread", "[1-9][0-9]*")]


def gpuq(*arguments, **more):
    return subprocess.run([GPUQ, *arguments], cwd=HERE, env=ENVIRONMENT, capture_output=True, timeout=20, **more)


def explain(name):
    """The configuration without its first line, which names the file, and without the memory of this machine."""
    made = gpuq("explain", name)
    if made.returncode != 0:
        return f"explain: exit code {made.returncode}\n" + made.stderr.decode()
    return made.stdout.decode().split("\n", 1)[1].split("\n\n")[0] + "\n"


def explain_again(text):
    again = f"again.{os.getpid()}.tmp"  # relative, so that paths come out as they went in
    try:
        with open(os.path.join(HERE, again), "w", encoding="utf-8") as file:
            file.write(text)
        return explain(again)
    finally:
        os.unlink(os.path.join(HERE, again))


def result_of(name):
    made = gpuq("lint", name)
    if made.returncode == 78:
        return made.stdout.decode()
    if made.returncode != 0 or made.stdout:
        return f"exit code {made.returncode}\n" + made.stdout.decode() + made.stderr.decode()
    text = explain(name)
    again = explain_again(text)
    return text if again == text else "what explain prints does not explain itself alike:\n" + again


def disagreement_of_json(name):
    """--json says what the lines say."""
    lines = gpuq("lint", name).stdout.decode()
    problems = json.loads(gpuq("lint", "--json", name).stdout)
    again = "".join(f"{p['file']}:{p['line']}:{p['column']}: error: {p['path'] and p['path'] + ': '}{p['message']}\n" for p in problems)
    return list(difflib.unified_diff(lines.splitlines(True), again.splitlines(True), name + ": lint", "lint --json"))


def check_commands():
    """Exit codes, and what `gpuq explain` says of memory."""
    codes = [(64, "lint"), (64, "lint", "--jsn", "x"), (74, "lint", "nowhere.yaml"), (64, "explain"), (64, "explain", "a", "b"),
             (78, "explain", "bad_empty.yaml"), (74, "explain", "nowhere.yaml"), (64, "schema", "x"), (0, "lint", "good_json.yaml"),
             (78, "lint", "nowhere.yaml", "bad_empty.yaml", "good_json.yaml")]
    found = [f"gpuq {' '.join(c[1:])}: exit code {gpuq(*c[1:]).returncode}, expected {c[0]}\n" for c in codes
             if gpuq(*c[1:]).returncode != c[0]]
    found += [f"gpuq explain {name}: no line '{what}' with {n}\n" for name, what, n in MEMORY
              if not re.search(rf"^# +{what} +{n} bytes", gpuq("explain", name).stdout.decode(), re.M)]
    sys.stdout.writelines(found)
    return not found


def expected_of(name):
    path = os.path.join(HERE, name[:-len(".yaml")] + ".expected")
    if "--update" in sys.argv:
        result = result_of(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(result)
    with open(path, encoding="utf-8") as file:
        return file.read()


def check(name):
    expected, got = expected_of(name), result_of(name)
    if not name.startswith("good_") and not (got.startswith(name + ":") and ": error: " in got):
        got = "an error was expected\n" + got
    json_found = disagreement_of_json(name)
    sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), got.splitlines(True), name + ": expected", "got"))
    sys.stdout.writelines(json_found)
    return expected == got and not json_found


def main():
    names = sorted(n for n in os.listdir(HERE) if n.endswith(".yaml"))
    failed = [n for n in names if not check(n)]
    print(f"{len(names)} files, {len(failed)} not as expected")
    sys.exit(0 if check_commands() and names and not failed else 1)


main()
