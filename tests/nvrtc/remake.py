#!/usr/bin/env python3
"""remake.py GPUQ ROOT - the PTX and the cubin in plugins/ are made again as their sources say, and link as those do.

Skipped without nvcc (nothing to make them with) or without the libraries that link (nothing to link them with)."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
COMMAND = re.compile(r"^ \*\s+(nvcc .*)$", re.M)
FACTS = ("kind", "scope", "threads", "state_bytes", "abi", "origin", "marked")


def commands(root):
    """The output file and the command, out of the comment at the top of each source."""
    for name in sorted(os.listdir(os.path.join(root, "plugins"))):
        if not name.endswith(".cu"):
            continue
        with open(os.path.join(root, "plugins", name), encoding="utf-8") as file:
            for command in COMMAND.findall(file.read()):
                words = command.split()
                yield words[words.index("-o") + 1], words


def inspect(gpuq, path):
    return subprocess.run([gpuq, "plugin", "inspect", "--json", "--no-cache", "--backend", "cuda", "--arch", "90", path],
                          capture_output=True, text=True, check=False)


def facts(gpuq, path):
    done = inspect(gpuq, path)
    if done.returncode:
        sys.exit(f"{path}: exit code {done.returncode}: {done.stderr}")
    said = json.loads(done.stdout)
    return {key: said[key] for key in FACTS}


def check_clang(gpuq, root, folder):
    """clang's PTX carries the mark too. Without CUDA's headers, which an older clang may not know."""
    path = os.path.join(folder, "hex.ptx")
    done = subprocess.run(["clang++", "-x", "cuda", "-fgpu-rdc", "--cuda-device-only", "--cuda-gpu-arch=sm_80", "-O2", "-S", "-nocudainc",
                           "-nocudalib", "-D__CUDACC__", "-D__device__=__attribute__((device))", "-D__constant__=__attribute__((constant))",
                           "-Iinclude", "-o", path, "plugins/hex.cu"], cwd=root, check=False)
    if done.returncode:
        sys.exit("clang does not compile plugins/hex.cu")
    said = facts(gpuq, path)
    print(f"by clang: {said}")
    if said["scope"] != "warp" or not said["marked"] or said["origin"] != "PTX":
        sys.exit("what clang makes of plugins/hex.cu is another plugin")


def main():
    gpuq, root = sys.argv[1:]
    made = list(commands(root))
    if len(made) != 2:
        sys.exit(f"two sources of plugins/ say how they are compiled, not {len(made)}")
    if not shutil.which("nvcc"):
        print("skipped: no nvcc in PATH")
        sys.exit(SKIP)
    if inspect(gpuq, os.path.join(root, made[0][0])).returncode == 69:
        print("skipped: NVRTC or nvJitLink is not here")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        for kept, words in made:
            again = os.path.join(folder, os.path.basename(kept))
            words[words.index("-o") + 1] = again
            subprocess.run(words, cwd=root, check=True)
            before, after = facts(gpuq, os.path.join(root, kept)), facts(gpuq, again)
            print(f"{kept}: {after}")
            if before != after or not after["marked"]:
                sys.exit(f"{kept} is not what its source makes: {before}")
        if shutil.which("clang++"):
            check_clang(gpuq, root, folder)


main()
