#!/usr/bin/env python3
"""environment.py - the processes beside the host have an environment that is built, and arguments that say nothing."""
import glob
import os
import subprocess
import unittest
import harness

SECRET = "sesame_of_the_test"


def children(pid):
    """Processes that `pid` started: number, arguments, environment."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        number = int(path.split("/")[2])
        try:
            with open(path, encoding="utf-8", errors="replace") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
            if parent == pid:
                parts = [open(f"/proc/{number}/{name}", "rb").read().split(b"\0") for name in ("cmdline", "environ")]
                yield number, *parts
        except OSError:
            continue


class Environment(harness.Scenario):
    def test_a_secret_of_the_host_is_in_no_child(self):
        pipeline = self.pipeline([{"plugin": harness.ours("echo")}], source={"stdin": {}})
        secrets = {"DATABASE_PASSWORD": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET, "CUDA_INJECTION64_PATH": SECRET,
                   "NVTX_INJECTION64_PATH": SECRET, "LD_AUDIT_OF_THE_TEST": SECRET, "MALLOC_CONF": SECRET, "LANG": "C", "GPUQ_CACHE": "off"}
        process = self.start("run", pipeline, stdin=subprocess.PIPE, env=secrets)
        process.stdin.write(b"one\n")
        process.stdin.flush()
        self.assertTrue(harness.until(lambda: os.path.exists(self.out) and any(b"worker" in c[1] for c in children(process.pid))))
        seen = list(children(process.pid))
        process.stdin.close()
        self.assertEqual(process.wait(20), 0)
        self.assertTrue(seen)
        for number, arguments, environment in seen:
            self.assertIn(b"LANG=C", environment, arguments)
            self.assertNotIn(SECRET.encode(), b" ".join(environment + arguments), f"process {number}: {arguments}")
            self.assertEqual(len([a for a in arguments if a]), 2, arguments)  # the program, and which of its processes


harness.main()
