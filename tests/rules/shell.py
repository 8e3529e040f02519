#!/usr/bin/env python3
"""Every shell script passes shellcheck, which prints the fix."""
import re
import shutil
import subprocess
import sys
import tree

SHEBANG = re.compile(r"#!.*\b(ba)?sh\b")


def main():
    program = shutil.which("shellcheck")
    if not program:
        print("skipped: shellcheck is not installed")
        sys.exit(tree.SKIP_CODE)
    paths = [p for p in tree.files(".ci", "tools", "tests", "configs") if SHEBANG.match(tree.read(p)[:64])]
    found = []
    for path in paths:
        run = subprocess.run([program, path], cwd=tree.ROOT, capture_output=True, text=True)
        if run.returncode != 0:
            found.append(run.stdout.strip())
    tree.finish(found, len(paths))


main()
