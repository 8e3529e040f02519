#!/usr/bin/env python3
"""verify.py MODEL [RULE] - every state of a Promela model is looked at by Spin. With RULE, a name that breaks one rule of the
model, the verification has to find an error. Exit code 77: Spin or a compiler is missing."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
SECONDS = 250
STATES = 100000  # deep


def run(folder, *command, seconds=SECONDS):
    got = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    if got.returncode != 0 and command[0] != "./pan":
        sys.exit(f"{' '.join(command)}: exit code {got.returncode}\n{got.stdout}{got.stderr}")
    return got.stdout


def verify(model, rule, folder):
    """What the verifier prints."""
    run(folder, "spin", "-a", *([f"-D{rule}"] if rule else []), model)
    run(folder, os.environ.get("CC", "cc"), "-O0" if rule else "-O2", "-DSAFETY", "-DCOLLAPSE", "-w", "-o", "pan", "pan.c")
    return run(folder, "./pan", f"-m{STATES}")


def main():
    model, rule = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    if not shutil.which("spin"):
        print("skipped: spin is not installed (apt-get install spin)")
        sys.exit(SKIP)
    with open(model, encoding="utf-8") as file:
        if rule and rule not in file.read():
            sys.exit(f"{model} has no rule {rule}")
    with tempfile.TemporaryDirectory() as folder:
        told = verify(model, rule, folder)
    errors = re.search(r"errors: (\d+)", told)
    states = re.search(r"(\S+) states, stored", told)
    if not errors or not states or "max search depth too small" in told:
        sys.exit(f"the verification did not come to its end:\n{told}")
    found = re.search(r"pan:1: (.*?) \(at depth", told)
    print(f"{states[1]} states, errors: {errors[1]}{', ' + found[1] if found else ''}")
    sys.exit(0 if (errors[1] != "0") == bool(rule) else 1)


main()
