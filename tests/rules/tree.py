"""What every rule needs: the files of the tree, and one way to end. A rule prints one line a finding, each with its fix."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP_FOLDERS = {".git", "__pycache__", ".cache", "corpus"}
SKIP_CODE = 77


def files(*folders, endings=()):
    """Paths below `folders`, relative to the root, in order; all of the tree without folders."""
    found = []
    for folder in folders or (".",):
        for here, below, names in os.walk(os.path.join(ROOT, folder)):
            relative = os.path.relpath(here, ROOT)
            below[:] = sorted(d for d in below if d not in SKIP_FOLDERS and not (relative == "." and d.startswith("build")))
            found += [os.path.normpath(os.path.join(relative, n)) for n in names if not endings or n.endswith(tuple(endings))]
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def code_only(text):
    """C text with comments and the contents of literals replaced by blanks; lines keep their numbers and lengths."""
    out, i, mode = [], 0, ""
    while i < len(text):
        two, c = text[i:i + 2], text[i]
        if not mode and two in ("/*", "//"):
            mode, out, i = two, out + ["  "], i + 2
        elif not mode and c in "\"'" and not (c == "'" and i and text[i - 1].isalnum()):
            mode, out, i = c, out + [c], i + 1
        elif (mode == "/*" and two == "*/") or (mode in ('"', "'") and c == "\\"):
            out.append("  " if "\n" not in two else " \n")
            mode, i = ("" if mode == "/*" else mode), i + 2
        elif (mode == "//" and c == "\n") or (mode in ('"', "'") and c in (mode, "\n")):
            mode, out, i = "", out + [c], i + 1
        else:
            out.append(c if not mode or c == "\n" else " ")
            i += 1
    return "".join(out)


def finish(findings, checked):
    """Ends the program: 0 with a count, 1 with the findings, and 1 when nothing was looked at."""
    for finding in findings:
        print(finding)
    print(f"{checked} checked, {len(findings)} found")
    sys.exit(1 if findings or not checked else 0)
