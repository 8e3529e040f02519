#!/usr/bin/env python3
"""links.py GPUQ ARCH FILE... - each plugin is compiled apart and links with the template of its scope, for sm_ARCH.

One cache serves them all, so each template is compiled once; and each plugin says the same when it comes from there."""
import json
import os
import subprocess
import sys
import tempfile

SKIP = 77


def inspect(gpuq, arch, path, cache):
    return subprocess.run([gpuq, "plugin", "inspect", "--json", "--backend", "cuda", "--arch", arch, path], check=False,
                          capture_output=True, text=True, env={**os.environ, "GPUQ_LINK": "linked", "GPUQ_CACHE": cache})


def main():
    gpuq, arch, *paths = sys.argv[1:]
    with tempfile.TemporaryDirectory() as cache:
        for path in paths:
            first, again = (inspect(gpuq, arch, path, cache) for _ in range(2))
            if first.returncode == 69:
                print(f"skipped: {first.stderr}")
                sys.exit(SKIP)
            if first.returncode or again.stdout != first.stdout:
                sys.exit(f"{path} for sm_{arch}: exit code {first.returncode}\n{first.stderr}\n{first.stdout}{again.stdout}")
            said = json.loads(first.stdout)
            print(f"{path}: {said['registers']} registers, {said['stack_bytes']} bytes of stack, {said['origin']}")
            if said["registers"] > 255 or said["shared_bytes"] > 48 * 1024:
                sys.exit(f"{path} for sm_{arch} does not fit on any device")
        templates = subprocess.run([gpuq, "cache", "ls"], check=True, capture_output=True, text=True,
                                   env={**os.environ, "GPUQ_CACHE": cache}).stdout.count("(template, ")
        print(f"{templates} templates")
        if not 1 <= templates < len(paths):
            sys.exit("a template is compiled once for a kind and a scope")


main()
