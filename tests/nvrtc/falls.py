#!/usr/bin/env python3
"""falls.py GPUQ LINKER PLUGINS - a linker that dies of a file: machine code is to blame for it, what we compiled is not."""
import os
import subprocess
import sys

SKIP = 77
gpuq, linker, plugins = sys.argv[1:]

for name, code, sentence in (("rot13.ptx", 65, "the linker fell over this file; make it again: the builder process was killed by SIGABRT"),
                             ("hex.cubin", 65, "the linker fell over this file; make it again: the builder process was killed by SIGABRT"),
                             ("upper.cu", 70, "upper.cu: the builder process was killed by SIGABRT")):
    done = subprocess.run([gpuq, "plugin", "check", "--backend", "cuda", "--arch", "90", os.path.join(plugins, name)], check=False,
                          capture_output=True, text=True,
                          env={**os.environ, "GPUQ_NVJITLINK": linker, "GPUQ_LINK": "linked", "GPUQ_CACHE": "off"})
    if done.returncode == 69:
        print(f"skipped: {done.stderr}")
        sys.exit(SKIP)
    if done.returncode != code or sentence not in done.stderr:
        sys.exit(f"{name}: exit code {done.returncode}, expected {code} and '{sentence}'\n{done.stderr}")
