#!/usr/bin/env python3
"""refusals.py - backend cuda on a machine that cannot: exit 69 and one sentence that says what is missing; auto goes on, on
the CPU, and says why."""
import unittest
import gpu


class Refusals(gpu.Scenario):
    def refused(self, *expected, env):
        """Both `--backend cuda`, which is refused, and auto, which runs on the CPU, with the same reason."""
        pipeline = self.lines([b"one", b"two"])
        code, out, err = self.gpuq("run", "--backend", "cuda", pipeline, env=env)
        self.assertEqual((code, out), (69, b""), err)
        self.assertEqual(len(err.splitlines()), 1, err)
        for text in ("backend cuda was asked for by --backend and is not available: ", *expected):
            self.assertIn(text, err)
        code, out, err = self.gpuq("run", pipeline, env=env)
        self.assertEqual((code, out), (0, b"one\ntwo\n"), err)
        for text in ("cpu (auto: ", *expected):
            self.assertIn(text, err)

    def test_no_driver(self):
        self.refused("no NVIDIA driver", "/nowhere/libcuda.so.1", env={"GPUQ_LIBCUDA": "/nowhere/libcuda.so.1"})

    def test_a_driver_that_is_no_library(self):
        self.refused("no NVIDIA driver", env={"GPUQ_LIBCUDA": self.write("libcuda.so.1", b"not ELF")})

    def test_a_driver_without_a_device(self):
        self.refused("cuInit: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)", env=self.script("devices=0"))

    def test_a_device_that_is_not_there(self):
        pipeline = self.lines([b"one"], device=3)
        code, out, err = self.gpuq("run", "--backend", "cuda", pipeline, env=self.script("devices=2"))
        self.assertEqual((code, out), (69, b""), err)
        self.assertIn("device 3 was asked for, the driver shows 2", err)

    @unittest.skipIf(gpu.harness.SANITIZED, "a sanitizer refers to the functions itself, and the library does not load")
    def test_a_driver_that_is_too_old_for_any_one_function(self):
        with open(gpu.DRIVER, "rb") as file:
            whole = file.read()
        for name in gpu.driver_functions():
            symbol = b"\0" + name.encode() + b"\0"
            self.assertIn(symbol, whole)
            driver = self.write("libcuda.so.1", whole.replace(symbol, symbol.replace(b"\0cu", b"\0no")))
            pipeline = self.lines([b"one"])
            code, out, err = self.gpuq("run", "--backend", "cuda", pipeline, env={"GPUQ_LIBCUDA": driver})
            self.assertEqual((code, out), (69, b""), err)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn("the NVIDIA driver is too old (CUDA 12.0 or newer is needed)", err)
            self.assertRegex(err, rf"\b{name}\b")

    def test_a_driver_that_fails_when_it_is_asked(self):
        for function in ("cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute"):
            script = self.script(f"fail={function},1,999", f"count={self.path(function)}")
            code, out, err = self.gpuq("run", "--backend", "cuda", self.lines([b"one"]), env=script)
            self.assertEqual((code, out), (69, b""), err)
            self.assertRegex(err, rf"is not available: asking the NVIDIA driver: {function}: CUDA_ERROR_UNKNOWN")


gpu.main()
