#!/usr/bin/env python3
"""fields.py HEADER OUT - lists every struct member that HEADER (gpuqueue/layout.h) declares, as rows for layout_rows.h."""
import re
import sys

COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRUCT = re.compile(r"^struct (\w+) \{(.*?)^\};", re.S | re.M)
MEMBER = re.compile(r"(\w+)\s*(?:\[[^\]]*\])?\s*;")


def main():
    header, out = sys.argv[1:]
    with open(header, encoding="utf-8") as file:
        text = COMMENT.sub(" ", file.read())
    lines = []
    for name, body in STRUCT.findall(text):
        lines.append(f"LAYOUT_STRUCT({name})")
        lines += [f"LAYOUT_FIELD({name}, {field})" for field in MEMBER.findall(body)]
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


main()
