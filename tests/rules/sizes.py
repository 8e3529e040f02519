#!/usr/bin/env python3
"""Functions of at most 70 lines, files of at most 600, in runtime/, include/, tools/gpuq and tools/bench."""
import re
import tree

FUNCTION_LINES = 70
FILE_LINES = 600
# A definition in the style of .clang-format: the name and its arguments, then a brace alone on the first column.
NAME = re.compile(r"(\w+)\s*\([^;{}]*$")


def functions(text):
    """(name, first line, lines) of each function whose braces stand on the first column."""
    lines, start = tree.code_only(text).split("\n"), None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            head = " ".join(lines[max(0, start - 6):start - 1])
            match = NAME.search(head)
            yield (match.group(1) if match else "?", start, number - start + 1)
            start = None


def findings_in(path):
    text = tree.read(path)
    count = text.count("\n")
    if count > FILE_LINES:
        yield f"{path}: {count} lines, at most {FILE_LINES}; give part of it a file of its own"
    for name, line, length in functions(text):
        if length > FUNCTION_LINES:
            yield f"{path}:{line}: function near '{name}' has {length} lines, at most {FUNCTION_LINES}; name its parts"


def main():
    paths = tree.files("runtime", "include", "tools/gpuq", "tools/bench", endings=(".c", ".h", ".cu"))
    tree.finish([f for path in paths for f in findings_in(path)], len(paths))


main()
