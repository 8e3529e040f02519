#!/usr/bin/env python3
"""pinned.py - a pipeline whose plugins are pinned runs, swaps and reloads what gpuq plugin pin printed, and nothing else."""
import os
import harness
from operated import Operated


class Pinned(Operated):
    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o700)
        self.a, self.b = self.letter("a", "a"), self.letter("b", "b")
        self.file = self.pipeline([{"plugin": self.a}], source=self.SOURCE, plugins={"pins": "plugins.sha256"})

    def pin(self, *plugins):
        lines = b""
        for plugin in plugins:
            code, out, err = self.gpuq("plugin", "pin", plugin)
            self.assertEqual((code, err), (0, ""))
            lines += out
        self.write("plugins.sha256", lines.decode())
        os.chmod(self.path("plugins.sha256"), 0o600)
        for plugin in plugins:
            os.chmod(plugin, 0o600)
        return lines.decode()

    def test_what_is_not_pinned_is_not_run(self):
        self.pin(self.b)
        code, _, err = self.gpuq("run", self.file)
        self.assertEqual(code, 65, err)
        self.assertIn(f"{self.a} has no pin in {self.path('plugins.sha256')}", err)

    def test_other_bytes_are_named_by_both_digests(self):
        old = self.pin(self.a)[:64]
        self.letter("a", "c")
        os.chmod(self.a, 0o600)
        code, _, err = self.gpuq("run", self.file)
        new = self.gpuq("plugin", "pin", self.a)[1].decode()[:64]
        self.assertEqual(code, 65, err)
        self.assertIn(old, err)
        self.assertIn(new, err)

    def test_a_swap_takes_what_is_pinned(self):
        self.pin(self.a)
        run = self.running(self.file)
        self.assertTrue(self.last_letters("a"))
        code, _, err = self.gpuq("swap", "a", self.b)
        self.assertEqual(code, 65, err)
        self.assertIn("has no pin in", err)
        self.assertTrue(self.last_letters("a"))
        self.pin(self.a, self.b)  # a running pipeline reads the pins anew
        self.assertEqual(self.gpuq("swap", "a", self.b)[0], 0)
        self.assertTrue(self.last_letters("b"))
        self.stop(run)

    def test_a_reload_does_not_take_the_pins_away(self):
        self.pin(self.a)
        run = self.running(self.file)
        self.assertTrue(self.last_letters("a"))
        self.pipeline([{"plugin": self.a}], source=self.SOURCE)
        self.assertRegex(self.ask("reload", code=78)["error"], "plugins.*restart")
        self.stop(run)

    def test_trust_pinned_takes_the_pins_beside_the_pipeline_file(self):
        file = self.pipeline([{"plugin": self.a}], source=self.SOURCE, plugins={"trust": "pinned"})
        for command in ("lint", "run"):
            code, out, err = self.gpuq(command, file)
            self.assertEqual(code, 78, err)
            self.assertIn("; make it, in its folder: gpuq plugin pin FILE.cu >>plugins.sha256", out.decode() + err)
        self.pin(self.b)
        code, _, err = self.gpuq("run", file)
        self.assertEqual(code, 65, err)
        self.assertIn(f"{self.a} has no pin in {self.path('plugins.sha256')}", err)
        self.pin(self.a)
        os.chmod(self.path("plugins.sha256"), 0o620)
        code, _, err = self.gpuq("run", file)
        self.assertEqual(code, 65, err)
        self.assertIn("can be written by others", err)
        os.chmod(self.path("plugins.sha256"), 0o600)
        run = self.running(file)
        self.assertTrue(self.last_letters("a"))
        self.pipeline([{"plugin": self.a}], source=self.SOURCE, plugins={"trust": "any"})
        self.assertRegex(self.ask("reload", code=78)["error"], "plugins.*restart")
        self.stop(run)


harness.main()
