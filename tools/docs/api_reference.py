#!/usr/bin/env python3
"""api_reference.py TITLE HEADER - a header's comments and declarations as a Markdown page.

A header is written so that it can be read; this keeps its words and its order. A line `/* --- name --- */` begins a section.
Within one, each comment with the declarations below it, up to a blank line, is an entry named by its functions or type."""
import re
import sys

SECTION = re.compile(r"/\* -{3,} (.+?) -{3,} \*/")
FUNCTION = re.compile(r"\bGQ_API\b[^;(]*?\b([a-z]\w*)\s*\(")
TYPE = re.compile(r"^typedef (?:struct|enum) (\w+)", re.M)
DEFINE = re.compile(r"^#define (G?Q_\w+) ", re.M)
LIST = re.compile(r"^#define (\w+)\(X\).*\\\n((?:.*\\\n)*.*\n)", re.M)
ROW = re.compile(r'X\((\w+), "(.+?)", "(.+?)"\)')


def plain(comment):
    """A comment's words, without its marks, paragraphs kept."""
    text = re.sub(r"^/\*+|\*/$", "", comment.strip())
    return "\n".join(re.sub(r"^ ?\* ?", "", line).rstrip() for line in text.strip().split("\n")).strip()


def spelled_out(text):
    """The header with each list of names in the enum that is made of it."""
    for name, rows in LIST.findall(text):
        lines = "".join(f'    {value}, /* "{word}": {meaning} */\n' for value, word, meaning in ROW.findall(rows))
        text = re.sub(rf"^ +{name}\(\w+\)\n", lambda _, lines=lines: lines, text, flags=re.M)
    return LIST.sub("", text)


def declarations(text):
    """The header without what only compilers need: guards, includes, extern "C"."""
    text = re.sub(r'#ifdef __cplusplus\n(?:extern "C" \{|\})\n#endif\n', "", text)
    text = re.sub(r"^#if .*?^#endif\n", "", text, flags=re.M | re.S)
    return re.sub(r"^#(?!define (?:Q_|GQ_\w+ \d)).*\n", "", text, flags=re.M)


def blocks(text):
    """Pieces between blank lines; no comment and no pair of braces is cut."""
    piece = ""
    for line in text.split("\n") + [""]:
        whole = piece.count("/*") == piece.count("*/") and piece.count("{") == piece.count("}")
        if line.strip() or not whole:
            piece += line + "\n"
        elif piece:
            yield piece
            piece = ""


def entry(block):
    """The Markdown of one block: its names, its words, its declarations; '' for include guards and the like."""
    comment, code = "", block
    if block.startswith("/*"):
        comment, code = block.split("*/", 1)
        comment = plain(comment + "*/").replace("*", "\\*")
    names = FUNCTION.findall(code) + TYPE.findall(code) + DEFINE.findall(code)
    if not names:
        return ""
    heading = "### " + ", ".join(f"`{name}`" for name in names)
    code = re.sub(r"^GQ_API ", "", code.strip("\n"), flags=re.M)
    return "\n\n".join(part for part in (heading, comment, f"```c\n{code}\n```") if part)


def page(title, path, text):
    opening, rest = text.split("*/", 1)
    head, *sections = SECTION.split(declarations(spelled_out(rest)))
    out = [f"# {title}", f"Made from `{path}` by `tools/docs/api_reference.py`; edit the header instead.",
           "```text\n" + plain(opening) + "\n```"]
    out += filter(None, (entry(b) for b in blocks(head)))
    for name, body in zip(sections[::2], sections[1::2]):
        out.append(f"## {name[0].upper()}{name[1:]}")
        out += filter(None, (entry(b) for b in blocks(body)))
    return "\n\n".join(out) + "\n"


def main():
    title, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        sys.stdout.write(page(title, path, file.read()))


main()
