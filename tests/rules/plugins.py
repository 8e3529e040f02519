#!/usr/bin/env python3
"""Every plugin users copy says what it does in at least two sentences at its top, and has golden vectors beside it."""
import os
import re
import tree

HEAD = re.compile(r"\A\s*(/\*.*?\*/|(?://[^\n]*\n)+)", re.S)
SENTENCE = re.compile(r"[.!?](?=\s|\*/|$)")


def findings_in(path):
    head = HEAD.match(tree.read(path))
    if not head or len(SENTENCE.findall(head.group(1))) < 2:
        yield f"{path}: begin with a comment of two sentences: what it makes of a message, and when to use it"
    golden = path[:-len(".cu")] + ".golden.yaml"
    if not os.path.exists(os.path.join(tree.ROOT, golden)):
        yield f"{path}: write {golden}, with inputs and expected outputs"


def main():
    paths = tree.files("plugins", endings=(".cu",))
    tree.finish([f for path in paths for f in findings_in(path)], len(paths))


main()
