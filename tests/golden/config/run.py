#!/usr/bin/env python3
"""run.py GPUQ [--update] - every *.yaml here says what its *.expected holds: its errors, or what it amounts to.

A file with errors: `gpuq lint` prints them and exits with 78. A file without: `gpuq lint` prints nothing, and `gpuq
explain` prints its effective configuration, which explains itself again to the same text. --update writes the expected
texts; read the difference before you keep it.
"""
import difflib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = {"GOLDEN_FOLDER": "files", "GOLDEN_NUMBER": "42", "GOLDEN_EMPTY": "", "GOLDEN_SHAPE": "{ a: 1 }",
               **{k: v for k, v in os.environ.items() if not k.startswith("GOLDEN_")}}


def gpuq(*arguments, **more):
    return subprocess.run([sys.argv[1], *arguments], cwd=HERE, env=ENVIRONMENT, capture_output=True, timeout=20, **more)


def explain(name):
    """The configuration without its first line, which names the file, and without the memory of this machine."""
    made = gpuq("explain", name)
    if made.returncode != 0:
        return f"explain: exit code {made.returncode}\n" + made.stderr.decode()
    return made.stdout.decode().split("\n", 1)[1].split("\n\n")[0] + "\n"


def explain_again(text):
    again = os.path.join(HERE, f"again.{os.getpid()}.tmp")
    try:
        with open(again, "w", encoding="utf-8") as file:
            file.write(text)
        return explain(again).replace(HERE + "/", "")
    finally:
        os.unlink(again)


def result_of(name):
    made = gpuq("lint", name)
    if made.returncode == 78:
        return made.stdout.decode()
    if made.returncode != 0 or made.stdout:
        return f"exit code {made.returncode}\n" + made.stdout.decode() + made.stderr.decode()
    text = explain(name)
    again = explain_again(text)
    return text if again == text else "what explain prints does not explain itself alike:\n" + again


def expected_of(name):
    path = os.path.join(HERE, name[:-len(".yaml")] + ".expected")
    if "--update" in sys.argv:
        with open(path, "w", encoding="utf-8") as file:
            file.write(result_of(name))
    with open(path, encoding="utf-8") as file:
        return file.read()


def check(name):
    expected, got = expected_of(name), result_of(name)
    if not name.startswith("good_") and not (got.startswith(name + ":") and ": error: " in got):
        got = "an error was expected\n" + got
    sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), got.splitlines(True), name + ": expected", "got"))
    return expected == got


def main():
    names = sorted(n for n in os.listdir(HERE) if n.endswith(".yaml"))
    failed = [n for n in names if not check(n)]
    print(f"{len(names)} files, {len(failed)} not as expected")
    sys.exit(1 if failed or not names else 0)


main()
