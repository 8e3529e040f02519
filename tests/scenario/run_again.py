#!/usr/bin/env python3
"""run_again.py TREE - tests/run on folders of a few tests: what failed beside others has one more chance, alone, unless it is not chance."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TREE = pathlib.Path(sys.argv.pop(1))
# The first time it leaves a mark, and fails.
ONCE = "if [ -e {0} ]; then exit 0; fi; touch {0}; echo {0} {1}; exit 1"


class RunAgain(unittest.TestCase):
    def run_tests(self, **tests):
        """The exit code, the output, and the flaky tests, of a folder with these tests: names, and what a shell does for each."""
        with tempfile.TemporaryDirectory() as folder:
            lines = [f'add_test("{name}" "/bin/sh" "-c" "{what}")\n' for name, what in tests.items()]
            pathlib.Path(folder, "CTestTestfile.cmake").write_text("".join(lines))
            run = subprocess.run([TREE / "tests/run", folder], env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, timeout=60, check=False)
            flaky, log = (pathlib.Path(folder, f"flaky.{kind}") for kind in ("txt", "log"))
            self.log = log.read_text() if log.exists() else ""
            return run.returncode, run.stdout, flaky.read_text() if flaky.exists() else ""

    def test_all_that_pass_run_once(self):
        code, out, flaky = self.run_tests(one="echo x >> ran; test $(wc -l < ran) -eq 1", two="true")
        self.assertEqual((code, out.count("Test #1"), flaky), (0, 1, ""), out)
        self.assertNotIn("laky", out)

    def test_one_that_fails_once_is_told_of(self):
        code, out, flaky = self.run_tests(good="true", bad=ONCE.format("mark", "has failed"))
        self.assertEqual((code, flaky), (0, "bad\n"), out)
        self.assertIn("mark has failed", out)
        self.assertEqual(out.splitlines()[-2:], ["Flaky, failed beside others and passed alone:", "bad"])
        self.assertIn("\nmark has failed\n", self.log)
        self.assertNotIn("good", self.log)

    def test_a_variants_is_told_of_too(self):
        code, out, flaky = self.run_tests(**{"variant x": "mkdir -p variants/x && cd variants/x && echo bad > flaky.txt && echo why > flaky.log"})
        self.assertEqual((code, flaky, out.splitlines()[-2:]), (0, "", ["bad", "why"]), out)

    def test_one_that_fails_again_has_failed(self):
        code, out, flaky = self.run_tests(good="true", bad="false", once=ONCE.format("mark", ""))
        self.assertNotEqual(code, 0)
        self.assertEqual((out.count("Test #2: bad"), flaky), (2, ""), out)

    def test_what_is_no_chance_has_no_second(self):
        for name, say in (("bad", "SUMMARY: ThreadSanitizer: data race"), ("bad", "a.c:1:2: runtime error: shift"), ("variant", "")):
            code, out, flaky = self.run_tests(**{"good": "true", name + " x": ONCE.format("mark", say)})
            self.assertNotEqual(code, 0, out)
            self.assertEqual((out.count(f"Test #2: {name} x"), flaky), (1, ""), out)
        code, out, flaky = self.run_tests(**{name: ONCE.format(name, "") for name in "abcd"})
        self.assertNotEqual(code, 0, out)
        self.assertEqual((out.count("Test #1: a"), flaky), (1, ""), out)

    def test_what_a_sanitizer_says_of_itself_is_no_report(self):
        say = "LeakSanitizer has encountered a fatal error; ERROR: AddressSanitizer failed to allocate"
        self.assertEqual(self.run_tests(good=f"echo '{say}'", bad=ONCE.format("mark", "has failed"))[::2], (0, "bad\n"))

    def test_a_folder_without_tests_fails(self):
        self.assertNotEqual(self.run_tests()[0], 0)


unittest.main()
