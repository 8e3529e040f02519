#!/usr/bin/env python3
"""The kernels of gpuq-rivals compile, without a warning; skipped where there is no NVRTC.

  kernels.py GPUQ-RIVALS ARCH"""
import subprocess
import sys

out = subprocess.run([sys.argv[1], "--compile", sys.argv[2]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)
print(out.stderr, end="")
if "NVRTC 12 or 13 is needed" in out.stderr:
    sys.exit(77)
assert out.returncode == 0 and out.stderr == "", out
