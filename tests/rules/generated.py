#!/usr/bin/env python3
"""generated.py COMMITTED COMMAND... - the committed page equals what the command prints today."""
import difflib
import subprocess
import sys
import tree


def main():
    committed, *command = sys.argv[1:]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tree.ROOT).stdout
    kept = tree.read(committed)
    if made == kept:
        return
    sys.stdout.writelines(difflib.unified_diff(kept.splitlines(True), made.splitlines(True), committed, "made now"))
    print(f"{committed} is out of date; run: cmake --build build --target reference")
    sys.exit(1)


main()
