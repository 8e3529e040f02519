#!/usr/bin/env python3
"""setup.py TREE - tools/setup on machines made of a few programs: what it installs, what it refuses, what it leaves alone.
Each machine is a folder that is the whole PATH; cmake, apt-get and sudo in it only write down how they were called."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TREE = sys.argv.pop(1)
PLAIN = ("bash", "env", "sed", "sort", "dirname", "cat", "mktemp", "rm", "nproc", "tr", "grep", "sh")
TOOLS = ("cc", "c++", "cmake", "ninja", "pkg-config", "clang", "clang++", "python3")


class Machine:
    """A source tree at a path with a blank, and a PATH of its own."""

    def __init__(self, case, user, tools=()):
        self.top = tempfile.mkdtemp()
        case.addCleanup(shutil.rmtree, self.top)
        self.tree, self.bin, self.log = (os.path.join(self.top, n) for n in ("a tree", "bin", "log"))
        os.makedirs(os.path.join(self.tree, "tools"))
        os.makedirs(self.bin)
        shutil.copy(os.path.join(TREE, "tools", "setup"), os.path.join(self.tree, "tools"))
        for name in PLAIN:
            os.symlink(shutil.which(name), os.path.join(self.bin, name))
        self.program("id", f"echo {user}")
        for name in tools:
            self.program(name)

    def program(self, name, text=""):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'#!{shutil.which("bash")}\necho "{name} $*" >>"{self.log}"\n{text}\n')
        os.chmod(path, 0o755)

    def setup(self, *arguments):
        return subprocess.run([os.path.join(self.tree, "tools", "setup"), *arguments], cwd="/", text=True, check=False, timeout=60,
                              capture_output=True, stdin=subprocess.DEVNULL, env={"PATH": self.bin, "HOME": self.top})

    def calls(self, name):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            return [line for line in file.read().splitlines() if line.startswith(name + " ")]


class Setup(unittest.TestCase):
    def test_anything_but_one_known_verb_is_a_usage_error(self):
        machine = Machine(self, 0)
        for arguments in ((), ("walk",), ("run", "fast"), ("--help",)):
            run = machine.setup(*arguments)
            self.assertEqual(run.returncode, 64)
            self.assertIn("./tools/setup run", run.stderr)

    def test_nothing_missing_calls_no_apt(self):
        machine = Machine(self, 1000, TOOLS)
        machine.program("apt-get")
        run = machine.setup("build")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(machine.calls("apt-get"), [])
        self.assertEqual(len(machine.calls("cmake")), 2)
        self.assertIn(f"-S {machine.tree} -B {machine.tree}/build", machine.calls("cmake")[0])

    def test_without_root_and_sudo_it_prints_the_exact_command(self):
        machine = Machine(self, 1000, TOOLS)
        os.remove(os.path.join(machine.bin, "ninja"))
        machine.program("apt-get")
        run = machine.setup("run")
        self.assertEqual(run.returncode, 69)
        self.assertIn("missing: ninja-build\n", run.stderr)
        self.assertIn("sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends ninja-build'", run.stderr)
        self.assertEqual(machine.calls("apt-get"), [])

    def test_a_sudo_that_asks_for_a_password_is_not_used_without_a_terminal(self):
        machine = Machine(self, 1000)
        machine.program("apt-get")
        machine.program("sudo", "exit 1")
        self.assertEqual(machine.setup("run").returncode, 69)
        self.assertEqual(machine.calls("sudo"), ["sudo -n true"])

    def test_root_installs_what_is_missing_and_says_what(self):
        machine = Machine(self, 0, [t for t in TOOLS if t != "ninja"])
        ninja = os.path.join(machine.bin, "ninja")
        machine.program("apt-get", f'if [[ $1 == install ]]; then echo "#!/bin/sh" >"{ninja}"; /bin/chmod +x "{ninja}"; fi')
        run = machine.setup("build")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("installing ninja-build\n", run.stderr)
        self.assertEqual(machine.calls("apt-get"), ["apt-get update -q", "apt-get install -y -q --no-install-recommends ninja-build"])

    def test_only_tests_need_the_tools_of_tests(self):
        machine = Machine(self, 1000, [t for t in TOOLS if t != "clang"])
        self.assertEqual(machine.setup("build").returncode, 0)
        run = machine.setup("test")
        self.assertEqual(run.returncode, 69)
        self.assertIn("missing: clang ", run.stderr)

    def test_tests_need_the_modules_that_they_import(self):
        machine = Machine(self, 1000, [t for t in TOOLS if t != "python3"])
        machine.program("python3", '[[ $2 != "import yaml" ]]')
        self.assertIn("missing: python3-yaml spin ", machine.setup("test").stderr)

    def test_an_installation_that_fails_is_exit_69(self):
        machine = Machine(self, 0)
        machine.program("apt-get", "echo 'E: no network' >&2; exit 100")
        run = machine.setup("build")
        self.assertEqual(run.returncode, 69)
        self.assertIn("E: no network", run.stderr)
        self.assertIn("apt-get failed", run.stderr)

    def test_another_system_learns_the_names(self):
        run = Machine(self, 0).setup("build")
        self.assertEqual(run.returncode, 69)
        self.assertIn("libyaml-dev", run.stderr)

    def test_a_build_folder_of_another_tree_is_made_anew(self):
        machine = Machine(self, 1000, TOOLS)
        os.makedirs(os.path.join(machine.tree, "build"))
        cache = os.path.join(machine.tree, "build", "CMakeCache.txt")
        with open(cache, "w", encoding="utf-8") as file:
            file.write("CMAKE_HOME_DIRECTORY:INTERNAL=/somewhere/else\n")
        run = machine.setup("build")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("was made for /somewhere/else", run.stderr)
        self.assertFalse(os.path.exists(cache))

    def test_a_build_that_fails_shows_why(self):
        machine = Machine(self, 1000, TOOLS)
        machine.program("cmake", "echo 'CMake Error: it broke'; exit 3")
        run = machine.setup("build")
        self.assertEqual(run.returncode, 3)
        self.assertIn("it broke", run.stderr)


unittest.main()
