#!/usr/bin/env python3
"""C sources are as clang-format 14 leaves them (other versions differ in details). Fix: clang-format -i FILE."""
import shutil
import subprocess
import sys
import tree


def main():
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else "not installed"
    if " version 14." not in version:
        print(f"skipped: needs clang-format 14; here: {version.strip()}")
        sys.exit(tree.SKIP_CODE)
    paths = tree.files("runtime", "include", "tools", "tests/unit", "tests/stress", "tests/nvrtc", "tests/layout", "tests/install",
                       endings=(".c", ".h"))
    run = subprocess.run([program, "--dry-run", "-Werror", *paths], cwd=tree.ROOT, capture_output=True, text=True)
    found = [f"{path}: run clang-format -i {path}" for path in paths if f"\n{path}:" in "\n" + run.stderr]
    if run.returncode != 0 and not found:
        found.append(f"clang-format says: {run.stderr}")
    tree.finish(found, len(paths))


main()
