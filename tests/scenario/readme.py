#!/usr/bin/env python3
"""readme.py GPUQ README - the plugin and the pipeline that the README shows run as they stand there."""
import os
import re
import subprocess
import sys
import tempfile


def block(text, language):
    return re.search(rf"```{re.escape(language)}\n(.*?)```", text, re.S).group(1)


def main():
    gpuq, readme = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    lines = [b"hello", b"", b"a second line"]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("flip.cu", block(text, "c++")), ("pipeline.yaml", block(text, "yaml")),
                              ("in.txt", b"\n".join(lines).decode() + "\n")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        run = subprocess.run([gpuq, "run", "pipeline.yaml"], cwd=folder, capture_output=True, check=False,
                             env={**os.environ, "GPUQ_BACKEND": os.environ.get("GPUQ_BACKEND") or "cpu"})
    sys.stdout.write(run.stderr.decode())
    expected = b"".join(bytes(c ^ 0x01 for c in line) + b"\n" for line in lines)
    if run.returncode != 0 or run.stdout != expected:
        sys.exit(f"exit code {run.returncode}, got {run.stdout!r}, expected {expected!r}")


main()
