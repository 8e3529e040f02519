#!/usr/bin/env python3
"""run.py [--check] [NAME...] - the tests of the tests: each NAME.patch here breaks one rule, and the test that it names has to
turn red.

A copy of the tree is built once; then each patch is applied to it, what it names is built and run, and it is taken back. --check
only looks whether each patch applies and says what it has to: that is a rule of every build, so that none is forgotten when the
code changes. Exit code 1: a patch does not apply, or its test stays green.

A patch begins with three lines:
  Breaks: the rule, in words
  Build: the targets that its test needs
  Test: the name of a ctest, or a part of it
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
FIELDS = ("Breaks", "Build", "Test")


def read(name):
    """Its fields, and the sentence of what is wrong with it."""
    with open(os.path.join(HERE, name + ".patch"), encoding="utf-8") as file:
        head = file.read().split("\ndiff ", 1)[0]
    fields = dict(re.findall(r"^(\w+): (.+)$", head, re.M))
    missing = [field for field in FIELDS if field not in fields]
    return fields, f"{name}.patch: the line '{missing[0]}: ...' is missing" if missing else ""


def applies(tree, name, *how):
    return subprocess.run(["patch", "-p1", "-s", "-f", *how, "-i", os.path.join(HERE, name + ".patch")], cwd=tree, capture_output=True,
                          check=False).returncode == 0


def check(names):
    wrong = [read(name)[1] for name in names if read(name)[1]]
    wrong += [f"{name}.patch: does not apply any more; make it anew, or show that nothing can break that rule now" for name in names
              if not applies(TREE, name, "--dry-run")]
    for sentence in wrong:
        print("tests/mutants/" + sentence)
    print(f"{len(names)} checked, {len(wrong)} found")
    return not wrong


def build(folder, targets):
    made = subprocess.run(["cmake", "--build", os.path.join(folder, "build"), "--target", *targets], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        sys.exit(made.stdout[-4000:] + made.stderr[-4000:])


def is_red(folder, test):
    ran = subprocess.run(["ctest", "--test-dir", os.path.join(folder, "build"), "-R", re.escape(test), "--no-tests=error", "-Q"],
                         capture_output=True, check=False)
    return ran.returncode != 0


def prove(folder, name):
    fields = read(name)[0]
    targets = fields["Build"].split()
    build(folder, targets)
    if is_red(folder, fields["Test"]):
        print(f"{name}: '{fields['Test']}' is red before anything is broken")
        return False
    if not applies(folder, name):
        sys.exit(f"{name}.patch does not apply")
    build(folder, targets)
    red = is_red(folder, fields["Test"])
    applies(folder, name, "-R")
    print(f"{name}: {'red, as it has to be' if red else 'GREEN'}: {fields['Test']} ({fields['Breaks']})", flush=True)
    return red


def main():
    names = [word for word in sys.argv[1:] if word != "--check"] or sorted(f[:-6] for f in os.listdir(HERE) if f.endswith(".patch"))
    if "--check" in sys.argv:
        sys.exit(0 if check(names) else 1)
    if not check(names):
        sys.exit(1)
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "tree")
        shutil.copytree(TREE, tree, ignore=lambda at, names: [n for n in names if at == TREE and (n.startswith("build") or n == ".git")])
        subprocess.run(["cmake", "-S", tree, "-B", os.path.join(tree, "build"), "-G", "Ninja"], check=True, capture_output=True)
        survived = [name for name in names if not prove(tree, name)]
    print(f"{len(names)} rules broken, {len(survived)} of them unnoticed")
    sys.exit(1 if survived else 0)


main()
