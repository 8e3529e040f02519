#!/usr/bin/env python3
"""The kernels of gpuq-rivals and the plugins of gpuq bench compile for a GPU, without a warning; skipped where there is no NVRTC.

  kernels.py GPUQ-RIVALS GPUQ ARCH PLUGIN..."""
import subprocess
import sys

RIVALS, GPUQ, ARCH = sys.argv[1:4]
check = [GPUQ, "plugin", "check", "--no-cache", "--backend", "cuda", "--arch", ARCH]
for command in [[RIVALS, "--compile", ARCH]] + [check + [plugin] for plugin in sys.argv[4:]]:
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True)
    print(out.stdout, out.stderr, end="")
    if "NVRTC 12 or 13 is needed" in out.stderr:
        sys.exit(77)
    assert out.returncode == 0 and "warning" not in out.stderr, out
