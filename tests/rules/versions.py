#!/usr/bin/env python3
"""The states of a version and the moves between them are the same in the code, in the internals' table and drawing, and, by name,
in the guide."""
import re
import tree

CODE, HEADER = "runtime/pipeline/version.c", "include/gpuqueue/swap.h"
PAGE, GUIDE = "docs/internals/swap.md", "docs/guide/swap.md"
ROW = re.compile(r"^\| (\w+) \| (\w+) \| \S.* \|$", re.M)
GUIDE_ROW = re.compile(r"^\| `(\w+)` \| \S.* \|$", re.M)


def between(text, start, end):
    """The part of a text between two others; nothing, when one is missing."""
    return text.partition(start)[2].partition(end)[0]


def moves_of_code(names):
    """The pairs that gq_version_move allows, by the states' words."""
    table = between(tree.read(CODE), "static const unsigned moves[] = {", "};")
    rows = re.findall(r"\[(GQ_VERSION_\w+)\] = ([^,]*),", table)
    return {(names[source], names[to]) for source, row in rows for to in re.findall(r"TO\((\w+)\)", row)}


def difference(path, kind, have, want):
    for item in sorted(want - have):
        yield f"{path}: {kind} {item} is missing, and {CODE} has it; add it"
    for item in sorted(have - want):
        yield f"{path}: {kind} {item} is unknown to {CODE}; remove it"


def main():
    names = dict(re.findall(r'X\((GQ_VERSION_\w+),\s+"(\w+)",', tree.read(HEADER)))
    moves = moves_of_code(names)
    states = between(tree.read(PAGE), "## States of a version", "\n## ")
    drawn = set(re.findall("|".join(names.values()), between(states, "```\n", "```")))
    rows = set(ROW.findall(states)) - {("from", "to")}
    found = list(difference(PAGE, "in the table, the move", rows, moves))
    found += difference(PAGE, "in the drawing, the state", drawn, set(names.values()))
    found += difference(GUIDE, "in the table, the state", set(GUIDE_ROW.findall(tree.read(GUIDE))), set(names.values()))
    tree.finish(found, len(moves))


main()
