#!/usr/bin/env python3
"""Memory-order labels. In code `A1 pairs R1` marks an acquire and `R1 pairs A1` its release; `F1 pairs F2` a full fence and
its partner. Each label has its partner in code, and each pair a row in docs/internals/memory-order.md."""
import re
import tree

TABLE = "docs/internals/memory-order.md"
LABEL = re.compile(r"\b([ARF]\d+) pairs ([ARF]\d+)\b")
ROW = re.compile(r"^\|\s*([RF]\d+)\s*\|\s*([AF]\d+)\s*\|(.*)\|\s*$", re.M)
# An ordered access to shared words whose line has no label is an edge that nobody wrote down.
ACCESS = re.compile(r"\bgq_((load_acquire|store_release)_(u32|u64|pair)|(load|store)_unit|dev_(acquire|release)_\w+)\s*\("
                    r"|\b__atomic_thread_fence\s*\(")
DEFINITION = re.compile(r"^(GQ_FN|static)\b")
SHARED = ("runtime/device/", "runtime/ring/", "runtime/worker/", "runtime/pipeline/", "runtime/backend/")


def labels(paths):
    """label -> (partner, place)"""
    found = {}
    for path in paths:
        for number, line in enumerate(tree.read(path).split("\n"), 1):
            for label, partner in LABEL.findall(line):
                found.setdefault(label, (partner, f"{path}:{number}"))
    return found


def unlabelled(path):
    lines = tree.read(path).split("\n")
    for number, line in enumerate(tree.code_only("\n".join(lines)).split("\n"), 1):
        near = "\n".join(lines[max(0, number - 2):number + 1])
        if ACCESS.search(line) and not DEFINITION.match(line) and not LABEL.search(near):
            yield f"{path}:{number}: an ordered access without a label; write 'A<n> pairs R<n>' beside it and its row in {TABLE}"


def pair_findings(known, rows):
    for label, (partner, place) in sorted(known.items()):
        if known.get(partner, ("", ""))[0] != label:
            yield f"{place}: {label} pairs {partner}, but nothing says '{partner} pairs {label}'; label the other side"
        if (label, partner) not in rows and (partner, label) not in rows:
            yield f"{place}: {label} has no row in {TABLE}; add '| {partner} | {label} | who | what | harm |'"


def row_findings(known, rows):
    for (first, second), text in sorted(rows.items()):
        if known.get(first, ("", ""))[0] != second:
            yield f"{TABLE}: row {first} | {second}: the code has no such pair; remove the row or label the code"
        if not all(cell.strip() for cell in text.split("|")):
            yield f"{TABLE}: row {first} | {second}: an empty cell; say who, what and the harm"


def main():
    paths = tree.files("runtime", "include", endings=(".c", ".h", ".cu"))
    known = labels(paths)
    rows = {(a, b): text for a, b, text in ROW.findall(tree.read(TABLE))}
    found = list(pair_findings(known, rows)) + list(row_findings(known, rows))
    for path in paths:
        if path.startswith(SHARED):
            found += unlabelled(path)
    tree.finish(found, len(known))


main()
