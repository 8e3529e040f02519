#!/usr/bin/env python3
"""No blanks at the end of a line, no tabs in code, one newline at the end of a file. Fix: clang-format -i, or an editor
that reads .editorconfig."""
import tree

ENDINGS = (".c", ".h", ".cu", ".cc", ".cpp", ".S", ".py", ".sh", ".cmake", "CMakeLists.txt", ".md", ".yaml", ".yml", ".json", ".1", ".bash")
# Broken on purpose: inputs of tests.
EXEMPT = ("tests/golden/", "tests/fuzz/", "tests/plugins/")


def findings_in(path):
    text = tree.read(path)
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield f"{path}: end the file with exactly one newline"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield f"{path}:{number}: remove the blanks at the end of the line"
        if "\t" in line and path.endswith((".c", ".h", ".py", ".cu")):
            yield f"{path}:{number}: replace the tab by blanks"


def main():
    paths = [p for p in tree.files(endings=ENDINGS) if not p.startswith(EXEMPT)]
    tree.finish([f for path in paths for f in findings_in(path)], len(paths))


main()
