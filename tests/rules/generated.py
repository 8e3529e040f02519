#!/usr/bin/env python3
"""generated.py GPUQ COMMITTED ARGUMENT... - the committed page equals what gpuq prints today."""
import difflib
import subprocess
import sys
import tree


def main():
    gpuq, committed, *arguments = sys.argv[1:]
    made = subprocess.run([gpuq, *arguments], capture_output=True, text=True, check=True).stdout
    kept = tree.read(committed)
    if made == kept:
        return
    sys.stdout.writelines(difflib.unified_diff(kept.splitlines(True), made.splitlines(True), committed, "gpuq " + " ".join(arguments)))
    print(f"{committed} is out of date; run: cmake --build build --target reference")
    sys.exit(1)


main()
