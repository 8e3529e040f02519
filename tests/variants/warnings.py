#!/usr/bin/env python3
"""warnings.py BUILD CC CXX - each source of a build, as it was compiled there, by another compiler: no warnings.

Nothing is translated (-fsyntax-only), which clang needs none of its warnings for. BUILD is built, so that what is generated is
there, and has a compile_commands.json. Skipped (77) where the compiler is not installed."""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

BUILD, *COMPILERS = sys.argv[1:]
OPTIONS = ["-fsyntax-only", "-Werror", "-fno-color-diagnostics"]


def as_other(entry):
    """(folder, command) of an entry of compile_commands.json."""
    words = shlex.split(entry["command"])
    at = words.index("-o")
    compiler = COMPILERS[0] if entry["file"].endswith(".c") else COMPILERS[1]
    return entry["directory"], (compiler, *words[1:at], *words[at + 2:], *OPTIONS)


def complaints(job):
    folder, command = job
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def main():
    if any(compiler.endswith("-NOTFOUND") for compiler in COMPILERS):
        print("skipped: the other compiler is not installed")
        sys.exit(77)
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        jobs = sorted({as_other(entry) for entry in json.load(file)})
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [text for text in pool.map(complaints, jobs) if text]
    print(*found, f"{len(jobs)} sources, {len(found)} with warnings", sep="\n")
    sys.exit(1 if found or not jobs else 0)


main()
